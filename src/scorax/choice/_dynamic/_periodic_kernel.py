"""Skills that repeat themselves: the canonical periodic kernel as a sum of oscillations."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from scorax.choice._dynamic._bessel import log_ive
from scorax.choice._dynamic._kernel import AbstractSkillKernel, check_hyperparameters, hyperparameter


class Periodic(AbstractSkillKernel):
    r"""Skills with seasons: the first harmonics of \(k(t, s) = v \exp(-2 \sin^2(\pi (t - s) / p) / \ell^2)\).

    With \(I_j\) the modified Bessel functions,
    \(k = v e^{-z} \left[I_0(z) + 2 \sum_{j \ge 1} I_j(z) \cos(2 \pi j (t - s) / p)\right]\), \(z = 1 / \ell^2\). The
    process of this class ends the sum at `n_harmonics`, and `covariance` is that of the process. What it leaves out is
    at most what it leaves out at \(t = s\), where the whole kernel is v: with 8 harmonics 4e-9 v where the scale is 1,
    9e-5 v where it is 1/2, and 0.03 v where it is 1/4, which wants 24 (8e-9 v).

    Each harmonic turns without noise, so that skills repeat themselves for ever. Seasons within skills that also drift
    are a sum: `Periodic(0.3, 1.0, 365.25) + Matern32(1.0, 500.0)`.

    Attributes:
        variance: Of skills, v, above 0.
        scale: How smooth a season is, \(\ell\), above 0, without unit: from about 1 on skills swing once a period.
        period: p, in the unit of time, above 0.
        n_harmonics: Oscillations faster than the mean, at least 1. The state has twice as many entries and one more.

    Raises:
        ValueError: a hyper-parameter is out of its range.

    Example:
        >>> kernel = Periodic(1.0, 1.0, 12.0)
        >>> kernel.covariance(jnp.array([0.0, 0.0]), jnp.array([6.0, 24.0])).round(4)  # exp(-2), and two periods
        Array([0.1353, 1.    ], dtype=float32)

    Source: Solin & Särkkä (2014), "Explicit Link Between Periodic Covariance Functions and State Space Models",
    PMLR 33:904-912.
    """

    variance: Float[Array, ""] = hyperparameter()
    scale: Float[Array, ""] = hyperparameter()
    period: Float[Array, ""] = hyperparameter()
    n_harmonics: int = eqx.field(static=True, default=8)

    def __check_init__(self):
        check_hyperparameters(self, "variance", "scale", "period")
        if self.n_harmonics < 1:
            raise ValueError(f"n_harmonics of Periodic must be at least 1, not {self.n_harmonics}")

    def transition(self, gap: Float[Array, ""]) -> Float[Array, "d d"]:
        """Rotations, the harmonic j by j times the angle."""
        angle = self._angle(gap)
        first, second = self._pairs
        cosine, sine = jnp.cos(angle), jnp.sin(angle)
        still = jnp.zeros((2 * self.n_harmonics + 1,) * 2, self.variance.dtype).at[0, 0].set(1)
        turned = still.at[first, first].set(cosine).at[second, second].set(cosine)
        return turned.at[first, second].set(sine).at[second, first].set(-sine)

    def noise(self, gap: Float[Array, ""]) -> Float[Array, "d d"]:
        """None."""
        return jnp.zeros((2 * self.n_harmonics + 1,) * 2, self.variance.dtype)

    def state_covariance(self, time: Float[Array, ""]) -> Float[Array, "d d"]:
        """The same at all times: both parts of a harmonic have its variance."""
        power = self._power
        return jnp.diag(jnp.concatenate([power[:1], jnp.repeat(power[1:], 2)]))

    @property
    def measurement(self) -> Float[Array, " d"]:
        """The mean and the first part of each harmonic."""
        return jnp.zeros(2 * self.n_harmonics + 1, self.variance.dtype).at[0].set(1).at[self._pairs[0]].set(1)

    def covariance(self, t: Float[Array, "*s"], s: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """Of the sum that ends, in closed form."""
        power = self._power
        return power[0] + jax.vmap(jnp.multiply)(power[1:], jnp.cos(self._angle(t - s))).sum(0)

    @property
    def _pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """Places of the two parts of each harmonic."""
        first = np.arange(1, 2 * self.n_harmonics, 2)
        return first, first + 1

    @property
    def _power(self) -> Float[Array, " h"]:
        """Variance of the mean and of each harmonic."""
        order = jnp.arange(self.n_harmonics + 1, dtype=self.variance.dtype)
        z = jnp.broadcast_to(self.scale**-2, order.shape)
        share = jnp.exp(log_ive(order, z))
        return self.variance * jnp.where(order > 0, 2 * share, share)

    def _angle(self, gap: Float[Array, "*s"]) -> Float[Array, "h *s"]:
        """Of each harmonic; whole periods are dropped first, while they cost no digits."""
        turns = gap / self.period
        harmonic = jnp.arange(1, self.n_harmonics + 1, dtype=self.variance.dtype)
        return jax.vmap(lambda j: 2 * np.pi * j * (turns - jnp.floor(turns)))(harmonic)
