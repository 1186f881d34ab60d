"""What a comparison says of the difference of two skills, and a Gaussian's moments once it has been seen."""

import abc
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtr
from jaxtyping import Array, Float

from scorax.choice._models import (
    bradley_terry_log_prob,
    glenn_david_log_prob,
    rao_kupper_log_prob,
    thurstone_log_prob,
)

LINKS = ("logit", "probit")

# The bracket halves at least every second step; nodes need the mode to a small part of the width only.
_MODE_STEPS = 16
_MODE_STEPS_FROM_THE_PEAK = 32
_NODES_OF_A_FORECAST = 32


class AbstractObservation(eqx.Module):
    """A log-concave likelihood of a difference of skills."""

    @abc.abstractmethod
    def log_prob(self, difference: Float[Array, "*s"], outcome: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """Log-probability, or density, of what was seen."""

    @abc.abstractmethod
    def win_probability(self, mean: Float[Array, "*s"], variance: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """Probability that `a` wins where the difference has this mean and variance."""

    def peak(self, outcome: Float[Array, "*s"]) -> Float[Array, "*s"] | None:
        """Where the likelihood is largest; None where the search for modes does without it."""
        return None


class WinOrLoss(AbstractObservation):
    """Bradley-Terry or Thurstone; with a margin, Rao and Kupper's or Glenn and David's ties."""

    link: str = eqx.field(static=True)
    margin: Float[Array, ""] | None

    def log_prob(self, difference: Float[Array, "*s"], outcome: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """By the kernels of the models that do not change."""
        logit = self.link == "logit"
        if self.margin is None:
            return (bradley_terry_log_prob if logit else thurstone_log_prob)(difference, outcome)
        tied = rao_kupper_log_prob if logit else glenn_david_log_prob
        return tied(difference, outcome, self.margin.astype(difference.dtype))

    def win_probability(self, mean: Float[Array, "*s"], variance: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """The mean over the difference."""

        def win(difference: Float[Array, "*s"]) -> Float[Array, "*s"]:
            return self.log_prob(difference, jnp.ones_like(difference))

        return jnp.exp(tilted(win, mean, variance, _NODES_OF_A_FORECAST)[0])


class ScoreDifference(AbstractObservation):
    """A number around the difference of skills, with Gaussian noise."""

    variance: Float[Array, ""]

    def log_prob(self, difference: Float[Array, "*s"], outcome: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """Of a score difference `outcome`."""
        return jax.scipy.stats.norm.logpdf(outcome, difference, jnp.sqrt(self.variance.astype(difference.dtype)))

    def win_probability(self, mean: Float[Array, "*s"], variance: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """That the score difference is positive."""
        return ndtr(mean / jnp.sqrt(variance + self.variance.astype(variance.dtype)))


def tilted(
    log_likelihood: Callable[[Float[Array, "*s"]], Float[Array, "*s"]],
    mean: Float[Array, "*s"],
    variance: Float[Array, "*s"],
    n_nodes: int,
    peak: Float[Array, "*s"] | None = None,
) -> tuple[Float[Array, "*s"], Float[Array, "*s"], Float[Array, "*s"]]:
    r"""\(\log Z = \log \int N(d; m, v)\, \ell(d)\, dd\) and its first two derivatives in m.

    Gauss-Hermite nodes lie around the mode of the product and as wide as its curvature says, which makes a Gaussian
    likelihood exact. Where they lie has no derivative: the integral does not depend on it.

    Args:
        log_likelihood: Log of a log-concave function, entry by entry.
        mean: Of the Gaussian.
        variance: Of the Gaussian, above 0.
        n_nodes: Nodes of a comparison.
        peak: Where the likelihood is largest, for one that falls so fast that the search must not start elsewhere.
    """
    mode, width = jax.tree.map(jax.lax.stop_gradient, _mode_and_width(log_likelihood, mean, variance, peak))
    at, log_weight = np.polynomial.hermite.hermgauss(n_nodes)
    shape = (n_nodes,) + (1,) * mean.ndim
    x = jnp.asarray(2**0.5 * at.reshape(shape), mean.dtype)
    log_scale = jnp.asarray((np.log(log_weight) + at**2).reshape(shape), mean.dtype)
    step = width[None] * x
    offset = (mode - mean)[None] + step
    log_terms = jax.vmap(log_likelihood)(mode[None] + step) - offset**2 / (2 * variance)[None] + log_scale
    top = jax.nn.logsumexp(log_terms, axis=0)
    share = jnp.exp(log_terms - top[None])
    shift = (share * step).sum(0)
    spread = (share * (step - shift[None]) ** 2).sum(0)
    log_total = top + jnp.log(width) - jnp.log(variance) / 2 - float(np.log(np.pi) / 2)
    return log_total, (mode - mean + shift) / variance, (spread / variance - 1) / variance


def slope_and_bend(
    log_likelihood: Callable[[Float[Array, "*s"]], Float[Array, "*s"]], d: Float[Array, "*s"]
) -> tuple[Float[Array, "*s"], Float[Array, "*s"]]:
    """First and second derivative, entry by entry."""
    ones = jnp.ones_like(d)
    return jax.jvp(lambda d: jax.jvp(log_likelihood, (d,), (ones,))[1], (d,), (ones,))


def _mode_and_width(
    log_likelihood: Callable[[Float[Array, "*s"]], Float[Array, "*s"]],
    mean: Float[Array, "*s"],
    variance: Float[Array, "*s"],
    peak: Float[Array, "*s"] | None,
) -> tuple[Float[Array, "*s"], Float[Array, "*s"]]:
    """Newton's method in a bracket, since alone it would leap to and fro over the bend."""

    def body(_: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
        d, low, high, _ = state
        slope, bend = slope_and_bend(log_likelihood, d)
        # The slope falls, so that the mode lies between any place and what the slope there promises.
        promised = mean + variance * slope
        low, high = jnp.maximum(low, jnp.minimum(d, promised)), jnp.minimum(high, jnp.maximum(d, promised))
        newton = d + (promised - d) / (1 - variance * bend)
        inside = (newton > low) & (newton < high)
        return jnp.where(inside, newton, (low + high) / 2), low, high, bend

    far = jnp.full_like(mean, jnp.inf)
    begin, steps = (mean, -far, far, far), _MODE_STEPS
    if peak is not None:
        begin, steps = (peak, jnp.minimum(mean, peak), jnp.maximum(mean, peak), far), _MODE_STEPS_FROM_THE_PEAK
    mode, _, _, bend = jax.lax.fori_loop(0, steps, body, begin)
    return mode, jnp.sqrt(variance / (1 - variance * bend))
