"""Particle marginal Metropolis-Hastings: a chain over parameters that sees the likelihood through a particle filter."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from scorax.inference._blocks._evidence import collapse
from scorax.inference._blocks._kernel import AbstractTransition, Proposal, metropolis
from scorax.inference._blocks._population import check_count
from scorax.inference._blocks._resample import Transformer, resample
from scorax.inference._blocks._smc import smc
from scorax.inference._blocks._stepped import Stepped
from scorax.inference._blocks._traced import Traced

Family = Callable[[Any], Stepped]
"""From parameters to a program whose evidence is their likelihood."""


class PMMHState(NamedTuple):
    """State of a PMMH chain."""

    position: Any
    log_density: Float[Array, ""]
    """Of the parameters, without the part that is estimated."""
    log_evidence: Float[Array, ""]
    """The estimate for these parameters, made once and kept as long as they are."""
    value: Any
    """One value of the program given these parameters, such as a latent path."""


class _PMMH(AbstractTransition):
    target: Traced
    family: Family
    proposal: Proposal
    n_particles: int = eqx.field(static=True)
    resampler: Transformer

    def init(self, position: Any, *, key: PRNGKeyArray) -> PMMHState:
        key_run, key_draw = jax.random.split(key)
        stepped = self.family(self.target.output(position))
        one = collapse(smc(stepped, self.n_particles, key=key_run, resampler=self.resampler), key=key_draw)
        return PMMHState(position, self.target.log_joint(position), one.log_weight, one.value)

    def propose(self, key: PRNGKeyArray, state: PMMHState) -> tuple[PMMHState, Float[Array, ""]]:
        key_position, key_estimate = jax.random.split(key)
        position, log_ratio = self.proposal(key_position, state.position)
        proposed = self.init(position, key=key_estimate)
        return proposed, gain(proposed, state) + log_ratio.astype(proposed.log_evidence.dtype)

    def __call__(self, key: PRNGKeyArray, state: PMMHState) -> PMMHState:
        return metropolis(self.propose, key, state)

    def position(self, state: PMMHState) -> Any:
        return state.position


def gain(proposed: Any, state: Any) -> Float[Array, ""]:
    """How much larger the estimated log posterior density of one state is than that of another."""
    width = state.log_evidence.dtype
    after, before = (s.log_density.astype(width) + s.log_evidence for s in (proposed, state))
    # From nowhere anything is better; to nowhere nothing is.
    return jnp.where(after == -jnp.inf, -jnp.inf, after - before)


def pmmh(
    target: Traced, family: Family, proposal: Proposal, n_particles: int, *, resampler: Transformer = resample
) -> AbstractTransition:
    """A kernel over parameters whose likelihood only a particle filter can estimate; exact for any number of particles.

    The estimate of the current parameters is kept, never made again: that makes it exact. A chain that starts from an
    exact posterior draw is stationary only if its estimate is drawn from its own stationary law too, which is
    size-biased: `conditional_smc` around the true path draws it (for multinomial resampling).

    Args:
        target: The prior of the parameters (and whatever of their likelihood is known).
        family: From parameters (an output of `target`) to a program whose evidence is their likelihood.
        proposal: Of new parameters, such as `random_walk`.
        n_particles: Of each run. Best where the log evidence near the mode has a standard deviation of about 1.
        resampler: Between the steps of the filter.

    Returns:
        A kernel: `state = kernel(key, state)`, from `kernel.init(position, key=key)`. Its states hold a value of the
        program as well: draws from the joint posterior of parameters and path.

    Raises:
        ValueError: `n_particles` is below 1.

    Example:
        >>> normal = jax.scipy.stats.norm.logpdf
        >>> def family(theta):  # theta + noise + noise, one datum at 1
        ...     return sx.inference.Stepped(
        ...         lambda key: theta + jax.random.normal(key), lambda t, x, key: (x, normal(1.0, x)), n_steps=1
        ...     )
        >>> prior = sx.inference.Traced(jax.random.normal, normal)
        >>> kernel = sx.inference.pmmh(prior, family, sx.inference.random_walk(1.0), 10)
        >>> state = kernel.init(jnp.array(0.0), key=jax.random.key(0))
        >>> kernel(jax.random.key(1), state).value.shape
        ()

    Source: Andrieu, Doucet & Holenstein (2010), doi:10.1111/j.1467-9868.2009.00736.x.
    """
    check_count("n_particles", n_particles)
    return _PMMH(target, family, proposal, n_particles, resampler)
