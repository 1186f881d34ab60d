"""Files and standard input as data frames, and their columns as numbers."""

import sys
from typing import Any

import narwhals as nw
import numpy as np

from scorax.data import read_table, refuse


def read_file(file: str) -> Any:
    """The table in a file, or on standard input if `file` is `-`, as a narwhals data frame."""
    frame = read_table(sys.stdin.buffer if file == "-" else file)
    return nw.from_native(frame, eager_only=True)


def numbers(frame: Any, name: str, *, gaps: bool = False, mend: str = "") -> np.ndarray:
    """A column as numbers.

    Args:
        frame: What `read_file` returned.
        name: Of a column that is there.
        gaps: Whether values may be missing: they are NaN then.
        mend: What to do about text.

    Raises:
        ValueError: It holds text that is no number, or a value is missing.
    """
    raw = frame[name].to_list()
    missing = np.array([value is None or value == "" or value != value for value in raw])
    values = np.array([np.nan if gone else _number(value) for value, gone in zip(raw, missing, strict=True)])
    wrong = np.isnan(values) & ~missing & np.array([str(value).strip().lower() != "nan" for value in raw])
    if wrong.any():
        example = next(value for value, bad in zip(raw, wrong, strict=True) if bad)
        refuse(wrong, f"column {name!r} holds text that is no number, such as {example!r},", mend)
    if not gaps:
        refuse(np.isnan(values), f"column {name!r} is missing", "Drop these rows or fill them in.")
    return values


def require(frame: Any, name: str, role: str) -> None:
    """Raise `ValueError` where there is no such column."""
    if name not in frame.columns:
        present = ", ".join(map(repr, frame.columns))
        raise ValueError(f"there is no column {name!r} for {role}; the columns are {present}")


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")
