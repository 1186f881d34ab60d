"""Newton's method, to machine precision: by second derivatives, or by products with them where they are too many."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.scipy.linalg as jsl
from jaxtyping import Array, Bool, Float, Int

from scorax.inference._curvature import LARGEST_DENSE
from scorax.inference._derivatives import Derivatives, derivatives_by_autodiff, pull_back, row_meat
from scorax.inference._newton_cg import maximise_by_products
from scorax.inference._solver import AbstractSolver, Solution, is_small, vanished

if TYPE_CHECKING:
    from scorax.inference._problem import Problem

Model = TypeVar("Model")


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
        largest_dense: Above so many coordinates no Hessian is formed on the way: steps are found by conjugate gradients
            in a trust region. (It is formed where standard errors are asked for.)
    """

    derivatives_of_leaves: Callable[[Any, Any], Callable[[Any], Derivatives]] | None = eqx.field(
        static=True, default=None
    )
    meat_of_leaves: Callable[[Any, Any], Float[Array, "p p"]] | None = eqx.field(static=True, default=None)
    approach_by: Callable[[Any, Any], Any] | None = eqx.field(static=True, default=None)
    step_limit: float = eqx.field(static=True, default=5.0)
    largest_dense: int = eqx.field(static=True, default=LARGEST_DENSE)

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
        if problem.start.size > self.largest_dense:
            return maximise_by_products(problem, max_steps=max_steps)
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
        flat = vanished(frozen, jnp.diagonal(factor) ** 2, final.at_start)
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
