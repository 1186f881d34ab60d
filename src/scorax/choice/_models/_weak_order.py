"""Exact draws of rankings with ties, place by place."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from scorax.choice._models._symmetric_polynomials import grow, no_items
from scorax.numerics import most_negative


class _Drawing(NamedTuple):
    """A ranking that is being drawn."""

    left: Bool[Array, " k"]
    """Items that are not placed yet."""
    open_to: Bool[Array, " k"]
    """Those that can still join the group: later than its last member, since every set is drawn in one order only."""
    wanted: Int[Array, ""]
    """Members that the group still lacks."""
    size: Int[Array, ""]
    level: Int[Array, ""]


def draw_weak_order(
    key: PRNGKeyArray,
    strength: Float[Array, " k"],
    available: Bool[Array, " k"],
    log_tie: Float[Array, " d"],
    length: int,
) -> tuple[Int[Array, " l"], Int[Array, " l"]]:
    """Items in ranked order, and their tie levels, drawn from the Davidson-Luce model.

    A group's size is drawn first, then its members by id. Places beyond the available items hold anything.

    Args:
        key: Of the draw.
        strength: Natural-log worths.
        available: Items that take part.
        log_tie: Of the orders 2, 3, ...; `-inf` for one that does not occur.
        length: Places to fill.
    """
    items, lowest = jnp.arange(strength.size), most_negative(strength.dtype)
    of_order = jnp.maximum(jnp.concatenate([jnp.zeros(1, strength.dtype), log_tie]), lowest)
    highest = of_order.size

    def place(state: _Drawing, key: PRNGKeyArray) -> tuple[_Drawing, tuple[Array, Array]]:
        size_key, item_key = jax.random.split(key)
        # A new group's size, by the total weight of the sets of each size of the items left.
        polynomial, _ = grow(no_items((), highest, strength.dtype), strength, state.left)
        size = jax.random.categorical(size_key, jnp.diagonal(polynomial[:, 1:]) + of_order) + 1
        begins = state.wanted == 0
        size, wanted = jnp.where(begins, size, state.size), jnp.where(begins, size, state.wanted)
        open_to = jnp.where(begins, state.left, state.open_to)
        item = _first_member(item_key, strength, open_to, wanted, size, highest)
        level = state.level + begins.astype(state.level.dtype)
        return _Drawing(state.left & (items != item), open_to & (items > item), wanted - 1, size, level), (item, level)

    zero, none = jnp.zeros((), items.dtype), jnp.full((), -1, items.dtype)
    start = _Drawing(available, available, zero, zero, none)
    return jax.lax.scan(place, start, jax.random.split(key, length))[1]


def _first_member(
    key: PRNGKeyArray,
    strength: Float[Array, " k"],
    open_to: Bool[Array, " k"],
    wanted: Int[Array, ""],
    size: Int[Array, ""],
    highest: int,
) -> Int[Array, ""]:
    """The smallest id in a set of `wanted` items, drawn with the weights of the sets of a group of `size`."""
    root = strength / size.astype(strength.dtype)

    def join(log: Array, item: tuple[Array, Array]) -> tuple[Array, Array]:
        own, present = item
        # Sets of each size that begin with this item: the later ones are in the polynomials already.
        begun = jnp.where(present, own + log[:-1], most_negative(log.dtype))
        return jnp.concatenate([log[:1], jnp.logaddexp(log[1:], begun)]), begun

    nothing = no_items((), highest, root.dtype)[0]
    _, begun = jax.lax.scan(join, nothing, (root, open_to), reverse=True)
    return jax.random.categorical(key, jnp.take(begun, wanted - 1, axis=1))
