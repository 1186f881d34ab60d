"""Finding a committee: item by item, by exchanging members, or by trying all."""

import itertools
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from scorax.choice._committees._quotas import Quotas, count_members, may_join, within

Points = Float[Array, "v m"]
Weights = Float[Array, " l"]


def gains(members: Float[Array, "v s"], points: Points, weights: Weights, voter: Float[Array, " v"]) -> Array:
    """What each item would add to a committee, over all voters `[m]`.

    Args:
        members: Points of the members, most first, with zeros at the end for those still to come.
        points: Points of all items.
        weights: Of a member's place among the members; those beyond the last one are 0.
        voter: What each voter counts.
    """
    # A newcomer pushes those below it one place down: the i-th becomes max(x_i, min(new, x_{i-1})).
    above = jnp.concatenate([jnp.full((len(members), 1), jnp.inf, points.dtype), members[:, :-1]], axis=1)

    def place(total: Array, at: tuple[Array, Array, Array]) -> tuple[Array, None]:
        x, better, weight = at
        pushed = jnp.maximum(x[:, None], jnp.minimum(points, better[:, None])) - x[:, None]
        return total + weight * (voter @ pushed), None

    return jax.lax.scan(place, jnp.zeros(points.shape[1], points.dtype), (members.T, above.T, weights))[0]


@eqx.filter_jit
def greedy(points: Points, weights: Weights, voter: Float[Array, " v"], bounds: Quotas, size: int) -> Int[Array, " s"]:
    """The item that adds most, time and again; equal ones by what all voters give them, then by id."""
    v, depth = len(points), len(weights)
    total = voter @ points
    slack = 8 * float(jnp.finfo(points.dtype).eps) * total.max()

    def add(step: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
        chosen, members = state
        taken = jnp.arange(size) < step
        allowed = may_join(count_members(chosen, taken, bounds), bounds, size)
        allowed &= ~jnp.zeros(points.shape[1], bool).at[chosen].max(taken)
        gain = jnp.where(allowed, gains(members, points, weights, voter), -jnp.inf)
        # Where voters look at one member only, soon nobody gains: rounding must not choose then.
        new = jnp.where(gain >= gain.max() - slack, total, -jnp.inf).argmax()
        grown = jnp.concatenate([members, points[:, new][:, None]], axis=1)
        return chosen.at[step].set(new.astype(chosen.dtype)), -jnp.sort(-grown, axis=1)[:, :depth]

    start = (jnp.zeros(size, jnp.int32), jnp.zeros((v, depth), points.dtype))
    return jax.lax.fori_loop(0, size, add, start)[0]


@eqx.filter_jit
def swap(
    chosen: Int[Array, " s"], points: Points, weights: Weights, voter: Float[Array, " v"], bounds: Quotas
) -> Int[Array, " s"]:
    """The exchange of one member that gains most, until none does."""
    size, m = len(chosen), points.shape[1]

    def try_out(out: Array, chosen: Int[Array, " s"]) -> Float[Array, " m"]:
        """Value of every committee that replaces the member at one place."""
        stay = jnp.arange(size) != out
        members = -jnp.sort(-jnp.where(stay[None, :], points[:, chosen], 0), axis=1)[:, : len(weights)]
        allowed = may_join(count_members(chosen, stay, bounds), bounds, size)
        allowed &= ~jnp.zeros(m, bool).at[chosen].set(True)
        value = voter @ (members @ weights)
        return jnp.where(allowed, value + gains(members, points, weights, voter), -jnp.inf)

    def exchange(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        chosen, value, _ = state
        values = jax.lax.map(lambda out: try_out(out, chosen), jnp.arange(size))
        best = values.argmax()
        # Less is rounding, and could go round in circles.
        better = values.max() > value * (1 + 8 * float(jnp.finfo(points.dtype).eps))
        out, new = best // m, (best % m).astype(chosen.dtype)
        return jnp.where(better, chosen.at[out].set(new), chosen), jnp.where(better, values.max(), value), better

    start = (chosen, _value(chosen, points, weights, voter), jnp.asarray(True))
    return jax.lax.while_loop(lambda state: state[2], exchange, start)[0]


def brute_force(
    points: Points, weights: Weights, voter: Float[Array, " v"], bounds: Quotas, size: int
) -> Int[Array, " s"]:
    """The first of all best committees within the quotas, in the order of ids."""
    v, m = points.shape
    # About 4 million numbers at a time, in chunks of one shape.
    chunk = min(max(1, 2**22 // (v * size)), math.comb(m, size))
    combinations = itertools.combinations(range(m), size)
    best, found = -np.inf, np.arange(size)
    while True:
        flat = np.fromiter(itertools.chain.from_iterable(itertools.islice(combinations, chunk)), np.int32)
        if not flat.size:
            return jnp.asarray(found, jnp.int32)
        sets = flat.reshape(-1, size)
        padded = np.concatenate([sets, np.broadcast_to(sets[:1], (chunk - len(sets), size))])
        values = np.asarray(_values(jnp.asarray(padded), points, weights, voter))[: len(sets)]
        values = np.where(within(sets, bounds), values, -np.inf)
        # Rounding must not decide between equal committees.
        top, slack = values.max(), 8 * float(np.finfo(values.dtype).eps)
        if top > best + slack * abs(top):
            best, found = top, sets[(values >= top - slack * abs(top)).argmax()]


@eqx.filter_jit
def _values(sets: Int[Array, "c s"], points: Points, weights: Weights, voter: Float[Array, " v"]) -> Array:
    return jax.vmap(lambda chosen: _value(chosen, points, weights, voter))(sets)


def _value(chosen: Int[Array, " s"], points: Points, weights: Weights, voter: Float[Array, " v"]) -> Array:
    members = points[:, chosen]
    if len(weights) == 1:
        return weights[0] * (voter @ members.max(axis=1))
    return voter @ (-jnp.sort(-members, axis=1)[:, : len(weights)] @ weights)


@eqx.filter_jit
def described(
    chosen: Int[Array, " s"], points: Points, weights: Weights, voter: Float[Array, " v"]
) -> tuple[Array, Array]:
    """A committee as a mask, and its worth."""
    return jnp.zeros(points.shape[1], bool).at[chosen].set(True), _value(chosen, points, weights, voter)


def trimmed(weights: Any) -> np.ndarray:
    """Weights up to the last that is not 0: how many members of a committee a voter looks at."""
    weights = np.asarray(weights, np.float64)
    return weights[: max(1, np.flatnonzero(weights)[-1] + 1 if weights.any() else 1)]
