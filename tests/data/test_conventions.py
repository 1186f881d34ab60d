"""Data as other packages write them: choix' tuples, PlackettLuce's matrices of ranks."""

from typing import Any

import chex
import numpy as np

from scorax.data import Choices, Comparisons, Rankings, Vocabulary

FRUIT = Vocabulary(("apple", "banana", "cherry", "date"))


def names(rows):
    return [tuple(FRUIT[i] for i in row) for row in rows]


def test_comparisons_of_choix_are_pairs_of_winner_and_loser():
    # `generate_pairwise` returns a tuple of pairs.
    pairs = ((3, 0), (2, 3), (0, 3))
    expected = Comparisons.from_arrays(
        [3, 2, 0], [0, 3, 3], [1, 1, 1], weight=[1, 2, 1], cluster=[0, 0, 1], time=[0, 1, 2]
    )
    columns: dict[str, Any] = {"weight": [1, 2, 1], "cluster": [0, 0, 1], "time": [0, 1, 2]}
    for same in (pairs, [list(pair) for pair in pairs], np.array(pairs), [tuple(np.array(pair)) for pair in pairs]):
        chex.assert_trees_all_equal(Comparisons.from_tuples(same, **columns), expected)
    chex.assert_trees_all_equal(Comparisons.from_tuples(names(pairs), vocabulary=FRUIT, **columns), expected)


def test_rankings_of_choix_are_lists_best_first():
    # `generate_rankings` returns a tuple of arrays.
    orders = (np.array([0, 2, 3]), np.array([2, 1]))
    expected = Rankings.from_arrays([[0, 2, 3], [2, 1, 0]], where=[[True, True, True], [True, True, False]])
    chex.assert_trees_all_equal(Rankings.from_orders(orders), expected)
    chex.assert_trees_all_equal(Rankings.from_orders(names(orders), vocabulary=FRUIT), expected)


def test_top_choices_of_choix_are_a_winner_and_the_losers():
    expected = Choices.from_lists([2, 0], [[0, 1], [1]], count=[3, 1], cluster=[1, 0])
    columns: dict[str, Any] = {"count": [3, 1], "cluster": [1, 0]}
    for same in ([(2, [0, 1]), (0, [1])], ([2, (0, 1)], [0, np.array([1])])):
        chex.assert_trees_all_equal(Choices.from_tuples(same, **columns), expected)
    named = [("cherry", ["apple", "banana"]), ("apple", ("banana",))]
    chex.assert_trees_all_equal(Choices.from_tuples(named, vocabulary=FRUIT, **columns), expected)


def test_ranks_of_plackett_luce_are_0_where_unranked_and_equal_where_tied():
    # Turner, van Etten, Firth, Kosmidis (2020), section 2: a row a ranking, a column an item; dense ranks.
    ranks = np.array([[1, 2, 2, 0], [3, 1, 1, 2], [0, 0, 2, 1], [1, 1, 1, 1]])
    orders = [[0, (1, 2)], [(1, 2), 3, 0], [3, 2], [(0, 1, 2, 3)]]
    chex.assert_trees_all_equal(Rankings.from_rank_matrix(ranks), Rankings.from_orders(orders))
    # Ranks may jump, and may be halves where ties share a mean.
    jumping = np.array([[1, 2.5, 2.5, 0], [9, 4, 4, 7], [0, np.nan, 20, 10], [7, 7, 7, 7]])
    chex.assert_trees_all_equal(Rankings.from_rank_matrix(jumping), Rankings.from_orders(orders))
    chex.assert_trees_all_equal(
        Rankings.from_rank_matrix(ranks, unlisted="last", weight=[1, 2, 3, 4]),
        Rankings.from_orders(orders, unlisted="last", weight=[1, 2, 3, 4]),
    )
    assert Rankings.from_rank_matrix([[1, 0, 2], [2, 1, 0]]).tie_level is None
