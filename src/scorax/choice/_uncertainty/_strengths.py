"""What a result says about strengths: their centre, their covariance and joint draws."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from scorax.inference import Bootstrap, Fit, Posterior


class Strengths(NamedTuple):
    """First and second moments."""

    value: Float[Array, " k"]
    """Estimate, or mean over draws."""
    covariance: Float[Array, "k k"]


def strength_of(model: Any) -> Float[Array, "... k"]:
    """A model's strengths, by one function that compiled code recognises."""
    return model.strength


@functools.singledispatch
def strengths(result: Any) -> Strengths:
    """Centre and covariance of the strengths."""
    raise TypeError(f"expected what fit, bootstrap or sample returned, not {type(result).__name__}")


@strengths.register(Fit)
def _(result: Fit[Any]) -> Strengths:
    estimate = result.map(strength_of)
    return Strengths(estimate.value, estimate.covariance)


@strengths.register(Bootstrap)
@strengths.register(Posterior)
def _(result: Bootstrap[Any] | Posterior[Any]) -> Strengths:
    return moments(strength_draws(result))


@jax.jit
def moments(draws: Float[Array, "s k"]) -> Strengths:
    """Mean and covariance over draws."""
    centred = draws - draws.mean(0)[None, :]
    return Strengths(draws.mean(0), centred.T @ centred / (draws.shape[0] - 1))


@functools.singledispatch
def strength_draws(result: Any, *, key: PRNGKeyArray | None = None, n_draws: int = 10_000) -> Float[Array, "s k"]:
    """Joint draws of the strengths: those there are, or of the normal approximation of a fit."""
    raise TypeError(f"expected what fit, bootstrap or sample returned, not {type(result).__name__}")


@strength_draws.register(Fit)
def _(result: Fit[Any], *, key: PRNGKeyArray | None = None, n_draws: int = 10_000) -> Float[Array, "s k"]:
    if key is None:
        raise ValueError("a fit has no draws, they are made: pass key=jax.random.key(...)")
    value, covariance = strengths(result)
    return normal_draws(value, covariance, key, n_draws)


@strength_draws.register(Bootstrap)
@strength_draws.register(Posterior)
def _(
    result: Bootstrap[Any] | Posterior[Any], *, key: PRNGKeyArray | None = None, n_draws: int = 10_000
) -> Float[Array, "s k"]:
    draws = result.map(strength_of)
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
