"""PMMH and SMC²: a likelihood that is only estimated, and an answer that is exact all the same."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.inference._blocks import Stepped, Traced, pmmh, random_walk, smc2
from tests.inference.blocks.closed_forms import log_normal

PRIOR = np.array([0.4, 0.6])
NOISE = np.array([[0.2, 0.5, 0.3], [0.6, 0.3, 0.1]])
"""Probability of each latent value, for each of two parameters."""
LIKELIHOOD = np.array([[0.1, 1.0, 3.0], [0.2, 0.7, 4.0]])
POSTERIOR = PRIOR * (NOISE * LIKELIHOOD).sum(1)
POSTERIOR /= POSTERIOR.sum()


def finite_target():
    log_prior = jnp.asarray(np.log(PRIOR), dtype=float)
    return Traced(lambda key: jnp.zeros((), jnp.int32), lambda theta: log_prior[theta])


def finite_kernel(noise):
    """One particle whose latent value is `noise`; the other parameter is always proposed."""
    log_likelihood = jnp.asarray(np.log(LIKELIHOOD), dtype=float)

    def family(theta):
        return Stepped(lambda key: noise, lambda t, x, key: (x, log_likelihood[theta, x]), n_steps=1)

    return pmmh(finite_target(), family, lambda key, theta: (1 - theta, jnp.zeros(())), 1)


def acceptance() -> np.ndarray:
    """`[theta, x, x']`: how likely the kernel is to accept the other parameter with latent value `x'`."""

    def log_ratio(theta, x, proposed):
        state = finite_kernel(x).init(theta, key=jax.random.key(0))
        return finite_kernel(proposed).propose(jax.random.key(1), state)[1]

    thetas, xs = jnp.arange(2, dtype=jnp.int32), jnp.arange(3, dtype=jnp.int32)
    over = jax.vmap(jax.vmap(jax.vmap(log_ratio, (None, None, 0)), (None, 0, None)), (0, None, None))
    return np.exp(np.minimum(np.asarray(jax.jit(over)(thetas, xs, xs)), 0))


def test_the_stationary_law_is_the_posterior_times_a_size_biased_estimate(x64):
    accepted = acceptance()
    matrix = np.zeros((2, 3, 2, 3))
    for theta in (0, 1):
        matrix[theta, :, 1 - theta] = NOISE[1 - theta] * accepted[theta]
        for x in range(3):
            matrix[theta, x, theta, x] = 1 - matrix[theta, x].sum()
    matrix = matrix.reshape(6, 6)
    size_biased = (PRIOR[:, None] * NOISE * LIKELIHOOD).ravel()
    size_biased /= size_biased.sum()
    np.testing.assert_allclose(size_biased @ matrix, size_biased, rtol=1e-14)
    np.testing.assert_allclose(size_biased.reshape(2, 3).sum(1), POSTERIOR, rtol=1e-14)
    # An estimate made anew for the current parameters at every step is another chain.
    anew = np.einsum("tx,ty,txy->t", NOISE, NOISE[::-1], accepted)
    assert abs(anew[1] / anew.sum() - POSTERIOR[0]) > 0.01


def shifted(theta, observed=(0.7, 2.0)):
    """`x_t = x_(t-1) + noise`, `y_t = theta + x_t + noise`."""
    observed = jnp.asarray(observed)

    def step(t, x, key):
        x = x + jax.random.normal(key)
        return x, log_normal(observed[t], theta + x)

    return Stepped(lambda key: jnp.zeros(()), step, n_steps=observed.shape[0])


# With theta ~ Normal(0, 1) the two observations are Normal(0, [[3, 2], [2, 4]]), and theta has covariance (1, 1) with
# them.
COVARIANCE, OBSERVED = np.array([[3.0, 2.0], [2.0, 4.0]]), np.array([0.7, 2.0])
LOG_EVIDENCE = (
    -(OBSERVED @ np.linalg.solve(COVARIANCE, OBSERVED) + np.log(4 * np.pi**2 * np.linalg.det(COVARIANCE))) / 2
)
WEIGHTS = np.linalg.solve(COVARIANCE, np.ones(2))
MEAN, VARIANCE = WEIGHTS @ OBSERVED, 1 - WEIGHTS.sum()


def _constant(known, theta):
    return known


def normal_prior(known=0.0):
    return Traced(jax.random.normal, log_normal, eqx.Partial(_constant, jnp.asarray(known)))


@eqx.filter_jit
def positions(kernel, keys):
    def chain(key):
        def step(state, t):
            state = kernel(jax.random.fold_in(key, t), state)
            return state, state.position

        start = kernel.init(jnp.asarray(MEAN, jnp.float32), key=jax.random.fold_in(key, 0))
        return jax.lax.scan(step, start, jnp.arange(1, 301))[1][50:]

    return jax.lax.map(chain, keys)


@pytest.mark.slow
def test_chains_with_few_particles_have_the_posterior():
    kernel = pmmh(normal_prior(), shifted, random_walk(1.0), 5)
    drawn = np.asarray(positions(kernel, jax.random.split(jax.random.key(0), 150)), np.float64)
    # Chains are independent, so their means give the standard error.
    for values, exact in ((drawn, MEAN), ((drawn - MEAN) ** 2, VARIANCE)):
        means = values.mean(1)
        assert abs(means.mean() - exact) < 4.5 * means.std() / 150**0.5
    assert 0.2 < (np.diff(drawn) != 0).mean() < 0.8


@eqx.filter_jit
def squared_runs(prior, keys):
    def one(key):
        population = smc2(prior, shifted, random_walk(0.8), 20, 5, key=key, n_moves=2)
        assert population.value.population.log_weight.shape == (20, 5)
        return population.log_evidence, population.integral(lambda value: value.parameter)

    return jax.lax.map(one, keys)


@pytest.mark.slow
def test_smc2_is_unbiased_and_has_the_posterior():
    keys = jax.random.split(jax.random.key(0), 500)
    log_evidence, total = squared_runs(normal_prior(), keys)
    ratio = np.exp(np.asarray(log_evidence, np.float64) - LOG_EVIDENCE)
    assert abs(ratio.mean() - 1) < 4 * ratio.std() / 500**0.5
    parameter = np.asarray(total, np.float64) / np.exp(LOG_EVIDENCE)
    assert abs(parameter.mean() - MEAN) < 4 * parameter.std() / 500**0.5
    # What is known of the likelihood counts once.
    known, _ = squared_runs(normal_prior(-3.0), keys)
    np.testing.assert_allclose(known, log_evidence - 3, rtol=1e-4)


def test_a_filter_that_dies_is_never_accepted():
    def family(theta):
        return Stepped(lambda key: jnp.zeros(()), lambda t, x, key: (x, jnp.where(theta > 0, 0.0, -jnp.inf)), n_steps=1)

    kernel = pmmh(normal_prior(), family, lambda key, theta: (-theta, jnp.zeros(())), 2)
    init, step = eqx.filter_jit(kernel.init), eqx.filter_jit(kernel)
    alive = init(jnp.asarray(0.5), key=jax.random.key(0))
    assert step(jax.random.key(1), alive).position == 0.5
    dead = init(jnp.asarray(-0.5), key=jax.random.key(0))
    assert step(jax.random.key(1), dead).position == 0.5


def test_errors():
    with pytest.raises(ValueError, match="n_particles must be at least 1, not 0"):
        pmmh(normal_prior(), shifted, random_walk(1.0), 0)
    with pytest.raises(ValueError, match="n_inner must be at least 1, not 0"):
        smc2(normal_prior(), shifted, random_walk(1.0), 5, 0, key=jax.random.key(0))
