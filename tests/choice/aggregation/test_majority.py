import itertools
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.choice._aggregation import (
    condorcet_winner,
    copeland,
    minimax,
    pairwise_matrix,
    ranked_pairs,
    schulze,
    smith_set,
    strongest_paths,
)
from scorax.data import PairCounts, Rankings

FOLDER = pathlib.Path(__file__).parents[2] / "oracles" / "choice"
CASES = json.loads((FOLDER / "social_choice.json").read_text())["cases"]
rules = {name: jax.jit(rule) for name, rule in {"copeland": copeland, "minimax": minimax, "schulze": schulze}.items()}
rules["ranked_pairs"] = ranked_pairs
winner, top = jax.jit(condorcet_winner), jax.jit(smith_set)
K = 5


def support(seed, *, ties=False):
    """Of random rankings with random weights, or of few enough that majorities tie."""
    random = np.random.default_rng(seed)
    n = 4 if ties else 9
    weight = np.ones(n) if ties else random.random(n)
    ranks = np.argsort(random.random((n, K)), axis=1) + 1.0
    return pairwise_matrix(jnp.asarray(ranks), weight=jnp.asarray(weight))


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{len(case['pairwise'])} items")
def test_as_pref_voting(x64, case):
    rankings = Rankings.from_orders(case["orderings_best_first"])
    matrix = pairwise_matrix(rankings)
    np.testing.assert_array_equal(matrix, case["pairwise"])
    np.testing.assert_array_equal(pairwise_matrix(np.argsort(rankings.order, axis=1) + 1.0), case["pairwise"])
    k = len(matrix)
    printed = 2 * rules["copeland"](matrix) - (k - 1)
    np.testing.assert_array_equal(printed, [case["copeland_scores"][str(i)] for i in range(k)])
    for name in rules:
        score = rules[name](matrix)
        assert np.flatnonzero(score == score.max()).tolist() == case[name], name
    assert np.flatnonzero(winner(matrix)).tolist() == [case["condorcet_winner"]]
    assert np.flatnonzero(top(matrix)).tolist() == [case["condorcet_winner"]]


@pytest.mark.parametrize("seed", range(6))
def test_strongest_paths_by_trying_all(x64, seed):
    matrix = np.asarray(support(seed, ties=seed % 2))
    won = np.where(matrix > matrix.T, matrix, 0)
    found = jax.jit(strongest_paths)(jnp.asarray(matrix))
    for i, j in itertools.permutations(range(K), 2):
        others = [o for o in range(K) if o not in (i, j)]
        paths = ((i, *middle, j) for length in range(K - 1) for middle in itertools.permutations(others, length))
        best = max(min(won[a, b] for a, b in itertools.pairwise(path)) for path in paths)
        assert found[i, j] == best


@pytest.mark.parametrize("seed", range(8))
def test_the_smith_set_by_trying_all(x64, seed):
    matrix = np.asarray(support(seed, ties=seed % 2))
    beats = matrix > matrix.T
    dominating = (
        set(inside)
        for size in range(1, K + 1)
        for inside in itertools.combinations(range(K), size)
        if all(beats[i, j] for i in inside for j in set(range(K)) - set(inside))
    )
    assert set(np.flatnonzero(top(jnp.asarray(matrix))).tolist()) == next(dominating)


@pytest.mark.parametrize("seed", range(8))
def test_winners_come_from_the_smith_set_and_a_condorcet_winner_wins(x64, seed):
    matrix = support(seed, ties=seed % 2)
    inside = np.flatnonzero(top(matrix))
    for name in ("copeland", "schulze", "ranked_pairs"):
        assert int(rules[name](matrix).argmax()) in inside, name
    if winner(matrix).any():
        assert inside.tolist() == np.flatnonzero(winner(matrix)).tolist()
        assert int(rules["minimax"](matrix).argmax()) == inside[0]


