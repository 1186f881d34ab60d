"""Importance sampling and enumeration, where the answer is known to the last digit."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.inference._blocks import Traced, enumerate, importance
from tests.inference.blocks import hidden
from tests.inference.blocks.closed_forms import (
    COIN_LOG_EVIDENCE,
    NORMAL_LOG_EVIDENCE,
    coin_target,
    log_normal,
    normal_target,
)


def draw_beta(key):
    # Beta(4, 2) is the law of the fourth of five uniforms.
    p = jnp.sort(jax.random.uniform(key, (5,)))[3]
    return p, math.log(20) + 3 * jnp.log(p) + jnp.log1p(-p)


def draw_normal(key):
    x = 0.5 + 0.5**0.5 * jax.random.normal(key)
    return x, log_normal(x, 0.5, 0.5)


@pytest.mark.parametrize(
    ("target", "proposal", "log_evidence"),
    [(coin_target(), draw_beta, COIN_LOG_EVIDENCE), (normal_target(), draw_normal, NORMAL_LOG_EVIDENCE)],
    ids=["Beta-Bernoulli", "Normal-Normal"],
)
def test_the_posterior_as_proposal_has_no_variance(target, proposal, log_evidence, x64):
    population = importance(target, 16, key=jax.random.key(0), proposal=proposal)
    # Each weight is Z / n: log densities of either sign near 3 cancel.
    np.testing.assert_allclose(population.log_weight, log_evidence - np.log(16), atol=1e-13)


def test_draws_from_the_prior():
    population = importance(coin_target(), 40_000, key=jax.random.key(0))
    # The relative variance of a weight is B(7, 3) / 0.05² - 1 = 0.77², and that of a weighted value is less.
    assert abs(np.exp(float(population.log_evidence) - COIN_LOG_EVIDENCE) - 1) < 4 * 0.77 / 200
    assert abs(population.mean() - 4 / 6) < 4 * 0.77 / 200


def path_target():
    """The hidden Markov model of these tests as a trace of two leaves, its first state and the others."""
    transition, emission = hidden.log(hidden.TRANSITION), hidden.log(hidden.EMISSION)

    def join(trace):
        return jnp.concatenate([trace["first"][None], trace["rest"]])

    def log_prior(trace):
        path = join(trace)
        return transition[jnp.concatenate([jnp.zeros(1, path.dtype), path[:-1]]), path].sum()

    return Traced(
        draw=lambda key: {"first": jnp.zeros((), jnp.int32), "rest": jnp.zeros(2, jnp.int32)},
        log_prior=log_prior,
        log_likelihood=lambda trace: emission[jnp.arange(3), join(trace)].sum(),
        output=join,
    )


def test_enumeration_is_exact(x64):
    rest = jnp.asarray([[0, 0], [0, 1], [1, 0], [1, 1]], jnp.int32)
    population = enumerate(path_target(), {"first": jnp.arange(2, dtype=jnp.int32), "rest": rest})
    np.testing.assert_array_equal(population.value, hidden.PATHS)
    np.testing.assert_allclose(jnp.exp(population.log_weight), hidden.path_weights(), rtol=1e-14)


def test_no_particles():
    with pytest.raises(ValueError, match="n_particles must be at least 1, not -1"):
        importance(coin_target(), -1, key=jax.random.key(0))
