"""Moments of a Gaussian times a likelihood of one difference: closed form for the probit, quadrature otherwise."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import jax.scipy.stats as jss
import numpy as np
from jax.scipy.special import log_ndtr
from jaxtyping import Array, Float

LINKS = ("logit", "probit")

# The bracket halves at least every second step: enough from the flattest cavity to a hundredth of its width.
_MODE_STEPS = 30


class Moments(NamedTuple):
    """Of a density in proportion to `N(d; m, v) * likelihood(d)`."""

    log_total: Float[Array, "*s"]
    mean: Float[Array, "*s"]
    variance: Float[Array, "*s"]


def tilted_moments(
    mean: Float[Array, "*s"], variance: Float[Array, "*s"], power: Float[Array, "*s"], link: str, n_nodes: int
) -> Moments:
    """Moments under a win of probability `link(d)`, to a power.

    Gauss-Hermite nodes lie around the mode of the product and as wide as its curvature says: placed on the Gaussian,
    they would err ten thousand times more.
    """
    numeric = _by_quadrature(mean, variance, power, link, n_nodes)
    if link == "logit":
        return numeric
    closed = _probit(mean, variance)
    return jax.tree.map(lambda x, y: jnp.where(power == 1, x, y), closed, numeric)


def _probit(mean: Float[Array, "*s"], variance: Float[Array, "*s"]) -> Moments:
    scale = jnp.sqrt(1 + variance)
    z = mean / scale
    r = _mills(z)
    return Moments(log_ndtr(z), mean + variance * r / scale, variance - variance**2 * r * (z + r) / (1 + variance))


def _by_quadrature(
    mean: Float[Array, "*s"], variance: Float[Array, "*s"], power: Float[Array, "*s"], link: str, n_nodes: int
) -> Moments:
    mode = _mode(mean, variance, power, link)
    _, bend = _slope_and_bend(mode, link)
    width = 1 / jnp.sqrt(1 / variance - power * bend)
    at, log_weight = np.polynomial.hermite.hermgauss(n_nodes)
    log_weight = np.log(log_weight) + at**2
    shape = (n_nodes,) + (1,) * mean.ndim
    x = jnp.asarray(at.reshape(shape), mean.dtype)
    d = mode[None] + 2**0.5 * width[None] * x
    log_density = power[None] * _log_win(d, link) - (d - mean[None]) ** 2 / (2 * variance[None])
    log_terms = log_density + jnp.asarray(log_weight.reshape(shape), mean.dtype)
    top = jax.nn.logsumexp(log_terms, axis=0)
    share = jnp.exp(log_terms - top[None])
    shift = (share * (d - mode[None])).sum(0)
    spread = (share * (d - mode[None] - shift[None]) ** 2).sum(0)
    log_total = top + jnp.log(width) - jnp.log(variance) / 2 - float(np.log(np.pi) / 2)
    return Moments(log_total, mode + shift, spread)


def _mode(
    mean: Float[Array, "*s"], variance: Float[Array, "*s"], power: Float[Array, "*s"], link: str
) -> Float[Array, "*s"]:
    """Where the product is largest: Newton, kept in a bracket, since alone it would leap to and fro over the bend."""

    def body(_: Array, state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        d, low, high = state
        slope, bend = _slope_and_bend(d, link)
        excess = d - mean - variance * power * slope
        low, high = jnp.where(excess < 0, d, low), jnp.where(excess < 0, high, d)
        newton = d - excess / (1 - variance * power * bend)
        inside = (newton >= low) & (newton <= high)
        return jnp.where(inside, newton, (low + high) / 2), low, high

    # The slope falls, so that the mode lies between the mean and what the slope there promises.
    high = mean + variance * power * _slope_and_bend(mean, link)[0]
    return jax.lax.fori_loop(0, _MODE_STEPS, body, ((mean + high) / 2, mean, high))[0]


def _log_win(d: Float[Array, "*s"], link: str) -> Float[Array, "*s"]:
    return jax.nn.log_sigmoid(d) if link == "logit" else log_ndtr(d)


def _slope_and_bend(d: Float[Array, "*s"], link: str) -> tuple[Float[Array, "*s"], Float[Array, "*s"]]:
    """First and second derivative of the log-probability of a win."""
    if link == "logit":
        p = jax.nn.sigmoid(d)
        return jax.nn.sigmoid(-d), -p * (1 - p)
    r = _mills(d)
    return r, -r * (d + r)


def _mills(d: Float[Array, "*s"]) -> Float[Array, "*s"]:
    return jnp.exp(jss.norm.logpdf(d) - log_ndtr(d))
