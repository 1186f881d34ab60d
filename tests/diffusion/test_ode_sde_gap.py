import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from scorax.diffusion import EDM, AbstractProcess, edm_grid
from scorax.diffusion._ode_sde_gap import (
    assignment_wasserstein,
    gaussian_wasserstein,
    ode_sde_gap,
    w2_gap_bound_gaussian,
)

RNG = np.random.default_rng(1)


class Relaxation(AbstractProcess):
    """`dx = -x dt + dW`."""

    def log_alpha(self, t):
        return -t

    def sigma(self, t):
        return jnp.sqrt(-0.5 * jnp.expm1(-2 * t))

    def drift_rate(self, t):
        return -jnp.ones_like(t)

    def diffusion2(self, t):
        return jnp.ones_like(t)

    def inverse_log_snr(self, log_snr):
        return 0.5 * jnp.log1p(2 * jnp.exp(-2 * log_snr))

    @property
    def prior_scale(self):
        return jnp.asarray(0.5**0.5)


def noised_variance(t):
    """Of normal data of variance 0.3."""
    return 0.3 * jnp.exp(-2 * t) - 0.5 * jnp.expm1(-2 * t)


def wrong_variance(t):
    return noised_variance(t) * (1 + 0.3 * jnp.exp(-t))


def test_the_gap_and_its_bound_of_a_linear_score(x64):
    d = 3  # the published numbers are those of one entry

    @jax.jit
    def run(prior):
        return w2_gap_bound_gaussian(
            lambda t: jnp.full(d, wrong_variance(t)), Relaxation(), prior, t0=0.0, t1=4.0, rtol=1e-9, atol=1e-11
        )

    found = run(jnp.full(d, 0.5))
    np.testing.assert_allclose(found.gap, 0.072496 * d**0.5, atol=1e-6 * d)
    np.testing.assert_allclose(found.bound, 0.074108 * d**0.5, atol=1e-6 * d)


@pytest.mark.slow  # compiles a solver of its own
def test_no_gap_where_the_variance_equation_is_solved():
    truth = eqx.filter_jit(w2_gap_bound_gaussian)(
        lambda t: noised_variance(t)[None], Relaxation(), noised_variance(jnp.asarray([4.0])), t0=0.0, t1=4.0
    )
    np.testing.assert_allclose(truth.ode_variance, 0.3, rtol=1e-4)
    np.testing.assert_allclose(truth.sde_variance, 0.3, rtol=1e-4)
    np.testing.assert_allclose([truth.gap, truth.bound], 0, atol=1e-4)


@pytest.mark.slow  # 400 steps of 20 000 samples
def test_samples_have_the_gap_of_the_variance_equations(x64):
    process, n = Relaxation(), 20_000

    @jax.jit
    def run(key):
        first, second = jax.random.split(key)
        x_T = process.prior_sample((n, 1), key=first)
        times = jnp.linspace(4.0, 0.01, 400)
        sampled = ode_sde_gap(lambda x, t: -x / wrong_variance(t), process, x_T, times, key=second)
        prior = jnp.asarray([0.5])
        return sampled, w2_gap_bound_gaussian(lambda t: wrong_variance(t)[None], process, prior, t0=0.01, t1=4.0)

    sampled, exact = run(jax.random.key(0))
    # Standard error of each standard deviation 0.003 (of samples), and the steps of the second way.
    np.testing.assert_allclose(sampled.ode.var(), exact.ode_variance[0], rtol=0.05)
    np.testing.assert_allclose(sampled.sde.var(), exact.sde_variance[0], rtol=0.05)
    np.testing.assert_allclose(sampled.gap, exact.gap, atol=0.015)


def test_the_distance_of_normal_laws(x64):
    x, y = RNG.normal(size=(30, 3)), RNG.normal(size=(40, 3)) @ RNG.normal(size=(3, 3)) + 1
    a, b = np.cov(x.T, bias=True), np.cov(y.T, bias=True)
    root = scipy.linalg.sqrtm(a)
    cross = scipy.linalg.sqrtm(root @ b @ root).real
    expected = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(a + b - 2 * cross)
    found = jax.jit(gaussian_wasserstein)(jnp.asarray(x), jnp.asarray(y))
    np.testing.assert_allclose(found, expected**0.5, rtol=1e-9)


def test_the_best_assignment_is_that_of_sorted_samples_in_one_dimension(x64):
    x, y = RNG.normal(size=(20, 1)), RNG.normal(size=(20, 1))
    expected = ((np.sort(x[:, 0]) - np.sort(y[:, 0])) ** 2).mean() ** 0.5
    np.testing.assert_allclose(assignment_wasserstein(jnp.asarray(x), jnp.asarray(y)), expected, rtol=1e-12)


def test_chunks_draw_the_noise_of_the_whole():
    process, x_T = EDM(), jnp.asarray([[10.0], [-3.0], [4.0]])

    @eqx.filter_jit
    def run(x_T, offset):
        times, key = edm_grid(8, 0.1, 10.0)[:-1], jax.random.key(0)
        return ode_sde_gap(lambda x, t: -x / (1 + t**2), process, x_T, times, key=key, offset=offset).sde

    np.testing.assert_allclose(run(jnp.roll(x_T, -1, 0), jnp.asarray(1))[:2], run(x_T, jnp.asarray(0))[1:], rtol=1e-5)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="t1 must be later than t0"):
        w2_gap_bound_gaussian(lambda t: t[None], EDM(), jnp.ones(1), t0=1.0, t1=1.0)
    with pytest.raises(ValueError, match="needs as many samples"):
        assignment_wasserstein(jnp.ones((2, 1)), jnp.ones((3, 1)))
