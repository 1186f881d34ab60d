import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from scorax.stats import Concordance, LimitsOfAgreement, bland_altman, kendall_w, lin_concordance

concord = jax.jit(lin_concordance)
concordance_of = jax.jit(kendall_w)
limits = jax.jit(bland_altman, static_argnames="coverage")


def pairs(dtype, n=40, seed=0):
    random = np.random.default_rng(seed)
    x = random.normal(size=n)
    return jnp.asarray(x, dtype), jnp.asarray(0.8 * x + 0.3 + 0.5 * random.normal(size=n), dtype)


def test_kendalls_w_is_friedmans_statistic_with_ties(x64):
    ratings, everyone = np.random.default_rng(0).integers(4, size=(10, 5)).astype(float), jnp.ones(10, bool)
    statistic, p_value = scipy.stats.friedmanchisquare(*ratings)
    found = concordance_of(jnp.asarray(ratings), where=everyone)
    np.testing.assert_allclose([found.statistic, found.p_value], [statistic, p_value], rtol=1e-10)
    # The mean correlation of ranks of two judges, without ties.
    untied = np.random.default_rng(1).normal(size=(10, 5))
    mean = (scipy.stats.spearmanr(untied).statistic.sum() - 5) / 20
    found = concordance_of(jnp.asarray(untied), where=everyone)
    np.testing.assert_allclose(found.value, (1 + 4 * mean) / 5, rtol=1e-12)


def test_kendalls_w_at_its_ends_and_of_some_items(dtype):
    order, everyone = jnp.arange(10, dtype=dtype)[:, None], jnp.ones(10, bool)
    # Increasing maps of an order are that order.
    same = order ** jnp.asarray([[1, 2, 3, 0.5, 1]], dtype)
    np.testing.assert_allclose(concordance_of(same, where=everyone).value, 1, rtol=1e-6)
    opposite = order * jnp.asarray([[1, -1, 0, 1, -1]], dtype)
    np.testing.assert_allclose(concordance_of(opposite, where=everyone).value, 0, atol=1e-6)
    constant = concordance_of(jnp.ones_like(opposite), where=everyone)
    assert bool(constant.degenerate)
    assert bool(jnp.isnan(constant.value))
    some = opposite.at[3:].set(jnp.nan)
    assert float(concordance_of(some, where=jnp.arange(10) < 3).degrees) == 2
    with pytest.raises(ValueError, match="lack a rating"):
        kendall_w(some)


def test_lins_concordance_by_its_definition(dtype):
    x, y = pairs(dtype)
    a, b = np.asarray(x, float), np.asarray(y, float)
    expected = 2 * np.cov(a, b, ddof=0)[0, 1] / (a.var() + b.var() + (a.mean() - b.mean()) ** 2)
    found = concord(x, y)
    np.testing.assert_allclose(found.value, expected, rtol=2e-6)
    np.testing.assert_allclose(found.precision, np.corrcoef(a, b)[0, 1], rtol=2e-6)
    np.testing.assert_allclose(found.precision * found.accuracy, found.value, rtol=2e-6)
    np.testing.assert_allclose(concord(y, x).value, found.value, rtol=2e-6)


def test_lins_standard_error_is_the_one_he_published(x64):
    """The variance of the corrected paper, as the R package epiR writes it."""
    x, y = pairs(jnp.float64)
    found = concord(x, y)
    p, r = float(found.value), float(found.precision)
    square = float((x.mean() - y.mean()) ** 2 / (x.std() * y.std()))
    published = (1 - r**2) * p**2 * (1 - p**2) / r**2 + 2 * p**3 * (1 - p) * square / r - 0.5 * p**4 * square**2 / r**2
    np.testing.assert_allclose(found.std_error, np.sqrt(published / (40 - 2)), rtol=1e-10)
    # On the scale of the inverse hyperbolic tangent.
    centre, reach = np.arctanh(p), 1.959963984540054 * float(found.std_error) / (1 - p**2)
    np.testing.assert_allclose(found.interval(), np.tanh([centre - reach, centre + reach]), rtol=1e-10)


