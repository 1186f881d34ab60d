"""State-space forms against the covariances that they stand for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import expm

from scorax.choice._dynamic import Affine, Constant, Exponential, Matern32, Matern52, Wiener

KERNELS = {
    "constant": lambda: Constant(1.3),
    "wiener": lambda: Wiener(0.4, 0.7, start=-2.0),
    "affine": lambda: Affine(1.0, 0.5, origin=1.0),
    "exponential": lambda: Exponential(1.2, 3.0),
    "matern32": lambda: Matern32(1.2, 3.0),
    "matern52": lambda: Matern52(0.8, 2.0),
    "sum": lambda: Constant(0.5) + Matern52(0.8, 2.0) + Exponential(0.3, 1.0),
}
# Irregular, with a repeated time and gaps from nothing to many scales.
TIMES = np.array([-1.5, -1.5, -1.4999, -1.2, 0.0, 0.3, 4.0, 30.0])


@jax.jit
def chained(kernel, times):
    """Covariance of the skill at all times: from the first state on, by transitions and noise."""
    gaps = jnp.diff(times)
    transitions, noises = jax.vmap(kernel.transition)(gaps), jax.vmap(kernel.noise)(gaps)
    h = kernel.measurement

    def step(cov, place):
        transition, noise = place
        cov = transition @ cov @ transition.T + noise
        return cov, cov

    first = kernel.state_covariance(times[0])
    _, later = jax.lax.scan(step, first, (transitions, noises))
    own = jnp.concatenate([first[None], later])
    at_each = jax.vmap(kernel.state_covariance)(times)

    def onwards(cov, start):
        def step(x, place):
            i, transition = place
            x = jnp.where(i >= start, transition @ x, x)
            return x, h @ x

        return jax.lax.scan(step, cov @ h, (jnp.arange(gaps.size), transitions))[1]

    across = jax.vmap(onwards)(own, jnp.arange(times.size))
    t, s = (jnp.broadcast_to(x, (times.size,) * 2) for x in (times[:, None], times[None, :]))
    return own, at_each, across, kernel.covariance(t, s)


@pytest.mark.parametrize("name", KERNELS)
def test_the_state_has_the_covariance_of_the_kernel(name, dtype):
    times = jnp.asarray(TIMES, dtype)
    kernel = KERNELS[name]()
    own, at_each, across, dense = chained(kernel, times)
    eps = float(jnp.finfo(dtype).eps)
    np.testing.assert_allclose(own, at_each, atol=100 * eps * float(jnp.abs(at_each).max()))
    tolerance = 100 * eps * float(jnp.abs(dense).max())
    np.testing.assert_allclose(np.einsum("a,nab,b->n", *[kernel.measurement, own, kernel.measurement]),
                               jnp.diagonal(dense), atol=tolerance)  # fmt: skip
    for i in range(TIMES.size):
        np.testing.assert_allclose(across[i, i:], dense[i, i + 1 :], atol=tolerance)


# The drift of the state and what drives its last entry, with derivatives in units of 1 / lambda.
SYSTEMS = {
    "exponential": (Exponential, 1, 1.0, 2.0),
    "matern32": (Matern32, 2, 3**0.5, 4.0),
    "matern52": (Matern52, 3, 5**0.5, 16 / 3),
}


@pytest.mark.parametrize("name", SYSTEMS)
def test_an_age_leaves_nothing(name):
    kernel = SYSTEMS[name][0](1.5, 2.0)
    noise, transition, slope = jax.jit(
        lambda gap: (kernel.noise(gap), kernel.transition(gap), jax.jacfwd(kernel.noise)(gap))
    )(jnp.asarray(1e30))
    np.testing.assert_allclose(noise, kernel.state_covariance(jnp.zeros(())), atol=1e-6)
    np.testing.assert_allclose(transition, 0, atol=1e-30)
    np.testing.assert_array_equal(slope, 0)


@pytest.mark.parametrize("name", SYSTEMS)
def test_noise_keeps_its_digits_at_small_gaps(name, dtype):
    """Every entry to relative rounding, against a matrix exponential's integral by many nodes."""
    kind, d, root, drive = SYSTEMS[name]
    binomial = {1: [-1], 2: [-1, -2], 3: [-1, -3, -3]}[d]
    drift = np.vstack([np.eye(d)[1:], binomial]) if d > 1 else np.array([[-1.0]])
    kernel = kind(1.5, 2.0)
    noise = jax.jit(lambda kernel, gap: (kernel.noise(gap), kernel.transition(gap)))
    at, weight = np.polynomial.legendre.leggauss(40)
    for gap in (1e-3, 0.1, 1.0, 5.0):
        x = root * gap / 2.0
        found, transition = noise(kernel, jnp.asarray(gap, dtype))
        end = np.eye(d)[-1]
        paths = [expm(drift * (x * (u + 1) / 2)) @ end for u in at]
        expected = 1.5 * drive * x / 2 * sum(w * np.outer(p, p) for w, p in zip(weight, paths, strict=True))
        # At gaps of several scales an entry may be a difference of large ones, so relative to the diagonal there.
        scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
        eps = float(jnp.finfo(dtype).eps)
        np.testing.assert_allclose(found / scale, expected / scale, atol=40 * eps)
        np.testing.assert_allclose(transition, expm(drift * x), atol=10 * eps)


def test_nothing_happens_in_no_time():
    zero = jnp.zeros(())
    for make in KERNELS.values():
        kernel = make()
        np.testing.assert_array_equal(kernel.transition(zero), np.eye(kernel.measurement.size))
        np.testing.assert_array_equal(kernel.noise(zero), 0)


def test_hyperparameters_are_checked():
    for make in (Constant, lambda x: Wiener(0.1, x), lambda x: Matern32(1.0, x), lambda x: Affine(1.0, x)):
        for bad in (0.0, -1.0, float("nan"), float("inf")):
            with pytest.raises(ValueError, match=r"of \w+ must be finite and above 0"):
                make(bad)
    assert jnp.isnan(Wiener(0.1, start=3.0).state_covariance(jnp.asarray(2.0)))
