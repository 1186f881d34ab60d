"""Which name the true levels go by: counted, undone, and held by priors and starts."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.inference import Posterior, rhat, sample
from scorax.judges import (
    DawidSkene,
    HierarchicalDawidSkenePrior,
    OneCoinDawidSkene,
    judge_accuracy,
    label_switching,
    relabel,
    vote_start,
)


@pytest.fixture
def shuffled(anaesthesia):
    """Draws around one model, some of which are renamed, and how."""
    data, _ = anaesthesia
    model = DawidSkene.init(5, 4).at_majority_vote(data)
    order = np.tile(np.arange(4), (2, 6, 1))
    order[0, 3:] = [1, 0, 2, 3]
    order[1, 4] = [2, 3, 1, 0]
    renamed = jax.vmap(jax.vmap(lambda order: model.relabelled(order)))(jnp.asarray(order))
    still = jax.tree.map(lambda _: None, model)
    sites = {"prevalence": renamed.prevalence, "confusion": renamed.confusion, "scale": jnp.zeros((2, 6))}
    return data, model, order, Posterior(renamed, still, sites, {"log_density": jnp.zeros((2, 6))})


def test_renamed_draws_are_found_and_named_back(shuffled):
    data, model, order, posterior = shuffled
    found = jax.tree.map(np.asarray, label_switching(posterior, data))
    # What is called m by the vote is called order^-1 (m) by the draw.
    chex.assert_trees_all_equal(found.order, np.argsort(order, axis=-1).astype(np.int32))
    np.testing.assert_allclose(found.share, [0.5, 1 / 6], rtol=1e-6)
    chex.assert_trees_all_equal(found.switches, np.array([1, 2], np.int32))
    back = relabel(posterior, data)
    assert sorted(back.sites) == ["confusion", "prevalence"]
    for c, r in ((0, 0), (0, 5), (1, 4)):
        chex.assert_trees_all_equal(jax.tree.map(lambda x, c=c, r=r: x[c, r], back.model), model)
    assert not label_switching(back, data).switched.any()
    likelihoods = posterior.map(lambda m: m.log_prob(data).sum())
    np.testing.assert_allclose(likelihoods, likelihoods[0, 0], rtol=1e-5)


def test_many_levels_are_assigned_on_the_host(shuffled):
    from scorax.judges._annotators._label_switching import _best_orders

    order = np.random.default_rng(0).permutation(8)
    table = np.random.default_rng(1).random((1, 1, 8, 8)) * 0.1
    table[0, 0, np.arange(8), order] += 1
    chex.assert_trees_all_equal(np.asarray(_best_orders(jnp.asarray(table)))[0, 0], order.astype(np.int32))


def test_levels_that_are_tied_to_labels_are_not_renamed(shuffled):
    data, _, _, posterior = shuffled
    coin = OneCoinDawidSkene.init(5, 4)
    draws = jax.tree.map(lambda x: jnp.broadcast_to(x, (2, 6, *x.shape)), coin)
    tied = dataclasses.replace(posterior, moving=draws, still=jax.tree.map(lambda _: None, coin))
    assert label_switching(tied, data).share.shape == (2,)
    with pytest.raises(ValueError, match="the levels of OneCoinDawidSkene are not interchangeable"):
        relabel(tied, data)


def test_judge_accuracy_knows_a_judge_who_does_not_look(dtype):
    prevalence = jnp.asarray([0.7, 0.3], dtype)
    blind, opposite, perfect = [[0.2, 0.8], [0.2, 0.8]], [[0.1, 0.9], [0.8, 0.2]], [[1.0, 0.0], [0.0, 1.0]]
    found = judge_accuracy(prevalence, jnp.asarray([blind, opposite, perfect], dtype))
    np.testing.assert_allclose(found.accuracy, [0.38, 0.13, 1], rtol=1e-6)
    np.testing.assert_allclose(found.kappa[::2], [0, 1], atol=1e-6)
    assert found.worse_than_chance.tolist()[1:] == [True, False]
    sure = judge_accuracy(jnp.asarray([1.0, 0.0], dtype), jnp.asarray(perfect, dtype))
    assert jnp.isnan(sure.kappa)
    assert not sure.worse_than_chance


@pytest.mark.engine
@pytest.mark.slow
def test_a_hierarchy_starts_at_the_vote(anaesthesia):
    data, _ = anaesthesia
    model = DawidSkene.init(5, 4)
    prior = HierarchicalDawidSkenePrior(model)
    start = vote_start(model, data, 4, prior=prior)
    logits = start["mean_logit"][None] + start["logit_spread"][None] * start["logit_offset"]
    reached = DawidSkene(start["prevalence"], jax.nn.softmax(logits, axis=-1))
    voted = model.at_majority_vote(data)
    assert jnp.abs(reached.prevalence - voted.prevalence).max() < 0.05
    # Single rows rest on a few labels; those of all judges together do not.
    assert (jnp.argmax(reached.confusion.mean(0), axis=-1) == jnp.arange(4)).all()


# R package rater: Dirichlet(3) prevalences, rows worth 8 labels. Means to 0.01, one labelling in four chains.
@pytest.mark.engine
@pytest.mark.slow
def test_anaesthetists_as_in_rater_by_four_chains(anaesthesia):
    data, _ = anaesthesia
    model = DawidSkene.init(5, 4).at_majority_vote(data)
    posterior = sample(
        model, data, key=jax.random.key(0), initial=model, num_warmup=400, num_samples=1500, progress=False
    )
    mean = posterior.model.prevalence.mean((0, 1))
    np.testing.assert_allclose(mean, [0.3756, 0.4073, 0.1432, 0.0738], atol=0.01)
    assert max(float(rhat(x).max()) for x in posterior.sites.values()) < 1.01
    assert posterior.stats["diverging"].sum() == 0
    # A draw in a hundred of a chain may look like another naming; a chain that changed its mind would in all.
    assert label_switching(posterior, data).share.max() < 0.02
