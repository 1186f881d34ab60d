"""One door to all rules: rankings or pairs in, an order out."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from scorax.choice._aggregation._ballots import ballots, pairwise_matrix
from scorax.choice._aggregation._kemeny import kemeny
from scorax.choice._aggregation._majority import copeland, minimax, ranked_pairs, schulze
from scorax.choice._aggregation._positional import borda, dowdall, mean_rank, plurality, veto
from scorax.choice._aggregation._spectral import average_win_rate, counting, eigenvector, mc4, pagerank


class Aggregation(eqx.Module):
    """An order, and the score behind it."""

    order: Int[Array, " k"]
    """Item ids, best first; equal scores by id, undefined ones last."""
    score: Float[Array, " k"] | None
    """Larger is better. None where the method finds an order without scoring items."""


_OF_RANKS: dict[str, Callable[..., Float[Array, " k"]]] = {
    "borda": borda,
    "dowdall": dowdall,
    "mean_rank": lambda ranks, *, weight: -mean_rank(ranks, weight=weight),
    "plurality": plurality,
    "veto": veto,
}
_OF_PAIRS: dict[str, Callable[..., Float[Array, " k"]]] = {
    "average_win_rate": average_win_rate,
    "copeland": copeland,
    "counting": counting,
    "eigenvector": eigenvector,
    "mc4": mc4,
    "minimax": minimax,
    "pagerank": pagerank,
    "ranked_pairs": ranked_pairs,
    "schulze": schulze,
}
AGGREGATION_METHODS: tuple[str, ...] = tuple(sorted({*_OF_RANKS, *_OF_PAIRS, "kemeny"}))
"""Names that `aggregate` knows."""


def aggregate(data: Any, method: str = "borda", *, n_items: int | None = None) -> Aggregation:
    """One order from many rankings or comparisons, by name of the rule.

    Args:
        data: A matrix of ranks `[n, k]` (1 is best, NaN is not ranked), `Rankings`, or `PairCounts` for the rules of
            pairs.
        method: One of `AGGREGATION_METHODS`. On ranks: `"borda"`, `"dowdall"`, `"mean_rank"` (its score is minus the
            mean rank), `"plurality"`, `"veto"`. On pairs, which rankings become too: `"average_win_rate"`,
            `"copeland"`, `"counting"`, `"eigenvector"`, `"kemeny"`, `"mc4"`, `"minimax"`, `"pagerank"`,
            `"ranked_pairs"`, `"schulze"`. The functions of these names have the rules' own options.
        n_items: Number of items, where `Rankings` do not say it.

    Returns:
        An `Aggregation`.

    Raises:
        ValueError: the method is unknown, or needs ranks and the data are pairs.

    Example:
        >>> rankings = sx.data.Rankings.from_orders([[0, 1, 2], [0, 2, 1], [1, 0, 2]])
        >>> found = aggregate(rankings)
        >>> found.order, found.score
        (Array([0, 1, 2], dtype=int32), Array([5., 3., 1.], dtype=float32))
        >>> aggregate(rankings, "kemeny").order
        Array([0, 1, 2], dtype=int32)
    """
    if method in _OF_RANKS:
        ranks, weight = ballots(data, n_items=n_items)
        return _scored(_OF_RANKS[method](ranks, weight=weight))
    if method not in AGGREGATION_METHODS:
        raise ValueError(f"unknown method {method!r}; one of {', '.join(AGGREGATION_METHODS)}")
    pairwise = pairwise_matrix(data, n_items=n_items)
    return Aggregation(kemeny(pairwise).order, None) if method == "kemeny" else _scored(_OF_PAIRS[method](pairwise))


def order_of(score: Float[Array, "*b k"]) -> Int[Array, "*b k"]:
    """Item ids by score, the largest first; equal scores by id, NaN last.

    Example:
        >>> order_of(jnp.array([1.0, 3.0, jnp.nan, 3.0]))
        Array([1, 3, 0, 2], dtype=int32)
    """
    return jnp.argsort(-score, axis=-1, stable=True).astype(jnp.int32)


def _scored(score: Float[Array, " k"]) -> Aggregation:
    return Aggregation(order_of(score), score)
