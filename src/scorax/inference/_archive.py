"""Named arrays in a file: one `.npz` of numbered arrays and a JSON header that names them. Never a pickle."""

import contextlib
import hashlib
import json
import os
import pathlib
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

import scorax

_HEADER = "header"


def write_archive(
    path: str | os.PathLike[str], *, kind: str, version: int, header: dict[str, Any], arrays: dict[str, np.ndarray]
) -> None:
    """Write to a temporary file beside `path`, then put it in its place: all of it or nothing.

    Args:
        path: The file; one that is there stays until the new one is complete.
        kind: What the file holds, such as "posterior".
        version: Of the format of this kind.
        header: What else is known of the arrays.
        arrays: By names that may hold whatever they like.
    """
    whole = {
        **header,
        "format": f"scorax.{kind}",
        "version": version,
        "scorax": scorax.__version__,
        "arrays": {name: {"shape": list(x.shape), "dtype": str(x.dtype)} for name, x in arrays.items()},
        "fingerprint": digest(arrays),
    }
    members = {str(i): x for i, x in enumerate(arrays.values())}
    with _replacement(path) as file:
        np.savez(file, allow_pickle=False, **{_HEADER: np.asarray(json.dumps(whole))}, **members)


def read_archive(
    path: str | os.PathLike[str], *, kind: str, version: int
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays and header.

    Raises:
        ValueError: The file is damaged, cut short, of another kind or of a newer version; the error says which.
    """
    name = os.fspath(path)
    try:
        with open(path, "rb") as stream:
            file = np.load(stream, allow_pickle=False)
            if not isinstance(file, np.lib.npyio.NpzFile) or _HEADER not in file:
                raise ValueError(f"{name} is no scorax {kind}")
            header = json.loads(str(file[_HEADER]))
            if not isinstance(header, dict) or header.get("format") != f"scorax.{kind}":
                raise ValueError(f"{name} is no scorax {kind}")
            if header["version"] > version:
                raise ValueError(f"{name} was written by scorax {header['scorax']} in a newer format: upgrade scorax")
            arrays = {name: file[str(i)] for i, name in enumerate(header["arrays"])}
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, json.JSONDecodeError) as error:
        raise ValueError(f"{name} is damaged or was cut short: {error}") from error
    except ValueError as error:
        if name in str(error):
            raise
        raise ValueError(f"{name} is no scorax {kind} (or was cut short): {error}") from error
    if digest(arrays) != header["fingerprint"]:
        raise ValueError(f"{name} is damaged: its contents do not have the fingerprint of its header")
    return arrays, header


def digest(arrays: dict[str, np.ndarray]) -> str:
    """SHA-256 of names, types, shapes and bytes."""
    found = hashlib.sha256()
    for name, x in arrays.items():
        found.update(f"{name} {x.dtype} {x.shape}".encode())
        found.update(np.ascontiguousarray(x).tobytes())
    return found.hexdigest()


@contextlib.contextmanager
def _replacement(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    target = pathlib.Path(path)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        # Temporary files are private; the new one gets the permissions that any new file gets.
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
