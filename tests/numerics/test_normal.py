import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special as sp

from scorax.numerics import inverse_mills, log_ndtr, mills_excess

POINTS = [-1e4, -400.0, -60.0, -10.0, -5.001, -4.999, -1.0, 0.0, 3.0, 9.0]


def exact_ratio(x):
    """By the scaled complementary error function."""
    return np.sqrt(2 / np.pi) / sp.erfcx(-np.asarray(x) / np.sqrt(2))


def test_first_derivative_is_the_inverse_mills_ratio(dtype):
    x = jnp.asarray(POINTS, dtype)
    slope = jax.jit(jax.vmap(jax.grad(log_ndtr)))(x)
    # Rounding of the argument moves the right tail by x^2 units in the last place.
    np.testing.assert_allclose(slope, exact_ratio(POINTS), rtol=100 * jnp.finfo(dtype).eps)


def test_second_derivative_keeps_its_digits_in_both_tails(dtype):
    x = jnp.asarray(POINTS, dtype)
    bend = jax.jit(jax.vmap(jax.grad(jax.grad(log_ndtr))))(x)
    left = np.asarray(POINTS) < -30
    # 1 - 1/x^2 + ... on the left, where the error of leaving out the next term is 6/x^4.
    rounding = 2e-5 if dtype == "float32" else 0.0
    np.testing.assert_allclose(bend[left], -1 + 1 / np.asarray(POINTS)[left] ** 2, atol=rounding + 6e-6)
    ratio = exact_ratio(POINTS)
    rest = ~left & (np.asarray(POINTS) > -6)
    np.testing.assert_allclose(
        bend[rest], (-ratio * (POINTS + ratio))[rest], rtol=500 * jnp.finfo(dtype).eps, atol=jnp.finfo(dtype).eps
    )


def test_excess_is_continuous_where_its_forms_meet(x64):
    below, above = (mills_excess(jnp.asarray(-5.0 + step)) for step in (-1e-9, 1e-9))
    # The slope there is -0.03, so the two points differ by less than 1e-10; the rest is rounding.
    chex.assert_trees_all_close(below, above, rtol=1e-9)


@pytest.mark.parametrize("function", [log_ndtr, inverse_mills, mills_excess])
def test_third_derivatives_are_finite(function, dtype):
    x = jnp.asarray([-1e6, -5.0, 0.0, 40.0], dtype)
    for _ in range(3):
        function = jax.grad(function)
        assert jnp.isfinite(jax.vmap(function)(x)).all()
