"""Classical tests, against SciPy and the numbers in `tests/oracles/evals`."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from scorax.evals import (
    chi_squared_test,
    fisher_exact_test,
    one_sample_t_test,
    one_way_f_test,
    paired_t_test,
    two_proportion_z_test,
    welch_t_test,
)
from tests.evals.conftest import oracle

welch = jax.jit(welch_t_test)
one_sample = jax.jit(one_sample_t_test)
paired = jax.jit(paired_t_test)
proportions = jax.jit(two_proportion_z_test)
chi = jax.jit(chi_squared_test, static_argnames="correction")
fisher = jax.jit(fisher_exact_test, static_argnames="size")
anova = jax.jit(one_way_f_test, static_argnums=2)


@pytest.fixture
def effects():
    return oracle("effect_sizes")[0]


def close_to(found, statistic, p_value, dtype):
    """Statistics to a few roundings; a tail moves by as much as its logarithm's slope, below 20 here, times that."""
    eps = float(jnp.finfo(dtype).eps)
    assert found.statistic.dtype == dtype
    chex.assert_trees_all_close(float(found.statistic), statistic, rtol=max(1e-10, 64 * eps))
    chex.assert_trees_all_close(float(found.p_value), p_value, rtol=max(1e-9, 1000 * eps))


def test_means(dtype, effects):
    close_to(welch(*(jnp.asarray(effects[side], dtype) for side in "ab")), *effects["welch_t"], dtype)
    numbers = oracle("classical_stats")["paired_t"]
    x, y = (jnp.asarray(numbers[side], dtype) for side in "xy")
    close_to(paired(x, y), numbers["t"], numbers["p"], dtype)
    expected = stats.ttest_1samp(np.asarray(x, float), 0.3)
    close_to(jax.jit(lambda v: one_sample_t_test(v, null=0.3))(x), expected.statistic, expected.pvalue, dtype)


def test_proportions_and_tables(dtype, effects):
    x, n = effects["counts"], effects["n"]
    found = proportions(*(jnp.asarray(v, dtype) for v in (x[0], n[0], x[1], n[1])))
    close_to(found, *effects["z_test"], dtype)
    table = jnp.asarray([[x[0], n[0] - x[0]], [x[1], n[1] - x[1]]], dtype)
    close_to(chi(table), *effects["chi2_nocorr"], dtype)
    chex.assert_trees_all_close(chi(table).statistic, found.statistic**2, rtol=1e-5)
    expected = stats.chi2_contingency(np.asarray(table), correction=True)
    close_to(chi(table, correction=True), expected.statistic, expected.pvalue, dtype)
    close_to(fisher(table, size=102), *effects["fisher"], dtype)
    case = oracle("classical_stats")["chi2"]
    close_to(chi(jnp.asarray(case["table"], dtype)), case["chi2"], case["p"], dtype)


def test_fishers_test_of_many_tables(x64):
    random = np.random.default_rng(0)
    tables = random.integers(0, 12, (60, 2, 2))
    # Tables that are equally likely, which rounding must not tell apart; and empty margins.
    tables[:4] = [[[3, 3], [3, 3]], [[5, 1], [1, 5]], [[0, 0], [3, 2]], [[4, 0], [0, 4]]]
    found = fisher(jnp.asarray(tables), size=24)
    for i, table in enumerate(tables):
        odds, p = stats.fisher_exact(table)
        assert float(found.p_value[i]) == pytest.approx(p, rel=1e-10), table
        if not np.isnan(odds):
            assert float(found.statistic[i]) == pytest.approx(odds, rel=1e-12)
    mapped = jax.jit(jax.vmap(lambda t: fisher_exact_test(t, size=24)))(jnp.asarray(tables))
    chex.assert_trees_all_close(mapped, found, rtol=1e-12)
    large = np.array([[1200, 900], [1100, 1000]])
    # Its size is found from the table.
    assert float(fisher_exact_test(jnp.asarray(large)).p_value) == pytest.approx(stats.fisher_exact(large)[1], rel=1e-8)


def test_fishers_test_in_single_precision():
    random = np.random.default_rng(1)
    tables = random.integers(0, 30, (40, 2, 2))
    found = fisher(jnp.asarray(tables), size=60)
    expected = np.array([stats.fisher_exact(table)[1] for table in tables])
    # Logarithms of factorials of a hundred have an absolute rounding of 4e-5.
    chex.assert_trees_all_close(np.asarray(found.p_value, float), expected, rtol=5e-4)


