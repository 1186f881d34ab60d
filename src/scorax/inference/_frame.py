"""Coordinates in which a posterior is near the standard normal, by Laplace's method."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from scorax.inference._engine import engine
from scorax.inference._kernels import Frame, Target
from scorax.inference._laplace import laplace_mode
from scorax.inference._model import AbstractModel
from scorax.inference._posterior_problem import posterior_problem
from scorax.inference._problem import Problem
from scorax.inference._program import Program
from scorax.inference._psis import smooth_weights

_PILOT = 512
# Widths may differ by so much before the narrow ones are rounding error.
_FLOOR = 1e-6


def laplace_frame(model: AbstractModel[Any], data: Any, *, prior: Program | None = None) -> Frame:
    """The frame that makes the curvature of the log posterior at its mode the identity, to sample in.

    For `sample(..., precondition=...)`, where parameters are correlated or of very different widths, and no diagonal
    mass matrix helps. In a hierarchy it is the mode of the parameters, given the mode of what is above them when the
    parameters are integrated out.

    Args:
        model: Gives shapes, and the default prior.
        data: The container that `model.log_prob` takes.
        prior: As in `sample`.

    Raises:
        ValueError: As `sample(method="laplace")`.

    Example:
        >>> battles, models = sx.data.datasets.load_food()
        >>> laplace_frame(sx.choice.BradleyTerry.init(len(models)), battles).root.shape  # k - 1 strengths, their scale
        (5, 5)

    Source: Tierney & Kadane (1986), doi:10.1080/01621459.1986.10478240.
    """
    return frame_at_mode(model, posterior_problem(model, data, prior)[0])


def frame_at_mode(model: AbstractModel[Any], problem: Problem) -> Frame:
    """See `laplace_frame`. Where the curvature is not negative definite, its eigenvalues count by their size."""
    mode = laplace_mode(model, problem)
    return Frame(mode, _root(problem, mode))


@eqx.filter_jit
def _root(problem: Problem, mode: Float[Array, " d"]) -> Float[Array, "d d"]:
    with engine():
        curvature, axes = jnp.linalg.eigh(-jax.hessian(problem.log_density)(mode))
    size = jnp.abs(curvature)
    covariance = (axes / jnp.maximum(size, _FLOOR * size.max())[None, :]) @ axes.T
    return jnp.linalg.cholesky(covariance)


@eqx.filter_jit
def pilot(target: Target, key: Any) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """How well a frame fits: Pareto k of the weights of its normal draws, and how often Metropolis would accept one."""
    with engine():
        z = jax.random.normal(key, (_PILOT, target.problem.start.size), target.problem.start.dtype)
        log_weight = jax.lax.map(lambda z: target.log_density(z) + jnp.vdot(z, z) / 2, z)
        smoothed = smooth_weights(log_weight - log_weight.max())
        share = jnp.exp(smoothed.log_weight - jax.nn.logsumexp(smoothed.log_weight))
        accept = jnp.minimum(1, jnp.exp(smoothed.log_weight[None, :] - smoothed.log_weight[:, None])).mean(1)
    return smoothed.pareto_k, jnp.vdot(share, accept)


def fits(target: Target, key: Any) -> bool:
    """Whether independent draws in the frame make a good chain."""
    pareto_k, accept = (float(np.asarray(x)) for x in pilot(target, key))
    return pareto_k < 0.5 and accept > 0.5
