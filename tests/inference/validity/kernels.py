"""Kernels, right and with planted bugs, and the laws of parameters and data that they are for.

What plants a bug is an array, so that the right kernel and the wrong one share a compilation.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from scorax.inference.validity import Joint


def metropolis(key, log_ratio, new, old):
    """The accept step."""
    return jax.tree.map(lambda x, y: jnp.where(jnp.log(jax.random.uniform(key)) < log_ratio, x, y), new, old)


# A scale seen through four normal observations, and a random walk of its logarithm.


def scale_log_likelihood(scale, y):
    return -((y / scale) ** 2).sum() / 2 - y.size * jnp.log(scale)


SCALE = Joint(
    prior=lambda key: jnp.exp(jax.random.normal(key) / 2),
    simulate=lambda key, scale: scale * jax.random.normal(key, (4,)),
    log_likelihood=scale_log_likelihood,
)


class ScaleWalk(eqx.Module):
    """Multiplies by a log-normal factor. The Hastings term is the factor itself, to the power of one: not of zero."""

    hastings: Array
    width: Array = eqx.field(default_factory=lambda: jnp.array(0.6))

    def __call__(self, y):
        def log_density(scale):
            return -2 * jnp.log(scale) ** 2 - jnp.log(scale) + scale_log_likelihood(scale, y)

        def kernel(key, scale):
            key_step, key_accept = jax.random.split(key)
            step = self.width * jax.random.normal(key_step)
            new = scale * jnp.exp(step)
            ratio = log_density(new) - log_density(scale) + self.hastings * step
            return metropolis(key_accept, ratio, new, scale)

        return kernel


# Five normal levels, each seen once, and Hamiltonian Monte Carlo.

LEVELS = Joint(
    prior=lambda key: jax.random.normal(key, (5,)),
    simulate=lambda key, theta: theta + jax.random.normal(key, (5,)),
    log_likelihood=lambda theta, y: -((y - theta) ** 2).sum() / 2,
)


class Hamiltonian(eqx.Module):
    """Three leapfrog steps. `accept` is what multiplies the gain of energy: -1 is right, 0 accepts everything."""

    accept: Array
    step_size: float = 0.8

    def __call__(self, y):
        def log_density(theta):
            return -(theta @ theta) / 2 - ((y - theta) ** 2).sum() / 2

        def slope(theta):
            return y - 2 * theta

        def kernel(key, theta):
            key_momentum, key_accept = jax.random.split(key)
            momentum = jax.random.normal(key_momentum, theta.shape)

            def leapfrog(_, state):
                q, p = state
                p = p + self.step_size / 2 * slope(q)
                q = q + self.step_size * p
                return q, p + self.step_size / 2 * slope(q)

            q, p = jax.lax.fori_loop(0, 3, leapfrog, (theta, momentum))
            gain = (p @ p) / 2 - log_density(q) - (momentum @ momentum) / 2 + log_density(theta)
            return metropolis(key_accept, self.accept * gain, q, theta)

        return kernel


# A level seen through a latent value, whose likelihood is estimated from particles.

NOISE, N_PARTICLES = 0.5, 3


class PseudoMarginal(NamedTuple):
    theta: jax.Array
    log_estimate: jax.Array


def log_estimate(latents, y):
    """Of the likelihood of `theta`, from latent values drawn given it."""
    return jax.nn.logsumexp(jax.scipy.stats.norm.logpdf(y, latents, NOISE)) - jnp.log(float(latents.size))


LATENT = Joint(
    prior=jax.random.normal,
    simulate=lambda key, theta: theta + jax.random.normal(key) * (1 + NOISE**2) ** 0.5,
    log_likelihood=lambda theta, y: jax.scipy.stats.norm.logpdf(y, theta, (1 + NOISE**2) ** 0.5),
)


class PMMH(eqx.Module):
    """Keeps the estimate of the current parameters, or, wrongly, makes it anew at each step."""

    keep: Array

    def __call__(self, y):
        def estimate(key, theta):
            return log_estimate(theta + jax.random.normal(key, (N_PARTICLES,)), y)

        def kernel(key, state):
            key_step, key_new, key_old, key_accept = jax.random.split(key, 4)
            theta = state.theta + 1.5 * jax.random.normal(key_step)
            new = PseudoMarginal(theta, estimate(key_new, theta))
            old = jnp.where(self.keep, state.log_estimate, estimate(key_old, state.theta))
            ratio = new.log_estimate - old - (theta**2 - state.theta**2) / 2
            return metropolis(key_accept, ratio, new, state)

        return kernel


class Begin(eqx.Module):
    """Parameters, data, and an estimate that the true latent value takes part in: its stationary law.

    Otherwise a fresh estimate, which is not: a valid chain then looks wrong.
    """

    around_truth: Array

    def __call__(self, key):
        key_theta, key_latents, key_noise, key_fresh = jax.random.split(key, 4)
        theta = jax.random.normal(key_theta)
        latents = theta + jax.random.normal(key_latents, (N_PARTICLES,))
        y = latents[0] + NOISE * jax.random.normal(key_noise)
        first = jnp.where(self.around_truth, latents[0], theta + jax.random.normal(key_fresh))
        return PseudoMarginal(theta, log_estimate(latents.at[0].set(first), y)), y


def theta_of(state):
    return state.theta


YES, NO = jnp.array(True), jnp.array(False)
RIGHT = {
    "Metropolis on a scale": (ScaleWalk(jnp.array(1.0)), SCALE, {}),
    "Hamiltonian": (Hamiltonian(jnp.array(-1.0)), LEVELS, {}),
    "pseudo-marginal": (PMMH(YES), LATENT, {"init": Begin(YES), "position": theta_of}),
}
WRONG = {
    "no Hastings term": (ScaleWalk(jnp.array(0.0)), SCALE, {}),
    "accepts by exp(+gain)": (Hamiltonian(jnp.array(1.0)), LEVELS, {}),
    "accepts everything": (Hamiltonian(jnp.array(0.0)), LEVELS, {}),
    "makes the estimate anew": (PMMH(NO), LATENT, {"init": Begin(YES), "position": theta_of}),
}
