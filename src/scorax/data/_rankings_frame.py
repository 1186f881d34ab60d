"""How tables of ranks become orders of ids."""

from typing import Any, NamedTuple

import numpy as np

from scorax.data._frame import Table, as_number, natural
from scorax.data._ragged import appearance
from scorax.data._validate import refuse, to_array
from scorax.data._vocabulary import Vocabulary


class Columns(NamedTuple):
    """What a long table says: ids best first, ranking after ranking, with their ranks."""

    ids: np.ndarray
    ranks: np.ndarray
    lengths: np.ndarray
    """Of the rankings."""
    columns: dict[str, Any]
    """Weights, counts and clusters of the rankings."""
    items: Vocabulary


def matrix_of_ranks(ranks: Any) -> np.ndarray:
    """Ranks `[n, k]` as numbers, `None` as NaN; text that is none is refused."""
    raw = to_array("ranks", ranks)
    if raw.ndim != 2 or raw.size == 0:
        raise ValueError(f"ranks have shape {raw.shape}; expected [n, k]: a row a ranking, a column an item")
    try:
        return raw.astype(np.float64)
    except (TypeError, ValueError):
        words = [[value for value in row if value is not None and np.isnan(as_number(value))] for row in raw.tolist()]
        first = next((value for row in words for value in row), None)
        refuse(
            [len(row) > 0 for row in words],
            f"a rank is no number, such as {first!r},",
            "Leave out columns that are no items.",
        )
        raise


def orders_of_matrix(ranks: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Item ids, best first, from rows of ranks (0 or NaN: unranked), which places are filled, and the ranks there."""
    refuse(np.isinf(ranks).any(1), "a rank is infinite", "Ranks are 1, 2, ...; 0 or NaN for unranked items.")
    refuse(
        (ranks < 0).any(1), "a rank is negative", "Ranks are 1 for the best item, 2, ...; 0 or NaN for unranked ones."
    )
    ranked = ranks > 0
    refuse(~ranked.any(1), "nothing is ranked", "Drop these rows.")
    keyed = np.where(ranked, ranks, np.inf)
    order = np.argsort(keyed, axis=1, kind="stable")
    along = np.take_along_axis(keyed, order, axis=1)
    length = ranked.sum(1)
    where = np.arange(length.max()) < length[:, None]
    order, along = (np.where(where, x[:, : length.max()], 0) for x in (order, along))
    return order, where, along


def rankings_columns(
    frame: Any,
    ranking: str,
    item: str,
    rank: str,
    weight: str | None,
    count: str | None,
    cluster: str | None,
    vocabulary: Vocabulary | None,
) -> Columns:
    """Rankings of a long table, one row an item of a ranking."""
    table = Table(frame)
    labels, words = table.words(table.require(ranking, "ranking")), table.words(table.require(item, "item"))
    ranks = table.numbers(table.require(rank, "rank"), lower=0.0)
    # In a matrix of ranks 0 is unranked, in a count from 0 the best: say which.
    refuse(ranks == 0, f"column {rank!r} is 0", "Ranks count from 1, the best; leave out the rows of unranked items.")
    names = Vocabulary.of(natural(words.distinct)) if vocabulary is None else vocabulary
    ids = words.ids(names)
    first, group = appearance(labels.place)
    refuse(_repeated(group, ids), "an item appears twice in a ranking", "A ranking lists an item once.")
    columns: dict[str, Any] = {}
    for role, name in (("weight", weight), ("count", count), ("cluster", cluster)):
        if name is not None:
            table.require(name, role)
            values = table.groups(name) if role == "cluster" else table.numbers(name, lower=0.0)
            columns[role] = values[first]
            refuse(values != values[first][group], f"column {name!r} changes within a ranking")
    best_first = np.lexsort((ranks, group))
    return Columns(ids[best_first], ranks[best_first], np.bincount(group), columns, names)


def _repeated(group: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Rows that hold the same value as an earlier row of their group."""
    order = np.lexsort((value, group))
    equal = (np.diff(group[order]) == 0) & (np.diff(value[order]) == 0)
    bad = np.zeros(len(group), bool)
    bad[order[1:][equal]] = True
    return bad
