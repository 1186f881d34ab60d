"""The EM algorithm of latent-class models: what each parameter was used for, normalised."""

from collections.abc import Callable
from typing import Any, Generic, NamedTuple, Protocol, TypeVar, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Float
from numpyro.distributions import constraints

from scorax.inference import (
    AbstractModel,
    AbstractSolver,
    Derivatives,
    Minimiser,
    Solution,
    leaf_names,
    log_likelihood,
    supports,
)
from scorax.judges._pseudo_counts import pseudo_counts

Model = TypeVar("Model", bound=AbstractModel[Any])
Rows = dict[str, Array]
Prior = Callable[[], Any]


class EMResult(eqx.Module, Generic[Model]):
    """A model after a number of EM steps."""

    model: Model
    log_likelihood: Float[Array, " t"]
    """The marginal one, before each step. Without a prior it never falls."""
    log_density: Float[Array, " t"]
    """With the prior's logarithm added, up to a constant; the log-likelihood where there is none. It never falls."""


class EMStep(NamedTuple):
    """A step, and what was climbed before it."""

    model: Any
    log_likelihood: Float[Array, ""]
    log_prior: Float[Array, ""]
    """Up to a constant."""


@runtime_checkable
class RowModel(Protocol):
    """A model whose likelihood is a polynomial, without negative terms, in rows of probabilities."""

    def rows(self) -> Rows:
        """The rows, by the names of the parameters; a probability `p` is the row `(p, 1 - p)`."""
        ...

    def with_rows(self, rows: Rows) -> Any:
        """The model with other rows."""
        ...

    def rows_log_likelihood(self, rows: Rows, data: Any) -> Float[Array, ""]:
        """The log-likelihood of all rows of data as a function of each probability by itself."""
        ...


@runtime_checkable
class OwnStepModel(Protocol):
    """A model that brings an EM step of its own."""

    def em_step(self, data: Any, prior: Prior | None) -> EMStep:
        """A step that does not lower the log-likelihood plus log prior."""
        ...


def em_step(model: Model, data: Any, *, prior: Prior | None = None) -> Model:
    r"""One step towards maximum likelihood: expected counts of true levels and labels, normalised.

    The expected counts need no separate E-step: that of a probability \(\theta\) is
    \(\theta \, \partial \log L / \partial \theta\). A step never lowers the likelihood.

    Args:
        model: Where the step starts: any latent-class model of this room with an EM algorithm, or a model of your own
            whose parameters are all rows of probabilities. A parameter that is 0 stays 0.
        data: What `model.log_prob` takes; rows count with their weight.
        prior: A program that draws every parameter from a Dirichlet or Beta distribution, such as `model.prior` of
            `DawidSkene`: the step then climbs towards the posterior mode (of the density in natural space).

    Returns:
        The next model. A judge without labels, a candidate without items and a level that no item is thought to have
        keep their rows.

    Raises:
        ValueError: The model has no EM algorithm, or the prior is of another kind or has no mode inside the simplex.

    Example:
        >>> votes, vocabulary = sx.data.datasets.load_anesthesia()
        >>> start = sx.judges.DawidSkene.init(5, 4).at_majority_vote(votes, smoothing=0.0)
        >>> em_step(start, votes).prevalence.tolist()
        [0.41, 0.41, 0.12, 0.06]

    Source: Dawid & Skene (1979), doi:10.2307/2346806; Baum & Eagon (1967), doi:10.1090/S0002-9904-1967-11751-8.
    """
    return _step(model, data, prior).model


def fit_em(model: Model, data: Any, n_steps: int = 500, *, prior: Prior | None = None) -> EMResult[Model]:
    """Many EM steps in one compiled loop.

    EM is slow near its end, and stops at whatever local maximum it comes to: start at the vote of the majority
    (`at_majority_vote`). `scorax.inference.fit` climbs on from there by quasi-Newton steps, with a certificate that it
    arrived, and has standard errors where the maximum is not at the edge of the simplex.

    Args:
        model: The start, as in :func:`em_step`.
        data: What `model.log_prob` takes.
        n_steps: Number of steps.
        prior: As in :func:`em_step`. A function made anew at each call compiles anew at each call: name it once.

    Raises:
        ValueError: A label, judge or candidate is out of range, or as :func:`em_step`.

    Example:
        >>> votes, vocabulary = sx.data.datasets.load_anesthesia()
        >>> start = sx.judges.DawidSkene.init(5, 4).at_majority_vote(votes, smoothing=0.0)
        >>> fit_em(start, votes, 100).log_likelihood[-1].round(2)
        Array(-190.73, dtype=float32)

    Source: Dawid & Skene (1979), doi:10.2307/2346806.
    """
    if not any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves((model, data))):
        model.check(data)
        if prior is not None and not isinstance(model, OwnStepModel):
            # Where numbers are known, one that has no mode is refused.
            pseudo_counts(prior, model, _as_rows(model)[0])
    return _fit_em(model, data, n_steps, prior)


