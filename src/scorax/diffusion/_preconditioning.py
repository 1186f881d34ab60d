"""Networks that see inputs and targets of unit size at every noise level, and the score they imply."""

from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from scorax.diffusion._process import AbstractProcess

Denoiser = Callable[[Float[Array, "..."], Float[Array, ""]], Float[Array, "..."]]


class Preconditioned(eqx.Module):
    r"""A denoiser `D(x, sigma) = c_skip x + c_out F(c_in x, c_noise)` around a network `F`.

    The factors keep the network's input and its effective target at unit variance when the data have standard
    deviation `sigma_data`; for normal data of that size the best network is zero. Only the network's leaves are
    parameters.

    Args:
        net: `net(x, c_noise)`, on one sample and a scalar, `c_noise = log(sigma) / 4`.
        sigma_data: Standard deviation of the data, over all entries. Positive.
        boundary: Noise level at which the denoiser is the identity: 0 for a denoiser, the least noise level for
            a consistency model.

    Raises:
        ValueError: `sigma_data` is not positive or `boundary` is negative.

    Example:
        >>> denoiser = Preconditioned(lambda x, c_noise: 0 * x, sigma_data=0.5)
        >>> denoiser(jnp.ones(2), jnp.array(0.5))  # normal data: the mean of x0 given x
        Array([0.5, 0.5], dtype=float32)

    Source: Karras, Aittala, Aila and Laine (2022), arXiv:2206.00364, table 1; Song, Dhariwal, Chen and Sutskever
    (2023), arXiv:2303.01469, appendix C (boundary).
    """

    net: Denoiser
    sigma_data: float = eqx.field(static=True, default=0.5)
    boundary: float = eqx.field(static=True, default=0.0)

    def __check_init__(self):
        if not self.sigma_data > 0:
            raise ValueError(f"sigma_data must be positive, not {self.sigma_data}.")
        if not self.boundary >= 0:
            raise ValueError(f"boundary must be a noise level, zero or more, not {self.boundary}.")

    def __call__(self, x: Float[Array, "*event"], sigma: Float[Array, ""]) -> Float[Array, "*event"]:
        """The denoised sample."""
        c_skip, c_out, c_in, c_noise = (c.astype(x.dtype) for c in self.factors(sigma))
        return c_skip * x + c_out * self.net(c_in * x, c_noise)

    def factors(
        self, sigma: Float[Array, "*s"]
    ) -> tuple[Float[Array, "*s"], Float[Array, "*s"], Float[Array, "*s"], Float[Array, "*s"]]:
        """The factors `c_skip, c_out, c_in, c_noise` at a noise level. Positive."""
        above = sigma - self.boundary
        size = jnp.hypot(sigma, jnp.full_like(sigma, self.sigma_data))
        c_skip = self.sigma_data**2 / (above**2 + self.sigma_data**2)
        return c_skip, above * self.sigma_data / size, 1 / size, jnp.log(sigma) / 4

    def weight(self, sigma: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """The weight of the squared denoising error that gives the network's own error weight one (no boundary)."""
        return 1 / sigma**2 + 1 / self.sigma_data**2


class DenoiserScore(eqx.Module):
    r"""The score of the noised data that a denoiser implies: `[alpha D(x / alpha, sigma / alpha) - x] / sigma²`.

    A score is a gradient of a log-density in `x`. It is a callable `score(x, t)` for losses and samplers. Train the
    denoiser, not this module, whose process has floating leaves as well.

    Args:
        denoiser: `denoiser(y, level)`, the mean of the clean sample given `y = x0 + level e`.
        process: The noise process that `x` and `t` belong to. The noise must not be zero at `t`.

    Example:
        >>> score = DenoiserScore(Preconditioned(lambda x, c_noise: 0 * x, sigma_data=1.0), sx.diffusion.EDM())
        >>> score(jnp.ones(2), jnp.array(1.0))  # N(0, 1) data under N(0, 1) noise: -x / 2
        Array([-0.5, -0.5], dtype=float32)

    Source: Robbins (1956), "An empirical Bayes approach to statistics"; Efron (2011), doi:10.1198/jasa.2011.tm11181.
    """

    denoiser: Denoiser
    process: AbstractProcess

    def __call__(self, x: Float[Array, "*event"], t: Float[Array, ""]) -> Float[Array, "*event"]:
        """The score at one sample and one time."""
        alpha, sigma = self.process.alpha(t).astype(x.dtype), self.process.sigma(t).astype(x.dtype)
        return (alpha * self.denoiser(x / alpha, sigma / alpha) - x) / sigma**2
