"""What every noise process is: the closed forms of a schedule, and all that follows from them."""

import abc
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, DTypeLike, Float, PRNGKeyArray

Score = Callable[[Float[Array, "..."], Float[Array, ""]], Float[Array, "..."]]


class AbstractProcess(eqx.Module):
    r"""A Gaussian noise process, `x_t = alpha(t) x_0 + sigma(t) e` with `e ~ N(0, I)`.

    It is the marginal of `dx = f(t) x dt + g(t) dW`. A process supplies the closed forms of its schedule, never
    differences of it: `log_alpha`, `sigma`, `drift_rate` (f), `diffusion2` (g squared), `inverse_log_snr` and
    `prior_scale`. Everything else is derived here, once.

    Functions of time alone take times of any shape. Functions of a sample take one sample of any shape and one time:
    `jax.vmap` them over a batch. Time grows with the noise. Parameters are cast to the dtype of the times, the
    schedule to the dtype of the sample.
    """

    @abc.abstractmethod
    def log_alpha(self, t: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """Natural log of the factor of the clean sample, 0 at `t = 0`."""

    @abc.abstractmethod
    def sigma(self, t: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """Standard deviation of the noise."""

    @abc.abstractmethod
    def drift_rate(self, t: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """The factor f of the drift `f(t) x`: the derivative of `log_alpha`."""

    @abc.abstractmethod
    def diffusion2(self, t: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """Squared diffusion coefficient g², which is `(sigma²)' - 2 f sigma²`."""

    @abc.abstractmethod
    def inverse_log_snr(self, log_snr: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """The time at which `log_snr` has this value; `+inf` (no noise) is allowed."""

    @property
    @abc.abstractmethod
    def prior_scale(self) -> Float[Array, ""]:
        """Standard deviation of the noise from which sampling starts."""

    def alpha(self, t: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """Factor of the clean sample, in (0, 1]."""
        return jnp.exp(self.log_alpha(t))

    def log_snr(self, t: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """`log(alpha / sigma)`, half the log signal-to-noise ratio; it falls with time."""
        return self.log_alpha(t) - jnp.log(self.sigma(t))

    def drift(self, x: Float[Array, "*event"], t: Float[Array, ""]) -> Float[Array, "*event"]:
        """Drift `f(t) x` of the forward equation."""
        return self.drift_rate(t).astype(x.dtype) * x

    def marginal(
        self, x0: Float[Array, "*event"], t: Float[Array, ""]
    ) -> tuple[Float[Array, "*event"], Float[Array, ""]]:
        """Mean and standard deviation of the noised sample given the clean one."""
        return self.alpha(t).astype(x0.dtype) * x0, self.sigma(t).astype(x0.dtype)

    def perturb(
        self, x0: Float[Array, "*event"], t: Float[Array, ""], *, key: PRNGKeyArray
    ) -> tuple[Float[Array, "*event"], Float[Array, "*event"]]:
        """A noised sample, and the standard normal noise that went into it."""
        mean, std = self.marginal(x0, t)
        noise = jax.random.normal(key, x0.shape, x0.dtype)
        return mean + std * noise, noise

    def transition(
        self, x: Float[Array, "*event"], s: Float[Array, ""], t: Float[Array, ""]
    ) -> tuple[Float[Array, "*event"], Float[Array, ""]]:
        """Mean and standard deviation of the sample at time `t`, given that it is `x` at time `s`.

        The standard deviation is 0 at `t = s` and NaN at `t < s`.
        """
        mean = jnp.exp(self.log_alpha(t) - self.log_alpha(s)).astype(x.dtype) * x
        # sigma_t² - (alpha_t / alpha_s)² sigma_s², without the subtraction.
        share = -jnp.expm1(2 * (self.log_snr(t) - self.log_snr(s)))
        return mean, (self.sigma(t) * jnp.sqrt(share)).astype(x.dtype)

    def prior_sample(
        self, shape: tuple[int, ...], *, key: PRNGKeyArray, dtype: DTypeLike = float
    ) -> Float[Array, "..."]:
        """Noise of this shape, from which sampling starts."""
        noise = jax.random.normal(key, shape, dtype)
        return self.prior_scale.astype(noise.dtype) * noise

    def prior_log_prob(self, x: Float[Array, "*event"]) -> Float[Array, ""]:
        """Natural log of the density of one sample of the noise from which sampling starts."""
        return jax.scipy.stats.norm.logpdf(x, scale=self.prior_scale.astype(x.dtype)).sum()

    def reverse(self, score: Score) -> "ReverseSDE":
        """The equation of the process backwards in time, for a score function `score(x, t)`."""
        return ReverseSDE(score, self)

    def probability_flow(self, score: Score) -> "ProbabilityFlow":
        """The velocity `(x, t) -> dx/dt` whose ordinary equation has the marginals of the process."""
        return ProbabilityFlow(score, self)

    def _scored_drift(
        self, score: Score, x: Float[Array, "*event"], t: Float[Array, ""], share: float
    ) -> Float[Array, "*event"]:
        """`f x - share g² score(x, t)`: `share` 1 reverses the equation, 1/2 takes its noise away."""
        return self.drift(x, t) - share * self.diffusion2(t).astype(x.dtype) * score(x, t).astype(x.dtype)


class ReverseSDE(eqx.Module):
    r"""A process backwards in time: `dx = [f x - g² score(x, t)] dt + g dW`, with `dt < 0`.

    Example:
        >>> sde = sx.diffusion.EDM().reverse(lambda x, t: -x / (1 + t**2))
        >>> sde.drift(jnp.ones(2), jnp.array(1.0))
        Array([1., 1.], dtype=float32)

    Source: Anderson (1982), doi:10.1016/0304-4149(82)90051-5; Song et al. (2021), arXiv:2011.13456.
    """

    score: Score
    process: AbstractProcess

    def drift(self, x: Float[Array, "*event"], t: Float[Array, ""]) -> Float[Array, "*event"]:
        """Drift at one sample and one time."""
        return self.process._scored_drift(self.score, x, t, 1.0)

    def diffusion2(self, t: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """Squared diffusion coefficient, that of the process itself."""
        return self.process.diffusion2(t)


class ProbabilityFlow(eqx.Module):
    r"""The velocity `dx/dt = f x - g²/2 score(x, t)`, a function of one sample and one time.

    Example:
        >>> velocity = sx.diffusion.EDM().probability_flow(lambda x, t: -x / (1 + t**2))
        >>> velocity(jnp.ones(2), jnp.array(1.0))
        Array([0.5, 0.5], dtype=float32)

    Source: Song et al. (2021), arXiv:2011.13456, equation 13.
    """

    score: Score
    process: AbstractProcess

    def __call__(self, x: Float[Array, "*event"], t: Float[Array, ""]) -> Float[Array, "*event"]:
        """Velocity at one sample and one time."""
        return self.process._scored_drift(self.score, x, t, 0.5)
