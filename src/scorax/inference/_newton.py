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
    value: Float[Array, ""]
    gradient: Float[Array, " d"]
    hessian: Float[Array, "d d"]
    """At `q`, or where the step that led there started."""
    current: Bool[Array, ""]
    """Whether it is that at `q`."""
    factor: Float[Array, "d d"]
    """Cholesky's, that the last step was found with."""
    pivot: Float[Array, " d"]
    """Squares of the diagonal of the last undamped factor; NaN where there was none."""
    damping: Float[Array, ""]
    """Of the next step."""
    damped: Bool[Array, ""]
    """Whether the last step was damped, and so proves nothing by being small."""
    near: Bool[Array, ""]
    """Whether the last step was so small that two more with its factor leave rounding errors only."""
    at_start: Float[Array, " d"]
    """Information about each coordinate where the search started."""
    steps: Int[Array, ""]


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

    def maximise(self, problem: "Problem", *, max_steps: int, of: AbstractSolver | None = None) -> Solution:
        """Climb until the next step would change nothing.

        Args:
            problem: What to maximise.
            max_steps: As in `fit`.
            of: The solver that asks, whose `derivatives` those of the solution are taken from; this one if None.
        """
        if problem.start.size > self.largest_dense:
            return maximise_by_products(problem, max_steps=max_steps)
        frozen = jax.tree.map(lambda x: jax.lax.stop_gradient(x) if eqx.is_array(x) else x, problem)
        # Compiled for itself, so that it is traced once for the three places that use parts of it.
        derivatives = jax.jit(self._derivatives_of(frozen))
        final = jax.lax.while_loop(
            lambda state: (state.steps < max_steps) & ~state.near,
            lambda state: self._advance(derivatives, state),
            _before_the_first(frozen.start),
        )
        # The last step was below the fourth root of the rounding error and left its square. Each step with the same
        # factor gains as much as that step was small, so that two reach rounding error without another Hessian.
        q = jnp.where(final.near, final.q + jsl.cho_solve((final.factor, True), final.gradient), final.q)
        value, gradient, _ = derivatives(q)
        remaining = jsl.cho_solve((final.factor, True), gradient)
        converged = ~final.damped & is_small(remaining, q, power=1 / 3)
        flat = vanished(frozen, final.pivot, final.at_start)
        q, value = _optimum(self if of is None else of, problem, q + remaining, value)
        return Solution(q, value, gradient, remaining, flat, final.steps, converged)

    def _advance(self, derivatives: Callable[[Array], Derivatives], state: _State) -> _State:
        """Try one damped step; keep it if the density does not fall, else damp ten times more.

        The first time around the step is zero, and only value and gradient at the start are found: so that they are
        compiled once. A Hessian is formed when a step from there is wanted, so never at the end. Conditions, not
        selections: they copy no matrix.
        """
        opening = state.steps < 0
        hessian = jax.lax.cond(state.current, lambda: state.hessian, lambda: derivatives(state.q).hessian)
        factor = jax.lax.cond(opening, lambda: state.factor, lambda: _factor(hessian, state.damping))
        step = jsl.cho_solve((factor, True), state.gradient)
        longest = jnp.maximum(jnp.abs(step).max(initial=0), self.step_limit)
        q = state.q + step * (self.step_limit / longest)
        value, gradient, _ = derivatives(q)
        # Near the top the true gain is below the rounding error of the sum.
        rounding = 8 * jnp.finfo(q.dtype).eps * (jnp.abs(state.value) + 1)
        better = value >= state.value - rounding
        diagonal = jnp.abs(jnp.diagonal(hessian)).max()
        more = jnp.maximum(10 * state.damping, 1e-3 * diagonal)
        less = jnp.where(state.damping < 1e-2 * diagonal, 0, state.damping / 10)
        damped = state.damping > 0
        near = better & ~opening & ~damped & is_small(step, q, power=1 / 4)
        pivot = jnp.where(damped, state.pivot, jnp.diagonal(factor) ** 2)
        at_start = jnp.where(state.steps == 0, -jnp.diagonal(hessian), state.at_start)
        steps, current = state.steps + 1, jnp.asarray(True)
        return jax.lax.cond(
            better,
            lambda: _State(q, value, gradient, hessian, ~current, factor, pivot, less, damped, near, at_start, steps),
            lambda: state._replace(
                hessian=hessian,
                current=current,
                factor=factor,
                pivot=pivot,
                damping=more,
                damped=damped,
                at_start=at_start,
                steps=steps,
            ),
        )


@eqx.filter_custom_jvp
def _optimum(
    solver: AbstractSolver, problem: "Problem", q: Float[Array, " d"], value: Float[Array, ""]
) -> tuple[Float[Array, " d"], Float[Array, ""]]:
    """The maximum of a problem and its density there, which are found already: a place for their derivatives."""
    return q, value


@_optimum.def_jvp
def _optimum_jvp(primals: Any, tangents: Any) -> Any:
    """By the implicit function theorem: the gradient stays zero. The information is formed here, and only here."""
    solver, problem, q, value = primals

    def value_and_gradient(problem: "Problem") -> tuple[Array, Array]:
        at = solver.derivatives(problem, q)
        return at.value, at.gradient

    _, (rise, change) = eqx.filter_jvp(value_and_gradient, (problem,), (tangents[1],))
    factor = jnp.linalg.cholesky(-solver.derivatives(problem, q).hessian)
    return (q, value), (jsl.cho_solve((factor, True), change), rise)


def _factor(hessian: Float[Array, "d d"], damping: Float[Array, ""]) -> Float[Array, "d d"]:
    identity = jnp.eye(hessian.shape[0], dtype=hessian.dtype)
    return jax.lax.linalg.cholesky(damping * identity - hessian, symmetrize_input=False)


def _before_the_first(q: Float[Array, " d"]) -> _State:
    nothing, identity = jnp.zeros_like(q), jnp.eye(q.size, dtype=q.dtype)
    true, steps = jnp.asarray(True), jnp.asarray(-1, jnp.int32)
    lowest, undamped = jnp.asarray(-jnp.inf, q.dtype), jnp.zeros((), q.dtype)
    return _State(q, lowest, nothing, -identity, true, identity, nothing, undamped, ~true, ~true, nothing, steps)
