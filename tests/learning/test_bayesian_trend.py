import dataclasses
import warnings

import chex
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from scorax.inference import fit, log_likelihood, sample
from scorax.learning import BayesianTrend, TimedScores, conjugate_trend, predictive_band, trend_band, trend_slope

RNG = np.random.default_rng(7)
N = 30
TIME = np.sort(RNG.uniform(2020, 2023, N))
GROUP = RNG.integers(0, 3, N)
SCORE = 6.0 - 0.5 * (TIME - 2021.5) + np.array([0.5, 0.0, -0.8])[GROUP] + RNG.normal(0, 0.7, N)
LEVEL = np.clip(np.round(SCORE - 2), 1, 5)


def scores(score=SCORE, **columns):
    return TimedScores.from_arrays(TIME, score, group=GROUP, **columns)


def near(model, seed=0):
    """The same model, away from its start."""
    leaves, structure = jax.tree.flatten(model)
    rng = np.random.default_rng(seed)
    return jax.tree.unflatten(
        structure, [leaf + jnp.asarray(rng.uniform(0.1, 0.6, leaf.shape), leaf.dtype) for leaf in leaves]
    )


@eqx.filter_jit
def log_prob(model, data):
    return model.log_prob(data)


@eqx.filter_jit
def total(model, data):
    return log_likelihood(model, data)


@eqx.filter_jit
def read(model, time, group):
    return model.line(time, group), model.mean_score(time, group), model.slope(), model.change(2020.0, 2023.0)


@pytest.mark.parametrize("likelihood", ["normal", "student_t"])
def test_densities_are_those_of_scores_in_their_own_units(dtype, likelihood):
    data = scores()
    model = near(BayesianTrend.init(data, likelihood=likelihood, groups="partial", dtype=dtype))
    line, scale = read(model, data.time, data.group)[0], float(model.noise * model.score_scale)
    assert line.dtype == dtype
    law = scipy.stats.norm if likelihood == "normal" else scipy.stats.t(float(model.degrees))
    expected = law.logpdf((SCORE - np.asarray(line)) / scale) - np.log(scale)
    np.testing.assert_allclose(log_prob(model, data), expected, rtol=2e-4 if dtype == jnp.float32 else 1e-10)


def test_levels_are_a_distribution_and_have_a_mean(dtype):
    data = scores(LEVEL)
    model = near(BayesianTrend.init(data, likelihood="ordered", bounds=(0, 6), dtype=dtype))
    assert model.gap.shape == (5,)
    levels = np.arange(7.0)
    probability = jnp.exp(jnp.stack([log_prob(model, scores(np.full(N, level))) for level in levels]))
    eps = float(jnp.finfo(dtype).eps)
    np.testing.assert_allclose(probability.sum(0), 1, rtol=50 * eps)
    np.testing.assert_allclose(
        read(model, data.time, data.group)[1], levels @ np.asarray(probability), rtol=200 * eps, atol=0
    )


def test_line_bends_at_its_knots(x64):
    data = scores()
    model = near(BayesianTrend.init(data, knots=[2020.5, 2022.0], groups="partial"))
    assert (model.trend, model.tilt.shape) == ("piecewise", (3, 3))
    edges = np.array([2020.1, 2020.4, 2020.5, 2020.6, 2021.9, 2022.0, 2022.1, 2022.9])
    line, _, slope, change = read(model, jnp.asarray(edges), jnp.full(8, 1))
    steps = np.diff(np.asarray(line)) / np.diff(edges)
    # Differences of times near 2000 keep eleven digits.
    np.testing.assert_allclose(steps, np.asarray(slope)[1, [0, 0, 1, 1, 1, 2, 2]], rtol=1e-9)
    ends = read(model, jnp.array([2020.0, 2023.0]), jnp.full(2, 1))[0]
    np.testing.assert_allclose(change[1], ends[1] - ends[0], rtol=1e-12)


@pytest.mark.parametrize("likelihood", ["normal", "student_t", "ordered"])
def test_order_of_sources_and_repetition_do_not_matter(x64, likelihood):
    score = LEVEL if likelihood == "ordered" else SCORE
    data = scores(score)
    with warnings.catch_warnings():
        model = near(BayesianTrend.init(data, likelihood=likelihood, groups="partial"))
    new = np.array([2, 0, 1])
    renamed = dataclasses.replace(data, group=jnp.asarray(new, jnp.int32)[data.group])
    moved = dataclasses.replace(model, intercept=model.intercept[np.argsort(new)], tilt=model.tilt[np.argsort(new)])
    chex.assert_trees_all_close(total(moved, renamed), total(model, data), rtol=1e-13)
    twice = jax.tree.map(lambda column: jnp.repeat(column, 2), data)
    weighted = dataclasses.replace(data, weight=2 * data.weight, count=2 * data.count)
    chex.assert_trees_all_close(total(model, weighted), total(model, twice), rtol=1e-13)


