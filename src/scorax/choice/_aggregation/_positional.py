"""Positional rules: a place in a ranking is worth points, whoever stands there."""

from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from scorax.stats import ahead_and_level, average_rank

_Points = Callable[[Float[Array, "1 k"], Float[Array, "n 1"]], Float[Array, "n k"]]


@eqx.filter_jit
def borda(
    ranks: Float[Array, "n k"], *, weight: Float[Array, " n"] | None = None, where: Bool[Array, "n k"] | None = None
) -> Float[Array, " k"]:
    r"""Borda's count: an item earns a point for every item below it.

    All positional rules share these conventions. Only the order within a row matters. Tied items share the mean of
    what their places are worth. Of a ranking of m of the k items, \(m < k\), the place p is worth
    \((k - 1)(m - p)/(m - 1)\), from \(k - 1\) down to 0 as in a complete one; an item's score is its mean over the
    rankings that hold it, times the weight of all, and so the plain sum where all are complete. Rankings of one item
    say nothing.

    Args:
        ranks: One row a ranking, 1 is best, NaN is not ranked.
        weight: What each ranking counts, at least 0; one by default.
        where: Entries that take part.

    Returns:
        Larger is better. NaN for an item that no ranking of two or more holds.

    Example:
        >>> borda(jnp.array([[1.0, 2.0, 3.0], [1.0, 3.0, 2.0], [2.0, 1.0, 3.0]]))
        Array([5., 3., 1.], dtype=float32)

    Source: Borda (1784), "Mémoire sur les élections au scrutin"; for benchmarks Colombo, Noiry, Irurozki, Clémençon
    (2022), arXiv:2202.03799.
    """
    k = ranks.shape[1]
    return _score(ranks, lambda place, m: (k - 1) * (m - place) / jnp.maximum(m - 1, 1), weight, where)


@eqx.filter_jit
def dowdall(
    ranks: Float[Array, "n k"], *, weight: Float[Array, " n"] | None = None, where: Bool[Array, "n k"] | None = None
) -> Float[Array, " k"]:
    """Dowdall's rule: the place p is worth 1/p. Conventions and arguments as in `borda`.

    Example:
        >>> dowdall(jnp.array([[1.0, 2.0, 3.0], [2.0, 1.0, 3.0]]))
        Array([1.5 , 1.5 , 0.6666667], dtype=float32)

    Source: Fraenkel & Grofman (2014), doi:10.1080/10361146.2014.900530.
    """
    return _score(ranks, lambda place, m: jnp.broadcast_to(1 / place, (len(m), place.size)), weight, where)


@eqx.filter_jit
def plurality(
    ranks: Float[Array, "n k"], *, weight: Float[Array, " n"] | None = None, where: Bool[Array, "n k"] | None = None
) -> Float[Array, " k"]:
    """Plurality: how often an item is first. Conventions and arguments as in `borda`.

    Example:
        >>> plurality(jnp.array([[1.0, 2.0, 3.0], [1.0, 1.0, 3.0]]))  # a shared first place counts half
        Array([1.5, 0.5, 0. ], dtype=float32)
    """
    return _score(ranks, lambda place, m: (place == jnp.ones_like(m)).astype(m.dtype), weight, where)


@eqx.filter_jit
def veto(
    ranks: Float[Array, "n k"], *, weight: Float[Array, " n"] | None = None, where: Bool[Array, "n k"] | None = None
) -> Float[Array, " k"]:
    """Veto (anti-plurality): minus how often an item is last. Conventions and arguments as in `borda`.

    Example:
        >>> veto(jnp.array([[1.0, 2.0, 3.0], [1.0, 3.0, 2.0]]))
        Array([ 0., -1., -1.], dtype=float32)
    """
    return _score(ranks, lambda place, m: -(place == m).astype(m.dtype), weight, where)


@eqx.filter_jit
def positional(
    ranks: Float[Array, "n k"],
    points: Float[Array, " k"],
    *,
    weight: Float[Array, " n"] | None = None,
    where: Bool[Array, "n k"] | None = None,
) -> Float[Array, " k"]:
    """Any positional rule, by the points of each place. Conventions and arguments as in `borda`.

    Args:
        ranks: As in `borda`.
        points: What each place is worth, from the top; a shorter ranking uses the first of them.
        weight: As in `borda`.
        where: As in `borda`.

    Example:
        >>> positional(jnp.array([[1.0, 2.0, 3.0], [2.0, 1.0, 3.0]]), jnp.array([5.0, 2.0, 0.0]))
        Array([7., 7., 0.], dtype=float32)

    Source: Young (1975), doi:10.1137/0128067.
    """
    return _score(ranks, lambda place, m: jnp.broadcast_to(points[None, :], (len(m), place.size)), weight, where)


@eqx.filter_jit
def mean_rank(
    ranks: Float[Array, "n k"], *, weight: Float[Array, " n"] | None = None, where: Bool[Array, "n k"] | None = None
) -> Float[Array, " k"]:
    """Mean rank of each item over the rankings that hold it; ties share the mean of their places.

    Arguments as in `borda`. An item that appears in short rankings only has small ranks for that reason: `borda`
    normalises.

    Returns:
        Smaller is better, from 1. NaN for an item that no ranking holds.

    Example:
        >>> mean_rank(jnp.array([[1.0, 2.0, 3.0], [1.0, 3.0, 2.0]]))
        Array([1. , 2.5, 2.5], dtype=float32)
    """
    rank = average_rank(ranks, where=where)
    return _mean(rank, _weights(weight, ranks), ~jnp.isnan(rank))


def _score(
    ranks: Float[Array, "n k"], points: _Points, weight: Array | None, where: Array | None
) -> Float[Array, " k"]:
    """Points by place and number of ranked items, averaged over ties, then over rankings."""
    dtype = ranks.dtype
    ahead, level = ahead_and_level(ranks, where=where)
    m = (level > 0).sum(1, keepdims=True)
    table = points(jnp.arange(1, ranks.shape[1] + 1, dtype=dtype)[None, :], m.astype(dtype))
    # Places ahead, ..., ahead + level - 1 are shared: their mean from a running sum.
    upto = jnp.concatenate([jnp.zeros((len(ranks), 1), dtype), jnp.cumsum(table, axis=1)], axis=1)
    ends = [jnp.take_along_axis(upto, place, axis=1) for place in (ahead + level, ahead)]
    earned = (ends[0] - ends[1]) / jnp.maximum(level, 1).astype(dtype)
    each = _weights(weight, ranks)
    told = m > 1
    return _mean(earned, each, (level > 0) & told) * jnp.where(told[:, 0], each, 0).sum()


def _mean(x: Float[Array, "n k"], weight: Float[Array, " n"], part: Bool[Array, "n k"]) -> Float[Array, " k"]:
    each = jnp.where(part, weight[:, None], 0)
    return (each * jnp.where(part, x, 0)).sum(0) / each.sum(0)


def _weights(weight: Array | None, ranks: Array) -> Float[Array, " n"]:
    return jnp.ones(len(ranks), ranks.dtype) if weight is None else weight.astype(ranks.dtype)
