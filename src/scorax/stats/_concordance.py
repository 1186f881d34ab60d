"""Agreement of numbers: Kendall's W of judges' orders, Lin's concordance and Bland-Altman limits of two methods."""

import statistics

import equinox as eqx
import jax.numpy as jnp
from jax.scipy.special import gammaincc
from jaxtyping import Array, Bool, Float

from scorax.numerics import t_quantile
from scorax.stats._average_rank import average_rank
from scorax.stats._icc import complete_table
from scorax.stats._intervals import Interval


class KendallW(eqx.Module):
    """How far several judges order items alike."""

    value: Float[Array, ""]
    """From 0, no order in common, to 1, the same order."""
    statistic: Float[Array, ""]
    """Friedman's, chi-squared on `degrees` of freedom where judges order at random."""
    degrees: Float[Array, ""]
    degenerate: Bool[Array, ""]
    """Whether `value` is 0/0 and so NaN: no judge tells items apart."""

    @property
    def p_value(self) -> Float[Array, ""]:
        """Of a larger value, did judges order at random; good for more than some seven items."""
        return gammaincc(self.degrees / 2, self.statistic / 2)


def kendall_w(ratings: Float[Array, "n k"], *, where: Bool[Array, " n"] | None = None) -> KendallW:
    r"""Kendall's coefficient of concordance, corrected for ties: the spread of summed ranks over the largest possible.

    $$W = \frac{12 \sum_i (R_i - \bar R)^2}{k^2 (n^3 - n) - k \sum_j \sum_t (t^3 - t)}$$

    for sums \(R_i\) of the k judges' ranks and sizes t of the groups that a judge ties.

    Args:
        ratings: A complete table: a row an item, a column a judge, two or more of each. Only orders within columns
            matter.
        where: Which items take part; all by default.

    Returns:
        `KendallW`.

    Raises:
        ValueError: A shape is wrong, there is one judge only, or, outside compiled code, a rating is missing (NaN).

    Example:
        >>> found = kendall_w(jnp.array([[1.0, 1.0, 2.0], [2.0, 3.0, 1.0], [3.0, 2.0, 3.0]]))
        >>> found.value, found.p_value
        (Array(0.4444, dtype=float32), Array(0.2636, dtype=float32))

    Source: Kendall and Babington Smith (1939), doi:10.1214/aoms/1177732186; Friedman (1940),
    doi:10.1214/aoms/1177731944.
    """
    part = None if where is None else where.astype(ratings.dtype)
    table, weight, n = complete_table(ratings, part)
    k, inside = table.shape[1], weight > 0
    judges = jnp.broadcast_to(inside[None, :], table.T.shape)
    rank = jnp.where(judges, average_rank(table.T, where=judges) - (n + 1) / 2, 0)
    # A judge's squared ranks fall short of (n^3 - n) / 12 by its ties.
    own, total = (rank**2).sum(), (rank.sum(0) ** 2).sum()
    tells = own > 0
    value = jnp.where(tells, total / (k * jnp.where(tells, own, 1)), jnp.nan)
    statistic = k * (n - 1) * value
    return KendallW(value, statistic, n - 1, ~tells)


class Concordance(eqx.Module):
    """Lin's coefficient and what it is made of."""

    value: Float[Array, ""]
    """In [-1, 1]: `precision` times `accuracy`."""
    std_error: Float[Array, ""]
    """For normal pairs, to first order."""
    precision: Float[Array, ""]
    """Pearson's correlation: how close pairs are to a line."""
    accuracy: Float[Array, ""]
    """How close that line is to the diagonal, in (0, 1]."""
    degenerate: Bool[Array, ""]
    """Whether `value` is 0/0 and so NaN: both are constant, and equal."""

    def interval(self, level: float = 0.95) -> Interval:
        """The normal interval of its inverse hyperbolic tangent.

        Args:
            level: Of the interval, in (0, 1).

        Raises:
            ValueError: `level` is not inside (0, 1).

        Example:
            >>> x = jnp.arange(10.0)
            >>> lin_concordance(x, x + jnp.cos(3 * x)).interval()
            Interval(lower=Array(0.8615, dtype=float32), upper=Array(0.9907, dtype=float32))
        """
        reach = _normal_quantile(level) * self.std_error
        sharp = jnp.abs(self.value) >= 1
        inside = jnp.where(sharp, 0, self.value)
        centre, scaled = jnp.arctanh(inside), reach / (1 - inside**2)
        ends = (jnp.tanh(centre - scaled), jnp.tanh(centre + scaled))
        return Interval(*(jnp.where(sharp, self.value, end) for end in ends))


