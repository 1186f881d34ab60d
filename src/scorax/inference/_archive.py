"""Posteriors in files: one `.npz` of numbered arrays and a JSON header that names them. Never a pickle."""

import hashlib
import json
import os
import pathlib
import tempfile
import zipfile
import zlib
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

import scorax

_FORMAT = "scorax.posterior"
_VERSION = 1
_HEADER = "header"


def write_posterior(
    path: str | os.PathLike[str], moving: Any, still: Any, sites: dict[str, Array], stats: dict[str, Array]
) -> None:
    """Write to a temporary file beside `path`, then put it in its place."""
    arrays = {
        **{f"moving/{name}": np.asarray(leaf) for name, leaf in _named_arrays(moving).items()},
        **{f"still/{name}": np.asarray(leaf) for name, leaf in _named_arrays(still).items()},
        **{f"sites/{name}": np.asarray(value) for name, value in sites.items()},
        **{f"stats/{name}": np.asarray(value) for name, value in stats.items()},
    }
    header = {
        "format": _FORMAT,
        "version": _VERSION,
        "scorax": scorax.__version__,
        "class": _class_name(moving),
        "arrays": {name: {"shape": list(x.shape), "dtype": str(x.dtype)} for name, x in arrays.items()},
        "fingerprint": _fingerprint(arrays),
    }
    # Members of the archive are numbered: names of sites may hold whatever they like.
    members = {str(i): x for i, x in enumerate(arrays.values())}
    target = pathlib.Path(path)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            np.savez(file, allow_pickle=False, **{_HEADER: np.asarray(json.dumps(header))}, **members)
            file.flush()
            os.fsync(file.fileno())
        # Temporary files are private; the new one gets the permissions that any new file gets.
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise


def read_posterior(path: str | os.PathLike[str], like: Any) -> tuple[Any, Any, dict[str, Array], dict[str, Array]]:
    """Parts of the posterior in the file, in the structure of `like`; see `Posterior.load`."""
    arrays, header = _read(path)
    if header["class"] != _class_name(like):
        raise ValueError(f"{os.fspath(path)} holds draws of {header['class']}, but `like` is {_class_name(like)}")
    groups: dict[str, dict[str, np.ndarray]] = {"moving": {}, "still": {}, "sites": {}, "stats": {}}
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
    sites, stats = ({name: _on_device(x) for name, x in groups[group].items()} for group in ("sites", "stats"))
    return eqx.filter(moving, eqx.is_array), still, sites, stats


def _read(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    try:
        with open(path, "rb") as stream:
            file = np.load(stream, allow_pickle=False)
            if not isinstance(file, np.lib.npyio.NpzFile) or _HEADER not in file:
                raise ValueError(f"{os.fspath(path)} is no scorax posterior")
            header = json.loads(str(file[_HEADER]))
            if not isinstance(header, dict) or header.get("format") != _FORMAT:
                raise ValueError(f"{os.fspath(path)} is no scorax posterior")
            if header["version"] > _VERSION:
                raise ValueError(
                    f"{os.fspath(path)} was written by scorax {header['scorax']} in a newer format: upgrade scorax"
                )
            arrays = {name: file[str(i)] for i, name in enumerate(header["arrays"])}
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, json.JSONDecodeError) as error:
        raise ValueError(f"{os.fspath(path)} is damaged or was cut short: {error}") from error
    except ValueError as error:
        if os.fspath(path) in str(error):
            raise
        raise ValueError(f"{os.fspath(path)} is no scorax posterior (or was cut short): {error}") from error
    if _fingerprint(arrays) != header["fingerprint"]:
        raise ValueError(f"{os.fspath(path)} is damaged: its contents do not have the fingerprint of its header")
    return arrays, header


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


def _fingerprint(arrays: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name, x in arrays.items():
        digest.update(f"{name} {x.dtype} {x.shape}".encode())
        digest.update(np.ascontiguousarray(x).tobytes())
    return digest.hexdigest()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
