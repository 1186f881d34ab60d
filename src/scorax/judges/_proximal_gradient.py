"""Posterior modes under Laplace priors, where some parameters are exactly zero: a solver for `fit`."""

from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import jax.scipy.linalg as jsl
import numpyro.distributions as dist
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Int

from scorax.inference import AbstractSolver, Derivatives, Newton, Solution

if TYPE_CHECKING:
    from scorax.inference._problem import Problem

_POLISHING_STEPS = 3


class ProximalGradient(AbstractSolver):
    r"""Accelerated proximal gradients: climbs what is smooth, and shrinks towards the centre of each Laplace prior.

    A Laplace prior has a kink at its centre, where a mode stays although no derivative vanishes there. Sites that a
    prior draws from a Laplace distribution are shrunk exactly; all else is climbed along its gradient, with Nesterov's
    momentum, which starts anew where it leads astray. Newton's steps in the coordinates that are not at a kink finish
    the search. Without any Laplace site it is Newton's method.

    At a kink a mode has no standard error, so covariances of the fit are NaN where any parameter is at one: sample
    the posterior to learn how sure it is.

    Source: Beck, Teboulle (2009), doi:10.1137/080716542; O'Donoghue, Candes (2015), doi:10.1007/s10208-013-9150-3
    (restarts).
    """

    def maximise(self, problem: "Problem", *, max_steps: int) -> Solution:
        """Up to fifty times `max_steps` steps along gradients, then a few of Newton's."""
        kinks = _Kinks.of(problem)
        if kinks is None:
            return Newton().maximise(problem, max_steps=max_steps)
        frozen = jax.lax.stop_gradient(problem)
        q, steps = _climb(frozen, kinks, 50 * max_steps)
        for _ in range(_POLISHING_STEPS):
            move, _, _ = _newton(frozen, kinks, q, q)
            # Within its orthant the density is smooth; a step that leaves it has gone over a kink.
            stays = (jnp.sign(q + move - kinks.centre) == jnp.sign(q - kinks.centre)) | (kinks.rate == 0)
            q = jnp.where(stays.all(), q + move, q)
        # One more from the solution, held constant: it moves by rounding only, and carries the implicit derivative.
        move, slope, pivot = _newton(problem, kinks, q, q)
        remaining = jax.lax.stop_gradient(move)
        size = jnp.maximum(1, jnp.abs(q).max(initial=0))
        converged = jnp.abs(remaining).max(initial=0) <= float(jnp.finfo(q.dtype).eps) ** (1 / 3) * size
        # A Laplace prior keeps its own coordinates finite; of the others Cholesky's factor tells.
        flat = ~(pivot > float(jnp.finfo(q.dtype).eps))
        return Solution(q + move, frozen.log_density(q), slope, remaining, flat, steps, converged)

    def derivatives(self, problem: "Problem", q: Float[Array, " d"]) -> Derivatives:
        """By automatic differentiation; the Hessian is NaN at a kink, where there is none."""
        at = Newton().derivatives(problem, q)
        kinks = _Kinks.of(problem)
        if kinks is None:
            return at
        return at._replace(hessian=jnp.where(kinks.at(q).any(), jnp.nan, at.hessian))

    def meat(self, problem: "Problem", q: Float[Array, " d"]) -> Float[Array, "d d"]:
        """By automatic differentiation: a matrix of rows times coordinates."""
        return Newton().meat(problem, q)


class _Kinks(NamedTuple):
    """The Laplace priors among a program's sites, as `rate |q - centre|`; the rate of other coordinates is 0."""

    rate: Float[Array, " d"]
    centre: Float[Array, " d"]

    @classmethod
    def of(cls, problem: "Problem") -> "_Kinks | None":
        found = problem.draw(problem.start).distributions
        rate, centre, some = {}, {}, False
        for name, x in problem.coordinates(problem.start).items():
            base = found[name]
            while isinstance(base, dist.Independent | dist.ExpandedDistribution):
                base = base.base_dist
            laplace = isinstance(base, dist.Laplace)
            some = some or laplace
            scale, loc = (base.scale, base.loc) if isinstance(base, dist.Laplace) else (jnp.inf, 0.0)
            rate[name] = jnp.broadcast_to(1 / jnp.asarray(scale, x.dtype), x.shape)
            centre[name] = jnp.broadcast_to(jnp.asarray(loc, x.dtype), x.shape)
        return cls(ravel_pytree(rate)[0], ravel_pytree(centre)[0]) if some else None

    def at(self, q: Float[Array, " d"]) -> Bool[Array, " d"]:
        """Which coordinates are at their kink."""
        return (self.rate > 0) & (q == self.centre)

    def shrink(self, q: Float[Array, " d"], step: Float[Array, ""]) -> Float[Array, " d"]:
        """The proximal step of the priors: towards the centre, and no further."""
        apart = q - self.centre
        return self.centre + jnp.sign(apart) * jnp.maximum(jnp.abs(apart) - step * self.rate, 0)


