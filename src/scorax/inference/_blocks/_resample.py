"""Transformers of populations: other particles, the same meaning."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from scorax.inference._blocks._population import Population
from scorax.numerics._resampling import log_ess, systematic_indices

Scheme = Callable[..., Int[Array, " n"]]
"""`(log_weights, *, key) -> ancestors`, such as `scorax.numerics.stratified_indices`."""


Transformer = Callable[..., Population]
"""`(population, *, key) -> population` of the same meaning."""


def resample(population: Population, *, key: PRNGKeyArray, scheme: Scheme = systematic_indices) -> Population:
    """Copy particles in proportion to their weights. All weights become equal, with the same sum.

    Args:
        population: Comes back as it is where all weights are zero, or one is NaN.
        key: Random key.
        scheme: How ancestors are drawn.

    Returns:
        A population of the same meaning and exactly the same evidence.

    Example:
        >>> population = sx.inference.Population(jnp.array([1.0, 2.0, 3.0]), jnp.log(jnp.array([0.0, 0.4, 0.2])))
        >>> after = sx.inference.resample(population, key=jax.random.key(0))
        >>> after.value, jnp.exp(after.log_weight)
        (Array([2., 2., 3.], dtype=float32), Array([0.2, 0.2, 0.2], dtype=float32))

    Source: Gordon, Salmond & Smith (1993), doi:10.1049/ip-f-2.1993.0015.
    """
    ancestors = scheme(population.log_weight, key=key)
    share = population.log_evidence - jnp.log(jnp.asarray(population.n_particles, population.log_weight.dtype))
    equal = jnp.broadcast_to(share[..., None], population.log_weight.shape)
    log_weight = jnp.where(jnp.isfinite(share), equal, population.log_weight)
    return Population(jax.tree.map(lambda x: x[ancestors], population.value), log_weight)


def adaptive_resample(
    population: Population,
    *,
    key: PRNGKeyArray,
    ess_threshold: float | Float[Array, ""] = 0.5,
    scheme: Scheme = systematic_indices,
) -> Population:
    """Resample only where the effective sample size has fallen below a share of the particles.

    Set options for `smc` by `eqx.Partial(adaptive_resample, ess_threshold=0.3)`, which compiles once for equal options.

    Args:
        population: What to resample.
        key: Random key.
        ess_threshold: The share, from 0 (never) to 1 (whenever weights differ).
        scheme: How ancestors are drawn.

    Example:
        >>> population = sx.inference.Population(jnp.array([1.0, 2.0]), jnp.log(jnp.array([0.3, 0.1])))
        >>> sx.inference.adaptive_resample(population, key=jax.random.key(0)).value  # ESS 1.6 of 2
        Array([1., 2.], dtype=float32)

    Source: Liu & Chen (1995), doi:10.1080/01621459.1995.10476549.
    """
    threshold = jnp.log(jnp.asarray(ess_threshold * population.n_particles, population.log_weight.dtype))
    return jax.lax.cond(
        log_ess(population.log_weight) < threshold,
        lambda population: resample(population, key=key, scheme=scheme),
        lambda population: population,
        population,
    )


class _Composed(eqx.Module):
    transformers: tuple[Transformer, ...]

    def __call__(self, population: Population, *, key: PRNGKeyArray) -> Population:
        for i, transformer in enumerate(self.transformers):
            population = transformer(population, key=jax.random.fold_in(key, i))
        return population


def compose(*transformers: Transformer) -> Transformer:
    """Transformers one after the other, the first first; valid if each is. None at all leave a population alone.

    Example:
        >>> twice = sx.inference.compose(sx.inference.resample, sx.inference.adaptive_resample)
        >>> population = sx.inference.Population(jnp.array([1.0, 2.0]), jnp.log(jnp.array([0.0, 0.4])))
        >>> twice(population, key=jax.random.key(0)).value
        Array([2., 2.], dtype=float32)
    """
    return _Composed(transformers)
