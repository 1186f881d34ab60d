"""What a result says about strengths: their centre, their covariance and joint draws."""

import functools
from typing import Any, NamedTuple, TypeGuard

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from scorax.data import WithItemFeatures
from scorax.inference import Bootstrap, Fit, Posterior


class Strengths(NamedTuple):
    """First and second moments."""

    value: Float[Array, " k"]
    """Estimate, or mean over draws."""
    covariance: Float[Array, "k k"]


def strength_of(model: Any) -> Float[Array, "... k"]:
    """A model's strengths, by one function that compiled code recognises."""
    return model.strength


class StrengthAtFeatures(eqx.Module):
    """The strengths that a `Structured` model gives the items of some data."""

    data: WithItemFeatures

    def __call__(self, model: Any) -> Float[Array, " k"]:
        """One number an item."""
        return model.model(self.data).strength


@functools.singledispatch
def strengths(result: Any, of: Any = strength_of) -> Strengths:
    """Centre and covariance of the strengths, `of(model)` where a result has a model; they sum to zero."""
    raise TypeError(f"expected what fit, firth, ep_pairwise, bootstrap or sample returned, not {type(result).__name__}")


@strengths.register(Fit)
def _(result: Fit[Any], of: Any = strength_of) -> Strengths:
    estimate = result.map(of)
    return Strengths(estimate.value, estimate.covariance)


@strengths.register(Bootstrap)
@strengths.register(Posterior)
def _(result: Bootstrap[Any] | Posterior[Any], of: Any = strength_of) -> Strengths:
    return moments(_flat(result.map(of)))


@jax.jit
def moments(draws: Float[Array, "s k"]) -> Strengths:
    """Mean and covariance over draws."""
    centred = draws - draws.mean(0)[None, :]
    return Strengths(draws.mean(0), centred.T @ centred / (draws.shape[0] - 1))


def has_draws(result: Any) -> TypeGuard[Bootstrap[Any] | Posterior[Any]]:
    """Whether there are draws already; elsewhere they are made, of the normal approximation."""
    return isinstance(result, Bootstrap | Posterior)


def strength_draws(
    result: Any, of: Any = strength_of, *, key: PRNGKeyArray | None = None, n_draws: int = 10_000
) -> Float[Array, "s k"]:
    """Joint draws of the strengths: those there are, or of the normal approximation."""
    if has_draws(result):
        return _flat(result.map(of))
    value, covariance = strengths(result, of)
    if key is None:
        raise ValueError("a fit has no draws, they are made: pass key=jax.random.key(...)")
    return normal_draws(value, covariance, key, n_draws)


def _flat(draws: Float[Array, "... k"]) -> Float[Array, "s k"]:
    return draws.reshape(-1, draws.shape[-1])


@functools.partial(jax.jit, static_argnames="n_draws")
def normal_draws(
    value: Float[Array, " k"], covariance: Float[Array, "k k"], key: PRNGKeyArray, n_draws: int
) -> Float[Array, "s k"]:
    """Draws of a normal distribution whose covariance may be singular, as that of zero-sum strengths is."""
    # By eigenvalues: a singular matrix has no Cholesky factor up to rounding.
    spread, axes = jnp.linalg.eigh(covariance)
    root = axes * jnp.sqrt(jnp.maximum(spread, 0))[None, :]
    noise = jax.random.normal(key, (n_draws, value.size), value.dtype)
    return value[None, :] + noise @ root.T


def contrast_variance(covariance: Float[Array, "k k"]) -> Float[Array, "k k"]:
    """Variance of every difference of two; of the inverse of a Laplacian, the effective resistances."""
    own = jnp.diagonal(covariance)
    # Rounding may leave a difference of an item with itself below zero.
    return jnp.maximum(own[:, None] + own[None, :] - 2 * covariance, 0)