def test_lins_concordance_weighted_perfect_and_degenerate(x64):
    dtype = jnp.float64
    x, y = pairs(dtype)
    weight = jnp.asarray(np.random.default_rng(1).integers(3, size=40), dtype)
    times = np.asarray(weight, int)
    # Padded to the shape of the others with pairs that do not count.
    repeated = [jnp.resize(jnp.repeat(v, times), 80) for v in (x, y)]
    repeated = concord(*repeated, weight=(jnp.arange(80) < times.sum()).astype(dtype))
    counted = [jnp.resize(v, 80) for v in (jnp.where(weight > 0, x, jnp.nan), y)]
    counted = concord(*counted, weight=jnp.pad(weight, (0, 40)))
    np.testing.assert_allclose([counted.value, counted.std_error], [repeated.value, repeated.std_error], rtol=1e-12)
    perfect = concord(x, x)
    assert float(perfect.value) == pytest.approx(1, abs=1e-12)
    assert float(perfect.std_error) == pytest.approx(0, abs=1e-6)
    constant = concord(jnp.ones_like(x), jnp.ones_like(x))
    assert bool(constant.degenerate)
    assert bool(jnp.isnan(constant.value))
    slope = jax.jit(jax.grad(value_and_error))
    assert jnp.isfinite(slope(x, y)).all()
    assert jnp.isfinite(slope(x, x)).all()
    assert jnp.isfinite(slope(jnp.ones_like(x), jnp.ones_like(x))).all()


def value_and_error(x, y):
    found = lin_concordance(x, y)
    return found.value + found.std_error


def test_limits_of_agreement(x64):
    x, y = pairs(jnp.float64)
    difference = np.asarray(x - y)
    found = limits(x, y)
    s = difference.std(ddof=1)
    np.testing.assert_allclose(found.bias, difference.mean(), rtol=1e-12)
    z = 1.959963984540054
    np.testing.assert_allclose([found.lower, found.upper], difference.mean() + z * s * np.array([-1, 1]), rtol=1e-12)
    t = scipy.stats.t.ppf(0.95, 39)
    np.testing.assert_allclose(found.bias_interval(0.9)[1], difference.mean() + t * s / 40**0.5, rtol=1e-10)
    (low, high), _ = found.limit_intervals(0.9)
    error = s * (1 / 40 + z**2 / (2 * 39)) ** 0.5
    np.testing.assert_allclose([low, high], float(found.lower) + t * error * np.array([-1, 1]), rtol=1e-10)
    weight = jnp.arange(40.0) % 3
    times = np.asarray(weight, int)
    repeated = np.repeat(difference, times)
    upper = repeated.mean() + z * repeated.std(ddof=1)
    np.testing.assert_allclose(limits(x, y, weight=weight).upper, upper, rtol=1e-12)
    assert bool(jnp.isnan(bland_altman(x[:1], y[:1]).spread))


def test_limits_hold_as_many_pairs_as_they_say(x64):
    """Of 100 000 normal differences; three standard errors of the share are 0.004."""
    x = jax.random.normal(jax.random.key(0), (100_000,))
    found = bland_altman(x, jnp.zeros_like(x), coverage=0.8)
    assert float(((found.lower < x) & (x < found.upper)).mean()) == pytest.approx(0.8, abs=0.004)


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0])
def test_bad_levels(level):
    x = jnp.arange(4.0)
    for call in (
        lambda: Concordance(*[jnp.zeros(())] * 4, jnp.asarray(False)).interval(level),
        lambda: bland_altman(x, x, coverage=level),
        lambda: LimitsOfAgreement(*[jnp.zeros(())] * 7).bias_interval(level),
    ):
        with pytest.raises(ValueError, match="level must be between 0 and 1"):
            call()
