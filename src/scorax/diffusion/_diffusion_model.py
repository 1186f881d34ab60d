"""A score and its process as one model."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, Float, PRNGKeyArray

from scorax.diffusion._grids import log_snr_grid
from scorax.diffusion._likelihood import probability_flow_log_prob
from scorax.diffusion._process import AbstractProcess, Score
from scorax.diffusion._samplers import heun


class DiffusionModel(eqx.Module):
    r"""A score and its process as one model: densities by the probability flow, samples by a sampler.

    Args:
        score: `score(x, t)`, the gradient in x of the log-density of the noised data, on one sample.
        process: The noise process the score was trained with.
        event: Shape of a sample.
        t0: Time that stands for the data. The noise must not be zero there.
        t1: Time from which sampling starts; `sigma_max` for the :class:`EDM` process.

    Raises:
        ValueError: `t1` is not later than `t0`.

    Example:
        >>> model = DiffusionModel(lambda x, t: -x, sx.diffusion.VariancePreserving(), event=(2,))
        >>> model.simulate((5,), key=jax.random.key(0)).shape
        (5, 2)

    Source: Song et al. (2021), arXiv:2011.13456.
    """

    score: Score
    process: AbstractProcess
    event: tuple[int, ...] = eqx.field(static=True)
    t0: float = eqx.field(static=True, default=1e-3)
    t1: float = eqx.field(static=True, default=1.0)

    def __check_init__(self):
        if not self.t0 < self.t1:
            raise ValueError(f"t1 must be later than t0, not t0={self.t0}, t1={self.t1}.")

    def log_prob(self, x: Float[Array, "n *event"], **options: Any) -> Float[Array, " n"]:
        """Natural log-densities of samples; the options are those of :func:`probability_flow_log_prob`."""
        options = {"t0": self.t0, "t1": self.t1} | options
        return probability_flow_log_prob(self.score, self.process, x, **options)

    def simulate(
        self, shape: tuple[int], *, key: PRNGKeyArray, sampler: Callable = heun, n_steps: int = 64, **options
    ) -> Float[Array, "n ..."]:
        """Samples: `(n,)` of them, by a sampler on `n_steps` steps equal in the log signal-to-noise ratio.

        The options are those of the sampler, such as `transform` or `churn`.
        """
        of_noise, of_steps = jax.random.split(key)
        x_T = self.process.prior_sample((*shape, *self.event), key=of_noise)
        times = log_snr_grid(self.process, n_steps, self.t0, self.t1, dtype=x_T.dtype)
        return sampler(self.score, self.process, x_T, times, key=of_steps, **options)
