"""What `import scorax` costs a script that has JAX and Equinox already."""

import subprocess
import sys

from benchmarks._row import Case, Peer, row

_TEMPLATE = """
import time
{before}
start = time.perf_counter()
{timed}
print(time.perf_counter() - start)
"""


def _seconds(before: str, timed: str) -> float:
    script = _TEMPLATE.format(before=before, timed=timed)
    return float(subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True).stdout)


def _case(timed: str, goals: dict[str, float]) -> Case:
    return Case(
        lambda: _seconds("import jax, equinox", timed),
        peers=[Peer("import jax, equinox", lambda: _seconds("", "import jax, equinox"))],
        goals=goals,
        self_timed=True,
    )


@row("import scorax", "after jax, equinox")
def _package() -> Case:
    return _case("import scorax", {"seconds": 0.3})


@row("import scorax.score_matching", "after jax, equinox")
def _score_matching() -> Case:
    return _case("import scorax.score_matching", {})


@row("import scorax.choice", "after jax, equinox")
def _choice() -> Case:
    return _case("import scorax.choice", {})
