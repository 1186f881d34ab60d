"""Scores on the very items that were judged; strata; families."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.data import Annotations
from scorax.judges import SimplexJudge, over_strata, without_own_family
from tests.judges.conftest import random_model


def test_with_gold_labels_it_is_their_mean(x64):
    gold = np.array([0, 2, 1, 1, 0])
    data = Annotations.from_arrays(
        np.zeros((5, 1), int), np.zeros((5, 1), int), candidate=[0, 0, 0, 1, 1], gold=gold, has_gold=np.ones(5, bool)
    )
    model = random_model(jnp.dtype("float64"), n_candidates=3)
    for key in (None, jax.random.key(0)):
        score = model.sample_score(data, key=key)
        np.testing.assert_allclose(score[:2], [2.0, 1.5], rtol=1e-12)
        assert jnp.isnan(score[2])


def test_rows_that_stand_for_several_items_count_as_often(ragged, x64):
    model = random_model(jnp.dtype("float64"))
    ragged = dataclasses.replace(ragged, weight=jnp.ones(5))
    thrice = dataclasses.replace(ragged, count=3 * ragged.count)
    np.testing.assert_allclose(model.sample_score(thrice), model.sample_score(ragged), rtol=1e-12)
    np.testing.assert_allclose(model.sample_score(model.condense(ragged)), model.sample_score(ragged), rtol=1e-12)


def test_drawn_levels_scatter_about_the_expectation(ragged, x64):
    model = random_model(jnp.dtype("float64"))
    many = dataclasses.replace(ragged, count=jnp.array([1.0, 4.0, 2.0, 3.0, 1.0]))
    draws = jax.jit(jax.vmap(lambda key: model.sample_score(many, key=key)))(jax.random.split(jax.random.key(0), 4000))
    share = np.asarray(model.label_posterior(many))
    variance = np.asarray(many.count) * (share @ np.arange(1, 4) ** 2 - (share @ np.arange(1, 4)) ** 2)
    items = np.bincount(many.candidate, many.count)
    spread = np.sqrt(np.bincount(many.candidate, variance)) / items
    # Four standard errors of a mean, and of a standard deviation, of 4000 draws.
    np.testing.assert_allclose(draws.mean(0), model.sample_score(many), atol=4 * spread.max() / 4000**0.5)
    np.testing.assert_allclose(draws.std(0), spread, rtol=4 / (2 * 4000) ** 0.5)


def test_scores_over_strata_are_weighted_means(x64):
    score = jnp.array([1.0, 3.0, 2.0, 2.5])
    np.testing.assert_allclose(over_strata(score, [0.5, 0.5]), [2.0, 2.25])
    with pytest.raises(ValueError, match="with sum 1"):
        over_strata(score, [0.5, 0.6])
    with pytest.raises(ValueError, match="4 cells are no multiple of 3 strata"):
        over_strata(score, [0.5, 0.25, 0.25])


def test_labels_of_the_own_family_are_left_out(ragged):
    own = np.zeros((2, 3), bool)
    own[0, 1] = True
    left = without_own_family(ragged, own)
    removed = np.asarray(ragged.where & ~left.where)
    np.testing.assert_array_equal(
        removed, np.asarray(ragged.where & (ragged.candidate[:, None] == 0) & (ragged.judge == 1))
    )
    assert removed.any()
    with pytest.raises(ValueError, match="at least 2 candidates and 3 judges"):
        without_own_family(ragged, np.zeros((2, 2), bool))


def test_sizes_of_a_model():
    model = SimplexJudge.init(4, 3, 2)
    assert (model.n_candidates, model.n_judges, model.n_levels, model.varies) == (4, 3, 2, False)
    wide = model.per_candidate()
    assert (wide.n_candidates, wide.n_judges, wide.n_levels, wide.varies) == (4, 3, 2, True)
    assert wide.per_candidate() is wide
