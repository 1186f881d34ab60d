"""The one door, the agreement of rankings, and what the benchmarks card promises."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import rankdata

from scorax.choice._aggregation import (
    AGGREGATION_METHODS,
    aggregate,
    ballots,
    borda,
    kemeny,
    order_of,
    pairwise_matrix,
    rank_dispersion,
)
from scorax.data import PairCounts, Rankings
from scorax.stats import kendall_tau

OF_RANKS = ("borda", "dowdall", "mean_rank", "plurality", "veto")


def rank(scores):
    """1 for the largest."""
    return jnp.asarray(rankdata(-np.asarray(scores), axis=-1), jnp.float32)


@pytest.fixture(scope="module")
def rankings():
    """Noisy looks at 0 > 1 > 2 > 3 > 4, with an upset so that everyone beats someone."""
    values = np.arange(5) + np.random.default_rng(0).normal(size=(40, 5))
    orders = np.argsort(values, axis=1)
    orders[0] = [4, 3, 2, 1, 0]
    return Rankings.from_arrays(orders, n_items=5)


@pytest.mark.parametrize("method", AGGREGATION_METHODS)
def test_every_method_finds_a_clear_order(rankings, method):
    found = aggregate(rankings, method)
    if method not in ("plurality", "veto", "minimax"):  # which look at one end of the rankings only
        assert found.order.tolist() == [0, 1, 2, 3, 4]
    if method == "kemeny":
        assert found.score is None
    else:
        np.testing.assert_array_equal(found.order, order_of(found.score))


@pytest.mark.parametrize("method", AGGREGATION_METHODS)
def test_ranks_and_rankings_are_the_same_and_so_are_pairs(rankings, method):
    found = aggregate(rankings, method)
    ranks = np.argsort(np.asarray(rankings.order), axis=1) + 1
    np.testing.assert_array_equal(aggregate(ranks, method).order, found.order)
    table = PairCounts.from_arrays(pairwise_matrix(rankings))
    if method in OF_RANKS:
        with pytest.raises(ValueError, match="has no ranks"):
            aggregate(table, method)
    else:
        np.testing.assert_array_equal(aggregate(table, method).order, found.order)


def test_weights_of_rankings_count(rankings):
    few = rankings.reweight(jnp.zeros(40).at[0].set(1.0))
    for method in ("borda", "copeland", "kemeny"):
        assert aggregate(few, method).order.tolist() == [4, 3, 2, 1, 0]


def test_bad_input_is_explained(rankings):
    with pytest.raises(ValueError, match="unknown method 'bodra'; one of average_win_rate, borda"):
        aggregate(rankings, "bodra")
    with pytest.raises(ValueError, match="expected a matrix of ranks"):
        aggregate([1.0, 2.0])
    with pytest.raises(ValueError, match="5 columns, not n_items=4"):
        aggregate(np.ones((2, 5)), n_items=4)


def test_unlisted_items_share_the_last_ranks():
    top = Rankings.from_orders([[2], [1, 3]], n_items=4, unlisted="last")
    np.testing.assert_array_equal(ballots(top).ranks, [[3, 3, 1, 3], [3.5, 1, 3.5, 2]])


def test_dispersion_is_the_mean_tau_of_pairs_of_rankings(x64):
    ranks = np.random.default_rng(1).integers(1, 5, (5, 7)).astype(float)
    ranks[0, :3] = np.nan
    ranks[1] = 2  # a constant has no tau
    tau = jax.jit(kendall_tau)
    pairs = []
    for i, j in itertools.combinations(range(5), 2):
        where = jnp.asarray(~np.isnan(ranks[i]) & ~np.isnan(ranks[j]))
        x, y = (jnp.asarray(np.nan_to_num(ranks[r])) for r in (i, j))
        pairs.append(float(tau(x, y, where=where)))
    np.testing.assert_allclose(rank_dispersion(jnp.asarray(ranks)), np.nanmean(pairs), rtol=1e-13)
    assert rank_dispersion(jnp.asarray(np.tile(np.arange(7.0), (5, 1)))) == 1
    assert jnp.isnan(rank_dispersion(jnp.asarray(np.where(np.arange(5)[:, None] == 0, ranks, np.nan))))


def test_tasks_may_be_rescaled_under_borda_but_not_under_the_mean():
    # Fifty times ten systems on nine tasks of Gumbel scores; one task grows.
    systems = 0.2 * jnp.arange(10, dtype=float)
    scores = systems[None, None, :] + jax.random.gumbel(jax.random.key(0), (50, 9, 10))
    tau = jax.jit(kendall_tau)
    points = jax.jit(jax.vmap(borda))
    truth = jnp.broadcast_to(systems[None, :], (50, 10))
    agreement = []
    for scale in (1.0, 3.0, 10.0, 100.0):
        scaled = scores.at[:, 0].multiply(scale)
        np.testing.assert_array_equal(points(rank(scaled)), points(rank(scores)))
        agreement.append(float(tau(scaled.mean(1), truth).mean()))
    assert agreement == sorted(agreement, reverse=True)
    assert agreement[0] - agreement[-1] > 0.15
    # At last the mean is the order of the one task.
    assert agreement[-1] == pytest.approx(float(tau(scores[:, 0], truth).mean()), abs=0.02)


def test_the_mean_and_borda_can_be_opposite():
    scores = jnp.array([[100.0, 1.0, 1.0], [10.0, 2.0, 2.0], [3.0, 3.0, 3.0]])
    np.testing.assert_allclose(scores.mean(1), [34, 14 / 3, 3])
    assert order_of(scores.mean(1)).tolist() == [0, 1, 2]
    points = borda(rank(scores.T))
    np.testing.assert_array_equal(points, [2, 3, 4])
    assert order_of(points).tolist() == [2, 1, 0]


def test_with_many_tasks_borda_is_kemeny():
    scores = jnp.arange(6, dtype=float)[None, :] * 0.5 + jax.random.gumbel(jax.random.key(1), (2000, 6))
    ranks = rank(scores)
    best_first = [5, 4, 3, 2, 1, 0]
    assert order_of(borda(ranks)).tolist() == kemeny(pairwise_matrix(ranks)).order.tolist() == best_first


def test_two_levels_of_one_task_are_one_level():
    # Borda over instances, then over the tasks' rankings: with a single task the second level changes nothing.
    one_level = borda(rank(np.random.default_rng(2).normal(size=(30, 6))))
    two_levels = borda(rank(one_level)[None, :])
    np.testing.assert_array_equal(order_of(one_level), order_of(two_levels))
