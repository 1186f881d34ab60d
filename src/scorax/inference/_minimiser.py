"""Any optimistix minimiser as the solver of `fit`."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.scipy.linalg as jsl
import optimistix as optx
from jaxtyping import Array, Float

from scorax.inference._derivatives import Derivatives, derivatives_by_autodiff, row_meat
from scorax.inference._solver import AbstractSolver, Solution, is_small, vanished

if TYPE_CHECKING:
    from scorax.inference._problem import Problem


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
        flat = vanished(problem, jnp.diagonal(factor) ** 2, at_start)
        return Solution(
            found.value, at.value, at.gradient, remaining, flat, steps, is_small(remaining, found.value, power=1 / 3)
        )

    def derivatives(self, problem: "Problem", q: Float[Array, " d"]) -> Derivatives:
        """By automatic differentiation."""
        return derivatives_by_autodiff(problem, q)

    def meat(self, problem: "Problem", q: Float[Array, " d"]) -> Float[Array, "d d"]:
        """By automatic differentiation: a matrix of rows times coordinates."""
        return row_meat(problem, q)
