"""Whether a block of inference means what it should, on programs with exact answers."""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from scorax.inference.validity._chain import numbers, require
from scorax.inference.validity._evidence import evidence_test
from scorax.inference.validity._example import Example, stepped_examples
from scorax.inference.validity._measure import Runs, averages_test, many_runs
from scorax.inference.validity._quantities import flatten, names_of
from scorax.inference.validity._result import TestResult, together, undecided
from scorax.inference.validity._two_sample import two_sample_test


def check_block(
    block: Callable[[Any, PRNGKeyArray], Any],
    examples: Sequence[Example] | None = None,
    *,
    key: PRNGKeyArray,
    n: int = 400,
    batch_size: int = 100,
) -> TestResult:
    """Whether a block means what it should: evidence, averages and draws of programs with exact answers.

    On each example the block runs `n` times, and three tests are made: that its evidence is unbiased, that weighted
    averages are, and that particles drawn in proportion to all weights look like draws from the posterior. Holm's
    correction over all tests of all examples.

    Args:
        block: `block(program, key)` gives a `Population` or a `Weighted`, such as
            `lambda program, key: smc(program, 50, key=key)`. It must be unbiased: with fixed temperatures, not adaptive
            ones.
        examples: What to run it on: `stepped_examples()` (None), `traced_examples()`, some of these, or your own.
        key: Random key.
        n: Runs on each example.
        batch_size: Runs at a time, for memory.

    Returns:
        `details` holds each test's result under `results`. NaN with a reason where a test could not be made, mostly
        for too few particles.

    Raises:
        ValueError: There are no examples, or `n` is below 100.

    Example:
        >>> def careless(program, key):  # a right block would be smc(program, 50, key=key)
        ...     return sx.inference.Population(jnp.arange(4), jnp.zeros(4))
        >>> coins = sx.inference.validity.stepped_examples()[-1:]
        >>> result = sx.inference.validity.check_block(careless, coins, key=jax.random.key(0))
        >>> result.p_value, result.details["names"]
        (0.0, ('coins: evidence', 'coins: averages', 'coins: draws'))

    Source: Ścibior et al. (2018), arXiv:1711.03219 (validity of blocks).
    """
    require(n=(n, 100), batch_size=(batch_size, 1))
    results: dict[str, TestResult] = {}
    for i, example in enumerate(stepped_examples() if examples is None else examples):
        for test, result in _check(block, example, jax.random.fold_in(key, i), n, batch_size).items():
            results[f"{example.name}: {test}"] = result
    if not results:
        raise ValueError("there are no examples to run the block on")
    unmade = [f"{name}: {result.details['reason']}" for name, result in results.items() if np.isnan(result.p_value)]
    if unmade:
        return undecided("; ".join(unmade), results=results)
    statistics, p_values = (np.asarray([getattr(r, x) for r in results.values()]) for x in ("statistic", "p_value"))
    return together(tuple(results), statistics, p_values, results=results)


def _check(
    block: Callable[[Any, PRNGKeyArray], Any], example: Example, key: PRNGKeyArray, n: int, batch_size: int
) -> dict[str, TestResult]:
    key_runs, key_exact, key_kept, key_permute = (jax.random.fold_in(key, i) for i in range(4))
    log_evidence = jnp.asarray(example.log_evidence, dtype=float)
    run = eqx.Partial(block, example.program)
    runs = many_runs(run, example.functions, key_runs, numbers(n), log_evidence, batch_size)
    exact = _draws(example.draw, key_exact, numbers(n // 4))
    names = names_of(lambda key: example.functions(example.draw(key)), key)
    expected = np.asarray([float(x) for x in jax.tree.leaves(example.expected)])
    return {
        "evidence": evidence_test(runs.log_ratio, 0.0),
        "averages": averages_test(runs, names, expected, example.log_evidence),
        "draws": two_sample_test(_kept(runs, key_kept), exact, key=key_permute),
    }


def _kept(runs: Runs, key: PRNGKeyArray) -> Float[Array, "m d"]:
    """One particle a run, kept in proportion to the run's total weight: draws from the measure that the runs mean."""
    log_ratio = np.asarray(runs.log_ratio)
    generator = np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel())
    kept = np.flatnonzero(generator.uniform(size=len(log_ratio)) < np.exp(log_ratio - log_ratio.max()))
    # A fixed number where there are enough: one compilation for all examples.
    return jnp.asarray(np.asarray(runs.point)[kept[: len(log_ratio) // 4]])


@eqx.filter_jit
def _draws(draw: Callable[[PRNGKeyArray], Any], key: PRNGKeyArray, number: Int[Array, " n"]) -> Float[Array, "n d"]:
    return jax.vmap(lambda i: flatten(draw(jax.random.fold_in(key, i))))(number)
