"""Kendall's tau of checkpoints; p-values are SciPy's, see `tests/oracles/evals/README.md`."""

import itertools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from scorax.evals import curve_stability, instruct_consistency
from tests.evals.conftest import oracle

stability = jax.jit(curve_stability, static_argnames=("level", "n_resamples"))
consistency = jax.jit(instruct_consistency, static_argnames=("level", "n_resamples"))


def test_tau_and_p_value_are_scipys(dtype):
    numbers = oracle("classical_stats")["rank_correlation"]
    found = consistency(jnp.asarray(numbers["x"], dtype), jnp.asarray(numbers["y"], dtype))
    eps = float(jnp.finfo(dtype).eps)
    chex.assert_trees_all_close(float(found.tau), numbers["kendall_b"], rtol=4 * eps)
    # The table of probabilities is made in double precision.
    chex.assert_trees_all_close(float(found.p_value), numbers["kendall_b_p"], rtol=max(1e-11, 4 * eps))
    tied = consistency(jnp.asarray(numbers["x_tied"], dtype), jnp.asarray(numbers["y_tied"], dtype))
    expected = stats.kendalltau(numbers["x_tied"], numbers["y_tied"], method="asymptotic")
    chex.assert_trees_all_close(float(tied.tau), numbers["kendall_b_tied"], rtol=4 * eps)
    # z is about 4: a rounding of it moves the tail 16 times as much.
    chex.assert_trees_all_close(float(tied.p_value), expected.pvalue, rtol=200 * eps)


def test_exact_p_values_are_shares_of_all_orders(x64):
    step = np.arange(5)
    taus = np.array([stats.kendalltau(step, order).statistic for order in itertools.permutations(range(5))])
    for order in ([0, 1, 2, 3, 4], [1, 0, 2, 4, 3], [2, 1, 0, 3, 4], [4, 3, 2, 0, 1]):
        found = stability(jnp.asarray(order, float))
        assert float(found.p_value) == pytest.approx((np.abs(taus) >= abs(float(found.tau)) - 1e-9).mean(), rel=1e-12)


def test_long_curves_use_the_normal_distribution_and_agree(x64):
    random = np.random.default_rng(0)
    for n in (50, 60):
        values = np.arange(n) * 0.02 + random.normal(size=n)
        found = stability(jnp.asarray(values))
        expected = stats.kendalltau(np.arange(n), values, method="exact" if n <= 50 else "asymptotic")
        assert float(found.p_value) == pytest.approx(expected.pvalue, rel=1e-9)


def test_monotone_curves(dtype):
    score = jnp.asarray([0.1, 0.2, 0.35, 0.5, 0.8, 0.9], dtype)
    found = stability(jnp.stack([score, -score, jnp.full(6, 0.3, dtype)]))
    chex.assert_trees_all_close(found.tau, jnp.asarray([1, -1, jnp.nan], dtype), rtol=4 * float(jnp.finfo(dtype).eps))
    chex.assert_trees_all_equal(found.local_inversions, jnp.array([0, 5, 0]))
    chex.assert_trees_all_close(found.largest_drop, jnp.asarray([0, 0.8, 0], dtype), rtol=1e-6)
    # Of 720 orders, two are this monotone.
    chex.assert_trees_all_close(found.p_value[:2], jnp.full(2, 2 / 720, dtype), rtol=8 * float(jnp.finfo(dtype).eps))
    assert jnp.isnan(found.p_value[2])
    # No interval where Fisher's transform has none.
    assert jnp.isnan(jnp.asarray(found.interval)).all()


def test_drops_are_of_neighbours_that_take_part():
    score = jnp.array([0.2, 0.5, 0.9, 0.4, jnp.nan, 0.45])
    where = jnp.array([True, True, False, True, False, True])
    found = stability(score, where=where)
    assert (found.local_inversions, found.n) == (1, 4)
    chex.assert_trees_all_close(found.largest_drop, jnp.asarray(0.1), rtol=1e-5)
    alone = stability(score[where])
    chex.assert_trees_all_close((found.tau, found.p_value), (alone.tau, alone.p_value), rtol=1e-6)
    assert jnp.isnan(stability(score).tau)
    assert jnp.isnan(stability(score).largest_drop)
    nothing = stability(score, where=jnp.zeros(6, bool))
    assert jnp.isnan(jnp.stack([nothing.tau, nothing.p_value, nothing.largest_drop])).all()


