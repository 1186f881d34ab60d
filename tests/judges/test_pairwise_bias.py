import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import pytest

from scorax.choice import BradleyTerry
from scorax.data import Comparisons
from scorax.data.datasets import load_autograder
from scorax.inference import fit, log_likelihood, sample
from scorax.judges import PairwiseJudges, length_feature

log_prob = jax.jit(PairwiseJudges.log_prob)
TRUTH = {
    "strength": [0.6, 0.1, -0.7],
    "position": [0.9, -0.2],
    "coefficient": [[0.0, 1.5], [1.0, 0.0]],
    "log_sharpness": [0.4, -0.4],
}


def truth(dtype):
    return PairwiseJudges(**{name: jnp.asarray(value, dtype) for name, value in TRUTH.items()})


def design(n, seed=0):
    """Three candidates, two judges, sides and features at random."""
    rng = np.random.default_rng(seed)
    a = rng.integers(3, size=n)
    b = (a + rng.integers(1, 3, size=n)) % 3
    return Comparisons.from_arrays(
        a,
        b,
        np.zeros(n),
        order=rng.choice([-1, 1], n),
        features=np.stack([np.tanh(rng.normal(size=n)), rng.integers(-1, 2, n)], 1),
        cluster=rng.integers(2, size=n),
    )


def test_log_odds_by_hand(x64):
    data, model = design(8), truth("float64")
    j, x = np.asarray(data.cluster), np.asarray(data.features)
    strength, position, coefficient, sharpness = (np.asarray(TRUTH[name]) for name in TRUTH)
    expected = np.exp(sharpness[j]) * (strength[data.a] - strength[data.b]) + position[j] * np.asarray(data.order)
    expected = expected + (coefficient[j] * x).sum(1)
    chex.assert_trees_all_close(model.log_odds(data), expected, rtol=1e-12)
    chex.assert_trees_all_close(log_prob(model, data), -np.logaddexp(0, expected), rtol=1e-12)


def test_swapping_the_sides_changes_nothing(dtype):
    data, model = design(8), truth(dtype)
    data = dataclasses.replace(data, outcome=jnp.asarray([0, 1, 0.5, 0.2, 1, 0, 0, 1], data.outcome.dtype))
    swapped = dataclasses.replace(
        data, a=data.b, b=data.a, outcome=1 - data.outcome, order=-data.order, features=-data.features
    )
    chex.assert_trees_all_close(log_prob(model, swapped), log_prob(model, data), rtol=1e-5)


def test_one_judge_is_bradley_terry_with_order_and_features(dtype):
    data = dataclasses.replace(design(8), cluster=jnp.zeros(8, jnp.int32))
    model = dataclasses.replace(truth(dtype), log_sharpness=None)
    plain = BradleyTerry(model.strength, model.position[0], model.coefficient[0])
    chex.assert_trees_all_close(log_prob(model, data), plain.log_prob(data), rtol=1e-5)


@pytest.mark.engine
@pytest.mark.slow
def test_fit_recovers_biases_and_sharpness(x64):
    data = truth("float64").simulate(design(6000), key=jax.random.key(1))
    found = fit(PairwiseJudges.init(3, 2, n_features=2, sharpness=True), data)
    errors = jax.tree.map(lambda x, y, s: (x - y) / s, found.model, truth("float64"), found.std_error)
    # Ten numbers, each within four of its standard errors.
    assert max(float(jnp.abs(x).max()) for x in jax.tree.leaves(errors)) < 4
    assert float(found.std_error.position.max()) < 0.1


@pytest.mark.slow
@pytest.mark.engine
def test_graders_of_a_real_study(x64):
    """Study 5 of the graders: length sways all of them, and its coefficient is known to a tenth."""
    data, models = load_autograder(5)
    graders = int(np.asarray(data.cluster).max()) + 1
    features = data.features / data.features.std()
    data = dataclasses.replace(data, features=features)
    found = fit(PairwiseJudges.init(len(models), graders, n_features=1), data)
    plain = fit(BradleyTerry.init(len(models), order_effect=True, n_features=1), data)
    # Biases of their own describe graders better than shared ones, and never worse.
    assert found.log_likelihood > plain.log_likelihood
    assert jnp.isfinite(found.std_error.coefficient).all()


@pytest.mark.engine
def test_prior_ties_judges_of_a_kind_together():
    model = PairwiseJudges.init(3, 4, n_features=2, sharpness=True)
    with numpyro.handlers.seed(rng_seed=0), numpyro.handlers.trace() as sites:
        drawn = model.prior()
    assert jax.tree.map(jnp.shape, drawn) == jax.tree.map(jnp.shape, model)
    expected = sites["position_mean"]["value"] + sites["position_spread"]["value"] * sites["position_offset"]["value"]
    chex.assert_trees_all_close(drawn.position, expected)
    assert {name for name in sites if name.startswith("coefficient")} == {
        "coefficient_mean",
        "coefficient_spread",
        "coefficient_offset",
    }
    with pytest.raises(ValueError, match="scale"):
        fit(model, design(20), prior=model.prior)


@pytest.mark.slow
@pytest.mark.engine
def test_posterior_shrinks_judges_towards_each_other(x64):
    data = truth("float64").simulate(design(400), key=jax.random.key(1))
    model = PairwiseJudges.init(3, 2, n_features=2)
    posterior = sample(model, data, key=jax.random.key(0), num_warmup=300, num_samples=300, num_chains=2)
    free = fit(model, data).model.position
    mean = posterior.model.position.mean((0, 1))
    assert abs(float(mean[0] - mean[1])) < abs(float(free[0] - free[1]))


def test_padding_adds_nothing():
    data, model = design(8), truth("float32")
    total = jax.jit(log_likelihood)
    chex.assert_trees_all_close(total(model, data.pad(11)), total(model, data), rtol=1e-5)


def test_what_cannot_be():
    data, model = design(8), PairwiseJudges.init(3, 2, n_features=2)
    model.check(data)
    for broken, words in (
        (dataclasses.replace(data, cluster=None), "rows do not say who judged"),
        (dataclasses.replace(data, order=None), "biases that need 'order'"),
        (dataclasses.replace(data, features=data.features[:, :1]), "have 1 features, the model 2"),
        (dataclasses.replace(data, cluster=data.cluster + 1), "a judge's id is 2 or more"),
        (dataclasses.replace(data, a=data.a + 3), "an item id is 3 or more"),
    ):
        with pytest.raises(ValueError, match=words):
            model.check(broken)
    with pytest.raises(ValueError, match="two candidates and a judge"):
        PairwiseJudges.init(1, 1)
    with pytest.raises(ValueError, match="unit of strength"):
        PairwiseJudges.init(2, 1, sharpness=True)


def test_length_feature(dtype):
    a, b = jnp.asarray([120.0, 80.0, 300.0, 90.0], dtype), jnp.asarray([100.0, 100.0, 100.0, 90.0], dtype)
    linear = length_feature(a, b, shape="linear")
    chex.assert_trees_all_close(jnp.std(linear, ddof=1), jnp.ones((), dtype), rtol=1e-5)
    chex.assert_trees_all_close(length_feature(a, b), jnp.tanh(linear), rtol=1e-5)
    chex.assert_trees_all_close(length_feature(b, a), -length_feature(a, b), rtol=1e-5)
    chex.assert_trees_all_equal(length_feature(a, a), jnp.zeros(4, dtype))
    with pytest.raises(ValueError, match="shape must be"):
        length_feature(a, b, shape="log")
