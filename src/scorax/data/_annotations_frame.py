"""How tables of labels become padded rows of ids."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from scorax.data._frame import Table, as_name, as_number, as_text, encode, natural
from scorax.data._ragged import appearance, codes, padded
from scorax.data._validate import refuse
from scorax.data._vocabulary import Vocabulary

_ITEM = ("item", "question", "task")
_JUDGE = ("judge", "rater", "annotator", "worker", "grader")
_LABEL = ("label", "rating", "score")
_CANDIDATE = ("candidate", "model")


def annotations_columns(
    frame: Any,
    item: str | None,
    judge: str | None,
    label: str | None,
    candidate: str | None,
    gold: str | None,
    weight: str | None,
    levels: Sequence[Any] | None,
    judges: Sequence[Any] | None,
) -> tuple[dict[str, Any], dict[str, Vocabulary]]:
    """Arguments of `Annotations.from_arrays`, and what the ids stand for, from a long table."""
    table = Table(frame)
    items = table.text(table.find(item, "item", _ITEM))
    who = table.text(table.find(judge, "judge", _JUDGE))
    label = table.find(label, "label", _LABEL)
    marks = table.text(label)
    candidate = table.find_optional(candidate, "candidate", _CANDIDATE)
    gold = table.find_optional(gold, "gold", ("gold",))
    weight = table.find_optional(weight, "weight", ("weight",))

    owner = None if candidate is None else table.text(candidate)
    first, row = appearance(codes(_pairs(items, owner)))
    truth, unknown = (None, None) if gold is None else _one_per_row(table, gold, first, row)
    weights = None
    if weight is not None:
        weights = table.numbers(weight, lower=0.0)
        refuse(weights != weights[first][row], f"column {weight!r} changes within an item")
        weights = weights[first]

    scale = _scale(f"column {label!r}", levels, marks, None if truth is None or unknown is None else truth[~unknown])
    panel = Vocabulary.of(natural(who)) if judges is None else Vocabulary(tuple(map(as_name, judges)))
    owners = _single() if owner is None else Vocabulary.of(natural(owner))
    by_row = np.argsort(row, kind="stable")
    lengths = np.bincount(row)
    label_ids, where = padded(_level_ids(f"column {label!r}", marks, scale)[by_row], lengths)
    judge_ids = _judge_ids(who, panel)
    columns: dict[str, Any] = {
        "label": label_ids,
        "judge": padded(judge_ids[by_row], lengths)[0],
        "where": where,
        "weight": weights,
        "candidate": None if owner is None else encode(owner[first], owners),
    }
    if truth is not None and unknown is not None:
        columns |= _gold(f"column {gold!r}", truth, unknown, scale)
    names = _row_names(items[first], None if owner is None else owner[first])
    return columns, {"items": names, "judges": panel, "levels": scale, "candidates": owners}


def dense_columns(
    ratings: Any,
    items: Sequence[Any] | None,
    judges: Sequence[Any] | None,
    levels: Sequence[Any] | None,
    candidate: Sequence[Any] | None,
    gold: Any,
) -> tuple[dict[str, Any], dict[str, Vocabulary]]:
    """The same from a matrix of numbers with NaN for missing ones."""
    values = np.asarray(ratings, np.float64)
    if values.ndim != 2 or values.size == 0:
        raise ValueError(f"ratings have shape {values.shape}; expected [n, j]: a row an item, a column a judge")
    n, j = values.shape
    there = ~np.isnan(values)
    panel = Vocabulary(tuple(map(as_name, range(j) if judges is None else judges)))
    names = Vocabulary(tuple(map(as_name, range(n) if items is None else items)))
    for what, given, expected in (("judges", panel, j), ("items", names, n)):
        if len(given) != expected:
            raise ValueError(f"there are {len(given)} {what} for ratings of shape {values.shape}")
    _refuse_idle(panel, np.flatnonzero(~there.any(0)))
    refuse(~there.any(1), "an item has no rating", "Drop these rows.")
    marks = as_text(values[there])
    truth = None if gold is None else np.asarray(gold, np.float64)
    if truth is not None and truth.shape != (n,):
        raise ValueError(f"gold has shape {truth.shape}; expected [{n}]")
    known = None if truth is None else as_text(truth[~np.isnan(truth)])
    scale = _scale("ratings", levels, marks, known)
    row, who = np.nonzero(there)
    bad = np.zeros(n, bool)
    bad[row[[mark not in scale for mark in marks]]] = True
    refuse(bad, "a rating is outside the levels", _levels_are(scale))
    lengths = there.sum(1)
    labels, where = padded(scale.encode(marks), lengths)
    owners = _single() if candidate is None else Vocabulary.of(natural(map(as_name, candidate)))
    columns: dict[str, Any] = {
        "label": labels,
        "judge": padded(who, lengths)[0],
        "where": where,
        "candidate": None if candidate is None else owners.encode(map(as_name, candidate)),
    }
    if truth is not None:
        columns |= _gold("gold", as_text(truth), np.isnan(truth), scale)
    return columns, {"items": names, "judges": panel, "levels": scale, "candidates": owners}


def _single() -> Vocabulary:
    return Vocabulary(("all",))


def _pairs(items: np.ndarray, owner: np.ndarray | None) -> np.ndarray:
    """A number for every combination of item and candidate."""
    number = codes(items.astype(str))
    if owner is None:
        return number
    second = codes(owner.astype(str))
    return number * (int(second.max()) + 1) + second


def _row_names(items: np.ndarray, owner: np.ndarray | None) -> Vocabulary:
    """Names of rows: those of the items, and of their candidates where an item has several."""
    if owner is None or len(set(items)) == len(items):
        return Vocabulary(tuple(items))
    return Vocabulary(tuple(f"{item} / {name}" for item, name in zip(items, owner, strict=True)))


def _one_per_row(table: Table, name: str, first: np.ndarray, row: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Text of a column that may be empty but must not change within an item, and where it is empty."""
    values, missing = table.values(name)
    text = as_text(values)
    text[missing] = ""
    refuse(text != text[first][row], f"column {name!r} changes within an item")
    return text[first], missing[first]


