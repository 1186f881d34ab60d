"""Posterior predictive checks: shares, what they catch, and what they say."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.inference._criticism import PredictiveCheck, posterior_predictive, predictive_check
from tests.inference.criticism.posteriors import exact_levels, of_levels
from tests.inference.toys import Measurements, some_measurements

DATA = some_measurements(0)
KEY = jax.random.key(3)


def spread(model, data):
    """A statistic, and a discrepancy of model and data."""
    residual = data.value - model.level[data.thing]
    return {"range": jnp.ptp(data.value), "squares": (residual**2).sum()}


def test_ties_count_half_and_disorder_is_nan():
    observed = jnp.asarray([[[0.0, 1.0, 2.0, jnp.nan], [0.0, 1.0, 2.0, 0.0]]])
    replicated = jnp.asarray([[[1.0, 1.0, 1.0, 1.0], [0.0, 1.0, 1.0, 1.0]]])
    np.testing.assert_array_equal(PredictiveCheck(observed, replicated).p_value, [0.75, 0.5, 0.0, np.nan])
    counts = PredictiveCheck(jnp.zeros((2, 3), int), jnp.arange(6).reshape(2, 3))
    np.testing.assert_allclose(counts.p_value, 5.5 / 6)


def test_a_discrepancy_and_its_negative_share_one():
    observed, replicated = np.random.default_rng(0).normal(size=(2, 3, 50, 4)).round(1)
    p, q = PredictiveCheck(observed, replicated).p_value, PredictiveCheck(-observed, -replicated).p_value
    np.testing.assert_allclose(p + q, 1, rtol=1e-6)


def test_replicates_are_those_of_posterior_predictive():
    posterior = exact_levels(DATA, 3, 1.0)
    check = predictive_check(posterior, DATA, spread, key=KEY)
    replicated = posterior_predictive(posterior, DATA, key=KEY)
    np.testing.assert_allclose(check.replicated["range"], jnp.ptp(replicated.value, axis=-1), rtol=1e-5)
    np.testing.assert_allclose(check.observed["range"], np.ptp(DATA.value), rtol=1e-6)
    residual = DATA.value[None, None, :] - posterior.model.level[..., DATA.thing]
    np.testing.assert_allclose(check.observed["squares"], (residual**2).sum(-1), rtol=1e-5)


def test_it_is_uniform_where_the_parameters_are_known():
    """With every draw at the truth nothing is used twice: p-values of data from the truth are uniform."""
    truth = jnp.asarray([-1.0, 0.0, 2.0])
    posterior = of_levels(jnp.broadcast_to(truth, (4, 500, 3)))
    shares = []
    for seed in range(200):
        noise = np.random.default_rng(seed).normal(size=12)
        data = Measurements.of(DATA.thing, np.asarray(truth)[np.asarray(DATA.thing)] + noise)
        shares.append(predictive_check(posterior, data, spread, key=KEY).p_value["squares"])
    # Kolmogorov's 1 % bound for 200 values, 1.63 / sqrt(200), and 0.01 for the error of 2000 replicates each.
    grid = np.sort(shares)
    assert np.abs(grid - (np.arange(200) + 0.5) / 200).max() < 0.125


def test_it_finds_noise_that_is_too_wide():
    wide = Measurements.of(DATA.thing, 3 * np.asarray(DATA.value))
    posterior = exact_levels(wide, 3, 3.0)
    assert predictive_check(posterior, wide, spread, key=KEY).p_value["squares"] < 0.01
    fitting = predictive_check(exact_levels(DATA, 3, 1.0), DATA, spread, key=KEY).p_value
    assert 0.05 < fitting["squares"] < 0.95


def test_it_says_what_it_means():
    observed = {"far": jnp.full((4, 500), 9.0), "pair": jnp.zeros((4, 500, 2))}
    replicated = {"far": jnp.zeros((4, 500)), "pair": jnp.tile(jnp.asarray([-1.0, 1.0]), (4, 500, 1))}
    lines = str(PredictiveCheck(observed, replicated)).splitlines()
    assert lines[0] == "Posterior predictive check with 2000 replicates"
    assert lines[2].split() == ["far", "9", "0", "to", "0", "<", "0.0005"]
    assert lines[3].split()[0] == "pair[0]"
    assert lines[4].split() == ["pair[1]", "0", "1", "to", "1", ">", "0.9995"]
    assert "it is no evidence for the model" in lines[-1]
    assert str(PredictiveCheck(observed["far"], replicated["far"])).splitlines()[2].startswith("discrepancy")


def test_rows_of_several_observations_are_refused():
    with pytest.raises(ValueError, match=r"data.expand\(\)"):
        predictive_check(exact_levels(DATA, 3, 1.0), Measurements.of([0, 0], [1.0, 1.0]).aggregate(), spread, key=KEY)
