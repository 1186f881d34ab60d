import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.choice import BradleyTerry
from scorax.choice._uncertainty import bootstrap_interval
from scorax.choice._uncertainty._bootstrap_interval import _acceleration, _clusters
from scorax.choice._uncertainty._vote_influence import flat_parameters
from scorax.inference import fit
from scorax.stats import basic_interval, bca_interval, jackknife_acceleration


def gap(model):
    return model.strength[0] - model.strength[1]


def win(model):
    return jax.nn.sigmoid(gap(model))


def strength(model):
    return model.strength


def acceleration(result, target, cluster=None):
    covariance = result.map(flat_parameters).covariance
    return _acceleration(result.model, result.data, covariance, target, *_clusters(cluster, result.data))


@pytest.mark.slow
def test_acceleration_is_that_of_the_jackknife_of_exact_refits(result):
    weight = np.asarray(result.data.weight)
    without = [fit(result.model, result.data.reweight(weight * (np.arange(60) != row))).model for row in range(60)]
    exact = jackknife_acceleration(gap(result.model) - jnp.stack([gap(model) for model in without]))
    # One step errs in the second order, and the skewness is small.
    np.testing.assert_allclose(acceleration(result, gap), exact, atol=0.01)


def test_counted_rows_accelerate_as_raw_ones(result):
    counted = fit(BradleyTerry.init(5), result.data.aggregate())
    np.testing.assert_allclose(acceleration(counted, gap), acceleration(result, gap), rtol=1e-7)


def test_clusters_are_deleted_whole(result):
    # Every vote twice: as clusters of two, one twice as heavy; of the same skewness, but for the leverage.
    twice = jax.tree.map(lambda column: jnp.concatenate([column, column]), result.data)
    doubled = dataclasses.replace(result, data=twice)
    pairs = acceleration(doubled, gap, jnp.concatenate([jnp.arange(60), jnp.arange(60)]))
    np.testing.assert_allclose(pairs, acceleration(result, gap, jnp.arange(60)), rtol=1e-9)
    np.testing.assert_allclose(pairs, acceleration(result, gap), atol=0.02)


def test_methods_are_those_of_the_arrays(result, draws):
    values, estimate = draws.map(gap), gap(result.model)
    np.testing.assert_allclose(
        bootstrap_interval(draws, result, gap, method="percentile", level=0.9), draws.interval(gap, level=0.9)
    )
    np.testing.assert_allclose(
        bootstrap_interval(draws, result, gap, method="basic"), basic_interval(values, estimate), rtol=1e-12
    )
    np.testing.assert_allclose(
        bootstrap_interval(draws, result, gap), bca_interval(values, estimate, acceleration(result, gap)[0]), rtol=1e-12
    )


def test_bca_of_a_probability_is_that_of_its_log_odds(result, draws):
    of_gap, of_win = (bootstrap_interval(draws, result, target) for target in (gap, win))
    # From the same influence but for a factor, and up to interpolation between neighbouring draws.
    np.testing.assert_allclose(jax.nn.sigmoid(jnp.stack(of_gap)), jnp.stack(of_win), atol=0.01)


def test_arrays_have_intervals_entry_by_entry(result, draws):
    lower, upper = bootstrap_interval(draws, result, strength)
    assert lower.shape == (5,)
    assert (lower < result.model.strength).all()
    assert (result.model.strength < upper).all()


def test_what_makes_no_sense_is_refused(result, draws):
    with pytest.raises(ValueError, match="'percentile', 'basic' or 'bca'"):
        bootstrap_interval(draws, result, gap, method="studentised")
    with pytest.raises(ValueError, match="level must be between 0 and 1"):
        bootstrap_interval(draws, result, gap, level=1.0)
    with pytest.raises(ValueError, match=r"shape \(3,\)"):
        bootstrap_interval(draws, result, gap, cluster=jnp.arange(3))
