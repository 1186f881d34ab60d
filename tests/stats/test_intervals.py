import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats as scipy_stats

from scorax.stats import basic_interval, bca_interval, jackknife_acceleration, percentile_interval

bca = jax.jit(bca_interval, static_argnames="level")
accelerate = jax.jit(jackknife_acceleration)


@pytest.fixture(scope="module")
def sample():
    return np.random.default_rng(0).exponential(size=40)


@pytest.fixture(scope="module")
def draws(sample):
    generator = np.random.default_rng(1)
    return np.stack([generator.choice(sample, sample.size).mean() for _ in range(999)])


def jackknife(sample):
    return np.array([np.delete(sample, i).mean() for i in range(sample.size)])


def scipys(sample, draws, method):
    kept = scipy_stats._resampling.BootstrapResult(None, draws, None)
    found = scipy_stats.bootstrap(
        (sample,), np.mean, n_resamples=0, bootstrap_result=kept, method=method, confidence_level=0.9
    )
    return found.confidence_interval


@pytest.mark.parametrize("method", ["percentile", "basic", "BCa"])
def test_agrees_with_scipy_on_the_same_draws(sample, draws, method, x64):
    estimate = jnp.asarray(sample.mean())
    values = jnp.asarray(draws)
    acceleration = accelerate(jnp.asarray(sample.mean() - jackknife(sample)))
    found = {
        "percentile": lambda: percentile_interval(values, level=0.9),
        "basic": lambda: basic_interval(values, estimate, level=0.9),
        "BCa": lambda: bca(values, estimate, acceleration, level=0.9),
    }[method]()
    np.testing.assert_allclose(found, scipys(sample, draws, method), rtol=1e-12)


def test_bca_without_bias_and_acceleration_is_the_percentile_interval(dtype):
    draws = jnp.asarray(np.random.default_rng(2).normal(size=(501, 3)), dtype)
    middle = jnp.median(draws, axis=0)
    plain = percentile_interval(draws, level=0.8)
    corrected = bca(draws, middle, jnp.zeros(3, dtype), level=0.8)
    # Quantiles between draws that lie 0.01 apart, at places known to rounding.
    np.testing.assert_allclose(corrected, plain, atol=1e4 * float(jnp.finfo(dtype).eps))


def test_bca_carries_over_to_increasing_functions(draws, sample, x64):
    estimate, acceleration = jnp.asarray(sample.mean()), jnp.asarray(0.05)
    plain = bca(jnp.asarray(draws), estimate, acceleration)
    logs = bca(jnp.log(jnp.asarray(draws)), jnp.log(estimate), acceleration)
    # Up to interpolation between two neighbouring draws.
    np.testing.assert_allclose(jnp.exp(jnp.stack(logs)), jnp.stack(plain), rtol=1e-3)


def test_columns_are_independent(draws, x64):
    two = jnp.stack([jnp.asarray(draws), 3 - 2 * jnp.asarray(draws)], axis=1)
    estimate, acceleration = jnp.array([0.9, 1.2]), jnp.array([0.03, -0.03])
    both = bca(two, estimate, acceleration)
    for j in range(2):
        one = bca(two[:, j], estimate[j], acceleration[j])
        np.testing.assert_allclose([end[j] for end in both], one, rtol=1e-12)
    # Turned around, an interval turns around.
    np.testing.assert_allclose(both.lower[1], 3 - 2 * both.upper[0], rtol=1e-10)


def test_acceleration_of_counted_rows_is_that_of_rows_repeated(x64):
    influence, count = np.array([0.3, -1.2, 0.5, 9.0]), np.array([3, 1, 2, 0])
    repeated = accelerate(jnp.asarray(np.repeat(influence, count)))
    counted = accelerate(jnp.asarray(influence), count=jnp.asarray(count, float))
    np.testing.assert_allclose(counted, repeated, rtol=1e-12)


def test_acceleration_does_not_underflow():
    tiny = accelerate(jnp.asarray([-1e-20, -1e-20, 2e-20], jnp.float32))
    np.testing.assert_allclose(tiny, 1 / 6**1.5, rtol=1e-5)


def test_what_has_no_meaning_is_nan(draws, x64):
    values = jnp.asarray(draws)
    assert jnp.isnan(accelerate(jnp.ones(5)))
    assert jnp.isnan(jnp.stack(bca(values, values.max() + 1, jnp.asarray(0.0)))).all()
    # 1 - a (z0 + z) is negative for the upper end only.
    lower, upper = bca(values, jnp.median(values), jnp.asarray(0.7))
    assert jnp.isfinite(lower)
    assert jnp.isnan(upper)


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_a_level_outside_of_zero_and_one_is_refused(draws, level):
    values = jnp.asarray(draws, jnp.float32)
    for interval in (percentile_interval, lambda d, level: bca_interval(d, d[0], d[0], level=level)):
        with pytest.raises(ValueError, match="level must be between 0 and 1"):
            interval(values, level=level)
