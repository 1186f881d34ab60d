"""Tempering: the powers do not show in the answer."""

import blackjax
import chex
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.inference._blocks import (
    Traced,
    adaptive_tempering,
    as_kernel,
    mh_kernel,
    random_walk,
    rmsmc,
    smc,
    tempered,
)
from scorax.inference._blocks._tempered import next_beta, power
from scorax.numerics._resampling import log_conditional_ess
from tests.inference.blocks.closed_forms import NORMAL_LOG_EVIDENCE, log_normal, normal_target

WALK = eqx.Partial(mh_kernel, proposal=random_walk(1.0))
BETAS = np.array([0.2, 0.5, 1.0])


@eqx.filter_jit
def runs(betas, keys):
    steps = tempered(normal_target(), betas, kernel=WALK)
    return jax.lax.map(lambda key: rmsmc(steps, 10, key=key).log_evidence, keys)


def log_ratios(betas, keys):
    return np.asarray(runs(jnp.asarray(betas, dtype=float), keys), np.float64)


# The second repeats its last power, as what adaptive tempering finds does.
@pytest.mark.parametrize("betas", [BETAS, [0.5, 1.0, 1.0]])
def test_fixed_powers_are_unbiased(betas):
    ratio = np.exp(log_ratios(betas, jax.random.split(jax.random.key(0), 2000)) - NORMAL_LOG_EVIDENCE)
    assert abs(ratio.mean() - 1) < 4 * ratio.std() / ratio.size**0.5


def test_without_moves_it_is_importance_sampling(x64):
    steps = tempered(normal_target(), jnp.asarray(BETAS), kernel=WALK)
    population = smc(steps, 32, key=jax.random.key(0), resampler=lambda population, *, key: population)
    expected = log_normal(population.value, 1.0) - jnp.log(32)
    np.testing.assert_allclose(population.log_weight, expected, rtol=1e-12)


def narrow_likelihood(x):
    return -50 * (x - 1) ** 2 / 2


def narrow_target():
    """Fifty observations with mean 1: far from what the prior draws."""
    return Traced(jax.random.normal, log_normal, narrow_likelihood)


# The product is Normal(50/51, 1/51) times exp(-(50/51)/2) / sqrt(51).
NARROW_LOG_EVIDENCE = -50 / 51 / 2 - np.log(51) / 2


def adapt(ess_threshold):
    kernel = eqx.Partial(mh_kernel, proposal=random_walk(0.3))
    target, key = narrow_target(), jax.random.key(0)
    return adaptive_tempering(target, 1000, key=key, kernel=kernel, ess_threshold=ess_threshold, n_moves=5, max_steps=8)


@pytest.mark.slow
def test_adaptive_powers_find_the_posterior_in_as_many_steps_as_they_may():
    found = adapt(0.6)
    steps = int(found.n_steps)
    assert 2 <= steps < 8
    assert (np.diff(found.betas) >= 0).all()
    assert (found.betas[steps - 1 :] == 1).all()
    assert found.betas[steps - 2] < 1
    # Over 40 seeds the log evidence scatters by 0.06, the mean by 0.004.
    assert abs(found.population.log_evidence - NARROW_LOG_EVIDENCE) < 0.25
    assert abs(found.population.mean() - 50 / 51) < 0.02
    # To keep nearly all would take more than eight: the last goes to 1 whatever it costs.
    hasty = adapt(0.99)
    assert hasty.n_steps == 8
    assert hasty.betas[7] == 1
    assert hasty.betas[6] < 0.7


@jax.jit
def beta_after(log_weight, log_likelihood, beta):
    return next_beta(log_weight, log_likelihood, beta, jnp.asarray(0.5, beta.dtype))


def test_a_power_keeps_just_the_conditional_sample_size(dtype):
    generator = np.random.default_rng(0)
    log_weight, log_likelihood = (jnp.asarray(generator.normal(0, s, 64), dtype) for s in (1, 20))
    start = jnp.asarray(0.01, dtype)
    beta = beta_after(log_weight, log_likelihood, start)
    kept = log_conditional_ess(log_weight, (beta - start) * log_likelihood)
    assert 0.01 < beta < 1
    np.testing.assert_allclose(kept, np.log(32), atol=1e-10 if dtype == jnp.float64 else 1e-4)


def test_a_likelihood_that_says_little_takes_one_step():
    assert beta_after(jnp.zeros(64), jnp.linspace(-0.1, 0.1, 64), jnp.zeros(())) == 1


def test_a_power_always_rises(dtype):
    # Half of the particles lose everything at any power, and one more: no step keeps half.
    gone = jnp.where(jnp.arange(64) < 33, -jnp.inf, jnp.zeros(64, dtype))
    for start in (0.0, 0.3):
        assert beta_after(jnp.zeros(64, dtype), gone, jnp.asarray(start, dtype)) > start


def test_a_likelihood_of_zero_to_no_power_is_one(dtype):
    none, half = (power(jnp.asarray([-jnp.inf, -2.0], dtype), jnp.asarray(x, dtype)) for x in (0.0, 0.5))
    chex.assert_trees_all_equal(none, jnp.zeros(2, dtype))
    chex.assert_trees_all_equal(half, jnp.asarray([-jnp.inf, -1.0], dtype))


def hamiltonian(log_density):
    return as_kernel(blackjax.hmc(log_density, 0.6, jnp.ones(1), 2))


@pytest.mark.slow
@pytest.mark.engine
def test_any_kernel_moves_the_particles():
    target = Traced(
        lambda key: jax.random.normal(key, (1,)), lambda x: log_normal(x[0]), lambda x: log_normal(x[0], 1.0)
    )
    population = rmsmc(tempered(target, jnp.asarray(BETAS), kernel=hamiltonian), 500, key=jax.random.key(0))
    # The last step reweights once more; an effective sample size above 400.
    assert abs(population.mean()[0] - 0.5) < 4 * (0.5 / 400) ** 0.5
    assert len(np.unique(population.value)) > 400


@pytest.mark.parametrize("betas", [[0.5, 0.2, 1.0], [0.2, 0.5], [0.0, 1.0], []])
def test_powers_that_do_not_ascend_to_one(betas):
    with pytest.raises(ValueError, match="betas must ascend from above 0 to 1"):
        tempered(normal_target(), jnp.asarray(betas, jnp.float32), kernel=WALK)


def test_errors():
    for options, message in (
        ({"ess_threshold": 1.0}, "ess_threshold must lie between 0 and 1, not 1.0"),
        ({"n_moves": 0}, "n_moves must be at least 1"),
        ({"max_steps": 0}, "max_steps must be at least 1"),
    ):
        with pytest.raises(ValueError, match=message):
            adaptive_tempering(normal_target(), 4, key=jax.random.key(0), kernel=WALK, **options)
