"""What someone may pass who has read nothing: every container says what is wrong, where, and how to mend it."""

import math
import re

import jax.numpy as jnp
import numpy as np
import pandas as pd
import polars as pl
import pytest

from scorax.choice import select_committee
from scorax.data import (
    Annotations,
    Choices,
    Comparisons,
    Matches,
    PairCounts,
    Rankings,
    Responses,
    Traffic,
    Vocabulary,
    WithItemFeatures,
    connectivity,
)

NAN = math.nan
XYZ = Vocabulary(("x", "y", "z"))
BATTLES = {"a": ["x", "y"], "b": ["y", "z"], "winner": ["x", "tie"]}
LONG = {"ranking": [1, 1, 2, 2], "item": ["x", "y", "x", "y"], "rank": [1, 2, 2, 1]}
VOTES = Comparisons.from_arrays([0, 1], [1, 2], [1, 0.5])
POSITIONS = [[1, 2, 3, 4], [4, 3, 2, 1]]
NAMES_NEED = "values, not integer ids. If they are names, pass vocabulary=Vocabulary.of(names)"


def wide(**columns):
    options = {name: columns.pop(name) for name in ("systems", "sample") if name in columns}
    return Responses.from_wide_frame(pl.DataFrame(columns), **options)


COMPARISONS = {
    "nothing": (lambda: Comparisons.from_arrays(None, None, None), "a is no list of values, one a row, but a single"),
    "a number": (lambda: Comparisons.from_arrays(0, 1, 1), "a is no list of values, one a row, but a single int"),
    "floats": (lambda: Comparisons.from_arrays([0.0], [1.0], [1]), "a holds float64 values, not integer ids"),
    "NaN weight": (
        lambda: Comparisons.from_arrays([0, 1], [1, 0], [1, 1], weight=[1, NAN]),
        "weight is missing (NaN) in 1 row (row 1). Drop these rows or fill them in.",
    ),
    "NaN feature": (
        lambda: Comparisons.from_arrays([0, 1], [1, 0], [1, 1], features=[[1.0], [NAN]]),
        "features is missing (NaN) in 1 row (row 1)",
    ),
    "ragged features": (
        lambda: Comparisons.from_arrays([0, 1], [1, 0], [1, 1], features=[[1.0], [1.0, 2.0]]),
        "features has rows of different lengths",
    ),
    "NaN weights of a frame": (
        lambda: Comparisons.from_frame(BATTLES | {"w": [1, NAN]}, weight="w"),
        "column 'w' is missing in 1 row (row 1)",
    ),
    "a feature of zeros": (
        lambda: Comparisons.from_frame(BATTLES | {"f": [0, 0]}, features=["f"]),
        "column 'f' is 0 in every row, and so says nothing of either side: leave it out",
    ),
    "a feature as text": (
        lambda: Comparisons.from_frame(BATTLES | {"f": [0, 1]}, features="f"),
        "features is a list of columns: features=['f']",
    ),
    "no feature": (lambda: Comparisons.from_frame(BATTLES, features=[]), "features is an empty list: name columns"),
    "a number for a column": (
        lambda: Comparisons.from_frame({"a": "x", "b": "y", "winner": "x"}),
        "column 'a' has shape (); expected a list of single values",
    ),
    "lists in a column": (
        lambda: Comparisons.from_frame(pl.DataFrame({"a": [["x"]], "b": [["y"]], "winner": ["a"]})),
        "column 'a' holds a List(String) in each row; expected single values",
    ),
    "a name twice": (
        lambda: Comparisons.from_frame(pd.DataFrame([["x", "y"]], columns=["a", "a"])),
        "the table has several columns of one name (Expected unique column names, got: - 'a' 2 times): rename them",
    ),
    "never compared": (
        lambda: connectivity(VOTES, 4).check(("x", "y", "z", "w")),
        "no finite maximum-likelihood ratings: 'w' was never compared",
    ),
    "a row that is not there": (lambda: VOTES.take([0, 7]), "there are 2 rows, so none has the number 7"),
    "truths of other rows": (
        lambda: VOTES.take([True]),
        "rows holds truth values of shape (1,); expected one for each",
    ),
    "new weights": (lambda: VOTES.reweight([1.0, NAN]), "weight is missing (NaN) in 1 row (row 1)"),
    "no pairs": (lambda: Comparisons.from_tuples([]), "there are no comparisons: the data are empty"),
    "text for pairs": (
        lambda: Comparisons.from_tuples("xy"),
        "comparisons are a list of lists, not a single str. Write [(2, 0), (0, 1)]",
    ),
    "texts for pairs": (
        lambda: Comparisons.from_tuples([("x", "y"), "xy"], vocabulary=XYZ),
        "a comparison is no list in 1 row (row 1). Write [(2, 0), (0, 1)]: the winner, and the loser.",
    ),
    "sets for pairs": (lambda: Comparisons.from_tuples([{0, 1}]), "a comparison is no list in 1 row (row 0)"),
    "triples": (lambda: Comparisons.from_tuples([(0, 1), (0, 1, 1)]), "a comparison is no pair in 1 row (row 1)"),
    "pairs of names": (lambda: Comparisons.from_tuples([("x", "y")]), f"pairs holds <U1 {NAMES_NEED}"),
    "pairs of strangers": (lambda: Comparisons.from_tuples([("x", "w")], vocabulary=XYZ), "1 names are unknown: 'w'"),
    "itself": (lambda: Comparisons.from_tuples([(1, 1)]), "an item is compared with itself in 1 row (row 0)"),
}
PAIRS = {
    "nothing": (lambda: PairCounts.from_arrays([]), "wins has shape (0,); expected [k, k]: a row and a column an item"),
    "a number": (lambda: PairCounts.from_arrays(3), "wins has shape (); expected [k, k]"),
    "ragged": (lambda: PairCounts.from_arrays([[0, 1], [1]]), "wins has rows of different lengths"),
    "negative": (lambda: PairCounts.from_arrays([[0, -1], [1, 0]]), "wins is negative in 1 row (row 0)"),
    "NaN": (lambda: PairCounts.from_arrays([[NAN, 1], [1, NAN]]), "wins is missing (NaN) in 2 rows (rows 0, 1)"),
    "never compared": (
        lambda: connectivity(PairCounts.from_arrays([[0, 1, 0], [1, 0, 0], [0, 0, 0]]), 3).check(XYZ),
        "'z' was never compared",
    ),
}
RANKINGS = {
    "nothing": (lambda: Rankings.from_arrays([]), "order has shape (0,); expected [n, l]. For lists of different"),
    "repeated": (
        lambda: Rankings.from_arrays([[0, 1, 1]]),
        "an item is listed twice in 1 row (row 0). A ranking lists",
    ),
    "repeated in a tie": (lambda: Rankings.from_orders([[0, (0, 1)]]), "an item is listed twice in 1 row (row 0)"),
    "names in an array": (lambda: Rankings.from_arrays([["x", "y"]]), "order holds <U1 values, not integer ids"),
    "names in lists": (lambda: Rankings.from_orders([["x", "y"]]), f"order holds <U1 {NAMES_NEED}"),
    "letters": (
        lambda: Rankings.from_orders(["xy", ["z", "x"]], vocabulary=XYZ),
        "a ranking is no list in 1 row (row 0). Write [['x', 'y'], ['y']]: a list each, best first.",
    ),
    "one ranking": (lambda: Rankings.from_orders([0, 1]), "a ranking is no list in 2 rows (rows 0, 1)"),
    "a set": (lambda: Rankings.from_orders([{0, 1}]), "a ranking is no list in 1 row (row 0)"),
    "ties in ties": (lambda: Rankings.from_orders([[0, (1, (2, 3))]]), "a group of tied items holds a group in 1 row"),
    "where of other values": (
        lambda: Rankings.from_arrays([[0, 1], [1, 0]], where=[[1, 1], [1, NAN]]),
        "where is neither True nor False in 1 row (row 1)",
    ),
    "rest of other values": (lambda: Rankings.from_arrays([[0, 1]], rest=[["", "", "x"]]), "rest holds <U1 values"),
    "NaN weight": (lambda: Rankings.from_arrays([[0, 1]], weight=[NAN]), "weight is missing (NaN) in 1 row (row 0)"),
    "ranks in words": (
        lambda: Rankings.from_rank_matrix([[1, 2], ["first", 2]]),
        "a rank is no number, such as 'first', in 1 row (row 1). Leave out columns that are no items.",
    ),
    "names among ranks": (
        lambda: Rankings.from_rank_matrix(pd.DataFrame({"voter": ["ann", "bob"], "x": [1, 2]})),
        "a rank is no number, such as 'ann', in 2 rows (rows 0, 1)",
    ),
    "infinite rank": (lambda: Rankings.from_rank_matrix([[1, math.inf]]), "a rank is infinite in 1 row (row 0)"),
    "ragged ranks": (lambda: Rankings.from_rank_matrix([[1, 2], [1]]), "ranks has rows of different lengths"),
    "a vector of ranks": (lambda: Rankings.from_rank_matrix([1, 2]), "ranks have shape (2,); expected [n, k]"),
    "rank 0": (
        lambda: Rankings.from_frame(LONG | {"rank": [0, 1, 2, 1]}),
        "column 'rank' is 0 in 1 row (row 0). Ranks count from 1, the best; leave out the rows of unranked items.",
    ),
    "unknown items": (lambda: Rankings.from_frame(LONG, vocabulary=Vocabulary(("x",))), "1 names are unknown: 'y'"),
    "no rows": (lambda: Rankings.from_frame(pd.DataFrame(columns=list(LONG))), "there are no rows: the data are empty"),
    "never compared": (
        lambda: connectivity(Rankings.from_orders([[0, 1], [1, 0]]), 3).check(XYZ),
        "'z' was never compared",
    ),
}
CHOICES = {
    "none": (lambda: Choices.from_lists([], []), "there are no choices: the data are empty"),
    "no others": (lambda: Choices.from_lists([0], [[]]), "there was only one item to choose from in 1 row (row 0)"),
    "lengths": (lambda: Choices.from_lists([0, 1], [[1]]), "there are 2 chosen items and 1 lists of others"),
    "among the others": (
        lambda: Choices.from_lists([0], [[0, 1]]),
        "an item is listed twice in 1 row (row 0). A choice",
    ),
    "an item for a list": (
        lambda: Choices.from_lists([0], [1]),
        "what was not chosen is no list in 1 row (row 0). Write [[1, 2], [0]]: for each choice the list of the others.",
    ),
    "letters": (lambda: Choices.from_lists(["x"], ["yz"], vocabulary=XYZ), "what was not chosen is no list in 1 row"),
    "ties": (lambda: Choices.from_lists([0], [[1, (2, 3)]]), "a group of items stands for one in 1 row (row 0)"),
    "names": (lambda: Choices.from_lists(["x"], [["y"]]), f"offered holds <U1 {NAMES_NEED}"),
    "strangers": (lambda: Choices.from_lists(["x"], [["w"]], vocabulary=XYZ), "1 names are unknown: 'w'"),
    "ids": (lambda: Choices.from_lists([0], [[7]], n_items=3), "offered is no id from 0 to 2 in 1 row (row 0)"),
    "negative weight": (lambda: Choices.from_lists([0], [[1]], weight=[-1]), "weight is negative in 1 row (row 0)"),
    "too few items": (
        lambda: Choices.from_lists([0], [[1, 2]]).rankings(2),
        "an item id is 2 or more in 1 row (row 0)",
    ),
    "no tuples": (lambda: Choices.from_tuples([]), "there are no choices: the data are empty"),
    "no pair": (lambda: Choices.from_tuples([(0, [1]), (0, 1, 2)]), "a choice is no pair in 1 row (row 1)"),
    "pairs of items": (lambda: Choices.from_tuples([(0, 1)]), "what was not chosen is no list in 1 row (row 0)"),
}
MATCHES = {
    "teams of one": (
        lambda: Matches.from_lists([[0, 1]]),
        "a team is no list in 1 row (row 0). A match is a list of teams: [['ann', 'bob'], ['cy']].",
    ),
    "letters": (lambda: Matches.from_lists([["x", "y"]], vocabulary=XYZ), "a team is no list in 1 row (row 0)"),
    "one match": (lambda: Matches.from_lists([0, 1]), "a match is no list in 2 rows (rows 0, 1)"),
    "names": (lambda: Matches.from_arrays([["x", "y"]], [[1, 2]]), "members holds <U1 values, not integer ids"),
    "unknown": (lambda: Matches.from_lists([[["x"], ["w"]]], vocabulary=XYZ), "1 names are unknown: 'w'"),
    "ranks": (lambda: Matches.from_lists([[[0], [1]]], ranks=[1]), "the ranks of a match is no list in 1 row (row 0)"),
    "NaN weight": (lambda: Matches.from_lists([[[0], [1]]], weight=[NAN]), "weight is missing (NaN) in 1 row (row 0)"),
}
RESPONSES = {
    "None": (
        lambda: Responses.from_arrays([[1, None]]),
        "value holds object values, not numbers; a missing score is NaN",
    ),
    "ragged": (lambda: Responses.from_arrays([[1, 2], [1]]), "value has rows of different lengths"),
    "where": (
        lambda: Responses.from_arrays([[1, 2]], where=[[False, False]]),
        "a sample has no score in 1 row (row 0)",
    ),
    "text": (
        lambda: wide(g=["0.5", "good"], h=["0.7", "1"]),
        "column 'g' holds text that is no number, such as 'good', in 1 row (row 1). If it names the samples, pass "
        "sample='g'; if not, name the columns of scores with systems=[...].",
    ),
    "names": (lambda: wide(q=["q1", "q2"], g=["1", "0"]), "such as 'q1', 'q2', in 2 rows (rows 0, 1). If it names"),
    "an empty column": (
        lambda: wide(g=[1.0, 2.0], h=[None, None]),
        "1 of 2 systems have no score: 'h'. Leave them out.",
    ),
    "an empty column of text": (lambda: wide(g=["1", "2"], h=["", "nan"]), "1 of 2 systems have no score: 'h'"),
    "an empty row": (lambda: wide(g=["1", ""], h=["2", ""]), "a sample has no score in 1 row (row 1)"),
    "infinite": (lambda: wide(g=["1", "inf"], h=["2", "1"]), "value is infinite in 1 row (row 1)"),
    "systems as text": (lambda: wide(g=[1], h=[2], systems="gh"), "systems is a list of columns: systems=['gh']"),
    "two roles": (
        lambda: wide(g=[1], h=[2], systems=["g", "h"], sample="g"),
        "column 'g' is named as a system and in a role of its own: leave it out of one",
    ),
    "idle": (
        lambda: Responses.from_frame({"sample": [1, 1], "model": ["x", "y"], "score": [1, 2]}, vocabulary=XYZ),
        "1 of 3 systems have no score: 'z'",
    ),
}
OTHERS = {
    "traffic of a number": (lambda: Traffic.from_edges([0, 1], [1, 0], 4, 4), "visits_in is no list of values"),
    "traffic in words": (lambda: Traffic.from_matrix([["x"]], [1], [1]), "adjacency holds <U1 values, not numbers"),
    "NaN weight of traffic": (
        lambda: Traffic.from_edges([0, 1], [1, 0], [1, 1], [1, 1], weight=[NAN, 1]),
        "weight is missing (NaN) in 1 row (row 0)",
    ),
    "annotations in words": (lambda: Annotations.from_arrays([["g"]], [["j"]]), "label holds <U1 values, not integer"),
    "features of no item": (
        lambda: WithItemFeatures.from_arrays(VOTES, []),
        "there are no features: the data are empty",
    ),
    "features of some items": (
        lambda: WithItemFeatures.from_arrays(VOTES, [1.0, 2.0]),
        "an item id is 2 or more, and item_features has 2 rows, in 1 row (row 1). Give every item a row.",
    ),
    "features of some ranked items": (
        lambda: WithItemFeatures.from_arrays(Rankings.from_orders([[1, 0], [2, 1]]), [1.0, 2.0]),
        "an item id is 2 or more, and item_features has 2 rows, in 1 row (row 1)",
    ),
    "features of a table": (
        lambda: WithItemFeatures.from_arrays(PairCounts.from_arrays([[0, 1], [1, 0]]), [1.0, 2.0, 3.0]),
        "the table is of 2 items, item_features has 3 rows: one an item",
    ),
    "constant features": (
        lambda: WithItemFeatures.from_arrays(VOTES, [[1, 2], [1, 3], [1, 4]]),
        "item_features has a column that is the same for all items (column 0): it cannot tell them apart.",
    ),
    "features in words": (
        lambda: WithItemFeatures.from_arrays(VOTES, ["s", "m", "l"]),
        "item_features holds <U1 values",
    ),
    "a missing name": (lambda: Vocabulary.of(["x", None]), "a name is missing (None or NaN)"),
    "a name that is NaN": (lambda: Vocabulary.of([1.0, NAN]), "a name is missing (None or NaN)"),
}
COMMITTEES = {
    "more than the seats": (
        lambda: select_committee(POSITIONS, 2, "k_borda", groups=[0, 0, 1, 1], lower=[2, 1]),
        "the lower bounds add up to 3, more than the 2 members",
    ),
    "more than the group": (
        lambda: select_committee(POSITIONS, 2, "k_borda", groups=[0, 0, 0, 1], lower=[0, 2]),
        "lower[1] asks for 2 members, but group 1 has 1 items",
    ),
    "fewer than the seats": (
        lambda: select_committee(POSITIONS, 3, "k_borda", groups=[0, 0, 1, 1], upper=[1, 1]),
        "the groups may give 2 members in all, fewer than the 3 to choose",
    ),
    "more groups than items": (
        lambda: select_committee(POSITIONS, 2, "k_borda", groups=[0, 1, 2, 3], lower=[1, 0, 0, 0, 0]),
        "lower must hold one whole number for each of the 4 groups",
    ),
    "more members than items": (lambda: select_committee(POSITIONS, 9, "k_borda"), "size must be between 1 and the 4"),
}
CASES = {
    f"{group}: {name}": case
    for group, cases in {
        "comparisons": COMPARISONS,
        "pairs": PAIRS,
        "rankings": RANKINGS,
        "choices": CHOICES,
        "matches": MATCHES,
        "responses": RESPONSES,
        "others": OTHERS,
        "committees": COMMITTEES,
    }.items()
    for name, case in cases.items()
}


@pytest.mark.parametrize(("act", "message"), CASES.values(), ids=CASES)
def test_the_error_says_what_where_and_how(act, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        act()


def test_scores_as_text_are_numbers():
    scores, systems = wide(
        q=["q1", "q2"], g=["0.5", " 1e1"], h=["nan", ""], m=["", "0"], sample="q", systems=["g", "m"]
    )
    np.testing.assert_array_equal(scores.value, [[0.5, 0], [10, 0]])
    np.testing.assert_array_equal(scores.where, [[True, False], [True, True]])
    assert systems.names == ("g", "m")


def test_rows_are_taken_by_lists_and_arrays_alike():
    for rows in ([1], (1,), np.array([1]), jnp.array([1]), [-1], [False, True], np.array([False, True])):
        assert VOTES.take(rows).b.tolist() == [2]
    assert VOTES.take([]).b.tolist() == []
