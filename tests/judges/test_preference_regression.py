import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro import handlers

from scorax.data import Comparisons
from scorax.inference import fit, log_likelihood, sample
from scorax.judges import PreferenceRegression, effect_probability, judge_similarity
from tests.judges.conftest import oracle

similarity = jax.jit(judge_similarity, static_argnames="kind")


def comparisons_of(features, outcome):
    n = len(outcome)
    return Comparisons.from_arrays(np.zeros(n, int), np.ones(n, int), outcome, features=features)


def mode(data, scale, shrinkage="laplace", **options):
    model = PreferenceRegression.init(data.features.shape[1], scale=scale, shrinkage=shrinkage)
    return fit(model, data, prior=model.prior, **options)


def objective(coefficient, data, scale):
    model = PreferenceRegression(jnp.asarray(coefficient), scale=scale)
    return float(jnp.abs(model.coefficient).sum() / scale - log_likelihood(model, data))


@pytest.mark.engine
@pytest.mark.parametrize("case", [0, 1])
def test_modes_are_those_of_an_l1_regression(x64, case):
    numbers = oracle("laplace_logistic_map")[case]
    data = comparisons_of(numbers["X"], numbers["y"])
    found = mode(data, numbers["scale"])
    noted = np.asarray(numbers["map_alpha"])
    ours = objective(found.model.coefficient, data, numbers["scale"])
    assert ours == pytest.approx(numbers["objective"], abs=1e-5)
    assert ours <= numbers["objective"] + 1e-9
    # Its solver stops where the objective is known to 1e-10 of itself: coefficients to the root of that.
    np.testing.assert_allclose(found.model.coefficient, noted, atol=1e-4)
    np.testing.assert_array_equal(np.asarray(found.model.coefficient) == 0, noted == 0)
    assert found.diagnostics.converged
    # Some parameters are at a kink: no covariance, rather than one that forgets them.
    assert jnp.isnan(found.covariance).all()


@pytest.mark.engine
def test_exchanging_the_answers_changes_nothing(x64):
    numbers = oracle("laplace_logistic_map")[1]
    found = mode(comparisons_of(numbers["X"], numbers["y"]), 1.0)
    turned = mode(comparisons_of(-np.asarray(numbers["X"]), 1 - np.asarray(numbers["y"])), 1.0)
    chex.assert_trees_all_close(turned.model, found.model, atol=1e-10)


@pytest.mark.slow  # three scales are three programs
@pytest.mark.engine
def test_scales_shrink_to_nothing_or_not_at_all(x64):
    numbers = oracle("laplace_logistic_map")[0]
    data = comparisons_of(numbers["X"], numbers["y"])
    assert not mode(data, 1e-3).model.coefficient.any()
    free = fit(PreferenceRegression.init(8), data).model
    # The prior moves a coefficient by its rate times the inverse information, of order one hundredth.
    chex.assert_trees_all_close(mode(data, 1e6).model.coefficient, free.coefficient, atol=1e-7)


@pytest.mark.engine
def test_a_perfect_feature_stays_finite(x64):
    features = np.random.default_rng(0).choice([-1.0, 1.0], (150, 8))
    data = comparisons_of(features, (features[:, 2] > 0).astype(float))
    found = mode(data, 0.1).model.coefficient
    # Along it the slope of 150 equal choices is 150 (1 - p) = 10.
    assert float(found[2]) == pytest.approx(np.log(14), rel=1e-6)
    with pytest.raises(ValueError, match="coefficient"):
        fit(PreferenceRegression.init(8), data)


