"""What it takes to maximise: an answer with a certificate, whatever the method."""

import abc
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from scorax.inference._derivatives import Derivatives

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


def vanished(problem: "Problem", pivot: Float[Array, " d"], at_start: Float[Array, " d"]) -> Bool[Array, " d"]:
    """Where information has all but vanished on the way: against the start, and against the weight of the data.

    Where an item wins everything, information falls as `exp(-strength)`, and soon the gradient rounds to zero. Where
    the information is not even positive definite, no coordinate has any.

    Args:
        problem: What is maximised.
        pivot: What is left of each coordinate's information, given those before it: the square of the diagonal of
            Cholesky's factor; or given nothing, the diagonal of the information itself.
        at_start: The diagonal of the information where the search started.
    """
    eps = float(jnp.finfo(pivot.dtype).eps)
    gone = pivot <= eps**0.75 * jnp.abs(at_start)
    gone = gone & (pivot <= eps**0.5 * problem.data.weight.sum().astype(pivot.dtype))
    return gone | ~jnp.isfinite(pivot)


def is_small(step: Float[Array, " d"], q: Float[Array, " d"], *, power: float) -> Bool[Array, ""]:
    """Below a power of the rounding error, in every coordinate."""
    size = jnp.maximum(1, jnp.abs(q).max(initial=0))
    return jnp.abs(step).max(initial=0) <= float(jnp.finfo(q.dtype).eps) ** power * size
