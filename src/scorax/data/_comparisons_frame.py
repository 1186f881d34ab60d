"""How a table of battles becomes arrays: which columns, and what the words of its outcome mean."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from scorax.data._frame import Table, as_name, as_number, natural
from scorax.data._validate import refuse
from scorax.data._vocabulary import Vocabulary

_PAIRS = (
    ("model_a", "model_b"),
    ("item_a", "item_b"),
    ("a", "b"),
    ("left", "right"),
)
_OUTCOMES = ("winner", "outcome")
_WINS = {"model_a": 1.0, "model_b": 0.0, "a": 1.0, "b": 0.0, "A": 1.0, "B": 0.0}
_WORDS = _WINS | dict.fromkeys(("tie", "tie (bothbad)", "both_bad", "bothbad"), 0.5)


def comparisons_columns(
    frame: Any,
    item_a: str | None,
    item_b: str | None,
    outcome: str | float | int | None,
    weight: str | None,
    count: str | None,
    order: str | None,
    features: Sequence[str] | None,
    cluster: str | None,
    time: str | None,
    outcomes: Mapping[Any, float | int] | None,
    vocabulary: Vocabulary | None,
) -> tuple[dict[str, Any], Vocabulary]:
    """Arguments of `Comparisons.from_arrays`, and the names of the items."""
    table = Table(frame)
    item_a, item_b = _pair(table, item_a, item_b)
    words = table.words(item_a), table.words(item_b)
    known = Vocabulary.of(natural({*words[0].distinct, *words[1].distinct}))
    a, b = (side.ids(known) for side in words)
    same = a == b
    itself = sorted(known[i] for i in np.unique(a[same])[:3])
    refuse(same, f"an item is compared with itself ({', '.join(itself)})", "Drop these rows.")
    if outcome is None and (item_a, item_b) == ("winner", "loser"):
        outcome = 1.0
    if isinstance(outcome, int | float):
        won = np.full(len(table), float(outcome))
    else:
        won = _outcome(
            table, table.find(outcome, "outcome", _OUTCOMES), (item_a, item_b), (a, b), known, outcomes or {}
        )
    if vocabulary is not None:
        a, b = (side.ids(vocabulary) for side in words)
    columns = {
        "a": a,
        "b": b,
        "outcome": won,
        "weight": None if weight is None else table.numbers(table.require(weight, "weight"), lower=0.0),
        "count": None if count is None else table.numbers(table.require(count, "count"), lower=0.0),
        "order": None if order is None else table.numbers(table.require(order, "order"), lower=-1.0, upper=1.0),
        "features": None
        if features is None
        else np.stack([_feature(table, name) for name in table.require_all(features, "features")], axis=1),
        "cluster": None if cluster is None else table.groups(table.require(cluster, "cluster")),
        "time": None if time is None else table.numbers(table.require(time, "time")),
    }
    return columns, known if vocabulary is None else vocabulary


def _feature(table: Table, name: str) -> np.ndarray:
    values = table.numbers(name)
    if not values.any():
        raise ValueError(f"column {name!r} is 0 in every row, and so says nothing of either side: leave it out")
    return values


def _pair(table: Table, item_a: str | None, item_b: str | None) -> tuple[str, str]:
    """The two columns of items."""
    if item_a is not None and item_b is not None:
        return table.require(item_a, "item_a"), table.require(item_b, "item_b")
    if item_a is not None or item_b is not None:
        raise ValueError("item_a and item_b go together: name both columns or neither")
    for pair in (*_PAIRS, ("winner", "loser")):
        if all(name in table.names for name in pair):
            return pair
    tried = ", ".join(f"{a}/{b}" for a, b in (*_PAIRS, ("winner", "loser")))
    raise ValueError(
        f"cannot tell which columns hold the two items (tried {tried}); the columns are "
        f"{', '.join(map(repr, table.names))}. Name them with item_a=... and item_b=..."
    )


def _outcome(
    table: Table,
    column: str,
    sides: tuple[str, str],
    items: tuple[np.ndarray, np.ndarray],
    known: Vocabulary,
    meanings: Mapping[Any, float | int],
) -> np.ndarray:
    """Outcomes from the side of the first item, from words, names of items or numbers."""
    told = {as_name(word): float(value) for word, value in meanings.items()}
    for word, value in told.items():
        if not 0 <= value <= 1:
            raise ValueError(f"outcomes={{{word!r}: {value}}} is no outcome: it must be between 0 and 1")
    said = table.words(column)
    words = _WORDS | {sides[0]: 1.0, sides[1]: 0.0}
    by_word = np.array([told.get(word, words.get(word, _fraction(word))) for word in said.distinct])[said.place]
    settled = np.array([word in told for word in said.distinct])[said.place]
    named = np.array([known.index(word) if word in known else -1 for word in said.distinct])[said.place]
    by_name = np.where(named == items[0], 1.0, np.where(named == items[1], 0.0, np.nan))
    torn = ~settled & (by_word != by_name) & ~np.isnan(by_word) & ~np.isnan(by_name)
    refuse(
        torn,
        f"column {column!r} has two meanings, the name of one item and a word for the other side or a tie,",
        "Pass outcomes={...} to say what the words mean, or rename the items.",
    )
    won = np.where(np.isnan(by_word), by_name, by_word)
    if np.isnan(won).any():
        raise ValueError(_not_understood(column, sides, said.rows, np.isnan(won)))
    return won


def _fraction(word: str) -> float:
    """The number that a word stands for if it is between 0 and 1, else NaN."""
    value = as_number(word)
    return value if 0 <= value <= 1 else float("nan")


def _not_understood(column: str, sides: tuple[str, str], text: np.ndarray, bad: np.ndarray) -> str:
    rows = np.flatnonzero(bad)
    words = list(dict.fromkeys(text[rows].tolist()))
    listed = [
        f"{word!r} (row{'s' * (len(where) > 1)} {', '.join(map(str, where[:3]))}{', ...' * (len(where) > 3)})"
        for word in words[:3]
        for where in [rows[text[rows] == word]]
    ]
    more = ", ..." if len(words) > 3 else ""
    value = "value that is" if rows.size == 1 else "values that are"
    return (
        f"column {column!r} holds {rows.size} {value} no outcome: {', '.join(listed)}{more}.\n"
        f"Expected {sides[0]!r}, {sides[1]!r}, 'tie', 'tie (bothbad)', the name of the winner, or a number in [0, 1].\n"
        f"Pass outcomes={{{words[0]!r}: 0.5, ...}} to say what they mean, or drop the rows."
    )