@pytest.mark.engine
def test_a_mode_has_derivatives(x64):
    numbers = oracle("laplace_logistic_map")[0]
    data = comparisons_of(numbers["X"], numbers["y"])

    def coefficients(weight):
        return mode(dataclasses.replace(data, weight=weight), 0.1, throw=False).model.coefficient

    direction = jnp.asarray(np.random.default_rng(1).normal(size=150))
    _, slope = jax.jvp(coefficients, (data.weight,), (direction,))
    ends = [coefficients(data.weight + step * direction) for step in (-1e-5, 1e-5)]
    chex.assert_trees_all_close(slope, (ends[1] - ends[0]) / 2e-5, atol=1e-6)
    assert (slope[jnp.asarray(numbers["map_alpha"]) == 0] == 0).all()


@pytest.mark.slow
@pytest.mark.engine
def test_posterior_means_are_those_of_the_reference(x64):
    numbers = oracle("preference_dissection_posterior")
    data = comparisons_of(numbers["X"], numbers["y"])
    model = PreferenceRegression.init(8, scale=numbers["scale"])
    posterior = sample(model, data, key=jax.random.key(0), num_warmup=500, num_samples=2000, progress=False)
    found = posterior.model.coefficient.mean((0, 1))
    np.testing.assert_allclose(found, numbers["posterior_mean_alpha"], atol=numbers["tolerance"])


