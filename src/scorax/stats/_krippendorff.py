"""Krippendorff's alpha, from weighted coincidences of labels, with the metrics of five levels of measurement."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from scorax.stats._agreement import Agreement, checked_tally, row_weights, spread_of
from scorax.stats._bootstrap_weights import bayesian_bootstrap_weights, multinomial_weights

METRICS = ("nominal", "ordinal", "interval", "ratio", "circular")
# So many redrawn counts stand in memory at once.
_MOST_COUNTS = 2**22


def krippendorff_alpha(
    tally: Float[Array, "n m"],
    *,
    metric: str | Float[Array, "m m"] = "nominal",
    values: Sequence[float] | Float[Array, " m"] | None = None,
    period: float | None = None,
    weight: Float[Array, " n"] | None = None,
    count: Float[Array, " n"] | None = None,
) -> Agreement:
    r"""Krippendorff's alpha: observed over expected disagreement, by the level of measurement.

    $$\alpha = 1 - \frac{D_o}{D_e}, \quad D_o = \frac1n \sum_{kl} o_{kl} \delta^2_{kl}, \quad
    D_e = \frac{1}{n(n - 1)} \sum_{kl} n_k n_l \delta^2_{kl}$$

    with coincidences \(o_{kl}\), the pairs of labels of an item over one less than its number of labels, and
    \(n_k = \sum_l o_{kl}\), \(n = \sum_k n_k\). Squared differences \(\delta^2\) are

    - `"nominal"`: 1 for different levels;
    - `"ordinal"`: the square of the labels between the two, each end counted half;
    - `"interval"`: \((v_k - v_l)^2\);
    - `"ratio"`: \(((v_k - v_l) / (v_k + v_l))^2\), 0 for two zeros;
    - `"circular"`: \(\sin^2(\pi (v_k - v_l) / \text{period})\).

    Args:
        tally: How often each item got each level; see `tally_ratings`. Items with fewer than two labels drop out.
        metric: One of the five words, or a symmetric matrix of squared differences with zeros on its diagonal
            (`1 - credit` makes Gwet's weights one).
        values: What the levels are worth, for `"interval"`, `"circular"` (by default 0, 1, ...) and `"ratio"` (at least
            0, not all 0; no default).
        period: Of the circle, in the unit of `values`; by default m, the number of levels.
        weight: What each item counts for, at least 0; `count` by default. A bootstrap redraws it.
        count: How many equal items each row stands for, at least 0; 1 by default.

    Returns:
        `value` at most 1; NaN and `degenerate` where all labels are of one level, or no item has two. `std_error` is
        Gwet's, to first order, with the metric held where it is; `krippendorff_bootstrap` trusts nothing of the kind.
        `observed` and `expected` are agreements on the scale of one minus the difference over the largest one.

    Raises:
        ValueError: A shape is wrong, `tally` holds integers, there are fewer than two levels, the metric is unknown,
            or its `values` are missing.

    Example:
        >>> tally = jnp.array([[3.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 1.0, 2.0], [0.0, 0.0, 1.0]])
        >>> krippendorff_alpha(tally).value, krippendorff_alpha(tally, metric="interval").value
        (Array(0.6667, dtype=float32), Array(0.8205, dtype=float32))

    Source: Krippendorff (2004), "Content Analysis", chapter 11; Hayes and Krippendorff (2007),
    doi:10.1080/19312450709336664; Gwet (2014), "Handbook of Inter-Rater Reliability", for the standard error.
    """
    checked_tally(tally)
    units = _units(tally, weight, count)
    margin = units.weight @ units.tally
    squares = _squares(metric, margin, values, period)
    apart = _apart(units, squares)
    within = units.weight @ apart
    n_labels, known, observed, chance = _disagreements(margin, within, squares)

    # Gwet's influence of an item: on what is observed, and on what chance makes of it; both with its share of labels.
    mean = jnp.where(known, n_labels / jnp.where(known, units.weight.sum(), 1), 1)
    largest = jnp.where(known, squares.max(), 1)
    size, seen = units.total / mean, apart / (mean * largest)
    ratio = within / jnp.where(known, n_labels, 1) / largest / chance
    own = 1 - seen / chance + (observed / chance) * (size - 1)
    drift = size - (units.tally @ (squares @ margin)) / jnp.where(known, mean * n_labels * largest * chance, 1)
    influence = own - 2 * ratio * drift - (1 - ratio)
    std_error = spread_of(influence, units.weight, units.count)
    nothing = jnp.asarray(jnp.nan, tally.dtype)
    return Agreement(
        value=jnp.where(known, 1 - observed / chance, nothing),
        std_error=jnp.where(known, std_error, nothing),
        observed=jnp.where(n_labels > 0, 1 - observed, nothing),
        expected=jnp.where(n_labels > 0, jnp.where(known, 1 - chance, 1), nothing),
        n_items=units.count.sum(),
        degenerate=~known,
    )


def krippendorff_bootstrap(
    key: PRNGKeyArray,
    tally: Float[Array, "n m"],
    n_resamples: int = 1000,
    *,
    metric: str | Float[Array, "m m"] = "nominal",
    values: Sequence[float] | Float[Array, " m"] | None = None,
    period: float | None = None,
    count: Float[Array, " n"] | None = None,
    smooth: bool = False,
) -> Float[Array, " r"]:
    """Draws of Krippendorff's alpha from samples of items, the raters as they are; see `percentile_interval`.

    Items are not drawn but counted anew, so that a draw is two products of matrices, whatever the number of ratings.
    An ordinal metric is computed anew in each draw, from a table `[n, m, m]`.

    Args:
        key: The same key gives the same draws.
        tally: As in `krippendorff_alpha`.
        n_resamples: Number of draws, `r`.
        metric: As in `krippendorff_alpha`.
        values: As in `krippendorff_alpha`.
        period: As in `krippendorff_alpha`.
        count: As in `krippendorff_alpha`.
        smooth: Draw weights as the Bayesian bootstrap does, in which no item is ever lost, in place of whole counts.

    Returns:
        NaN for a sample in which alpha is 0/0, as it may be where nearly all labels are of one level; `smooth` draws
        none of these unless alpha itself is 0/0.

    Raises:
        ValueError: As in `krippendorff_alpha`; no item has two labels, or `n_resamples` is below 1.

    Example:
        >>> tally = jnp.tile(jnp.array([[3.0, 0.0], [0.0, 3.0], [2.0, 1.0], [0.0, 3.0]]), (10, 1))
        >>> draws = krippendorff_bootstrap(jax.random.key(0), tally)
        >>> [end.round(2) for end in sx.stats.percentile_interval(draws)]
        [Array(0.47, dtype=float32), Array(0.83, dtype=float32)]

    Source: Hayes and Krippendorff (2007), doi:10.1080/19312450709336664; Efron (1979), doi:10.1214/aos/1176344552;
    Rubin (1981), doi:10.1214/aos/1176345338.
    """
    n, _ = checked_tally(tally)
    units = _units(tally, None, count)
    if n_resamples < 1:
        raise ValueError(f"n_resamples must be at least 1, not {n_resamples}")
    chunks = -(-n_resamples * n // _MOST_COUNTS)
    size = -(-n_resamples // chunks)
    draw = bayesian_bootstrap_weights if smooth else multinomial_weights
    if isinstance(values, Sequence):
        values = jnp.asarray(values, tally.dtype)
    keys = jax.random.split(key, chunks)
    parts = [_redrawn(draw(part, units.count, size), units, metric, values, period) for part in keys]
    return jnp.concatenate(parts)[:n_resamples]


@eqx.filter_jit
def _redrawn(
    weight: Float[Array, "r n"],
    units: "_Units",
    metric: str | Float[Array, "m m"],
    values: Float[Array, " m"] | None,
    period: float | None,
) -> Float[Array, " r"]:
    margin = weight @ units.tally
    squares = jax.vmap(lambda own: _squares(metric, own, values, period))(margin)
    if isinstance(metric, str) and metric == "ordinal":
        pairs = units.tally[:, :, None] * (units.tally / (units.total - 1)[:, None])[:, None, :]
        within = ((weight @ pairs.reshape(pairs.shape[0], -1)) * squares.reshape(weight.shape[0], -1)).sum(1)
    else:
        within = weight @ _apart(units, squares[0])
    _, known, observed, chance = jax.vmap(_disagreements)(margin, within, squares)
    return jnp.where(known, 1 - observed / chance, jnp.nan)


class _Units(eqx.Module):
    """Items of two labels or more; the others have weight 0 and no labels."""

    tally: Float[Array, "n m"]
    total: Float[Array, " n"]
    """2 for those that drop out."""
    weight: Float[Array, " n"]
    count: Float[Array, " n"]


def _units(tally: Float[Array, "n m"], weight: Float[Array, " n"] | None, count: Float[Array, " n"] | None) -> _Units:
    total = tally.sum(1)
    # A NaN stays in: it says that a label was none.
    single = total < 2
    counts, weights = row_weights(~single, weight, count, tally.dtype)
    return _Units(jnp.where(single[:, None], 0, tally), jnp.where(single, 2, total), weights, counts)


def _apart(units: _Units, squares: Float[Array, "m m"]) -> Float[Array, " n"]:
    """Squared differences summed over ordered pairs of labels of an item, over one less than their number."""
    return (units.tally * (units.tally @ squares)).sum(1) / (units.total - 1)


def _disagreements(
    margin: Float[Array, " m"], within: Float[Array, ""], squares: Float[Array, "m m"]
) -> tuple[Float[Array, ""], Bool[Array, ""], Float[Array, ""], Float[Array, ""]]:
    """Number of labels, whether alpha is no 0/0, and the two disagreements as shares of the largest difference.

    Both are as in Gwet's frame, smaller than Krippendorff's by the same factor, 1 - 1/n.
    """
    n_labels = margin.sum()
    raw = margin @ squares @ margin
    known = raw > 0
    held, largest = jnp.where(known, n_labels, 1), jnp.where(known, squares.max(), 1)
    observed = (1 - 1 / held) * within / (held * largest)
    return n_labels, known, observed, jnp.where(known, raw, 1) / (held**2 * largest)


def _squares(
    metric: str | Float[Array, "m m"],
    margin: Float[Array, " m"],
    values: Sequence[float] | Float[Array, " m"] | None,
    period: float | None,
) -> Float[Array, "m m"]:
    """Squared differences of levels, of which `margin` says how often each was given."""
    m, dtype = margin.shape[0], margin.dtype
    if not isinstance(metric, str):
        if metric.shape != (m, m):
            raise ValueError(f"metric has shape {metric.shape}; the {m} levels ask for {(m, m)}")
        return metric.astype(dtype)
    if metric not in METRICS:
        raise ValueError(f"metric must be {', '.join(map(repr, METRICS))} or a matrix, not {metric!r}")
    if metric == "nominal":
        return 1 - jnp.eye(m, dtype=dtype)
    if metric == "ordinal":
        # Labels up to the middle of each level.
        middle = jnp.cumsum(margin) - margin / 2
        return (middle[:, None] - middle[None, :]) ** 2
    if metric == "ratio" and values is None:
        raise ValueError("metric='ratio' needs values, what each level is worth: ratios depend on where their zero is")
    if metric == "circular" and values is not None and period is None:
        raise ValueError("metric='circular' needs the period of its values")
    value = jnp.arange(m, dtype=dtype) if values is None else jnp.asarray(values, dtype)
    if value.shape != (m,):
        raise ValueError(f"values have shape {value.shape}; expected one for each of the {m} levels")
    difference = value[:, None] - value[None, :]
    if metric == "interval":
        return difference**2
    if metric == "circular":
        return jnp.sin(jnp.pi / (m if period is None else period) * difference) ** 2
    both = value[:, None] + value[None, :]
    return jnp.where(difference == 0, 0, difference / jnp.where(both == 0, 1, both)) ** 2
