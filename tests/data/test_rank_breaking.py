import numpy as np
import pytest

from scorax.data import Comparisons, Rankings, rank_breaking


def listed(pairs):
    return sorted(zip(pairs.a.tolist(), pairs.b.tolist(), pairs.outcome.tolist(), pairs.cluster.tolist(), strict=True))


def test_every_pair_of_every_ranking_once():
    rankings = Rankings.from_orders([[2, 0, 1], [1, 0]], weight=[2.0, 3.0], count=[4, 1])
    pairs = rank_breaking(rankings)
    assert listed(pairs) == [(0, 1, 1.0, 0), (1, 0, 1.0, 1), (2, 0, 1.0, 0), (2, 1, 1.0, 0)]
    np.testing.assert_array_equal(pairs.weight[pairs.cluster == 0], 2.0)
    np.testing.assert_array_equal(pairs.count[pairs.cluster == 1], 1.0)


def test_ties_are_ties_and_who_was_left_out_lost():
    rankings = Rankings.from_orders([[(0, 1)], [2]], unlisted="last", n_items=4, cluster=[7, 8])
    expected = [(0, 1, 0.5), (0, 2, 1.0), (0, 3, 1.0), (1, 2, 1.0), (1, 3, 1.0)]
    expected = [(*pair, 7) for pair in expected] + [(2, i, 1.0, 8) for i in (0, 1, 3)]
    assert listed(rank_breaking(rankings)) == expected


def test_rankings_of_one_say_nothing():
    with pytest.raises(ValueError, match="no pair"):
        rank_breaking(Rankings.from_orders([[0], [1]]))


def test_swapped_sides_are_the_same_votes(dtype):
    columns = {"order": [1.0, -1.0, 0.0], "features": [[1.0], [2.0], [3.0]]}
    battles = Comparisons.from_arrays([0, 1, 2], [1, 2, 0], [1.0, 0.5, 0.25], **columns)
    rows = np.array([True, False, True])
    swapped = battles.swap(rows)
    np.testing.assert_array_equal(swapped.a, [1, 1, 0])
    np.testing.assert_array_equal(swapped.b, [0, 2, 2])
    np.testing.assert_array_equal(swapped.outcome, [0.0, 0.5, 0.75])
    np.testing.assert_array_equal(swapped.order, [-1.0, -1.0, 0.0])
    np.testing.assert_array_equal(swapped.features, [[-1.0], [2.0], [-3.0]])
    np.testing.assert_array_equal(swapped.swap(rows).a, battles.a)
    with pytest.raises(ValueError, match="3 truth values"):
        battles.swap(np.array([0, 2, 1]))
