"""Classical tests: means, proportions, tables, groups."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.scipy.special import gammaincc, gammaln
from jaxtyping import Array, Bool, Float, Int

from scorax.evals._association import chi_squared
from scorax.evals._normal import float_arrays, safe_root, two_sided_p_value
from scorax.numerics import f_tail

Count = Float[Array, "*b"] | Int[Array, "*b"] | float | int


class HypothesisTest(NamedTuple):
    """A statistic and how likely one so far out is without an effect. NaN where there is no variation."""

    statistic: Float[Array, "*b"]
    p_value: Float[Array, "*b"]
    degrees: Float[Array, "*b"]
    """Of freedom: of the denominator for F, NaN for a test without any."""


def welch_t_test(
    x: Float[Array, "*b n"],
    y: Float[Array, "*b m"],
    *,
    where_x: Bool[Array, "*b n"] | None = None,
    where_y: Bool[Array, "*b m"] | None = None,
) -> HypothesisTest:
    """Whether two groups have the same mean, whatever their variances: two-sided.

    Args:
        x: First group, along the last axis.
        y: Second group.
        where_x: Entries of the first that take part.
        where_y: Entries of the second that take part.

    Returns:
        `HypothesisTest`, NaN where a group has fewer than two entries or neither varies. The gradient of the p-value
        holds the degrees of freedom constant.

    Example:
        >>> found = welch_t_test(jnp.array([1.0, 2.0, 3.0]), jnp.array([2.0, 4.0, 6.0, 8.0]))
        >>> found.statistic.round(4), found.p_value.round(4), found.degrees.round(3)
        (Array(-2.1213, dtype=float32), Array(0.0999, dtype=float32), Array(4.075, dtype=float32))

    Source: Welch (1947), doi:10.1093/biomet/34.1-2.28.
    """
    (mean_x, noise_x, n_x), (mean_y, noise_y, n_y) = _mean_and_noise(x, where_x), _mean_and_noise(y, where_y)
    noise = noise_x + noise_y
    varies = noise > 0
    both = jnp.where(varies, noise_x**2 / (n_x - 1) + noise_y**2 / (n_y - 1), 1)
    degrees = jnp.where(varies, noise**2 / both, jnp.nan)
    return _t_test(mean_x - mean_y, noise, degrees)


def one_sample_t_test(
    x: Float[Array, "*b n"], *, null: float | int = 0.0, where: Bool[Array, "*b n"] | None = None
) -> HypothesisTest:
    """Whether a mean is `null`: two-sided.

    Args:
        x: The sample, along the last axis.
        null: The mean without an effect.
        where: Entries that take part.

    Returns:
        `HypothesisTest`, NaN for fewer than two entries or where they do not vary.

    Example:
        >>> one_sample_t_test(jnp.array([1.0, 2.0, 3.0])).p_value.round(4)
        Array(0.0742, dtype=float32)

    Source: Student (1908), doi:10.1093/biomet/6.1.1.
    """
    mean, noise, n = _mean_and_noise(x, where)
    return _t_test(mean - null, noise, jnp.where(noise > 0, n - 1, jnp.nan))


def paired_t_test(
    x: Float[Array, "*b n"], y: Float[Array, "*b n"], *, where: Bool[Array, "*b n"] | None = None
) -> HypothesisTest:
    """Whether differences within pairs have mean 0: two-sided.

    Args:
        x: First of each pair.
        y: Second of each pair.
        where: Pairs that take part.

    Returns:
        `HypothesisTest`, as `one_sample_t_test` of the differences.

    Example:
        >>> paired_t_test(jnp.array([2.0, 4.0, 6.0]), jnp.array([1.0, 2.0, 3.0])).statistic.round(4)
        Array(3.4641, dtype=float32)

    Source: Student (1908), doi:10.1093/biomet/6.1.1.
    """
    return one_sample_t_test(x - y, where=where)


def two_proportion_z_test(successes_1: Count, n_1: Count, successes_2: Count, n_2: Count) -> HypothesisTest:
    """Whether two proportions are equal: two-sided, normal, with the pooled variance.

    Its square is `chi_squared_test` of the table without correction.

    Args:
        successes_1: From 0 to `n_1`. Arguments broadcast.
        n_1: Trials, above 0.
        successes_2: Of the second group.
        n_2: Its trials.

    Returns:
        `HypothesisTest`, NaN where all trials succeeded, or none, or counts are out of range.

    Example:
        >>> found = two_proportion_z_test(58, 80, 43, 75)
        >>> found.statistic.round(4), found.p_value.round(4)
        (Array(1.9805, dtype=float32), Array(0.0476, dtype=float32))

    Source: Fleiss, Levin & Paik (2003), "Statistical Methods for Rates and Proportions", section 3.1.
    """
    x_1, n_1, x_2, n_2 = jnp.broadcast_arrays(*float_arrays(successes_1, n_1, successes_2, n_2))
    known = (x_1 >= 0) & (x_1 <= n_1) & (x_2 >= 0) & (x_2 <= n_2) & (n_1 > 0) & (n_2 > 0)
    n_1, n_2 = jnp.where(known, n_1, 1), jnp.where(known, n_2, 1)
    pooled = (x_1 + x_2) / (n_1 + n_2)
    variance = pooled * (1 - pooled) * (1 / n_1 + 1 / n_2)
    varies = known & (variance > 0)
    z = jnp.where(varies, (x_1 / n_1 - x_2 / n_2) / jnp.sqrt(jnp.where(varies, variance, 1)), jnp.nan)
    return HypothesisTest(z, two_sided_p_value(z), jnp.full_like(z, jnp.nan))


def chi_squared_test(table: Float[Array, "*b r c"], *, correction: bool = False) -> HypothesisTest:
    """Pearson's test of whether rows and columns of a table are independent.

    Args:
        table: Counts.
        correction: Yates' continuity correction: differences shrink by up to 1/2. For two rows and columns only.

    Returns:
        `HypothesisTest`, NaN where a row or a column is empty. It is approximate: expected counts should be 5 or more.

    Raises:
        ValueError: the table has a single row or column, or is larger than two by two and to be corrected.

    Example:
        >>> found = chi_squared_test(jnp.array([[58.0, 22.0], [43.0, 32.0]]))
        >>> found.statistic.round(4), found.p_value.round(4), found.degrees
        (Array(3.9224, dtype=float32), Array(0.0476, dtype=float32), Array(1., dtype=float32))

    Source: Pearson (1900), doi:10.1080/14786440009463897; Yates (1934), doi:10.2307/2983604.
    """
    rows, columns = table.shape[-2:]
    if min(rows, columns) < 2:
        raise ValueError(f"a test of independence needs two rows and columns at least, not shape {table.shape}")
    if correction and (rows, columns) != (2, 2):
        raise ValueError(f"Yates' correction is for two rows and columns, not for shape {table.shape}")
    statistic = chi_squared(table, correction=correction)
    degrees = jnp.full_like(statistic, (rows - 1) * (columns - 1))
    return HypothesisTest(statistic, gammaincc(degrees / 2, statistic / 2), degrees)


def fisher_exact_test(
    table: Float[Array, "*b 2 2"] | Int[Array, "*b 2 2"], *, size: int | None = None
) -> HypothesisTest:
    """Fisher's exact test of a table of two rows and columns, its margins given: two-sided.

    The p-value is the probability of all tables that are no likelier than this one.

    Args:
        table: Whole counts.
        size: How many tables there may be with these margins: one more than the smaller of the first row's sum and
            the first column's, at most. Found from the table where its value is known; under `jit` it must be given.

    Returns:
        `HypothesisTest`; the statistic is the sample's odds ratio, infinite where only its denominator is 0, and NaN
        where both are. The p-value is NaN for counts that are negative or not whole, and where `size` is too small.

    Raises:
        ValueError: `size` is missing under `jit`.

    Example:
        >>> found = fisher_exact_test(jnp.array([[58, 22], [43, 32]]))
        >>> found.statistic.round(4), found.p_value.round(4)
        (Array(1.9619, dtype=float32), Array(0.0633, dtype=float32))

    Source: Fisher (1922), doi:10.2307/2340521.
    """
    if size is None:
        size = _table_size(table)
    (cells,) = float_arrays(table)
    known = ((cells >= 0) & (cells == jnp.round(cells))).all((-2, -1))
    a, b, c, d = (jnp.where(known, cells[..., i, j], 1) for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)))
    # All tables with these margins, by their first cell; log-probabilities up to a constant.
    least, most = jnp.maximum(a - d, 0), jnp.minimum(a + b, a + c)
    step = jnp.arange(size, dtype=cells.dtype).reshape((1,) * a.ndim + (-1,))
    first = least[..., None] + step
    possible = first <= most[..., None]
    shift = jnp.where(possible, first - a[..., None], 0)
    log_weight = -sum(
        _log_factorial_ratio(start[..., None], sign * shift) for start, sign in ((a, 1), (b, -1), (c, -1), (d, 1))
    )
    log_weight = jnp.where(possible, log_weight, -jnp.inf)
    # This table has weight 1. Equally likely ones differ by rounding, which grows with the logarithms of factorials.
    scale = 1 + jnp.abs(gammaln((a + b + c + d) + 1))
    slack = 16 * jnp.finfo(cells.dtype).eps * scale
    extreme = log_weight <= slack[..., None]
    total = jax.nn.logsumexp(log_weight, axis=-1)
    p = jnp.exp(jax.nn.logsumexp(jnp.where(extreme, log_weight, -jnp.inf), axis=-1) - total)
    enough = most - least < size
    below, above = b * c, a * d
    odds = jnp.where(below > 0, above / jnp.where(below > 0, below, 1), jnp.where(above > 0, jnp.inf, jnp.nan))
    return HypothesisTest(
        jnp.where(known, odds, jnp.nan),
        jnp.where(known & enough, jnp.minimum(p, 1), jnp.nan),
        jnp.full_like(p, jnp.nan),
    )


def one_way_f_test(
    value: Float[Array, "*b n"], group: Int[Array, " n"], n_groups: int, *, where: Bool[Array, "*b n"] | None = None
) -> HypothesisTest:
    """Analysis of variance: whether several groups have one mean.

    Args:
        value: Observations, along the last axis.
        group: Group of each, from 0.
        n_groups: How many groups there are, at least 2.
        where: Observations that take part.

    Returns:
        `HypothesisTest` with the degrees within groups. NaN where there are fewer than two groups with entries, or no
        variation within groups. `effect_size("eta_squared", f=..., ...)` goes with it.

    Raises:
        ValueError: `n_groups` is below 2, or the id of a group is out of range where its value is known.

    Example:
        >>> value, group = jnp.array([1.0, 2.0, 3.0, 4.0, 5.0, 9.0]), jnp.array([0, 0, 1, 1, 2, 2])
        >>> found = one_way_f_test(value, group, 3)
        >>> found.statistic.round(4), found.p_value.round(4)
        (Array(5.1667, dtype=float32), Array(0.1067, dtype=float32))

    Source: Fisher (1925), "Statistical Methods for Research Workers".
    """
    if n_groups < 2:
        raise ValueError(f"n_groups must be at least 2, not {n_groups}")
    if not isinstance(group, Tracer):
        ids = np.asarray(group)
        if ids.size and (ids.min() < 0 or ids.max() >= n_groups):
            raise ValueError(f"group must be from 0 to {n_groups - 1}; it is from {ids.min()} to {ids.max()}")
    part = jnp.ones(value.shape, bool) if where is None else where
    member = (group[:, None] == jnp.arange(n_groups)[None, :]).astype(value.dtype)
    held, weight = jnp.where(part, value, 0), part.astype(value.dtype)
    n = weight @ member
    total = n.sum(-1)
    # Centred first: sums of squares of large numbers would cancel.
    centred = jnp.where(part, held - (held.sum(-1) / jnp.maximum(total, 1))[..., None], 0)
    mean = (centred @ member) / jnp.maximum(n, 1)
    between = (n * mean**2).sum(-1)
    within = (jnp.where(part, centred - mean @ member.T, 0) ** 2).sum(-1)
    groups = (n > 0).sum(-1).astype(value.dtype)
    first, second = groups - 1, total - groups
    known = (first > 0) & (second > 0) & (within > 0)
    first, second, within = (jnp.where(known, v, 1) for v in (first, second, within))
    f = jnp.where(known, between / first * second / within, jnp.nan)
    degrees = jnp.where(known, second, jnp.nan)
    return HypothesisTest(f, jnp.where(known, f_tail(jnp.where(known, f, 1), first, second), jnp.nan), degrees)


def _mean_and_noise(
    x: Float[Array, "*b n"], where: Bool[Array, "*b n"] | None
) -> tuple[Float[Array, "*b"], Float[Array, "*b"], Float[Array, "*b"]]:
    """Mean, its squared standard error, NaN below two entries, and their number, at least 2."""
    part = jnp.ones(x.shape, bool) if where is None else where
    n = part.sum(-1).astype(x.dtype)
    several = n > 1
    n = jnp.where(several, n, 2)
    mean = jnp.where(part, x, 0).sum(-1) / n
    scatter = (jnp.where(part, x - mean[..., None], 0) ** 2).sum(-1)
    # The mean of equal numbers may round away from them.
    rounding = n * (4 * jnp.finfo(x.dtype).eps * mean) ** 2
    noise = jnp.where(scatter > rounding, scatter, 0) / (n * (n - 1))
    return mean, jnp.where(several, noise, jnp.nan), n


def _t_test(difference: Array, noise: Array, degrees: Array) -> HypothesisTest:
    varies = noise > 0
    t = jnp.where(varies, difference / safe_root(jnp.where(varies, noise, 1)), jnp.nan)
    held = jax.lax.stop_gradient(jnp.where(varies, degrees, 1))
    p = f_tail(jnp.where(varies, t, 0) ** 2, jnp.ones_like(held), held)
    return HypothesisTest(t, jnp.where(varies, p, jnp.nan), jnp.where(varies, degrees, jnp.nan))


def _table_size(table: Any) -> int:
    if isinstance(table, Tracer):
        raise ValueError("under jit, fisher_exact_test needs `size`: at most so many tables have the same margins")
    cells = np.asarray(table, np.float64)
    sums = np.minimum(cells[..., 0, :].sum(-1), cells[..., :, 0].sum(-1))
    most = sums.max(initial=0)
    return math.floor(most) + 1 if np.isfinite(most) else 1


def _log_factorial_ratio(start: Array, step: Array) -> Array:
    """`log (start + step)! - log start!`."""
    return gammaln(start + step + 1) - gammaln(start + jnp.zeros_like(step) + 1)
