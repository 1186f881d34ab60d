"""Groups of rows: numbered as they appear, and laid side by side where their lengths differ."""

import numpy as np


def padded(values: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Groups that stand one after the other, side by side with zeros at their ends, and what is filled.

    Example:
        >>> padded(np.array([5, 6, 7]), np.array([2, 1]))[0].tolist()
        [[5, 6], [7, 0]]
    """
    where = np.arange(lengths.max()) < lengths[:, None]
    rectangle = np.zeros(where.shape, values.dtype)
    rectangle[where] = values
    return rectangle, where


def appearance(code: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows where each of the codes is met first, and every row's number among these.

    Args:
        code: Integers from 0, not much larger than there are rows.

    Example:
        >>> first, number = appearance(np.array([7, 2, 7]))
        >>> first.tolist(), number.tolist()
        ([0, 1], [0, 1, 0])
    """
    rows = np.arange(len(code))
    first = np.full(int(code.max()) + 1, -1)
    # Of repeated indices the last assignment stays: backwards, that is the first row.
    first[code[::-1]] = rows[::-1]
    met = np.sort(first[first >= 0])
    first[code[met]] = rows[: len(met)]
    return met, first[code]


def codes(values: np.ndarray) -> np.ndarray:
    """Integers from 0, equal where the values are, and smaller than the number of rows."""
    return np.unique(values, return_inverse=True)[1]
