"""Many simulations in chunks: one compilation for all, progress, interrupts and files to go on from."""

import os
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from scorax.inference._progress import Clock, Report, reporter
from scorax.inference.validity._store import read_rows, write_rows

Rows = dict[str, np.ndarray]
Path = str | os.PathLike[str]

_SECONDS_BETWEEN_WRITES = 1.0


def simulate(
    chunk: Callable[[np.ndarray], dict[str, Any]],
    n: int,
    *,
    size: int,
    file: Path | None,
    identity: dict[str, Any],
    progress: bool | Report,
) -> Rows:
    """Rows of `n` simulations, each of which knows only its own number.

    Args:
        chunk: From the numbers of `size` simulations to their rows. Numbers beyond `n` fill the last chunk, and their
            rows are dropped.
        n: How many.
        size: Simulations at a time. It decides nothing about the result.
        file: Where rows are kept and found again; None keeps them nowhere.
        identity: What the file's rows must have been made with.
        progress: As for `sample`.

    Raises:
        ValueError: The file is damaged, or of other simulations.
        KeyboardInterrupt: Before the first row. Later, the rows so far are returned, with a warning.
    """
    rows = {} if file is None else read_rows(file, identity)
    keeper = _Keeper(file, identity)
    done = len(next(iter(rows.values()))) if rows else 0
    report, clock = reporter(progress), Clock(n, 1)
    report(clock.progress("compiling", min(done, n)))
    clock.start(done)
    try:
        while done < n:
            new = {name: np.asarray(x)[: n - done] for name, x in chunk(np.arange(done, done + size)).items()}
            rows = {name: np.concatenate([rows[name], x]) for name, x in new.items()} if rows else new
            done = min(done + size, n)
            keeper.keep(rows)
            report(clock.progress("simulating", done))
    except KeyboardInterrupt:
        if not rows:
            raise
        warnings.warn(f"interrupted after {done} of {n} simulations", stacklevel=3)
    keeper.keep(rows, now=True)
    report(clock.progress("done" if done >= n else "interrupted", min(done, n)))
    return {name: x[:n] for name, x in rows.items()}


class _Keeper:
    """Writes rows now and then, and goes on without a file that cannot be written."""

    def __init__(self, file: Path | None, identity: dict[str, Any]) -> None:
        self.file, self.identity, self.last = file, identity, time.perf_counter()

    def keep(self, rows: Rows, *, now: bool = False) -> None:
        if self.file is None or not (now or time.perf_counter() - self.last > _SECONDS_BETWEEN_WRITES):
            return
        try:
            write_rows(self.file, self.identity, rows)
        except OSError as error:
            warnings.warn(f"{os.fspath(self.file)} cannot be written ({error}): going on without it", stacklevel=4)
            self.file = None
        self.last = time.perf_counter()
