"""Whether data determine strengths: every item leads to every other one, from winners to losers (under `jit`, too)."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from scorax.choice._estimators._stages import half_wins
from scorax.data import PairCounts, Rankings


@functools.singledispatch
def beaten(data: Any, n_items: int) -> Bool[Array, "k k"]:
    """Who beat whom, the column's item by the row's, or enough of it to link the same items."""
    raise TypeError(f"no choices in {type(data).__name__}: pass PairCounts (comparisons.table(k)) or Rankings")


@beaten.register
def _(data: PairCounts, n_items: int) -> Bool[Array, "k k"]:
    return half_wins(data) > 0


@beaten.register
def _(data: Rankings, n_items: int) -> Bool[Array, "k k"]:
    counts = data.where & (data.weight > 0)[:, None]
    follows = counts[:, 1:]
    edges = jnp.zeros((n_items, n_items), bool).at[data.order[:, :-1], data.order[:, 1:]].max(follows)
    if data.rest is not None:
        # The last one listed beats all that are not.
        last = counts.at[:, :-1].set(counts[:, :-1] & ~follows)
        winner = jnp.where(last, data.order, 0).sum(1)
        edges = edges.at[winner].max(data.rest & counts.any(1)[:, None])
    return edges


def strongly_connected(edge: Bool[Array, "k k"]) -> Bool[Array, ""]:
    """Whether every item leads to every other one: all are reached from the first, forwards and backwards."""
    both = jnp.stack([edge, edge.T])

    def grow(state: tuple[Array, Array]) -> tuple[Array, Array]:
        seen, _ = state
        more = seen | (both & seen[:, :, None]).any(1)
        return more, (more != seen).any()

    start = jnp.zeros(both.shape[:2], bool).at[:, 0].set(True)
    return jax.lax.while_loop(lambda state: state[1], grow, (start, jnp.asarray(True)))[0].all()
