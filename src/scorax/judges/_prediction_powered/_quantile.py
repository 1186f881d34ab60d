"""Quantiles from few gold labels and many predictions."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from scorax.judges._normal_interval import normal_quantile
from scorax.judges._prediction_powered._mean import Power
from scorax.judges._prediction_powered._sample import refuse_none
from scorax.stats import Interval


class PPIQuantile(eqx.Module):
    """A quantile, and the distribution function that it was read from.

    Attributes:
        value: The smallest value of `grid` at which `cdf` has reached `q`; NaN where it never does.
        grid: Increasing values.
        cdf: Distribution function of the true labels at each of them, as corrected: it need not increase everywhere.
        std_error: Of `cdf`.
        q: Which quantile, in (0, 1).
        power: How much the predictions were trusted, from 0 to 1.
    """

    value: Float[Array, ""]
    grid: Float[Array, " g"]
    cdf: Float[Array, " g"]
    std_error: Float[Array, " g"]
    q: Float[Array, ""]
    power: Float[Array, ""]

    @property
    def closest(self) -> Float[Array, ""]:
        """The value at which `cdf` is closest to `q`: the rule of the source's own code, for continuous labels only."""
        return self.grid[jnp.argmin(jnp.abs(self.cdf - self.q))]

    def interval(self, level: float = 0.95) -> Interval:
        """All values that a test would not rule out: from the first to the last of them.

        Cut at the ends of `grid`; to infinity where the grid ends before `cdf` has passed `q`.
        """
        reach = normal_quantile(level, self.cdf.dtype) * self.std_error
        slack = 8 * jnp.finfo(self.cdf.dtype).eps
        enough, short = self.cdf + reach >= self.q - slack, self.cdf - reach <= self.q + slack
        # At or above the first value at which the function may have reached q, and at or below the one that follows the
        # last at which it may not have passed it: it rises at values, and is level from each to the next.
        lower = self.grid[jnp.where(enough.any(), jnp.argmax(enough), -1)]
        after = jnp.where(short.any(), short.shape[0] - jnp.argmax(short[::-1]), 0)
        upper = self.grid[jnp.minimum(after, short.shape[0] - 1)]
        return Interval(lower, jnp.where(short[-1], jnp.inf, upper))


def ppi_quantile(
    labels: Float[Array, " n"],
    predictions: Float[Array, " n"],
    unlabeled: Float[Array, " N"],
    q: Float[Array, ""] | float,
    *,
    power: Power = None,
    grid: Float[Array, " g"] | None = None,
) -> PPIQuantile:
    r"""A quantile of the true labels, from the judge's distribution function as gold labels correct it.

    $$F(t) = \lambda \frac1N \sum_j 1[\tilde f_j \le t] + \frac1n \sum_i \big(1[y_i \le t] - \lambda 1[f_i \le t]\big)$$

    Discrete scores are welcome: the quantile is where \(F\) reaches `q`, not where it equals it.

    Args:
        labels: Gold labels.
        predictions: What the judge says of the same items.
        unlabeled: What it says of the others.
        q: Which quantile, in (0, 1).
        power: \(\lambda\); None tunes it for the variance of \(F\) at the estimate with power 1.
        grid: Increasing values that the quantile may take; all that occur in the data if None.

    Returns:
        `PPIQuantile`.

    Raises:
        ValueError: there are no labels, or no other items.

    Example:
        >>> truth = jnp.array([1.0, 2.0, 2.0, 3.0, 5.0] * 10)
        >>> found = ppi_quantile(truth, truth, jnp.array([1.0, 2.0, 2.0, 4.0, 5.0] * 40), 0.5)
        >>> found.value, found.interval(0.9)
        (Array(2., dtype=float32), Interval(lower=Array(2., dtype=float32), upper=Array(2., dtype=float32)))

    Source: Angelopoulos, Bates, Fannjiang, Jordan & Zrnic (2023), arXiv:2301.09633; the power: Angelopoulos, Duchi &
    Zrnic (2023), arXiv:2311.01453.
    """
    n, m = labels.shape[0], unlabeled.shape[0]
    refuse_none(n, m)
    if grid is None:
        grid = jnp.sort(jnp.concatenate([labels, predictions, unlabeled]))
    # Two values are both at most t where the larger one is: so joint shares are distribution functions as well.
    of_label, of_prediction, of_both, of_other = (
        _cdf(x, grid) for x in (labels, predictions, jnp.maximum(labels, predictions), unlabeled)
    )
    level = jnp.asarray(q, grid.dtype)
    if power is None:
        covariance = of_both - of_label * of_prediction
        pooled = (n * of_prediction + m * of_other) / (n + m)
        spread = (1 + n / m) * pooled * (1 - pooled) * ((n + m) / (n + m - 1))
        at, _ = _crossing(of_other + of_label - of_prediction, level)
        known = spread[at] > 0
        power = jnp.where(known, jnp.clip(covariance[at] / jnp.where(known, spread[at], 1), 0, 1), 0)
    scale = jnp.asarray(power, grid.dtype)
    rectifier = of_label - scale * of_prediction
    square = of_label - 2 * scale * of_both + scale**2 * of_prediction
    variance = scale**2 * of_other * (1 - of_other) / m + jnp.maximum(square - rectifier**2, 0) / n
    cdf = scale * of_other + rectifier
    at, reached = _crossing(cdf, level)
    value = jnp.where(reached, grid[at], jnp.nan)
    return PPIQuantile(value, grid, cdf, _root(variance), level, scale)


def _cdf(x: Float[Array, " n"], grid: Float[Array, " g"]) -> Float[Array, " g"]:
    """Share of `x` at or below each value."""
    return jnp.searchsorted(jnp.sort(x), grid, side="right").astype(grid.dtype) / x.shape[0]


def _crossing(cdf: Float[Array, " g"], q: Float[Array, ""]) -> tuple[Array, Array]:
    """The first place where `cdf` has reached `q`, up to rounding, and whether there is one."""
    enough = cdf >= q - 8 * jnp.finfo(cdf.dtype).eps
    return jnp.argmax(enough), enough.any()


def _root(x: Float[Array, " g"]) -> Float[Array, " g"]:
    """Square root whose derivative at 0 is 0."""
    positive = x > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, x, 1)), 0)
