"""What samplers keep of each draw, and how modules come of it."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from scorax.inference._monitor import Convergence
from scorax.inference._problem import Problem
from scorax.inference._program import run

Record = dict[str, Any]
"""`leaves`, a list of the module's leaves that draws change; `sites`; `stats`."""


class Chains(NamedTuple):
    """All that was drawn, by chain and draw."""

    records: Record
    ended: str = "done"
    """`"done"`, `"target"`, `"out of time"` or `"interrupted"`."""
    seen: Convergence = Convergence(np.nan, np.nan)
    """Of the draws when they were last looked at."""
    adaptation: Mapping[str, np.ndarray] = MappingProxyType({})
    """What tuning found, by chain."""


class Layout(NamedTuple):
    """How the drawn module is put together from leaves that draws change and leaves that they do not."""

    structure: Any
    names: tuple[str, ...]
    """Key path of every leaf."""
    still: tuple[Any, ...]
    """Leaves that no draw changes; None in place of the others."""

    @property
    def moving(self) -> tuple[bool, ...]:
        """Which leaves draws change."""
        return tuple(leaf is None for leaf in self.still)

    def assemble(self, leaves: list[Any]) -> tuple[Any, Any]:
        """Two modules, of the changing leaves and of the others, that `eqx.combine` makes one."""
        values = iter(leaves)
        changing = [next(values) if moves else None for moves in self.moving]
        return jax.tree.unflatten(self.structure, changing), jax.tree.unflatten(self.structure, self.still)


def layout_of(problem: Problem) -> Layout:
    """The layout of the modules that `problem` draws, from one trace; nothing is compiled."""
    traced: list[Any] = []

    def trace(coordinates: dict[str, Array]) -> None:
        traced[:] = [run(problem.program, coordinates).module]

    jax.eval_shape(trace, problem.template)
    flat, structure = jax.tree_util.tree_flatten_with_path(traced[0])
    # Whatever the coordinates do not reach is still the array that the program holds, and no tracer.
    still = tuple(None if isinstance(leaf, Tracer) else leaf for _, leaf in flat)
    return Layout(structure, tuple(jax.tree_util.keystr(path).lstrip(".") for path, _ in flat), still)


def record_of(problem: Problem, q: Float[Array, " d"], moving: tuple[bool, ...]) -> Record:
    """Parameters and sites at `q`; `moving` says which leaves of the module to keep."""
    draw = problem.draw(q)
    leaves = jax.tree.leaves(draw.module)
    return {"leaves": [leaf for leaf, kept in zip(leaves, moving, strict=True) if kept], "sites": draw.sites}


def join(records: list[Record], axis: int) -> Record:
    """Records end to end, on the host (where other lengths are not other programs)."""
    return jax.tree.map(lambda *parts: np.concatenate(parts, axis=axis), *records)
