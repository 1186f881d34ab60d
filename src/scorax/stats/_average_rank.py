"""Ranks with ties: how many are ahead, how many are level."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


def average_rank(
    values: Float[Array, "*b n"], *, where: Bool[Array, "*b n"] | None = None, descending: bool = False
) -> Float[Array, "*b n"]:
    """Ranks from 1 along the last axis; tied values share the mean of their places.

    Args:
        values: Only their order matters.
        where: Entries that take part.
        descending: Rank 1 goes to the largest value (scores) instead of the smallest.

    Returns:
        NaN for entries that take no part, and for NaN values, which change nobody else's rank.

    Example:
        >>> average_rank(jnp.array([0.3, 0.9, 0.3, 0.1]), descending=True)
        Array([2.5, 1. , 2.5, 4. ], dtype=float32)
    """
    ahead, level = ahead_and_level(values, where=where, descending=descending)
    rank = ahead.astype(values.dtype) + (level.astype(values.dtype) + 1) / 2
    return jnp.where(level > 0, rank, jnp.nan)


def ahead_and_level(
    values: Float[Array, "*b n"], *, where: Bool[Array, "*b n"] | None = None, descending: bool = False
) -> tuple[Int[Array, "*b n"], Int[Array, "*b n"]]:
    """How many entries are ahead of each one along the last axis, and how many are level with it, itself included.

    They share the ranks from `ahead + 1` to `ahead + level`.

    Args:
        values: As in `average_rank`.
        where: As in `average_rank`.
        descending: As in `average_rank`.

    Returns:
        Two arrays of numbers of entries. Nothing is level with an entry that takes no part, or is NaN; what is ahead of
        it then means nothing.

    Example:
        >>> ahead_and_level(jnp.array([0.3, 0.9, 0.3, 0.1]), descending=True)
        (Array([1, 0, 1, 3], dtype=int32), Array([2, 1, 2, 1], dtype=int32))
    """
    part = ~jnp.isnan(values) if where is None else where & ~jnp.isnan(values)
    key = jnp.where(part, -values if descending else values, 0)
    order = jnp.lexsort((key, ~part), axis=-1)
    ordered, present = (jnp.take_along_axis(v, order, axis=-1) for v in (key, part))
    step = (ordered[..., 1:] != ordered[..., :-1]) | (present[..., 1:] != present[..., :-1])
    edge = jnp.ones((*values.shape[:-1], 1), bool)
    place = jax.lax.broadcasted_iota(jnp.int32, values.shape, values.ndim - 1)
    # A block of ties goes from the last step up to a place to the next one after it.
    first = jax.lax.cummax(jnp.where(jnp.concatenate([edge, step], -1), place, 0), axis=values.ndim - 1)
    ends = jnp.where(jnp.concatenate([step, edge], -1), place, values.shape[-1] - 1)
    last = jax.lax.cummin(ends, axis=values.ndim - 1, reverse=True)
    back = jnp.argsort(order, axis=-1)
    ahead, level = (jnp.take_along_axis(v, back, axis=-1) for v in (first, last - first + 1))
    return ahead, jnp.where(part, level, 0)
