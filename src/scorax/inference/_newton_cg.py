"""Newton's method for so many coordinates that their Hessian has no place: conjugate gradients in a trust region.

Neither `lineax.CG` nor optimistix' descents stop at a trust region's border or where the density curves upwards, which
is what makes the search safe away from the top. At the top, `lineax.CG` (0.1.1) returns NaN where a direction has less
curvature than `200 d` rounding errors: 0.1 for 5000 dimensions in single precision, where one is the mean.

Source: Steihaug (1983), doi:10.1137/0720042; Nocedal & Wright (2006), chapter 7.
"""

from typing import TYPE_CHECKING, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from scorax.inference._curvature import Product, scaled, slopes_at, widths
from scorax.inference._engine import engine
from scorax.inference._solver import Solution, is_small, vanished

if TYPE_CHECKING:
    from scorax.inference._problem import Problem

# Widths only precondition here.
_PROBES = 8
_MOST_PRODUCTS = 1000


class Summit(NamedTuple):
    """Where the search stopped, and how far from a maximum Newton's method says that this is."""

    q: Float[Array, " d"]
    value: Float[Array, ""]
    """Log density there."""
    remaining: Float[Array, " d"]
    """The last Newton step, which was taken: the certificate. What is left to go is of the order of its square."""
    steps: Int[Array, ""]
    converged: Bool[Array, ""]


class _State(NamedTuple):
    q: Float[Array, " d"]
    value: Float[Array, ""]
    radius: Float[Array, ""]
    """Of the trust region, in widths, once there was a step."""
    width: Float[Array, " d"]
    """Of the coordinates, as far as they are known: better at each step."""
    step: Float[Array, " d"]
    near: Bool[Array, ""]
    """Whether the last step was Newton's, and small: the square of a small one is what is left to go."""
    done: Bool[Array, ""]
    """Whether one more was taken from there, which squares that once more."""
    steps: Int[Array, ""]


class _Step(NamedTuple):
    step: Float[Array, " d"]
    gain: Float[Array, ""]
    """That the quadratic model promises."""
    limited: Bool[Array, ""]
    """By the border of the trust region."""


@eqx.filter_jit
def newton_cg(problem: "Problem", start: Float[Array, " d"], *, max_steps: int = 100) -> Summit:
    """Climb `problem.log_density` from `start`, to the accuracy of `Newton`, in the memory of some gradients."""
    zero, no = jnp.zeros((), start.dtype), jnp.asarray(False)
    final = jax.lax.while_loop(
        lambda state: (state.steps < max_steps) & ~state.done,
        lambda state: _advance(problem, state),
        _State(start, zero, zero, jnp.ones_like(start), jnp.zeros_like(start), no, no, jnp.asarray(0, jnp.int32)),
    )
    converged = final.done & is_small(final.step, final.q, power=1 / 3) & jnp.isfinite(final.value)
    return Summit(final.q, final.value, final.step, final.steps, converged)


def maximise_by_products(problem: "Problem", *, max_steps: int) -> Solution:
    """`newton_cg` from the problem's start, as a solver's answer: differentiable, with its certificate."""
    frozen = jax.tree.map(lambda x: jax.lax.stop_gradient(x) if eqx.is_array(x) else x, problem)
    summit = newton_cg(frozen, frozen.start, max_steps=max_steps)
    information = slopes_at(frozen.log_density, summit.q).information
    width = widths(information, jnp.ones_like(summit.q), probes=_PROBES, rounds=2)
    with engine():
        value, gradient = jax.value_and_grad(problem.log_density)(summit.q)
    # One more Newton step, the solution and its curvature held constant, carries the implicit derivative.
    step = jax.lax.custom_linear_solve(
        information, gradient, lambda product, b: _solve(product, b, width), symmetric=True
    )
    remaining = jax.lax.stop_gradient(step)
    before = widths(slopes_at(frozen.log_density, frozen.start).information, width, probes=_PROBES, rounds=2)
    return Solution(
        summit.q + step,
        value,
        gradient,
        remaining,
        # Where the model curves upwards, up to rounding, there is no step and no maximum.
        vanished(frozen, width**-2, before**-2) | ~jnp.isfinite(remaining),
        summit.steps,
        summit.converged & is_small(remaining, summit.q, power=1 / 3),
    )