def _smooth(problem: "Problem", kinks: _Kinks, q: Float[Array, " d"]) -> Float[Array, ""]:
    """Log density without its kinks: what is added here cancels them, in derivatives too."""
    return problem.log_density(q) + jnp.sum(kinks.rate * jnp.abs(q - kinks.centre))


class _State(NamedTuple):
    q: Float[Array, " d"]
    ahead: Float[Array, " d"]
    """Where momentum leads: the next gradient is taken there."""
    momentum: Float[Array, ""]
    curvature: Float[Array, ""]
    """An upper bound, as far as seen: one over the length of steps."""
    going: Bool[Array, ""]
    steps: Int[Array, ""]


def _climb(problem: "Problem", kinks: _Kinks, max_steps: int) -> tuple[Float[Array, " d"], Int[Array, ""]]:
    start = problem.start
    eps = float(jnp.finfo(start.dtype).eps)
    value_and_grad = jax.value_and_grad(lambda q: _smooth(problem, kinks, q))

    def advance(state: _State) -> _State:
        value, slope = value_and_grad(state.ahead)

        def proposal(curvature: Float[Array, ""]) -> Float[Array, " d"]:
            return kinks.shrink(state.ahead + slope / curvature, 1 / curvature)

        def too_long(curvature: Float[Array, ""]) -> Bool[Array, ""]:
            move = proposal(curvature) - state.ahead
            least = value + slope @ move - curvature / 2 * (move @ move) - 8 * eps * (jnp.abs(value) + 1)
            return ~(_smooth(problem, kinks, state.ahead + move) >= least) & (curvature < 1e30)

        curvature = jax.lax.while_loop(too_long, lambda c: 2 * c, state.curvature)
        q = proposal(curvature)
        back = (state.ahead - q) @ (q - state.q) > 0
        momentum = (1 + jnp.sqrt(1 + 4 * state.momentum**2)) / 2
        ahead = jnp.where(back, q, q + (state.momentum - 1) / momentum * (q - state.q))
        size = eps ** (2 / 3) * jnp.maximum(1, jnp.abs(q).max(initial=0))
        going = jnp.abs(q - state.ahead).max(initial=0) > size
        return _State(q, ahead, jnp.where(back, 1, momentum), curvature, going, state.steps + 1)

    one = jnp.ones((), start.dtype)
    first = _State(start, start, one, one, jnp.asarray(True), jnp.zeros((), jnp.int32))
    end = jax.lax.while_loop(lambda state: state.going & (state.steps < max_steps), advance, first)
    return end.q, end.steps


def _newton(
    problem: "Problem", kinks: _Kinks, q: Float[Array, " d"], at: Float[Array, " d"]
) -> tuple[Float[Array, " d"], Float[Array, " d"], Float[Array, " d"]]:
    """Newton's step where there is no kink, the slope of least size, and the pivots of the information.

    A coordinate at its kink moves only if the likelihood pulls harder than the prior holds.
    """
    frozen = jax.lax.stop_gradient(problem)
    information = -jax.hessian(lambda q: _smooth(frozen, kinks, q))(at)
    pull = jax.grad(lambda q: _smooth(problem, kinks, q))(q)
    held = kinks.at(q)
    beyond = jnp.sign(pull) * jnp.maximum(jnp.abs(pull) - kinks.rate, 0)
    slope = jnp.where(held, beyond, pull - kinks.rate * jnp.sign(q - kinks.centre))
    free = ~held[:, None] & ~held[None, :] | jnp.eye(q.size, dtype=bool)
    factor = jnp.linalg.cholesky(jnp.where(free, information, 0))
    return jsl.cho_solve((factor, True), slope), jax.lax.stop_gradient(slope), jnp.diagonal(factor) ** 2
