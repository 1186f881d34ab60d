"""A hidden Markov model of two states, small enough to enumerate all that a particle filter can do with it."""

import itertools
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from scorax.inference._blocks import Stepped
from scorax.inference._blocks._smc import aside

STEPS, PARTICLES = 3, 2
TRANSITION = np.array([[0.7, 0.3], [0.2, 0.8]])
EMISSION = np.array([[0.5, 3.0], [2.0, 0.25], [0.1, 1.5]])
"""Weight of each state at each step; the chain starts in state 0 before the first."""
KEY = jax.random.key(7)
PATHS = np.array(list(itertools.product((0, 1), repeat=STEPS)))


def path_weights() -> np.ndarray:
    """Prior probability times weight of every path."""
    before = np.concatenate([np.zeros((len(PATHS), 1), int), PATHS[:, :-1]], axis=1)
    return (TRANSITION[before, PATHS] * EMISSION[np.arange(STEPS), PATHS]).prod(1)


EVIDENCE = path_weights().sum()
PATH_POSTERIOR = path_weights() / EVIDENCE


def log(probability: np.ndarray) -> jax.Array:
    """In JAX's default width."""
    return jnp.asarray(np.log(probability), dtype=float)


def _init(key):
    return jnp.zeros(STEPS, jnp.int32)


def _step(log_transition, log_emission, t, path, key):
    now = jnp.where(t > 0, path[t - 1], 0)
    new = jax.random.categorical(key, log_transition[now]).astype(path.dtype)
    return path.at[t].set(new), log_emission[t, new]


def hidden_markov() -> Stepped:
    """The model as a program whose state is its path, with random transitions."""
    return Stepped(_init, eqx.Partial(_step, log(TRANSITION), log(EMISSION)), n_steps=STEPS)


class Tape(NamedTuple):
    """All that is random in a run of a particle filter."""

    new: np.ndarray
    """State that each particle goes to, by step."""
    ancestor: np.ndarray
    """Place that each place is copied from, before each step; before the first, nothing is."""


def all_tapes() -> Tape:
    """Every one that there is: 4 ** 3 transitions, 4 ** 2 ancestries."""
    new = list(itertools.product((0, 1), repeat=STEPS * PARTICLES))
    ancestor = list(itertools.product((0, 1), repeat=(STEPS - 1) * PARTICLES))
    pairs = list(itertools.product(new, ancestor))
    return Tape(
        np.array([n for n, _ in pairs]).reshape(-1, STEPS, PARTICLES),
        np.pad(np.array([a for _, a in pairs]).reshape(-1, STEPS - 1, PARTICLES), ((0, 0), (1, 0), (0, 0))),
    )


def _number_of(key, keys):
    """Which of some keys this one is: the only way in which a forced function learns where it was called."""
    return jnp.argmax((jax.random.key_data(keys) == jax.random.key_data(key)[None]).all(-1))


def _step_keys():
    return jax.vmap(lambda t: jax.random.fold_in(KEY, t))(jnp.arange(STEPS))


def _forced_step(tape, log_emission, t, path, key):
    particle_keys = jax.vmap(lambda i: jax.random.fold_in(jax.random.fold_in(KEY, t), i))(jnp.arange(PARTICLES))
    new = tape.new[t, _number_of(key, particle_keys)].astype(path.dtype)
    return path.at[t].set(new), log_emission[t, new]


def forced(tape: Tape) -> Stepped:
    """The model with the transitions of a tape, for a run with `KEY`."""
    return Stepped(_init, eqx.Partial(_forced_step, tape, log(EMISSION)), n_steps=STEPS)


def forced_scheme(tape: Tape):
    """A resampling scheme with the ancestors of a tape, for a run with `KEY`."""

    def scheme(log_weights, *, key):
        return tape.ancestor[_number_of(key, jax.vmap(aside)(_step_keys()))].astype(jnp.int32)

    return scheme


def law(scheme: str, first: np.ndarray) -> np.ndarray:
    """`P(ancestors = (a, b))` for two particles, by normalised weight of the first: exact, from the definitions."""
    w = np.asarray(first)
    out = np.zeros((*w.shape, 2, 2))
    if scheme == "multinomial":
        share = np.stack([w, 1 - w], -1)
        return share[..., :, None] * share[..., None, :]
    if scheme == "residual":
        # One of both is certain to have a copy, unless they are equal, and then both are.
        other = np.where(w > 0.5, 2 * w - 1, 2 * w)
        out[..., 0, 0] = np.where(w > 0.5, other, 0)
        out[..., 1, 1] = np.where(w < 0.5, 1 - other, 0)
        # Certain copies come first: (0, 1) where the first has one, (1, 0) where the second has.
        out[..., 0, 1] = np.where(w > 0.5, 1 - other, w == 0.5)
        out[..., 1, 0] = np.where(w < 0.5, other, 0)
        return out
    # Both places fall to particle 0 where their positions in [0, 1/2) and [1/2, 1) lie below its weight. One uniform
    # decides both or two decide each: with two particles one of them is always certain, so the laws agree.
    both, none = np.maximum(2 * w - 1, 0), np.maximum(1 - 2 * w, 0)
    out[..., 0, 0], out[..., 1, 1], out[..., 0, 1] = both, none, 1 - both - none
    return out


def tape_probability(tapes: Tape, scheme: str, ess_threshold: float) -> np.ndarray:
    """Probability of each tape, under a scheme that resamples where the effective sample size falls below a share."""
    runs = len(tapes.new)
    state, weight = np.zeros((runs, PARTICLES), int), np.full((runs, PARTICLES), 1 / PARTICLES)
    probability = np.ones(runs)
    for t in range(STEPS):
        if t > 0:
            total = weight.sum(1)
            normalised = weight / total[:, None]
            a, b = tapes.ancestor[:, t].T
            happens = 1 / (normalised**2).sum(1) < ess_threshold * PARTICLES
            stays = (a == 0) & (b == 1)
            chance = law(scheme, normalised[:, 0])[np.arange(runs), a, b]
            probability *= np.where(happens, chance, stays)
            state = np.where(happens[:, None], np.take_along_axis(state, tapes.ancestor[:, t], 1), state)
            weight = np.where(happens[:, None], (total / PARTICLES)[:, None], weight)
        probability *= TRANSITION[state, tapes.new[:, t]].prod(1)
        state = tapes.new[:, t]
        weight = weight * EMISSION[t, state]
    return probability