@pytest.mark.parametrize("name", rules)
def test_renaming_items_renames_scores(x64, name):
    matrix = np.asarray(support(3))
    new = np.array([2, 0, 4, 1, 3])
    renamed = rules[name](jnp.asarray(matrix[np.ix_(new, new)]))
    np.testing.assert_allclose(renamed, np.asarray(rules[name](jnp.asarray(matrix)))[new], rtol=1e-14)


@pytest.mark.parametrize("name", rules)
def test_unanimity(x64, name):
    rankings = Rankings.from_orders([[3, 0, 4, 1, 2]] * 3)
    score = rules[name](pairwise_matrix(rankings))
    if name == "minimax":  # which only knows who is worst beaten
        assert int(score.argmax()) == 3
    else:
        np.testing.assert_array_equal(jnp.argsort(-score), [3, 0, 4, 1, 2])


def test_ranked_pairs_locks_the_strongest_majorities(x64):
    # Tideman's cycle: the weakest of three majorities is left out.
    for weakest in range(3):
        margins = np.where(np.arange(3) == weakest, 1.0, [4.0, 5.0, 6.0])
        matrix = np.zeros((3, 3))
        matrix[[0, 1, 2], [1, 2, 0]] = 10 + margins
        matrix[[1, 2, 0], [0, 1, 2]] = 10 - margins
        assert int(ranked_pairs(jnp.asarray(matrix)).argmax()) == (weakest + 1) % 3


def test_ties_and_missing_ranks_in_the_matrix(x64):
    nan = np.nan
    ranks = np.array([[1.0, 1.0, 3.0, nan], [2.0, 1.0, nan, 3.0], [nan, nan, nan, 1.0]])
    weight = np.array([2.0, 3.0, 5.0])
    expected = np.zeros((4, 4))
    for row, w in zip(ranks, weight, strict=True):
        for i, j in itertools.permutations(range(4), 2):
            expected[i, j] += w * ((row[i] < row[j]) + 0.5 * (row[i] == row[j]))
    found = jax.jit(pairwise_matrix)(jnp.asarray(ranks), weight=jnp.asarray(weight))
    np.testing.assert_array_equal(found, expected)


def test_unlisted_items_are_absent_or_last():
    absent = Rankings.from_orders([[2, 0], [1]], n_items=4)
    last = Rankings.from_orders([[2, 0], [1]], n_items=4, unlisted="last")
    np.testing.assert_array_equal(
        pairwise_matrix(absent, n_items=4), np.zeros((4, 4)) + (np.arange(16) == 8).reshape(4, 4)
    )
    # First row: 2 > 0 > {1, 3} tied; second: 1 > {0, 2, 3} tied.
    np.testing.assert_array_equal(
        pairwise_matrix(last),
        np.array([[0, 1, 0.5, 1.5], [1, 0, 1, 1.5], [1.5, 1, 0, 1.5], [0.5, 0.5, 0.5, 0]]),
    )


def test_a_table_is_wins_and_half_ties():
    table = PairCounts.from_arrays([[0, 3, 0], [1, 0, 2], [0, 0, 0]], [[0, 2, 0], [2, 0, 0], [0, 0, 0]])
    np.testing.assert_array_equal(pairwise_matrix(table), [[0, 4, 0], [2, 0, 2], [0, 0, 0]])


def test_compiled_rankings_need_the_number_of_items():
    rankings = Rankings.from_orders([[1, 0], [0, 1]])
    compiled = jax.jit(pairwise_matrix, static_argnames="n_items")
    np.testing.assert_array_equal(compiled(rankings, n_items=3), [[0, 1, 0], [1, 0, 0], [0, 0, 0]])
    with pytest.raises(ValueError, match="pass n_items"):
        compiled(rankings)
    with pytest.raises(ValueError, match="item id 1, but n_items is 1"):
        pairwise_matrix(rankings, n_items=1)
    with pytest.raises(ValueError, match="over 3 items"):
        pairwise_matrix(Rankings.from_orders([[1, 0]], n_items=3, unlisted="last"), n_items=2)
    with pytest.raises(ValueError, match="table is of 2 items"):
        pairwise_matrix(PairCounts.from_arrays([[0, 1], [0, 0]]), n_items=3)
