"""Posteriors made by hand."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats

from scorax.inference import Posterior
from tests.inference.models import CASES, Case, drawn
from tests.inference.toys import Measurements, Things, normal_posterior

# One model for each container: compiling is what these tests cost.
CONTAINERS = list({type(case.design("float32")): case for case in CASES}.values())


def of_draws(model, sites, **stats) -> Posterior:
    """A posterior of a module whose floating leaves all have leading axes of chain and draw."""
    moving, still = eqx.partition(model, eqx.is_inexact_array)
    density = {"log_density": jnp.zeros(jax.tree.leaves(moving)[0].shape[:2])}
    return Posterior(moving, still, sites, {**density, **stats})


def of_levels(level, **stats) -> Posterior:
    """Draws `[chain, draw, k]` of the levels of `Things`."""
    level = jnp.asarray(level)
    return of_draws(Things(level), {"level": level}, **stats)


def exact_levels(data: Measurements, k: int, scale: float, *, seed: int = 0, shape=(4, 500)) -> Posterior:
    """Independent draws from the posterior of levels that are `Normal(0, scale)`."""
    mean, sd = normal_posterior(data, k, scale)
    return of_levels(np.random.default_rng(seed).normal(mean, sd, (*shape, k)))


def even_levels(mean: float, sd: float, *, shape=(4, 500)) -> Posterior:
    """One level, its draws at evenly spaced quantiles of a normal: integrals without Monte Carlo error."""
    size = shape[0] * shape[1]
    quantiles = scipy.stats.norm(mean, sd).ppf((np.arange(size) + 0.5) / size)
    return of_levels(np.random.default_rng(0).permutation(quantiles).reshape(*shape, 1))


def of_case(case: Case, dtype, shape=(2, 20)) -> Posterior:
    """A registered model at random points near the one that simulates its data."""
    models = [drawn(case, dtype, seed, scale=0.3) for seed in range(shape[0] * shape[1])]
    stacked = jax.tree.map(lambda *x: jnp.stack(x).reshape(*shape, *x[0].shape), *models)
    return of_draws(stacked, {"any": jnp.zeros(shape)})
