"""How long work says where it is: one line redrawn in a terminal or a notebook, a line now and then in a log."""

import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

_SECONDS_BETWEEN_REDRAWS = 0.1
_SECONDS_BETWEEN_LOG_LINES = 5.0
_OVER = ("done", "interrupted", "out of time")


class Progress(NamedTuple):
    """Where a sampler is. A `progress` callable receives one after every chunk of work."""

    phase: str
    """`"compiling"`, `"warm-up"`, `"sampling"`, ...; `"done"`, `"interrupted"` or `"out of time"` at the end."""
    done: int
    """Steps so far, in each chain."""
    total: int
    per_second: float
    """Steps a second, all chains together; NaN before the first."""
    seconds_left: float
    """NaN while unknown."""
    divergences: int
    """Divergent transitions among the draws kept so far, all chains together."""
    rhat: float = float("nan")
    """The largest R-hat of the draws so far, when they were last looked at; NaN before."""
    ess: float = float("nan")
    """The smallest effective sample size, likewise."""

    def __str__(self) -> str:
        share = self.done / self.total if self.total else 1.0
        filled = int(20 * share)
        parts = [f"{self.phase:<11} {'█' * filled}{'░' * (20 - filled)} {share:4.0%}"]
        if self.per_second == self.per_second:
            parts.append(f"{self.per_second:,.0f} draws/s")
        if self.divergences:
            parts.append(f"{self.divergences} divergent")
        if self.ess == self.ess:
            parts.append(f"ESS {self.ess:,.0f}")
        if self.rhat == self.rhat:
            parts.append(f"R-hat {self.rhat:.3f}")
        if self.seconds_left == self.seconds_left:
            parts.append(f"{_duration(self.seconds_left)} left")
        return "  ".join(parts)


Report = Callable[[Progress], Any]


def reporter(progress: bool | Report) -> Report:
    """What to call after every chunk: the caller's own function, nothing, or a line that suits where we run."""
    if callable(progress):
        return progress
    if not progress:
        return lambda _: None
    display = _notebook_display()
    if display is not None:
        return display
    return _Terminal(sys.stderr) if sys.stderr.isatty() else _Log(sys.stderr)


class Clock:
    """Turns counts of finished steps into rates and remaining times; what was before `start` does not count."""

    def __init__(self, total: int, chains: int) -> None:
        self.total, self.chains, self.began, self.offset = total, chains, time.perf_counter(), 0

    def start(self, done: int) -> None:
        """Measure from here on."""
        self.began, self.offset = time.perf_counter(), done

    def progress(self, phase: str, done: int, divergences: int = 0) -> Progress:
        """The state after `done` steps in each chain."""
        elapsed, steps = time.perf_counter() - self.began, done - self.offset
        if steps <= 0 or elapsed <= 0:
            return Progress(phase, done, self.total, float("nan"), float("nan"), divergences)
        left = (self.total - done) * elapsed / steps
        return Progress(phase, done, self.total, self.chains * steps / elapsed, left, divergences)


class _Terminal:
    def __init__(self, stream: Any) -> None:
        self.stream, self.last, self.width = stream, 0.0, 0

    def __call__(self, progress: Progress) -> None:
        over = progress.phase in _OVER
        if not over and time.perf_counter() - self.last < _SECONDS_BETWEEN_REDRAWS:
            return
        self.last = time.perf_counter()
        line = str(progress)
        self.stream.write("\r" + line.ljust(self.width) + ("\n" if over else ""))
        self.stream.flush()
        self.width = len(line)


class _Log:
    def __init__(self, stream: Any) -> None:
        self.stream, self.last = stream, time.perf_counter()

    def __call__(self, progress: Progress) -> None:
        over = progress.phase in _OVER
        if over or time.perf_counter() - self.last >= _SECONDS_BETWEEN_LOG_LINES:
            self.last = time.perf_counter()
            print(progress, file=self.stream, flush=True)


def _notebook_display() -> Report | None:
    """A text in the running cell that is redrawn in place; None outside a notebook."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if type(shell).__name__ != "ZMQInteractiveShell":
        return None
    from IPython.display import TextDisplayObject, display

    class Line(TextDisplayObject):
        def __repr__(self) -> str:
            return str(self.data)

    handle: Any = display(Line("compiling"), display_id=True)
    return lambda progress: handle.update(Line(str(progress)))


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}" if minutes else f"{rest} s"
