import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from scorax.numerics import beta_quantile, f_quantile, f_tail, t_quantile

_random = np.random.default_rng(0)
FIRST, SECOND = np.exp(_random.uniform(-1, 5, (2, 24)))
SHARE = np.concatenate([[1e-4, 0.025, 0.5, 0.975, 0.9999], _random.uniform(size=19)])
# The incomplete beta function itself: log-gammas of some hundred, rounded, then divided by a slope below one.
TOLERANCE = {"float32": 2e-3, "float64": 1e-11}


@pytest.mark.parametrize(
    ("quantile", "reference"),
    [(beta_quantile, scipy.stats.beta.ppf), (f_quantile, scipy.stats.f.ppf)],
    ids=["beta", "F"],
)
def test_agrees_with_scipy(dtype, quantile, reference):
    found = jax.jit(quantile)(*(jnp.asarray(x, dtype) for x in (SHARE, FIRST, SECOND)))
    assert found.dtype == dtype
    np.testing.assert_allclose(found, reference(SHARE, FIRST, SECOND), rtol=TOLERANCE[dtype.name])


def test_students_t_agrees_with_scipy_and_is_odd(x64):
    share, degrees = jnp.asarray(SHARE), jnp.asarray(FIRST)
    found = jax.jit(t_quantile)(share, degrees)
    np.testing.assert_allclose(found, scipy.stats.t.ppf(SHARE, FIRST), rtol=1e-11, atol=1e-12)
    exact = jnp.linspace(0, 1, 17)[4:13]
    chex.assert_trees_all_equal(t_quantile(exact, 3.5), -t_quantile(1 - exact, 3.5))
    assert t_quantile(exact, 3.5)[4] == 0


def test_the_tail_of_f_agrees_with_scipy(dtype):
    statistic = np.array([0.0, 0.5, 3.0, 1e8])
    found = jax.jit(f_tail)(jnp.asarray(statistic, dtype), 5.0, 7.0)
    rtol = 2e-5 if dtype == jnp.float32 else 1e-12
    np.testing.assert_allclose(found, scipy.stats.f.sf(statistic, 5, 7), rtol=rtol)
    assert f_tail(jnp.asarray(jnp.inf, dtype), 5.0, 7.0) == 0


def test_ends_and_what_has_no_quantile(dtype):
    share = jnp.asarray([0.0, 1.0, -0.1, 1.1, jnp.nan], dtype)
    beta, t = beta_quantile(share, 2.0, 3.0), t_quantile(share, 3.0)
    np.testing.assert_array_equal(beta, [0, 1, np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(t, [-np.inf, np.inf, np.nan, np.nan, np.nan])
    assert jnp.isnan(f_quantile(jnp.asarray(0.5, dtype), 0.0, 2.0))


def test_both_ends_of_the_unit_interval_keep_their_digits(x64):
    # I_x(a, 1) = x^a, and the mirror image.
    small = beta_quantile(jnp.asarray(1e-3), 0.01, 1.0)
    np.testing.assert_allclose(small, 1e-300, rtol=1e-9)
    odds = f_quantile(jnp.asarray(1e-3), 2.0, 0.02) / f_quantile(jnp.asarray(1 - 1e-3), 0.02, 2.0)
    np.testing.assert_allclose(odds * f_quantile(jnp.asarray(1 - 1e-3), 0.02, 2.0), scipy.stats.f.ppf(1e-3, 2, 0.02))


def test_derivative_is_one_over_the_density_and_none_is_made_up(x64):
    share = jnp.asarray([0.2, 0.9])
    slope = jax.vmap(jax.grad(lambda q: f_quantile(q, 5.0, 7.0)))(share)
    np.testing.assert_allclose(slope, 1 / scipy.stats.f.pdf(scipy.stats.f.ppf(share, 5, 7), 5, 7), rtol=1e-9)
    with pytest.raises(ValueError, match="no derivative with respect to degrees of freedom"):
        jax.grad(lambda degrees: f_quantile(0.9, degrees, 7.0))(5.0)
