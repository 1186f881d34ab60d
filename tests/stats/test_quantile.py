import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.stats import weighted_quantile

quantile = jax.jit(weighted_quantile)


@pytest.mark.parametrize("q", [0.0, 0.1, 0.25, 0.5, 0.9, 1.0])
def test_integer_weights_are_repetitions(dtype, q):
    generator = np.random.default_rng(0)
    x, times = generator.normal(size=9), generator.integers(0, 4, 9)
    repeated = np.quantile(np.repeat(x, times), q, method="inverted_cdf")
    value = quantile(jnp.asarray(x, dtype), q, weight=jnp.asarray(times, dtype))
    chex.assert_trees_all_equal(value, jnp.asarray(repeated, dtype))


def test_equal_weights_are_the_plain_quantile(dtype):
    x = jax.random.normal(jax.random.key(0), (3, 10), dtype)
    for q in (0.1, 0.3, 0.7):
        expected = np.quantile(np.asarray(x), q, axis=1, method="inverted_cdf")
        chex.assert_trees_all_equal(quantile(x, q), jnp.asarray(expected))
        # A third of ten weights of 0.1 sums to a rounded number: the same value must come out.
        chex.assert_trees_all_equal(quantile(x, q, weight=jnp.full_like(x, 0.1)), jnp.asarray(expected))


def test_the_scale_of_the_weights_does_not_matter(dtype):
    x, weight = jax.random.uniform(jax.random.key(1), (2, 10), dtype)
    chex.assert_trees_all_equal(quantile(x, 0.4, weight=weight), quantile(x, 0.4, weight=1024 * weight))


def test_values_without_weight_take_no_part(dtype):
    x = jnp.asarray([5.0, jnp.nan, 7.0, -1e30], dtype)
    weight = jnp.asarray([1.0, 0.0, 1.0, 0.0], dtype)
    assert quantile(x, 0.0, weight=weight) == 5
    assert quantile(x, 1.0, weight=weight) == 7


def test_nothing_or_nan_is_nan(dtype):
    assert jnp.isnan(quantile(jnp.ones(3, dtype), 0.5, weight=jnp.zeros(3, dtype)))
    assert jnp.isnan(quantile(jnp.asarray([1.0, jnp.nan], dtype), 0.1))
