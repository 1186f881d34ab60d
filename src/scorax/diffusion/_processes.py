"""The three noise processes that most score models are trained with."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Float

from scorax.diffusion._process import AbstractProcess


class VariancePreserving(AbstractProcess):
    r"""Signal fades as noise grows, `alpha² + sigma² = 1`, with a rate `beta(t)` linear in `t` on [0, 1].

    $$\log\alpha(t) = -\tfrac14 t^2 (\beta_{\max} - \beta_{\min}) - \tfrac12 t \beta_{\min}$$

    Args:
        beta_min: Rate at `t = 0`. Positive.
        beta_max: Rate at `t = 1`. Positive.

    Both are floating leaves, so that a schedule can be learned. Train on times in [1e-5, 1], where `sigma` is accurate
    to the last digit in single precision, and stop sampling at 1e-3.

    Raises:
        ValueError: A rate is not a positive finite number. Inside compiled code this is a run-time error.

    Example:
        >>> process = VariancePreserving()
        >>> process.perturb(jnp.ones(2), jnp.array(0.5), key=jax.random.key(0))[0].shape
        (2,)
        >>> process.alpha(jnp.array(0.5)) ** 2 + process.sigma(jnp.array(0.5)) ** 2
        Array(1., dtype=float32)

    Source: Song et al. (2021), arXiv:2011.13456; Ho, Jain and Abbeel (2020), arXiv:2006.11239.
    """

    beta_min: Float[Array, ""]
    beta_max: Float[Array, ""]

    def __init__(self, beta_min: float | Float[Array, ""] = 0.1, beta_max: float | Float[Array, ""] = 20.0):
        self.beta_min = _positive("beta_min", beta_min)
        self.beta_max = _positive("beta_max", beta_max)

    def log_alpha(self, t: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """Natural log of the factor of the clean sample."""
        beta_min, rise = self._rates(t)
        return -0.25 * t**2 * rise - 0.5 * t * beta_min

    def sigma(self, t: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """Standard deviation of the noise; NaN at negative times."""
        return jnp.sqrt(-jnp.expm1(2 * self.log_alpha(_forward(t))))

    def drift_rate(self, t: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """Factor of the drift, `-beta(t) / 2`."""
        return -0.5 * self.diffusion2(t)

    def diffusion2(self, t: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """Squared diffusion coefficient, `beta(t)`."""
        beta_min, rise = self._rates(t)
        return beta_min + t * rise

    def inverse_log_snr(self, log_snr: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """The time at which `log_snr` has this value."""
        return self.time_of_fade(0.5 * jax.nn.softplus(-2 * log_snr))

    def time_of_fade(self, fade: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """The time at which `-log_alpha` has this value."""
        beta_min, rise = self._rates(fade)
        return 4 * fade / (beta_min + jnp.sqrt(beta_min**2 + 4 * rise * fade))

    @property
    def prior_scale(self) -> Float[Array, ""]:
        """One, the limit of `sigma`."""
        return jnp.ones_like(self.beta_max)

    def _rates(self, like: Float[Array, "*s"]) -> tuple[Float[Array, ""], Float[Array, ""]]:
        beta_min = self.beta_min.astype(like.dtype)
        return beta_min, self.beta_max.astype(like.dtype) - beta_min


class VarianceExploding(AbstractProcess):
    r"""Noise grows geometrically on an untouched signal: `alpha = 1`, `sigma(t) = sigma_min (sigma_max/sigma_min)^t`.

    Args:
        sigma_min: Noise at `t = 0`. Positive.
        sigma_max: Noise at `t = 1`, about the largest distance between two data points. Larger than `sigma_min`.
        exact: Whether `sigma(t)²` starts at zero, `sigma_min² [(sigma_max/sigma_min)^(2t) - 1]`, which is the marginal
            of the stochastic equation. The published processes leave this out.

    The noise levels are floating leaves, so that a schedule can be learned.

    Raises:
        ValueError: A level is not a positive finite number, or they are not in order. Inside compiled code this is
            a run-time error.

    Example:
        >>> VarianceExploding(0.01, 50.0).sigma(jnp.array([0.0, 1.0]))
        Array([0.01, 50.0], dtype=float32)

    Source: Song et al. (2021), arXiv:2011.13456; Song and Ermon (2019), arXiv:1907.05600.
    """

    sigma_min: Float[Array, ""]
    sigma_max: Float[Array, ""]
    exact: bool = eqx.field(static=True)

    def __init__(
        self,
        sigma_min: float | Float[Array, ""] = 0.01,
        sigma_max: float | Float[Array, ""] = 50.0,
        *,
        exact: bool = False,
    ):
        self.sigma_min, self.sigma_max = _levels(sigma_min, sigma_max)
        self.exact = exact

    def log_alpha(self, t: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """Zero: the signal keeps its size."""
        return jnp.zeros_like(t)

    def sigma(self, t: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """Standard deviation of the noise."""
        sigma_min, growth = self._growth(t)
        if self.exact:
            return sigma_min * jnp.sqrt(jnp.expm1(2 * t * growth))
        return sigma_min * jnp.exp(t * growth)

    def drift_rate(self, t: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """Zero: there is no drift."""
        return jnp.zeros_like(t)

    def diffusion2(self, t: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """Squared diffusion coefficient, the derivative of `sigma²`, whether `exact` or not."""
        sigma_min, growth = self._growth(t)
        return 2 * growth * (sigma_min * jnp.exp(t * growth)) ** 2

    def inverse_log_snr(self, log_snr: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """The time at which `log_snr` has this value."""
        sigma_min, growth = self._growth(log_snr)
        log_ratio = -log_snr - jnp.log(sigma_min)
        # log(1 + ratio²) as a softplus: the square would overflow in single precision.
        return 0.5 * jax.nn.softplus(2 * log_ratio) / growth if self.exact else log_ratio / growth

    @property
    def prior_scale(self) -> Float[Array, ""]:
        """The noise at `t = 1`."""
        return self.sigma(jnp.ones_like(self.sigma_max))

    def _growth(self, like: Float[Array, "*s"]) -> tuple[Float[Array, ""], Float[Array, ""]]:
        growth = jnp.log(self.sigma_max) - jnp.log(self.sigma_min)
        return self.sigma_min.astype(like.dtype), growth.astype(like.dtype)


class EDM(AbstractProcess):
    r"""Time is the noise level: `alpha = 1`, `sigma(t) = t`.

    Args:
        sigma_min: Least noise at which a network is asked, the last positive level of a grid. Positive.
        sigma_max: Noise from which sampling starts. Larger than `sigma_min`.

    Raises:
        ValueError: A level is not a positive finite number, or they are not in order. Inside compiled code this is
            a run-time error.

    Example:
        >>> process = EDM()
        >>> process.inverse_log_snr(process.log_snr(jnp.array(2.0)))
        Array(2., dtype=float32)

    Source: Karras, Aittala, Aila and Laine (2022), arXiv:2206.00364.
    """

    sigma_min: Float[Array, ""]
    sigma_max: Float[Array, ""]

    def __init__(self, sigma_min: float | Float[Array, ""] = 0.002, sigma_max: float | Float[Array, ""] = 80.0):
        self.sigma_min, self.sigma_max = _levels(sigma_min, sigma_max)

    def log_alpha(self, t: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """Zero: the signal keeps its size."""
        return jnp.zeros_like(t)

    def sigma(self, t: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """The time itself; NaN at negative times."""
        return _forward(t)

    def drift_rate(self, t: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """Zero: there is no drift."""
        return jnp.zeros_like(t)

    def diffusion2(self, t: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """Squared diffusion coefficient, `2 t`."""
        return 2 * t

    def inverse_log_snr(self, log_snr: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """The time at which `log_snr` has this value."""
        return jnp.exp(-log_snr)

    @property
    def prior_scale(self) -> Float[Array, ""]:
        """The largest noise level."""
        return self.sigma_max


def _forward(t: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """The time, and NaN where it is negative: the formulas would go on, and mean nothing."""
    return jnp.where(t < 0, jnp.asarray(jnp.nan, t.dtype), t)


def _positive(name: str, value: float | Float[Array, ""]) -> Float[Array, ""]:
    array = value if isinstance(value, jax.Array) else jnp.asarray(value, dtype=float)
    good = (array > 0) & jnp.isfinite(array)
    return _require(array, good, f"{name} must be a positive finite number")


def _levels(
    sigma_min: float | Float[Array, ""], sigma_max: float | Float[Array, ""]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    low, high = _positive("sigma_min", sigma_min), _positive("sigma_max", sigma_max)
    return low, _require(high, high > low.astype(high.dtype), "sigma_max must be larger than sigma_min")


def _require(value: Float[Array, ""], good: Array, message: str) -> Float[Array, ""]:
    """`value`, if it is good: a `ValueError` where values are known, a run-time error inside compiled code."""
    if isinstance(good, Tracer):
        return eqx.error_if(value, ~good, message)
    if not good:
        raise ValueError(f"{message}, not {value}.")
    return value
