"""Weigh draws from elsewhere, or all values that there are."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from scorax.inference._blocks._population import Population, Weighted, check_count, spawn
from scorax.inference._blocks._traced import Traced

Proposal = Callable[[PRNGKeyArray], tuple[Any, Float[Array, ""]]]
"""`key -> (trace, its log density)`."""


def importance(target: Traced, n_particles: int, *, key: PRNGKeyArray, proposal: Proposal | None = None) -> Population:
    """Independent draws from a proposal `q`, each with weight `p/q` over the number of draws.

    Args:
        target: Its joint density is `p`.
        n_particles: At least 1.
        key: Random key.
        proposal: `key -> (trace, log q(trace))`, with no mass missing where `p` has some. None draws from the prior,
            so that weights are likelihoods.

    Returns:
        A population of outputs of the target.

    Raises:
        ValueError: `n_particles` is below 1.

    Example:
        >>> normal = jax.scipy.stats.norm.logpdf
        >>> target = sx.inference.Traced(jax.random.normal, normal, lambda x: normal(1.0, x))
        >>> population = sx.inference.importance(target, 4000, key=jax.random.key(0))
        >>> bool(abs(population.log_evidence + 1.5155) < 0.05)  # log density of 1 under Normal(0, sd sqrt 2)
        True

    Source: Kahn & Marshall (1953), doi:10.1287/opre.1.5.263.
    """
    check_count("n_particles", n_particles)
    return _importance(target, n_particles, proposal, key)


@eqx.filter_jit
def _importance(target: Traced, n_particles: int, proposal: Proposal | None, key: PRNGKeyArray) -> Population:
    def run(key: PRNGKeyArray) -> Weighted:
        if proposal is None:
            trace = target.draw(key)
            return Weighted(trace, target.log_likelihood(trace))
        trace, log_density = proposal(key)
        joint = target.log_joint(trace)
        return Weighted(trace, joint - log_density.astype(joint.dtype))

    return spawn(run, n_particles, key=key).map(target.output)


def enumerate(target: Traced, support: Any) -> Population:
    """Every value of a discrete trace once, with its joint probability as weight: exact.

    Args:
        target: Its trace takes finitely many values.
        support: A PyTree like a trace, whose leaves have one more leading axis: all values of that leaf. The trace
            takes every combination of values of its leaves.

    Returns:
        A population without randomness, of outputs of the target, in the order of the last leaf first.

    Example:
        >>> biases, heads = jnp.array([0.2, 0.5, 0.9]), 3
        >>> coin = sx.inference.Traced(
        ...     draw=lambda key: jax.random.randint(key, (), 0, 3),
        ...     log_prior=lambda which: -jnp.log(3.0),
        ...     log_likelihood=lambda which: heads * jnp.log(biases[which]),
        ... )
        >>> posterior = sx.inference.enumerate(coin, jnp.arange(3))
        >>> jnp.exp(posterior.log_evidence)  # (0.008 + 0.125 + 0.729) / 3
        Array(0.287333, dtype=float32)
    """
    leaves, structure = jax.tree.flatten(support)
    places = jnp.meshgrid(*(jnp.arange(leaf.shape[0]) for leaf in leaves), indexing="ij")
    traces = jax.tree.unflatten(structure, [leaf[place.ravel()] for leaf, place in zip(leaves, places, strict=True)])
    log_weight = jax.vmap(target.log_joint)(traces)
    return Population(traces, log_weight).map(target.output)
