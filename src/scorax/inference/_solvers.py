"""How `fit` maximises: Newton's method where second derivatives are at hand, an optimistix minimiser otherwise."""

import abc
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.scipy.linalg as jsl
import optimistix as optx
from jaxtyping import Array, Bool, Float, Int

from scorax.inference._derivatives import Derivatives, derivatives_by_autodiff, pull_back, row_meat

if TYPE_CHECKING:
    from scorax.inference._problem import Problem

Model = TypeVar("Model")


class Solution(NamedTuple):
    """Where a solver stopped, and how far from a maximum Newton's method says that this is."""

    q: Float[Array, " d"]
    """Differentiable with respect to everything in the problem."""
    value: Float[Array, ""]
    """Log density there."""
    gradient: Float[Array, " d"]
    remaining: Float[Array, " d"]
    """The Newton step that was left to go: the certificate. It stays large where the maximum is at infinity."""
    flat: Bool[Array, " d"]
    """Where next to no information is left: the maximum is at infinity, or there is none."""
    steps: Int[Array, ""]
    converged: Bool[Array, ""]


class AbstractSolver(eqx.Module):
    """A maximiser of `problem.log_density`."""

    def approach(self, model: Model, data: Any) -> Model:
        """A better start than `model`, where the likelihood alone offers one cheaply."""
        return model

    @abc.abstractmethod
    def maximise(self, problem: "Problem", *, max_steps: int) -> Solution:
        """Start at `problem.start` and climb."""

    @abc.abstractmethod
    def derivatives(self, problem: "Problem", q: Float[Array, " d"]) -> Derivatives:
        """Value, gradient and Hessian of `problem.log_density` at `q`."""

    @abc.abstractmethod
    def meat(self, problem: "Problem", q: Float[Array, " d"]) -> Float[Array, "d d"]:
        """Covariance of the score at `q` when every observation is independent: `sum weight^2/count g g^T`."""


class Minimiser(AbstractSolver):
    """Any optimistix minimiser; BFGS by default. Differentiable by the implicit function theorem.

    Args:
        method: Makes the minimiser from its relative and absolute tolerance, as optimistix' classes do.
    """

    method: Callable[..., optx.AbstractMinimiser[Any, Any, Any]] = eqx.field(static=True, default=optx.BFGS)

    def maximise(self, problem: "Problem", *, max_steps: int) -> Solution:
        """Climb until value and position change by less than the 2/3 power of the rounding error."""
        # A mean instead of a sum keeps the first line search sane, whatever the size of the data.
        scale = jnp.maximum(problem.data.weight.sum(), 1).astype(problem.start.dtype)
        tolerance = float(jnp.finfo(problem.start.dtype).eps) ** (2 / 3)
        found = optx.minimise(
            lambda q, args: -args[0].log_density(q) / args[1],
            self.method(rtol=tolerance, atol=tolerance),
            problem.start,
            (problem, scale),
            max_steps=50 * max_steps,
            throw=False,
        )
        at = jax.tree.map(jax.lax.stop_gradient, self.derivatives(problem, found.value))
        factor = jnp.linalg.cholesky(-at.hessian)
        remaining = jsl.cho_solve((factor, True), at.gradient)
        steps = found.stats["num_steps"].astype(jnp.int32)
        at_start = -jnp.diagonal(self.derivatives(problem, problem.start).hessian)
        flat = _flat(problem, factor, at_start)
        return Solution(
            found.value, at.value, at.gradient, remaining, flat, steps, is_small(remaining, found.value, power=1 / 3)
        )

    def derivatives(self, problem: "Problem", q: Float[Array, " d"]) -> Derivatives:
        """By automatic differentiation."""
        return derivatives_by_autodiff(problem, q)

    def meat(self, problem: "Problem", q: Float[Array, " d"]) -> Float[Array, "d d"]:
        """By automatic differentiation: a matrix of rows times coordinates."""
        return row_meat(problem, q)


