"""Seasons of skills: rotations against the series that they stand for, and the series against the whole kernel."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import ive

from scorax.choice._dynamic import Constant, Matern32, Periodic, dynamic_score_skills
from scorax.choice._dynamic._bessel import log_ive
from scorax.data import Comparisons

# Irregular, with a repeated time and gaps from nothing to many periods.
TIMES = np.array([-1.5, -1.5, -1.4999, -1.2, 0.0, 0.3, 4.0, 30.0])


def whole(gap, variance, scale, period):
    return variance * np.exp(-2 * np.sin(np.pi * gap / period) ** 2 / scale**2)


def grid(dtype):
    return (jnp.broadcast_to(x, (TIMES.size,) * 2) for x in jnp.meshgrid(*[jnp.asarray(TIMES, dtype)] * 2))


def test_bessel_functions(dtype):
    """Both branches, their seam and orders far above the argument; relative to a logarithm that may be large."""
    order, z = (x.ravel() for x in np.meshgrid([0.0, 1, 2, 8, 39, 41, 150], [1e-2, 0.5, 3, 20, 39.99, 40.01, 1e3, 1e5]))
    with np.errstate(divide="ignore"):
        expected = np.log(ive(order, z))
    known = np.isfinite(expected)
    found = np.asarray(jax.jit(log_ive)(jnp.asarray(order, dtype), jnp.asarray(z, dtype)))
    assert np.isfinite(found).all()
    eps = float(jnp.finfo(dtype).eps)
    np.testing.assert_allclose(found[known], expected[known], atol=30 * eps, rtol=30 * eps)
    slope = jax.jit(jax.grad(lambda z: log_ive(jnp.asarray(order, dtype), z).sum()))(jnp.asarray(z, dtype))
    # The derivative of log I_n is I_{n+1} / I_n + n / z.
    ratio = ive(order + 1, z) / np.where(ive(order, z) > 0, ive(order, z), 1)
    known = ive(order, z) > 1e-290
    exact = (ratio + order / z - 1)[known]
    # It may be a small difference of large ones.
    np.testing.assert_allclose(np.asarray(slope)[known], exact, atol=1000 * eps, rtol=100 * eps)


def test_the_series_nears_the_whole_kernel_as_fast_as_is_said(x64):
    gap = np.linspace(-8, 8, 401)
    zero = jnp.zeros(gap.shape)
    for scale, harmonics, left_out in [(1.0, 8, 4.3e-9), (0.5, 8, 9.5e-5), (0.25, 8, 0.034), (0.25, 24, 8.1e-9)]:
        error = np.abs(Periodic(1.7, scale, 3.0, harmonics).covariance(jnp.asarray(gap), zero)
                       - whole(gap, 1.7, scale, 3.0)) / 1.7  # fmt: skip
        assert left_out * 0.98 < error.max() < left_out
        assert error.argmax() in np.flatnonzero(np.isclose(gap % 3, 0) | np.isclose(gap % 3, 3))


def test_the_state_has_the_covariance_of_the_series(dtype):
    kernel = Periodic(1.2, 0.7, 3.0)

    @jax.jit
    def both(kernel, t, s):
        def by_state(t, s):
            later, earlier = jnp.maximum(t, s), jnp.minimum(t, s)
            moved = kernel.transition(later - earlier)
            return kernel.measurement @ moved @ kernel.state_covariance(earlier) @ kernel.measurement

        gap = (t - s)[-1, -2]
        turned = kernel.transition(gap) @ kernel.state_covariance(s[0, 0]) @ kernel.transition(gap).T
        stays = turned + kernel.noise(gap), kernel.state_covariance(t[0, 0])
        return jax.vmap(jax.vmap(by_state))(t, s), kernel.covariance(t, s), stays

    by_state, dense, (after, before) = both(kernel, *grid(dtype))
    assert dense.dtype == dtype
    # An angle of ten turns has lost a digit, and the eighth harmonic another one.
    eps = float(jnp.finfo(dtype).eps)
    np.testing.assert_allclose(by_state, dense, atol=300 * eps)
    np.testing.assert_allclose(after, before, atol=30 * eps)
    t, s = (np.asarray(x) for x in grid(dtype))
    np.testing.assert_allclose(dense, whole(t - s, 1.2, 0.7, 3.0), atol=max(2e-6, 300 * eps))
    zero = jnp.zeros((), dtype)
    np.testing.assert_array_equal(kernel.transition(zero), np.eye(17))
    np.testing.assert_array_equal(kernel.noise(zero), 0)


def test_gradients_in_all_hyperparameters(dtype):
    """Those of the whole kernel, from which twelve harmonics differ by 1e-9."""
    gap = np.linspace(0.1, 4, 9)

    def series(kernel):
        return kernel.covariance(jnp.asarray(gap, dtype), jnp.zeros(gap.shape, dtype)).sum()

    found = jax.jit(jax.grad(series))(Periodic(1.2, 0.8, 3.0, 12))
    sine = np.sin(np.pi * gap / 3.0)
    k = whole(gap, 1.2, 0.8, 3.0)
    by_period = k * 4 * sine * np.cos(np.pi * gap / 3.0) * np.pi * gap / 9 / 0.64
    tolerance = 1e-7 if dtype == jnp.float64 else 2e-5
    np.testing.assert_allclose(found.variance, (k / 1.2).sum(), rtol=tolerance)
    np.testing.assert_allclose(found.scale, (k * 4 * sine**2 / 0.8**3).sum(), rtol=tolerance)
    np.testing.assert_allclose(found.period, by_period.sum(), rtol=tolerance, atol=tolerance)


def test_seasons_and_drift_have_the_means_of_a_dense_regression(x64):
    """A sum with another kernel, through the smoother, at the comparisons and half a period later."""
    rng = np.random.default_rng(0)
    n = 6
    time, score = np.sort(rng.uniform(0, 10, n)), rng.normal(size=n)
    kernel = Periodic(0.8, 0.9, 4.0, 4) + Matern32(0.5, 5.0)
    data = Comparisons.from_arrays(np.zeros(n, int), np.ones(n, int), np.ones(n), time=time)
    skills = dynamic_score_skills(data, jnp.asarray(score), 2, kernel, noise_variance=0.3)
    later = time + 2.0

    def dense(t, s):
        return np.asarray(kernel.covariance(*(jnp.asarray(x) for x in np.broadcast_arrays(t[:, None], s[None, :]))))

    solved = np.linalg.solve(2 * dense(time, time) + 0.3 * np.eye(n), score)
    mean, std = skills.predict(jnp.asarray(np.r_[time, later]))
    expected = dense(np.r_[time, later], time) @ solved
    # The iteration stops at changes of 1.5e-8 standard deviations.
    np.testing.assert_allclose(mean[0], expected, atol=1e-6)
    np.testing.assert_allclose(mean[1], -expected, atol=1e-6)
    assert (std > 0).all()


def test_hyperparameters_are_checked():
    for make in (lambda x: Periodic(x, 1.0, 1.0), lambda x: Periodic(1.0, x, 1.0), lambda x: Periodic(1.0, 1.0, x)):
        for bad in (0.0, float("nan")):
            with pytest.raises(ValueError, match=r"of Periodic must be finite and above 0"):
                make(bad)
    with pytest.raises(ValueError, match="n_harmonics of Periodic must be at least 1, not 0"):
        Periodic(1.0, 1.0, 1.0, 0)
    both = Periodic(1.0, 1.0, 1.0, 1) + Constant(0.5)
    assert both.measurement.tolist() == [1, 1, 0, 1]