def test_log_prob_of_soft_labels_and_of_an_order(dtype):
    rng = np.random.default_rng(2)
    features, order = rng.integers(-1, 2, (20, 3)), rng.choice([-1.0, 1.0], 20)
    data = dataclasses.replace(comparisons_of(features, rng.uniform(0, 1, 20)), order=jnp.asarray(order, dtype))
    model = PreferenceRegression(jnp.asarray([0.5, -1.0, 0.2], dtype), jnp.asarray(0.3, dtype))
    model.check(data)
    p = 1 / (1 + np.exp(-(features @ [0.5, -1.0, 0.2] + 0.3 * order)))
    y = np.asarray(data.outcome)
    expected = y * np.log(p) + (1 - y) * np.log(1 - p)
    np.testing.assert_allclose(jax.jit(PreferenceRegression.log_prob)(model, data), expected, rtol=1e-4)
    drawn = jax.jit(PreferenceRegression.simulate)(model, data, key=jax.random.key(0)).outcome
    assert set(np.asarray(drawn).tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("shrinkage", ["laplace", "normal", "horseshoe"])
def test_priors_draw_models_of_their_own_shape(dtype, shrinkage):
    model = PreferenceRegression(jnp.zeros(3, dtype), jnp.zeros((), dtype), shrinkage, 0.5)
    drawn = handlers.seed(model.prior, 0)()
    chex.assert_trees_all_equal_shapes(drawn, model)
    assert (drawn.shrinkage, drawn.scale) == (shrinkage, 0.5)
    assert jnp.abs(drawn.coefficient).min() > 0


@pytest.mark.engine
@pytest.mark.slow
def test_a_normal_prior_has_no_kink_and_a_horseshoe_no_mode(x64):
    numbers = oracle("laplace_logistic_map")[0]
    data = comparisons_of(numbers["X"], numbers["y"])
    found = mode(data, 0.1, "normal")
    # Where the likelihood's slope and the prior's cancel.
    slope = jax.grad(log_likelihood)(found.model, data).coefficient
    np.testing.assert_allclose(slope, found.model.coefficient / 0.1**2, rtol=1e-8)
    assert jnp.isfinite(found.covariance).all()
    with pytest.raises(ValueError, match="draws more numbers"):
        mode(data, 0.1, "horseshoe")


def test_effects_are_probabilities():
    found = np.asarray(effect_probability(jnp.array([0.0, 0.6, -0.6])))
    assert found[0] == 0.5
    assert found[1] + found[2] == pytest.approx(1)


def test_similarity_is_that_of_numpy(dtype):
    rows = np.random.default_rng(3).normal(size=(4, 8)).astype(dtype)
    np.testing.assert_allclose(similarity(rows), np.corrcoef(rows), rtol=1e-4, atol=1e-6)
    ranks = rows.argsort(1).argsort(1)
    np.testing.assert_allclose(similarity(rows, kind="spearman"), np.corrcoef(ranks), rtol=1e-4, atol=1e-6)
    apart = rows[:, None] - rows[None]
    np.testing.assert_allclose(similarity(rows, kind="mae"), -np.abs(apart).mean(-1), rtol=1e-5)
    np.testing.assert_allclose(similarity(rows, kind="rms"), -np.sqrt((apart**2).mean(-1)), rtol=1e-5)


def test_a_judge_without_preferences_is_like_nobody():
    rows = np.float32([[0.1] * 8, range(8), range(8), range(8)])
    found = np.asarray(similarity(rows))
    assert np.isnan(found[0]).all()
    assert np.isfinite(found[1:, 1:]).all()


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (lambda: PreferenceRegression.init(2, shrinkage="ridge"), "shrinkage must be one of"),
        (lambda: PreferenceRegression.init(2, scale=0.0), "scale must be above 0"),
        (lambda: judge_similarity(jnp.ones((2, 3)), kind="cosine"), "kind must be one of"),
        (
            lambda: fit(PreferenceRegression.init(2), comparisons_of(np.ones((3, 1)), [1, 0, 1])),
            "1 features, the model 2",
        ),
        (
            lambda: fit(PreferenceRegression.init(1, order_effect=True), comparisons_of(np.ones((3, 1)), [1, 0, 1])),
            "needs data.order",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(bad, message):
    with pytest.raises(ValueError, match=message):
        bad()


def by_judge(n_judges=6, n_each=60, seed=0):
    """Judges who scatter by 0.5 about what they have in common; few choices of each."""
    rng = np.random.default_rng(seed)
    truth = np.array([0.8, -0.8, 0.0]) + 0.5 * rng.normal(size=(n_judges, 3))
    judge = np.repeat(np.arange(n_judges), n_each)
    features = rng.integers(-1, 2, (judge.size, 3)).astype(float)
    outcome = rng.random(judge.size) < 1 / (1 + np.exp(-(features * truth[judge]).sum(1)))
    n = judge.size
    data = Comparisons.from_arrays(
        np.zeros(n, int), np.ones(n, int), outcome.astype(float), features=features, cluster=judge
    )
    return truth, data


def test_rows_of_coefficients_are_regressions_one_by_one(x64):
    _, data = by_judge(n_judges=2)
    model = PreferenceRegression.init(3, n_judges=2, shrinkage="normal")
    together = fit(model, data).model.coefficient
    for judge in range(2):
        own = data.take(np.flatnonzero(np.asarray(data.cluster) == judge))
        alone = fit(PreferenceRegression.init(3, shrinkage="normal"), own).model.coefficient
        np.testing.assert_allclose(together[judge], alone, atol=1e-6)


@pytest.mark.slow
@pytest.mark.engine
def test_judges_borrow_from_each_other(x64):
    truth, data = by_judge()
    model = PreferenceRegression.init(3, n_judges=6, shrinkage="normal", scale=1.0)
    posterior = sample(model, data, key=jax.random.key(0), num_warmup=300, num_samples=300, progress=False)
    pooled = np.asarray(posterior.map(lambda m: m.coefficient)).mean((0, 1))
    alone = np.asarray(fit(model, data).model.coefficient)
    # The mean squared error of 60 choices alone is 0.17 here, pooled 0.07.
    assert ((pooled - truth) ** 2).mean() < 0.7 * ((alone - truth) ** 2).mean()
    assert posterior.sites["spread"].shape[-1] == 3


def test_judges_that_the_model_has_not_are_named():
    _, data = by_judge(n_judges=2)
    model = PreferenceRegression.init(3, n_judges=1)
    with pytest.raises(ValueError, match=r"60 rows have a cluster outside 0..0 \(first rows: \[60, 61, 62\]\)"):
        fit(model, data)
    with pytest.raises(ValueError, match=r"need data.cluster"):
        fit(model, dataclasses.replace(data, cluster=None))
