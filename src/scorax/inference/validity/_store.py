"""Simulations in a file, so that a long run can be taken up again."""

import hashlib
import os
import re
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from scorax.inference import _archive
from scorax.inference._archive import read_archive, write_archive

_KIND = "simulations"
_VERSION = 1


def write_rows(path: str | os.PathLike[str], identity: dict[str, Any], rows: dict[str, np.ndarray]) -> None:
    """Write rows, all of them or nothing."""
    write_archive(path, kind=_KIND, version=_VERSION, header={"identity": identity}, arrays=rows)


def read_rows(path: str | os.PathLike[str], identity: dict[str, Any]) -> dict[str, np.ndarray]:
    """What was written with the same identity; nothing where there is no file.

    Raises:
        ValueError: The file is damaged, is something else, or holds other simulations; the error says which.
    """
    if not os.path.exists(path):
        return {}
    rows, header = read_archive(path, kind=_KIND, version=_VERSION)
    other = sorted(name for name in identity if header["identity"].get(name) != identity[name])
    if other:
        raise ValueError(
            f"{os.fspath(path)} holds simulations of another {', '.join(other)}. Name another file, or delete this one "
            "to begin anew."
        )
    return rows


def digest(tree: Any) -> str:
    """Of all numbers in a tree, and of how its other leaves print: functions by their names, not by what they do.

    Their order does not count: that of a NumPyro distribution's parts differs from process to process.
    """
    return hashlib.sha256("".join(sorted(map(_digest_of_leaf, jax.tree.leaves(tree)))).encode()).hexdigest()


def _digest_of_leaf(leaf: Any) -> str:
    if not eqx.is_array_like(leaf):
        return re.sub(r" at 0x[0-9a-f]+", "", str(leaf))
    is_key = eqx.is_array(leaf) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return _archive.digest({"": np.asarray(jax.random.key_data(leaf) if is_key else leaf)})
