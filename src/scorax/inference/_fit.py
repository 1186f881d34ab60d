"""Maximum likelihood and posterior modes, with a certificate, standard errors and derivatives."""

from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.scipy.linalg as jsl
import numpy as np
from jax.core import Tracer
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Int, PyTree
from numpyro.distributions import constraints
from numpyro.distributions.constraints import Constraint

from scorax.inference._derivatives import clustered_meat
from scorax.inference._model import AbstractModel, parameters
from scorax.inference._priors import FlatPrior, named_leaves, with_leaves
from scorax.inference._problem import Problem
from scorax.inference._program import Program, initial_coordinates, run
from scorax.inference._solver import AbstractSolver, Solution

Model = TypeVar("Model", bound=AbstractModel[Any])


class Diagnostics(eqx.Module):
    """Whether a fit can be believed, and if not, why. Arrays, so that they batch with the fit."""

    converged: Bool[Array, ""]
    """The Newton step left to go is below tolerance in every coordinate that is not at a boundary."""
    separated: Bool[Array, ""]
    """There is no finite maximum: some parameter runs away, as the strength of an item that always wins."""
    boundary: Bool[Array, ""]
    """The maximum lies at the edge of a parameter's support, where standard errors mean nothing."""
    steps: Int[Array, ""]
    gradient_norm: Float[Array, ""]
    """Largest absolute derivative of the mean log density per unit of weight, in unconstrained coordinates."""
    running: Bool[Array, " d"]
    """Which coordinates have no finite maximum, or have not reached it."""


class Estimate(NamedTuple):
    """A function of the parameters, with its delta-method uncertainty. Both follow the shape of `value`."""

    value: PyTree
    std_error: PyTree
    covariance: Float[Array, "o o"]
    """Of all entries of `value`, end to end."""


class Fit(eqx.Module, Generic[Model]):
    """The result of `fit`: an estimate, its uncertainty, and whether it can be believed."""

    model: Model
    """The estimate. NaN throughout where the fit failed."""
    log_likelihood: Float[Array, ""]
    diagnostics: Diagnostics
    data: Any
    """As given to `fit`."""
    problem: Problem
    """What was maximised, on data condensed by the model."""
    q: Float[Array, " d"]
    """The estimate in unconstrained coordinates."""
    solver: AbstractSolver
    meat: Float[Array, "d d"] | None
    """Covariance of the score, for sandwich covariances; None for model-based ones."""

    @property
    def covariance(self) -> Float[Array, "p p"]:
        """Covariance of all parameters, end to end in the order of `leaf_names`; NaN at a boundary."""
        return self.map(_flat).covariance

    @property
    def std_error(self) -> Model:
        """Standard errors, as a module of the same shape."""
        return _std_error(self)

    def map(self, f: Callable[[Model], PyTree]) -> Estimate:
        """Any differentiable function of the model, with its covariance by the delta method.

        Example:
            >>> battles = sx.data.Comparisons.from_arrays([0, 0, 1, 0], [1, 1, 0, 1], [1.0, 1.0, 1.0, 0.5])
            >>> result = sx.inference.fit(sx.choice.BradleyTerry.init(2), battles)
            >>> gap = result.map(lambda model: model.strength[0] - model.strength[1])
            >>> gap.value.round(4)  # log(2.5 / 1.5)
            Array(0.5108, dtype=float32)
        """
        return _map(self, f)

    def robust(self, cluster: Int[Array, "..."] | None = None) -> "Fit[Model]":
        """The same estimate with a sandwich covariance, which does not trust the model for the noise.

        Args:
            cluster: An id for every row, in the shape of `data.weight`: rows of one voter, prompt or ranking are not
                independent. None takes every observation as its own cluster. No small-sample factor is applied.

        Source: Huber (1967); White (1980), doi:10.2307/1912934; Liang & Zeger (1986), doi:10.1093/biomet/73.1.13.
        """
        if cluster is None:
            return eqx.tree_at(lambda fit: fit.meat, self, _row_meat(self), is_leaf=lambda x: x is None)
        ids = np.asarray(cluster)
        if ids.shape != self.data.weight.shape:
            raise ValueError(f"cluster has shape {ids.shape}, but the data's rows have shape {self.data.weight.shape}")
        dense, ids = np.unique(ids, return_inverse=True)
        meat = _clustered_meat(self, jnp.asarray(ids.reshape(cluster.shape), jnp.int32), len(dense))
        return eqx.tree_at(lambda fit: fit.meat, self, meat, is_leaf=lambda x: x is None)


