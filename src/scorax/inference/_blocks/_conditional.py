"""A particle filter around a path that is given: the filter's law, seen from one of its particles."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from scorax.inference._blocks._kernel import select
from scorax.inference._blocks._population import Population, check_count
from scorax.inference._blocks._resample import resample
from scorax.inference._blocks._smc import aside, next_states
from scorax.inference._blocks._stepped import Stepped
from scorax.numerics._resampling import multinomial_indices

LogIncrement = Callable[[Int[Array, ""], Any, Any], Float[Array, ""]]
"""`(t, state before, state after) -> log weight` of a step `t` that led there."""


def conditional_smc(
    stepped: Stepped,
    path: Any,
    log_increment: LogIncrement,
    n_particles: int,
    *,
    key: PRNGKeyArray,
) -> Population:
    """A particle filter with multinomial resampling, one of whose particles is a given path that survives.

    Around a path drawn from the program's own law (its weights included), the population has the law of an ordinary
    filter's, size-biased by its evidence: the stationary law of what `pmmh` keeps.

    Args:
        stepped: The program; its `init` and `step` move the other particles.
        path: States of the given particle, with a leading axis of `n_steps + 1`: before step 0, and after each step.
        log_increment: `(t, before, after) -> log weight`, what `step` returns where it goes from one state to another.
        n_particles: At least 1, the given one included; it comes first.
        key: Random key.

    Raises:
        ValueError: `n_particles` is below 1, or `path` is not one state longer than the program.

    Example:
        >>> normal = jax.scipy.stats.norm.logpdf
        >>> observed = jnp.array([0.5, 1.0])
        >>> def step(t, x, key):
        ...     x = x + jax.random.normal(key)
        ...     return x, normal(observed[t], x)
        >>> walk = sx.inference.Stepped(jax.random.normal, step, n_steps=2)
        >>> population = sx.inference.conditional_smc(
        ...     walk, jnp.array([0.0, 0.5, 0.7]), lambda t, before, x: normal(observed[t], x), 5, key=jax.random.key(0)
        ... )
        >>> population.value[0]
        Array(0.7, dtype=float32)

    Source: Andrieu, Doucet & Holenstein (2010), doi:10.1111/j.1467-9868.2009.00736.x.
    """
    check_count("n_particles", n_particles)
    lengths = {leaf.shape[0] for leaf in jax.tree.leaves(path)}
    if lengths != {stepped.n_steps + 1}:
        raise ValueError(
            f"path must hold {stepped.n_steps + 1} states, before step 0 and after each of {stepped.n_steps} steps, "
            f"not {sorted(lengths)}"
        )
    return _conditional_smc(stepped, path, log_increment, n_particles, key)


@eqx.filter_jit
def _conditional_smc(
    stepped: Stepped, path: Any, log_increment: LogIncrement, n_particles: int, key: PRNGKeyArray
) -> Population:
    given = jnp.arange(n_particles) == 0

    def at(t: Int[Array, ""]) -> Any:
        return jax.tree.map(lambda x: x[t], path)

    def step(t: Int[Array, ""], state: tuple[Array, Any], key: PRNGKeyArray) -> tuple[Any, Float[Array, ""]]:
        is_given, before = state
        after, increment = select(
            is_given, (at(t + 1), log_increment(t, at(t), at(t + 1))), stepped.step(t, before, key)
        )
        return (is_given, after), increment

    def between(t: Int[Array, ""], population: Population, key: PRNGKeyArray) -> Population:
        resampled = resample(population, key=key, scheme=_first_survives)
        # Copies of the given particle go their own way.
        return Population((given, resampled.value[1]), resampled.log_weight)

    around = Stepped(stepped.init, step, n_steps=stepped.n_steps)
    free = stepped.spawn(n_particles, key=aside(key))
    start = jax.tree.map(lambda x, given: x.at[0].set(given), free.value, at(jnp.zeros((), jnp.int32)))
    last, _ = jax.lax.scan(
        lambda population, t: (next_states(around, population, t, between, key=key), None),
        Population((given, start), free.log_weight),
        jnp.arange(stepped.n_steps, dtype=jnp.int32),
    )
    return stepped.collect(Population(last.value[1], last.log_weight))


def _first_survives(log_weights: Float[Array, " n"], *, key: PRNGKeyArray) -> Int[Array, " n"]:
    return multinomial_indices(log_weights, key=key).at[0].set(0)