class _State(NamedTuple):
    q: Float[Array, " d"]
    at: Derivatives
    damping: Float[Array, ""]
    """Of the next step."""
    damped: Bool[Array, ""]
    """Whether the last step was damped, and so proves nothing by being small."""
    step: Float[Array, " d"]
    """The last step that Newton's method asked for, before it was limited."""
    at_start: Float[Array, " d"]
    """Information about each coordinate where the search started."""
    steps: Int[Array, ""]

    @property
    def going(self) -> Bool[Array, ""]:
        """The last step was not small: the square of a small one is what is left to go, and the final step of
        `maximise` squares that once more."""
        return self.damped | ~is_small(self.step, self.q, power=1 / 4)


class Newton(AbstractSolver):
    """Newton's method with Levenberg's damping, to machine precision.

    Args:
        derivatives_of_leaves: Closed-form value, gradient and Hessian of the log-likelihood with respect to all
            parameters end to end: given model and data, a function of the model alone, so that sums of the data are
            taken once for all steps. Automatic differentiation if none is given.
        meat_of_leaves: Closed-form sum of `weight^2/count g g^T` over rows, likewise.
        approach_by: Cheap steps towards the maximum of the likelihood, from a model and data to a better model.
        step_limit: No coordinate moves further in one step.
    """

    derivatives_of_leaves: Callable[[Any, Any], Callable[[Any], Derivatives]] | None = eqx.field(
        static=True, default=None
    )
    meat_of_leaves: Callable[[Any, Any], Float[Array, "p p"]] | None = eqx.field(static=True, default=None)
    approach_by: Callable[[Any, Any], Any] | None = eqx.field(static=True, default=None)
    step_limit: float = eqx.field(static=True, default=5.0)

    def approach(self, model: Model, data: Any) -> Model:
        """By the cheap steps; no derivative passes, and none is lost: a maximum does not depend on the start."""
        if self.approach_by is None:
            return model
        frozen = jax.tree.map(lambda x: jax.lax.stop_gradient(x) if eqx.is_array(x) else x, (model, data))
        return self.approach_by(*frozen)

    def meat(self, problem: "Problem", q: Float[Array, " d"]) -> Float[Array, "d d"]:
        """From the closed form, pulled back through the transforms."""
        if self.meat_of_leaves is None:
            return row_meat(problem, q)
        return pull_back(problem.leaves, q, self.meat_of_leaves(problem.module(q), problem.data))

    def derivatives(self, problem: "Problem", q: Float[Array, " d"]) -> Derivatives:
        """From the closed form, pulled back through the transforms and the prior."""
        return self._derivatives_of(problem)(q)

    def _derivatives_of(self, problem: "Problem") -> Callable[[Float[Array, " d"]], Derivatives]:
        if self.derivatives_of_leaves is None:
            return lambda q: derivatives_by_autodiff(problem, q)
        of_model = self.derivatives_of_leaves(problem.module(problem.start), problem.data)

        def derivatives(q: Float[Array, " d"]) -> Derivatives:
            value, gradient, hessian = of_model(problem.module(q))
            fixed = jax.lax.stop_gradient(gradient)

            def bending(q: Float[Array, " d"]) -> Float[Array, ""]:
                """What curvature the transforms and the prior add to the likelihood's."""
                return jnp.vdot(fixed, problem.leaves(q)) + problem.log_prior(q)

            _, transposed = jax.vjp(problem.leaves, q)
            return Derivatives(
                value + problem.log_prior(q),
                transposed(gradient)[0] + jax.grad(problem.log_prior)(q),
                pull_back(problem.leaves, q, hessian) + jax.hessian(bending)(q),
            )

        return derivatives

    def maximise(self, problem: "Problem", *, max_steps: int) -> Solution:
        """Climb until the next step would change nothing."""
        frozen = jax.tree.map(lambda x: jax.lax.stop_gradient(x) if eqx.is_array(x) else x, problem)
        derivatives = self._derivatives_of(frozen)
        final = jax.lax.while_loop(
            lambda state: (state.steps < max_steps) & state.going,
            lambda state: self._advance(derivatives, state),
            _before_the_first(frozen.start),
        )
        # One more Newton step from the solution, the solution and its curvature held constant: it moves by rounding
        # only, and carries the implicit derivative with respect to whatever the problem holds.
        factor = jnp.linalg.cholesky(-final.at.hessian)
        at = self.derivatives(problem, final.q)
        step = jsl.cho_solve((factor, True), at.gradient)
        remaining = jax.lax.stop_gradient(step)
        flat = _flat(frozen, factor, final.at_start)
        return Solution(
            final.q + step,
            at.value,
            at.gradient,
            remaining,
            flat,
            final.steps,
            is_small(remaining, final.q, power=1 / 3),
        )

    def _advance(self, derivatives: Callable[[Array], Derivatives], state: _State) -> _State:
        """Try one damped step; keep it if the density does not fall, else damp ten times more.

        The first time around the step is zero, and only the derivatives at the start are found: so that they are
        compiled once.
        """
        opening = state.steps < 0
        diagonal = jnp.abs(jnp.diagonal(state.at.hessian)).max()
        step = jax.lax.cond(opening, lambda: jnp.zeros_like(state.q), lambda: _damped_step(state))
        longest = jnp.maximum(jnp.abs(step).max(initial=0), self.step_limit)
        q = state.q + step * (self.step_limit / longest)
        at = derivatives(q)
        # Near the top the true gain is below the rounding error of the sum.
        rounding = 8 * jnp.finfo(q.dtype).eps * (jnp.abs(state.at.value) + 1)
        better = at.value >= state.at.value - rounding
        more = jnp.maximum(10 * state.damping, 1e-3 * diagonal)
        less = jnp.where(state.damping < 1e-2 * diagonal, 0, state.damping / 10)
        at_start = jnp.where(opening, -jnp.diagonal(at.hessian), state.at_start)
        step = jnp.where(opening, state.step, step)
        steps = state.steps + 1
        # A condition, not a selection: it copies no matrix.
        return jax.lax.cond(
            better,
            lambda: _State(q, at, less, state.damping > 0, step, at_start, steps),
            lambda: state._replace(damping=more, at_start=at_start, steps=steps),
        )


