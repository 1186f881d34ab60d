"""Agreement of any number of raters beyond chance, with missing ratings and standard errors: Gwet's frame.

Every coefficient is \\(1 - d_o / d_e\\): the disagreement of two ratings of an item, over what chance would make of it.
The coefficients differ in chance alone.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from scorax.numerics import t_quantile
from scorax.stats._agreement_credit import discord_of
from scorax.stats._intervals import Interval


class Agreement(eqx.Module):
    """A coefficient of agreement and how sure it is."""

    value: Float[Array, ""]
    """1 for perfect agreement, 0 for what chance would give, below 0 for less than that."""
    std_error: Float[Array, ""]
    """Over random items, the raters as they are."""
    observed: Float[Array, ""]
    """Agreement of two ratings of an item, averaged over items."""
    expected: Float[Array, ""]
    """The same by chance."""
    n_items: Float[Array, ""]
    """How many items entered; the standard error has one degree of freedom less."""
    degenerate: Bool[Array, ""]
    """Whether `value` is 0/0 and so NaN: chance alone agrees fully, or no item has two ratings."""

    def interval(self, level: float = 0.95) -> Interval:
        """Student's interval, cut at 1, above which no coefficient lies.

        Args:
            level: Of the interval, in (0, 1).

        Raises:
            ValueError: `level` is not inside (0, 1).

        Example:
            >>> tally = jnp.array([[2.0, 0.0], [1.0, 1.0], [0.0, 2.0]])
            >>> gwet_ac(tally, count=jnp.array([90.0, 20.0, 10.0])).interval()
            Interval(lower=Array(0.6619, dtype=float32), upper=Array(0.8765, dtype=float32))
        """
        if not 0 < level < 1:
            raise ValueError(f"level must be between 0 and 1, not {level}")
        degrees = jax.lax.stop_gradient(self.n_items - 1)
        reach = self.std_error * t_quantile((1 + level) / 2, degrees)
        return Interval(self.value - reach, jnp.minimum(self.value + reach, 1))


class Chance(NamedTuple):
    """Disagreement by chance, and each item's part in it, whose mean it is."""

    total: Float[Array, ""]
    by_item: Float[Array, " n"]


class Items(eqx.Module):
    """What all coefficients need of a table of counts."""

    share: Float[Array, "n m"]
    """Of an item's ratings, by level; 0 for an item without ratings."""
    weight: Float[Array, " n"]
    """Share of the total weight."""
    paired: Bool[Array, " n"]
    """Whether an item has two ratings or more."""
    discord: Float[Array, " n"]
    """Mean disagreement of two ratings of the item; 0 where there are none."""
    count: Float[Array, " n"]
    """How many items a row stands for; 0 where it takes no part."""
    levels: Float[Array, "m m"]
    """Disagreement of two levels."""

    def prevalence(self) -> Float[Array, " m"]:
        """Mean share of each level."""
        return self.weight @ self.share


def percent_agreement(
    tally: Float[Array, "n m"],
    *,
    credit: str | Float[Array, "m m"] = "identity",
    weight: Float[Array, " n"] | None = None,
    count: Float[Array, " n"] | None = None,
) -> Agreement:
    """The share of pairs of ratings of an item that agree, averaged over items; nothing is expected of chance.

    Args:
        tally: How often each item got each level; see `tally_ratings`. Items without ratings take no part.
        credit: What two different levels still agree: `"identity"` (nothing), `"linear"`, `"quadratic"`, `"ordinal"`,
            or a symmetric matrix with ones on its diagonal; see `agreement_credit`.
        weight: What each item counts for in all means, at least 0; `count` by default. A bootstrap redraws it.
        count: How many equal items each row stands for, at least 0; 1 by default.

    Returns:
        `value` and `observed` are the same, in [0, 1].

    Raises:
        ValueError: A shape is wrong, `tally` holds integers, or there are fewer than two levels.

    Example:
        >>> percent_agreement(jnp.array([[3.0, 0.0], [2.0, 1.0]])).value  # all pairs agree, then one of three
        Array(0.6667, dtype=float32)

    Source: Gwet (2014), "Handbook of Inter-Rater Reliability", chapter 2.
    """
    items = items_of(tally, credit, weight, count)
    return agreement_of(items, Chance(jnp.ones((), tally.dtype), jnp.ones_like(items.discord)))


