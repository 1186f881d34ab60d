"""MEADS by blackjax: generalised Hamiltonian Monte Carlo whose every setting an ensemble of chains tunes.

Source: Hoffman & Sountsov (2022), https://proceedings.mlr.press/v151/hoffman22a.html.
"""

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key, PRNGKeyArray

from scorax.inference._kernels._kernel import Point, Target
from scorax.inference._kernels._tuned import Chain, Found, Moved, TunedKernel, for_all_chains, require_blackjax

_FOLDS = 4


class MEADS(TunedKernel):
    """Single leapfrog steps with a momentum that persists: for hundreds of chains on an accelerator.

    All is tuned on the ensemble: each quarter of the chains takes its settings from another quarter. That needs more
    chains than parameters, spread over the posterior or wider; with fewer some get lost, and R-hat is far above 1.
    After tuning each chain goes its own way. Energies change little from draw to draw by design, so they are not
    reported.

    Args:
        num_steps: Leapfrog steps from one draw to the next. Tuning takes `num_warmup * num_steps` of them.

    Example:
        >>> sx.inference.MEADS(num_steps=4)
        MEADS(num_steps=4)

    Source: Hoffman & Sountsov (2022), https://proceedings.mlr.press/v151/hoffman22a.html; Neal (2020),
        arXiv:2001.11950 (accept steps that go on); Cabezas, Corenflos, Lao & Louf (2024), arXiv:2402.10797 (blackjax).
    """

    num_steps: int = eqx.field(static=True, default=8)

    couples_chains: ClassVar[bool] = True

    @property
    def batches_well(self) -> bool:
        """All chains take as many steps."""
        return True

    def tune(
        self, target: Target, start: Point, keys: Key[Array, " c"], num_warmup: int
    ) -> tuple[Float[Array, "c d"], Found]:
        """Step size and damping by the largest eigenvalues of gradients and positions."""
        chains = start.z.shape[0]
        if chains % _FOLDS or chains < 4 * _FOLDS:
            raise ValueError(
                f"method='meads' is tuned on {_FOLDS} groups of at least 4 chains: num_chains must be a multiple of "
                f"{_FOLDS} from {4 * _FOLDS} on, not {chains}"
            )
        warmup = require_blackjax().meads_adaptation(
            target.log_density, chains, _FOLDS, adaptation_info_fn=lambda *_: None
        )
        (states, found), _ = warmup.run(keys[0], start.z, num_warmup * self.num_steps)
        numbers = {
            "damping": found["alpha"],
            "scale": found["momentum_inverse_scale"],
            "slide": found["delta"],
            "step_size": found["step_size"],
        }
        return states.position, for_all_chains(numbers, chains)

    def carry(self, point: Point, found: Found, key: PRNGKeyArray) -> dict[str, Array]:
        """A momentum and the level of the accept steps, both from their stationary law."""
        key_momentum, key_level = jax.random.split(key)
        noise = jax.random.normal(key_momentum, point.z.shape, point.z.dtype)
        level = jax.random.uniform(key_level, (), point.z.dtype, -1, 1)
        return {"level": level, "momentum": noise / found["scale"]}

    def move(self, target: Target, chain: Chain, key: PRNGKeyArray) -> Moved:
        """`num_steps` steps, each accepted or not."""
        from blackjax.mcmc.ghmc import GHMCState

        kernel, found = require_blackjax().ghmc.build_kernel(), chain.found

        def step(i: Int[Array, ""], carry: tuple[Any, Float[Array, ""], Bool[Array, ""]]) -> tuple[Any, Array, Array]:
            state, accepted, diverging = carry
            state, info = kernel(
                jax.random.fold_in(key, i),
                state,
                target.log_density,
                found["step_size"],
                found["scale"],
                found["damping"],
                found["slide"],
            )
            return state, accepted + info.acceptance_rate, diverging | info.is_divergent

        point, carried = chain.point, chain.carried
        arrays: Any = (point.z, carried["momentum"], point.log_density, point.slope, carried["level"])
        first = GHMCState(*arrays)
        blank = jnp.zeros_like(point.log_density)
        last, accepted, diverging = jax.lax.fori_loop(0, self.num_steps, step, (first, blank, jnp.asarray(False)))
        stats = {
            "accept_prob": accepted / self.num_steps,
            "diverging": diverging,
            "num_steps": jnp.asarray(self.num_steps, jnp.int32),
        }
        place = Point(last.position, last.logdensity, last.logdensity_grad)
        return place, {"level": last.slice, "momentum": last.momentum}, stats
