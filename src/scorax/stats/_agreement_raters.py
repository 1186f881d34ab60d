"""Agreement that looks at who rated: from ratings to tallies, Conger's and Cohen's kappa, raters in pairs."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int

from scorax.stats._agreement import Agreement, Chance, agreement_of, items_of
from scorax.stats._agreement_credit import discord_of


def tally_ratings(
    ratings: Int[Array, "n j"], n_levels: int, *, where: Bool[Array, "n j"] | None = None
) -> Float[Array, "n m"]:
    """How often each item got each level, of whomever.

    Args:
        ratings: Levels counted from 0, a row an item, a column a rater; anything where `where` is false.
        n_levels: Number of levels, `m`, at least 2.
        where: Which ratings there are; all by default.

    Returns:
        Counts in JAX's default width. Inside compiled code, where a rating cannot be looked at, an item with one
        outside the levels is NaN, and so is what follows from it.

    Raises:
        ValueError: A shape is wrong, there is one rater only, or a rating is outside the levels.

    Example:
        >>> ratings = jnp.array([[0, 0, 2], [1, 2, 2]])
        >>> tally_ratings(ratings, 3, where=jnp.array([[True, True, False], [True, True, True]]))
        Array([[2., 0., 0.],
               [0., 1., 2.]], dtype=float32)
    """
    return _one_hot(ratings, n_levels, where).sum(1)


def conger_kappa(
    ratings: Int[Array, "n j"],
    n_levels: int,
    *,
    where: Bool[Array, "n j"] | None = None,
    credit: str | Float[Array, "m m"] = "identity",
    weight: Float[Array, " n"] | None = None,
    count: Float[Array, " n"] | None = None,
) -> Agreement:
    r"""Conger's kappa, which is Cohen's for two raters: by chance, two raters draw each from shares of their own.

    $$p_e = \frac{1}{j(j - 1)} \sum_{g \ne h} \sum_{kl} w_{kl} p_{gk} p_{hl}$$

    where \(p_{gk}\) is how often rater g gives level k, among the items that g rated.

    Args:
        ratings: As in `tally_ratings`; a rater without ratings takes no part.
        n_levels: As in `tally_ratings`.
        where: As in `tally_ratings`.
        credit: As in `percent_agreement`.
        weight: As in `percent_agreement`.
        count: As in `percent_agreement`.

    Returns:
        `value` in [-1, 1]; NaN and `degenerate` where all ratings are of one level.

    Raises:
        ValueError: As in `tally_ratings`; a matrix of `credit`, `weight` or `count` has the wrong shape.

    Example:
        >>> ratings = jnp.array([[0, 0, 0], [1, 1, 1], [0, 0, 1]])
        >>> conger_kappa(ratings, 2).value
        Array(0.5714, dtype=float32)

    Source: Conger (1980), doi:10.1037/0033-2909.88.2.322; Gwet (2014), "Handbook of Inter-Rater Reliability",
    chapter 5, for missing ratings and the standard error.
    """
    hot = _one_hot(ratings, n_levels, where)
    items = items_of(hot.sum(1), credit, weight, count)
    rated = hot.sum(2)
    held = items.weight @ rated
    there = held > 0
    j = there.sum().astype(hot.dtype)
    held = jnp.where(there, held, 1)
    # Shares of each rater, and what another rater drawn at random would disagree with each level.
    own = jnp.einsum("n,njm->jm", items.weight, hot) / held[:, None]
    others = (own.sum(0)[None, :] - own) / (j - 1)
    met = jnp.where(there[:, None], others @ items.levels, 0)
    total = (own * met).sum() / j
    # An item moves the shares of those who rated it; the rest of a rater's mean stays where it is.
    expected = (own * met).sum(1)
    moved = (hot * (met / held[:, None])[None]).sum((1, 2)) - rated @ (expected / held)
    return agreement_of(items, Chance(total, (moved + expected.sum()) / j))


def cohen_kappa(
    x: Int[Array, " n"],
    y: Int[Array, " n"],
    n_levels: int,
    *,
    where: Bool[Array, " n"] | None = None,
    credit: str | Float[Array, "m m"] = "identity",
    weight: Float[Array, " n"] | None = None,
    count: Float[Array, " n"] | None = None,
) -> Agreement:
    """Cohen's kappa of two raters, weighted where `credit` is not `"identity"`, on the items that both rated.

    Args:
        x: Levels that one rater gave, counted from 0.
        y: Levels that the other one gave.
        n_levels: Number of levels, at least 2.
        where: Which items both rated; all by default.
        credit: As in `percent_agreement`.
        weight: As in `percent_agreement`.
        count: As in `percent_agreement`.

    Returns:
        `value` in [-1, 1]; NaN and `degenerate` where both give a single level, the same.

    Raises:
        ValueError: As in `conger_kappa`.

    Example:
        >>> x, y = jnp.array([0, 0, 1, 1]), jnp.array([0, 1, 1, 1])
        >>> cohen_kappa(x, y, 2).value
        Array(0.5, dtype=float32)

    Source: Cohen (1960), doi:10.1177/001316446002000104; Cohen (1968), doi:10.1037/h0026256.
    """
    if x.ndim != 1 or x.shape != y.shape or (where is not None and where.shape != x.shape):
        raise ValueError(f"x has shape {x.shape}, y {y.shape}; expected [n] for both, and for where")
    both = None if where is None else jnp.stack([where, where], axis=1)
    return conger_kappa(jnp.stack([x, y], axis=1), n_levels, where=both, credit=credit, weight=weight, count=count)


class PairwiseAgreement(NamedTuple):
    """Raters in pairs, on the items that both rated."""

    observed: Float[Array, "j j"]
    """Mean agreement; NaN for two who never rated the same item."""
    kappa: Float[Array, "j j"]
    """Cohen's kappa; NaN where it is 0/0 as well. The diagonal is 1."""
    n_items: Float[Array, "j j"]
    """How many items both rated; on the diagonal, how many one did."""


