"""How a table of scores becomes columns of numbers and names."""

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

import narwhals as nw
import numpy as np

from scorax.data import Vocabulary, refuse
from scorax.learning._dates import is_missing, to_years

_TIME = ("time", "date", "timestamp", "year")
_SCORE = ("score", "value", "rating", "opinion")


def score_columns(
    frame: Any,
    time: str | None,
    score: str | None,
    group: str | None,
    weight: str | None,
    count: str | None,
    vocabulary: Vocabulary | None,
) -> tuple[dict[str, Any], Vocabulary]:
    """Arguments of `TimedScores.from_arrays`, and the names of the groups."""
    columns = _columns(frame)
    times, scores = _find(columns, time, "time", _TIME), _find(columns, score, "score", _SCORE)
    when = _complete(columns, times)
    found: dict[str, Any] = {
        "time": _years(times, when) if _holds_dates(when) else _numbers(times, when),
        "score": _numbers(scores, _complete(columns, scores)),
    }
    for role, name in (("weight", weight), ("count", count)):
        if name is not None:
            found[role] = _numbers(name, _complete(columns, _find(columns, name, role, ())))
    if group is None:
        return found, Vocabulary(("all",)) if vocabulary is None else vocabulary
    named = [_name(value) for value in _complete(columns, _find(columns, group, "group", ()))]
    names = Vocabulary.of(named) if vocabulary is None else vocabulary
    return {**found, "group": names.encode(named), "n_groups": len(names)}, names


def _columns(frame: Any) -> dict[str, Any]:
    """The columns by name, each as it came."""
    if isinstance(frame, Mapping):
        columns = {str(name): column for name, column in frame.items()}
        lengths = sorted({len(column) for column in columns.values()})
        if len(lengths) > 1:
            raise ValueError(f"the columns have different lengths: {lengths}")
    else:
        try:
            table = nw.from_native(frame, eager_only=True)
        except TypeError:
            raise ValueError(
                f"cannot read a {type(frame).__name__} as a table; pass a pandas or polars data frame, a pyarrow "
                "table, or a mapping from names to columns (a lazy frame: collect it first)"
            ) from None
        columns = {name: table[name] for name in table.columns}
    if not columns or not len(next(iter(columns.values()))):
        raise ValueError("there are no scores: the table is empty")
    return columns


def _find(columns: Mapping[str, Any], name: str | None, role: str, usual: Sequence[str]) -> str:
    present = ", ".join(map(repr, columns))
    if name is not None:
        if name not in columns:
            raise ValueError(f"there is no column {name!r} for {role}; the columns are {present}")
        return name
    for guess in usual:
        if guess in columns:
            return guess
    tried = ", ".join(map(repr, usual))
    raise ValueError(
        f"there is no column for {role} (tried {tried}); the columns are {present}. Name it with {role}=..."
    )


def _complete(columns: Mapping[str, Any], name: str) -> list[Any]:
    """The values of a column as Python objects, all of which are there."""
    column = columns[name]
    if isinstance(column, np.ndarray) and column.dtype.kind == "M":
        column = column.astype("datetime64[us]").astype(object)
    values = column.to_list() if isinstance(column, nw.Series) else np.asarray(column, object).tolist()
    refuse([is_missing(value) for value in values], f"column {name!r} is missing", "Drop these rows or fill them in.")
    return values


def _holds_dates(values: list[Any]) -> bool:
    return any(isinstance(value, datetime.date | np.datetime64) for value in values) or (
        any(isinstance(value, str) for value in values) and any(np.isnan(_number(value)) for value in values)
    )


def _years(name: str, values: list[Any]) -> np.ndarray:
    try:
        return to_years(values)
    except ValueError as error:
        raise ValueError(f"column {name!r}: {error}") from None


def _numbers(name: str, values: list[Any]) -> np.ndarray:
    parsed = np.array([_number(value) for value in values], np.float64)
    wrong = np.isnan(parsed)
    examples = ", ".join(sorted({repr(value) for value, bad in zip(values, wrong, strict=True) if bad})[:3])
    refuse(wrong, f"column {name!r} holds values that are no number, such as {examples},")
    return parsed


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")


def _name(value: Any) -> Any:
    """Whole numbers are written without a point, and sorted as numbers by the vocabulary."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