@pytest.mark.engine
def test_maximum_likelihood_is_least_squares(x64):
    data = scores()
    found = fit(BayesianTrend.init(data), data)
    slope = found.map(BayesianTrend.slope)
    line = scipy.stats.linregress(TIME, SCORE)
    # The search goes on to rounding errors; times near 2000 keep eleven digits.
    np.testing.assert_allclose(slope.value[0, 0], line.slope, rtol=1e-9)
    np.testing.assert_allclose(slope.std_error[0, 0], line.stderr * np.sqrt((N - 2) / N), rtol=1e-9)


def test_units_do_not_matter(x64):
    data, by_day = scores(), TimedScores.from_arrays(365.25 * (TIME - 2000), 1000 + 100 * SCORE)
    model, other = near(BayesianTrend.init(data)), near(BayesianTrend.init(by_day))
    chex.assert_trees_all_close(log_prob(other, by_day), log_prob(model, data) - np.log(100), rtol=1e-10)
    chex.assert_trees_all_close(other.slope() * 365.25 / 100, model.slope(), rtol=1e-10)


def test_two_levels_are_a_logistic_regression(x64):
    high = (SCORE > np.median(SCORE)).astype(float)  # noqa: SIM300
    data = scores(high)
    model = near(BayesianTrend.init(data, likelihood="ordered"))
    assert model.gap is None
    odds = read(model, data.time, data.group)[0]
    expected = jax.nn.log_sigmoid(jnp.where(data.score == 1, odds, -odds))
    chex.assert_trees_all_close(log_prob(model, data), expected, rtol=1e-13)


@pytest.mark.slow  # a program for one assertion
@pytest.mark.engine
def test_one_wild_score_moves_a_heavy_tailed_trend_less(x64):
    wild = SCORE.copy()
    wild[-1] += 12
    data, truth = scores(wild), scipy.stats.linregress(TIME, SCORE).slope
    model = BayesianTrend.init(data, likelihood="student_t")
    moved = abs(float(fit(model, data, prior=model.prior).model.slope()[0, 0]) - truth)
    assert moved < abs(scipy.stats.linregress(TIME, wild).slope - truth) / 3


@pytest.mark.slow  # a program for one assertion
@pytest.mark.engine
def test_simulated_levels_give_their_trend_back(x64):
    design = TimedScores.from_arrays(np.tile(TIME, 40), np.tile(LEVEL, 40))
    truth = dataclasses.replace(
        BayesianTrend.init(design, likelihood="ordered"), tilt=jnp.full((1, 1), -0.8), gap=jnp.array([1.0, 1.5, 0.7])
    )
    data = truth.simulate(design, key=jax.random.key(2))
    found = fit(truth, data)
    away = (found.model.tilt - truth.tilt) / found.std_error.tilt
    gaps = (found.model.gap - truth.gap) / found.std_error.gap
    # Of five normal numbers one in 16 000 is beyond four.
    assert max(float(jnp.abs(away).max()), float(jnp.abs(gaps).max())) < 4
    assert float(found.std_error.tilt[0, 0]) < 0.08


@pytest.mark.slow  # a program for one assertion
@pytest.mark.engine
def test_falling_trends_are_seen_as_such(x64):
    data = scores()
    model = BayesianTrend.init(data)
    options = {"key": jax.random.key(0), "method": "laplace", "progress": False}
    found = trend_slope(sample(model, data, **options))
    exact = conjugate_trend(data.time, data.score).slope()
    # The priors differ by a few hundredths of a standard error, as do a normal and a t; 2000 draws add two.
    np.testing.assert_allclose(found.mean[0, 0], exact.location, atol=0.15 * float(exact.scale))
    np.testing.assert_allclose(found.falling[0, 0], exact.below(0.0), atol=0.02)
    assert float(found.falling[0, 0]) > 0.95
    mirrored = dataclasses.replace(data, score=2 * model.score_location - data.score)
    assert float(trend_slope(sample(model, mirrored, **options)).falling[0, 0]) < 0.05


@pytest.mark.slow  # a program for one assertion
@pytest.mark.engine
def test_levels_without_scores_need_a_prior(x64):
    data = scores(LEVEL)
    model = BayesianTrend.init(data, likelihood="ordered", bounds=(0, 6))
    with pytest.raises(ValueError, match="gap"):
        fit(model, data)
    found = fit(model, data, prior=model.prior).model
    assert jnp.isfinite(found.gap).all()
    used = fit(BayesianTrend.init(data, likelihood="ordered"), data).map(BayesianTrend.slope)
    # Levels that nobody gives say nothing of the trend; the prior moves it by less than its standard error.
    assert (jnp.abs(found.slope() - used.value) < used.std_error).all()


