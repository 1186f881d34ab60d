"""How often one side wins, with an interval."""

from statistics import NormalDist

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from scorax.numerics import masked_where
from scorax.stats import Interval, multinomial_weights, percentile_interval, wilson_interval

_INTERVALS = ("normal", "wilson", "bootstrap")


class WinRate(eqx.Module):
    """A share of wins, ties counted half, and how sure it is. NaN where there is no outcome."""

    rate: Float[Array, ""]
    std_error: Float[Array, ""]
    """NaN for a single outcome."""
    lower: Float[Array, ""]
    upper: Float[Array, ""]
    n: Float[Array, ""]
    """How many outcomes these are."""


def win_rate(
    outcome: Float[Array, " n"],
    *,
    interval: str = "normal",
    level: float = 0.95,
    weight: Float[Array, " n"] | None = None,
    count: Float[Array, " n"] | None = None,
    where: Bool[Array, " n"] | None = None,
    cluster: Int[Array, " n"] | None = None,
    key: PRNGKeyArray | None = None,
    n_resamples: int = 2000,
) -> WinRate:
    r"""Mean outcome and an interval.

    `"normal"` is the mean plus and minus a multiple of its standard error, the sample's standard deviation over
    \(\sqrt n\); it has no width where all outcomes are equal, and may leave [0, 1]. `"wilson"` never does, and takes
    the variance of a share of wins without ties, which is larger than that with ties: it errs on the safe side.
    `"bootstrap"` takes percentiles of redrawn outcomes, of whole clusters where there are some.

    Args:
        outcome: 1 for a win, 1/2 for a tie, 0 for a loss, or anything between.
        interval: `"normal"`, `"wilson"` or `"bootstrap"`.
        level: Of the interval, in (0, 1).
        weight: What a row adds to the mean, at least 0; `count` by default.
        count: How many equal outcomes a row stands for; 1 by default.
        where: Rows that take part.
        cluster: For `"bootstrap"`: ids of prompts or voters whose outcomes are not independent.
        key: For `"bootstrap"`, which then cannot run under `jit`.
        n_resamples: For `"bootstrap"`.

    Returns:
        A :class:`WinRate`. Its standard error takes rows as independent.

    Raises:
        ValueError: `interval` is unknown, `level` is not inside (0, 1), `"bootstrap"` has no key or no outcome, or
            clusters are given for another interval, which would ignore them.

    Example:
        >>> found = win_rate(jnp.repeat(jnp.array([1.0, 0.5, 0.0]), jnp.array([12, 6, 28])))
        >>> (100 * found.rate).round(4), (100 * (found.upper - found.rate)).round(3)
        (Array(32.6087, dtype=float32), Array(12.64, dtype=float32))

    Source: Bansal, Dang, Grover (2024), arXiv 2308.15812 (normal); Wilson (1927), doi:10.1080/01621459.1927.10502953.
    """
    if interval not in _INTERVALS:
        raise ValueError(f"interval must be one of {_INTERVALS}, not {interval!r}")
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, not {level}")
    if cluster is not None and interval != "bootstrap":
        raise ValueError(f"the {interval!r} interval knows no clusters: take interval='bootstrap'")
    if interval == "bootstrap" and key is None:
        raise ValueError("interval 'bootstrap' draws at random: give it a key")
    counts, weights, outcome = _rows(outcome, weight, count, where)
    result = _estimate(outcome, counts, weights, interval, level)
    if key is None or interval != "bootstrap":
        return result
    redrawn = multinomial_weights(key, counts, n_resamples, cluster=cluster)
    each = weights / jnp.where(counts > 0, counts, jnp.ones_like(counts))
    ends = redrawn_interval(redrawn, outcome, each, level)
    return eqx.tree_at(lambda found: (found.lower, found.upper), result, (ends.lower, ends.upper))


@eqx.filter_jit
def redrawn_interval(
    redrawn: Float[Array, "r n"], values: Float[Array, " n"], weight: Float[Array, " n"] | None, level: float
) -> Interval:
    """Percentiles of means over resampled counts of rows, which weigh `weight` each."""
    each = jnp.ones_like(values) if weight is None else weight
    return percentile_interval(redrawn @ (each * values) / (redrawn @ each), level=level)


@eqx.filter_jit
def _rows(
    outcome: Float[Array, " n"],
    weight: Float[Array, " n"] | None,
    count: Float[Array, " n"] | None,
    where: Bool[Array, " n"] | None,
) -> tuple[Array, Array, Array]:
    """Counts and weights of all rows, 0 where they take no part; and outcomes, which are then 0 too."""
    counts = masked_where(where, jnp.ones_like(outcome) if count is None else count.astype(outcome.dtype), 0.0)
    weights = counts if weight is None else masked_where(counts > 0, weight.astype(outcome.dtype), 0.0)
    return counts, weights, masked_where(counts > 0, outcome, 0.0)


@eqx.filter_jit
def _estimate(
    outcome: Float[Array, " n"], counts: Float[Array, " n"], weights: Float[Array, " n"], interval: str, level: float
) -> WinRate:
    share = weights / weights.sum()
    rate, n = share @ outcome, counts.sum()
    # Weights that are counts give the textbook's variance: weight^2 / count = count.
    per_outcome = share**2 / jnp.where(counts > 0, counts, jnp.ones_like(counts))
    several = n > 1
    correction = n / jnp.where(several, n - 1, jnp.ones_like(n))
    variance = correction * (per_outcome @ (outcome - rate) ** 2)
    varies = variance > 0
    root = jnp.sqrt(jnp.where(varies, variance, jnp.ones_like(variance)))
    std_error = masked_where(several, masked_where(varies, root, 0.0), jnp.nan)
    if interval == "wilson":
        # As of so many outcomes of equal weight. A mean of ones may round to more than one.
        worth = 1 / per_outcome.sum()
        lower, upper = wilson_interval(jnp.clip(rate, 0, 1) * worth, worth, level=level)
    else:
        half = NormalDist().inv_cdf((1 + level) / 2) * std_error
        lower, upper = rate - half, rate + half
    return WinRate(rate, std_error, lower, upper, n)
