"""Tables of every library become the same arrays."""

import chex
import jax.numpy as jnp
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from scorax.data import Annotations, Comparisons, Rankings, Vocabulary

MAPPING = {
    "model_a": ["gpt", "llama", "phi", "gpt"],
    "model_b": ["llama", "phi", "gpt", "phi"],
    "winner": ["model_a", "tie", "model_b", "both_bad"],
    "votes": [1, 2, 3, 4],
    "shift": [0.5, -1.0, 0.0, 2.0],
    "voter": ["x", "y", "x", "z"],
}
LIBRARIES = {"mapping": dict, "pandas": pd.DataFrame, "polars": pl.DataFrame, "pyarrow": pa.table}
EVERY = pytest.mark.parametrize("frame", LIBRARIES.values(), ids=LIBRARIES)


@EVERY
def test_comparisons_are_the_same_from_every_library(frame):
    battles, models = Comparisons.from_frame(frame(MAPPING), weight="votes", features=["shift"], cluster="voter")
    expected = Comparisons.from_arrays(
        [0, 1, 2, 0],
        [1, 2, 0, 2],
        [1.0, 0.5, 0.0, 0.5],
        weight=[1, 2, 3, 4],
        features=np.array([[0.5], [-1.0], [0.0], [2.0]]),
        cluster=[0, 1, 0, 2],
    )
    chex.assert_trees_all_equal(battles, expected)
    assert models.names == ("gpt", "llama", "phi")


@EVERY
def test_rankings_are_the_same_from_every_library(frame):
    table = {"ranking": ["r", "r", "s", "s", "s"], "item": ["x", "y", "z", "x", "y"], "rank": [2, 1, 3, 1, 2]}
    rankings, items = Rankings.from_frame(frame(table))
    assert items.names == ("x", "y", "z")
    np.testing.assert_array_equal(rankings.order, [[1, 0, 0], [0, 1, 2]])
    np.testing.assert_array_equal(rankings.where, [[True, True, False], [True, True, True]])


@EVERY
def test_annotations_are_the_same_from_every_library(frame):
    table = {
        "question": ["q2", "q1", "q2", "q2"],
        "rater": ["ann", "ann", "bob", "ann"],
        "rating": [3, 1, 2, 3],
        "gold": [3.0, None, 3.0, 3.0],
    }
    data, names = Annotations.from_frame(frame(table))
    assert (names.items.names, names.judges.names, names.levels.names) == (
        ("q2", "q1"),
        ("ann", "bob"),
        ("1", "2", "3"),
    )
    np.testing.assert_array_equal(data.label, [[2, 1, 2], [0, 0, 0]])
    np.testing.assert_array_equal(data.judge, [[0, 1, 0], [0, 0, 0]])
    np.testing.assert_array_equal(data.where, [[True, True, True], [True, False, False]])
    np.testing.assert_array_equal(data.gold, [2, 0])
    np.testing.assert_array_equal(data.has_gold, [True, False])


@pytest.mark.parametrize("dtype", ["string", "category", "Int64", "Float32", "boolean"])
def test_pandas_extension_types(dtype):
    values = [True, False] if dtype == "boolean" else [1, 0]
    frame = pd.DataFrame({"a": ["x", "y"], "b": ["y", "x"], "winner": values})
    if dtype in ("string", "category"):
        frame["a"] = frame["a"].astype(dtype)
    else:
        frame["winner"] = frame["winner"].astype(dtype)
    battles, _ = Comparisons.from_frame(frame)
    np.testing.assert_array_equal(battles.outcome, [1, 0])


OUTCOMES = {
    "arena": (["model_a", "model_b", "tie", "tie (bothbad)"], [1, 0, 0.5, 0.5]),
    "both bad": (["both_bad", "bothbad", "a", "B"], [0.5, 0.5, 1, 0]),
    "names": (["gpt", "phi", "phi", "tie"], [1, 0, 1, 0.5]),
    "numbers": ([1, 0, 0.25, 0.5], [1, 0, 0.25, 0.5]),
    "numbers as text": (["1", "0", "0.25", "0.5"], [1, 0, 0.25, 0.5]),
    "truth": ([True, False, False, True], [1, 0, 0, 1]),
}


@pytest.mark.parametrize(("words", "outcome"), OUTCOMES.values(), ids=OUTCOMES)
def test_what_outcomes_are_understood(words, outcome):
    frame = {"model_a": ["gpt", "gpt", "phi", "phi"], "model_b": ["phi", "phi", "gpt", "gpt"], "winner": words}
    battles, _ = Comparisons.from_frame(frame)
    np.testing.assert_allclose(battles.outcome, outcome)


@pytest.mark.parametrize("pair", [("model_a", "model_b"), ("item_a", "item_b"), ("a", "b"), ("left", "right")])
@pytest.mark.parametrize("outcome", ["winner", "outcome"])
def test_usual_columns_are_found(pair, outcome):
    battles, items = Comparisons.from_frame({pair[0]: ["x"], pair[1]: ["y"], outcome: [pair[1]], "other": [7]})
    assert (battles.outcome.tolist(), items.names) == ([0.0], ("x", "y"))


