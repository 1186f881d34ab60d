"""Coordinates in which a posterior is near the standard normal, by Laplace's method."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from scorax.inference._curvature import LARGEST_DENSE, scaled, slopes_at, widths
from scorax.inference._engine import engine
from scorax.inference._kernels import AbstractFrame, Frame, LowRankFrame, Target
from scorax.inference._lanczos import eigenpairs, lanczos
from scorax.inference._laplace import laplace_mode
from scorax.inference._model import AbstractModel
from scorax.inference._posterior_problem import posterior_problem
from scorax.inference._problem import Problem
from scorax.inference._program import Program
from scorax.inference._psis import smooth_weights

_PILOT = 512
# Widths may differ by so much before the narrow ones are rounding error.
_FLOOR = 1e-6
# Directions where there is no choice. Each has its cost in memory and at every gradient, beside that of the data.
_RANK = 32
# Vectors of random signs for the widths, three times: within some percent where no row is all correlation.
_PROBES = 32
# Steps of Lanczos' method beyond three for each direction.
_MORE_STEPS = 30
# A direction is taken if what it still mixes with others is this little, against its own width.
_MIXED = 0.05
_START_SEED = 2


def laplace_frame(
    model: AbstractModel[Any], data: Any, *, prior: Program | None = None, rank: int | None = None
) -> AbstractFrame:
    """The frame that makes the curvature of the log posterior at its mode the identity, to sample in.

    For `sample(..., precondition=...)`, where parameters are correlated or of very different widths, and no diagonal
    mass matrix helps. In a hierarchy it is the mode of the parameters, given the mode of what is above them when the
    parameters are integrated out.

    Above 2000 numbers no matrix is formed. The mode is found by conjugate gradients, and the frame is a width for each
    number and 32 directions: those in which the curvature, in these widths, is furthest from one, at both ends. What
    curvature is left is between the last of those and one.

    Args:
        model: Gives shapes, and the default prior.
        data: The container that `model.log_prob` takes.
        prior: As in `sample`.
        rank: How many directions, whatever the size: from 1 to as many as there are numbers. Of them those are taken
            that Lanczos' method has found (in three steps for each direction and 30 more); others are left as they are.

    Returns:
        A `Frame`, or a `LowRankFrame` with `rank` or above 2000 numbers.

    Raises:
        ValueError: As `sample(method="laplace")`, or `rank` is out of range.

    Example:
        >>> battles, models = sx.data.datasets.load_food()
        >>> laplace_frame(sx.choice.BradleyTerry.init(len(models)), battles).root.shape  # k - 1 strengths, their scale
        (5, 5)
        >>> laplace_frame(sx.choice.BradleyTerry.init(len(models)), battles, rank=2).basis.shape
        (5, 2)

    Source: Tierney & Kadane (1986), doi:10.1080/01621459.1986.10478240; Lanczos (1950), doi:10.6028/jres.045.026.
    """
    return frame_at_mode(model, posterior_problem(model, data, prior)[0], rank)


def frame_at_mode(model: AbstractModel[Any], problem: Problem, rank: int | None = None) -> AbstractFrame:
    """See `laplace_frame`. Where the curvature is not negative definite, its eigenvalues count by their size."""
    d = problem.start.size
    if rank is not None and not 1 <= rank <= d:
        raise ValueError(f"rank must be from 1 to the {d} numbers of this posterior, not {rank}")
    mode = laplace_mode(model, problem)
    if rank is None and d <= LARGEST_DENSE:
        return Frame(mode, _root(problem, mode))
    return _low_rank(problem, mode, _RANK if rank is None else rank)


@eqx.filter_jit
def _low_rank(problem: Problem, mode: Float[Array, " d"], rank: int) -> LowRankFrame:
    information = slopes_at(problem.log_density, mode).information
    width = widths(information, jnp.ones_like(mode), probes=_PROBES, rounds=3)
    start = jax.random.normal(jax.random.key(_START_SEED), mode.shape, mode.dtype)
    pairs = eigenpairs(lanczos(scaled(information, width), start, min(3 * rank + _MORE_STEPS, mode.size)))
    size = jnp.abs(pairs.value)
    size = jnp.maximum(size, _FLOOR * size.max())
    found = pairs.residual <= _MIXED * jnp.sqrt(size)
    _, chosen = jax.lax.top_k(jnp.where(found, jnp.abs(jnp.log(size)), -1), rank)
    stretch = jnp.where(found, 1 / jnp.sqrt(size), 1)
    return LowRankFrame(mode, width, pairs.vector[:, chosen], stretch[chosen])


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
