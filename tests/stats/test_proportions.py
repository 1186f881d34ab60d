import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from scorax.stats import clopper_pearson_interval, jeffreys_interval, wilson_interval

ORACLE = json.loads((pathlib.Path(__file__).parents[1] / "oracles/judges/correlation_effects.json").read_text())
METHODS = [jax.jit(method) for method in (wilson_interval, clopper_pearson_interval, jeffreys_interval)]
WILSON, EXACT, JEFFREYS = METHODS
NAMES = ["wilson", "exact", "jeffreys"]
SUCCESSES, TRIALS = np.array([0.0, 1, 3, 50, 99, 10]), np.array([10.0, 10, 10, 100, 100, 10])


def test_agrees_with_statsmodels(x64):
    effects = ORACLE["effects"][0]
    counts = (jnp.full(6, effects[name][0], float) for name in ("counts", "n"))
    successes, trials = counts
    np.testing.assert_allclose(np.stack(WILSON(successes, trials))[:, 0], effects["wilson_ci_first"], rtol=1e-12)
    np.testing.assert_allclose(np.stack(EXACT(successes, trials))[:, 0], effects["clopper_pearson_first"], rtol=1e-10)


@pytest.mark.parametrize("name", NAMES[:2])
def test_agrees_with_scipy(dtype, name):
    found = dict(zip(NAMES, METHODS, strict=True))[name](jnp.asarray(SUCCESSES, dtype), jnp.asarray(TRIALS, dtype))
    assert found.lower.dtype == dtype
    rtol = 1e-4 if dtype == jnp.float32 else 1e-9
    for i, (x, n) in enumerate(zip(SUCCESSES.astype(int), TRIALS.astype(int), strict=True)):
        expected = scipy.stats.binomtest(x, n).proportion_ci(method=name)
        ends = [found.lower[i], found.upper[i]]
        np.testing.assert_allclose(ends, [expected.low, expected.high], rtol=rtol, atol=1e-12)


def test_jeffreys_is_a_posterior_closed_at_the_ends(x64):
    found = JEFFREYS(jnp.asarray(SUCCESSES), jnp.asarray(TRIALS))
    lower, upper = scipy.stats.beta.ppf([[0.025], [0.975]], SUCCESSES + 0.5, TRIALS - SUCCESSES + 0.5)
    np.testing.assert_allclose(found.lower, np.where(SUCCESSES > 0, lower, 0), rtol=1e-9)
    np.testing.assert_allclose(found.upper, np.where(SUCCESSES < TRIALS, upper, 1), rtol=1e-9)


@pytest.mark.parametrize("method", METHODS, ids=NAMES)
def test_failures_mirror_successes_and_nothing_says_nothing(x64, method):
    found = method(jnp.asarray(SUCCESSES), jnp.asarray(TRIALS))
    mirror = method(jnp.asarray(TRIALS - SUCCESSES), jnp.asarray(TRIALS))
    np.testing.assert_allclose(found.lower, 1 - mirror.upper, atol=1e-12)
    assert (found.lower[0], found.upper[-1]) == (0, 1)
    # No trials, more successes than trials, fewer than none.
    lower, upper = method(jnp.asarray([0.0, 3, -1, 1, 1, 1]), jnp.asarray([0.0, 2, 2, 2, 2, 2]))
    np.testing.assert_array_equal([lower[0], upper[0]], [0, 1])
    assert jnp.isnan(jnp.stack([lower, upper])[:, 1:3]).all()


def test_wilson_has_a_gradient_at_no_successes(x64):
    slope = jax.jit(jax.grad(lambda x: wilson_interval(x, 10.0).lower + wilson_interval(x, 10.0).upper))
    assert jnp.isfinite(slope(0.0))
    assert jnp.isfinite(slope(10.0))


@pytest.mark.parametrize("method", [wilson_interval, clopper_pearson_interval, jeffreys_interval])
def test_bad_level(method):
    with pytest.raises(ValueError, match="level must be between 0 and 1, not 95"):
        method(1.0, 2.0, level=95.0)
