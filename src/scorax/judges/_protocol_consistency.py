"""Rating or ranking: whether one judge that rates two answers and also compares them says the same."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from scorax.judges._consistency import sign_beyond
from scorax.numerics import masked_where
from scorax.stats import Interval, multinomial_weights, percentile_interval


class ConsistencyTable(eqx.Module):
    """Ratings (rows) against comparisons (columns), each in the order: a is better, equal, b is better."""

    table: Float[Array, "3 3"]
    """Total weight of the pairs in each cell."""
    row_rate: Float[Array, "3 3"]
    """What the comparison says, given what the ratings say: rows sum to 1, or are NaN where there is no such pair."""
    consistency: Float[Array, ""]
    """Share on the diagonal: both say the same. NaN where there is no pair."""
    kappa: Float[Array, ""]
    """Cohen's kappa: agreement beyond that of chance. NaN where chance agrees always: both say one thing only."""
    n_pairs: Float[Array, ""]
    """Total weight."""


@eqx.filter_jit
def protocol_consistency(
    score_a: Float[Array, " n"],
    score_b: Float[Array, " n"],
    preference: Int[Array, " n"],
    *,
    tol: float | int = 0.0,
    where: Bool[Array, " n"] | None = None,
    weight: Float[Array, " n"] | None = None,
) -> ConsistencyTable:
    """How often the comparison of two answers says what their ratings say.

    Args:
        score_a: Ratings of the first answers; larger is better.
        score_b: Ratings of the second answers.
        preference: Result of the comparison: +1 for the first answer, 0 for equal, -1 for the second.
        tol: Ratings that differ by less are equal; with 0 only equal ones are.
        where: Pairs that take part: those with both ratings and a comparison, each pair once.
        weight: What a pair counts, at least 0; 1 by default.

    Returns:
        A :class:`ConsistencyTable`.

    Raises:
        ValueError: `tol` is negative.

    Example:
        >>> found = protocol_consistency(jnp.array([5.0, 3.0, 6.0]), jnp.array([2.0, 3.0, 4.0]), jnp.array([1, 1, -1]))
        >>> found.consistency.round(4), found.table[0]  # the first is rated higher twice, and preferred once of these
        (Array(0.3333, dtype=float32), Array([1., 0., 1.], dtype=float32))

    Source: Bansal, Dang, Grover (2024), arXiv 2308.15812; Cohen (1960), doi:10.1177/001316446002000104 (kappa).
    """
    if not tol >= 0:
        raise ValueError(f"tol must be at least 0, not {tol}")
    by_rating = sign_beyond(score_a - score_b, tol)
    one = jnp.ones_like(score_a)
    counts = masked_where(where, one if weight is None else weight.astype(one.dtype), 0.0)
    row, column = (jax.nn.one_hot(1 - sign, 3, dtype=one.dtype) for sign in (by_rating, preference))
    return _summarise(jnp.einsum("n,nr,nc->rc", counts, row, column, precision="highest"))


def _summarise(table: Float[Array, "3 3"]) -> ConsistencyTable:
    total = table.sum()
    rows, columns = table.sum(1), table.sum(0)
    consistency = _ratio(jnp.trace(table), total)
    chance = _ratio(_ratio(jnp.vdot(rows, columns), total), total)
    return ConsistencyTable(
        table=table,
        row_rate=_ratio(table, jnp.broadcast_to(rows[:, None], table.shape)),
        consistency=consistency,
        kappa=_ratio(consistency - chance, 1 - chance),
        n_pairs=total,
    )


def _ratio(x: Float[Array, "*s"], y: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """NaN where there is nothing to divide by, with gradients that are finite elsewhere."""
    some = y > 0
    return masked_where(some, x / jnp.where(some, y, jnp.ones_like(y)), jnp.nan)


def consistency_interval(
    score_a: Float[Array, " n"],
    score_b: Float[Array, " n"],
    preference: Int[Array, " n"],
    cluster: Int[Array, " n"],
    *,
    key: PRNGKeyArray,
    n_resamples: int = 2000,
    level: float = 0.95,
    tol: float | int = 0.0,
    where: Bool[Array, " n"] | None = None,
) -> Interval:
    """Bootstrap interval of `protocol_consistency(...).consistency` that redraws whole instructions.

    Pairs of one instruction share its answers and are not independent, so they come and go together.

    Args:
        score_a: As in :func:`protocol_consistency`, like all that follow; not traced.
        score_b: Ratings of the second answers.
        preference: Result of the comparison.
        cluster: Which instruction a pair belongs to.
        key: The same key gives the same interval.
        n_resamples: How many times to redraw.
        level: Of the interval, in (0, 1).
        tol: Ratings that differ by less are equal.
        where: Pairs that take part.

    Returns:
        Percentile interval of the share of pairs on which both protocols agree.

    Raises:
        ValueError: no pair takes part, `level` is not inside (0, 1), or `tol` is negative.

    Example:
        >>> score, verdict = jnp.arange(40.0) % 7, jnp.where(jnp.arange(40) % 3 > 0, 1, -1)
        >>> interval = consistency_interval(score, 3 + 0 * score, verdict, jnp.arange(40) // 2, key=jax.random.key(0))
        >>> bool(interval.lower < protocol_consistency(score, 3 + 0 * score, verdict).consistency < interval.upper)
        True

    Source: Bansal, Dang, Grover (2024), arXiv 2308.15812; Efron (1981), doi:10.2307/3314608 (percentiles).
    """
    agree = jnp.ones_like(score_a)
    counts = multinomial_weights(key, masked_where(where, agree, 0.0), n_resamples, cluster=cluster)

    def consistency(weight: Float[Array, " n"]) -> Float[Array, ""]:
        return protocol_consistency(score_a, score_b, preference, tol=tol, weight=weight).consistency

    return percentile_interval(jax.jit(jax.vmap(consistency))(counts), level=level)
