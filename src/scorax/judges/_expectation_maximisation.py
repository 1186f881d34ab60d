"""The EM algorithm of latent-class models: what each parameter was used for, normalised."""

from typing import Any, Generic, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Float

from scorax.inference import (
    AbstractModel,
    AbstractSolver,
    Derivatives,
    Minimiser,
    Solution,
    leaf_names,
    log_likelihood,
)

Model = TypeVar("Model", bound=AbstractModel[Any])


class EMResult(eqx.Module, Generic[Model]):
    """A model after a number of EM steps."""

    model: Model
    log_likelihood: Float[Array, " t"]
    """Before each step; it never falls."""


def em_step(model: Model, data: Any) -> Model:
    r"""One step towards maximum likelihood: expected counts of true levels and labels, normalised.

    The expected counts need no separate E-step: that of a parameter \(\theta\) is
    \(\theta \, \partial \log L / \partial \theta\). A step never lowers the likelihood.

    Args:
        model: Where the step starts: a latent-class model, all of whose parameters are rows of probabilities, such as
            `SimplexJudge`. A parameter that is 0 stays 0.
        data: What `model.log_prob` takes; rows count with their weight.

    Returns:
        The next model. A judge without labels, a candidate without items and a level that no item is thought to have
        keep their rows.

    Example:
        >>> votes, vocabulary = sx.data.datasets.load_anesthesia()
        >>> start = sx.judges.SimplexJudge.from_majority_vote(votes, 1, 5, 4, smoothing=0.0)
        >>> em_step(start, votes).prevalence.tolist()
        [[0.41, 0.41, 0.12, 0.06]]

    Source: Dawid & Skene (1979), doi:10.2307/2346806; Baum & Eagon (1967), doi:10.1090/S0002-9904-1967-11751-8.
    """
    return _step(model, data)[0]


def fit_em(model: Model, data: Any, n_steps: int = 500) -> EMResult[Model]:
    """Many EM steps in one compiled loop.

    EM is slow near its end, and stops at whatever local maximum it comes to: start at the vote of the majority
    (`SimplexJudge.from_majority_vote`). `scorax.inference.fit` climbs on from there by quasi-Newton steps, and has
    standard errors where the maximum is not at the edge of the simplex.

    Args:
        model: The start, as in :func:`em_step`.
        data: What `model.log_prob` takes.
        n_steps: Number of steps.

    Raises:
        ValueError: A label, judge or candidate is out of range.

    Example:
        >>> votes, vocabulary = sx.data.datasets.load_anesthesia()
        >>> start = sx.judges.SimplexJudge.from_majority_vote(votes, 1, 5, 4, smoothing=0.0)
        >>> fit_em(start, votes, 100).log_likelihood[-1].round(2)
        Array(-190.73, dtype=float32)

    Source: Dawid & Skene (1979), doi:10.2307/2346806.
    """
    if not any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves((model, data))):
        model.check(data)
    return _fit_em(model, data, n_steps)


@eqx.filter_jit
def _fit_em(model: Model, data: Any, n_steps: int) -> EMResult[Model]:
    condensed = model.condense(data)
    return EMResult(*jax.lax.scan(lambda model, _: _step(model, condensed), model, length=n_steps))


def _step(model: Model, data: Any) -> tuple[Model, Float[Array, ""]]:
    value, slope = jax.value_and_grad(log_likelihood)(model, data)
    return jax.tree.map(lambda rows, slope: normalised_rows(rows * slope, rows), model, slope), value


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
        if set(leaf_names(model)) != set(problem.template):
            return problem
        better, _ = jax.lax.scan(lambda model, _: _step(model, problem.data), model, length=self.n_steps)
        start = {
            name: jax.lax.stop_gradient(_inside(rows))
            for name, rows in zip(leaf_names(model), jax.tree.leaves(better), strict=True)
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