@pytest.fixture(scope="module")
def hierarchy():
    """Eight sources with six scores each, whose slopes are nearly alike."""
    rng = np.random.default_rng(3)
    group = np.repeat(np.arange(8), 6)
    time = np.tile(np.linspace(0, 2, 6), 8)
    score = 5 + rng.normal(0, 1, 8)[group] - 0.6 * time + rng.normal(0, 1, 48)
    data = TimedScores.from_arrays(time, score, group=group)
    model = BayesianTrend.init(data, groups="partial")
    posterior = sample(
        model, data, key=jax.random.key(0), num_warmup=300, num_samples=300, num_chains=2, progress=False
    )
    return data, model, posterior


@pytest.mark.engine
def test_sources_share_their_strength(hierarchy):
    data, model, posterior = hierarchy
    assert float(posterior.stats["diverging"].mean()) < 0.02
    alone = np.ravel(fit(model, data).model.slope())
    together = np.ravel(trend_slope(posterior).mean)
    # Nearly all of the spread of slopes fitted one by one is noise; of intercepts it is not.
    assert together.std() < alone.std() / 2
    np.testing.assert_allclose(together.mean(), alone.mean(), atol=0.1)
    with pytest.raises(ValueError, match="draws more numbers than BayesianTrend has"):
        fit(model, data, prior=model.prior)


@pytest.mark.engine
def test_bands_are_about_the_line_and_about_new_scores(hierarchy):
    data, _, posterior = hierarchy
    time = data.time[:6]
    band = trend_band(posterior, time, group=3)
    predicted = predictive_band(posterior, time, key=jax.random.key(1), group=3)
    assert (band.lower < band.centre).all()
    assert (band.centre < band.upper).all()
    assert ((predicted.upper - predicted.lower) > 1.5 * (band.upper - band.lower)).all()
    # The noise has standard deviation 1: 0.9 of it is 3.3 wide, the line's uncertainty comes on top.
    width = float((predicted.upper - predicted.lower).mean())
    assert 2.6 < width < 5
    np.testing.assert_allclose(predicted.centre, band.centre, atol=0.3)
    with pytest.raises(ValueError, match="group is 8 or more, and the model has 8 sources"):
        predictive_band(posterior, time, key=jax.random.key(1), group=8)


def test_ceilings_are_pointed_out():
    piled = np.minimum(np.round(SCORE + 3), 9)
    share = (piled == 9).mean()
    assert share > 0.1
    with pytest.warns(UserWarning, match=rf"{share:.0%} of the scores are 9, the highest of their scale: a normal"):
        BayesianTrend.init(scores(piled))
    with pytest.warns(UserWarning, match="a student_t likelihood"):
        BayesianTrend.init(scores(piled), likelihood="student_t", bounds=(0, 9))
    # Silent: the scale goes on, the likelihood knows, or scores are not whole. (Warnings are errors here.)
    BayesianTrend.init(scores(piled), bounds=(0, 20))
    BayesianTrend.init(scores(piled), likelihood="ordered")
    BayesianTrend.init(scores(np.minimum(SCORE, 5.5)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"likelihood": "poisson"}, "likelihood must be one of .*, not 'poisson'"),
        ({"groups": "all"}, "groups must be one of .*, not 'all'"),
        ({"knots": [2022.0, 2021.0]}, "knots must ascend inside the times of the data, 2020.* to 202"),
        ({"knots": [2030.0]}, "knots must ascend"),
        ({"likelihood": "ordered"}, r"score is not whole in 30 rows \(rows 0, 1, 2, \.\.\.\)"),
        ({"bounds": (6, 7)}, "score is outside its bounds, 6 to 7"),
        ({"bounds": (7, 6)}, "bounds are the lowest and the highest"),
    ],
)
def test_bad_settings(options, message):
    with pytest.raises(ValueError, match=message):
        BayesianTrend.init(scores(), **options)


def test_bad_data():
    with pytest.raises(ValueError, match="time is the same in all rows"):
        BayesianTrend.init(TimedScores.from_arrays([0.1] * 3, [1.0, 2.0, 3.0]))
    with pytest.raises(ValueError, match="score is the same in all rows"):
        BayesianTrend.init(TimedScores.from_arrays([1.0, 2.0, 3.0], [0.1] * 3))
    with pytest.raises(ValueError, match="say bounds"):
        BayesianTrend.init(scores(np.arange(30.0)), likelihood="ordered")
    model = BayesianTrend.init(scores(LEVEL), likelihood="ordered", groups="partial")
    with pytest.raises(ValueError, match="score is no level from"):
        model.check(scores(LEVEL + 9))
    with pytest.raises(ValueError, match="group is 3 or more"):
        model.check(dataclasses.replace(scores(LEVEL), group=jnp.full(N, 3)))
