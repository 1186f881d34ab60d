"""Whether a posterior under a flat prior is a distribution at all: does its density fall where nothing holds it?"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float
from numpyro.distributions import Distribution, ImproperUniform

from scorax.inference._engine import engine
from scorax.inference._model import weighted_total
from scorax.inference._problem import Problem
from scorax.inference._program import Coordinates, initial_coordinates, run

# A curvature of more numbers than this is not formed.
_MOST = 2000
# Where the density is looked at, in units of the draw's own size.
_DISTANCES = (1e2, 1e3, 1e4)


def improper(problem: Problem, sites: dict[str, Any]) -> Bool[np.ndarray, " c"] | None:
    """For each chain, whether from its last draw on the density falls more slowly than one over the distance.

    Along the direction of the least curvature; on either side that is enough for an infinite integral. None where the
    prior is a distribution (so the posterior is one, too), or has more than 2000 numbers.
    """
    if not _has_flat_site(problem) or problem.start.size > _MOST:
        return None
    last = {name: x[:, -1] for name, x in sites.items() if name in problem.template}
    return np.asarray(_falls_slowly(problem, last))


def _has_flat_site(problem: Problem) -> bool:
    """From one trace; nothing is compiled."""
    found: list[bool] = []

    def trace(coordinates: Coordinates) -> None:
        found[:] = map(_is_flat, run(problem.program, coordinates).distributions.values())

    jax.eval_shape(trace, problem.template)
    return any(found)


def _is_flat(distribution: Distribution) -> bool:
    inner = getattr(distribution, "base_dist", None)
    return isinstance(distribution, ImproperUniform) or (inner is not None and _is_flat(inner))


@eqx.filter_jit
def _falls_slowly(problem: Problem, last: dict[str, Any]) -> Bool[Array, " c"]:
    def of_chain(values: dict[str, Any]) -> Bool[Array, ""]:
        q, _ = ravel_pytree(initial_coordinates(problem.program, values))
        curvature, axes = jnp.linalg.eigh(jax.hessian(lambda q: _log_density(problem, q))(q))
        axis = axes[:, jnp.argmin(jnp.abs(curvature))] * jnp.maximum(1, jnp.abs(q).max())
        sides = jnp.stack([axis, -axis])
        return jax.vmap(lambda direction: _stays(problem, q, direction))(sides).any()

    with engine():
        return jax.lax.map(of_chain, last)


def _stays(problem: Problem, q: Float[Array, " d"], direction: Float[Array, " d"]) -> Bool[Array, ""]:
    """Whether at each distance the density is still above one over the distance, times what it is here."""
    here = _log_density(problem, q)
    fallen = jnp.stack([here - _log_density(problem, q + distance * direction) for distance in _DISTANCES])
    return (jnp.isfinite(fallen) & (fallen < jnp.log(jnp.asarray(_DISTANCES, fallen.dtype)))).all()


def _log_density(problem: Problem, q: Float[Array, " d"]) -> Float[Array, ""]:
    """Row by row: a shorter way to the sum need not hold so far out."""
    rows = problem.module(q).log_prob(problem.data)
    return weighted_total(rows, problem.data).astype(q.dtype) + problem.log_prior(q)
