"""Judges on a simplex: one value and gradient of the likelihood, and fifty EM steps.

Labels by 20 judges of 10 000 items on 5 levels, counted beforehand as `fit` and `sample` do it, and gathered as
annotations. The floor is one pass over the table. `python -m benchmarks._judges` prints all.
"""

import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpyro

from scorax.data import Annotations
from scorax.inference import log_likelihood
from scorax.judges import SimplexJudge, SimplexPrior, fit_em

ITEMS, JUDGES, LEVELS = 10_000, 20, 5


def design(n_items: int = ITEMS, n_judges: int = JUDGES, n_levels: int = LEVELS) -> tuple[SimplexJudge, Annotations]:
    """A model drawn from its prior, and labels of every item by every judge."""
    template = SimplexJudge.init(1, n_judges, n_levels)
    model = _drawn(template)
    judge = jnp.broadcast_to(jnp.arange(n_judges), (n_items, n_judges))
    blank = Annotations.from_arrays(jnp.zeros_like(judge), judge)
    return model, model.simulate(blank, key=jax.random.key(0))


def _drawn(template: SimplexJudge) -> SimplexJudge:
    with numpyro.handlers.seed(rng_seed=0):
        return SimplexPrior(template)()


value_and_grad = jax.jit(jax.value_and_grad(log_likelihood))


def judge_likelihood(n_items: int = ITEMS, n_judges: int = JUDGES, n_levels: int = LEVELS) -> dict[str, Any]:
    """What to time: value and gradient on counted and on gathered labels; and the bytes of one pass over each."""
    model, data = design(n_items, n_judges, n_levels)
    counted = model.condense(data)
    return {
        "counted": lambda: value_and_grad(model, counted),
        "gathered": lambda: value_and_grad(model, data),
        "counted_bytes": _bytes(counted),
        "gathered_bytes": _bytes(data),
    }


def _bytes(data: Any) -> int:
    return sum(leaf.nbytes for leaf in jax.tree.leaves(data))


def judge_em(n_items: int = ITEMS, n_judges: int = JUDGES, n_levels: int = LEVELS) -> Callable[[], Any]:
    """What to time: fifty EM steps from the vote of the majority, counting included."""
    _, data = design(n_items, n_judges, n_levels)
    start = SimplexJudge.from_majority_vote(data, 1, n_judges, n_levels)
    return lambda: fit_em(start, data, 50)


def _milliseconds(run: Callable[[], Any], repeats: int = 30) -> tuple[float, float]:
    """First call, and median of the others."""
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        jax.block_until_ready(jax.tree.leaves(run()))
        seconds.append(1e3 * (time.perf_counter() - start))
    return seconds[0], statistics.median(seconds[1:])


if __name__ == "__main__":
    rows = judge_likelihood()
    for name in ("counted", "gathered"):
        first, median = _milliseconds(rows[name])
        rate = rows[f"{name}_bytes"] / median / 1e6
        print(f"likelihood and gradient, {name}: first {first:.0f} ms, then {median:.2f} ms ({rate:.1f} GB/s)")
    first, median = _milliseconds(judge_em(), repeats=5)
    print(f"50 EM steps: first {first:.0f} ms, then {median:.1f} ms")
