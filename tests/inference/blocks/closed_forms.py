"""Targets whose evidence and posterior are known."""

import math

import jax
import jax.numpy as jnp

from scorax.inference._blocks import Traced


def log_normal(x, mean=0.0, variance=1.0):
    return -((x - mean) ** 2 / variance + math.log(2 * math.pi * variance)) / 2


def normal_target() -> Traced:
    """`x ~ Normal(0, 1)`, one observation 1 with variance 1: posterior mean and variance 1/2."""
    return Traced(jax.random.normal, log_normal, lambda x: log_normal(x, 1.0))


NORMAL_LOG_EVIDENCE = -math.log(4 * math.pi) / 2 - 0.25


def coin_target() -> Traced:
    """A uniform bias that brought 3 successes in 4 tosses, in a given order."""
    return Traced(
        jax.random.uniform,
        lambda p: jnp.where((p > 0) & (p < 1), jnp.zeros_like(p), -jnp.inf),
        lambda p: 3 * jnp.log(p) + jnp.log1p(-p),
    )


COIN_LOG_EVIDENCE = math.log(0.05)