def _scale(column: str, levels: Sequence[Any] | None, marks: np.ndarray, truth: np.ndarray | None) -> Vocabulary:
    """The levels from lowest to highest: those given, or the distinct labels sorted as numbers or as words."""
    if levels is not None:
        scale = Vocabulary(tuple(map(as_name, levels)))
    else:
        distinct = {*marks, *(() if truth is None else truth)}
        numbers = {mark: as_number(mark) for mark in distinct}
        by_size = not any(np.isnan(value) for value in numbers.values())
        scale = Vocabulary(tuple(sorted(distinct, key=numbers.__getitem__ if by_size else str)))
    if len(scale) < 2:
        raise ValueError(
            f"{column} has a single level, {list(scale)}: nothing tells items apart. "
            "Pass levels=[...] to name all levels."
        )
    return scale


def _levels_are(scale: Vocabulary) -> str:
    return f"The levels are {', '.join(scale)}; pass levels=[...] to name all of them, from lowest to highest."


def _level_ids(what: str, marks: np.ndarray, scale: Vocabulary) -> np.ndarray:
    outside = np.array([mark not in scale for mark in marks], bool)
    examples = ", ".join(list(dict.fromkeys(marks[outside]))[:3])
    refuse(outside, f"{what} has a rating outside the levels ({examples})", _levels_are(scale))
    return encode(marks, scale)


def _gold(what: str, truth: np.ndarray, unknown: np.ndarray, scale: Vocabulary) -> dict[str, np.ndarray]:
    known = np.where(unknown, scale[0], truth)
    return {"gold": _level_ids(what, known, scale), "has_gold": ~unknown}


def _judge_ids(who: np.ndarray, panel: Vocabulary) -> np.ndarray:
    strangers = np.array([name not in panel for name in who], bool)
    refuse(strangers, "a judge is not among the judges given", f"Given are {', '.join(panel)}.")
    ids = encode(who, panel)
    _refuse_idle(panel, np.flatnonzero(np.bincount(ids, minlength=len(panel)) == 0))
    return ids


def _refuse_idle(panel: Vocabulary, idle: np.ndarray) -> None:
    if idle.size:
        names = ", ".join(repr(panel[int(i)]) for i in idle[:3]) + (", ..." if idle.size > 3 else "")
        raise ValueError(
            f"{idle.size} of {len(panel)} judges have no ratings: {names}. "
            "Nothing can be learned about them: leave them out."
        )
