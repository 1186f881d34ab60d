"""Intervals of a proportion, from the number of successes among a number of trials."""

import jax.numpy as jnp
from jax.scipy.special import ndtri
from jaxtyping import Array, Float

from scorax.numerics import beta_quantile
from scorax.stats._intervals import Interval

Number = Float[Array, "..."] | float


def wilson_interval(successes: Number, trials: Number, *, level: float = 0.95) -> Interval:
    r"""Wilson's interval: the proportions that a normal test, with the variance that they imply, does not reject.

    $$\frac{\hat p + z^2/2n}{1 + z^2/n} \pm
    \frac{z}{1 + z^2/n} \sqrt{\frac{\hat p (1 - \hat p)}{n} + \frac{z^2}{4 n^2}}$$

    Close to the level on average over proportions; the one to use by default.

    Args:
        successes: From 0 to `trials`, not necessarily whole. Arguments broadcast.
        trials: \(n\), at least 0.
        level: Of the interval, in (0, 1).

    Returns:
        Ends in [0, 1]; all of it without trials. NaN where there are more successes than trials, or fewer than 0.

    Raises:
        ValueError: `level` is not inside (0, 1).

    Example:
        >>> wilson_interval(58.0, 80.0)
        Interval(lower=Array(0.6186, dtype=float32), upper=Array(0.8108, dtype=float32))

    Source: Wilson (1927), doi:10.1080/01621459.1927.10502953.
    """
    x, n = _counts(successes, trials)
    z = ndtri(jnp.asarray((1 + _checked(level)) / 2, x.dtype))
    square = z**2
    # No end is a difference of nearly equal numbers: the product of the two roots is x^2 / (n (n + z^2)).
    rest = n - x
    reach = z * jnp.sqrt(jnp.where(n > 0, x * rest / jnp.where(n > 0, n, 1), 0) + square / 4)
    lower = x**2 / (jnp.where(n > 0, n, 1) * (x + square / 2 + reach))
    upper = 1 - rest**2 / (jnp.where(n > 0, n, 1) * (rest + square / 2 + reach))
    return _within(lower, jnp.where(n > 0, upper, 1), x, n)


def clopper_pearson_interval(successes: Number, trials: Number, *, level: float = 0.95) -> Interval:
    """Clopper and Pearson's interval: two binomial tests; it never covers less than the level, and often much more.

    Args:
        successes: As in `wilson_interval`.
        trials: As in `wilson_interval`.
        level: Of the interval, in (0, 1).

    Returns:
        Ends in [0, 1], as of `wilson_interval`.

    Raises:
        ValueError: `level` is not inside (0, 1).

    Example:
        >>> clopper_pearson_interval(58.0, 80.0)
        Interval(lower=Array(0.6138, dtype=float32), upper=Array(0.819, dtype=float32))

    Source: Clopper and Pearson (1934), doi:10.1093/biomet/26.4.404.
    """
    x, n = _counts(successes, trials)
    tail = (1 - _checked(level)) / 2
    some, some_failures = x > 0, n - x > 0
    lower = jnp.where(some, beta_quantile(tail, jnp.where(some, x, 1), n - x + 1), 0)
    upper = jnp.where(some_failures, beta_quantile(1 - tail, x + 1, jnp.where(some_failures, n - x, 1)), 1)
    return _within(lower, upper, x, n)


def jeffreys_interval(successes: Number, trials: Number, *, level: float = 0.95) -> Interval:
    """Jeffreys' interval: equal tails of the posterior under a Beta(1/2, 1/2) prior, closed at 0 and 1.

    Args:
        successes: As in `wilson_interval`.
        trials: As in `wilson_interval`.
        level: Of the interval, in (0, 1).

    Returns:
        Ends in [0, 1]; the lower is 0 without successes, the upper 1 without failures.

    Raises:
        ValueError: `level` is not inside (0, 1).

    Example:
        >>> jeffreys_interval(58.0, 80.0)
        Interval(lower=Array(0.6204, dtype=float32), upper=Array(0.8136, dtype=float32))

    Source: Brown, Cai, DasGupta (2001), doi:10.1214/ss/1009213286.
    """
    x, n = _counts(successes, trials)
    tail = (1 - _checked(level)) / 2
    lower, upper = (beta_quantile(q, x + 0.5, n - x + 0.5) for q in (tail, 1 - tail))
    return _within(jnp.where(x > 0, lower, 0), jnp.where(n - x > 0, upper, 1), x, n)


def _checked(level: float) -> float:
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, not {level}")
    return level


def _counts(successes: Number, trials: Number) -> tuple[Array, Array]:
    dtype = jnp.result_type(successes, trials, float)
    x, n = jnp.broadcast_arrays(*(jnp.asarray(value, dtype) for value in (successes, trials)))
    return x, n


def _within(lower: Array, upper: Array, x: Array, n: Array) -> Interval:
    known = (x >= 0) & (x <= n)
    return Interval(jnp.where(known, lower, jnp.nan), jnp.where(known, upper, jnp.nan))
