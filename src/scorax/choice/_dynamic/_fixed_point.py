"""Fixed points of maps that contract slowly, by Anderson's mixing of the last few steps."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.scipy.linalg as jsl
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Int, PyTree

_MEMORY = 10

# Mixing takes the map for linear: steps are remembered from where what must settle changes by less than this.
_NEAR = 0.5


class FixedPoint(eqx.Module):
    """Where the iteration stopped."""

    x: PyTree
    converged: Bool[Array, ""]
    steps: Int[Array, ""]


class _State(eqx.Module):
    x: Float[Array, " p"]
    place: Float[Array, "..."]
    """Of the point before."""
    points: Float[Array, "h p"]
    moves: Float[Array, "h p"]
    """What the map added to each of the remembered points."""
    known: Bool[Array, " h"]
    part: Float[Array, ""]
    """Of the way to go."""
    size: Float[Array, ""]
    """Of the last move."""
    change: Float[Array, ""]
    steps: Int[Array, ""]


def fixed_point(
    image: Callable[[PyTree], tuple[PyTree, Float[Array, "..."]]],
    start: PyTree,
    place: tuple[int, ...],
    *,
    allowed: Callable[[PyTree], PyTree],
    tol: float,
    max_steps: Int[Array, ""],
) -> FixedPoint:
    """Iterate a map until what matters of it stays.

    Plain iteration loses a few percent of the error a step where information travels far. Mixing the last steps so that
    their moves cancel solves linear maps as GMRES would. Where moves grow the memory is dropped and the step shortened.

    Args:
        image: From a point to its image and to what must settle, which has the shape `place`.
        start: The first point.
        place: A shape.
        allowed: Brings a mixed point back to where the map is defined.
        tol: Largest change of what must settle.
        max_steps: When to give up.

    Source: Anderson (1965), doi:10.1145/321296.321305; Walker & Ni (2011), doi:10.1137/10078356X.
    """
    first, unravel = ravel_pytree(start)

    def body(state: _State) -> _State:
        target, here = image(unravel(state.x))
        move = ravel_pytree(target)[0] - state.x
        size = jnp.linalg.norm(move)
        # Mixed steps need not shrink one by one, plain ones must.
        mixing = state.known.any()
        grown = size > jnp.where(mixing, 2, 1) * state.size
        shorter = jnp.where(mixing, state.part, jnp.maximum(state.part / 2, 1e-3))
        part = jnp.where(grown, shorter, jnp.minimum(state.part * 1.2, 1))
        change = jnp.abs(here - state.place).max() / part
        near = change < _NEAR
        known = state.known & near & ~grown
        mixed = _mix(state.x, move, part, state.points, state.moves, known)
        slot = state.steps % _MEMORY
        return _State(
            ravel_pytree(allowed(unravel(mixed)))[0],
            here,
            state.points.at[slot].set(state.x),
            state.moves.at[slot].set(move),
            known.at[slot].set(near),
            part,
            size,
            change,
            state.steps + 1,
        )

    def unfinished(state: _State) -> Bool[Array, ""]:
        finite = jnp.isfinite(state.size) | (state.steps == 0)
        return (state.change > tol) & (state.steps < max_steps) & finite

    one = jnp.ones((), first.dtype)
    memory = jnp.zeros((_MEMORY, first.size), first.dtype)
    before = jnp.full(place, jnp.inf, first.dtype)
    unknown = jnp.zeros(_MEMORY, bool)
    begin = _State(first, before, memory, memory, unknown, one, one * jnp.inf, one * jnp.inf, jnp.zeros((), jnp.int32))
    end = jax.lax.while_loop(unfinished, body, begin)
    return FixedPoint(unravel(end.x), end.change <= tol, end.steps)


def _mix(
    x: Float[Array, " p"],
    move: Float[Array, " p"],
    part: Float[Array, ""],
    points: Float[Array, "h p"],
    moves: Float[Array, "h p"],
    known: Bool[Array, " h"],
) -> Float[Array, " p"]:
    """The combination of remembered points whose moves nearly cancel, and part of the way that is left."""
    back, turn = (jnp.where(known[:, None], old - new[None, :], 0) for old, new in ((points, x), (moves, move)))
    gram = turn @ turn.T
    eps = float(jnp.finfo(x.dtype).eps)
    ridge = 10 * eps * jnp.trace(gram) + float(jnp.finfo(x.dtype).tiny)
    factor = jnp.linalg.cholesky(gram + ridge * jnp.eye(_MEMORY, dtype=x.dtype))
    share = jsl.cho_solve((factor, True), turn @ move)
    share = jnp.where(jnp.isfinite(share), share, 0)
    return x - share @ back + part * (move - share @ turn)