def fit(
    model: Model,
    data: Any,
    *,
    prior: Program | None = None,
    solver: AbstractSolver | None = None,
    max_steps: int = 50,
    throw: bool = True,
) -> Fit[Model]:
    """Maximum likelihood, or the posterior mode under a prior.

    The search moves in the unconstrained coordinates of the parameters' supports. The result is differentiable with
    respect to the data (first derivatives, forwards and backwards), and `fit` works under `jit` and `vmap`: a
    bootstrap is a `vmap` over weights. A second fit of the same shapes compiles nothing.

    Args:
        model: Gives shapes, dtype and the start of the search.
        data: The container that `model.log_prob` takes.
        prior: A program (any function without arguments that draws a module) whose density in natural space is added
            to the log-likelihood. A function made anew at each call compiles anew at each call: name it once.
        solver: How to climb; `model.solver` if None.
        max_steps: Newton steps (an optimistix minimiser gets fifty times as many).
        throw: Raise where the fit failed. Under `jit` and `vmap` nothing can be raised; there, and with
            `throw=False`, a failed estimate is NaN and `diagnostics` says why.

    Raises:
        ValueError: There is no finite maximum; or the search did not converge; or the prior is a hierarchy, which has
            no meaningful joint mode.

    Example:
        >>> battles, models = sx.data.datasets.load_llmfao()
        >>> result = sx.inference.fit(sx.choice.BradleyTerry.init(len(models)), battles.table(len(models)))
        >>> models[int(result.model.strength.argmax())]
        'GPT 4'
    """
    if prior is not None:
        _refuse_hierarchy(model, prior)
    concrete = not any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves((model, data)))
    if concrete:
        model.check(data)
    chosen = type(model).solver if solver is None else solver
    condensed = model.condense(data)
    program = FlatPrior(model, condensed.weight.sum()) if prior is None else prior
    q, template, estimate, value, diagnostics = _fit(model, program, condensed, chosen, max_steps)
    problem = Problem(program, condensed, template, False)
    result = Fit(estimate, value, diagnostics, data, problem, q, chosen, None)
    if throw and concrete:
        _raise_if_failed(result)
    return result


@eqx.filter_jit
def _fit(
    model: AbstractModel[Any], program: Program, data: Any, solver: AbstractSolver, max_steps: int
) -> tuple[Any, ...]:
    start = solver.approach(model, data) if isinstance(program, FlatPrior) else model
    problem = Problem.of(program, data, named_leaves(start), jacobian=False)
    found = solver.maximise(problem, max_steps=max_steps)
    diagnostics = _diagnose(problem, found)
    estimate = problem.module(found.q)
    value = found.value - problem.log_prior(found.q)
    failed = ~diagnostics.converged
    poisoned = [jnp.where(failed, jnp.nan, leaf) for leaf in jax.tree.leaves(parameters(estimate))]
    return found.q, problem.template, with_leaves(estimate, poisoned), value, diagnostics


def _diagnose(problem: Problem, found: Solution) -> Diagnostics:
    # Coordinates that still want to move, or that may move freely: to infinity, or to the edge of a support (which is
    # at infinity, too).
    running = (jnp.abs(found.remaining) > 1e-2) | found.flat
    at_edge = running & _bounded(problem, found.q)
    total = jnp.maximum(problem.data.weight.sum(), 1).astype(found.q.dtype)
    slope = jnp.abs(found.gradient).max(initial=0) / total
    stationary = slope < float(jnp.finfo(found.q.dtype).eps) ** 0.5
    return Diagnostics(
        converged=(found.converged & ~running.any()) | (stationary & running.any() & (running == at_edge).all()),
        separated=stationary & (running & ~at_edge).any(),
        boundary=at_edge.any() & stationary,
        steps=found.steps,
        gradient_norm=slope,
        running=running,
    )


def _bounded(problem: Problem, q: Float[Array, " d"]) -> Bool[Array, " d"]:
    """Which coordinates belong to a support with an edge."""
    found = problem.draw(q).distributions
    flags = {name: jnp.full(x.shape, _has_edge(found[name].support)) for name, x in problem.coordinates(q).items()}
    return ravel_pytree(flags)[0]


def _has_edge(support: Constraint | None) -> bool:
    support = getattr(support, "base_constraint", support)
    return not isinstance(support, type(constraints.real) | type(constraints.zero_sum(1)))


