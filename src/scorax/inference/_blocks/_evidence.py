"""The total weight of a population: taken out, pushed outwards, or carried by a single draw."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from scorax.inference._blocks._population import Population, Weighted

Run = Callable[[PRNGKeyArray], Population]
"""A program: from a key to a population, such as `smc` with all but its key."""


def extract_evidence(population: Population) -> tuple[Population, Float[Array, ""]]:
    """The population with weights that sum to one, and the log of what they summed to.

    Where all weights are zero they come back equal, beside minus infinity: still the same meaning.

    Example:
        >>> population = sx.inference.Population(jnp.array([1.0, 2.0]), jnp.log(jnp.array([0.3, 0.1])))
        >>> normalised, log_evidence = sx.inference.extract_evidence(population)
        >>> jnp.exp(normalised.log_weight), jnp.exp(log_evidence)
        (Array([0.75, 0.25], dtype=float32), Array(0.4, dtype=float32))
    """
    total = population.log_evidence
    dead = total == -jnp.inf
    equal = jnp.full_like(population.log_weight, -jnp.log(population.n_particles))
    normalised = population.log_weight - jnp.where(dead, 0, total)
    return Population(population.value, jnp.where(dead, equal, normalised)), total


def push_evidence(population: Population) -> Weighted:
    """A normalised population as one weighted draw: its evidence becomes the weight of the whole.

    Example:
        >>> population = sx.inference.Population(jnp.array([1.0, 2.0]), jnp.log(jnp.array([0.3, 0.1])))
        >>> outer = sx.inference.push_evidence(population)
        >>> jnp.exp(outer.value.log_weight), jnp.exp(outer.log_weight)
        (Array([0.75, 0.25], dtype=float32), Array(0.4, dtype=float32))
    """
    return Weighted(*extract_evidence(population))


def collapse(population: Population, *, key: PRNGKeyArray) -> Weighted:
    """One particle drawn in proportion to the weights, with the evidence as its weight.

    Example:
        >>> population = sx.inference.Population(jnp.array([1.0, 2.0]), jnp.log(jnp.array([0.0, 0.4])))
        >>> one = sx.inference.collapse(population, key=jax.random.key(0))
        >>> one.value, jnp.exp(one.log_weight)
        (Array(2., dtype=float32), Array(0.4, dtype=float32))

    Source: Naesseth, Lindsten & Schön (2015), arXiv:1502.02536 (proper weighting).
    """
    chosen = jax.random.categorical(key, population.log_weight)
    return Weighted(jax.tree.map(lambda x: x[chosen], population.value), population.log_evidence)


class _Proper(eqx.Module):
    run: Run

    def __call__(self, key: PRNGKeyArray) -> Weighted:
        key_run, key_draw = jax.random.split(key)
        return collapse(self.run(key_run), key=key_draw)


class _Evidence(eqx.Module):
    run: Run

    def __call__(self, key: PRNGKeyArray) -> Float[Array, ""]:
        return self.run(key).log_evidence


def proper(run: Run) -> Callable[[PRNGKeyArray], Weighted]:
    """A program that returns a population as one that returns a single weighted draw of the same meaning.

    So a whole particle filter can be the particle of another one: `spawn(proper(run), n, key=key)`.

    Example:
        >>> run = lambda key: sx.inference.spawn(jax.random.normal, 4, key=key)
        >>> one = sx.inference.proper(run)(jax.random.key(0))
        >>> one.value.shape, one.log_weight
        ((), Array(0., dtype=float32))

    Source: Naesseth, Lindsten & Schön (2015), arXiv:1502.02536.
    """
    return _Proper(run)


def evidence(run: Run) -> Callable[[PRNGKeyArray], Float[Array, ""]]:
    """A program that returns a population as one that returns only the log of its evidence.

    Example:
        >>> run = lambda key: sx.inference.spawn(jax.random.normal, 4, key=key)
        >>> sx.inference.evidence(run)(jax.random.key(0))
        Array(0., dtype=float32)
    """
    return _Evidence(run)
