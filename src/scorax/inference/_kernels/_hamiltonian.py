"""Hamiltonian Monte Carlo by NumPyro: the No-U-Turn sampler, and trajectories of a fixed number of steps.

Source: Hoffman & Gelman (2014), arXiv:1111.4246; Neal (2011), arXiv:1206.1901.
"""

import abc
from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PRNGKeyArray
from numpyro.infer.hmc import HMCState, hmc
from numpyro.infer.util import ParamInfo

from scorax.inference._kernels._kernel import AbstractKernel, AbstractTarget, Point, Target


class Hamiltonian(AbstractKernel):
    """What NumPyro's two kernels share: one state, one adaptation, one executable for warm-up and sampling."""

    algorithm: ClassVar[str]
    tunes_before: ClassVar[bool] = False
    couples_chains: ClassVar[bool] = False

    @property
    @abc.abstractmethod
    def options(self) -> dict[str, Any]:
        """What NumPyro's initialisation is told."""

    def begin(
        self,
        target: Target,
        start: Point,
        keys: Key[Array, " c"],
        num_warmup: int,
        adaptation: dict[str, Array] | None,
    ) -> HMCState:
        """NumPyro's state at every start."""

        def one(at: tuple[Point, PRNGKeyArray, dict[str, Array] | None]) -> HMCState:
            return self.begin_one(target, *at, num_warmup)

        return jax.lax.map(one, (start, keys, adaptation))

    def begin_one(
        self,
        target: AbstractTarget,
        start: Point,
        key: PRNGKeyArray,
        adaptation: dict[str, Array] | None,
        num_warmup: int,
    ) -> HMCState:
        """NumPyro's state of one chain."""
        initialise, _ = hmc(potential_fn_gen=_potential, algo=self.algorithm)
        info = ParamInfo(start.z, -start.log_density, -start.slope)
        steps, found = (num_warmup, {}) if adaptation is None else (0, adaptation)
        state = initialise(info, steps, model_args=(target,), rng_key=key, **found, **self.options)
        return state if adaptation is None else state._replace(i=state.i + num_warmup)

    def step(self, target: AbstractTarget, state: HMCState, num_warmup: int) -> HMCState:
        """A trajectory, and a draw from it."""
        initialise, advance = hmc(potential_fn_gen=_potential, algo=self.algorithm)
        # The kernel reads from its closure what only its initialisation writes there.
        jax.eval_shape(
            lambda z, key: initialise(z, num_warmup, model_args=(target,), rng_key=key, **self.options),
            state.z,
            jax.random.key(0),
        )
        moved = advance(state, (target,), {})
        # A Python number, where it is fixed.
        return moved._replace(num_steps=jnp.asarray(moved.num_steps, state.num_steps.dtype))

    def place(self, state: HMCState, at: Point) -> HMCState:
        """The chain where the target has changed under it: density and gradient that it remembers are of no use."""
        return state._replace(z=at.z, potential_energy=-at.log_density, z_grad=-at.slope)

    def position(self, state: HMCState) -> Float[Array, " d"]:
        """Where the chain is."""
        return state.z

    def statistics(self, state: HMCState) -> dict[str, Array]:
        """Of the last trajectory."""
        return {
            "accept_prob": state.accept_prob,
            "diverging": state.diverging,
            "energy": state.energy,
            "log_density": -state.potential_energy,
            "num_steps": state.num_steps,
            "step_size": state.adapt_state.step_size,
        }

    def adaptation(self, state: HMCState) -> dict[str, Array]:
        """Step size and inverse mass matrix."""
        found = state.adapt_state
        return {"step_size": found.step_size, "inverse_mass_matrix": found.inverse_mass_matrix}

    def chain_axes(self, state: HMCState) -> Any:
        """Every chain is at the same step; were its number batched, conditions on it would compute both branches."""
        axes = jax.tree.map(lambda _: 0, state)
        return axes._replace(i=None, adapt_state=axes.adapt_state._replace(window_idx=None))


class NUTS(Hamiltonian):
    """The No-U-Turn sampler, with windowed adaptation of step size and mass matrix: the default of `sample`.

    Args:
        target_accept_prob: Raise it towards 1 where transitions diverge.
        max_tree_depth: At most `2 ** max_tree_depth` gradients a draw.
        dense_mass: Adapt a dense mass matrix, for strongly correlated parameters of no more than some hundreds.

    Example:
        >>> sx.inference.NUTS(target_accept_prob=0.95)
        NUTS(target_accept_prob=0.95)

    Source: Hoffman & Gelman (2014), arXiv:1111.4246; Phan, Pradhan & Jankowiak (2019), arXiv:1912.11554 (NumPyro).
    """

    target_accept_prob: float = eqx.field(static=True, default=0.8)
    max_tree_depth: int = eqx.field(static=True, default=10)
    dense_mass: bool = eqx.field(static=True, default=False)

    algorithm: ClassVar[str] = "NUTS"

    @property
    def options(self) -> dict[str, Any]:
        """What NumPyro's initialisation is told."""
        return {
            "target_accept_prob": self.target_accept_prob,
            "max_tree_depth": self.max_tree_depth,
            "dense_mass": self.dense_mass,
        }

    @property
    def batches_well(self) -> bool:
        """Products with a dense matrix do."""
        return self.dense_mass


class HMC(Hamiltonian):
    """Trajectories of a fixed number of steps: cheap to compile, and a yardstick; `NUTS` needs no such number.

    Args:
        num_steps: Leapfrog steps of each trajectory.
        target_accept_prob: Raise it towards 1 where transitions diverge.
        dense_mass: Adapt a dense mass matrix.

    Example:
        >>> sx.inference.HMC(num_steps=8)
        HMC(num_steps=8)

    Source: Neal (2011), arXiv:1206.1901.
    """

    num_steps: int = eqx.field(static=True, default=16)
    target_accept_prob: float = eqx.field(static=True, default=0.8)
    dense_mass: bool = eqx.field(static=True, default=False)

    algorithm: ClassVar[str] = "HMC"

    @property
    def options(self) -> dict[str, Any]:
        """What NumPyro's initialisation is told."""
        return {
            "target_accept_prob": self.target_accept_prob,
            "num_steps": self.num_steps,
            "trajectory_length": None,
            "dense_mass": self.dense_mass,
        }

    @property
    def batches_well(self) -> bool:
        """Trajectories of one length do."""
        return True


def _potential(target: AbstractTarget) -> Callable[[Float[Array, " d"]], Float[Array, ""]]:
    return lambda z: -target.log_density(z)
