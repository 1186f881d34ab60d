import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.choice import BradleyTerry
from scorax.choice._uncertainty import cross_validated_log_loss
from scorax.choice._uncertainty._cross_validation import _deal, _deal_clusters, _generator
from scorax.data import Comparisons
from scorax.inference import fit

KEY = jax.random.key(0)


@pytest.mark.slow
def test_each_observation_is_predicted_by_the_fit_without_its_fold(result):
    model = BradleyTerry.init(5)
    found = cross_validated_log_loss(model, result.data, folds=3, key=KEY)
    table = result.data.table(5)
    held = _deal(np.asarray(table.count), 3, _generator(KEY))
    losses = []
    for fold in held:
        kept = jnp.asarray(np.asarray(table.count) - fold)
        trained = fit(model, dataclasses.replace(table, weight=kept, count=kept)).model
        losses.append(-np.asarray(trained.log_prob(table))[fold > 0].repeat(fold[fold > 0].astype(int)))
    pooled = np.concatenate(losses)
    np.testing.assert_allclose(found.log_loss, pooled.mean(), rtol=1e-7)
    np.testing.assert_allclose(found.by_fold, [part.mean() for part in losses], rtol=1e-7)
    np.testing.assert_allclose(found.std_error, pooled.std(ddof=1) / np.sqrt(pooled.size), rtol=1e-7)
    assert found.converged.all()


def test_folds_are_balanced_and_keep_every_observation():
    count = np.array([[3.0, 0.0], [7.0, 1.0]])
    held = _deal(count, 4, _generator(KEY))
    np.testing.assert_array_equal(held.sum(0), count)
    assert set(held.sum((1, 2))) == {2, 3}


def test_clusters_stay_together(result):
    ids = np.arange(60) // 7
    held = _deal_clusters(np.ones(60), ids, 3, _generator(KEY))
    np.testing.assert_array_equal(held.sum(0), 1)
    for cluster in np.unique(ids):
        assert len(np.unique(held[:, ids == cluster], axis=1).T) == 1
    found = cross_validated_log_loss(BradleyTerry.init(5), result.data, folds=3, key=KEY, cluster=jnp.asarray(ids))
    assert jnp.isfinite(found.log_loss)


def test_a_fold_without_a_maximum_is_flagged(result):
    # Item 4 wins once: whoever predicts that game has no finite strength for it.
    a, b = (np.asarray(x) for x in (result.data.a, result.data.b))
    outcome = np.where(a == 4, 0.0, np.where(b == 4, 1.0, np.asarray(result.data.outcome)))
    outcome[np.flatnonzero(a == 4)[0]] = 1
    rare = dataclasses.replace(result.data, outcome=jnp.asarray(outcome))
    found = cross_validated_log_loss(BradleyTerry.init(5), rare, folds=3, key=KEY)
    assert int((~np.asarray(found.converged)).sum()) == 1
    assert np.isnan(found.log_loss)
    np.testing.assert_array_equal(np.isnan(found.by_fold), ~np.asarray(found.converged))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"folds": 1}, "folds must be between 2"),
        ({"folds": 1000}, "number of observations, 60"),
        ({"cluster": jnp.arange(3)}, r"shape \(3,\)"),
        ({"cluster": jnp.zeros(60, int), "folds": 2}, "number of clusters, 1"),
    ],
)
def test_what_makes_no_sense_is_refused(result, options, message):
    with pytest.raises(ValueError, match=message):
        cross_validated_log_loss(BradleyTerry.init(5), result.data, key=KEY, **options)


def test_half_observations_cannot_be_dealt():
    halves = Comparisons.from_arrays([0, 1], [1, 0], [1.0, 1.0], count=[1.5, 2.0])
    with pytest.raises(ValueError, match="whole"):
        cross_validated_log_loss(BradleyTerry.init(2), halves, folds=2, key=KEY)
