"""Intraclass correlations: how much of the variance of ratings lies between items."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float

from scorax.numerics import f_quantile, f_tail
from scorax.stats._intervals import Interval

ICC_FORMS = ("1,1", "2,1", "3,1", "1,k", "2,k", "3,k")


class IntraclassCorrelation(eqx.Module):
    """One of the six forms, with the mean squares that it is made of."""

    value: Float[Array, ""]
    """At most 1; below 0 where items differ less than their ratings do."""
    f_statistic: Float[Array, ""]
    """Of the hypothesis that items do not differ."""
    between_items: Float[Array, ""]
    """Mean squares; those between raters, of the residual and within items follow."""
    between_raters: Float[Array, ""]
    residual: Float[Array, ""]
    within_items: Float[Array, ""]
    n_items: Float[Array, ""]
    degenerate: Bool[Array, ""]
    """Whether `value` is 0/0 and so NaN: the ratings do not vary, or there are fewer than two items."""
    n_raters: int = eqx.field(static=True)
    form: str = eqx.field(static=True)

    @property
    def p_value(self) -> Float[Array, ""]:
        """Of a larger F statistic, were there no differences between items."""
        rest = self.n_items if self.form[0] == "1" else self.n_items - 1
        return f_tail(self.f_statistic, self.n_items - 1, rest * (self.n_raters - 1))

    def interval(self, level: float = 0.95) -> Interval:
        """The interval of F ratios, exact for normal ratings of the forms 1 and 3, Satterthwaite's for form 2.

        It has a derivative for forms 1 and 3; degrees of freedom of form 2 depend on the ratings and have none.

        Args:
            level: Of the interval, in (0, 1).

        Raises:
            ValueError: `level` is not inside (0, 1).

        Example:
            >>> ratings = jnp.array([[9.0, 7.0], [6.0, 5.0], [8.0, 8.0], [7.0, 6.0], [10.0, 9.0]])
            >>> intraclass_correlation(ratings, form="3,1").interval()
            Interval(lower=Array(0.3285, dtype=float32), upper=Array(0.9891, dtype=float32))
        """
        if not 0 < level < 1:
            raise ValueError(f"level must be between 0 and 1, not {level}")
        q = (1 + level) / 2
        single = _agreement_interval(self, q) if self.form[0] == "2" else _ratio_interval(self, q)
        if self.form[2] == "1":
            return single
        return Interval(*(_of_mean(end, self.n_raters) for end in single))


def intraclass_correlation(
    ratings: Float[Array, "n k"], *, form: str = "2,1", count: Float[Array, " n"] | None = None
) -> IntraclassCorrelation:
    r"""Shrout and Fleiss' intraclass correlation, from the mean squares of a two-way table.

    With \(R\) between items, \(C\) between raters, \(E\) of the residual and \(W\) within items,

    $$\frac{R - W}{R + (k - 1) W}, \quad \frac{R - E}{R + (k - 1) E + k (C - E)/n}, \quad \frac{R - E}{R + (k - 1) E}$$

    are the forms `"1,1"` (each item has raters of its own), `"2,1"` (the raters are a sample of many; agreement) and
    `"3,1"` (these raters only; consistency, whatever their severity). `"1,k"`, `"2,k"` and `"3,k"` are the same of the
    mean of the k ratings.

    Args:
        ratings: A complete table: a row an item, a column a rater, two or more of each.
        form: One of the six.
        count: How many equal items each row stands for, at least 0; 1 by default. A row of 0 may hold anything.

    Returns:
        `IntraclassCorrelation`; NaN where a rating is.

    Raises:
        ValueError: The form is unknown, a shape is wrong, there is one rater only, or, outside compiled code, a rating
            is missing (NaN).

    Example:
        >>> ratings = jnp.array([[9.0, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]])
        >>> [intraclass_correlation(ratings, form=form).value.round(4).item() for form in ("1,1", "2,1", "3,1")]
        [0.1657, 0.2898, 0.7148]

    Source: Shrout and Fleiss (1979), doi:10.1037/0033-2909.86.2.420; McGraw and Wong (1996),
    doi:10.1037/1082-989X.1.1.30.
    """
    if form not in ICC_FORMS:
        raise ValueError(f"form must be one of {', '.join(map(repr, ICC_FORMS))}, not {form!r}")
    table, weight, n = complete_table(ratings, count)
    k = table.shape[1]
    share = weight / n
    # From a rating, then from the mean: constants vary not at all, and squares of what is left keep their digits.
    table = jnp.where(weight[:, None] > 0, table - table[jnp.argmax(weight > 0), 0], 0)
    table = jnp.where(weight[:, None] > 0, table - (share @ table).mean(), 0)
    by_item, by_rater = table.mean(1), share @ table
    items = k * (weight @ by_item**2) / (n - 1)
    raters = n * (by_rater**2).sum() / (k - 1)
    within = (weight @ (table - by_item[:, None]) ** 2).sum() / (n * (k - 1))
    left = table - by_item[:, None] - by_rater[None, :]
    residual = (weight @ left**2).sum() / ((n - 1) * (k - 1))
    noise = within if form[0] == "1" else residual
    spread = k * (raters - residual) / n if form[0] == "2" else jnp.zeros_like(n)
    top, bottom = items - noise, items + (k - 1) * noise + spread
    varies = (items > 0) | (noise > 0)
    value = jnp.where(varies, top / jnp.where(varies, bottom, 1), jnp.nan)
    clean = noise > 0
    statistic = jnp.where(clean, items / jnp.where(clean, noise, 1), jnp.where(items > 0, jnp.inf, jnp.nan))
    return IntraclassCorrelation(
        value=value if form[2] == "1" else _of_mean(value, k),
        f_statistic=statistic,
        between_items=items,
        between_raters=raters,
        residual=residual,
        within_items=within,
        n_items=n,
        degenerate=~varies,
        n_raters=k,
        form=form,
    )


def complete_table(
    ratings: Float[Array, "n k"], count: Float[Array, " n"] | None
) -> tuple[Float[Array, "n k"], Float[Array, " n"], Float[Array, ""]]:
    """A table without gaps, how many items each row stands for, and how many there are.

    Raises:
        ValueError: A shape is wrong, there is one rater only, or a rating is known to be missing.
    """
    if ratings.ndim != 2 or ratings.shape[0] < 2:
        raise ValueError(f"ratings have shape {ratings.shape}; expected [n, k]: a row an item, two or more of them")
    if not jnp.issubdtype(ratings.dtype, jnp.floating):
        raise ValueError(f"ratings hold {ratings.dtype} values; expected floats, as ratings.astype(float) makes them")
    if ratings.shape[1] < 2:
        raise ValueError("there is one rater only: agreement wants two or more, in columns")
    if count is not None and count.shape != ratings.shape[:1]:
        raise ValueError(f"count has shape {count.shape}; expected one number for each of the {ratings.shape[0]} items")
    weight = jnp.ones(ratings.shape[0], ratings.dtype) if count is None else count.astype(ratings.dtype)
    gap = jnp.isnan(ratings).any(1) & (weight > 0)
    if not isinstance(gap, Tracer) and bool(gap.any()):
        rows = np.flatnonzero(np.asarray(gap))
        raise ValueError(
            f"{rows.size} of {ratings.shape[0]} items lack a rating (first rows: {rows[:3].tolist()}), and this "
            "statistic wants complete tables. Drop these items, or give them count 0."
        )
    return jnp.where(weight[:, None] > 0, ratings, 0), weight, weight.sum()


def _of_mean(single: Float[Array, ""], k: int) -> Float[Array, ""]:
    """Spearman and Brown: the reliability of the mean of k ratings from that of one."""
    bottom = 1 + (k - 1) * single
    return jnp.where(bottom == 0, -jnp.inf, k * single / jnp.where(bottom == 0, 1, bottom))


def _ratio_interval(icc: IntraclassCorrelation, q: float) -> Interval:
    """Of a ratio of two independent mean squares."""
    k, n = icc.n_raters, icc.n_items
    noise = icc.within_items if icc.form[0] == "1" else icc.residual
    first = jax.lax.stop_gradient(n - 1)
    second = jax.lax.stop_gradient(n if icc.form[0] == "1" else n - 1) * (k - 1)
    high, low = f_quantile(q, jnp.stack([first, second]), jnp.stack([second, first]))
    factors = high, 1 / low
    return Interval(*((icc.between_items - f * noise) / (icc.between_items + (k - 1) * f * noise) for f in factors))


def _agreement_interval(icc: IntraclassCorrelation, q: float) -> Interval:
    """Of form 2, whose noise is a mixture of two mean squares."""
    k, n, items, raters, noise = icc.n_raters, icc.n_items, icc.between_items, icc.between_raters, icc.residual
    value = (items - noise) / (items + (k - 1) * noise + k * (raters - noise) / n)
    of_raters, of_noise = k * value * raters, (n * (1 - value) + k * value * (n - 1)) * noise
    spread = of_raters**2 / (k - 1) + of_noise**2 / ((n - 1) * (k - 1))
    degrees = jnp.where(spread > 0, (of_raters + of_noise) ** 2 / jnp.where(spread > 0, spread, 1), k - 1)
    mixture = k * raters + (k * n - k - n) * noise
    low, high = f_quantile(q, jnp.stack([n - 1, degrees]), jnp.stack([degrees, n - 1]))
    return Interval(
        n * (items - low * noise) / (low * mixture + n * items),
        n * (high * items - noise) / (mixture + n * high * items),
    )