def gwet_ac(
    tally: Float[Array, "n m"],
    *,
    credit: str | Float[Array, "m m"] = "identity",
    weight: Float[Array, " n"] | None = None,
    count: Float[Array, " n"] | None = None,
) -> Agreement:
    r"""Gwet's AC1 and, with partial credit, AC2: chance makes raters guess only where items are hard.

    $$p_e = \frac{\sum_{kl} w_{kl}}{m(m - 1)} \sum_l \pi_l (1 - \pi_l)$$

    It does not fall to 0 where nearly all items are of one level, as kappas do.

    Args:
        tally: As in `percent_agreement`.
        credit: As in `percent_agreement`.
        weight: As in `percent_agreement`.
        count: As in `percent_agreement`.

    Returns:
        `value` in [-1, 1], and 1 where all ratings are of one level.

    Raises:
        ValueError: As in `percent_agreement`.

    Example:
        >>> tally = jnp.array([[2.0, 0.0], [1.0, 1.0], [0.0, 2.0]])
        >>> found = gwet_ac(tally, count=jnp.array([118.0, 7.0, 0.0]))
        >>> found.value, found.std_error, fleiss_kappa(tally, count=jnp.array([118.0, 7.0, 0.0])).value
        (Array(0.9408, dtype=float32), Array(0.0231, dtype=float32), Array(-0.0288, dtype=float32))

    Source: Gwet (2008), doi:10.1348/000711006X126600.
    """
    items = items_of(tally, credit, weight, count)
    m = tally.shape[1]
    per_level = (m * m - items.levels.sum()) / (m * (m - 1))
    prevalence = items.prevalence()
    # An item without ratings has no chance to agree.
    by_item = 1 - per_level * items.share @ (1 - prevalence)
    return agreement_of(items, Chance(1 - per_level * prevalence @ (1 - prevalence), by_item))


def fleiss_kappa(
    tally: Float[Array, "n m"],
    *,
    credit: str | Float[Array, "m m"] = "identity",
    weight: Float[Array, " n"] | None = None,
    count: Float[Array, " n"] | None = None,
) -> Agreement:
    r"""Fleiss' kappa, which is Scott's pi for two raters: by chance, all raters draw from the levels' overall shares.

    $$p_e = \sum_{kl} w_{kl} \pi_k \pi_l$$

    Args:
        tally: As in `percent_agreement`.
        credit: As in `percent_agreement`.
        weight: As in `percent_agreement`.
        count: As in `percent_agreement`.

    Returns:
        `value` in [-1, 1]; NaN and `degenerate` where all ratings are of one level.

    Raises:
        ValueError: As in `percent_agreement`.

    Example:
        >>> fleiss_kappa(jnp.array([[3.0, 0.0], [0.0, 3.0], [2.0, 1.0]])).value
        Array(0.55, dtype=float32)

    Source: Scott (1955), doi:10.1086/266577; Fleiss (1971), doi:10.1037/h0031619.
    """
    items = items_of(tally, credit, weight, count)
    prevalence = items.prevalence()
    met = items.levels @ prevalence
    return agreement_of(items, Chance(prevalence @ met, items.share @ met))


def brennan_prediger(
    tally: Float[Array, "n m"],
    *,
    credit: str | Float[Array, "m m"] = "identity",
    weight: Float[Array, " n"] | None = None,
    count: Float[Array, " n"] | None = None,
) -> Agreement:
    r"""Brennan and Prediger's kappa: by chance, all levels are equally likely, \(p_e = \sum_{kl} w_{kl} / m^2\).

    Args:
        tally: As in `percent_agreement`.
        credit: As in `percent_agreement`.
        weight: As in `percent_agreement`.
        count: As in `percent_agreement`.

    Returns:
        `value` in [-1, 1].

    Raises:
        ValueError: As in `percent_agreement`.

    Example:
        >>> brennan_prediger(jnp.array([[3.0, 0.0], [0.0, 3.0], [2.0, 1.0]])).value  # 2 (7 / 9) - 1
        Array(0.5556, dtype=float32)

    Source: Brennan and Prediger (1981), doi:10.1177/001316448104100307.
    """
    items = items_of(tally, credit, weight, count)
    chance = items.levels.mean()
    return agreement_of(items, Chance(chance, jnp.full_like(items.discord, chance)))


