"""The corrections of a win and of a draw against numerical integrals, and in their tails."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.choice._ratings._truncated import correction

T = [-30.0, -6.0, -1.3, 0.0, 0.4, 5.0, 30.0]
MARGIN = [0.01, 0.3, 2.0]
GRID = tuple(np.array([(t, m) for t in T for m in MARGIN]).T)


corrected = jax.jit(correction)


def win(t, margin):
    return corrected(t, margin, jnp.zeros(t.shape, bool))


def draw(t, margin):
    return corrected(t, margin, jnp.ones(t.shape, bool))


BOTH = pytest.mark.parametrize("f", [win, draw], ids=["win", "draw"])


def moments(t, lower, upper):
    """Gain in mean and loss in variance of N(t, 1) cut to an interval, by Gauss-Legendre where the density is."""
    peak = float(np.clip(t, lower, upper))
    # Beyond a bound that is d away, the density falls like exp(-d x).
    reach = 40 / max(abs(peak - t), 3)
    low, high = max(lower, peak - reach), min(upper, peak + reach)
    nodes, weights = np.polynomial.legendre.leggauss(200)
    x = (low + high) / 2 + (high - low) / 2 * nodes
    density = weights * np.exp(((peak - t) ** 2 - (x - t) ** 2) / 2)
    density /= density.sum()
    mean = density @ (x - peak)
    return peak + mean - t, 1 - density @ (x - peak - mean) ** 2


def test_win_against_quadrature(x64):
    v, w = win(*map(jnp.asarray, GRID))
    expected = np.array([moments(t, m, np.inf) for t, m in zip(*GRID, strict=True)])
    np.testing.assert_allclose(v, expected[:, 0], rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(w, expected[:, 1], rtol=1e-8, atol=1e-10)


def test_draw_against_quadrature(x64):
    v, w = draw(*map(jnp.asarray, GRID))
    expected = np.array([moments(t, -m, m) for t, m in zip(*GRID, strict=True)])
    np.testing.assert_allclose(v, expected[:, 0], rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(w, expected[:, 1], rtol=1e-8, atol=1e-10)


@BOTH
def test_single_precision(f):
    single = f(*(jnp.asarray(x, jnp.float32) for x in GRID))
    with jax.enable_x64(True):
        double = f(*(jnp.asarray(np.asarray(x, np.float32), jnp.float64) for x in GRID))
    # A few 1e-7 over a margin of 0.01.
    for x, y in zip(single, double, strict=True):
        np.testing.assert_allclose(x, y, rtol=3e-4, atol=1e-5)


@BOTH
def test_the_gain_falls_by_the_loss_of_variance(f, x64):
    # v is the derivative of a log-probability in t, and w minus its second derivative.
    t, margin = map(jnp.asarray, GRID)
    slope = jax.jit(jax.vmap(jax.grad(lambda t, m: f(t, m)[0])))(t, margin)
    np.testing.assert_allclose(slope, -f(t, margin)[1], rtol=1e-7, atol=1e-9)


@BOTH
def test_everything_is_finite_in_the_tails(f):
    t = jnp.asarray([-1e4, -300.0, -40.0, 0.0, 40.0, 300.0, 1e4])
    derivative = jax.jit(jax.vmap(jax.jacfwd(f, (0, 1))))
    for margin in (0.0, 1e-3, 0.7, 60.0):
        m = jnp.full_like(t, margin)
        slopes = derivative(t, m)
        assert all(jnp.isfinite(x).all() for x in jax.tree.leaves((f(t, m), slopes)))
        w = f(t, m).loss
        # A few 1e-7 over the least margin that is told from 0, 3e-4.
        assert (w >= 0).all()
        assert (w <= 1 + 1e-4).all()


def test_limits():
    one = jnp.ones(1)
    v, w = draw(2 * one, 0 * one)
    np.testing.assert_allclose([v[0], w[0]], [-2.0, 1.0], rtol=1e-3)  # it was equal after all
    v, w = draw(2 * one, 90 * one)
    np.testing.assert_allclose([v[0], w[0]], [0.0, 0.0], atol=1e-6)  # nothing was learnt
    v, w = win(-1e3 * one, 0 * one)
    np.testing.assert_allclose([v[0], w[0]], [1e3, 1.0], rtol=1e-4)