def test_fishers_test_out_of_range():
    tables = jnp.array([[[3, 4], [5, 6]], [[-1, 4], [5, 6]]])
    found = fisher(tables, size=8)
    chex.assert_trees_all_equal(jnp.isnan(found.p_value), jnp.array([False, True]))
    assert jnp.isnan(fisher(tables, size=3).p_value).all()
    assert jnp.isnan(fisher_exact_test(jnp.array([[1.5, 2.0], [3.0, 4.0]])).p_value)
    with pytest.raises(ValueError, match="under jit, fisher_exact_test needs `size`"):
        fisher(tables)


def test_analysis_of_variance(dtype):
    random = np.random.default_rng(2)
    value, group = random.normal(size=24) + 100, random.integers(0, 3, 24)
    value += group * 0.7
    # The values are those that the width can hold, so that a mean of 100 loses nothing.
    held = jnp.asarray(value, dtype)
    found = anova(held, jnp.asarray(group), 4)
    expected = stats.f_oneway(*(np.asarray(held, float)[group == g] for g in range(3)))
    # Distances of 1 from a mean of 100 have lost two digits.
    rtol = 1e-9 if dtype == jnp.float64 else 1e-3
    chex.assert_trees_all_close(float(found.statistic), expected.statistic, rtol=rtol)
    chex.assert_trees_all_close(float(found.p_value), expected.pvalue, rtol=5 * rtol)
    assert found.degrees == 21
    two = stats.ttest_ind(np.asarray(held, float)[group == 0], np.asarray(held, float)[group == 1])
    pair = anova(held, jnp.asarray(group), 4, where=jnp.asarray(group < 2))
    chex.assert_trees_all_close(float(pair.statistic), two.statistic**2, rtol=rtol)


def test_masks_batches_and_gradients(x64):
    random = np.random.default_rng(3)
    x, y = (jnp.asarray(random.normal(size=(3, 8))) for _ in range(2))
    where = jnp.asarray(np.arange(8) < np.array([[8], [5], [6]]))
    junk = jnp.where(where, x, jnp.nan)
    group = jnp.asarray(np.arange(8) % 3)
    everything = {
        "welch": lambda a, b, w: welch_t_test(a, b, where_x=w),
        "paired": lambda a, b, w: paired_t_test(a, b, where=w),
        "anova": lambda a, b, w: one_way_f_test(a, group, 3, where=w),
    }
    for test in everything.values():
        whole = jax.jit(test)(junk, y, where)
        chex.assert_trees_all_close(whole, jax.vmap(test)(junk, y, where), rtol=1e-12)
        slope = jax.jit(jax.grad(lambda a, f=test: f(a, y, where).statistic.sum()))(junk)
        assert (jnp.where(where, 0, slope) == 0).all()
        assert jnp.isfinite(slope).all()
    alone = welch(x[1, :5], y[1])
    chex.assert_trees_all_close(jax.tree.map(lambda v: v[1], welch(junk, y, where_x=where)), alone, rtol=1e-10)
    assert jnp.isfinite(jax.jit(jax.grad(lambda a: welch_t_test(a, y[0]).p_value))(x[0])).all()


def test_nothing_varies():
    same = jnp.full(4, 0.1)
    none = jnp.zeros(4, bool)
    found = [
        welch(same, same),
        one_sample(same),
        one_sample(jnp.arange(4.0), where=none.at[0].set(True)),
        anova(same, jnp.array([0, 0, 1, 1]), 2),
        anova(jnp.arange(4.0), jnp.array([0, 0, 0, 0]), 2),
        proportions(5, 5, 7, 7),
        proportions(0, 0, 7, 9),
        chi(jnp.array([[0.0, 0.0], [3.0, 2.0]])),
    ]
    for test in found:
        assert jnp.isnan(test.statistic)
        assert jnp.isnan(test.p_value)


def test_bad_input():
    with pytest.raises(ValueError, match="needs two rows and columns at least"):
        chi_squared_test(jnp.ones((1, 4)))
    with pytest.raises(ValueError, match="Yates' correction is for two rows and columns"):
        chi_squared_test(jnp.ones((2, 3)), correction=True)
    with pytest.raises(ValueError, match="n_groups must be at least 2"):
        one_way_f_test(jnp.ones(3), jnp.array([0, 0, 0]), 1)
    with pytest.raises(ValueError, match="group must be from 0 to 1; it is from 0 to 2"):
        one_way_f_test(jnp.ones(3), jnp.array([0, 1, 2]), 2)
