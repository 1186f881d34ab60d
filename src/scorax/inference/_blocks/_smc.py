"""Sequential Monte Carlo: a population goes through the steps of a program and is resampled on the way."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray

from scorax.inference._blocks._population import Population, check_count, particle_keys
from scorax.inference._blocks._resample import Transformer, resample
from scorax.inference._blocks._stepped import Stepped

Between = Callable[[Int[Array, ""], Population, PRNGKeyArray], Population]
"""`(t, population, key) -> population`: what happens before step `t`."""


def smc(stepped: Stepped, n_particles: int, *, key: PRNGKeyArray, resampler: Transformer = resample) -> Population:
    r"""Run a stepped program as a population, transformed between its steps: a particle filter.

    $$\mathrm{finish} \circ \mathrm{advance} \circ (\mathrm{resample} \circ \mathrm{advance})^{T-1} \circ
    \mathrm{spawn}$$

    Memory does not grow with the number of steps: a state that shall remember its path holds it.

    Args:
        stepped: The program; at least one step.
        n_particles: At least 1.
        key: Random key.
        resampler: What to do after each step but the last: any valid transformer of populations.

    Returns:
        A population that means what the program does: `integral(f)` and the exponential of `log_evidence` are unbiased
        for any number of particles. All weights are zero where every particle died.

    Raises:
        ValueError: `n_particles` or the number of steps is below 1.

    Example:
        >>> def step(observed, t, x, key):  # a random walk, seen with noise: a bootstrap particle filter
        ...     x = x + jax.random.normal(key)
        ...     return x, jax.scipy.stats.norm.logpdf(observed[t], x)
        >>> walk = sx.inference.Stepped(jax.random.normal, eqx.Partial(step, jnp.zeros(3)), n_steps=3)
        >>> population = sx.inference.smc(walk, 1000, key=jax.random.key(0))
        >>> bool(abs(population.mean()) < 0.2), bool(abs(population.log_evidence + 4.04) < 0.2)
        (True, True)

    Source: Gordon, Salmond & Smith (1993), doi:10.1049/ip-f-2.1993.0015; Del Moral (2004),
        doi:10.1007/978-1-4684-9393-1 (unbiased evidence); Ścibior et al. (2018), arXiv:1711.03219 (as a composition).
    """
    check_count("n_particles", n_particles)
    check_count("stepped.n_steps", stepped.n_steps)
    return _smc(stepped, n_particles, resampler, key)


def rmsmc(
    stepped: Stepped,
    n_particles: int,
    *,
    key: PRNGKeyArray,
    n_moves: int = 1,
    resampler: Transformer = resample,
) -> Population:
    """Resample-move: as `smc`, and after each resampling every particle makes some moves of `stepped.move`.

    Moves set copies of one particle apart again; where the resampler left the weights alone, there are none. A move may
    change the whole state, its past included: `history_walk` makes moves for states that hold their path.

    Args:
        stepped: The program, with a `move`: `tempered` and `stepped_by_rows` make such programs.
        n_particles: At least 1.
        key: Random key.
        n_moves: Moves of each particle after a resampling.
        resampler: What to do before the moves.

    Returns:
        A population that means what the program does, as with `smc`.

    Raises:
        ValueError: `stepped` has no move, or a count is below 1.

    Example:
        >>> halves = sx.inference.Stepped(  # a standard normal, weighed by exp(-x²/2) in two halves
        ...     init=jax.random.normal,
        ...     step=lambda t, x, key: (x, -(x**2) / 4),
        ...     n_steps=2,
        ...     move=lambda t, x, key: jax.random.normal(key) / 1.5**0.5,  # exact after the first half
        ... )
        >>> population = sx.inference.rmsmc(halves, 1000, key=jax.random.key(0))
        >>> bool(abs(population.log_evidence + jnp.log(2.0) / 2) < 0.05)
        True

    Source: Gilks & Berzuini (2001), doi:10.1111/1467-9868.00280.
    """
    check_count("n_particles", n_particles)
    check_count("n_moves", n_moves)
    check_count("stepped.n_steps", stepped.n_steps)
    return _rmsmc(stepped, n_particles, n_moves, resampler, key)


@eqx.filter_jit
def _smc(stepped: Stepped, n_particles: int, resampler: Transformer, key: PRNGKeyArray) -> Population:
    return stepped.collect(states(stepped, n_particles, resampling(resampler), key=key))


@eqx.filter_jit
def _rmsmc(stepped: Stepped, n_particles: int, n_moves: int, resampler: Transformer, key: PRNGKeyArray) -> Population:
    def between(t: Int[Array, ""], population: Population, key: PRNGKeyArray) -> Population:
        return resample_move(stepped, t - 1, population, resampler, n_moves, key=key)

    return stepped.collect(states(stepped, n_particles, between, key=key))


def resampling(resampler: Transformer) -> Between:
    """A transformer, at every step."""
    return lambda t, population, key: resampler(population, key=key)


def states(
    stepped: Stepped,
    n_particles: int,
    between: Between,
    *,
    key: PRNGKeyArray,
    n_steps: Int[Array, ""] | None = None,
) -> Population:
    """States after the first `n_steps` steps (all, if None), with `between` before every step but the first.

    The population depends on the steps that were made, not on how many are still to come.
    """
    population = stepped.spawn(n_particles, key=aside(key))

    def step(t: Int[Array, ""], population: Population) -> Population:
        return next_states(stepped, population, t, between, key=key)

    if n_steps is None:
        ts = jnp.arange(stepped.n_steps, dtype=jnp.int32)
        return jax.lax.scan(lambda population, t: (step(t, population), None), population, ts)[0]
    return jax.lax.fori_loop(jnp.zeros_like(n_steps), n_steps, step, population)


def next_states(
    stepped: Stepped, population: Population, t: Int[Array, ""], between: Between, *, key: PRNGKeyArray
) -> Population:
    """States after step `t`, from those before it; `key` is the key of the whole run."""
    key = jax.random.fold_in(key, t)
    # Before the first step all weights are equal, and particles independent: there is nothing to mend.
    ready = jax.lax.cond(t > 0, lambda p: between(t, p, aside(key)), lambda p: p, population)
    return stepped.advance(ready, t, key=key)


def aside(key: PRNGKeyArray) -> PRNGKeyArray:
    """A key for what is no step and no particle."""
    return jax.random.fold_in(key, 2**32 - 1)


def resample_move(
    stepped: Stepped,
    t: Int[Array, ""],
    population: Population,
    resampler: Transformer,
    n_moves: int,
    *,
    key: PRNGKeyArray,
) -> Population:
    """The population after step `t`, resampled, and then moved where that changed its weights."""
    move = stepped.move
    if move is None:
        raise ValueError("stepped has no move: pass one as Stepped(..., move=...), or run it with smc")
    key_resample, key_move = jax.random.split(key)
    resampled = resampler(population, key=key_resample)

    def moved(state: Any, key: PRNGKeyArray) -> Any:
        return jax.lax.fori_loop(0, n_moves, lambda i, state: move(t, state, jax.random.fold_in(key, i)), state)

    def all_moved(population: Population) -> Population:
        keys = particle_keys(key_move, population.n_particles)
        return Population(jax.vmap(moved)(population.value, keys), population.log_weight)

    happened = (resampled.log_weight != population.log_weight).any()
    return jax.lax.cond(happened, all_moved, lambda population: population, resampled)