def test_winner_and_loser():
    battles, items = Comparisons.from_frame({"winner": ["x", "z"], "loser": ["y", "x"]})
    assert (battles.a.tolist(), battles.b.tolist(), battles.outcome.tolist()) == ([0, 2], [1, 0], [1.0, 1.0])
    same, _ = Comparisons.from_frame({"w": ["x", "z"], "l": ["y", "x"]}, item_a="w", item_b="l", outcome=1)
    chex.assert_trees_all_equal(same, battles)
    assert items.names == ("x", "y", "z")


def test_columns_and_outcomes_by_name():
    battles, _ = Comparisons.from_frame(
        {"home": ["x", "y"], "away": ["y", "x"], "goals": ["H", "X"], "ground": [1, 0]},
        item_a="home",
        item_b="away",
        outcome="goals",
        order="ground",
        outcomes={"H": 1, "X": 0.5},
    )
    assert (battles.outcome.tolist(), battles.order.tolist()) == ([1.0, 0.5], [1.0, 0.0])


def test_codes_of_outcomes_may_be_numbers():
    frame = {"a": ["x", "y", "x"], "b": ["y", "x", "y"], "winner": [1, 2, 0]}
    battles, _ = Comparisons.from_frame(frame, outcomes={1: 1.0, 2: 0.0, 0: 0.5})
    assert battles.outcome.tolist() == [1.0, 0.0, 0.5]


def test_items_called_by_numbers_sort_by_size_and_win_by_name():
    battles, items = Comparisons.from_frame({"a": [10, 9], "b": [9, 100], "winner": [9, 9]})
    assert items.names == ("9", "10", "100")
    assert battles.outcome.tolist() == [0.0, 1.0]


def test_a_given_vocabulary_fixes_the_ids():
    known = Vocabulary(("phi", "gpt", "llama", "unseen"))
    battles, models = Comparisons.from_frame(MAPPING, vocabulary=known)
    assert models is known
    assert battles.a.tolist() == [1, 2, 0, 1]


def test_rankings_of_the_top_of_a_known_set():
    rankings, _ = Rankings.from_frame(
        {"ranking": [1, 1, 2], "item": ["x", "z", "y"], "rank": [1, 2, 1]}, unlisted="last"
    )
    np.testing.assert_array_equal(rankings.rest, [[False, True, False], [True, False, True]])


def test_rank_matrix_equals_orders():
    matrix = Rankings.from_rank_matrix([[2, 1, 3, 0], [np.nan, 5, 2, 7]])
    chex.assert_trees_all_equal(matrix, Rankings.from_orders([[1, 0, 2], [2, 1, 3]]))


def test_weights_of_rankings():
    table = {
        "ranking": [1, 1, 2, 2],
        "item": ["x", "y"] * 2,
        "rank": [1, 2, 2, 1],
        "n": [3, 3, 4, 4],
        "who": list("aabb"),
    }
    rankings, _ = Rankings.from_frame(table, weight="n", cluster="who")
    assert rankings.weight.tolist() == [3, 4]
    assert rankings.cluster is not None
    assert rankings.cluster.tolist() == [0, 1]


def test_candidates_make_rows_of_their_own():
    data, names = Annotations.from_frame(
        {"item": [1, 1, 2, 2], "judge": ["j"] * 4, "label": [0, 1, 1, 0], "model": ["m", "n", "m", "n"]}
    )
    assert names.items.names == ("1 / m", "1 / n", "2 / m", "2 / n")
    assert names.candidates.names == ("m", "n")
    assert data.candidate.tolist() == [0, 1, 0, 1]


def test_dense_equals_long():
    ratings = np.array([[1, 3, np.nan], [np.nan, 2, 2], [3, 1, 1]])
    dense, names = Annotations.from_dense(ratings, gold=[1, np.nan, 3], weight=[1, 2, 3])
    row, judge = np.nonzero(~np.isnan(ratings))
    long, same = Annotations.from_frame(
        {
            "item": row,
            "judge": judge,
            "label": ratings[row, judge].astype(int),
            "gold": np.array([1, np.nan, 3])[row],
            "weight": row + 1,
        }
    )
    chex.assert_trees_all_equal(dense, long)
    assert names == same
    assert names.values == (1.0, 2.0, 3.0)


def test_levels_in_words_keep_the_given_order():
    data, names = Annotations.from_dense([[0.0, 1.0]], levels=[0, 1, 2])
    assert names.levels.names == ("0", "1", "2")
    _, words = Annotations.from_frame(
        {"item": [1, 2], "judge": ["j", "j"], "label": ["good", "bad"]}, levels=["bad", "fair", "good"]
    )
    assert words.levels.names == ("bad", "fair", "good")
    assert words.values == (1.0, 2.0, 3.0)
    assert data.label.dtype == jnp.int32
