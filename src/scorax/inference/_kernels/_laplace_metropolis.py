"""Metropolis with independent proposals from Laplace's approximation: exact, and fast where that is good."""

import math
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key, PRNGKeyArray

from scorax.inference._kernels._kernel import AbstractKernel, Point, Target

_LONGEST_WARMUP = 100


class _State(NamedTuple):
    z: Float[Array, " d"]
    log_density: Float[Array, ""]
    accept_prob: Float[Array, ""]
    evaluations: Int[Array, ""]
    step: Int[Array, ""]
    key: PRNGKeyArray


class LaplaceMetropolis(AbstractKernel):
    """Independent draws from the Gaussian at the mode, each accepted or refused by Metropolis' rule.

    Where data determine the parameters well, nearly every draw is accepted, at the price of one evaluation of the
    density and no gradient; where they do not, chains stand still and R-hat and effective sample sizes say so. Then
    use `NUTS`; `method="auto"` finds out which. Every so often a short Hamiltonian trajectory moves a chain that
    stands where the Gaussian seldom proposes.

    It samples in the frame of Laplace's method, which `sample` finds if no `precondition` is given.

    Args:
        local_every: Every how many steps a trajectory takes the place of a proposal.

    Example:
        >>> battles, models = sx.data.datasets.load_llmfao()
        >>> posterior = sx.inference.sample(
        ...     sx.choice.BradleyTerry.init(len(models)), battles, key=jax.random.key(0), method="laplace_metropolis",
        ...     num_samples=200, progress=False,
        ... )
        >>> bool(posterior.stats["accept_prob"].mean() > 0.5)
        True

    Source: Tierney (1994), doi:10.1214/aos/1176325750 (independence chains); Neal (2011), arXiv:1206.1901.
    """

    local_every: int = eqx.field(static=True, default=10)

    tunes_before: ClassVar[bool] = True
    couples_chains: ClassVar[bool] = False
    needs_frame: ClassVar[bool] = True

    def begin(
        self,
        target: Target,
        start: Point,
        keys: Key[Array, " c"],
        num_warmup: int,
        adaptation: dict[str, Array] | None,
    ) -> _State:
        """From the starts, some steps on."""

        def one(at: tuple[Point, PRNGKeyArray]) -> _State:
            point, key = at
            zero = jnp.asarray(0, jnp.int32)
            state = _State(point.z, point.log_density, jnp.ones_like(point.log_density), zero, zero, key)
            steps = min(num_warmup, _LONGEST_WARMUP)
            return jax.lax.fori_loop(0, steps, lambda _, state: self.step(target, state, num_warmup), state)

        return jax.lax.map(one, (start, keys))

    def step(self, target: Target, state: _State, num_warmup: int) -> _State:
        """A proposal from the whole of the Gaussian, or now and then from nearby."""
        key = jax.random.fold_in(state.key, state.step)
        local = (state.step % self.local_every == self.local_every - 1).astype(jnp.int32)
        # Loops of one turn or none, not a condition: what does not change from step to step, such as sums of the data,
        # the compiler moves out of loops, and leaves in conditions.
        moved = jax.lax.fori_loop(0, 1 - local, lambda _, at: _anywhere(target, at, key), state)
        moved = jax.lax.fori_loop(0, local, lambda _, at: _nearby(target, at, key), moved)
        return moved._replace(step=state.step + 1)

    def position(self, state: _State) -> Float[Array, " d"]:
        """Where the chain is."""
        return state.z

    def statistics(self, state: _State) -> dict[str, Array]:
        """Of the last proposal; `num_steps` counts evaluations of the density."""
        return {
            "accept_prob": state.accept_prob,
            "log_density": state.log_density,
            "num_steps": state.evaluations,
        }

    def adaptation(self, state: _State) -> dict[str, Array]:
        """Nothing: the frame is all."""
        return {}

    @property
    def batches_well(self) -> bool:
        """Proposals do, but trajectories would then be computed at every step."""
        return False

    def chain_axes(self, state: _State) -> Any:
        """Every chain is at the same step."""
        return jax.tree.map(lambda _: 0, state)._replace(step=None)


def _anywhere(target: Target, state: _State, key: PRNGKeyArray) -> _State:
    proposal_key, accept_key = jax.random.split(key)
    z = jax.random.normal(proposal_key, state.z.shape, state.z.dtype)
    log_density = target.log_density(z)
    log_ratio = (log_density + jnp.vdot(z, z) / 2) - (state.log_density + jnp.vdot(state.z, state.z) / 2)
    return _accept(state, z, log_density, log_ratio, accept_key, 1)


def _nearby(target: Target, state: _State, key: PRNGKeyArray) -> _State:
    """A Hamiltonian trajectory of about a quarter turn, in steps that suit the standard normal."""
    momentum_key, accept_key = jax.random.split(key)
    size = 1.2 * state.z.size**-0.25
    steps = math.ceil(math.pi / 2 / size)
    gradient = jax.value_and_grad(target.log_density)
    start = jax.random.normal(momentum_key, state.z.shape, state.z.dtype)

    def leapfrog(_: Array, at: tuple[Array, ...]) -> tuple[Array, ...]:
        z, momentum, _, slope = at
        half = momentum + size / 2 * slope
        z = z + size * half
        value, slope = gradient(z)
        return z, half + size / 2 * slope, value, slope

    z, momentum, value, _ = jax.lax.fori_loop(0, steps, leapfrog, (state.z, start, *gradient(state.z)))
    log_ratio = (value - jnp.vdot(momentum, momentum) / 2) - (state.log_density - jnp.vdot(start, start) / 2)
    return _accept(state, z, value, log_ratio, accept_key, steps + 1)


def _accept(
    state: _State,
    z: Float[Array, " d"],
    log_density: Float[Array, ""],
    log_ratio: Float[Array, ""],
    key: PRNGKeyArray,
    evaluations: int,
) -> _State:
    # Where the density is not a number nothing is accepted.
    accept_prob = jnp.where(jnp.isnan(log_ratio), 0, jnp.minimum(1, jnp.exp(log_ratio)))
    moves = jax.random.uniform(key, (), log_density.dtype) < accept_prob
    return state._replace(
        z=jnp.where(moves, z, state.z),
        log_density=jnp.where(moves, log_density, state.log_density),
        accept_prob=accept_prob,
        evaluations=jnp.asarray(evaluations, jnp.int32),
    )
