"""Lists of items, which differ in length: what is a list, what its items are, and what may not stand in it."""

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

import numpy as np

from scorax.data._validate import refuse, refuse_empty, to_array, to_filled_ids, to_id_array, to_where
from scorax.data._vocabulary import Vocabulary


def to_lists(rows: Any, what: str, one: str, mend: str) -> list[list[Any]]:
    """Rows that are lists each.

    A text would fall into letters, and a set has no order: neither is a list.

    Args:
        rows: An iterable of them.
        what: What there are, such as "rankings".
        one: What a row is, such as "a ranking".
        mend: How to write it.

    Example:
        >>> to_lists([(0, 1), "ab"], "rankings", "a ranking", "Write [['x', 'y']].")
        Traceback (most recent call last):
        ValueError: a ranking is no list in 1 row (row 1). Write [['x', 'y']].
    """
    if isinstance(rows, str | bytes | Mapping) or not isinstance(rows, Iterable):
        raise ValueError(f"{what} are a list of lists, not a single {type(rows).__name__}. {mend}")
    if isinstance(rows, np.ndarray) and rows.ndim > 1 and len(rows):
        return rows.tolist()
    listed = list(rows)
    refuse_empty(len(listed), what)
    refuse([not is_list(row) for row in listed], f"{one} is no list", mend)
    return [list(row) for row in listed]


def is_list(value: Any) -> bool:
    """Whether it holds items in an order."""
    if isinstance(value, list | tuple):
        return True
    if isinstance(value, np.ndarray):
        return value.ndim > 0
    return isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping | Set)


def is_group(value: Any) -> bool:
    """Whether it holds several items that are tied."""
    return isinstance(value, tuple | list | Set)


def listed_ids(name: str, items: Sequence[Any], vocabulary: Vocabulary | None) -> np.ndarray:
    """Ids of items: themselves, or what their names mean.

    Example:
        >>> listed_ids("order", ["y", "x"], Vocabulary(("x", "y"))).tolist()
        [1, 0]
    """
    if vocabulary is not None:
        return vocabulary.encode(items)
    raw = to_array(name, items)
    if raw.dtype.kind not in "iu":
        raise ValueError(
            f"{name} holds {raw.dtype} values, not integer ids. If they are names, pass "
            "vocabulary=Vocabulary.of(names), which says what they mean."
        )
    return to_id_array(name, raw)


def to_places(
    name: str, ids: Any, where: Any, n_items: int | None, *, what: str, one: str
) -> tuple[np.ndarray, np.ndarray]:
    """Ids of items `[n, l]` (0 where no place is filled) and which places are filled, checked.

    Args:
        name: Of the array.
        ids: `[n, l]`.
        where: `[n, l]`; `None` where all are filled.
        n_items: Number of items, where it is known.
        what: As in `to_lists`.
        one: As in `to_lists`.

    Raises:
        ValueError: another shape, no rows, an empty row, a gap, an item twice, ids that are no ids.
    """
    raw = to_array(name, ids)
    if raw.ndim != 2:
        other = {"order": "from_orders", "offered": "from_lists"}[name]
        raise ValueError(f"{name} has shape {raw.shape}; expected [n, l]. For lists of different lengths: {other}")
    refuse_empty(raw.size, what)
    filled = np.ones(raw.shape, bool) if where is None else to_where("where", where, raw.shape, name)
    refuse(~filled.any(1), f"{one} is empty", "Drop these rows.")
    refuse((filled[:, 1:] & ~filled[:, :-1]).any(1), f"{one} has a gap", "Filled places come first.")
    checked = to_filled_ids(name, raw, filled, n_items)
    # Places that are not filled get ids of their own.
    alone = np.where(filled, checked.astype(np.int64), -1 - np.arange(raw.shape[1]))
    ordered = np.sort(alone, axis=1)
    again = (ordered[:, 1:] == ordered[:, :-1]).any(1)
    refuse(again, "an item is listed twice", f"{one.capitalize()} lists an item once.")
    return checked, filled
