import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.stats import total_variation_distance

distance = jax.jit(total_variation_distance, static_argnames="smooth")


def shares(dtype, seed=0, shape=(5, 4)):
    return jnp.asarray(np.random.default_rng(seed).dirichlet(np.ones(shape[-1]), shape[:-1]), dtype)


def test_is_the_most_that_an_event_can_differ_by(dtype):
    p, q = shares(dtype), shares(dtype, 1)
    events = np.array([[(i >> k) & 1 for k in range(4)] for i in range(16)], float)
    expected = np.abs((np.asarray(p, float) - np.asarray(q, float)) @ events.T).max(-1)
    # Shares of the input sum to one to a rounding; so do ours.
    chex.assert_trees_all_close(np.asarray(distance(p, q), float), expected, atol=8 * float(jnp.finfo(dtype).eps))


def test_is_a_metric_of_normalised_counts(dtype):
    p, q, r = (shares(dtype, seed) for seed in range(3))
    close = 8 * float(jnp.finfo(dtype).eps)
    chex.assert_trees_all_equal(distance(p, q), distance(q, p))
    chex.assert_trees_all_equal(distance(p, p), jnp.zeros(5, dtype))
    chex.assert_trees_all_close(distance(40 * p, q), distance(p, q), atol=close)
    assert (distance(p, r) <= distance(p, q) + distance(q, r) + close).all()
    apart = jnp.asarray([[1.0, 0.0, 0.0, 0.0]] * 5, dtype), jnp.asarray([[0.0, 0.0, 3.0, 0.0]] * 5, dtype)
    chex.assert_trees_all_equal(distance(*apart), jnp.ones(5, dtype))


def test_absent_options_add_nothing_to_value_or_gradient(dtype):
    p, q = shares(dtype), shares(dtype, 1)
    where = jnp.arange(4) < 3
    both = jax.jit(jax.value_and_grad(lambda x, y, w: distance(x, y, where=w).sum()))
    junk = p.at[:, 3].set(jnp.nan)
    value, slope = both(junk, q, jnp.broadcast_to(where, (5, 4)))
    plain, plain_slope = jax.value_and_grad(lambda x: distance(x, q[:, :3]).sum())(p[:, :3])
    chex.assert_trees_all_close(value, plain, rtol=4 * float(jnp.finfo(dtype).eps))
    assert (slope[:, 3] == 0).all()
    chex.assert_trees_all_close(slope[:, :3], plain_slope, atol=8 * float(jnp.finfo(dtype).eps))


@pytest.mark.parametrize("smooth", [0.0, 0.1])
def test_gradients_are_those_of_differences_and_zero_at_equality(x64, smooth):
    p, q, change = shares(jnp.float64), shares(jnp.float64, 1), shares(jnp.float64, 2)

    def along(step):
        return distance(p + step * change, q, smooth=smooth).sum()

    # Central differences err by the square of the step; no |x| of these changes sign.
    exact = jax.grad(along)(0.0)
    chex.assert_trees_all_close(exact, (along(1e-5) - along(-1e-5)) / 2e-5, rtol=1e-8)
    assert (jax.grad(lambda x: distance(x, p, smooth=smooth).sum())(p) == 0).all()


def test_smooth_is_below_and_close(dtype):
    p, q = shares(dtype), shares(dtype, 1)
    plain, smooth = distance(p, q), distance(p, q, smooth=0.01)
    assert (smooth < plain).all()
    assert (plain - smooth <= 4 * 0.01 / 2).all()
    assert (distance(p, p, smooth=0.01) == 0).all()


def test_leading_axes_broadcast_and_vmap_is_a_loop(dtype):
    p, q = shares(dtype), shares(dtype, 1, (3, 1, 4))
    found = distance(p, q)
    assert found.shape == (3, 5)
    chex.assert_trees_all_equal(found, jax.vmap(lambda row: distance(p, row))(q))


def test_what_is_no_distribution_is_nan():
    good = jnp.array([0.5, 0.5])
    for bad in ([0.0, 0.0], [1.5, -0.5], [jnp.nan, 1.0]):
        value, slope = jax.value_and_grad(distance)(good, jnp.asarray(bad))
        assert jnp.isnan(value)
        assert jnp.isfinite(slope).all()
    with pytest.raises(ValueError, match="smooth must be at least 0"):
        total_variation_distance(good, good, smooth=-1.0)
