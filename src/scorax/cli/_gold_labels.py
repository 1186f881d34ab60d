"""Labels of judges and the true ones from a file, for `scorax debias`."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from scorax.cli._label_columns import find, find_optional
from scorax.cli._reading import numbers, read_file
from scorax.data import refuse

_OPTIONAL = ("candidate", "judge")
_EVERYONE = "all"


class Labels(NamedTuple):
    """Labels by group (a candidate as one judge sees it) and item; NaN where there is none."""

    judges: tuple[str, ...]
    candidates: tuple[str, ...]
    label: np.ndarray
    """`[g, n]`: means, where a judge labelled an item several times."""
    gold: np.ndarray
    kinds: tuple[float, float] | None
    """The two values of all labels, if they are no more: gold and the judge's alike."""


def load(file: str, levels: str | None, columns: Mapping[str, str | None]) -> Labels:
    """Labels from a file; `columns` are those that the user named.

    Raises:
        ValueError: a column is not there or cannot be read, a gold label changes within an item, or there are none.
    """
    frame = read_file(file)
    found = {
        role: (find_optional if role in _OPTIONAL else find)(frame, role, column) for role, column in columns.items()
    }
    scale = None if levels is None else _scale(levels)
    label = _values(frame, str(found["label"]), scale)
    gold = _values(frame, str(found["gold"]), scale, gaps=True)
    item, candidate, judge = (_names(frame, found[role]) for role in ("item", "candidate", "judge"))
    if np.isnan(gold).all():
        raise ValueError(
            f"column {found['gold']!r} is empty: without a gold label nothing is known of the judge's errors. Have a "
            "random sample of the items labelled by people."
        )
    return _by_group(label, gold, item, candidate, judge, str(found["gold"]))


def _scale(levels: str) -> dict[str, float]:
    """What each level counts: its number, or its place."""
    words = [word.strip() for word in levels.split(",")]
    if len(set(words)) < len(words) or len(words) < 2 or not all(words):
        raise ValueError(f"--levels lists at least two different levels, as in fail,pass; not {levels!r}")
    try:
        return {word: float(word) for word in words}
    except ValueError:
        return {word: float(place + (len(words) > 2)) for place, word in enumerate(words)}


def _values(frame: Any, name: str, scale: dict[str, float] | None, *, gaps: bool = False) -> np.ndarray:
    if scale is None:
        values = numbers(frame, name, gaps=gaps, mend="Say what words mean with --levels, as in --levels fail,pass.")
        refuse(np.isinf(values), f"column {name!r} is infinite", "Drop these rows or mend them.")
        return values
    raw = frame[name].to_list()
    missing = np.array([value is None or value == "" or value != value for value in raw])
    if not gaps:
        refuse(missing, f"column {name!r} is missing", "Drop these rows or fill them in.")
    words = [str(value) for value in raw]
    strange = np.array([word not in scale and not _as_level(word, scale) for word in words]) & ~missing
    examples = ", ".join(sorted({repr(word) for word, bad in zip(words, strange, strict=True) if bad})[:3])
    refuse(strange, f"column {name!r} holds what is no level ({examples})", f"The levels are {', '.join(scale)}.")
    return np.array(
        [math.nan if gone else _level(word, scale) for word, gone in zip(words, missing, strict=True)], float
    )


def _as_level(word: str, scale: dict[str, float]) -> bool:
    """Whether a number is that of a level, written otherwise: 1.0 for 1."""
    try:
        return all(_is_number(level) for level in scale) and float(word) in scale.values()
    except ValueError:
        return False


def _level(word: str, scale: dict[str, float]) -> float:
    return scale[word] if word in scale else float(word)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _names(frame: Any, name: str | None) -> np.ndarray:
    if name is None:
        return np.full(len(frame), _EVERYONE, object)
    raw = frame[name].to_list()
    missing = np.array([value is None or value == "" for value in raw])
    refuse(missing, f"column {name!r} is missing", "Drop these rows or fill them in.")
    return np.array([str(value) for value in raw], object)


def _by_group(
    label: np.ndarray, gold: np.ndarray, item: np.ndarray, candidate: np.ndarray, judge: np.ndarray, gold_column: str
) -> Labels:
    items, column = np.unique(item.astype(str), return_inverse=True)
    names = list(dict.fromkeys(zip(judge, candidate, strict=True)))
    place = {name: i for i, name in enumerate(names)}
    row = np.array([place[name] for name in zip(judge, candidate, strict=True)])
    shape = (len(names), len(items))
    cell = row * len(items) + column
    total = np.bincount(cell, label, math.prod(shape))
    often = np.bincount(cell, minlength=math.prod(shape))
    known = ~np.isnan(gold)
    # The truth about an item does not depend on who judges it: a gold label in one judge's row is all judges'.
    work = np.unique(candidate.astype(str), return_inverse=True)[1] * len(items) + column
    truth = np.full(int(work.max()) + 1, np.nan)
    truth[work[known]] = gold[known]
    changed = known & (truth[work] != gold)
    refuse(changed, f"column {gold_column!r} changes within an item", "An item has one true label; mend the others.")
    table = np.full(math.prod(shape), np.nan)
    table[cell] = truth[work]
    with np.errstate(invalid="ignore"):
        means = (total / often).reshape(shape)
    return Labels(
        tuple(str(name[0]) for name in names),
        tuple(str(name[1]) for name in names),
        means,
        table.reshape(shape),
        _kinds(label, gold[known], repeated=bool((often > 1).any())),
    )


def _kinds(label: np.ndarray, gold: np.ndarray, *, repeated: bool) -> tuple[float, float] | None:
    kinds = np.unique(np.concatenate([label, gold]))
    # The mean of several labels is neither of the two.
    return None if repeated or kinds.size != 2 else (float(kinds[0]), float(kinds[1]))
