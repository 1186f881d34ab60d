"""A run in a file: everything that the loop needs to go on where it was, to the last bit."""

import hashlib
import os
import re
import types
from importlib.metadata import version
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array

import scorax
from scorax.inference._archive import digest, read_archive, write_archive
from scorax.inference._draws import Record
from scorax.inference._problem import Problem
from scorax.inference._program import Program

_VERSION = 1

Leaves = list[np.ndarray]


def write_run(
    path: str | os.PathLike[str], identity: dict[str, Any], done: int, state: Leaves, draws: Record | None
) -> None:
    """Write a run, all of it or nothing."""
    arrays = {f"state/{i}": x for i, x in enumerate(state)}
    for group, members in {} if draws is None else {**draws, "leaves": dict(enumerate(draws["leaves"]))}.items():
        arrays.update({f"{group}/{name}": x for name, x in members.items()})
    header = {"identity": identity, "done": done, "drawn": draws is not None}
    write_archive(path, kind="run", version=_VERSION, header=header, arrays=arrays)


class RunState(NamedTuple):
    """How far the run in a file has come."""

    done: int
    """Steps of each chain, those of the warm-up included."""
    drawn: int
    """Draws of each chain."""


def run_state(path: str | os.PathLike[str]) -> RunState:
    """How far the run in a file of `sample(checkpoint=...)` has come, whatever it is a run of.

    Args:
        path: The file. It may be written to meanwhile: it is always whole.

    Raises:
        FileNotFoundError: There is none.
        ValueError: The file is damaged or no run.

    Example:
        >>> import tempfile
        >>> battles, models = sx.data.datasets.load_food()
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     posterior = sx.inference.sample(
        ...         sx.choice.BradleyTerry.init(len(models)), battles, key=jax.random.key(0), num_warmup=20,
        ...         num_samples=30, checkpoint=f"{folder}/run.npz", progress=False,
        ...     )
        ...     run_state(f"{folder}/run.npz")
        RunState(done=50, drawn=30)
    """
    _, header = read_archive(path, kind="run", version=_VERSION)
    drawn = header["arrays"]["stats/log_density"]["shape"][1] if header["drawn"] else 0
    return RunState(header["done"], drawn)


def read_run(path: str | os.PathLike[str], identity: dict[str, Any]) -> tuple[int, Leaves, Record | None] | None:
    """Steps done, state and draws of the run in the file; None where there is no file.

    Raises:
        ValueError: The file is damaged, is something else, or holds the run of something else; the error says of what.
    """
    if not os.path.exists(path):
        return None
    arrays, header = read_archive(path, kind="run", version=_VERSION)
    other = [name for name in identity if header["identity"].get(name) != identity[name]]
    if other:
        differences = ", ".join(
            f"{name} ({header['identity'].get(name)} there, {identity[name]} now)" for name in other
        )
        raise ValueError(
            f"{os.fspath(path)} holds a run that this call does not continue: it differs in {differences}. Name "
            "another file, or delete this one to begin anew."
        )
    groups: dict[str, dict[str, np.ndarray]] = {"state": {}, "leaves": {}, "sites": {}, "stats": {}}
    for name, x in arrays.items():
        group, _, rest = name.partition("/")
        groups[group][rest] = x
    state = [groups["state"][str(i)] for i in range(len(groups["state"]))]
    leaves = [groups["leaves"][str(i)] for i in range(len(groups["leaves"]))]
    draws = {"leaves": leaves, "sites": groups["sites"], "stats": groups["stats"]} if header["drawn"] else None
    return header["done"], state, draws


def identity_of(problem: Problem, frame: Any, key: Array, settings: dict[str, Any]) -> dict[str, Any]:
    """What must be equal for a run to go on: model, prior, data, key, settings and the software that computes."""
    return {
        "model and prior": _digest_of_program((problem.program, problem.template)) + digest_of_code(problem.program),
        "data": digest_of_tree(problem.data),
        "precondition": digest_of_tree(frame),
        "key": digest({"key": np.asarray(key)})[:12],
        **settings,
        "scorax": scorax.__version__,
        **{package: version(package) for package in ("jax", "jaxlib", "numpyro")},
        "platform": jax.default_backend(),
        "x64": bool(jax.config.jax_enable_x64),  # pyright: ignore[reportAttributeAccessIssue]
    }


def digest_of_tree(tree: Any) -> str:
    """Of the arrays of a tree, of what else it holds and of how it is built."""
    leaves, structure = jax.tree.flatten(tree)
    arrays = {str(i): np.asarray(x) for i, x in enumerate(leaves) if eqx.is_array_like(x)}
    others = [_without_addresses(x) for x in (structure, *(x for x in leaves if not eqx.is_array_like(x)))]
    return hashlib.sha256((digest(arrays) + "".join(others)).encode()).hexdigest()[:12]


def _digest_of_program(tree: Any) -> str:
    """Whatever the order: NumPyro keeps some parts of a distribution in sets, whose order differs between processes."""
    leaves, structure = jax.tree.flatten(tree)
    arrays = [digest({"": np.asarray(x)}) for x in leaves if eqx.is_array_like(x)]
    others = [_without_addresses(x) for x in leaves if not eqx.is_array_like(x)]
    words = re.split(r"[^\w.<>-]+", _without_addresses(structure))
    return hashlib.sha256("".join(sorted([*arrays, *others, *words])).encode()).hexdigest()[:12]


def _without_addresses(x: Any) -> str:
    """How an object prints, less where it happens to be in memory."""
    return re.sub(r" at 0x[0-9a-f]+", "", str(x))


def digest_of_code(program: Program) -> str:
    """Of the function's instructions, so that an edited prior is another one."""
    function = getattr(program, "__func__", program)
    if not isinstance(function, types.FunctionType):
        function = type(program).__call__
    found = hashlib.sha256()
    if isinstance(function, types.FunctionType):
        _add_code(found, function.__code__)
        for cell in function.__closure__ or ():
            found.update(digest_of_tree(cell.cell_contents).encode())
    return found.hexdigest()[:12]


def _add_code(found: Any, code: types.CodeType) -> None:
    found.update(code.co_code + " ".join(code.co_names).encode())
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            _add_code(found, constant)
        else:
            found.update(repr(constant).encode())
