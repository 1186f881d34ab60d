"""Processes whose noise tends to a limit: sub-variance preserving, Ornstein-Uhlenbeck, cosine, straight lines."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from scorax.diffusion._process import AbstractProcess
from scorax.diffusion._processes import VariancePreserving, _forward, _positive


class SubVariancePreserving(AbstractProcess):
    r"""The signal of :class:`VariancePreserving` with less noise, `sigma = 1 - alpha²`, on times in [0, 1].

    Args:
        beta_min: Rate at `t = 0`. Positive.
        beta_max: Rate at `t = 1`. Positive.

    Raises:
        ValueError: A rate is not a positive finite number. Inside compiled code this is a run-time error.

    Example:
        >>> process, t = SubVariancePreserving(), jnp.array(0.5)
        >>> process.alpha(t) ** 2 + process.sigma(t)
        Array(1., dtype=float32)

    Source: Song et al. (2021), arXiv:2011.13456, appendix B.
    """

    preserving: VariancePreserving

    def __init__(self, beta_min: float | Float[Array, ""] = 0.1, beta_max: float | Float[Array, ""] = 20.0):
        self.preserving = VariancePreserving(beta_min, beta_max)

    def log_alpha(self, t: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """Natural log of the factor of the clean sample."""
        return self.preserving.log_alpha(t)

    def sigma(self, t: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """Standard deviation of the noise; NaN at negative times."""
        return -jnp.expm1(2 * self.log_alpha(_forward(t)))

    def drift_rate(self, t: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """Factor of the drift, `-beta(t) / 2`."""
        return self.preserving.drift_rate(t)

    def diffusion2(self, t: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """Squared diffusion coefficient, `beta(t) (1 - alpha⁴)`."""
        return -self.preserving.diffusion2(t) * jnp.expm1(4 * self.log_alpha(t))

    def inverse_log_snr(self, log_snr: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """The time at which `log_snr` has this value."""
        # (1 - alpha²) / alpha is 2 sinh(-log alpha).
        return self.preserving.time_of_fade(jnp.arcsinh(0.5 * jnp.exp(-log_snr)))

    @property
    def prior_scale(self) -> Float[Array, ""]:
        """One, the limit of `sigma`."""
        return self.preserving.prior_scale


class OrnsteinUhlenbeck(AbstractProcess):
    r"""Constant coefficients, `dx = -rate x dt + diffusion dW`, at all times from 0 on.

    $$\alpha(t) = e^{-r t}, \quad \sigma(t)^2 = D^2 (1 - e^{-2 r t}) / 2 r$$

    Args:
        rate: Rate of return `r`. Positive.
        diffusion: Diffusion coefficient `D`. Positive. The limit of `sigma` is one for the rate 1/2 and the diffusion
            1, or the rate 1 and the diffusion `sqrt(2)`.

    Raises:
        ValueError: A number is not positive and finite. Inside compiled code this is a run-time error.

    Example:
        >>> OrnsteinUhlenbeck(0.5).prior_scale
        Array(1., dtype=float32)

    Source: Uhlenbeck and Ornstein (1930), doi:10.1103/PhysRev.36.823.
    """

    rate: Float[Array, ""]
    diffusion: Float[Array, ""]

    def __init__(self, rate: float | Float[Array, ""] = 1.0, diffusion: float | Float[Array, ""] = 1.0):
        self.rate = _positive("rate", rate)
        self.diffusion = _positive("diffusion", diffusion)

    def log_alpha(self, t: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """Natural log of the factor of the clean sample."""
        return -self.rate.astype(t.dtype) * t

    def sigma(self, t: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """Standard deviation of the noise; NaN at negative times."""
        return self.prior_scale.astype(t.dtype) * jnp.sqrt(-jnp.expm1(2 * self.log_alpha(_forward(t))))

    def drift_rate(self, t: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """Factor of the drift, `-rate`."""
        return jnp.broadcast_to(-self.rate.astype(t.dtype), t.shape)

    def diffusion2(self, t: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """Squared diffusion coefficient, `diffusion²`."""
        return jnp.broadcast_to(self.diffusion.astype(t.dtype) ** 2, t.shape)

    def inverse_log_snr(self, log_snr: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """The time at which `log_snr` has this value."""
        size = jnp.log(self.prior_scale).astype(log_snr.dtype)
        return 0.5 * jax.nn.softplus(-2 * (log_snr + size)) / self.rate.astype(log_snr.dtype)

    @property
    def prior_scale(self) -> Float[Array, ""]:
        """The limit of `sigma`."""
        return self.diffusion / jnp.sqrt(2 * self.rate)


class CosineVP(AbstractProcess):
    r"""A variance-preserving process whose signal falls as a quarter of a cosine, on times in [0, 1).

    $$\alpha(t) = \cos(c (t + s)) / \cos(c s), \quad c = \pi / 2 (1 + s)$$

    There is no signal at `t = 1`, where the drift is infinite: start sampling at 0.999.

    Args:
        offset: The offset `s`, which keeps a little noise in the first steps. Positive.

    Raises:
        ValueError: `offset` is not a positive finite number. Inside compiled code this is a run-time error.

    Example:
        >>> process, t = CosineVP(), jnp.array(0.5)
        >>> process.alpha(t) ** 2 + process.sigma(t) ** 2
        Array(1., dtype=float32)

    Source: Nichol and Dhariwal (2021), arXiv:2102.09672, equation 17.
    """

    offset: Float[Array, ""]

    def __init__(self, offset: float | Float[Array, ""] = 0.008):
        self.offset = _positive("offset", offset)

    def log_alpha(self, t: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """Natural log of the factor of the clean sample."""
        c, start = self._angles(t)
        early = t < 0.5
        first, last = jnp.where(early, t, 0.5), jnp.where(early, 0.5, t)
        # Since c (1 + s) is a right angle: cos(c (t + s)) = sin(c (1 - t)), exact at the end; the other form is at 0.
        fall = 2 * jnp.sin(0.5 * c * first) ** 2 + jnp.sin(c * first) * jnp.tan(start)
        return jnp.where(early, jnp.log1p(-fall), jnp.log(jnp.sin(c * (1 - last)) / jnp.cos(start)))

    def sigma(self, t: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """Standard deviation of the noise; NaN at negative times."""
        c, start = self._angles(t)
        return jnp.sqrt(jnp.sin(c * _forward(t)) * jnp.sin(c * t + 2 * start)) / jnp.cos(start)

    def drift_rate(self, t: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """Factor of the drift, `-c tan(c (t + s))`."""
        return -0.5 * self.diffusion2(t)

    def diffusion2(self, t: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """Squared diffusion coefficient, `2 c tan(c (t + s))`."""
        c, _ = self._angles(t)
        return 2 * c / jnp.tan(c * (1 - t))

    def inverse_log_snr(self, log_snr: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """The time at which `log_snr` has this value."""
        c, start = self._angles(log_snr)
        # tan² (c (t + s)) is tan² (c s) + level² / cos² (c s); so the tangent of c t is a quotient without subtraction.
        foot = jnp.tan(start)
        rise = jnp.exp(-log_snr) / jnp.cos(start)
        top = jnp.hypot(jnp.broadcast_to(foot, rise.shape), rise)
        return jnp.arctan2(rise * (rise / (top + foot)), 1 + top * foot) / c

    @property
    def prior_scale(self) -> Float[Array, ""]:
        """One, the limit of `sigma`."""
        return jnp.ones_like(self.offset)

    def _angles(self, like: Float[Array, "*s"]) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """The angle of a unit of time, and that at which the cosine starts."""
        offset = self.offset.astype(like.dtype)
        c = 0.5 * math.pi / (1 + offset)
        return c, c * offset


class LinearInterpolant(AbstractProcess):
    r"""Straight lines from data to noise, `alpha = 1 - t`, `sigma = t`, the path of flow matching, on times in [0, 1).

    There is no signal at `t = 1`, where drift and diffusion are infinite: there only the velocity of a flow is finite
    (`convert_prediction`). Start sampling with a score just below.

    Example:
        >>> process = LinearInterpolant()
        >>> process.inverse_log_snr(process.log_snr(jnp.array(0.25)))
        Array(0.25, dtype=float32)

    Source: Lipman, Chen, Ben-Hamu, Nickel and Le (2023), arXiv:2210.02747; Liu, Gong and Liu (2023), arXiv:2209.03003.
    """

    def log_alpha(self, t: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """Natural log of the factor of the clean sample."""
        return jnp.log1p(-t)

    def alpha(self, t: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """Factor of the clean sample."""
        return 1 - t

    def sigma(self, t: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """The time itself; NaN at negative times."""
        return _forward(t)

    def drift_rate(self, t: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """Factor of the drift, `-1 / (1 - t)`."""
        return -1 / (1 - t)

    def diffusion2(self, t: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """Squared diffusion coefficient, `2 t / (1 - t)`."""
        return 2 * t / (1 - t)

    def inverse_log_snr(self, log_snr: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """The time at which `log_snr` has this value."""
        return jax.nn.sigmoid(-log_snr)

    @property
    def prior_scale(self) -> Float[Array, ""]:
        """One."""
        return jnp.ones(())