def pairwise_agreement(
    ratings: Int[Array, "n j"],
    n_levels: int,
    *,
    where: Bool[Array, "n j"] | None = None,
    credit: str | Float[Array, "m m"] = "identity",
    count: Float[Array, " n"] | None = None,
) -> PairwiseAgreement:
    """Agreement and Cohen's kappa of every pair of raters: who is the odd one out?

    One matrix product makes all cross tables: `[j, j, m, m]` numbers stand in memory.

    Args:
        ratings: As in `tally_ratings`.
        n_levels: As in `tally_ratings`.
        where: As in `tally_ratings`.
        credit: As in `percent_agreement`.
        count: As in `percent_agreement`.

    Returns:
        `PairwiseAgreement`, symmetric matrices.

    Raises:
        ValueError: As in `conger_kappa`.

    Example:
        >>> found = pairwise_agreement(jnp.array([[0, 0, 1], [1, 1, 0], [0, 1, 1]]), 2)
        >>> found.observed[0], found.kappa[0]
        (Array([1.    , 0.6667, 0.    ], dtype=float32), Array([ 1. ,  0.4, -0.8], dtype=float32))

    Source: Cohen (1960), doi:10.1177/001316446002000104.
    """
    hot = _one_hot(ratings, n_levels, where)
    if count is not None and count.shape != hot.shape[:1]:
        raise ValueError(f"count has shape {count.shape}; expected one number for each of the {hot.shape[0]} items")
    discord = discord_of(credit, n_levels, hot.dtype)
    n, j, m = hot.shape
    flat = hot.reshape(n, j * m)
    weighted = flat if count is None else flat * count.astype(hot.dtype)[:, None]
    table = (weighted.T @ flat).reshape(j, m, j, m).transpose(0, 2, 1, 3)
    shared = table.sum((2, 3))
    met = shared > 0
    table = table / jnp.where(met, shared, 1)[..., None, None]
    rows, columns = table.sum(3), table.sum(2)
    apart = (table * discord[None, None]).sum((2, 3))
    chance = jnp.einsum("ghk,kl,ghl->gh", rows, discord, columns)
    usual = chance > 0
    kappa = jnp.where(met & usual, 1 - apart / jnp.where(usual, chance, 1), jnp.nan)
    return PairwiseAgreement(jnp.where(met, 1 - apart, jnp.nan), kappa, shared)


def _one_hot(ratings: Int[Array, "n j"], n_levels: int, where: Bool[Array, "n j"] | None) -> Float[Array, "n j m"]:
    """Every rating as a row of zeros and a one; zeros only where there is none."""
    if ratings.ndim != 2 or not ratings.size or not jnp.issubdtype(ratings.dtype, jnp.integer):
        raise ValueError(
            f"ratings have shape {ratings.shape} and hold {ratings.dtype} values; expected [n, j] levels counted from "
            "0: a row an item, a column a rater"
        )
    if ratings.shape[1] < 2:
        raise ValueError("there is one rater only: agreement wants two or more, in columns")
    if n_levels < 2:
        raise ValueError("agreement wants two levels or more: with a single one nobody can disagree")
    if where is not None and where.shape != ratings.shape:
        raise ValueError(f"where has shape {where.shape}, ratings {ratings.shape}")
    there = jnp.ones(ratings.shape, bool) if where is None else where
    outside = there & ((ratings < 0) | (ratings >= n_levels))
    if not isinstance(outside, Tracer):
        _refuse(np.asarray(outside), np.asarray(ratings), n_levels)
    dtype = jnp.zeros(()).dtype
    hot = jax.nn.one_hot(jnp.where(there, ratings, -1), n_levels, dtype=dtype)
    return jnp.where(outside[..., None], jnp.asarray(jnp.nan, dtype), hot)


def _refuse(outside: np.ndarray, ratings: np.ndarray, n_levels: int) -> None:
    if outside.any():
        rows = np.flatnonzero(outside.any(1))
        raise ValueError(
            f"{outside.sum()} ratings are outside the levels 0 to {n_levels - 1}, such as {ratings[outside][0]} (first "
            f"rows: {rows[:3].tolist()}). Levels count from 0; say with where which ratings are missing."
        )
