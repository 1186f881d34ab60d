"""Who can be compared with whom: whether finite maximum-likelihood strengths exist, and why not."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from scorax.data._comparisons import Comparisons, PairCounts
from scorax.data._rankings import Rankings
from scorax.data._tie_levels import tied_places


@dataclasses.dataclass(frozen=True)
class ConnectivityReport:
    """The graph with an edge from each item to those it beat at least once; a tie counts both ways.

    Finite strengths of maximum likelihood exist, and are unique, where it is strongly connected.
    """

    component: np.ndarray
    """`[k]`, the strong component of each item. Numbered so that a component only beats, never loses to, later ones."""
    island: np.ndarray
    """`[k]`, the weak component of each item: items of different islands were never compared, even through others."""
    wins: np.ndarray
    """`[k]`, observed wins, ties aside. A soft label counts by its probability."""
    losses: np.ndarray
    ties: np.ndarray

    @property
    def strong(self) -> bool:
        """Whether finite strengths of maximum likelihood exist."""
        return self.n_components <= 1

    @property
    def weak(self) -> bool:
        """Whether all items are linked by comparisons, whoever won."""
        return bool(self.island.max(initial=0) == 0)

    @property
    def n_components(self) -> int:
        """Number of strong components."""
        return int(self.component.max(initial=-1)) + 1

    @property
    def never_compared(self) -> tuple[int, ...]:
        """Items without any comparison."""
        return _where(self.wins + self.losses + self.ties == 0)

    @property
    def always_win(self) -> tuple[int, ...]:
        """Items that won all of their comparisons."""
        return _where((self.wins > 0) & (self.losses + self.ties == 0))

    @property
    def always_lose(self) -> tuple[int, ...]:
        """Items that lost all of their comparisons."""
        return _where((self.losses > 0) & (self.wins + self.ties == 0))

    def describe(self, names: Sequence[str]) -> str:
        """What stands in the way of finite strengths, and on a second line the ways out.

        Example:
            >>> battles = sx.data.Comparisons.from_arrays([0, 1], [1, 2], [1.0, 0.5])
            >>> print(connectivity(battles, 3).describe(["gpt", "llama", "phi"]))
            no finite maximum-likelihood ratings: 'gpt' won all of its 1 comparison.
            A prior keeps them finite, and so does ghost, half a win and half a loss added for every item. Or rate the 2
            items of largest_component.
        """
        if self.strong:
            return f"all {len(self.component)} items are linked by wins in both directions: finite ratings exist."
        largest = int(np.bincount(self.component).max())
        rated = f" Or rate the {largest} items of largest_component." if largest > 1 else ""
        return (
            f"no finite maximum-likelihood ratings: {'; '.join(self._obstacles(names))}.\n"
            f"A prior keeps them finite, and so does ghost, half a win and half a loss added for every item.{rated}"
        )

    def _obstacles(self, names: Sequence[str]) -> list[str]:
        """The plainest reasons, items first, groups where no single item is to blame."""
        never = self.never_compared
        reasons = [f"{_some(names, never)} {'was' if len(never) == 1 else 'were'} never compared"] if never else []
        for verb, items, count in (("won", self.always_win, self.wins), ("lost", self.always_lose, self.losses)):
            shown = [f"{names[i]!r} {verb} all of its {_comparisons(float(count[i]))}" for i in items[:3]]
            more = f" and {len(items) - 3} more {verb} all of theirs" if len(items) > 3 else ""
            reasons += [", ".join(shown) + more] if shown else []
        if reasons:
            return reasons
        if not self.weak:
            groups = [_some(names, np.flatnonzero(self.island == group)) for group in range(2)]
            return [f"the items fall into {self.island.max() + 1} groups that never met ({' | '.join(groups)})"]
        best = np.flatnonzero(self.component == 0)
        return [f"{_some(names, best)} never lost to the other {len(self.component) - len(best)} items, nor tied"]

    def check(self, names: Sequence[str]) -> None:
        """Raise `ValueError` with the description where finite strengths do not exist."""
        if not self.strong:
            raise ValueError(self.describe(names))


def connectivity(data: Comparisons | PairCounts | Rankings, n_items: int) -> ConnectivityReport:
    """Whether comparisons or rankings determine strengths, and which items stand in the way.

    Rows of weight 0 do not count. On the host, in time proportional to the rows.

    Args:
        data: Paired comparisons or rankings.
        n_items: Number of items; those that never appear are reported.

    Example:
        >>> battles = sx.data.Comparisons.from_arrays([0, 1], [1, 2], [1.0, 0.5])
        >>> report = connectivity(battles, 3)
        >>> report.strong, report.component, report.always_win
        (False, array([0, 1, 1]), (0,))

    Source: Ford (1957), doi:10.2307/2308513; Hunter (2004), doi:10.1214/aos/1079120141 (rankings).
    """
    winner, loser, wins, losses, ties = _edges(data, n_items)
    if max(winner.max(initial=0), loser.max(initial=0)) >= n_items:
        raise ValueError(f"an item id is {n_items} or more: n_items is too small")
    beats = sparse.coo_array((np.ones(len(winner), np.int8), (winner, loser)), shape=(n_items, n_items)).tocsr()
    _, strong = csgraph.connected_components(beats, directed=True, connection="strong")
    _, island = csgraph.connected_components(beats, directed=False)
    return ConnectivityReport(_topological(strong, winner, loser), island.astype(np.int64), wins, losses, ties)


def _topological(label: np.ndarray, winner: np.ndarray, loser: np.ndarray) -> np.ndarray:
    """Renumber strong components so that edges only lead to the same or a later one (Kahn's algorithm)."""
    n = int(label.max(initial=-1)) + 1
    edges = np.unique(label[winner].astype(np.int64) * n + label[loser])
    above, below = edges // n, edges % n
    above, below = above[above != below], below[above != below]
    start = np.searchsorted(above, np.arange(n + 1))
    waiting = np.bincount(below, minlength=n)
    ready = np.flatnonzero(waiting == 0).tolist()
    number = np.zeros(n, np.int64)
    for position, current in enumerate(ready):  # grows while it is walked through
        number[current] = position
        for successor in below[start[current] : start[current + 1]]:
            waiting[successor] -= 1
            if waiting[successor] == 0:
                ready.append(int(successor))
    return number[label]


@functools.singledispatch
def _edges(data: Any, n_items: int) -> tuple[np.ndarray, ...]:
    """Winners and losers of edges enough for the components, and wins, losses, ties of each item."""
    raise TypeError(
        f"no comparisons in {type(data).__name__}: pass Comparisons, PairCounts or Rankings, which Choices become by "
        "choices.rankings(n_items)"
    )


@_edges.register
def _(data: Comparisons, n_items: int) -> tuple[np.ndarray, ...]:
    used = np.asarray(data.weight) > 0
    a, b, outcome, count = (np.asarray(x)[used] for x in (data.a, data.b, data.outcome, data.count))
    if max(a.max(initial=0), b.max(initial=0)) >= n_items:
        raise ValueError(f"an item id is {n_items} or more: n_items is too small")
    tie = outcome == 0.5
    total = functools.partial(np.bincount, minlength=n_items)
    won, lost = (np.where(tie, 0.0, share * count) for share in (outcome, 1 - outcome))
    winner = np.concatenate([a[outcome > 0], b[outcome < 1]])
    loser = np.concatenate([b[outcome > 0], a[outcome < 1]])
    ties = total(a, tie * count) + total(b, tie * count)
    return winner, loser, total(a, won) + total(b, lost), total(a, lost) + total(b, won), ties


@_edges.register
def _(data: PairCounts, n_items: int) -> tuple[np.ndarray, ...]:
    if data.weight.shape[-1] != n_items:
        raise ValueError(f"the table is of {data.weight.shape[-1]} items, n_items is {n_items}")
    used = np.asarray(data.weight) > 0
    won, tied = np.where(used, np.asarray(data.count, np.float64), 0.0)
    winner, loser = np.nonzero(won + tied + tied.T)
    return winner, loser, won.sum(1), won.sum(0), tied.sum(0) + tied.sum(1)


@_edges.register
def _(data: Rankings, n_items: int) -> tuple[np.ndarray, ...]:
    used = np.asarray(data.weight) > 0
    order, where, count = (np.asarray(x)[used] for x in (data.order, data.where, data.count))
    if order[where].max(initial=0) >= n_items or (data.rest is not None and data.rest.shape[1] > n_items):
        raise ValueError(f"an item id is {n_items} or more: n_items is too small")
    rest = np.zeros((len(order), n_items), bool)
    if data.rest is not None:
        rest[:, : data.rest.shape[1]] = np.asarray(data.rest)[used]
    length, left = where.sum(1), rest.sum(1)
    row, place = np.nonzero(where)
    item = order[row, place]
    # An item beats all that follow; a chain of neighbours has the same components.
    last = place == length[row] - 1
    behind, unlisted = np.nonzero(rest)
    follower = item[np.flatnonzero(~last) + 1]
    winner = np.concatenate([item[~last], item[last][behind]])
    loser = np.concatenate([follower, unlisted])
    # Of a group of tied items the first and the last place decide who is above and below.
    first, final = tied_places(None if data.tie_level is None else np.asarray(data.tie_level)[used], where)
    tied = np.flatnonzero((first[row, place] < place)[np.flatnonzero(~last) + 1])
    winner, loser = np.concatenate([winner, follower[tied]]), np.concatenate([loser, item[~last][tied]])
    total = functools.partial(np.bincount, item, minlength=n_items)
    wins = total((length[row] - 1 - final[row, place] + left[row]) * count[row])
    losses = total(first[row, place] * count[row]) + (rest * (length * count)[:, None]).sum(0)
    return winner, loser, wins, losses, total((final - first)[row, place] * count[row])


def _where(condition: np.ndarray) -> tuple[int, ...]:
    return tuple(np.flatnonzero(condition).tolist())


def _comparisons(count: float) -> str:
    return f"{count:g} comparison{'s' * (count != 1)}"


def _some(names: Sequence[str], items: Sequence[int] | np.ndarray) -> str:
    """Names of a few items."""
    more = f" and {len(items) - 3} more" if len(items) > 3 else ""
    return ", ".join(repr(names[int(i)]) for i in items[:3]) + more
