"""What a row of the benchmark is: work to time, what it must at least move and compute, peers that do the same."""

import dataclasses
import importlib.util
from collections.abc import Callable, Sequence
from typing import Any

import jax

Call = Callable[[], Any]
Facts = Callable[[Any, float], dict[str, float]]
"""Further numbers of one run, from what it returned and the seconds of processor time that it took."""


@dataclasses.dataclass(frozen=True)
class Peer:
    """Another way to do the row's work."""

    name: str
    call: Call | None
    """None: not installed here."""
    error: Callable[[Any], float] | None = None
    """Of what `call` returned, in the unit of the row's own error."""
    times: float = 1.0
    """How many such calls make up the row's work, where all of it would take too long."""
    facts: Facts | None = None
    """As of a case."""


@dataclasses.dataclass(frozen=True)
class Case:
    """A row's work, ready to run. `bytes` and `flops` are the least that any program must move and compute."""

    call: Call
    bytes: float = 0.0
    flops: float = 0.0
    flop_dtype: str = "float32"
    """Whose matmul ceiling the flops are held against."""
    error: Callable[[Any], float] | None = None
    """Of what `call` returned, against a reference that does not come from scorax."""
    peers: Sequence[Peer] = ()
    program: Callable[[], jax.stages.Compiled] | None = None
    """The compiled program, for its memory; without one the growth of the process is measured."""
    facts: Facts | None = None
    """The report gives their medians over runs, and how far the runs lie apart."""
    goals: dict[str, float] = dataclasses.field(default_factory=dict)
    """Upper bounds: of `seconds`, `cpu_seconds`, `error`, or `slower_than`, the ratio to the first peer's time."""
    self_timed: bool = False
    """The calls, the peers' too, return the seconds they are about (what runs in another process)."""


@dataclasses.dataclass(frozen=True)
class Row:
    """A named case, built only when it is asked for."""

    name: str
    size: str
    build: Callable[[], Case]
    x64: bool = False

    @property
    def title(self) -> str:
        """What a filter looks at."""
        return f"{self.name} {self.size}"


ROWS: list[Row] = []


def row(name: str, size: str, *, x64: bool = False) -> Callable[[Callable[[], Case]], Callable[[], Case]]:
    """Register a function that builds a case."""

    def register(build: Callable[[], Case]) -> Callable[[], Case]:
        ROWS.append(Row(name, size, build, x64))
        return build

    return register


def peer(module: str, call: Call, error: Callable[[Any], float] | None = None, *, times: float = 1.0) -> Peer:
    """A peer named after the module that it needs."""
    installed = importlib.util.find_spec(module) is not None
    return Peer(module, call if installed else None, error, times)
