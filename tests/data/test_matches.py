import math
import re

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.data import Comparisons, Matches, Vocabulary

NAMES = Vocabulary.of(["ann", "bob", "cy", "dee"])
GAMES = [[["ann", "bob"], ["cy"]], [["dee"], ["bob"], ["ann", "cy"]], [["cy"], ["ann"]]]


def games(ranks=((2, 1), (0.5, 0.5, -3), (7, 7)), **columns):
    return Matches.from_lists(GAMES, ranks, vocabulary=NAMES, **columns)


def test_lists_become_arrays():
    data = games(weight=[1.0, 2.0, 0.5], cluster=[0, 0, 1], time=[1, 2, 2])
    np.testing.assert_array_equal(data.members[0], [[0, 1], [2, 0], [0, 0]])
    np.testing.assert_array_equal(data.where[0], [[True, True], [True, False], [False, False]])
    np.testing.assert_array_equal(data.rank, [[2, 1, 0], [2, 2, 1], [1, 1, 0]])
    assert data.weight.tolist() == [1.0, 2.0, 0.5]
    assert data.time.tolist() == [1, 2, 2]
    assert data.members.dtype == data.rank.dtype == data.cluster.dtype == jnp.int32


def test_winners_stand_first_by_default():
    np.testing.assert_array_equal(games(ranks=None).rank, [[1, 2, 0], [1, 2, 3], [1, 2, 0]])


def test_arrays_and_lists_agree():
    data = games()
    rank = np.array([[20, 10, math.nan], [1, 1, 0], [3, 3, math.nan]])
    chex.assert_trees_all_equal(Matches.from_arrays(data.members, rank, where=data.where, n_items=4), data)
    alone = Matches.from_arrays([[0, 1, 2]], [[1, 2, 2]])
    chex.assert_trees_all_equal(alone, Matches.from_lists([[[0], [1], [2]]], [[0, 5, 5]]))


def test_comparisons_become_matches_of_two(dtype):
    battles = Comparisons.from_arrays([0, 1, 2], [1, 2, 0], [1.0, 0.5, 0.0], weight=[1.0, 2.0, 3.0], time=[0, 1, 2])
    data = jax.jit(Matches.from_comparisons)(battles)
    chex.assert_trees_all_equal(data, Matches.from_comparisons(battles))
    np.testing.assert_array_equal(data.members[:, :, 0], [[0, 1], [1, 2], [2, 0]])
    np.testing.assert_array_equal(data.rank, [[1, 2], [1, 1], [2, 1]])
    np.testing.assert_array_equal(data.weight, battles.weight)
    np.testing.assert_array_equal(data.time, battles.time)
    assert data.weight.dtype == dtype


def test_rows_are_rows():
    data = games(count=[1, 2, 1])
    np.testing.assert_array_equal(data.expand().rank, np.asarray(data.rank)[[0, 1, 1, 2]])
    chex.assert_trees_all_equal(data.expand().aggregate(), data)
    assert data.pad(5).weight.tolist() == [1, 2, 1, 0, 0]
    # Ranks that say the same are the same.
    assert games(ranks=[(2, 1), (5, 5, 1), (0, 0)]).take(1).rank.tolist() == data.take(1).rank.tolist()


def test_what_is_not_filled_does_not_keep_rows_apart():
    members = [[[0, 1], [2, 0]], [[0, 1], [2, 3]]]
    where = [[[True, True], [True, False]]] * 2
    unchecked = Matches.from_arrays(members, [[1, 2], [1, 2]], where=where)
    assert unchecked.aggregate().count.tolist() == [2]


BAD = {
    "empty": (lambda: Matches.from_lists([]), "there are no matches: the data are empty"),
    "no arrays": (lambda: Matches.from_arrays(np.zeros((0, 2), int), np.zeros((0, 2))), "there are no matches"),
    "one team": (
        lambda: Matches.from_lists([[[0], [1]], [[0, 1]]]),
        "fewer than two teams in 1 row (row 1). A match is",
    ),
    "empty team": (lambda: Matches.from_lists([[[0], []]]), "a team is empty in 1 row (row 0). Leave the team out."),
    "twice": (lambda: Matches.from_lists([[[0, 1], [2, 0]]]), "a player is listed twice in 1 row (row 0)"),
    "unknown": (
        lambda: Matches.from_lists([[["ann"], ["eve"]]], vocabulary=NAMES),
        "1 names are unknown: 'eve'. Known are 'ann', 'bob', 'cy', 'dee'.",
    ),
    "names": (
        lambda: Matches.from_lists([[["ann"], ["bob"]]]),
        "members holds <U3 values, not integer ids. If they are names, pass vocabulary=",
    ),
    "large id": (lambda: Matches.from_lists([[[0], [5]]], n_items=3), "members is no id from 0 to 2 in 1 row"),
    "ranks": (
        lambda: games(ranks=[(1, 2), (1, 2), (1, 2)]),
        "there is not one rank for every team in 1 row (row 1). Lower is better.",
    ),
    "rank lists": (lambda: games(ranks=[(1, 2)]), "ranks are given for 1 matches, but there are 3"),
    "NaN": (lambda: games(ranks=[(1, math.nan), (1, 2, 3), (1, 2)]), "rank is missing (NaN) in 1 row (row 0)"),
    "words": (lambda: Matches.from_arrays([[0, 1]], [["won", "lost"]]), "rank holds <U4 values, not numbers"),
    "rank shape": (
        lambda: Matches.from_arrays([[0, 1]], [[1, 2, 3]]),
        "rank has shape (1, 3); the matches ask for (1, 2)",
    ),
    "where": (lambda: Matches.from_arrays([[0, 1]], [[1, 2]], where=[True]), "where has shape (1,), members (1, 2)"),
    "absent": (
        lambda: Matches.from_arrays([[0, 1]], [[1, 2]], where=[[True, False]]),
        "a match has fewer than two teams in 1 row (row 0). Drop these rows.",
    ),
    "flat": (lambda: Matches.from_arrays([0, 1], [1, 2]), "members has shape (2,); expected [n, t, p]"),
    "weight": (lambda: games(weight=[1, -1, 1]), "weight is negative in 1 row (row 1)"),
    "time": (lambda: games(time=[1, math.inf, 2]), "time is infinite in 1 row (row 1)"),
    "outcome": (
        lambda: Matches.from_comparisons(Comparisons.from_arrays([0], [1], [0.7])),
        "outcome is not 0, 1/2 or 1 in 1 row (row 0). A match is won, lost or drawn: round soft labels.",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(name):
    make, message = BAD[name]
    with pytest.raises(ValueError, match=re.escape(message)):
        make()
