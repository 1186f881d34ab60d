"""What methods of aggregation read: a matrix of ranks, or how often each item is above each other."""

import functools
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float

from scorax.data import PairCounts, Rankings


class Ballots(NamedTuple):
    """Rankings as a matrix of ranks."""

    ranks: Float[Array, "n k"]
    """1 is best; NaN where an item is not ranked."""
    weight: Float[Array, " n"] | None
    """What each ranking counts; one by default."""


@functools.singledispatch
def ballots(data: Any, *, n_items: int | None = None) -> Ballots:
    """Rankings as a matrix of ranks, one row a ranking, one column an item.

    Args:
        data: A matrix of ranks `[n, k]` (1 is best, only the order of a row matters, equal ranks are ties, NaN is not
            ranked), or `Rankings`: their unlisted items are not ranked, or share the last ranks where they are in
            `rest`.
        n_items: Number of items, where `Rankings` do not say it; one more than the largest id by default.

    Raises:
        ValueError: `data` is no matrix of numbers, or is a table of pairs, which has no ranks.

    Example:
        >>> ballots(sx.data.Rankings.from_orders([[2, 0], [1, 0, 2]])).ranks
        Array([[ 2., nan,  1.],
               [ 2.,  1.,  3.]], dtype=float32)
    """
    ranks = jnp.asarray(data) if not isinstance(data, jax.Array) else data
    if ranks.ndim != 2 or not jnp.issubdtype(ranks.dtype, jnp.number):
        raise ValueError(
            f"expected a matrix of ranks [n, k], Rankings or PairCounts, not {type(data).__name__} of shape "
            f"{ranks.shape}; comparisons become a table with comparisons.table(n_items)"
        )
    if n_items not in (None, ranks.shape[1]):
        raise ValueError(f"the matrix of ranks has {ranks.shape[1]} columns, not n_items={n_items}")
    return Ballots(ranks if jnp.issubdtype(ranks.dtype, jnp.floating) else ranks.astype(float), None)


@ballots.register
def _(data: Rankings, *, n_items: int | None = None) -> Ballots:
    return Ballots(_ranks(data, _n_items(data, n_items)), data.weight)


@eqx.filter_jit
def _ranks(data: Rankings, k: int) -> Float[Array, "n k"]:
    n, length = data.order.shape
    dtype = data.weight.dtype
    place = jnp.broadcast_to(jnp.arange(1, length + 1, dtype=dtype)[None, :], (n, length))
    rows = jnp.broadcast_to(jnp.arange(n)[:, None], (n, length))
    ranks = jnp.full((n, k), jnp.inf, dtype).at[rows, data.order].min(jnp.where(data.where, place, jnp.inf))
    if data.rest is not None:
        listed, behind = (x.sum(1, keepdims=True).astype(dtype) for x in (data.where, data.rest))
        ranks = jnp.where(data.rest, listed + (behind + 1) / 2, ranks)
    return jnp.where(jnp.isinf(ranks), jnp.nan, ranks)


@ballots.register
def _(data: PairCounts, *, n_items: int | None = None) -> Ballots:
    raise ValueError(
        "a table of pairs has no ranks: use a method of pairs, such as 'copeland', 'schulze', 'kemeny' or 'counting', "
        "which is Borda's on pairs"
    )


def _n_items(data: Rankings, n_items: int | None) -> int:
    if data.rest is not None:
        if n_items not in (None, data.rest.shape[1]):
            raise ValueError(f"the choice sets are over {data.rest.shape[1]} items, not n_items={n_items}")
        return data.rest.shape[1]
    if isinstance(data.order, Tracer):
        if n_items is None:
            raise ValueError("under jit the number of items cannot be read from the ids: pass n_items")
        return n_items
    largest = int(np.asarray(jnp.where(data.where, data.order, 0)).max())
    if n_items is not None and largest >= n_items:
        raise ValueError(f"the rankings hold item id {largest}, but n_items is {n_items}")
    return largest + 1 if n_items is None else n_items


@functools.singledispatch
def pairwise_matrix(
    data: Any,
    *,
    weight: Float[Array, " n"] | None = None,
    where: Bool[Array, "n k"] | None = None,
    n_items: int | None = None,
) -> Float[Array, "k k"]:
    """How much support each item has over each other one: entry (i, j) adds up the rankings with i above j.

    A tie is half for each side. Pairs without a common ranking have 0 on both sides, and count as ties wherever a
    majority is asked for.

    Args:
        data: A matrix of ranks `[n, k]` or `Rankings`, as in `ballots`; or `PairCounts`, whose wins and half ties
            these are.
        weight: What each row of a matrix of ranks counts (`Rankings` and `PairCounts` have weights of their own).
        where: Entries of a matrix of ranks that take part.
        n_items: As in `ballots`.

    Returns:
        The matrix, 0 on the diagonal.

    Example:
        >>> pairwise_matrix(jnp.array([[1.0, 2.0, 3.0], [1.0, 3.0, 2.0], [2.0, 1.0, jnp.nan]]))
        Array([[0., 2., 2.],
               [1., 0., 1.],
               [0., 1., 0.]], dtype=float32)
    """
    ranks = ballots(data, n_items=n_items).ranks
    return _support(ranks if where is None else jnp.where(where, ranks, jnp.nan), weight)


@pairwise_matrix.register
def _(data: Rankings, *, n_items: int | None = None) -> Float[Array, "k k"]:
    return _support(*ballots(data, n_items=n_items))


@pairwise_matrix.register
def _(data: PairCounts, *, n_items: int | None = None) -> Float[Array, "k k"]:
    if n_items not in (None, data.weight.shape[-1]):
        raise ValueError(f"the table is of {data.weight.shape[-1]} items, not n_items={n_items}")
    return data.weight[0] + (data.weight[1] + data.weight[1].T) / 2


@eqx.filter_jit
def _support(ranks: Float[Array, "n k"], weight: Float[Array, " n"] | None) -> Float[Array, "k k"]:
    """One ranking after the other: `[n, k, k]` never stands in memory. Comparisons with NaN are false."""

    def add(total: Float[Array, "k k"], row: tuple[Array, Array]) -> tuple[Float[Array, "k k"], None]:
        rank, w = row
        above, level = rank[:, None] < rank[None, :], rank[:, None] == rank[None, :]
        return total + w * (above.astype(w.dtype) + level.astype(w.dtype) / 2), None

    k = ranks.shape[1]
    each = jnp.ones(len(ranks), ranks.dtype) if weight is None else weight.astype(ranks.dtype)
    total, _ = jax.lax.scan(add, jnp.zeros((k, k), ranks.dtype), (ranks, each))
    return jnp.where(jnp.eye(k, dtype=bool), 0, total)
