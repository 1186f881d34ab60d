"""A program that pauses: its weight comes in instalments, and a population can be resampled between them."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from scorax.inference._blocks._population import Population, particle_keys, spawn


def _whole(state: Any) -> Any:
    return state


class Stepped(eqx.Module):
    """A program in `n_steps` steps. It means what running all of them does, with the product of their weights.

    Compiled functions take its arrays as arguments where its functions are PyTrees: bound methods of modules, or
    `eqx.Partial(f, data)`. What a plain closure holds is compiled in, and a new closure compiles anew.

    Example:
        >>> def step(observed, t, x, key):  # a random walk, seen with noise: a bootstrap particle filter
        ...     x = x + jax.random.normal(key)
        ...     return x, jax.scipy.stats.norm.logpdf(observed[t], x)
        >>> walk = sx.inference.Stepped(jax.random.normal, eqx.Partial(step, jnp.zeros(3)), n_steps=3)
        >>> walk.n_steps
        3
    """

    init: Callable[[PRNGKeyArray], Any]
    """`key -> state`, a PyTree of arrays."""
    step: Callable[[Int[Array, ""], Any, PRNGKeyArray], tuple[Any, Float[Array, ""]]]
    """`(t, state, key) -> (state, log weight of the step)`, for `t` from 0."""
    finish: Callable[[Any], Any] = _whole
    """From the last state to the value."""
    n_steps: int = eqx.field(static=True, kw_only=True)
    move: Callable[[Int[Array, ""], Any, PRNGKeyArray], Any] | None = eqx.field(default=None, kw_only=True)
    """`(t, state, key) -> state`, a kernel that leaves the meaning of steps 0 to `t` alone; `rmsmc` needs it."""

    def spawn(self, n_particles: int, *, key: PRNGKeyArray) -> Population:
        """States before the first step."""
        return spawn(self.init, n_particles, key=key)

    def advance(self, population: Population, t: Int[Array, ""], *, key: PRNGKeyArray) -> Population:
        """Step `t` of every particle; particle `i` has the key `fold_in(key, i)`."""
        keys = particle_keys(key, population.n_particles)
        state, log_increment = jax.vmap(self.step, in_axes=(None, 0, 0))(t, population.value, keys)
        return Population(state, population.log_weight + log_increment.astype(population.log_weight.dtype))

    def collect(self, population: Population) -> Population:
        """Values of the last states."""
        return population.map(self.finish)
