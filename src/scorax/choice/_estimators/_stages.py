"""Choices in stages: at each one of several items wins a place, and those that remain lose it.

Two items compared are one stage, a ranking is a chain of them. Every estimator here is made of a few sums over stages.
With `w` the weight of a stage and `total` the worth of all who took part in it:

- `gained[i]`, over stages that i won: w times the others' share of the worth;
- `shared[i]`, over stages that i won: w / total; `missed[i]` the same over those that it lost.

The gradient of the log-likelihood with respect to a strength is `gained - worth * missed`.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from scorax.data import PairCounts, Rankings


class StageSums(NamedTuple):
    """See the head of this file."""

    gained: Float[Array, " k"]
    shared: Float[Array, " k"]
    missed: Float[Array, " k"]


def half_wins(data: PairCounts) -> Float[Array, "k k"]:
    """Wins of the row's item over the column's, a tie being half a win for each."""
    won, tied = data.weight
    return won + (tied + tied.T) / 2


@functools.singledispatch
def stages_won(data: Any, n_items: int) -> Float[Array, " k"]:
    """Total weight of the stages that each item won."""
    raise TypeError(f"no choices in {type(data).__name__}: pass PairCounts (comparisons.table(k)) or Rankings")


@functools.singledispatch
def stage_sums(data: Any, worth: Float[Array, " k"]) -> StageSums:
    """The sums over stages at given worths."""
    raise TypeError(f"no choices in {type(data).__name__}")


@functools.singledispatch
def stage_rates(data: Any, worth: Float[Array, " k"]) -> Float[Array, "k k"]:
    """From the row's item to the column's: w / total, over the stages that the one lost and the other won."""
    raise TypeError(f"no choices in {type(data).__name__}")


@stages_won.register
def _(data: PairCounts, n_items: int) -> Float[Array, " k"]:
    return half_wins(data).sum(1)


@stage_sums.register
def _(data: PairCounts, worth: Float[Array, " k"]) -> StageSums:
    share = half_wins(data) / (worth[:, None] + worth[None, :])
    return StageSums(share @ worth, share.sum(1), share.sum(0))


@stage_rates.register
def _(data: PairCounts, worth: Float[Array, " k"]) -> Float[Array, "k k"]:
    return half_wins(data).T / (worth[:, None] + worth[None, :])


@stages_won.register
def _(data: Rankings, n_items: int) -> Float[Array, " k"]:
    weight = jnp.where(_is_stage(data), data.weight[:, None], 0)
    return _by_item(data, weight, n_items)


@stage_sums.register
def _(data: Rankings, worth: Float[Array, " k"]) -> StageSums:
    share, after, rest = _shares(data, worth)
    before = jnp.cumsum(share, axis=1) - share
    sums = [_by_item(data, x, worth.size) for x in (share * after, share, before)]
    if rest is not None:
        sums[2] = sums[2] + share.sum(1) @ rest
    return StageSums(*sums)


@stage_rates.register
def _(data: Rankings, worth: Float[Array, " k"]) -> Float[Array, "k k"]:
    share, _, rest = _shares(data, worth)
    loser = jnp.where(data.where, data.order, worth.size)
    places = jnp.arange(loser.shape[1])

    def add(rates: Float[Array, "k k"], place: tuple[Array, Array, Array]) -> tuple[Float[Array, "k k"], None]:
        j, winner, of_stage = place
        below = jnp.where(places > j, 1, 0).astype(worth.dtype)
        return rates.at[loser, winner[:, None]].add(of_stage[:, None] * below[None, :], mode="drop"), None

    rates, _ = jax.lax.scan(add, jnp.zeros((worth.size,) * 2, worth.dtype), (places, data.order.T, share.T))
    if rest is not None:
        rows = jnp.arange(loser.shape[0])[:, None]
        won = jnp.zeros((loser.shape[0], worth.size), worth.dtype).at[rows, loser].add(share, mode="drop")
        rates = rates + rest.T @ won
    return rates


def _is_stage(data: Rankings) -> Bool[Array, "n l"]:
    """Places that were won against somebody: all but the last one, and that too where unlisted items lose to it."""
    follows = jnp.concatenate([data.where[:, 1:], jnp.zeros_like(data.where[:, :1])], axis=1)
    if data.rest is not None:
        follows = follows | data.rest.any(1)[:, None]
    return data.where & follows


def _shares(data: Rankings, worth: Float[Array, " k"]) -> tuple[Array, Array, Array | None]:
    """`[n, l]`: weight over total of each stage, and the worth of those that remain after it; and who is unlisted."""
    here = jnp.where(data.where, worth[data.order], 0)
    rest = None if data.rest is None else data.rest.astype(worth.dtype)
    unlisted = jnp.zeros_like(here[:, :1]) if rest is None else (rest @ worth)[:, None]
    total = jax.lax.cumsum(here, axis=1, reverse=True) + unlisted
    after = jnp.concatenate([total[:, 1:], unlisted], axis=1)
    stage = _is_stage(data)
    safe = jnp.where(stage, total, jnp.ones_like(total))
    return jnp.where(stage, data.weight[:, None].astype(worth.dtype) / safe, 0), after, rest


def _by_item(data: Rankings, values: Float[Array, "n l"], n_items: int) -> Float[Array, " k"]:
    """Totals of what stands at the places of each item."""
    values = jnp.where(data.where, values, 0)
    return jnp.zeros(n_items, values.dtype).at[data.order].add(values)
