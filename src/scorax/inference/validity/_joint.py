"""Parameters and data together: how both are drawn, and the likelihood. All that simulations need to know."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, Float, PRNGKeyArray
from numpyro import handlers

from scorax.inference._blocks._traced import data_log_likelihood, draw_prior, problem_of
from scorax.inference._model import AbstractModel, log_likelihood
from scorax.inference._problem import Problem, Vector
from scorax.inference._program import Program

Quantities = Callable[[Any, Any], Any]
"""`quantities(theta, data)`: arrays in any tree, each number of which is tested."""


def no_data(key: PRNGKeyArray, theta: Any) -> None:
    """The data of a law that has none."""


class Joint(eqx.Module):
    """The joint law of parameters `theta` and data, any trees of arrays.

    `joint_of` makes it for a scorax model. To test a kernel that leaves one fixed law alone, let `prior` draw from that
    law and give nothing else.

    Example:
        >>> joint = sx.inference.validity.Joint(
        ...     prior=jax.random.normal,
        ...     simulate=lambda key, theta: theta + jax.random.normal(key),
        ...     log_likelihood=lambda theta, data: -((data - theta) ** 2) / 2,
        ... )
        >>> theta, data = joint.draw(jax.random.key(0))
    """

    prior: Callable[[PRNGKeyArray], Any]
    """`prior(key) -> theta`"""
    simulate: Callable[[PRNGKeyArray, Any], Any] = no_data
    """`simulate(key, theta) -> data`"""
    log_likelihood: Callable[[Any, Any], Float[Array, ""]] | None = None
    """`log_likelihood(theta, data)`, up to a constant; None where it cannot be computed."""

    def draw(self, key: PRNGKeyArray) -> tuple[Any, Any]:
        """Parameters from the prior, and data from them: an exact draw from the posterior given these data."""
        key_theta, key_data = jax.random.split(key)
        theta = self.prior(key_theta)
        return theta, self.simulate(key_data, theta)


def joint_of(
    model: AbstractModel[Any], design: Any, *, prior: Program | None = None, unconstrained: bool = False
) -> Joint:
    """The joint law of a model's parameters and of outcomes in place of those of `design`.

    Args:
        model: Gives shapes, `simulate`, and the prior unless `prior` does.
        design: Data of the model, one observation a row.
        prior: A program in place of `model.prior`.
        unconstrained: `theta` is the module that the prior draws; or, if true, the flat vector of unconstrained
            coordinates of all sites of the prior, over which `traced` is defined and kernels move.

    Example:
        >>> battles = sx.data.Comparisons.from_arrays([0, 0, 1, 0], [1, 1, 0, 1], [1.0, 1.0, 1.0, 0.0])
        >>> joint = sx.inference.validity.joint_of(sx.choice.BradleyTerry.init(2), battles)
        >>> joint.prior(jax.random.key(0)).strength.shape
        (2,)
    """
    if unconstrained:
        problem = problem_of(model, design, prior)
        return Joint(
            eqx.Partial(draw_prior, problem),
            eqx.Partial(_simulate_at, problem),
            eqx.Partial(_log_likelihood_at, problem),
        )
    program = model.prior if prior is None else prior
    return Joint(eqx.Partial(_draw_module, program), eqx.Partial(_simulate, design), log_likelihood)


def _draw_module(program: Program, key: PRNGKeyArray) -> Any:
    with handlers.block():
        return handlers.seed(program, key)()


def _simulate(design: Any, key: PRNGKeyArray, model: Any) -> Any:
    return model.simulate(design, key=key)


def _simulate_at(problem: Problem, key: PRNGKeyArray, q: Vector) -> Any:
    return problem.module(q).simulate(problem.data, key=key)


def _log_likelihood_at(problem: Problem, q: Vector, data: Any) -> Float[Array, ""]:
    return data_log_likelihood(eqx.tree_at(lambda problem: problem.data, problem, data), q)
