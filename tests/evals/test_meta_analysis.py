import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from scorax.evals import meta_analysis

pool = jax.jit(meta_analysis, static_argnames="method")


@pytest.fixture
def studies(dtype):
    random = np.random.default_rng(0)
    return jnp.asarray(random.normal(0.4, 0.5, (2, 6)), dtype), jnp.asarray(random.uniform(0.02, 0.2, (2, 6)), dtype)


def by_definition(effect, variance, random_effects):
    """The textbook's sums, of one set of studies."""
    w = 1 / variance
    fixed = (w * effect).sum() / w.sum()
    q = (w * (effect - fixed) ** 2).sum()
    tau = max(0.0, (q - (effect.size - 1)) / (w.sum() - (w**2).sum() / w.sum()))
    if random_effects:
        w = 1 / (variance + tau)
    return (w * effect).sum() / w.sum(), 1 / w.sum(), q, tau


@pytest.mark.parametrize("method", ["fixed", "dersimonian_laird"])
def test_is_the_textbooks_whole_batched_and_masked(dtype, studies, method):
    effect, variance = studies
    where = jnp.asarray(np.arange(6) < np.array([[6], [4]]))
    found = pool(jnp.where(where, effect, jnp.nan), jnp.where(where, variance, -1), method=method, where=where)
    for row, k in enumerate((6, 4)):
        effects, variances = (np.asarray(v[row, :k], float) for v in studies)
        expected = by_definition(effects, variances, method != "fixed")
        got = [float(v[row]) for v in (found.value, found.variance, found.heterogeneity, found.tau_squared)]
        # Q minus its degrees of freedom cancels by a digit or two.
        chex.assert_trees_all_close(np.array(got), np.array(expected), rtol=500 * float(jnp.finfo(dtype).eps))
        p = stats.chi2.sf(expected[2], k - 1)
        chex.assert_trees_all_close(float(found.heterogeneity_p_value[row]), p, rtol=2000 * float(jnp.finfo(dtype).eps))
        share = max(0, 1 - (k - 1) / expected[2])
        chex.assert_trees_all_close(float(found.i_squared[row]), share, atol=500 * float(jnp.finfo(dtype).eps))
        z = expected[0] / np.sqrt(expected[1])
        chex.assert_trees_all_close(float(found.p_value[row]), 2 * stats.norm.sf(abs(z)), rtol=1e-3)


def test_equal_studies_are_the_mean(x64):
    found = pool(jnp.array([0.2, 0.4, 0.6]), jnp.full(3, 0.3))
    chex.assert_trees_all_close((float(found.value), float(found.variance)), (0.4, 0.1), rtol=1e-12)
    # Less spread than noise alone would give: no heterogeneity, and the fixed effect.
    assert (found.tau_squared, found.i_squared) == (0, 0)
    quantile = stats.norm.ppf(0.95)
    expected = np.array([0.4 - quantile * np.sqrt(0.1), 0.4 + quantile * np.sqrt(0.1)])
    chex.assert_trees_all_close(np.asarray(found.interval(0.9)), expected, rtol=1e-10)
    wide = stats.t.ppf(0.95, 1) * np.sqrt(0.1)
    chex.assert_trees_all_close(
        np.asarray(found.prediction_interval(0.9)), np.array([0.4 - wide, 0.4 + wide]), rtol=1e-8
    )


def test_gradients(x64):
    effect, variance = jnp.array([0.1, 0.3, 0.9]), jnp.array([0.04, 0.02, 0.03])
    change = jnp.array([0.3, -0.2, 0.5])

    @jax.jit
    def along(step):
        found = meta_analysis(effect + step * change, variance * (1 + step))
        return jnp.stack([found.value, found.variance, found.tau_squared, *found.prediction_interval()])

    exact = jax.jit(jax.jacfwd(along))(0.0)
    chex.assert_trees_all_close(exact, (along(1e-6) - along(-1e-6)) / 2e-6, rtol=1e-6)


def test_what_says_nothing_is_nan():
    one = pool(jnp.array([0.3]), jnp.array([0.1]))
    assert jnp.isnan(jnp.stack([one.value, one.variance, one.tau_squared, one.i_squared, one.p_value])).all()
    fixed = pool(jnp.array([0.3]), jnp.array([0.1]), method="fixed")
    chex.assert_trees_all_close(fixed.value, jnp.asarray(0.3), rtol=1e-6)
    assert jnp.isnan(jnp.stack([fixed.tau_squared, fixed.heterogeneity_p_value, fixed.i_squared])).all()
    two = pool(jnp.array([0.3, 0.9]), jnp.array([0.1, 0.1]))
    assert jnp.isnan(jnp.asarray(two.prediction_interval())).all()
    for variance in ([0.1, 0.0], [0.1, -1.0], [0.1, jnp.nan]):
        bad = pool(jnp.array([0.3, 0.9]), jnp.array(variance))
        assert jnp.isnan(jnp.stack([bad.value, bad.variance, bad.heterogeneity])).all()
    nothing = pool(jnp.array([0.3, 0.9]), jnp.array([0.1, 0.1]), method="fixed", where=jnp.zeros(2, bool))
    assert jnp.isnan(nothing.value)
    with pytest.raises(ValueError, match="method must be 'fixed' or 'dersimonian_laird', not 'reml'"):
        meta_analysis(jnp.ones(2), jnp.ones(2), method="reml")
    with pytest.raises(ValueError, match="level must be between 0 and 1"):
        two.interval(2.0)


def test_intervals_hold_the_mean_effect(x64):
    """4000 sets of 20 studies whose true effects vary: the 90% interval holds their mean in 86 to 92 of 100.

    DerSimonian and Laird's interval is known to be a little short; that of a fixed effect is far too short.
    """
    random = np.random.default_rng(1)
    variance = random.uniform(0.02, 0.1, (4000, 20))
    effect = 0.3 + random.normal(size=variance.shape) * np.sqrt(0.05 + variance)
    shares = {}
    for method in ("fixed", "dersimonian_laird"):
        lower, upper = pool(jnp.asarray(effect), jnp.asarray(variance), method=method).interval(0.9)
        shares[method] = float(((lower <= 0.3) & (upper >= 0.3)).mean())
    assert 0.86 < shares["dersimonian_laird"] < 0.92
    assert shares["fixed"] < 0.8