def lin_concordance(
    x: Float[Array, " n"], y: Float[Array, " n"], *, weight: Float[Array, " n"] | None = None
) -> Concordance:
    r"""Lin's concordance correlation: how close pairs of numbers are to being equal.

    $$\rho_c = \frac{2 s_{xy}}{s_x^2 + s_y^2 + (\bar x - \bar y)^2}$$

    with variances over n.

    Args:
        x: Numbers by one method or judge.
        y: Numbers by the other one, of the same items.
        weight: How many equal pairs each one stands for, at least 0; 1 by default. A pair of 0 may hold anything.

    Returns:
        `Concordance`; NaN where a pair is.

    Raises:
        ValueError: Shapes differ.

    Example:
        >>> x = jnp.arange(4.0)
        >>> lin_concordance(x, x).value, lin_concordance(x, x + 1).value.round(4)
        (Array(1., dtype=float32), Array(0.7143, dtype=float32))

    Source: Lin (1989), doi:10.2307/2532051, with the correction of Lin (2000), doi:10.1111/j.0006-341X.2000.00324.x.
    """
    x, y, share, n = _pairs(x, y, weight)
    # From a pair that counts, so that constants have no variance at all.
    first = jnp.argmax(share > 0)
    from_x, from_y = (jnp.where(share > 0, v - v[first], 0) for v in (x, y))
    mean_x, mean_y = share @ from_x, share @ from_y
    shift = mean_x - mean_y + (x[first] - y[first])
    from_x, from_y = from_x - mean_x, from_y - mean_y
    v, w, c = share @ from_x**2, share @ from_y**2, share @ (from_x * from_y)
    bottom = v + w + shift**2
    varies = bottom > 0
    bottom = jnp.where(varies, bottom, 1)
    value = 2 * c / bottom
    # The delta method on normal moments: of the covariance, both variances and the difference of means.
    covariance, variances = 4 * (v * w + c**2), 2 * v**2 + 2 * w**2 + 4 * c**2
    means = 4 * shift**2 * jnp.maximum(v + w - 2 * c, 0)
    square = covariance - 8 * value * c * (v + w) + value**2 * (variances + means)
    error = jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), jnp.where(jnp.isnan(square), square, 0))
    both = (v > 0) & (w > 0)
    precision = jnp.where(both, c / jnp.where(both, jnp.sqrt(jnp.where(both, v * w, 1)), 1), jnp.nan)
    accuracy = 2 * jnp.where(both, jnp.sqrt(jnp.where(both, v * w, 1)), 0) / bottom
    return Concordance(
        value=jnp.where(varies, value, jnp.nan),
        std_error=jnp.where(varies, error / bottom / jnp.sqrt(jnp.where(n > 2, n - 2, jnp.nan)), jnp.nan),
        precision=precision,
        accuracy=jnp.where(varies, accuracy, jnp.nan),
        degenerate=~varies,
    )


class LimitsOfAgreement(eqx.Module):
    """Between which differences of two methods most pairs lie."""

    bias: Float[Array, ""]
    """Mean of x - y."""
    spread: Float[Array, ""]
    """Standard deviation of x - y."""
    lower: Float[Array, ""]
    upper: Float[Array, ""]
    bias_std_error: Float[Array, ""]
    limit_std_error: Float[Array, ""]
    """Of either limit, for normal differences."""
    n_items: Float[Array, ""]

    def bias_interval(self, level: float = 0.95) -> Interval:
        """Student's interval of the bias.

        Args:
            level: Of the interval, in (0, 1).

        Raises:
            ValueError: `level` is not inside (0, 1).
        """
        return self._around(self.bias, self.bias_std_error, level)

    def limit_intervals(self, level: float = 0.95) -> tuple[Interval, Interval]:
        """Intervals of the lower and of the upper limit, by Student's t.

        Args:
            level: Of the intervals, in (0, 1).

        Raises:
            ValueError: `level` is not inside (0, 1).
        """
        return (
            self._around(self.lower, self.limit_std_error, level),
            self._around(self.upper, self.limit_std_error, level),
        )

    def _around(self, centre: Float[Array, ""], error: Float[Array, ""], level: float) -> Interval:
        if not 0 < level < 1:
            raise ValueError(f"level must be between 0 and 1, not {level}")
        reach = error * t_quantile((1 + level) / 2, self.n_items - 1)
        return Interval(centre - reach, centre + reach)


def bland_altman(
    x: Float[Array, " n"], y: Float[Array, " n"], *, coverage: float = 0.95, weight: Float[Array, " n"] | None = None
) -> LimitsOfAgreement:
    """Bland and Altman's limits of agreement: bias, more or less a normal quantile of the differences' spread.

    Args:
        x: Numbers by one method or judge.
        y: Numbers by the other one, of the same items.
        coverage: Share of the differences that lies within the limits, in (0, 1).
        weight: How many equal pairs each one stands for, at least 0; 1 by default. A pair of 0 may hold anything.

    Returns:
        `LimitsOfAgreement`; NaN where a pair is, or with fewer than two pairs.

    Raises:
        ValueError: Shapes differ, or `coverage` is not inside (0, 1).

    Example:
        >>> limits = bland_altman(jnp.array([3.0, 5.0, 4.0, 6.0]), jnp.array([2.0, 5.0, 3.0, 6.0]))
        >>> limits.bias, limits.lower.round(3), limits.upper.round(3)
        (Array(0.5, dtype=float32), Array(-0.632, dtype=float32), Array(1.632, dtype=float32))

    Source: Bland and Altman (1986), doi:10.1016/S0140-6736(86)90837-8; Bland and Altman (1999),
    doi:10.1177/096228029900800204, for the standard errors.
    """
    z = _normal_quantile(coverage)
    x, y, share, n = _pairs(x, y, weight)
    bias = share @ (x - y)
    more = jnp.where(n > 1, n - 1, jnp.nan)
    square = share @ (x - y - bias) ** 2 * n / more
    spread = jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), square)
    limit_error = spread * jnp.sqrt(1 / n + z**2 / (2 * more))
    return LimitsOfAgreement(bias, spread, bias - z * spread, bias + z * spread, spread / jnp.sqrt(n), limit_error, n)


def _pairs(x: Array, y: Array, weight: Array | None) -> tuple[Array, Array, Array, Array]:
    """Pairs that count, with each one's share of the weight, and the weight of all."""
    if x.ndim != 1 or x.shape != y.shape or (weight is not None and weight.shape != x.shape):
        raise ValueError(f"x has shape {x.shape}, y {y.shape}; expected [n] for both, and for weight")
    held = jnp.ones_like(x) if weight is None else weight.astype(x.dtype)
    total = held.sum()
    return jnp.where(held > 0, x, 0), jnp.where(held > 0, y, 0), held / total, total


def _normal_quantile(level: float) -> float:
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, not {level}")
    return statistics.NormalDist().inv_cdf((1 + level) / 2)
