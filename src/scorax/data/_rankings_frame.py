"""How tables of ranks become orders of ids."""

from typing import Any

import numpy as np

from scorax.data._frame import Table, encode, natural
from scorax.data._ragged import appearance, codes
from scorax.data._validate import refuse
from scorax.data._vocabulary import Vocabulary

_NO_TIES = "Ties of rankings are not supported yet: break them, or drop the rows."


def orders_of_matrix(ranks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Item ids, best first, from rows of ranks (0 or NaN: unranked), and which places are filled."""
    if ranks.ndim != 2 or ranks.size == 0:
        raise ValueError(f"ranks have shape {ranks.shape}; expected [n, k]: a row a ranking, a column an item")
    refuse(
        (ranks < 0).any(1), "a rank is negative", "Ranks are 1 for the best item, 2, ...; 0 or NaN for unranked ones."
    )
    ranked = ranks > 0
    refuse(~ranked.any(1), "nothing is ranked", "Drop these rows.")
    keyed = np.where(ranked, ranks, np.inf)
    order = np.argsort(keyed, axis=1, kind="stable")
    along = np.take_along_axis(keyed, order, axis=1)
    refuse(((along[:, 1:] == along[:, :-1]) & np.isfinite(along[:, 1:])).any(1), "two items share a rank", _NO_TIES)
    length = ranked.sum(1)
    where = np.arange(length.max()) < length[:, None]
    return np.where(where, order[:, : length.max()], 0), where


def rankings_columns(
    frame: Any,
    ranking: str,
    item: str,
    rank: str,
    weight: str | None,
    count: str | None,
    cluster: str | None,
    vocabulary: Vocabulary | None,
) -> tuple[np.ndarray, np.ndarray, dict[str, Any], Vocabulary]:
    """Ids best first, ranking after ranking, the rankings' lengths, their other columns, and the items' names."""
    table = Table(frame)
    labels, text = table.text(table.require(ranking, "ranking")), table.text(table.require(item, "item"))
    ranks = table.numbers(table.require(rank, "rank"), lower=0.0)
    names = Vocabulary.of(natural(text)) if vocabulary is None else vocabulary
    ids = encode(text, names)
    first, group = appearance(codes(labels.astype(str)))
    _refuse_equal(group, ids, "an item appears twice in a ranking", "A ranking lists an item once.")
    _refuse_equal(group, ranks, "two items of a ranking share a rank", _NO_TIES)
    columns: dict[str, Any] = {}
    for role, name in (("weight", weight), ("count", count), ("cluster", cluster)):
        if name is not None:
            table.require(name, role)
            values = table.groups(name) if role == "cluster" else table.numbers(name, lower=0.0)
            columns[role] = values[first]
            refuse(values != values[first][group], f"column {name!r} changes within a ranking")
    best_first = np.lexsort((ranks, group))
    return ids[best_first], np.bincount(group), columns, names


def _refuse_equal(group: np.ndarray, value: np.ndarray, what: str, mend: str) -> None:
    """Raise where two rows of a group hold the same value; names the later row."""
    order = np.lexsort((value, group))
    equal = (np.diff(group[order]) == 0) & (np.diff(value[order]) == 0)
    bad = np.zeros(len(group), bool)
    bad[order[1:][equal]] = True
    refuse(bad, what, mend)
