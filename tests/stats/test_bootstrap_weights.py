import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.stats import bayesian_bootstrap_weights, multinomial_weights

BOTH = pytest.mark.parametrize("method", [multinomial_weights, bayesian_bootstrap_weights])
# Counts small and large, so that both ways to draw a multinomial are taken.
COUNTS = pytest.mark.parametrize("counts", [[3.0, 0.0, 1.0, 2.0], [300.0, 0.0, 100.0, 200.0], [0.5, 0.0, 1.0, 2.5]])


@BOTH
@COUNTS
def test_totals_stay_and_empty_rows_stay_empty(dtype, method, counts):
    count = jnp.asarray(counts, dtype)
    drawn = method(jax.random.key(0), count, 50)
    assert drawn.dtype == dtype
    chex.assert_trees_all_close(drawn.sum(1), jnp.full(50, count.sum()), rtol=8 * float(jnp.finfo(dtype).eps))
    assert (drawn[:, 1] == 0).all()
    assert (drawn >= 0).all()


@COUNTS
@BOTH
def test_mean_and_covariance(method, counts):
    # n draws: counts c = n p have covariance n (diag p - p p^T); Dirichlet(c) shares of n the same times n / (n + 1).
    count, resamples = np.array(counts), 20_000
    n = count.sum()
    p = count / n
    drawn = np.asarray(method(jax.random.key(1), jnp.asarray(counts), resamples), np.float64)
    covariance = n * (np.diag(p) - np.outer(p, p)) * (n / (n + 1) if method is bayesian_bootstrap_weights else 1)
    # Five standard errors of a mean, and of a covariance with a kurtosis up to 6.
    assert (abs(drawn.mean(0) - count) <= 5 * np.sqrt(np.diag(covariance) / resamples) + 1e-5 * n).all()
    assert abs(np.cov(drawn.T) - covariance).max() <= 5 * np.sqrt(6 / resamples) * covariance.max()


@BOTH
def test_the_key_decides(method):
    count = jnp.ones((2, 5))
    one, same, other = (method(jax.random.key(seed), count, 3) for seed in (0, 0, 1))
    assert one.shape == (3, 2, 5)
    chex.assert_trees_all_equal(one, same)
    assert (one != other).any()


@BOTH
def test_clusters_are_drawn_as_a_whole(method):
    count = jnp.array([1.0, 2.0, 4.0, 3.0])
    drawn = method(jax.random.key(0), count, 20, cluster=jnp.array([7, 2, 7, 2]))
    times = drawn / count[None, :]
    chex.assert_trees_all_close(times[:, :2], times[:, 2:], rtol=1e-6)
    chex.assert_trees_all_close(times[:, 0] + times[:, 1], jnp.full(20, 2.0), rtol=1e-6)


def test_smooth_weights_lose_no_row():
    assert (bayesian_bootstrap_weights(jax.random.key(0), jnp.ones(30), 200) > 0).all()


@BOTH
@pytest.mark.parametrize("count", [[0.0, 0.0], [1.0, -1.0], [1.0, np.nan]])
def test_nothing_to_redraw(method, count):
    with pytest.raises(ValueError, match="nothing to redraw"):
        method(jax.random.key(0), jnp.array(count), 2)
