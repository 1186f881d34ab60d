"""Data that arrive row by row: a posterior that grows with them."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from scorax.data import AbstractData, AbstractRows
from scorax.inference._blocks._kernel import KernelOf
from scorax.inference._blocks._stepped import Stepped
from scorax.inference._blocks._traced import draw_prior, problem_of
from scorax.inference._model import AbstractModel, log_likelihood
from scorax.inference._problem import Problem, Vector
from scorax.inference._program import Program


class _Rows(eqx.Module):
    problem: Problem
    data: AbstractRows
    kernel: KernelOf | None

    def log_likelihood(self, q: Vector, data: AbstractRows) -> Float[Array, ""]:
        return log_likelihood(self.problem.module(q), data)

    def step(self, t: Int[Array, ""], q: Vector, key: PRNGKeyArray) -> tuple[Vector, Float[Array, ""]]:
        return q, self.log_likelihood(q, self.data.take(t[None]))

    def move(self, t: Int[Array, ""], q: Vector, key: PRNGKeyArray) -> Vector:
        assert self.kernel is not None
        weight = self.data.weight
        seen = jnp.arange(weight.shape[0], dtype=t.dtype) <= t
        so_far = self.data.reweight(jnp.where(seen, weight, jnp.zeros_like(weight)))

        def log_density(q: Vector) -> Float[Array, ""]:
            return self.problem.log_prior(q) + self.log_likelihood(q, so_far).astype(q.dtype)

        return self.kernel(log_density).one_step(key, q)


def stepped_by_rows(
    model: AbstractModel[Any], data: AbstractData, prior: Program | None = None, *, kernel: KernelOf | None = None
) -> Stepped:
    """A posterior one row at a time: step `t` weighs a draw from the prior by row `t`.

    `rmsmc` over it is iterated batch importance sampling: the evidence of every row given those before it.

    Args:
        model: Gives shapes, and the default prior.
        data: Rows, in the order in which they arrive.
        prior: A program in place of `model.prior`.
        kernel: From the log density of the posterior so far to a kernel, for `rmsmc`: such as
            `eqx.Partial(mh_kernel, proposal=random_walk(0.5))`.

    Raises:
        ValueError: The data do not fit the model, or have no rows; or the prior samples a discrete site.

    Example:
        >>> battles = sx.data.Comparisons.from_arrays([0, 0, 1], [1, 1, 2], [1.0, 1.0, 0.0])
        >>> steps = sx.inference.stepped_by_rows(sx.choice.BradleyTerry.init(3), battles)
        >>> sx.inference.smc(steps, 100, key=jax.random.key(0)).value.strength.shape
        (100, 3)

    Source: Chopin (2002), doi:10.1093/biomet/89.3.539.
    """
    if not isinstance(data, AbstractRows):
        raise ValueError(f"{type(data).__name__} has no rows to go through: pass the observations it was made from")
    model.check(data)
    problem = problem_of(model, data, prior)
    rows = _Rows(problem, data, kernel)
    move = None if kernel is None else rows.move
    init = eqx.Partial(draw_prior, problem)
    return Stepped(init, rows.step, problem.module, n_steps=data.weight.shape[0], move=move)
