"""Dates as numbers: years, on a scale that is linear in time."""

import datetime
from typing import Any

import numpy as np

from scorax.data import refuse

# The mean length of a year of the Gregorian calendar.
_SECONDS_OF_A_YEAR = 365.2425 * 86400
_EPOCH = datetime.datetime(1970, 1, 1)


def to_years(dates: Any) -> np.ndarray:
    """Dates as years: 1970 plus the days since 1970-01-01 over 365.2425.

    Linear in time, so that a slope per year means the same everywhere; it differs from the calendar by a day at most in
    our times.

    Args:
        dates: A date, or a list or array of them: `datetime.date`, `datetime.datetime` (without a zone it is read as
            UTC), NumPy's `datetime64`, or text in ISO 8601 such as "2024-05-01" or "2024-05-01T12:00Z".

    Returns:
        float64, of the shape of `dates`.

    Raises:
        ValueError: a date is missing, or is none.

    Example:
        >>> to_years(["1970-01-01", "2024-07-01"]).round(3)
        array([1970.   , 2024.498])
    """
    raw = dates if isinstance(dates, np.ndarray) else _as_objects(dates)
    if raw.dtype.kind == "M":
        raw = raw.astype("datetime64[us]").astype(object)
    instants = [_instant(value) for value in raw.ravel().tolist()]
    missing = np.array([is_missing(value) for value in raw.ravel().tolist()], bool)
    refuse(missing, "a date is missing", "Drop these rows or fill them in.")
    refuse([instant is None for instant in instants], "a value is no date", "Write dates as 2024-05-01, or as numbers.")
    seconds = [(instant - _EPOCH).total_seconds() for instant in instants if instant is not None]
    return np.asarray(1970.0 + np.reshape(seconds, raw.shape) / _SECONDS_OF_A_YEAR, np.float64)


def is_missing(value: Any) -> bool:
    """Whether a cell of a table is empty: None, NaN, NaT or no text."""
    if isinstance(value, np.datetime64):
        return bool(np.isnat(value))
    return value is None or (isinstance(value, str) and not value.strip()) or bool(value != value)


def _as_objects(dates: Any) -> np.ndarray:
    """An array of Python objects, whatever NumPy would make of them."""
    if isinstance(dates, str | datetime.date | np.datetime64):
        one = np.empty((), object)
        one[()] = dates
        return one
    listed = list(dates)
    array = np.empty(len(listed), object)
    array[:] = listed
    return array


def _instant(value: Any) -> datetime.datetime | None:
    """The moment in UTC that a value stands for, if it is a date."""
    if is_missing(value):
        return None
    if isinstance(value, np.datetime64):
        value = value.astype("datetime64[us]").item()
    if isinstance(value, str):
        try:
            value = datetime.datetime.fromisoformat(value.strip())
        except ValueError:
            return None
    if isinstance(value, datetime.datetime):
        return value if value.tzinfo is None else value.astimezone(datetime.UTC).replace(tzinfo=None)
    return datetime.datetime(value.year, value.month, value.day) if isinstance(value, datetime.date) else None
