"""Microcanonical Langevin Monte Carlo by blackjax, as it is and with a Metropolis step.

Source: Robnik, De Luca, Silverstein & Seljak (2023), arXiv:2212.08549; Robnik, Cohn-Gordon & Seljak (2025),
arXiv:2503.01707.
"""

from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key, PRNGKeyArray

from scorax.inference._kernels._kernel import Point, Target
from scorax.inference._kernels._tuned import Chain, Found, Moved, TunedKernel, each_chain, require_blackjax


class MCLMC(TunedKernel):
    """Microcanonical Langevin Monte Carlo: no accept step, a small bias, and ahead of `NUTS` in hundreds of dimensions.

    The error of the integrator biases the draws: variances of a normal posterior come out too small by about
    `sqrt(desired_energy_var)`, 2 % at the default. `posterior.stats["energy_var"]` says what the error was; where its
    mean is far above what is desired, as near the neck of a hierarchy, so is the bias.

    Args:
        num_steps: Steps of the integrator from one draw to the next, two gradients each. Tuning takes
            `num_warmup * num_steps` of them.
        desired_energy_var: Variance of the energy's error in one step, by dimension, that the step size is tuned to.
            A tenth of it costs half as many steps again.

    Example:
        >>> sx.inference.MCLMC(num_steps=8)
        MCLMC(num_steps=8)

    Source: Robnik, De Luca, Silverstein & Seljak (2023), arXiv:2212.08549; Cabezas, Corenflos, Lao & Louf (2024),
        arXiv:2402.10797 (blackjax).
    """

    num_steps: int = eqx.field(static=True, default=4)
    desired_energy_var: float = eqx.field(static=True, default=5e-4)

    couples_chains: ClassVar[bool] = False

    @property
    def batches_well(self) -> bool:
        """All chains take as many steps."""
        return True

    def tune(
        self, target: Target, start: Point, keys: Key[Array, " c"], num_warmup: int
    ) -> tuple[Float[Array, "c d"], Found]:
        """Step size and mass matrix by the energy's error, then the decoherence length by the autocorrelation."""
        blackjax = require_blackjax()
        _check_dimension(start)

        def one(at: tuple[Point, PRNGKeyArray]) -> tuple[Float[Array, " d"], Found]:
            point, key = at
            key_direction, key_tune = jax.random.split(key)
            state, found, _ = blackjax.mclmc_find_L_and_step_size(
                blackjax.mclmc.build_kernel(),
                num_warmup * self.num_steps,
                _integrator_state(point, _direction(key_direction, point)),
                key_tune,
                target.log_density,
                # With the third of the second part that the mass matrix takes, all of it.
                frac_tune1=0.3,
                frac_tune2=0.3,
                frac_tune3=0.3,
                desired_energy_var=self.desired_energy_var,
            )
            return state.position, _named(found)

        return each_chain(one, (start, keys))

    def carry(self, point: Point, found: Found, key: PRNGKeyArray) -> dict[str, Array]:
        """A direction."""
        return {"direction": _direction(key, point)}

    def move(self, target: Target, chain: Chain, key: PRNGKeyArray) -> Moved:
        """`num_steps` steps."""
        kernel, found = require_blackjax().mclmc.build_kernel(), chain.found

        def step(i: Int[Array, ""], carry: tuple[Any, Float[Array, ""], Bool[Array, ""]]) -> tuple[Any, Array, Array]:
            state, squares, finite = carry
            state, info = kernel(
                jax.random.fold_in(key, i),
                state,
                target.log_density,
                found["inverse_mass_matrix"],
                found["length"],
                found["step_size"],
            )
            return state, squares + info.energy_change**2, finite & info.nonans

        first = _integrator_state(chain.point, chain.carried["direction"])
        blank = jnp.zeros_like(first.logdensity)
        last, squares, finite = jax.lax.fori_loop(0, self.num_steps, step, (first, blank, jnp.asarray(True)))
        stats = {
            "diverging": ~finite,
            "energy_var": squares / (self.num_steps * last.position.size),
            "num_steps": jnp.asarray(self.num_steps, jnp.int32),
        }
        return Point(last.position, last.logdensity, last.logdensity_grad), {"direction": last.momentum}, stats


