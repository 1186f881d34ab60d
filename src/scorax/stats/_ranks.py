"""Ranks under uncertainty: draws of everyone's score in, probabilities and intervals of ranks out."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


class RankSummary(eqx.Module):
    """What draws say about ranks; rank 1 is the best. NaN for items that take no part."""

    rank_prob: Float[Array, "k k"]
    """Probability that an item (row) has a rank (column, from 1). Rows sum to 1."""
    expected_rank: Float[Array, " k"]
    median_rank: Float[Array, " k"]
    """The lower one of two medians."""
    lower: Float[Array, " k"]
    """Ends of an equal-tailed interval of ranks that holds at least the level."""
    upper: Float[Array, " k"]
    p_best: Float[Array, " k"]
    """Probability of rank 1."""
    superiority: Float[Array, "k k"]
    """Probability that the row's item is better than the column's; a tie counts half, as on the diagonal."""
    sucra: Float[Array, " k"]
    """Mean probability of being better than another item: 1 for a sure best, 0 for a sure worst."""
    expected_loss: Float[Array, " k"]
    """How much worse than the best an item is, on average."""


@eqx.filter_jit
def rank_summary(
    draws: Float[Array, "s k"],
    *,
    where: Bool[Array, " k"] | None = None,
    ties: str = "min",
    level: float = 0.95,
) -> RankSummary:
    """Summarise the ranks of items whose scores are known up to draws; larger scores are better.

    Args:
        draws: Joint draws of all scores, from a posterior or a bootstrap.
        where: Items that take part; the others are not ranked and have NaN everywhere.
        ties: Rank of items that tie in a draw: the best of theirs (`"min"`), or their mean (`"average"`), whose
            probability is then spread evenly over them, so that columns of `rank_prob` sum to 1 too.
        level: Of the intervals of ranks.

    Returns:
        A `RankSummary`, all NaN if a draw is NaN.

    Raises:
        ValueError: `level` is not inside (0, 1), or `ties` is unknown.

    Example:
        >>> summary = rank_summary(jnp.array([[2.0, 1.0, 0.0], [1.0, 2.0, 0.0]]))
        >>> summary.p_best, summary.lower, summary.upper
        (Array([0.5, 0.5, 0. ], dtype=float32), Array([1., 1., 3.], dtype=float32), Array([2., 2., 3.], dtype=float32))

    Source: Salanti, Ades, Ioannidis (2011), doi:10.1016/j.jclinepi.2010.03.016 (rank probabilities, SUCRA);
    Ruecker and Schwarzer (2015), doi:10.1186/s12874-015-0060-8 (its form by pairs).
    """
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, not {level}")
    if ties not in ("min", "average"):
        raise ValueError(f"ties must be 'min' or 'average', not {ties!r}")
    s, k = draws.shape
    part = jnp.ones(k, bool) if where is None else where
    # Those that take no part rank behind everyone and so change nobody's rank.
    score = jnp.where(part[None, :], draws, -jnp.inf)
    above, equal = jax.vmap(_better_and_equal)(score)
    width = jnp.ones_like(equal) if ties == "min" else equal
    rank = above.astype(draws.dtype) + (width.astype(draws.dtype) + 1) / 2
    ordered = jnp.sort(rank, axis=0)
    rank_prob = _rank_probabilities(above, width, draws.dtype)
    superiority = _superiority(score)
    others = (part.sum() - 1).astype(draws.dtype)
    rivals = jnp.where(part[None, :] & ~jnp.eye(k, dtype=bool), superiority, 0)
    best = score.max(axis=1, keepdims=True)
    loss = jnp.where(part[None, :], best - jnp.where(part[None, :], score, 0), 0)
    tail = (1 - level) / 2
    known = part & ~(jnp.isnan(draws) & part[None, :]).any()

    def of_known(x: Float[Array, "k *s"]) -> Float[Array, "k *s"]:
        return jnp.where(known.reshape(k, *(1,) * (x.ndim - 1)), x, jnp.nan)

    return RankSummary(
        rank_prob=of_known(rank_prob),
        expected_rank=of_known(rank.mean(0)),
        median_rank=of_known(ordered[_place(0.5, s)]),
        lower=of_known(ordered[_place(tail, s)]),
        upper=of_known(ordered[s - 1 - _place(tail, s)]),
        p_best=of_known(rank_prob[:, 0]),
        superiority=jnp.where(known[None, :], of_known(superiority), jnp.nan),
        sucra=of_known(rivals.sum(1) / others),
        expected_loss=of_known(loss.mean(0)),
    )


def _place(q: float, s: int) -> int:
    """Index of the lower quantile among `s` sorted values."""
    return math.floor(q * (s - 1) + 1e-9)


def _better_and_equal(score: Float[Array, " k"]) -> tuple[Array, Array]:
    """How many items are better than each, and how many are equal, itself included."""
    ordered = jnp.sort(score)
    upto, below = (jnp.searchsorted(ordered, score, side=side, method="sort") for side in ("right", "left"))
    return score.size - upto, upto - below


def _rank_probabilities(above: Array, width: Array, dtype: jnp.dtype) -> Float[Array, "k k"]:
    """Mass 1 of each draw and item, spread over `width` ranks from `above`: added at the start, removed at the end."""
    s, k = above.shape
    item = jnp.broadcast_to(jnp.arange(k)[None, :], above.shape)
    mass = 1 / width.astype(dtype)
    steps = jnp.zeros((k, k + 1), dtype).at[item, above].add(mass).at[item, above + width].add(-mass)
    return jnp.cumsum(steps, axis=1)[:, :k] / s


def _superiority(score: Float[Array, "s k"]) -> Float[Array, "k k"]:
    """Probability that one item is better than the other, draw after draw: `[s, k, k]` never stands in memory."""

    def add(total: Float[Array, "k k"], x: Float[Array, " k"]) -> tuple[Float[Array, "k k"], None]:
        return total + (x[:, None] > x[None, :]).astype(x.dtype) - (x[:, None] < x[None, :]).astype(x.dtype), None

    k = score.shape[1]
    net, _ = jax.lax.scan(add, jnp.zeros((k, k), score.dtype), score)
    return (1 + net / score.shape[0]) / 2