def _solve(product: Product, b: Float[Array, " d"], width: Float[Array, " d"]) -> Float[Array, " d"]:
    """Newton's step without a border."""
    nowhere = jnp.full((), jnp.inf, b.dtype)
    accuracy = jnp.full((), float(jnp.finfo(b.dtype).eps) ** 0.75, b.dtype)
    return width * _steihaug(scaled(product, width), width * b, nowhere, accuracy).step


def _advance(problem: "Problem", state: _State) -> _State:
    """Try the best step within the trust region; keep it unless the density falls, and resize the region."""
    here, gradient, information = slopes_at(problem.log_density, state.q)
    width = widths(information, state.width, probes=_PROBES)
    uphill = width * gradient
    # At first as far as one unit of every coordinate.
    radius = jnp.where(state.steps == 0, jnp.linalg.norm(1 / width), state.radius)
    # The nearer to the maximum, the smaller the residual at which to stop: steps shrink quadratically, and none far
    # away is paid for in full.
    accuracy = jnp.where(state.near, jnp.finfo(width.dtype).eps ** 0.5, jnp.minimum(0.1, jnp.linalg.norm(uphill)))
    inside = _steihaug(scaled(information, width), uphill, radius, accuracy)
    step = width * inside.step
    with engine():
        value = problem.log_density(state.q + step)
    # Near the top the true gain is below the rounding error of the sum.
    rounding = 8 * jnp.finfo(step.dtype).eps * (jnp.abs(here) + 1)
    better = value >= here - rounding
    ratio = jnp.where(better, (value - here + rounding) / (inside.gain + rounding), 0)
    shorter, longer = jnp.linalg.norm(inside.step) / 4, jnp.where(inside.limited, 2, 1) * radius
    radius = jnp.where(ratio < 0.25, shorter, jnp.where(ratio > 0.75, longer, radius))
    newtons = better & ~inside.limited
    return _State(
        jnp.where(better, state.q + step, state.q),
        jnp.where(better, value, here),
        radius,
        width,
        step,
        newtons & is_small(step, state.q, power=1 / 4),
        newtons & state.near,
        state.steps + 1,
    )


def _steihaug(
    product: Product, gradient: Float[Array, " d"], radius: Float[Array, ""], accuracy: Float[Array, ""]
) -> _Step:
    """Conjugate gradients towards the top of the quadratic model, up to the border of the trust region.

    Where the model curves upwards it has no top, and the way leads to the border.
    """
    enough = accuracy * jnp.linalg.norm(gradient)
    none = jnp.zeros_like(gradient)

    def going(at: tuple[Array, ...]) -> Bool[Array, ""]:
        _, residual, _, limited, n = at
        return (jnp.linalg.norm(residual) > enough) & ~limited & (n < _MOST_PRODUCTS)

    def advance(at: tuple[Array, ...]) -> tuple[Array, ...]:
        step, residual, direction, _, n = at
        pushed = product(direction)
        curvature, square = jnp.vdot(direction, pushed), jnp.vdot(residual, residual)
        upwards = curvature <= 0
        along = square / jnp.where(upwards, 1, curvature)
        limited = upwards | (jnp.linalg.norm(step + along * direction) >= radius)
        along = jnp.where(limited, _to_border(step, direction, radius), along)
        left = residual - along * pushed
        onward = left + (jnp.vdot(left, left) / square) * direction
        return step + along * direction, left, onward, limited, n + 1

    begin = none, gradient, gradient, jnp.asarray(False), jnp.asarray(0, jnp.int32)
    step, residual, _, limited, _ = jax.lax.while_loop(going, advance, begin)
    return _Step(step, jnp.vdot(step, gradient + residual) / 2, limited)


def _to_border(step: Float[Array, " d"], direction: Float[Array, " d"], radius: Float[Array, ""]) -> Float[Array, ""]:
    """How far along the direction the border is: the positive root of a quadratic, without cancellation."""
    a, b = jnp.vdot(direction, direction), jnp.vdot(step, direction)
    c = jnp.maximum(radius**2 - jnp.vdot(step, step), 0)
    return c / (b + jnp.sqrt(b**2 + a * c))