@eqx.filter_jit
def _fit_em(model: Model, data: Any, n_steps: int, prior: Prior | None) -> EMResult[Model]:
    condensed = model.condense(data)

    def advance(model: Model, _: None) -> tuple[Model, tuple[Array, Array]]:
        step = _step(model, condensed, prior)
        return step.model, (step.log_likelihood, step.log_likelihood + step.log_prior)

    reached, (log_likelihoods, log_densities) = jax.lax.scan(advance, model, length=n_steps)
    return EMResult(reached, log_likelihoods, log_densities)


def _step(model: Any, data: Any, prior: Prior | None) -> EMStep:
    if isinstance(model, OwnStepModel):
        return model.em_step(data, prior)
    rows, rebuild, likelihood = _as_rows(model)
    value, slope = jax.value_and_grad(likelihood)(rows, data)
    added = None if prior is None else pseudo_counts(prior, model, rows)
    counts = {name: row * slope[name] for name, row in rows.items()}
    if added is None:
        log_prior = jnp.zeros_like(value)
    else:
        counts = {name: jnp.maximum(count + added.counts[name], 0) for name, count in counts.items()}
        log_prior = added.log_density(rows).astype(value.dtype)
    return EMStep(rebuild({name: normalised_rows(counts[name], row) for name, row in rows.items()}), value, log_prior)


def _as_rows(model: Any) -> tuple[Rows, Callable[[Rows], Any], Callable[[Rows, Any], Float[Array, ""]]]:
    """The rows of a model, how to put others in their place, and the likelihood as a function of them."""
    if isinstance(model, RowModel):
        return model.rows(), model.with_rows, model.rows_log_likelihood
    names, leaves, structure = leaf_names(model), jax.tree.leaves(model), jax.tree.structure(model)
    if not _has_steps(model):
        raise ValueError(
            f"{type(model).__name__} has no EM algorithm here: that takes parameters that are rows of probabilities, "
            "and a likelihood that multiplies and adds them. Use scorax.inference.fit."
        )

    def rebuild(rows: Rows) -> Any:
        return jax.tree.unflatten(structure, [rows[name] for name in names])

    return dict(zip(names, leaves, strict=True)), rebuild, lambda rows, data: log_likelihood(rebuild(rows), data)


def _has_steps(model: Any) -> bool:
    rows_alone = all(support is constraints.simplex for support in supports(model))
    return rows_alone or isinstance(model, RowModel | OwnStepModel)


def normalised_rows(counts: Float[Array, "*b m"], otherwise: Float[Array, "*b m"]) -> Float[Array, "*b m"]:
    """Rows in proportion to `counts`, and as in `otherwise` where there are none."""
    total = counts.sum(-1, keepdims=True)
    return jnp.where(total > 0, counts / jnp.where(total > 0, total, jnp.ones_like(total)), otherwise)


class EMThenMinimise(AbstractSolver):
    """EM steps into the valley of the start, then a quasi-Newton method to its bottom.

    The first step of a quasi-Newton method knows no scale, and leaps into another valley now and then. A hierarchical
    prior or a constrained one has other coordinates than the model's rows: there the quasi-Newton method goes alone.
    """

    n_steps: int = eqx.field(static=True, default=100)
    finish: Minimiser = Minimiser()

    def maximise(self, problem: Any, *, max_steps: int) -> Solution:
        """Climb."""
        return self.finish.maximise(self._climbed(problem), max_steps=max_steps)

    def _climbed(self, problem: Any) -> Any:
        model = problem.module(problem.start)
        if set(leaf_names(model)) != set(problem.template) or not _has_steps(model):
            return problem
        better, _ = jax.lax.scan(
            lambda model, _: (_step(model, problem.data, None).model, None), model, length=self.n_steps
        )
        rows, rebuild, _ = _as_rows(better)
        moved = rebuild({name: _inside(row) for name, row in rows.items()})
        start = {
            name: jax.lax.stop_gradient(leaf)
            for name, leaf in zip(leaf_names(moved), jax.tree.leaves(moved), strict=True)
        }
        return type(problem).of(problem.program, problem.data, start, jacobian=problem.jacobian)

    def derivatives(self, problem: Any, q: Float[Array, " d"]) -> Derivatives:
        """As `finish`."""
        return self.finish.derivatives(problem, q)

    def meat(self, problem: Any, q: Float[Array, " d"]) -> Float[Array, "d d"]:
        """As `finish`."""
        return self.finish.meat(problem, q)


def _inside(rows: Float[Array, "*b m"]) -> Float[Array, "*b m"]:
    """Rows moved off the edge of the simplex by rounding, so that their coordinates are finite."""
    moved = rows + float(jnp.finfo(rows.dtype).eps)
    return moved / moved.sum(-1, keepdims=True)