class AdjustedMCLMC(TunedKernel):
    """Microcanonical trajectories with a Metropolis step: no bias, and often the fastest.

    Args:
        num_steps: Mean number of steps of a trajectory, above 1.1; each trajectory has its own, at random.
        target_accept_prob: Raise it towards 1 where transitions diverge.

    Example:
        >>> sx.inference.AdjustedMCLMC(num_steps=3.0)
        AdjustedMCLMC(num_steps=3.0)

    Source: Robnik, Cohn-Gordon & Seljak (2025), arXiv:2503.01707; Cabezas, Corenflos, Lao & Louf (2024),
        arXiv:2402.10797 (blackjax).
    """

    num_steps: float = eqx.field(static=True, default=2.0)
    target_accept_prob: float = eqx.field(static=True, default=0.9)

    couples_chains: ClassVar[bool] = False

    @property
    def batches_well(self) -> bool:
        """Trajectories differ in length."""
        return False

    def tune(
        self, target: Target, start: Point, keys: Key[Array, " c"], num_warmup: int
    ) -> tuple[Float[Array, "c d"], Found]:
        """Step size by the acceptance, mass matrix by the variances."""
        blackjax = require_blackjax()
        _check_dimension(start)

        def one(at: tuple[Point, PRNGKeyArray]) -> tuple[Float[Array, " d"], Found]:
            point, key = at
            key_length, key_tune = jax.random.split(key)
            state, found, _ = blackjax.adjusted_mclmc_find_L_and_step_size(
                _adjusted_kernel(),
                target.log_density,
                num_warmup,
                _dynamic_state(point, key_length),
                key_tune,
                self.target_accept_prob,
                # The first part runs twice: without the mass matrix, and with it.
                frac_tune1=0.3,
                frac_tune2=0.4,
                target_num_integration_steps=self.num_steps,
            )
            return state.position, _named(found)

        return each_chain(one, (start, keys))

    def carry(self, point: Point, found: Found, key: PRNGKeyArray) -> dict[str, Array]:
        """Nothing: each trajectory has a direction of its own."""
        return {}

    def move(self, target: Target, chain: Chain, key: PRNGKeyArray) -> Moved:
        """A trajectory, accepted or not."""
        key_length, key_move = jax.random.split(key)
        found = chain.found
        state, info = _adjusted_kernel()(
            key_move,
            _dynamic_state(chain.point, key_length),
            target.log_density,
            found["step_size"],
            inverse_mass_matrix=found["inverse_mass_matrix"],
            integration_steps_params=(found["length"] / found["step_size"],),
        )
        stats = {
            "accept_prob": info.acceptance_rate,
            "diverging": info.is_divergent,
            "num_steps": info.num_integration_steps,
        }
        return Point(state.position, state.logdensity, state.logdensity_grad), {}, stats


def _adjusted_kernel() -> Callable[..., Any]:
    from blackjax.mcmc.adjusted_mclmc_dynamic import make_random_trajectory_length_fn

    lengths = make_random_trajectory_length_fn(random_trajectory_length=True)
    return require_blackjax().adjusted_mclmc_dynamic.build_kernel(lengths)


def _dynamic_state(point: Point, key: PRNGKeyArray) -> Any:
    from blackjax.mcmc.dynamic_hmc import DynamicHMCState

    # blackjax declares its states' arrays as Python numbers.
    return DynamicHMCState(*point, key)  # pyright: ignore[reportArgumentType]


def _integrator_state(point: Point, direction: Float[Array, " d"]) -> Any:
    from blackjax.mcmc.integrators import IntegratorState

    return IntegratorState(point.z, direction, point.log_density, point.slope)  # pyright: ignore[reportArgumentType]


def _direction(key: PRNGKeyArray, point: Point) -> Float[Array, " d"]:
    noise = jax.random.normal(key, point.z.shape, point.z.dtype)
    return noise / jnp.linalg.norm(noise)


def _named(found: Any) -> Found:
    return {"inverse_mass_matrix": found.inverse_mass_matrix, "length": found.L, "step_size": found.step_size}


def _check_dimension(start: Point) -> None:
    if start.z.shape[-1] < 2:
        raise ValueError(
            "microcanonical dynamics need at least two numbers to sample, and this prior has one: use method='nuts'"
        )
