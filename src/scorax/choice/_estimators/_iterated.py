"""Fixed-point iterations with an honest stopping rule, and what they return."""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int

from scorax.data import PairCounts, Rankings, connectivity


class Iterated(eqx.Module):
    """The end of an iteration: the estimate, NaN where it did not converge, and how it went."""

    strength: Float[Array, " k"]
    """Natural-log worths that sum to zero."""
    converged: Bool[Array, ""]
    """The distance to the fixed point, as the last steps let expect it, is within the tolerance."""
    steps: Int[Array, ""]
    log_tie: Float[Array, ""] | None = None
    """Davidson's tie parameter, where it was estimated; `-inf` where nothing tied."""


class _State(eqx.Module):
    x: Float[Array, " d"]
    step: Float[Array, ""]
    rate: Float[Array, ""]
    """Of the last two ratios of consecutive steps, the larger one."""
    last_ratio: Float[Array, ""]
    distance: Float[Array, ""]
    count: Int[Array, ""]


def iterate(
    advance: Callable[[Float[Array, " d"]], Float[Array, " d"]],
    start: Float[Array, " d"],
    *,
    tol: float | None,
    max_steps: Int[Array, ""],
    possible: Bool[Array, ""],
) -> tuple[Float[Array, " d"], Bool[Array, ""], Int[Array, ""]]:
    """Repeat `x = advance(x)` until the fixed point is near.

    A short step alone proves nothing: where steps shrink by a rate r, what is left to go is `step * r / (1 - r)`. So a
    slow iteration is not taken for a finished one, and one that runs to infinity, whose rate tends to 1, never ends.

    Args:
        advance: One step.
        start: Where to start.
        tol: Largest distance left, in any coordinate; None: the square root of the machine's precision.
        max_steps: When to give up.
        possible: Whether there is one fixed point and no other; if not, no step is made.

    Returns:
        The last point, whether it converged, and the number of steps.
    """
    dtype = start.dtype
    eps = float(jnp.finfo(dtype).eps)
    tolerance = jnp.asarray(eps**0.5 if tol is None else tol, dtype)
    one, infinite = jnp.ones((), dtype), jnp.full((), jnp.inf, dtype)

    def body(state: _State) -> _State:
        x = advance(state.x)
        floor = 4 * eps * jnp.maximum(one, jnp.abs(x).max())
        step = jnp.abs(x - state.x).max()
        # After a step at the rounding floor ratios are noise: the rate seen before stands.
        telling = state.step > floor
        ratio = jnp.where(telling, jnp.maximum(step, floor) / state.step, state.last_ratio)
        rate = jnp.where(telling, jnp.maximum(ratio, state.last_ratio), state.rate)
        left = jnp.where(rate < 1, rate / jnp.maximum(1 - rate, eps), infinite)
        at_rest = (step == 0) & (state.count == 0)
        distance = jnp.where(at_rest, 0, jnp.maximum(step, floor) * left)
        return _State(x, step, rate, ratio, distance, state.count + 1)

    def unfinished(state: _State) -> Bool[Array, ""]:
        sane = (state.count == 0) | jnp.isfinite(state.step)
        return possible & sane & ~(state.distance <= tolerance) & (state.count < max_steps)

    first = _State(start, infinite, one, one, infinite, jnp.zeros((), jnp.int32))
    end = jax.lax.while_loop(unfinished, body, first)
    return end.x, possible & (end.distance <= tolerance), end.count


def poisoned(converged: Bool[Array, ""], strength: Float[Array, " k"]) -> Float[Array, " k"]:
    """Centred strengths, NaN where they did not converge."""
    return jnp.where(converged, strength - strength.mean(), jnp.nan)


def item_count(data: PairCounts | Rankings, n_items: int | None) -> int:
    """How many items there are: what the caller says, what a table or a choice set says, or the largest id says."""
    if isinstance(data, PairCounts):
        known = data.weight.shape[-1]
    elif data.rest is not None:
        known = data.rest.shape[1]
    elif n_items is None:
        known = int(jnp.where(data.where, data.order, 0).max()) + 1
    else:
        return n_items
    if n_items not in (None, known):
        raise ValueError(f"the data are of {known} items, n_items is {n_items}")
    return known


def is_concrete(data: Any) -> bool:
    """Whether the values are known now, so that something can be raised."""
    return not any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(data))


def refuse_failure(ok: Bool[Array, ""], data: PairCounts | Rankings, n_items: int, otherwise: str) -> None:
    """Raise where an estimate failed: because the data determine none, or else for the reason given."""
    if not isinstance(ok, Tracer) and not ok.all():
        connectivity(data, n_items).check(_names(n_items))
        raise ValueError(otherwise)


def refuse_unconverged(
    result: Iterated, data: PairCounts | Rankings, n_items: int, *, prior: bool, check: bool
) -> Iterated:
    """The result, or `ValueError` where it did not converge and can be looked at."""
    if check and not isinstance(result.converged, Tracer) and not result.converged.all():
        message = (
            f"stopped after {int(result.steps)} steps before the strengths settled. Raise max_steps or tol, or use "
            "double precision; scorax.inference.fit needs few steps where this takes many."
        )
        if prior:
            raise ValueError(message)
        refuse_failure(result.converged, data, n_items, message)
    return result


def _names(n_items: int) -> Sequence[str]:
    return [f"item {i}" for i in range(n_items)]
