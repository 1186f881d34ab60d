"""Markov kernels: functions `(key, state) -> state` that leave a measure alone."""

import abc
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from scorax.inference._blocks._traced import Traced

LogDensity = Callable[[Any], Float[Array, ""]]
Proposal = Callable[[PRNGKeyArray, Any], tuple[Any, Float[Array, ""]]]
"""`(key, u) -> (u', log q(u | u') - log q(u' | u))`."""


class AbstractTransition(eqx.Module):
    """A function `(key, state) -> state` that knows how its states and positions belong together."""

    @abc.abstractmethod
    def init(self, position: Any, *, key: PRNGKeyArray) -> Any:
        """A state at a position. `key` is for kernels whose states hold more random things."""

    @abc.abstractmethod
    def __call__(self, key: PRNGKeyArray, state: Any) -> Any:
        """One step."""

    @abc.abstractmethod
    def position(self, state: Any) -> Any:
        """Where a state is."""

    def one_step(self, key: PRNGKeyArray, position: Any) -> Any:
        """One step from a position to a position, for kernels that remember nothing else."""
        return self.position(self(key, self.init(position, key=jax.random.fold_in(key, 0))))


KernelOf = Callable[[LogDensity], AbstractTransition]
"""From a log density to a kernel that leaves it alone, such as `eqx.Partial(mh_kernel, proposal=random_walk(0.5))`."""


class MHState(NamedTuple):
    """State of a Metropolis-Hastings chain."""

    position: Any
    log_density: Float[Array, ""]


class _MetropolisHastings(AbstractTransition):
    log_density: LogDensity
    proposal: Proposal

    def init(self, position: Any, *, key: PRNGKeyArray | None = None) -> MHState:
        return MHState(position, self.log_density(position))

    def propose(self, key: PRNGKeyArray, state: MHState) -> tuple[MHState, Float[Array, ""]]:
        position, log_ratio = self.proposal(key, state.position)
        proposed = self.init(position)
        return proposed, proposed.log_density - state.log_density + log_ratio.astype(state.log_density.dtype)

    def __call__(self, key: PRNGKeyArray, state: MHState) -> MHState:
        return metropolis(self.propose, key, state)

    def position(self, state: MHState) -> Any:
        return state.position


def metropolis(
    propose: Callable[[PRNGKeyArray, Any], tuple[Any, Float[Array, ""]]], key: PRNGKeyArray, state: Any
) -> Any:
    """Move to what `propose` offers with the probability that goes with its log acceptance ratio, or stay.

    A ratio that is NaN is refused.
    """
    key_propose, key_accept = jax.random.split(key)
    proposed, log_ratio = propose(key_propose, state)
    accepted = jnp.log(jax.random.uniform(key_accept, (), log_ratio.dtype)) < log_ratio
    return select(accepted, proposed, state)


def select(chosen: Bool[Array, ""], one: Any, other: Any) -> Any:
    """The PyTree `one` where `chosen`, else `other`."""
    return jax.tree.map(lambda x, y: jnp.where(chosen, x, y), one, other)


def mh_kernel(target: Traced | LogDensity, proposal: Proposal) -> AbstractTransition:
    """Metropolis-Hastings: propose, and accept with probability `min(1, p(u') q(u | u') / (p(u) q(u' | u)))`.

    Args:
        target: A `Traced`, for its joint density; or a log density.
        proposal: `(key, u) -> (u', log q(u | u') - log q(u' | u))`, such as `random_walk` and `single_site`.

    Returns:
        A kernel: `state = kernel(key, state)`, from `kernel.init(position)`; `kernel.position(state)`.

    Example:
        >>> kernel = sx.inference.mh_kernel(lambda x: -(x**2) / 2, sx.inference.random_walk(1.0))
        >>> state = kernel.init(jnp.array(0.0), key=jax.random.key(0))
        >>> kernel(jax.random.key(1), state).position.shape
        ()

    Source: Metropolis et al. (1953), doi:10.1063/1.1699114; Hastings (1970), doi:10.1093/biomet/57.1.97.
    """
    return _MetropolisHastings(target.log_joint if isinstance(target, Traced) else target, proposal)


class _RandomWalk(eqx.Module):
    scale: Float[Array, "*s"]

    def __call__(self, key: PRNGKeyArray, position: Any) -> tuple[Any, Float[Array, ""]]:
        flat, restore = ravel_pytree(position)
        step = self.scale.astype(flat.dtype) * jax.random.normal(key, flat.shape, flat.dtype)
        return restore(flat + step), jnp.zeros((), flat.dtype)


def random_walk(scale: float | Float[Array, "*s"]) -> Proposal:
    """Add independent Gaussian noise to every number of the position.

    Args:
        scale: Standard deviation, above 0; one for all numbers, or one for each, end to end.

    Example:
        >>> position, log_ratio = sx.inference.random_walk(0.5)(jax.random.key(0), {"x": jnp.zeros(3)})
        >>> position["x"].shape, log_ratio
        ((3,), Array(0., dtype=float32))

    Source: Metropolis et al. (1953), doi:10.1063/1.1699114.
    """
    return _RandomWalk(jnp.asarray(scale, dtype=float))


class _SingleSite(eqx.Module):
    target: Traced

    def __call__(self, key: PRNGKeyArray, position: Any) -> tuple[Any, Float[Array, ""]]:
        key_draw, key_site = jax.random.split(key)
        fresh = self.target.draw(key_draw)
        sizes = [leaf.size for leaf in jax.tree.leaves(position)]
        site = jax.random.randint(key_site, (), 0, sum(sizes))
        leaves, start = [], 0
        for old, new in zip(jax.tree.leaves(position), jax.tree.leaves(fresh), strict=True):
            here = jnp.arange(start, start + old.size).reshape(old.shape) == site
            leaves.append(jnp.where(here, new, old))
            start += old.size
        proposed = jax.tree.unflatten(jax.tree.structure(position), leaves)
        return proposed, self.target.log_prior(position) - self.target.log_prior(proposed)


def single_site(target: Traced) -> Proposal:
    """Draw one number of the trace, chosen uniformly, from its prior again: lightweight Metropolis-Hastings.

    Args:
        target: Its trace must consist of numbers that are independent under the prior, such as uniforms from which
            `output` makes the rest. (Otherwise the ratio is not the one that this proposal has.)

    Example:
        >>> target = sx.inference.Traced(
        ...     draw=lambda key: jax.random.uniform(key, (3,)),
        ...     log_prior=lambda u: jnp.zeros(()),
        ...     log_likelihood=lambda u: u.sum(),
        ... )
        >>> kernel = sx.inference.mh_kernel(target, sx.inference.single_site(target))
        >>> state = kernel.init(jnp.full(3, 0.5), key=jax.random.key(0))
        >>> int((kernel(jax.random.key(1), state).position != 0.5).sum())
        1

    Source: Wingate, Stuhlmüller & Goodman (2011), PMLR 15:770-778; Ścibior et al. (2018), arXiv:1711.03219.
    """
    return _SingleSite(target)
