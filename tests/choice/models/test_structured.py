"""Strengths explained by features of the items."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.choice import BradleyTerry, Davidson, PlackettLuce
from scorax.choice._models._structured import Structured
from scorax.data import Comparisons, Rankings, WithItemFeatures, contrast_features
from scorax.inference import fit, sample

FEATURES = np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 1.0], [0.5, -1.0], [1.5, 0.3]])


def battles(n=400):
    generator = np.random.default_rng(0)
    a = generator.integers(0, 5, n)
    b = (a + generator.integers(1, 5, n)) % 5
    theta = FEATURES @ np.array([0.8, -0.5])
    return Comparisons.from_arrays(a, b, generator.random(n) < 1 / (1 + np.exp(theta[b] - theta[a])))


def test_features_of_items_are_features_of_comparisons(x64):
    data = battles()
    structured = fit(Structured.init(BradleyTerry.init(5), 2), WithItemFeatures.from_arrays(data, FEATURES))

    def loss(coefficient):
        model = BradleyTerry(jnp.asarray(FEATURES) @ coefficient)
        return model.log_prob(data).sum()

    np.testing.assert_allclose(jax.jit(jax.grad(loss))(structured.model.coefficient), 0.0, atol=1e-9)
    np.testing.assert_allclose(structured.log_likelihood, loss(structured.model.coefficient), rtol=1e-12)


@pytest.mark.slow
def test_other_parameters_of_the_model_stay_free(x64):
    data = battles()
    tied = Comparisons.from_arrays(data.a, data.b, np.where(np.arange(400) % 3 == 0, 0.5, data.outcome))
    result = fit(Structured.init(Davidson.init(5), 2), WithItemFeatures.from_arrays(tied, FEATURES))
    assert result.diagnostics.converged
    assert result.std_error.base.log_tie > 0


@pytest.mark.slow
@pytest.mark.engine
def test_deviations_are_a_random_effect(x64):
    data = WithItemFeatures.from_arrays(battles(), FEATURES)
    model = Structured.init(BradleyTerry.init(5), 2, deviations=True)
    posterior = sample(model, data, key=jax.random.key(0), method="laplace", num_samples=200)
    np.testing.assert_allclose(posterior.model.deviation.sum(-1), 0.0, atol=1e-9)
    assert (posterior.sites["scale"] > 0).all()
    coefficient = posterior.model.coefficient.reshape(-1, 2)
    # The truth lies within four posterior standard deviations.
    assert (abs(coefficient.mean(0) - jnp.asarray([0.8, -0.5])) < 4 * coefficient.std(0)).all()


def test_bad_features_are_refused():
    data = battles()
    with pytest.raises(ValueError, match="the same for all items \\(column 1\\)"):
        WithItemFeatures.from_arrays(data, np.stack([FEATURES[:, 0], np.ones(5)], axis=1))
    with pytest.raises(ValueError, match="is missing"):
        WithItemFeatures.from_arrays(data, np.where(FEATURES == 0.5, np.nan, FEATURES))
    with pytest.raises(ValueError, match="2 features, the model 3 coefficients"):
        fit(Structured.init(BradleyTerry.init(5), 3), WithItemFeatures.from_arrays(data, FEATURES))
    with pytest.raises(ValueError, match="an item id is 3 or more"):
        fit(Structured.init(BradleyTerry.init(5), 2), WithItemFeatures.from_arrays(data, FEATURES[:3]))


def test_who_is_written_first_changes_no_contrast_but_its_sign():
    generator = np.random.default_rng(0)
    length = generator.integers(1, 500, (50, 2)).astype(float)
    features, scale = contrast_features(length[:, 0], length[:, 1], relative=True)
    swap = generator.random(50) < 0.5
    first, second = np.where(swap, length[:, 1], length[:, 0]), np.where(swap, length[:, 0], length[:, 1])
    swapped, same = contrast_features(first, second, relative=True)
    np.testing.assert_allclose(swapped[:, 0], np.where(swap, -1, 1) * features[:, 0])
    np.testing.assert_allclose(same, scale)
    np.testing.assert_allclose((features**2).mean(0), 1.0)


def test_a_contrast_that_is_none_is_refused():
    with pytest.raises(ValueError, match="never differ in feature 0"):
        contrast_features([1.0, 2.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="is negative"):
        contrast_features([-1.0, 2.0], [1.0, 2.0], relative=True)


def test_sides_can_be_swapped_without_changing_a_contextual_fit(x64):
    data = battles()
    generator = np.random.default_rng(1)
    length = generator.integers(1, 500, (400, 2)).astype(float)
    features, _ = contrast_features(length[:, 0], length[:, 1])
    swap = generator.random(400) < 0.5
    straight = Comparisons.from_arrays(data.a, data.b, data.outcome, features=features)
    turned = Comparisons.from_arrays(
        np.where(swap, data.b, data.a),
        np.where(swap, data.a, data.b),
        np.where(swap, 1 - data.outcome, data.outcome),
        features=contrast_features(
            np.where(swap, length[:, 1], length[:, 0]), np.where(swap, length[:, 0], length[:, 1])
        )[0],
    )
    start = BradleyTerry.init(5, n_features=1)
    one, other = fit(start, straight).model, fit(start, turned).model
    np.testing.assert_allclose(one.strength, other.strength, atol=1e-10)
    np.testing.assert_allclose(one.coefficient, other.coefficient, atol=1e-10)


def test_rankings_have_items_with_features_too(x64):
    rankings = Rankings.from_orders([[0, 1, 2], [2, 1, 0], [0, 2, 1], [1, 0, 2], [0, 1, 2]])
    data = WithItemFeatures.from_arrays(rankings, [1.0, 0.0, -1.0])
    result = fit(Structured.init(PlackettLuce.init(3), 1), data)
    assert result.diagnostics.converged
    assert result.model.model(data).strength[0] > 0