def test_pure_noise_has_mean_nought_and_kendalls_variance(x64):
    """4000 curves of noise: their taus have the textbook's variance, and p-values below 0.1 in a tenth of them."""
    steps = 12
    found = stability(jax.random.normal(jax.random.key(0), (4000, steps)))
    variance = 2 * (2 * steps + 5) / (9 * steps * (steps - 1))
    # Four standard errors of a mean and of a variance (close to normal: relative error sqrt(2 / n)).
    assert abs(float(found.tau.mean())) < 4 * np.sqrt(variance / 4000)
    assert float(found.tau.var()) == pytest.approx(variance, rel=4 * np.sqrt(2 / 4000))
    # Exact tests of discrete statistics reject less often than their level, by one value of tau at most: 0.02 here.
    share = float((found.p_value < 0.1).mean())
    assert 0.1 - 0.02 - 0.02 < share < 0.1 + 0.02


def test_more_items_make_curves_more_stable(x64):
    """A logistic learning curve measured with n questions: expected tau rises with n."""
    truth = jax.nn.sigmoid(jnp.linspace(-2, 1, 10))
    taus = []
    for i, n in enumerate((20, 200, 2000)):
        hits = jax.random.binomial(jax.random.key(i), n, jnp.broadcast_to(truth, (200, 10)))
        taus.append(float(stability(hits / n).tau.mean()))
    # Standard errors of 200 taus are below 0.02; these rise by more than 0.1.
    assert taus[0] + 0.05 < taus[1] < taus[2] - 0.02 < 1


def test_bootstrap_is_tau_of_redrawn_rows():
    key = jax.random.key(0)
    score = jnp.asarray([0.1, 0.3, 0.2, 0.25, 0.5, 0.4, 0.6, 0.55])
    found = curve_stability(score, key=key, n_resamples=2000).interval
    random = np.random.default_rng(5)
    taus = []
    for _ in range(2000):
        rows = random.integers(8, size=8)
        taus.append(stats.kendalltau(rows, np.asarray(score)[rows]).statistic)
    # Quantiles of 2000 draws err by 0.02 (from repeats with other seeds); tau moves in steps of about 0.04.
    chex.assert_trees_all_close(np.asarray(found), np.nanquantile(taus, [0.025, 0.975]).astype(np.float32), atol=0.08)
    both = curve_stability(jnp.stack([score, score[::-1]]), key=key, n_resamples=2000).interval
    chex.assert_trees_all_close(both.lower[0], found.lower, atol=1e-6)
    assert both.upper[1] < 0


def test_fieller_interval_and_bad_levels(x64):
    numbers = oracle("classical_stats")["rank_correlation"]
    found = consistency(jnp.asarray(numbers["x"]), jnp.asarray(numbers["y"]), level=0.9)
    expected = np.tanh(np.arctanh(0.5) + np.array([-1, 1]) * stats.norm.ppf(0.95) * np.sqrt(0.437 / 21))
    chex.assert_trees_all_close(np.asarray(found.interval), expected, rtol=1e-9)
    with pytest.raises(ValueError, match="level must be between 0 and 1"):
        curve_stability(jnp.arange(5.0), level=1.0)


def test_consistency_is_symmetric_and_batches(dtype):
    base, instruct = jax.random.normal(jax.random.key(1), (2, 3, 9), dtype).round(1)
    found, other = consistency(base, instruct), consistency(instruct, base)
    eps = float(jnp.finfo(dtype).eps)
    chex.assert_trees_all_close(found, other, rtol=64 * eps)
    each = [consistency(x, y) for x, y in zip(base, instruct, strict=True)]
    chex.assert_trees_all_close(found, jax.tree.map(lambda *v: jnp.stack(v), *each), rtol=64 * eps)
