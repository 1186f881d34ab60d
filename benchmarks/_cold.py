"""Processor time from the start of Python to a posterior worth a thousand draws, imports and compiling included."""

import functools
import os
import subprocess
import sys
import tempfile

from benchmarks._row import Case, row

_SCRIPT = """
import sys, time
import jax
jax.config.update("jax_enable_x64", True)
from benchmarks._posteriors import league
from scorax.choice import BradleyTerry
from scorax.inference import sample
k, n, method = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
posterior = sample(
    BradleyTerry.init(k), league(k, n), key=jax.random.key(0), method=method, num_warmup=200, num_samples=5000,
    target_ess=1000, progress=False,
)
assert posterior.num_draws < 5000
print(time.process_time())
"""


def _seconds(n_items: int, n_rows: int, method: str, cache: str | None) -> float:
    kept = {"JAX_COMPILATION_CACHE_DIR": cache, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"} if cache else {}
    environment = {name: x for name, x in os.environ.items() if not name.startswith("JAX_")}
    command = [sys.executable, "-c", _SCRIPT, str(n_items), str(n_rows), method]
    done = subprocess.run(command, env={**environment, **kept}, capture_output=True, check=True, text=True)
    return float(done.stdout)


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    """Of compiled programs, as long as this process lives."""
    return tempfile.TemporaryDirectory()


def _case(n_items: int, n_rows: int, method: str, kept: bool, seconds: float) -> Case:
    # The first call, which is none of the runs that count, fills the folder.
    return Case(
        lambda: _seconds(n_items, n_rows, method, _folder().name if kept else None),
        goals={"seconds": seconds},
        self_timed=True,
    )


for _items, _rows, _goals in ((50, 10_000, (8.0, 5.0)), (200, 100_000, (12.0, 9.0))):
    for _method in ("nuts", "laplace_metropolis"):
        for _kept, _goal in zip((False, True), _goals, strict=True):
            _programs = "programs kept on disk" if _kept else "nothing on disk"
            row(f"cold {_method}", f"{_items} items, {_rows:.0e} rows, {_programs}")(
                functools.partial(_case, _items, _rows, _method, _kept, _goal)
            )
