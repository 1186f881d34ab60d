"""Ties within rankings: levels that never fall along a list, equal where items are tied."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from scorax.data._lists import is_group, to_lists
from scorax.data._validate import refuse


def flatten_orders(orders: Iterable[Any]) -> tuple[list[Any], np.ndarray, np.ndarray]:
    """Items of all lists end to end, every item's level in its list, and how many items each list has.

    Example:
        >>> flat, level, lengths = flatten_orders([["a", ("b", "c")], ["c"]])
        >>> flat, level.tolist(), lengths.tolist()
        (['a', 'b', 'c', 'c'], [0, 1, 1, 0], [3, 1])
    """
    groups = [
        [_group(entry) for entry in order]
        for order in to_lists(orders, "rankings", "a ranking", "Write [['x', 'y'], ['y']]: a list each, best first.")
    ]
    refuse([not order for order in groups], "a ranking is empty", "Drop these rows.")
    refuse([not all(order) for order in groups], "a group of tied items is empty", "Leave it out.")
    nested = [any(is_group(item) for group in order for item in group) for order in groups]
    refuse(nested, "a group of tied items holds a group", "Items that are tied stand in one tuple: ['x', ('y', 'z')].")
    flat = [item for order in groups for group in order for item in group]
    level = [at for order in groups for at, group in enumerate(order) for _ in group]
    return flat, np.array(level), np.array([sum(map(len, order)) for order in groups])


def _group(entry: Any) -> list[Any]:
    """Items that are tied, or one item alone."""
    if isinstance(entry, set | frozenset):
        return sorted(entry)
    return list(entry) if is_group(entry) else [entry]


def levels_of_ties(level: np.ndarray, where: np.ndarray) -> np.ndarray | None:
    """Levels from any numbers that never fall along a ranking, such as ranks; `None` where no two items are tied.

    A model without ties can then take the rankings.

    Example:
        >>> levels_of_ties(np.array([[0, 1]]), np.array([[True, True]])) is None
        True
    """
    tied = (level[:, 1:] == level[:, :-1]) & where[:, 1:]
    return _numbered(level, where) if tied.any() else None


def dense_levels(level: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Levels counted from 0 without gaps, 0 in places that are not filled.

    Raises:
        ValueError: a shape other than that of the rankings, no integers, or levels that fall along a ranking.

    Example:
        >>> dense_levels(np.array([[3, 3, 7, 9]]), np.array([[True, True, True, False]]))
        array([[0, 0, 1, 0]], dtype=int32)
    """
    if level.shape != where.shape:
        raise ValueError(f"tie_level has shape {level.shape}, the rankings {where.shape}")
    if level.dtype.kind not in "iu":
        raise ValueError(f"tie_level holds {level.dtype} values, not integers")
    falls = (level[:, 1:] < level[:, :-1]) & where[:, 1:]
    refuse(falls.any(1), "tie_level falls along a ranking", "Items are listed best first, tied ones side by side.")
    return _numbered(level, where)


def _numbered(level: np.ndarray, where: np.ndarray) -> np.ndarray:
    rises = np.zeros(level.shape, bool)
    rises[:, 1:] = (level[:, 1:] > level[:, :-1]) & where[:, 1:]
    return np.where(where, rises.cumsum(1), 0).astype(np.int32)


def tied_places(level: np.ndarray | None, where: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first and the last place of every place's group of tied items.

    Example:
        >>> first, last = tied_places(np.array([[0, 1, 1]]), np.ones((1, 3), bool))
        >>> first.tolist(), last.tolist()
        ([[0, 1, 1]], [[0, 2, 2]])
    """
    place = np.broadcast_to(np.arange(where.shape[1]), where.shape)
    if level is None:
        return place, place
    starts = np.ones(where.shape, bool)
    starts[:, 1:] = (level[:, 1:] != level[:, :-1]) | ~where[:, 1:]
    ends = np.ones(where.shape, bool)
    ends[:, :-1] = starts[:, 1:]
    first = np.maximum.accumulate(np.where(starts, place, 0), axis=1)
    last = np.minimum.accumulate(np.where(ends, place, where.shape[1])[:, ::-1], axis=1)[:, ::-1]
    return first, last
