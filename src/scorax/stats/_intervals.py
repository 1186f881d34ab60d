"""Intervals from bootstrap draws of plain arrays: percentile, basic, and bias-corrected and accelerated."""

from typing import NamedTuple

import jax.numpy as jnp
from jax.scipy.special import ndtr, ndtri
from jaxtyping import Array, Float


class Interval(NamedTuple):
    """Two ends, in the shape of the statistic."""

    lower: Float[Array, "*v"]
    upper: Float[Array, "*v"]


def percentile_interval(draws: Float[Array, "s *v"], *, level: float = 0.95) -> Interval:
    """Between two quantiles of the draws; carries over to any increasing function of the statistic.

    Args:
        draws: Resampled values of a statistic.
        level: Of the interval, in (0, 1).

    Returns:
        `Interval`; NaN where a draw is NaN.

    Raises:
        ValueError: `level` is not inside (0, 1).

    Example:
        >>> percentile_interval(jnp.arange(101.0), level=0.9)
        Interval(lower=Array(5., dtype=float32), upper=Array(95., dtype=float32))

    Source: Efron (1981), doi:10.2307/3314608.
    """
    tail = _tail(level)
    lower, upper = (jnp.quantile(draws, jnp.asarray(q, draws.dtype), axis=0) for q in (tail, 1 - tail))
    return Interval(lower, upper)


def basic_interval(draws: Float[Array, "s *v"], estimate: Float[Array, "*v"], *, level: float = 0.95) -> Interval:
    """The percentile interval reflected in the estimate: draws err from it as it errs from the truth.

    Args:
        draws: Resampled values of a statistic.
        estimate: Its value for the data as they are.
        level: Of the interval, in (0, 1).

    Returns:
        `Interval`; it may leave the range of the statistic.

    Raises:
        ValueError: `level` is not inside (0, 1).

    Example:
        >>> basic_interval(jnp.arange(101.0), jnp.array(40.0), level=0.9)
        Interval(lower=Array(-15., dtype=float32), upper=Array(75., dtype=float32))

    Source: Davison and Hinkley (1997), "Bootstrap Methods and their Application", section 5.2.
    """
    lower, upper = percentile_interval(draws, level=level)
    return Interval(2 * estimate - upper, 2 * estimate - lower)


def bca_interval(
    draws: Float[Array, "s *v"],
    estimate: Float[Array, "*v"],
    acceleration: Float[Array, "*v"],
    *,
    level: float = 0.95,
) -> Interval:
    r"""Bias-corrected and accelerated percentiles: second-order accurate, and carried over by increasing functions.

    The ends are quantiles of the draws at \(\Phi\big(z_0 + \frac{z_0 + z}{1 - a (z_0 + z)}\big)\) for the normal
    quantiles \(z\) of the two tails, where \(\Phi(z_0)\) is the share of the draws below the estimate.

    Args:
        draws: Resampled values of a statistic.
        estimate: Its value for the data as they are.
        acceleration: How fast the standard error changes with the statistic; see `jackknife_acceleration`.
        level: Of the interval, in (0, 1).

    Returns:
        `Interval`; NaN where all draws lie on one side of the estimate, or where the correction has no meaning
        (`a (z0 + z) >= 1`).

    Raises:
        ValueError: `level` is not inside (0, 1).

    Example:
        >>> interval = bca_interval(jnp.arange(101.0), jnp.array(50.0), jnp.array(0.0), level=0.9)
        >>> interval.lower.round(3), interval.upper.round(3)  # nothing to correct
        (Array(5., dtype=float32), Array(95., dtype=float32))

    Source: Efron (1987), doi:10.1080/01621459.1987.10478410.
    """
    tail = _tail(level)
    ordered = jnp.sort(draws, axis=0)
    sides = jnp.sign(estimate[None] - draws).mean(0)
    bias = ndtri((1 + sides) / 2)
    ends = []
    for q in (tail, 1 - tail):
        moved = bias + ndtri(jnp.asarray(q, draws.dtype))
        pull = 1 - acceleration * moved
        usable = (pull > 0) & jnp.isfinite(bias)
        share = ndtr(bias + moved / jnp.where(usable, pull, 1))
        ends.append(jnp.where(usable, _quantile_by_column(ordered, jnp.where(usable, share, 0.5)), jnp.nan))
    return Interval(*ends)


def jackknife_acceleration(
    influence: Float[Array, "n *v"], *, count: Float[Array, " n"] | None = None
) -> Float[Array, "*v"]:
    r"""The acceleration \(a = \sum u^3 / 6 (\sum u^2)^{3/2}\) of `bca_interval`, a sixth of a skewness.

    Args:
        influence: How much the statistic rises with each observation: its value minus that without the observation
            (the jackknife), or to first order. Centred here.
        count: How many observations each row stands for; 1 by default.

    Returns:
        NaN where no observation has any influence.

    Example:
        >>> jackknife_acceleration(jnp.array([-1.0, -1.0, 2.0])).round(4)  # 6 / (6 * 6^1.5)
        Array(0.068, dtype=float32)

    Source: Efron (1987), doi:10.1080/01621459.1987.10478410.
    """
    weight = jnp.ones(influence.shape[0], influence.dtype) if count is None else count.astype(influence.dtype)
    weight = weight.reshape(-1, *(1,) * (influence.ndim - 1))
    held = weight > 0
    part = jnp.where(held, influence, 0)
    centred = jnp.where(held, part - (weight * part).sum(0, keepdims=True) / weight.sum(0, keepdims=True), 0)
    # A skewness has no scale, and cubes of small numbers would round to zero.
    size = jnp.abs(centred).max(0, keepdims=True)
    unit = centred / jnp.where(size > 0, size, 1)
    square, cube = (weight * unit**2).sum(0), (weight * unit**3).sum(0)
    return jnp.where(square > 0, cube / (6 * jnp.where(square > 0, square, 1) ** 1.5), jnp.nan)


def _tail(level: float) -> float:
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, not {level}")
    return (1 - level) / 2


def _quantile_by_column(ordered: Float[Array, "s *v"], share: Float[Array, "*v"]) -> Float[Array, "*v"]:
    """Quantiles of sorted columns, each at a share of its own, interpolated as `jnp.quantile` does."""
    last = ordered.shape[0] - 1
    place = share * last
    below = jnp.clip(jnp.floor(place), 0, last).astype(int)
    values = [jnp.take_along_axis(ordered, jnp.minimum(at, last)[None], axis=0)[0] for at in (below, below + 1)]
    between = place - below.astype(place.dtype)
    return values[0] * (1 - between) + values[1] * between
