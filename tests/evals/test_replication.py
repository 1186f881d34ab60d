import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from scorax.evals import EffectSize, effect_size, replication_report

report = jax.jit(replication_report, static_argnames=("level", "power"))


def effects(value, variance, dtype=float):
    value, variance = (jnp.asarray(v, dtype) for v in (value, variance))
    return EffectSize(value, variance, value, value, ~(variance > 0))


def test_three_of_eight_replicate():
    """A table like that of the eight studies that could be analysed, with two that could not."""
    original = effect_size("d", **groups(np.full(10, 0.5), 50))
    replication = effect_size("d", **groups(np.array([0.4, 0.6, 0.3, 0.02, -0.01, 0.1, -0.4, 0.0, 0.3, 0.3]), 200))
    broken = jnp.arange(10) >= 8
    replication = dataclasses.replace(replication, variance=jnp.where(broken, jnp.nan, replication.variance))
    found = report(original, replication)
    chex.assert_trees_all_equal(found.analysable, ~broken)
    chex.assert_trees_all_equal(found.replicated, jnp.arange(10) < 3)
    # The seventh is significant, but the other way round.
    assert found.significant[6]
    assert not found.same_sign[6]
    assert found.success_rate == 3 / 8
    for verdict in (found.same_sign, found.significant, found.original_in_interval, found.informatively_small):
        assert not verdict[8:].any()
    for number in (
        found.p_value,
        found.z_difference,
        found.log_bayes_factor,
        found.p_small,
        *found.prediction_interval,
    ):
        chex.assert_trees_all_equal(jnp.isnan(number), broken)


def groups(d, n):
    ones = jnp.ones(d.shape)
    return {"mean_1": jnp.asarray(d), "std_1": ones, "n_1": n, "mean_2": 0 * ones, "std_2": ones, "n_2": n}


def test_numbers_are_scipys(x64):
    old, new, old_noise, new_noise = 0.5, 0.2, 0.04, 0.01
    found = report(effects(old, old_noise), effects(new, new_noise), level=0.9)
    apart = (new - old) / np.sqrt(0.05)
    reach = stats.norm.ppf(0.95) * np.sqrt(0.05)
    log_bayes = stats.norm.logpdf(new, old, np.sqrt(0.05)) - stats.norm.logpdf(new, 0, 0.1)
    expected = {
        "p_value": 2 * stats.norm.sf(2.0),
        "z_difference": apart,
        "p_difference": 2 * stats.norm.sf(abs(apart)),
        "log_bayes_factor": log_bayes,
    }
    for name, value in expected.items():
        assert float(getattr(found, name)) == pytest.approx(value, rel=1e-10), name
    chex.assert_trees_all_close(np.asarray(found.prediction_interval), np.array([old - reach, old + reach]), rtol=1e-10)
    # 0.2 has a distance of 1.34 from what was expected, and the original lies outside 0.2 +- 0.16.
    assert (found.in_prediction_interval, found.original_in_interval) == (True, False)


def test_the_small_effect_has_a_power_of_a_third(x64):
    found = report(effects(0.5, 0.04), effects(0.2, 0.01))
    z = float(found.small_effect) / 0.2
    quantile = stats.norm.ppf(0.975)
    assert stats.norm.sf(quantile - z) + stats.norm.cdf(-quantile - z) == pytest.approx(1 / 3, rel=1e-9)
    assert float(found.p_small) == pytest.approx(stats.norm.cdf((0.2 - 0.2 * z) / 0.1), rel=1e-9)
    assert not found.informatively_small
    assert report(effects(0.5, 0.04), effects(0.05, 0.01)).informatively_small
    # Simonsohn's example: an original of n cells needs 2.5 n for 80% power to see a replication of no effect as small.
    effect_of_none = stats.norm.cdf(-stats.norm.ppf(0.95) + z * np.sqrt(2.5))
    assert effect_of_none == pytest.approx(0.78, abs=0.03)


def test_turning_both_signs_changes_no_verdict(dtype):
    values, noises = jax.random.normal(jax.random.key(0), (2, 20), dtype), jnp.full((2, 20), 0.2, dtype)
    one = report(effects(values[0], noises[0], dtype), effects(values[1], noises[1], dtype))
    other = report(effects(-values[0], noises[0], dtype), effects(-values[1], noises[1], dtype))
    for name in ("replicated", "original_in_interval", "in_prediction_interval", "informatively_small"):
        chex.assert_trees_all_equal(getattr(one, name), getattr(other, name))
    eps = float(jnp.finfo(dtype).eps)
    for name in ("p_value", "p_small", "log_bayes_factor"):
        chex.assert_trees_all_close(getattr(one, name), getattr(other, name), rtol=32 * eps, atol=32 * eps)


def test_prediction_intervals_hold_and_differences_are_uniform(x64):
    """4000 pairs of studies of one effect: errors of four standard errors are 0.02."""
    random = np.random.default_rng(0)
    noise = random.uniform(0.01, 0.2, (2, 4000))
    values = 0.3 + random.normal(size=(2, 4000)) * np.sqrt(noise)
    found = report(effects(values[0], noise[0]), effects(values[1], noise[1]), level=0.9)
    assert float(found.in_prediction_interval.mean()) == pytest.approx(0.9, abs=0.02)
    for level in (0.1, 0.5):
        assert float((found.p_difference < level).mean()) == pytest.approx(level, abs=0.035)


def test_gradient_and_vmap(x64):
    old, new = effects([0.5, 0.0], [0.04, 0.0]), effects([0.2, 0.1], [0.01, 0.02])

    @jax.jit
    def total(value, variance):
        changed = dataclasses.replace(old, value=value, variance=variance)
        found = replication_report(changed, new)
        return jnp.nansum(found.log_bayes_factor + found.p_small + found.p_difference)

    slopes = jax.jit(jax.grad(total, argnums=(0, 1)))(old.value, old.variance)
    chex.assert_tree_all_finite(slopes)
    step = jnp.array([1e-6, 0.0])
    ahead, behind = (total(old.value + side * step, old.variance) for side in (1, -1))
    chex.assert_trees_all_close(slopes[0][0], (ahead - behind) / 2e-6, rtol=1e-6)
    chex.assert_trees_all_close(jax.vmap(replication_report)(old, new), report(old, new), rtol=1e-12)


def test_bad_input():
    one, two = effects([0.1], [0.1]), effects([0.1, 0.2], [0.1, 0.1])
    with pytest.raises(ValueError, match=r"effects differ in shape: \(1,\) and \(2,\)"):
        replication_report(one, two)
    with pytest.raises(ValueError, match=r"power must be between 0\.05, that without an effect, and 1, not 0\.01"):
        replication_report(one, one, power=0.01)
    with pytest.raises(ValueError, match="level must be between 0 and 1"):
        replication_report(one, one, level=0.0)
    nothing = report(effects([0.1], [0.0]), one)
    assert jnp.isnan(nothing.success_rate)
