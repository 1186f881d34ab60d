"""Posteriors in files: leaves by key path, sites, statistics and adaptation; structure comes from a model."""

import os
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from scorax.inference._archive import read_archive, write_archive

_VERSION = 1
_GROUPS = ("sites", "stats", "adaptation")

Named = dict[str, Array]


def write_posterior(
    path: str | os.PathLike[str], moving: Any, still: Any, groups: dict[str, Named], method: str
) -> None:
    """Write a posterior, all of it or nothing."""
    named = {"moving": _named_arrays(moving), "still": _named_arrays(still), **groups}
    arrays = {f"{group}/{name}": np.asarray(x) for group, members in named.items() for name, x in members.items()}
    header = {"class": _class_name(moving), "method": method}
    write_archive(path, kind="posterior", version=_VERSION, header=header, arrays=arrays)


def read_posterior(path: str | os.PathLike[str], like: Any) -> tuple[Any, ...]:
    """Parts of the posterior in the file, in the structure of `like`; see `Posterior.load`."""
    arrays, header = read_archive(path, kind="posterior", version=_VERSION)
    if header["class"] != _class_name(like):
        raise ValueError(f"{os.fspath(path)} holds draws of {header['class']}, but `like` is {_class_name(like)}")
    groups: dict[str, dict[str, np.ndarray]] = {group: {} for group in ("moving", "still", *_GROUPS)}
    for name, x in arrays.items():
        group, _, rest = name.partition("/")
        groups[group][rest] = x
    leaves = {name: np.shape(leaf) for name, leaf in _named_arrays(like).items()}
    held = {name: np.shape(x)[2:] for name, x in groups["moving"].items()}
    held.update({name: np.shape(x) for name, x in groups["still"].items()})
    for name in [*leaves, *held]:
        if leaves.get(name) != held.get(name):
            raise ValueError(
                f"leaf {name!r} does not match: {os.fspath(path)} holds {_shape(held.get(name))}, `like` has "
                f"{_shape(leaves.get(name))}. Make `like` as the sampled model was made."
            )
    moving, still = (_with_arrays(like, groups[group]) for group in ("moving", "still"))
    rest = ({name: _on_device(x) for name, x in groups[group].items()} for group in _GROUPS)
    return eqx.filter(moving, eqx.is_array), still, *rest, header.get("method", "")


def _named_arrays(tree: Any) -> dict[str, Any]:
    flat = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {jax.tree_util.keystr(path).lstrip("."): leaf for path, leaf in flat if eqx.is_array(leaf)}


def _with_arrays(tree: Any, arrays: dict[str, Any]) -> Any:
    """The tree with every array replaced by the one of its name; None where there is none."""

    def replace(path: Any, leaf: Any) -> Any:
        x = arrays.get(jax.tree_util.keystr(path).lstrip("."))
        return (None if x is None else _on_device(x)) if eqx.is_array(leaf) else leaf

    return jax.tree_util.tree_map_with_path(replace, tree)


def _on_device(x: np.ndarray) -> Array:
    return jnp.asarray(x, jax.dtypes.canonicalize_dtype(x.dtype))


def _class_name(module: Any) -> str:
    return f"{type(module).__module__}.{type(module).__qualname__}"


def _shape(shape: tuple[int, ...] | None) -> str:
    return "no such leaf" if shape is None else f"shape {shape}"
