"""Distinct rows of several columns, on the host, by one 64-bit key."""

from collections.abc import Sequence

import numpy as np

from scorax.data._ragged import appearance, codes


def distinct_rows(columns: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The first row of every group of equal rows, in order of appearance, and every row's group.

    Args:
        columns: Arrays whose leading axis is the row; NaN equals NaN.

    Returns:
        Row numbers `[g]` and groups `[n]`.

    Example:
        >>> first, group = distinct_rows([np.array([3, 1, 3]), np.array([0.5, 0.5, 0.5])])
        >>> first.tolist(), group.tolist()
        ([0, 1], [0, 1, 0])
    """
    flat = [column for block in columns for column in block.reshape(len(block), -1).T]
    key, span = np.zeros(len(flat[0]), np.int64), 1
    for column in flat:
        code, size = _codes(column)
        if span * size >= 2**63:
            # Renumbered, the key is at most the number of rows, so that its product with another column fits.
            key = codes(key)
            span = int(key.max()) + 1
        key = key * size + code
        span *= size
    return appearance(key if span <= _room(key) else codes(key))


def _codes(column: np.ndarray) -> tuple[np.ndarray, int]:
    """Integers from 0 that are equal where the values are, and a bound on them of the order of the number of rows."""
    if column.dtype.kind == "f":
        # Outcomes are halves and weights mostly 1: their doubles are small integers, no need to sort.
        doubled = column + column
        with np.errstate(invalid="ignore"):
            whole = doubled.astype(np.int64)
        if not (whole == doubled).all():
            return _sorted_codes(column)
        column = whole
    lowest = int(column.min())
    size = int(column.max()) - lowest + 1
    return (column.astype(np.int64) - lowest, size) if size <= _room(column) else _sorted_codes(column)


def _sorted_codes(column: np.ndarray) -> tuple[np.ndarray, int]:
    code = codes(column)
    return code, int(code.max()) + 1


def _room(column: np.ndarray) -> int:
    """How many values may be numbered directly: an array of this length costs no more than sorting the rows."""
    return max(2**16, 4 * len(column))