def items_of(
    tally: Float[Array, "n m"],
    credit: str | Float[Array, "m m"],
    weight: Float[Array, " n"] | None,
    count: Float[Array, " n"] | None,
) -> Items:
    """What all coefficients need of a table, and the disagreement of two levels."""
    _, m = checked_tally(tally)
    discord = discord_of(credit, m, tally.dtype)
    total = tally.sum(1)
    counts, weights = row_weights(total > 0, weight, count, tally.dtype)
    share = tally / jnp.where(total > 0, total, 1)[:, None]
    paired = (total >= 2) & (weights > 0)
    pairs = jnp.where(paired, total * (total - 1), 1)
    apart = jnp.where(paired, _pairs_apart(tally, discord) / pairs, 0)
    return Items(share, weights / weights.sum(), paired, apart, counts, discord)


def checked_tally(tally: Float[Array, "n m"]) -> tuple[int, int]:
    """The shape of a table of counts.

    Raises:
        ValueError: It is none.
    """
    if tally.ndim != 2 or tally.shape[0] == 0:
        raise ValueError(f"tally has shape {tally.shape}; expected [n, m]: how often each item got each level")
    if not jnp.issubdtype(tally.dtype, jnp.floating):
        raise ValueError(
            f"tally holds {tally.dtype} values; counts are floats, and tally_ratings(ratings, n_levels) makes them of "
            "ratings"
        )
    if tally.shape[1] < 2:
        raise ValueError("agreement wants two levels or more: with a single one nobody can disagree")
    n, m = tally.shape
    return n, m


def row_weights(
    rated: Bool[Array, " n"], weight: Float[Array, " n"] | None, count: Float[Array, " n"] | None, dtype: jnp.dtype
) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
    """Counts and weights of rows, 0 where nothing was rated."""
    for name, given in (("weight", weight), ("count", count)):
        if given is not None and given.shape != rated.shape:
            raise ValueError(
                f"{name} has shape {given.shape}; expected one number for each of the {rated.shape[0]} items"
            )
    counts = jnp.ones(rated.shape, dtype) if count is None else count.astype(dtype)
    weights = counts if weight is None else weight.astype(dtype)
    return jnp.where(rated & (weights > 0), counts, 0), jnp.where(rated, weights, 0)


def agreement_of(items: Items, chance: Chance) -> Agreement:
    """The coefficient that goes with a notion of chance, and its standard error to first order."""
    paired = items.weight @ items.paired.astype(items.weight.dtype)
    some, known = paired > 0, (paired > 0) & (chance.total > 0)
    paired, total = jnp.where(some, paired, 1), jnp.where(chance.total > 0, chance.total, 1)
    discord = items.weight @ items.discord / paired
    ratio = discord / total
    own = jnp.where(items.paired, (total - items.discord) / paired, 0) / total
    # A notion of chance moves with the items, twice for its two ratings.
    influence = own + 2 * ratio * (chance.by_item - total) / total - (1 - ratio)
    std_error = spread_of(influence, items.weight, items.count)
    nothing = jnp.asarray(jnp.nan, ratio.dtype)
    return Agreement(
        value=jnp.where(known, 1 - ratio, nothing),
        std_error=jnp.where(known, std_error, nothing),
        observed=jnp.where(some, 1 - discord, nothing),
        expected=1 - chance.total,
        n_items=items.count.sum(),
        degenerate=~known,
    )


def spread_of(influence: Float[Array, " n"], weight: Float[Array, " n"], count: Float[Array, " n"]) -> Float[Array, ""]:
    """Standard error of a mean over items: rows of several equal items have the spread of their mean."""
    share = weight / weight.sum()
    n = count.sum()
    variance = (share**2 / jnp.where(count > 0, count, 1)) @ influence**2 * n / (n - 1)
    moves = variance > 0
    return jnp.where(moves, jnp.sqrt(jnp.where(moves, variance, 1)), variance)


def _pairs_apart(tally: Float[Array, "n m"], discord: Float[Array, "m m"]) -> Float[Array, " n"]:
    """Disagreement summed over ordered pairs of ratings of an item."""
    return (tally * (tally @ discord)).sum(1)
