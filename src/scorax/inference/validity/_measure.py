"""Whether weighted draws mean the measure that they should."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from scorax.inference.validity._chain import numbers, require
from scorax.inference.validity._evidence import WIDEST, rounding_of, spread_of
from scorax.inference.validity._quantities import flatten, names_of
from scorax.inference.validity._result import TestResult, mean_test, undecided


def measure_test(
    run: Callable[[PRNGKeyArray], Any],
    functions: Callable[[Any], Any],
    expected: Any,
    *,
    key: PRNGKeyArray,
    log_evidence: float = 0.0,
    n: int = 400,
    batch_size: int = 100,
) -> TestResult:
    r"""Whether weighted draws integrate functions as the exact measure does: $E[\sum_i w_i f(a_i)] = \mu(f)$.

    A t-test of each function over independent runs, and one of the total mass, Holm's correction over all.

    Args:
        run: `run(key)` gives a `Population` or a `Weighted` (anything with a `value` and a `log_weight`).
        functions: From one value to any tree of arrays.
        expected: Their exact averages under the measure normalised to mass one, a tree of the same shape.
        key: Random key.
        log_evidence: Log of the measure's total mass.
        n: Independent runs.
        batch_size: Runs at a time, for memory.

    Returns:
        `details` holds `estimates` and `std_errors` of the averages and of `"mass"`, relative to the exact mass; NaN
        with a reason where the log of the mass varies by more than 1 from run to run, as in `evidence_test`.

    Raises:
        ValueError: `expected` has not the shape of `functions`, or there are fewer than 30 runs.

    Example:
        >>> def importance(key):  # a standard normal from draws twice as wide
        ...     x = 2 * jax.random.normal(key, (50,))
        ...     log_weight = jnp.log(2.0) - x**2 / 2 + (x / 2) ** 2 / 2 - jnp.log(50.0)
        ...     return sx.inference.Population(x, log_weight)
        >>> sx.inference.validity.measure_test(
        ...     importance, lambda x: [x, x**2], [0.0, 1.0], key=jax.random.key(0)
        ... ).p_value > 0.01
        True

    Source: Ścibior et al. (2018), arXiv:1711.03219.
    """
    require(n=(n, 30), batch_size=(batch_size, 1))
    exact = np.concatenate([np.ravel(np.asarray(x, np.float64)) for x in jax.tree.leaves(expected)] or [np.zeros(0)])
    names = names_of(lambda key: functions(jax.tree.map(lambda x: x[0], _particles(run(key))[0])), key)
    if len(names) != len(exact):
        raise ValueError(f"functions give {len(names)} numbers, expected holds {len(exact)}")
    runs = many_runs(run, functions, key, numbers(n), jnp.asarray(log_evidence, dtype=float), batch_size)
    return averages_test(runs, names, exact, log_evidence)


class Runs(NamedTuple):
    """What independent runs gave."""

    integrals: Float[Array, "n q"]
    """Relative to the exact evidence."""
    log_ratio: Float[Array, " n"]
    """Log of the total weight, relative to the exact evidence."""
    point: Float[Array, "n d"]
    """The numbers of one particle, drawn in proportion to the weights."""


def averages_test(
    runs: Runs, names: tuple[str, ...], exact: Float[np.ndarray, " q"], log_evidence: float
) -> TestResult:
    """Whether integrals are as they should be on average, and the total weight."""
    log_ratio = np.asarray(runs.log_ratio, np.float64)
    if np.isnan(log_ratio).any():
        return undecided("some weights are not numbers")
    spread = spread_of(log_ratio)
    if spread > WIDEST:
        return undecided(f"log weights have standard deviation {spread:.2g}, above 1: use more particles", sd=spread)
    rows = np.concatenate([np.asarray(runs.integrals), np.exp(log_ratio)[:, None]], axis=1)
    rounding = rounding_of(runs.log_ratio.dtype, log_evidence)
    return mean_test((*names, "mass"), rows, np.append(exact, 1.0), rounding=rounding, sd=spread)


def _particles(drawn: Any) -> tuple[Any, Float[Array, " n"]]:
    """Values and log weights of a population, or of a single draw as a population of one."""
    if jnp.ndim(drawn.log_weight) > 0:
        return drawn.value, drawn.log_weight
    return jax.tree.map(lambda x: x[None], drawn.value), drawn.log_weight[None]


@eqx.filter_jit
def many_runs(
    run: Callable[[PRNGKeyArray], Any],
    functions: Callable[[Any], Any],
    key: PRNGKeyArray,
    number: Int[Array, " n"],
    log_evidence: Float[Array, ""],
    batch_size: int,
) -> Runs:
    """Run a program that returns weighted draws again and again."""

    def each(i: Int[Array, ""]) -> Runs:
        key_run, key_point = jax.random.split(jax.random.fold_in(key, i))
        values, log_weight = _particles(run(key_run))
        log_weight = log_weight - log_evidence.astype(log_weight.dtype)
        flat = jax.vmap(lambda value: flatten(functions(value)))(values)
        weight = jnp.exp(log_weight).astype(flat.dtype)[:, None]
        # A particle of weight zero may hold anything.
        integrals = jnp.where(weight > 0, weight * flat, 0).sum(0)
        upto = jnp.cumsum(weight[:, 0])
        drawn = upto <= upto[-1] * jax.random.uniform(key_point, (), upto.dtype)
        one = jnp.minimum(drawn.sum(), len(upto) - 1)
        point = flatten(jax.tree.map(lambda x: x[one], values))
        return Runs(integrals, jax.nn.logsumexp(log_weight), point)

    return jax.lax.map(each, number, batch_size=batch_size)
