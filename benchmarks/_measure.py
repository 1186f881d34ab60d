"""Timing a row: compilation, warm runs taken in turn with its peers' runs, memory."""

import dataclasses
import gc
import pathlib
import statistics
import time
from typing import Any

import jax

from benchmarks._ceilings import Ceilings
from benchmarks._row import Case, Peer, Row


@dataclasses.dataclass(frozen=True)
class Timing:
    """Seconds of repeated calls: median and quartiles of elapsed time, median processor time of all threads."""

    seconds: float
    lower: float
    upper: float
    cpu_seconds: float | None
    repeats: int


@dataclasses.dataclass(frozen=True)
class Spread:
    """A number that every run gives: its median, its least and its largest."""

    median: float
    least: float
    largest: float


@dataclasses.dataclass(frozen=True)
class PeerResult:
    """A peer's time for the row's work."""

    name: str
    timing: Timing | None = None
    """None: not installed."""
    ratio: float | None = None
    """Its time over the row's: median over neighbouring runs, which a drifting clock speed cannot bend."""
    error: float | None = None
    facts: dict[str, Spread] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Result:
    """Everything that is known of a row after its run."""

    name: str
    size: str
    timing: Timing
    compile_seconds: float | None
    bytes_per_second: float | None
    flops_per_second: float | None
    flop_dtype: str
    floor: float | None
    """Seconds that the device needs at least, by `bound`."""
    bound: str | None
    """`bytes` or `flops`."""
    peak_bytes: int | None
    peak_of: str | None
    """`program`: arguments, outputs and temporaries of the compiled program; `process`: growth of the process."""
    error: float | None
    facts: dict[str, Spread]
    peers: tuple[PeerResult, ...]
    goals: dict[str, float]

    def reached(self, goal: str) -> float | None:
        """What the run reached of a goal, None where it cannot be known."""
        if goal == "slower_than":
            ratio = self.peers[0].ratio if self.peers else None
            return None if ratio is None else 1 / ratio
        known = {"seconds": self.timing.seconds, "cpu_seconds": self.timing.cpu_seconds, "error": self.error}
        return known[goal]


def measure(row: Row, ceilings: Ceilings, *, budget: float) -> Result:
    """Build and run a row; `budget` is in seconds, for the warm runs of the row and of each peer."""
    with jax.enable_x64(row.x64):
        case = row.build()
        jax.clear_caches()
        first, result = _timed(case, case.self_timed)
        peak, peak_of = _peak(case)
        own, others = _alternate(case, budget, least=5 if case.facts or first.wall < budget else 2)
        timing = _timing(own)
        error = None if case.error is None else case.error(result)
    floor, bound = _floor(case, ceilings)
    return Result(
        row.name,
        row.size,
        timing,
        None if case.self_timed else max(first.wall - timing.seconds, 0.0),
        case.bytes / timing.seconds if case.bytes else None,
        case.flops / timing.seconds if case.flops else None,
        case.flop_dtype,
        floor,
        bound,
        peak,
        peak_of,
        error,
        _spreads(own),
        tuple(others),
        dict(case.goals),
    )


@dataclasses.dataclass(frozen=True)
class _Run:
    wall: float
    cpu: float | None
    facts: dict[str, float] = dataclasses.field(default_factory=dict)


def _timed(work: Case | Peer, self_timed: bool) -> tuple[_Run, Any]:
    assert work.call is not None
    start, cpu = time.perf_counter(), time.process_time()
    result = jax.block_until_ready(work.call())
    wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    facts = {} if work.facts is None else work.facts(result, cpu)
    return (_Run(float(result), None, facts) if self_timed else _Run(wall, cpu, facts)), result


def _alternate(case: Case, budget: float, *, least: int, most: int = 60) -> tuple[list[_Run], list[PeerResult]]:
    """The row and its peers in turn, each until its budget is spent."""
    own: list[_Run] = []
    peers = [_Contestant(peer, case.self_timed) for peer in case.peers]
    while len(own) < most and (len(own) < least or sum(run.wall for run in own) < budget):
        own.append(_timed(case, case.self_timed)[0])
        for contestant in peers:
            contestant.turn(own[-1].wall, budget)
    return own, [contestant.result() for contestant in peers]


class _Contestant:
    """A peer's runs."""

    def __init__(self, peer: Peer, self_timed: bool):
        self.peer, self.self_timed = peer, self_timed
        self.runs: list[_Run] = []
        self.ratios: list[float] = []
        self.error: float | None = None
        self.spent = 0.0
        self.warm = False

    def turn(self, own: float, budget: float) -> None:
        """One run after a run of the row that took `own` seconds. A first run that is short is only a warm-up."""
        if self.peer.call is None or self.spent >= budget:
            return
        run, result = _timed(self.peer, self.self_timed)
        if not self.warm and run.wall < budget:
            self.warm = True
            run, result = _timed(self.peer, self.self_timed)
        self.spent += run.wall
        cpu = None if run.cpu is None else run.cpu * self.peer.times
        self.runs.append(_Run(run.wall * self.peer.times, cpu, run.facts))
        self.ratios.append(self.runs[-1].wall / own)
        if self.peer.error is not None:
            self.error = self.peer.error(result)

    def result(self) -> PeerResult:
        """Its row in the report."""
        if not self.runs:
            return PeerResult(self.peer.name)
        ratio = statistics.median(self.ratios)
        return PeerResult(self.peer.name, _timing(self.runs), ratio, self.error, _spreads(self.runs))


def _spreads(runs: list[_Run]) -> dict[str, Spread]:
    columns = {name: [run.facts[name] for run in runs] for name in runs[0].facts}
    return {name: Spread(statistics.median(values), min(values), max(values)) for name, values in columns.items()}


def _timing(runs: list[_Run]) -> Timing:
    wall = [run.wall for run in runs]
    cpu = [run.cpu for run in runs if run.cpu is not None]
    lower, _, upper = statistics.quantiles(wall, n=4, method="inclusive") if len(wall) > 1 else wall * 3
    return Timing(statistics.median(wall), lower, upper, statistics.median(cpu) if cpu else None, len(wall))


def _floor(case: Case, ceilings: Ceilings) -> tuple[float | None, str | None]:
    bounds = {"bytes": case.bytes / ceilings.copy, "flops": case.flops / ceilings.matmul[case.flop_dtype]}
    bound = max(bounds, key=lambda name: bounds[name])
    return (bounds[bound], bound) if bounds[bound] > 0 else (None, None)


def _peak(case: Case) -> tuple[int | None, str | None]:
    if case.program is not None:
        memory = case.program().memory_analysis()
        if memory is None:
            return None, None
        parts = (memory.argument_size_in_bytes, memory.output_size_in_bytes, memory.temp_size_in_bytes)
        return sum(parts) - memory.alias_size_in_bytes, "program"
    if case.self_timed or not _reset_high_water():
        return None, None
    gc.collect()
    before = _status("VmRSS")
    jax.block_until_ready(case.call())
    return max(_status("VmHWM") - before, 0), "process"


def _reset_high_water() -> bool:
    """Forget the process's largest size so far; only Linux can."""
    try:
        pathlib.Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _status(field: str) -> int:
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return 1024 * int(line.split()[1])
    raise KeyError(field)
