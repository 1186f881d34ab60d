"""SMC²: particles over parameters, each with a particle filter of its own that says how likely they are so far."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from scorax.inference._blocks._kernel import Proposal, metropolis
from scorax.inference._blocks._pmmh import Family, gain
from scorax.inference._blocks._population import Population, check_count
from scorax.inference._blocks._resample import Transformer, resample
from scorax.inference._blocks._smc import next_states, resampling, rmsmc, states
from scorax.inference._blocks._stepped import Stepped
from scorax.inference._blocks._traced import Traced


class SMC2Value(NamedTuple):
    """A particle over parameters."""

    parameter: Any
    population: Population
    """Of the program given these parameters."""


class _State(NamedTuple):
    position: Any
    log_density: Float[Array, ""]
    inner: Population

    @property
    def log_evidence(self) -> Float[Array, ""]:
        return self.inner.log_evidence


class _SMC2(eqx.Module):
    target: Traced
    family: Family
    proposal: Proposal
    n_inner: int = eqx.field(static=True)
    inner_resampler: Transformer

    def stepped(self, position: Any) -> Stepped:
        return self.family(self.target.output(position))

    def init(self, key: PRNGKeyArray) -> _State:
        key_position, key_inner = jax.random.split(key)
        return self.filtered(self.target.draw(key_position), jnp.zeros((), jnp.int32), key_inner)

    def filtered(self, position: Any, n_steps: Int[Array, ""], key: PRNGKeyArray) -> _State:
        between = resampling(self.inner_resampler)
        inner = states(self.stepped(position), self.n_inner, between, key=key, n_steps=n_steps)
        return _State(position, self.target.log_joint(position), inner)

    def step(self, t: Int[Array, ""], state: _State, key: PRNGKeyArray) -> tuple[_State, Float[Array, ""]]:
        stepped, between = self.stepped(state.position), resampling(self.inner_resampler)
        inner = next_states(stepped, state.inner, t, between, key=key)
        before, after = state.inner.log_evidence, inner.log_evidence
        increment = jnp.where(after == -jnp.inf, -jnp.inf, after - before)
        known = self.target.log_likelihood(state.position).astype(increment.dtype)
        return state._replace(inner=inner), increment + jnp.where(t == 0, known, 0)

    def move(self, t: Int[Array, ""], state: _State, key: PRNGKeyArray) -> _State:
        def propose(key: PRNGKeyArray, state: _State) -> tuple[_State, Float[Array, ""]]:
            key_position, key_inner = jax.random.split(key)
            position, log_ratio = self.proposal(key_position, state.position)
            proposed = self.filtered(position, t + 1, key_inner)
            return proposed, gain(proposed, state) + log_ratio.astype(proposed.log_evidence.dtype)

        return metropolis(propose, key, state)

    def finish(self, state: _State) -> SMC2Value:
        inner = self.stepped(state.position).collect(state.inner)
        return SMC2Value(self.target.output(state.position), inner)


def smc2(
    target: Traced,
    family: Family,
    proposal: Proposal,
    n_particles: int,
    n_inner: int,
    *,
    key: PRNGKeyArray,
    n_moves: int = 1,
    resampler: Transformer = resample,
    inner_resampler: Transformer = resample,
) -> Population:
    """Resample-move over parameters, weighed by particle filters that grow with them; moves are those of `pmmh`.

    A move runs a filter over all steps so far. With `resampler=adaptive_resample` that happens only where the effective
    sample size asks for it, and ever more seldom.

    Args:
        target: The prior of the parameters (and whatever of their likelihood is known, which weighs at the first step).
        family: From parameters (an output of `target`) to a program whose evidence is their likelihood.
        proposal: Of new parameters, such as `random_walk`.
        n_particles: Over parameters.
        n_inner: Of each filter.
        key: Random key.
        n_moves: Moves of each particle after a resampling.
        resampler: Of the parameters.
        inner_resampler: Of the filters.

    Returns:
        A population of `SMC2Value`s; its evidence estimates that of the whole model, without bias.

    Raises:
        ValueError: A count is below 1.

    Example:
        >>> normal = jax.scipy.stats.norm.logpdf
        >>> def family(theta):  # theta + noise + noise, one datum at 1
        ...     return sx.inference.Stepped(
        ...         lambda key: theta + jax.random.normal(key), lambda t, x, key: (x, normal(1.0, x)), n_steps=1
        ...     )
        >>> prior = sx.inference.Traced(jax.random.normal, normal)
        >>> population = sx.inference.smc2(prior, family, sx.inference.random_walk(1.0), 500, 20, key=jax.random.key(0))
        >>> bool(abs(population.log_evidence + 1.6349) < 0.1)  # log density of 1 under Normal(0, variance 3)
        True

    Source: Chopin, Jacob & Papaspiliopoulos (2013), arXiv:1101.1528.
    """
    check_count("n_inner", n_inner)
    parts = _SMC2(target, family, proposal, n_inner, inner_resampler)
    n_steps = eqx.filter_eval_shape(lambda key: parts.stepped(target.draw(key)), key).n_steps
    stepped = Stepped(parts.init, parts.step, parts.finish, n_steps=n_steps, move=parts.move)
    return rmsmc(stepped, n_particles, key=key, n_moves=n_moves, resampler=resampler)
