"""Everything that can be wrong with data, and what is said about it."""

import math
import re

import numpy as np
import pandas as pd
import polars as pl
import pytest

from scorax.data import Annotations, Comparisons, PairCounts, Rankings, Vocabulary

NAN = math.nan
BATTLES = {"model_a": ["x", "y", "x"], "model_b": ["y", "z", "z"], "winner": ["model_a", "tie", "model_b"]}
RANKS = {"ranking": [1, 1, 2, 2], "item": ["x", "y", "x", "y"], "rank": [1, 2, 2, 1]}
LABELS = {"item": [1, 1, 2], "judge": ["j", "k", "j"], "label": [1, 2, 2]}


def battles(**columns):
    options = {name: columns.pop(name) for name in list(columns) if name not in (*BATTLES, "votes", "order_")}
    return Comparisons.from_frame(BATTLES | columns, **options)


COMPARISONS = {
    "empty": (lambda: Comparisons.from_arrays([], [], []), "there are no comparisons: the data are empty"),
    "names": (lambda: Comparisons.from_arrays(["x"], ["y"], [1]), "a holds <U1 values, not integer ids. Names become"),
    "negative id": (lambda: Comparisons.from_arrays([0, -1], [1, 0], [1, 1]), "a is no id from 0"),
    "large id": (
        lambda: Comparisons.from_arrays([0, 3], [1, 0], [1, 1], n_items=3),
        "a is no id from 0 to 2 in 1 row (row 1). Ids count from 0.",
    ),
    "lengths": (lambda: Comparisons.from_arrays([0, 1], [1], [1, 1]), "b has shape (1,)"),
    "self": (
        lambda: Comparisons.from_arrays([0, 1, 2, 3, 0], [0, 1, 2, 3, 1], [1] * 5),
        "an item is compared with itself in 4 rows (rows 0, 1, 2, ...). Drop these rows.",
    ),
    "outcome": (
        lambda: Comparisons.from_arrays([0, 1], [1, 0], [1, 1.5]),
        "outcome is above 1 in 1 row (row 1). It must be between 0 and 1.",
    ),
    "NaN": (lambda: Comparisons.from_arrays([0, 1], [1, 0], [NAN, 1]), "outcome is missing (NaN) in 1 row (row 0)"),
    "weight": (lambda: Comparisons.from_arrays([0], [1], [1], weight=[-1]), "weight is negative in 1 row (row 0)"),
    "infinite": (lambda: Comparisons.from_arrays([0], [1], [1], weight=[math.inf]), "weight is infinite in 1 row"),
    "no weight": (lambda: Comparisons.from_arrays([0], [1], [1], weight=[0]), "every weight is 0"),
    "count": (
        lambda: Comparisons.from_arrays([0, 0], [1, 1], [1, 1], weight=[1, 1], count=[0, 1]),
        "weight is not 0 although count is 0 in 1 row",
    ),
    "order": (lambda: Comparisons.from_arrays([0], [1], [1], order=[0.5]), "order is not +1, -1 or 0 in 1 row"),
    "features": (lambda: Comparisons.from_arrays([0], [1], [1], features=[1, 2]), "features has shape (2,)"),
    "text": (lambda: Comparisons.from_arrays([0], [1], ["win"]), "outcome holds <U3 values, not numbers"),
    "cluster": (lambda: Comparisons.from_arrays([0], [1], [1], cluster=["v"]), "cluster holds <U1 values, not integer"),
    "square": (lambda: PairCounts.from_arrays([[0, 1]]), "wins has shape (1, 2)"),
    "diagonal": (lambda: PairCounts.from_arrays(np.eye(2)), "wins has an item compared with itself in 2 rows"),
    "no counts": (lambda: PairCounts.from_arrays(np.zeros((2, 2))), "all counts are 0"),
    "ties": (lambda: PairCounts.from_arrays(np.zeros((2, 2)), [[0, 1], [2, 0]]), "neither symmetric nor one triangle"),
}
FRAMES = {
    "no table": (lambda: Comparisons.from_frame(7), "cannot read a int as a table"),
    "lazy": (lambda: Comparisons.from_frame(pl.LazyFrame(BATTLES)), "collect it first"),
    "no rows": (lambda: Comparisons.from_frame(pd.DataFrame(columns=list(BATTLES))), "there are no rows"),
    "no columns": (lambda: Comparisons.from_frame({}), "the table has no columns"),
    "ragged": (lambda: Comparisons.from_frame({"a": [1], "b": [1, 2]}), "the columns have different lengths: [1, 2]"),
    "unknown columns": (
        lambda: Comparisons.from_frame({"p": ["x"], "q": ["y"], "winner": ["x"]}),
        "cannot tell which columns hold the two items (tried model_a/model_b, item_a/item_b, a/b, left/right, "
        "winner/loser); the columns are 'p', 'q', 'winner'. Name them with item_a=... and item_b=...",
    ),
    "one column": (lambda: battles(item_a="model_a"), "item_a and item_b go together"),
    "misspelt": (
        lambda: battles(item_a="model", item_b="model_b"),
        "there is no column 'model' for item_a; the columns are 'model_a', 'model_b', 'winner'",
    ),
    "no outcome": (
        lambda: Comparisons.from_frame({"a": ["x"], "b": ["y"]}),
        "there is no column for outcome (tried 'winner', 'outcome'); the columns are 'a', 'b'",
    ),
    "unknown outcome": (
        lambda: battles(winner=["model_c", "TIE?", "model_c"]),
        "column 'winner' holds 3 values that are no outcome: 'model_c' (rows 0, 2), 'TIE?' (row 1).\n"
        "Expected 'model_a', 'model_b', 'tie', 'tie (bothbad)', the name of the winner, or a number in [0, 1].\n"
        "Pass outcomes={'model_c': 0.5, ...} to say what they mean, or drop the rows.",
    ),
    "number outside": (lambda: battles(winner=[1, 2, 0]), "holds 1 value that is no outcome: '2' (row 1)"),
    "someone else won": (lambda: battles(winner=["x", "x", "z"]), "holds 1 value that is no outcome: 'x' (row 1)"),
    "two meanings": (
        lambda: Comparisons.from_frame({"model_a": ["b", "c"], "model_b": ["a", "b"], "winner": ["a", "c"]}),
        "column 'winner' has two meanings, the name of one item and a word for the other side or a tie, in 1 row",
    ),
    "bad meaning": (lambda: battles(outcomes={"tie": 2}), "outcomes={'tie': 2.0} is no outcome"),
    "missing outcome": (lambda: battles(winner=["tie", None, "tie"]), "column 'winner' is missing in 1 row (row 1)"),
    "missing item": (lambda: battles(model_a=["x", "", "x"]), "column 'model_a' is missing in 1 row (row 1)"),
    "itself": (lambda: battles(model_b=["x", "z", "x"]), "an item is compared with itself (x) in 2 rows (rows 0, 2)"),
    "negative weight": (
        lambda: battles(votes=[1, -1, 1], weight="votes"),
        "column 'votes' is negative in 1 row (row 1). It must be at least 0.",
    ),
    "weight in words": (
        lambda: battles(votes=["1", "many", "2"], weight="votes"),
        "column 'votes' holds text that is no number, such as 'many', in 1 row (row 1)",
    ),
    "order": (lambda: battles(order_=[1, 3, 1], order="order_"), "column 'order_' is above 1 in 1 row"),
    "stranger": (lambda: battles(vocabulary=Vocabulary(("x", "y"))), "1 names are unknown: 'z'"),
}
RANKINGS = {
    "empty": (lambda: Rankings.from_orders([]), "there are no rankings"),
    "empty ranking": (lambda: Rankings.from_orders([[0, 1], []]), "a ranking is empty in 1 row (row 1)"),
    "twice": (lambda: Rankings.from_orders([[0, 1], [1, 1]]), "an item is listed twice in 1 row (row 1)"),
    "names": (lambda: Rankings.from_orders([["x", "y"]]), "order holds <U1 values, not integer ids"),
    "unknown": (lambda: Rankings.from_orders([["z"]], vocabulary=Vocabulary(("x",))), "1 names are unknown: 'z'"),
    "option": (lambda: Rankings.from_orders([[0, 1]], unlisted="worst"), "unlisted must be 'absent' or 'last'"),
    "large": (lambda: Rankings.from_orders([[0, 9]], n_items=3, unlisted="last"), "order is no id from 0 to 2"),
    "gap": (lambda: Rankings.from_arrays([[0, 1]], where=[[False, True]]), "a ranking has a gap"),
    "rest": (
        lambda: Rankings.from_arrays([[0, 1]], rest=[[True, False, True]]),
        "an item is both listed and in rest in 1 row (row 0)",
    ),
    "width": (
        lambda: Rankings.from_arrays([[0, 5]], rest=[[False, True]]),
        "an item id is 2 or more, the width of rest",
    ),
    "shape": (lambda: Rankings.from_arrays([0, 1]), "order has shape (2,); expected [n, l]"),
    "falling levels": (
        lambda: Rankings.from_arrays([[0, 1], [1, 0]], tie_level=[[0, 0], [1, 0]]),
        "tie_level falls along a ranking in 1 row (row 1). Items are listed best first",
    ),
    "levels of another shape": (
        lambda: Rankings.from_arrays([[0, 1]], tie_level=[[0]]),
        "tie_level has shape (1, 1), the rankings (1, 2)",
    ),
    "empty group": (
        lambda: Rankings.from_orders([[0, 1], [0, (), 1]]),
        "a group of tied items is empty in 1 row (row 1). Leave it out",
    ),
    "negative rank": (lambda: Rankings.from_rank_matrix([[1, -2]]), "a rank is negative in 1 row (row 0)"),
    "unranked": (lambda: Rankings.from_rank_matrix([[1, 2], [0, NAN]]), "nothing is ranked in 1 row (row 1)"),
    "item twice": (
        lambda: Rankings.from_frame(RANKS | {"item": ["x", "y", "y", "y"]}),
        "an item appears twice in a ranking in 1 row (row 3)",
    ),
    "weights": (
        lambda: Rankings.from_frame(RANKS | {"w": [1, 2, 1, 1]}, weight="w"),
        "column 'w' changes within a ranking in 1 row (row 1)",
    ),
    "column": (lambda: Rankings.from_frame(RANKS, item="name"), "there is no column 'name' for item"),
}
ANNOTATIONS = {
    "empty": (lambda: Annotations.from_arrays(np.zeros((0, 2)), np.zeros((0, 2))), "there are no annotations"),
    "shapes": (lambda: Annotations.from_arrays([[0]], [[0, 1]]), "label has shape (1, 1), judge (1, 2)"),
    "level": (lambda: Annotations.from_arrays([[0, 3]], [[0, 1]], n_levels=3), "label is no id from 0 to 2 in 1 row"),
    "gold": (lambda: Annotations.from_arrays([[0, 1]], [[0, 1]], gold=[2], n_levels=2), "gold is no id from 0 to 1"),
    "idle": (
        lambda: Annotations.from_arrays([[0, 1]], [[0, 1]], n_judges=3),
        "1 of 3 judges gave no label (first: [2])",
    ),
    "outside": (
        lambda: Annotations.from_frame(LABELS | {"label": [1, 2, 7]}, levels=[1, 2, 3]),
        "column 'label' has a rating outside the levels (7) in 1 row (row 2). The levels are 1, 2, 3;",
    ),
    "dense outside": (
        lambda: Annotations.from_dense([[1, 2], [5, 1]], levels=[1, 2]),
        "a rating is outside the levels in 1 row (row 1). The levels are 1, 2;",
    ),
    "judge without ratings": (
        lambda: Annotations.from_frame(LABELS, judges=["j", "k", "l"]),
        "1 of 3 judges have no ratings: 'l'. Nothing can be learned about them",
    ),
    "dense judge": (lambda: Annotations.from_dense([[1, NAN], [2, NAN]]), "1 of 2 judges have no ratings: '1'"),
    "dense item": (lambda: Annotations.from_dense([[1, 2], [NAN, NAN]]), "an item has no rating in 1 row (row 1)"),
    "dense names": (lambda: Annotations.from_dense([[1, 2]], judges=["x"]), "there are 1 judges for ratings of shape"),
    "unknown judge": (lambda: Annotations.from_frame(LABELS, judges=["j"]), "a judge is not among the judges given"),
    "single level": (
        lambda: Annotations.from_frame(LABELS | {"label": [1, 1, 1]}),
        "column 'label' has a single level",
    ),
    "missing": (lambda: Annotations.from_frame(LABELS | {"label": [1, None, 2]}), "column 'label' is missing in 1 row"),
    "disagree": (
        lambda: Annotations.from_frame(LABELS | {"gold": [1, 2, 1]}),
        "column 'gold' changes within an item in 1 row (row 1)",
    ),
    "no judge": (
        lambda: Annotations.from_frame({"item": [1], "label": [1]}),
        "there is no column for judge (tried 'judge', 'rater', 'annotator', 'worker', 'grader')",
    ),
}
CASES = {
    f"{group}: {name}": case
    for group, cases in {
        "comparisons": COMPARISONS,
        "frames": FRAMES,
        "rankings": RANKINGS,
        "annotations": ANNOTATIONS,
    }.items()
    for name, case in cases.items()
}


@pytest.mark.parametrize(("act", "message"), CASES.values(), ids=CASES)
def test_the_error_says_what_where_and_how(act, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        act()
