"""ChEES-HMC by blackjax: trajectories whose length an ensemble of chains tunes.

Source: Hoffman, Radul & Sountsov (2021), https://proceedings.mlr.press/v130/hoffman21a.html.
"""

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Key, PRNGKeyArray

from scorax.inference._kernels._kernel import Point, Target
from scorax.inference._kernels._tuned import Chain, Found, Moved, TunedKernel, for_all_chains, require_blackjax

_FIRST_STEP = 0.1
_LEARNING_RATE = 0.025
# Jitter repeats after so many powers of two of draws.
_JITTER_BITS = 24


class ChEES(TunedKernel):
    """Trajectories of one tuned length, jittered: for many chains on an accelerator, where `NUTS` waits for one.

    Step size, mass matrix and length are tuned on all chains together, and so depend on how many there are: eight or
    more make the length reliable. Afterwards each chain goes its own way.

    Args:
        target_accept_prob: Raise it towards 1 where transitions diverge.
        max_num_steps: At most so many leapfrog steps a draw.

    Example:
        >>> sx.inference.ChEES(target_accept_prob=0.8)
        ChEES(target_accept_prob=0.8)

    Source: Hoffman, Radul & Sountsov (2021), https://proceedings.mlr.press/v130/hoffman21a.html; Cabezas, Corenflos,
        Lao & Louf (2024), arXiv:2402.10797 (blackjax).
    """

    target_accept_prob: float = eqx.field(static=True, default=0.651)
    max_num_steps: int = eqx.field(static=True, default=1000)

    couples_chains: ClassVar[bool] = True

    @property
    def batches_well(self) -> bool:
        """At each draw all chains take as many steps."""
        return True

    def tune(
        self, target: Target, start: Point, keys: Key[Array, " c"], num_warmup: int
    ) -> tuple[Float[Array, "c d"], Found]:
        """Step size by the acceptance, mass matrix by the variances, length by the change of the expected square."""
        blackjax = require_blackjax()
        chains = start.z.shape[0]
        warmup = blackjax.chees_adaptation(
            target.log_density,
            chains,
            target_acceptance_rate=self.target_accept_prob,
            max_leapfrog_steps=self.max_num_steps,
            mass_matrix_estimation="diagonal",
            adaptation_info_fn=lambda *_: None,
        )
        (states, found), _ = warmup.run(keys[0], start.z, _FIRST_STEP, optax.adam(_LEARNING_RATE), num_warmup)
        # The parameters hold functions, too: these are rebuilt for each move.
        numbers = {
            "inverse_mass_matrix": found["inverse_mass_matrix"],
            "length": found["integration_steps_params"][0] * found["step_size"],
            "step_size": found["step_size"],
        }
        return states.position, for_all_chains(numbers, chains)

    def carry(self, point: Point, found: Found, key: PRNGKeyArray) -> dict[str, Array]:
        """Nothing."""
        return {}

    def move(self, target: Target, chain: Chain, key: PRNGKeyArray) -> Moved:
        """A trajectory of the length that the draw's number says, accepted or not."""
        from blackjax.mcmc.dynamic_hmc import DynamicHMCState

        found = chain.found
        kernel = require_blackjax().dynamic_hmc.build_kernel(
            next_random_arg_fn=lambda t: t, integration_steps_fn=_jittered
        )
        state, info = kernel(
            key,
            DynamicHMCState(*chain.point, chain.t),  # pyright: ignore[reportArgumentType]
            target.log_density,
            found["step_size"],
            found["inverse_mass_matrix"],
            (found["length"] / found["step_size"],),
        )
        kept = (info.momentum**2 * found["inverse_mass_matrix"]).sum() / 2 - chain.point.log_density
        stats = {
            "accept_prob": info.acceptance_rate,
            "diverging": info.is_divergent,
            # blackjax gives the proposal's, accepted or not.
            "energy": jnp.where(info.is_accepted, info.energy, kept),
            "num_steps": info.num_integration_steps,
        }
        return Point(state.position, state.logdensity, state.logdensity_grad), {}, stats


def _jittered(t: Int[Array, ""], most: Float[Array, ""]) -> Int[Array, ""]:
    """Whole numbers from 1 to `most`, evenly spread by a Halton sequence, as in tuning."""
    from blackjax.mcmc.dynamic_hmc import halton_sequence

    return jnp.maximum(jnp.ceil(halton_sequence(t, _JITTER_BITS) * most), 1).astype(jnp.int32)
