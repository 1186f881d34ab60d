"""Results as lines of text, as JSON, and against an earlier run."""

import dataclasses
import json
import pathlib

from benchmarks._ceilings import Ceilings
from benchmarks._measure import PeerResult, Result, Timing

_COLUMNS = {
    "kernel": 29,
    "size": 29,
    "compile": 7,
    "run (median)": 15,
    "cpu": 7,
    "bytes/s": 12,
    "flop/s": 12,
    "floor": 15,
    "of floor": 8,
    "peak memory": 17,
    "error": 5,
}


def ceilings_text(ceilings: Ceilings) -> str:
    """The device and what it can do."""
    matmul = ", ".join(f"{si(rate)}flop/s {dtype}" for dtype, rate in ceilings.matmul.items())
    return f"{ceilings.device}\nceilings: copy {si(ceilings.copy)}B/s; matrix product {matmul}"


def heading() -> str:
    """The line above the results."""
    return _line(tuple(_COLUMNS))


def result_text(result: Result, ceilings: Ceilings) -> str:
    """A line for the row, and one for each peer, goal and further fact."""
    cells = (
        result.name,
        result.size,
        "" if result.compile_seconds is None else duration(result.compile_seconds),
        _run(result.timing),
        "" if result.timing.cpu_seconds is None else duration(result.timing.cpu_seconds),
        _of_ceiling(result.bytes_per_second, ceilings.copy),
        _of_ceiling(result.flops_per_second, ceilings.matmul[result.flop_dtype]),
        "" if result.floor is None else f"{duration(result.floor)} ({result.bound})",
        "" if result.floor is None else f"{result.timing.seconds / result.floor:,.1f}x",
        _memory(result),
        "" if result.error is None else f"{result.error:.0e}",
    )
    peers = [line for peer in result.peers for line in (_peer(peer), *("  " + fact for fact in _facts(peer)))]
    return "\n".join([_line(cells), *("    " + line for line in (*_facts(result), *peers, *_goals(result)))])


def _facts(result: Result | PeerResult) -> list[str]:
    return [f"{name} {x.median:.4g} ({x.least:.4g} to {x.largest:.4g})" for name, x in result.facts.items()]


def _peer(peer: PeerResult) -> str:
    if peer.timing is None or peer.ratio is None:
        return f"{peer.name}: peer not installed"
    error = "" if peer.error is None else f", error {peer.error:.0e}"
    cpu = "" if peer.timing.cpu_seconds is None else f", cpu {duration(peer.timing.cpu_seconds)}"
    return f"{peer.name}: {_run(peer.timing)}{cpu}, {peer.ratio:.3g} times as long{error}"


def _goals(result: Result) -> list[str]:
    lines = []
    for goal, bound in result.goals.items():
        value = result.reached(goal)
        outcome = "unknown" if value is None else f"{'reached' if value <= bound else 'MISSED'} ({value:.3g})"
        lines.append(f"goal {goal.replace('_', ' ')} <= {bound:g}: {outcome}")
    return lines


def _run(timing: Timing) -> str:
    spread = 50 * (timing.upper - timing.lower) / timing.seconds
    return f"{duration(timing.seconds)} +- {spread:.0f} %"


def _memory(result: Result) -> str:
    if result.peak_bytes is None:
        return ""
    # A process that finds room in what it freed before does not grow.
    if result.peak_of == "process" and result.peak_bytes < 1e6:
        return "< 1 MB (process)"
    return f"{si(result.peak_bytes)}B ({result.peak_of})"


def _of_ceiling(rate: float | None, ceiling: float) -> str:
    return "" if rate is None else f"{si(rate).strip()} ({100 * rate / ceiling:.0f} %)"


def _line(cells: tuple[str, ...]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, _COLUMNS.values(), strict=True)).rstrip()


def duration(seconds: float) -> str:
    """Three digits and a unit.

    >>> duration(0.00123)
    '1.23 ms'
    """
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def si(value: float) -> str:
    """Three digits and the prefix of a unit.

    >>> si(2.5e9) + "B/s"
    '2.5 GB/s'
    """
    for prefix, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g} {prefix}"
    return f"{value:.3g} "


def to_json(ceilings: Ceilings, results: list[Result]) -> str:
    """A run, for `--compare` of a later one."""
    return json.dumps(
        {"ceilings": dataclasses.asdict(ceilings), "rows": [dataclasses.asdict(result) for result in results]}, indent=1
    )


@dataclasses.dataclass(frozen=True)
class Earlier:
    """What a comparison needs of an earlier run."""

    device: str
    copy: float
    timings: dict[tuple[str, str], Timing]


def load(path: pathlib.Path) -> Earlier:
    """What `to_json` wrote; `ValueError` for a file that holds something else."""
    try:
        run = json.loads(path.read_text(encoding="utf-8"))
        timings = {(row["name"], row["size"]): Timing(**row["timing"]) for row in run["rows"]}
        return Earlier(run["ceilings"]["device"], run["ceilings"]["copy"], timings)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not a file that --json wrote: {error!r}") from error


def comparison_text(ceilings: Ceilings, results: list[Result], earlier: Earlier) -> str:
    """Ratios to an earlier run, with a word from `verdict` for each."""
    lines = [f"against {earlier.device}, copy {si(earlier.copy)}B/s ({ceilings.copy / earlier.copy:.2f}x now)"]
    if earlier.device != ceilings.device:
        lines.append("ANOTHER DEVICE OR VERSION: the ratios compare that, too")
    for result in results:
        before = earlier.timings.get((result.name, result.size))
        ratio = "" if before is None else f"{result.timing.seconds / before.seconds:.2f}x"
        word = "new" if before is None else verdict(result.timing, before)
        title = f"{result.name.ljust(_COLUMNS['kernel'])}  {result.size.ljust(_COLUMNS['size'])}"
        lines.append(f"{title}  {ratio.rjust(6)}  {word}")
    return "\n".join(lines)


def verdict(now: Timing, before: Timing, *, least: float = 0.05) -> str:
    """`slower` or `faster` where the quartiles do not overlap and the medians differ by `least`; `same` elsewhere."""
    if now.lower > before.upper and now.seconds > (1 + least) * before.seconds:
        return "slower"
    if now.upper < before.lower and before.seconds > (1 + least) * now.seconds:
        return "faster"
    return "same"
