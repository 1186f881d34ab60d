"""A posterior as a block: a prior that can be drawn from, and a likelihood, over one trace of random choices."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray
from numpyro import handlers
from numpyro.distributions import ImproperUniform, biject_to

from scorax.inference._engine import engine
from scorax.inference._model import AbstractModel, log_likelihood
from scorax.inference._problem import Problem, Vector
from scorax.inference._program import Program, initial_coordinates


def _certain(trace: Any) -> Float[Array, ""]:
    return jnp.zeros(())


def _itself(trace: Any) -> Any:
    return trace


class Traced(eqx.Module):
    """A measure `p(u) L(u) du` over a trace `u`, any PyTree of arrays, pushed through `output`.

    Example:
        >>> normal = jax.scipy.stats.norm.logpdf
        >>> target = sx.inference.Traced(jax.random.normal, normal, lambda x: normal(1.0, x))  # one datum, 1.0
        >>> target.log_joint(jnp.array(0.5))
        Array(-2.0878..., dtype=float32)
    """

    draw: Callable[[PRNGKeyArray], Any]
    """A trace from the prior."""
    log_prior: Callable[[Any], Float[Array, ""]]
    """Log density of what `draw` draws."""
    log_likelihood: Callable[[Any], Float[Array, ""]] = _certain
    output: Callable[[Any], Any] = _itself
    """From a trace to what is wanted, such as a module."""

    def log_joint(self, trace: Any) -> Float[Array, ""]:
        """Log prior plus log-likelihood."""
        prior = self.log_prior(trace)
        return prior + self.log_likelihood(trace).astype(prior.dtype)


def draw_prior(problem: Problem, key: PRNGKeyArray) -> Vector:
    """Flat coordinates of one run of a problem's program."""

    def refuse(site: dict[str, Any]) -> None:
        if isinstance(site["fn"], ImproperUniform):
            raise ValueError(f"the site {site['name']!r} has no proper prior to draw from: give it one with prior=")

    with engine(), handlers.block(), handlers.trace() as trace, handlers.seed(rng_seed=key):
        with handlers.substitute(substitute_fn=refuse):
            problem.program()
        drawn = {name: trace[name] for name in problem.template}
        coordinates = {name: biject_to(site["fn"].support).inv(site["value"]) for name, site in drawn.items()}
    return ravel_pytree(coordinates)[0].astype(problem.start.dtype)


def data_log_likelihood(problem: Problem, q: Vector) -> Float[Array, ""]:
    """Log-likelihood of a problem's data at flat coordinates."""
    return log_likelihood(problem.module(q), problem.data)


def problem_of(model: AbstractModel[Any], data: Any, prior: Program | None) -> Problem:
    """Model, data and prior over flat coordinates. Nothing is compiled."""
    program = model.prior if prior is None else prior
    shapes = eqx.filter_eval_shape(initial_coordinates, program, {})
    template = {name: jnp.zeros(site.shape, site.dtype) for name, site in shapes.items()}
    return Problem(program, data, template, jacobian=True)


def traced(model: AbstractModel[Any], data: Any, prior: Program | None = None) -> Traced:
    """The posterior of a model as a block, over the flat vector of unconstrained coordinates of its prior's sites.

    Args:
        model: Gives shapes, and the default prior.
        data: The container that `model.log_prob` takes.
        prior: A program in place of `model.prior`. Its distributions must be proper, to be drawn from.

    Returns:
        A `Traced` whose output is a module; its arrays (data, hyperparameters) are arguments of compiled functions.

    Raises:
        ValueError: The data do not fit the model, or the prior samples a discrete site.

    Example:
        >>> battles = sx.data.Comparisons.from_arrays([0, 0, 1], [1, 1, 2], [1.0, 1.0, 0.5])
        >>> target = sx.inference.traced(sx.choice.BradleyTerry.init(3), battles)
        >>> population = sx.inference.importance(target, 100, key=jax.random.key(0))
        >>> population.value.strength.shape
        (100, 3)
    """
    model.check(data)
    problem = problem_of(model, model.condense(data), prior)
    return Traced(
        eqx.Partial(draw_prior, problem), problem.log_prior, eqx.Partial(data_log_likelihood, problem), problem.module
    )
