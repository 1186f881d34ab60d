"""What blocks return: draws with weights, which stand for a measure that need not sum to one.

A random `Weighted` means the measure `f -> E[w f(a)]`, a random `Population` the measure `f -> E[sum_i w_i f(a_i)]`.
A block is valid if what it returns has the meaning of what it was given, whatever that was; so valid blocks compose.

Source: Ścibior et al. (2018), arXiv:1711.03219.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PRNGKeyArray

from scorax.numerics._resampling import log_ess


class Weighted(eqx.Module):
    """One draw and the log of its weight."""

    value: Any
    """Any PyTree."""
    log_weight: Float[Array, "*b"]


class Population(eqx.Module):
    """Particles with weights. The sum of the weights estimates the total mass: the evidence, of a posterior.

    Example:
        >>> population = sx.inference.Population(jnp.array([1.0, 2.0]), jnp.log(jnp.array([0.3, 0.1])))
        >>> jnp.exp(population.log_evidence), population.ess, population.mean()
        (Array(0.4, dtype=float32), Array(1.6, dtype=float32), Array(1.25, dtype=float32))
    """

    value: Any
    """Any PyTree of arrays whose leading axis is the particle."""
    log_weight: Float[Array, "*b n"]

    @property
    def n_particles(self) -> int:
        """How many there are, those of weight zero included."""
        return self.log_weight.shape[-1]

    @property
    def log_evidence(self) -> Float[Array, "*b"]:
        """Log of the sum of the weights. Its exponential is an unbiased estimate, itself is biased downwards."""
        return jax.nn.logsumexp(self.log_weight, axis=-1)

    @property
    def ess(self) -> Float[Array, "*b"]:
        """Effective sample size of the weights, from 1 to `n_particles`; NaN where all weights are zero."""
        return jnp.exp(log_ess(self.log_weight))

    def map(self, f: Callable[[Any], Any]) -> "Population":
        """The same weights on `f` of every particle."""
        return Population(eqx.filter_vmap(f)(self.value), self.log_weight)

    def integral(self, f: Callable[[Any], Any] = lambda value: value) -> Any:
        """`sum_i w_i f(a_i)`: an unbiased estimate of the integral of `f`, a PyTree of arrays."""
        return self._weigh(jnp.exp(self.log_weight), f)

    def mean(self, f: Callable[[Any], Any] = lambda value: value) -> Any:
        """Average of `f` under the normalised weights; NaN where all weights are zero."""
        return self._weigh(jnp.exp(self.log_weight - self.log_evidence[..., None]), f)

    def _weigh(self, weight: Float[Array, " n"], f: Callable[[Any], Any]) -> Any:
        def weigh(x: Any) -> Any:
            if not eqx.is_array(x):
                return x
            share = weight.reshape(-1, *(1 for _ in x.shape[1:]))
            # A particle of weight zero may hold anything.
            return jnp.where(share == 0, 0, share * x.astype(share.dtype)).sum(0)

        def arrays(value: Any) -> Any:
            return jax.tree.map(lambda x: jnp.asarray(x) if eqx.is_array_like(x) else x, f(value))

        return jax.tree.map(weigh, self.map(arrays).value)


def spawn(run: Callable[[PRNGKeyArray], Any], n_particles: int, *, key: PRNGKeyArray) -> Population:
    """Independent runs of a program, each with its weight divided by their number.

    Args:
        run: From a key to a draw, any PyTree of arrays; or to a `Weighted`.
        n_particles: How many, at least 1.
        key: Random key. Particle `i` has the key `fold_in(key, i)`.

    Returns:
        A population that means what one run does; log weights have JAX's default width.

    Raises:
        ValueError: `n_particles` is below 1.

    Example:
        >>> population = sx.inference.spawn(jax.random.normal, 4, key=jax.random.key(0))
        >>> population.log_evidence, population.ess
        (Array(0., dtype=float32), Array(4., dtype=float32))
    """
    check_count("n_particles", n_particles)
    drawn = jax.vmap(run)(particle_keys(key, n_particles))
    share = jnp.full(n_particles, -jnp.log(n_particles))
    if isinstance(drawn, Weighted):
        return Population(drawn.value, drawn.log_weight.astype(share.dtype) + share)
    return Population(drawn, share)


def particle_keys(key: PRNGKeyArray, n_particles: int) -> Key[Array, " n"]:
    """One key for each particle, whatever the number of particles."""
    return jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(n_particles, dtype=jnp.uint32))


def check_count(name: str, value: int) -> None:
    """Raise `ValueError` unless a number of things is at least 1."""
    if value < 1:
        raise ValueError(f"{name} must be at least 1, not {value}")