def _damped_step(state: _State) -> Float[Array, " d"]:
    identity = jnp.eye(state.q.size, dtype=state.q.dtype)
    factor = jax.lax.linalg.cholesky(state.damping * identity - state.at.hessian, symmetrize_input=False)
    return jsl.cho_solve((factor, True), state.at.gradient)


def _before_the_first(q: Float[Array, " d"]) -> _State:
    nothing, identity = jnp.zeros_like(q), jnp.eye(q.size, dtype=q.dtype)
    worst = Derivatives(jnp.asarray(-jnp.inf, q.dtype), nothing, -identity)
    far, undamped = jnp.full_like(q, jnp.inf), jnp.zeros((), q.dtype)
    return _State(q, worst, undamped, jnp.asarray(False), far, nothing, jnp.asarray(-1, jnp.int32))


def _flat(problem: "Problem", factor: Float[Array, "d d"], at_start: Float[Array, " d"]) -> Bool[Array, " d"]:
    """Where information has all but vanished on the way: against the start, and against the weight of the data.

    What is left of a coordinate's information, given those before it, is a pivot: the square of the factor's diagonal.
    Where an item wins everything, information falls as `exp(-strength)`, and soon the gradient rounds to zero. Where
    the information is not even positive definite, no coordinate has any.
    """
    eps = float(jnp.finfo(factor.dtype).eps)
    pivot = jnp.diagonal(factor) ** 2
    vanished = pivot <= eps**0.75 * jnp.abs(at_start)
    vanished = vanished & (pivot <= eps**0.5 * problem.data.weight.sum().astype(factor.dtype))
    return vanished | ~jnp.isfinite(pivot)


def is_small(step: Float[Array, " d"], q: Float[Array, " d"], *, power: float) -> Bool[Array, ""]:
    """Below a power of the rounding error, in every coordinate."""
    size = jnp.maximum(1, jnp.abs(q).max(initial=0))
    return jnp.abs(step).max(initial=0) <= float(jnp.finfo(q.dtype).eps) ** power * size