def _raise_if_failed(result: Fit[Any]) -> None:
    diagnostics = result.diagnostics
    if diagnostics.converged.all():
        return
    running = jax.tree.map(np.asarray, result.problem.coordinates(diagnostics.running.astype(result.q.dtype)))
    names = sorted(name for name, flags in running.items() if flags.any())
    if diagnostics.separated:
        raise ValueError(
            f"no finite maximum: {', '.join(names)} runs to infinity. In comparisons, an item won or lost everything, "
            "or the items fall into groups that never met; scorax.data.connectivity(data, n_items) says which. Give a "
            "prior (fit(..., prior=...) or sample) to keep the estimates finite."
        )
    raise ValueError(
        f"the search stopped after {int(diagnostics.steps)} steps before it converged (gradient "
        f"{float(diagnostics.gradient_norm):.1e} per unit of weight; {', '.join(names) or 'nothing'} still moves). "
        "Start nearer (the model passed to fit is the start), raise max_steps, or use double precision."
    )


def _refuse_hierarchy(model: AbstractModel[Any], prior: Program) -> None:
    def drawn() -> dict[str, Array]:
        return run(prior, initial_coordinates(prior, named_leaves(model))).sites

    sites = eqx.filter_eval_shape(drawn)
    extra = sorted(set(sites) - set(named_leaves(model)))
    if sum(site.size for site in sites.values()) > sum(leaf.size for leaf in named_leaves(model).values()):
        raise ValueError(
            f"this prior draws more numbers than {type(model).__name__} has (sites {sorted(sites)}): the joint mode of "
            f"a hierarchy is no estimate, its density is unbounded where a scale goes to zero. Pin what is above the "
            f"parameters, numpyro.handlers.condition(prior, {{{extra[0] if extra else '...'!r}: ...}}), or integrate: "
            "sample(model, data, key=key, method='laplace')."
        )


@eqx.filter_jit
def _map(result: Fit[Any], f: Callable[[Any], PyTree]) -> Estimate:
    outside = f(result.model)
    value, unravel = ravel_pytree(eqx.filter(outside, eqx.is_inexact_array))
    left, right = _factors(result, f)
    covariance = jnp.where(_trusted(result), left.T @ right, jnp.nan)
    std_error = jnp.sqrt(jnp.diagonal(covariance))
    return Estimate(eqx.combine(unravel(value), outside), eqx.combine(unravel(std_error), outside), covariance)


@eqx.filter_jit
def _std_error(result: Fit[Any]) -> Any:
    """Without the covariances, which cost a product of matrices more."""
    _, unravel = ravel_pytree(parameters(result.model))
    left, right = _factors(result, _identity)
    variance = jnp.where(_trusted(result), (left * right).sum(0), jnp.nan)
    return eqx.combine(unravel(jnp.sqrt(variance)), result.model)


def _factors(result: Fit[Any], f: Callable[[Any], PyTree]) -> tuple[Float[Array, "d o"], Float[Array, "d o"]]:
    """Two matrices whose product, the first one transposed, is the covariance of a function of the model."""

    def flat(q: Float[Array, " d"]) -> Float[Array, " o"]:
        return ravel_pytree(eqx.filter(f(result.problem.module(q)), eqx.is_inexact_array))[0]

    jacobian = jax.jacfwd(flat)(result.q)
    # Products with the inverse of the information as they are wanted: all of it for all parameters, little for a few.
    factor = jnp.linalg.cholesky(-result.solver.derivatives(result.problem, result.q).hessian)
    reach = jsl.cho_solve((factor, True), jacobian.T)
    return (jacobian.T, reach) if result.meat is None else (reach, result.meat @ reach)


def _trusted(result: Fit[Any]) -> Bool[Array, ""]:
    return result.diagnostics.converged & ~result.diagnostics.boundary


def _on_rows(result: Fit[Any]) -> Problem:
    """The problem on the data as they were given: a table has lost which rows belong together, and their weights."""
    return eqx.tree_at(lambda problem: problem.data, result.problem, result.data)


@eqx.filter_jit
def _row_meat(result: Fit[Any]) -> Float[Array, "d d"]:
    return result.solver.meat(_on_rows(result), result.q)


@eqx.filter_jit
def _clustered_meat(result: Fit[Any], cluster: Int[Array, "..."], n_clusters: int) -> Float[Array, "d d"]:
    return clustered_meat(_on_rows(result), result.q, cluster, n_clusters)


def _identity(model: Any) -> Any:
    return model


def _flat(model: Any) -> Float[Array, " p"]:
    return ravel_pytree(parameters(model))[0]
