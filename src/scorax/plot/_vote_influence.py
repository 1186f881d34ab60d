"""Which votes hold a result up, and which hold it down."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from scorax.choice import VoteInfluence
from scorax.data import Comparisons, PairCounts
from scorax.plot._style import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    Axes,
    caption,
    checked_names,
    dress,
    finite,
    new_axes,
    signed,
    size_in_points,
)

# Of the height, for the names of either end.
_ROOM = 0.36
# Of the width, from either end: beyond, votes are not among the strongest, and their names would meet.
_NAMED_WITHIN = 0.2
_POINTS_PER_LINE = 13.0


def plot_vote_influence(
    influence: VoteInfluence,
    votes: Comparisons | PairCounts,
    names: Sequence[str],
    *,
    target: str = "lead",
    named: int = 6,
    ax: Axes | None = None,
) -> Axes:
    """All votes in the order of their influence, the strongest named at both ends.

    Heights are what the target changes by when one vote is taken out. Votes that hold it up are blue, below zero:
    without them it falls. Those that hold it down are orange. Equal votes share a name, with their number. Without `ax`
    a figure of its own is made, without pyplot; `.figure` of the result has `savefig`, and a notebook shows it.

    Args:
        influence: From `scorax.choice.vote_influence`.
        votes: The data of that fit.
        names: Of the items: a vocabulary, or any sequence.
        target: What the target is called.
        named: How many different votes are named at either end, at most; none beyond the first fifth of all votes.
        ax: Axes to draw into; their size is yours.

    Returns:
        The axes.

    Raises:
        ValueError: Influence and votes differ in shape, a change is NaN (the fit failed, or lies at a boundary), there
            are no votes, or `named` is negative.
        ImportError: Matplotlib is not installed (it comes with `scorax[plot]`).

    Example:
        >>> battles = sx.data.Comparisons.from_arrays([0] * 9, [1] * 9, [1.0] * 6 + [0.0] * 3)
        >>> result = sx.inference.fit(sx.choice.BradleyTerry.init(2), battles)
        >>> ax = plot_vote_influence(sx.choice.vote_influence(result), battles, ["a", "b"])
        >>> [text.get_text() for text in ax.texts]
        ['a beat b (6 votes)  −0.19', 'b beat a (3 votes)  +0.38']

    Source: Cook and Weisberg (1982), "Residuals and Influence in Regression".
    """
    if named < 0:
        raise ValueError(f"named must be at least 0, not {named}")
    if influence.change.shape != votes.count.shape:
        raise ValueError(f"influence of shape {influence.change.shape} for votes of shape {votes.count.shape}")
    value, say = float(influence.value), speaker(votes, names)
    held = _sorted(np.asarray(influence.change, float).ravel(), np.asarray(votes.count, float).ravel())
    ax = new_axes(8.0, 5.0) if ax is None else ax
    for part, colour in ((np.minimum(held.change, 0), BLUE), (np.maximum(held.change, 0), ORANGE)):
        ax.stairs(part, held.edges, baseline=0, fill=True, color=colour, linewidth=0)
    ax.axhline(0, color=GREY, linewidth=0.9, zorder=3)
    dress(ax, frame=("left", "bottom"), grid="y")
    ax.set_xlim(0, held.edges[-1])
    _limits(ax, held.change, named)
    caption(
        ax,
        f"votes, from those that hold the {target} up most to those that hold it down most",
        f"change of the {target} (now {signed(value, _decimals(value))}) without the vote",
    )
    for sign in (-1, 1):
        _name(ax, _strongest(held, sign, say, named))
    return ax


class _Held(NamedTuple):
    """Rows that hold votes, from the lowest change to the highest, and where each begins and ends in the picture."""

    row: Int[np.ndarray, " n"]
    change: Float[np.ndarray, " n"]
    votes: Float[np.ndarray, " n"]
    edges: Float[np.ndarray, " n+1"]


def _sorted(change: np.ndarray, count: np.ndarray) -> _Held:
    row = np.flatnonzero(count > 0)
    if not row.size:
        raise ValueError("there are no votes: every count is 0")
    row = row[np.argsort(finite("influence.change", change[row]), kind="stable")]
    return _Held(row, change[row], count[row], np.concatenate([[0.0], np.cumsum(count[row])]))


def _limits(ax: Axes, change: Float[np.ndarray, " n"], named: int) -> None:
    """Both sides of zero as high as the names of their votes need."""
    low, high = min(change.min(), 0.0), max(change.max(), 0.0)
    room = _ROOM if named else 0.0
    share = room / (1 - room)
    low, high = min(low, -share * high), max(high, -share * low)
    pad = 0.04 * (high - low) or 1.0
    ax.set_ylim(low - pad, high + pad)


class _Group(NamedTuple):
    """Equal votes, and where in the picture the first of them stands."""

    words: str
    change: float
    at: float
    votes: float

    @property
    def label(self) -> str:
        """What they say, how many they are, and what one of them does."""
        several = f" ({self.votes:.0f} votes)" if self.votes > 1 else ""
        return f"{self.words}{several}  {signed(self.change, _decimals(self.change))}"


def _strongest(held: _Held, sign: int, say: Callable[[int], str], named: int) -> list[_Group]:
    """The first different votes of one sign from their end; equal ones count together."""
    found: dict[tuple[str, str], _Group] = {}
    middle = (held.edges[1:] + held.edges[:-1]) / 2
    n_votes = held.edges[-1]
    for i in range(len(held.row)) if sign < 0 else reversed(range(len(held.row))):
        change, at = float(held.change[i]), float(middle[i])
        words = say(int(held.row[i]))
        key = words, f"{change:.3g}"
        last = len(found) == named or min(at, n_votes - at) > _NAMED_WITHIN * n_votes
        if sign * change <= 0 or (key not in found and last):
            break
        known = found.get(key, _Group(words, change, at, 0.0))
        found[key] = known._replace(votes=known.votes + float(held.votes[i]))
    return list(found.values())


def _name(ax: Axes, groups: list[_Group]) -> None:
    """Flags on poles that stand on the votes, on the empty side of zero, the strongest vote's the highest."""
    from matplotlib.patheffects import withStroke

    low, high = ax.get_ylim()
    gap = _POINTS_PER_LINE / size_in_points(ax)[1] * (high - low)
    for place, group in enumerate(groups):
        side = -1 if group.change > 0 else 1
        y = side * gap * (len(groups) - place)
        ax.plot([group.at, group.at], [0, y], color=GREY, linewidth=0.6, zorder=3)
        ax.annotate(
            group.label, (group.at, y), (4 * side, 0), textcoords="offset points", fontsize=8.5, color=INK, va="center",
            ha="left" if side > 0 else "right", zorder=4, path_effects=[withStroke(linewidth=3, foreground="white")],
        )  # fmt: skip


def _decimals(x: float) -> int:
    """For two digits that say something."""
    return max(0, 1 - math.floor(math.log10(abs(x)))) if x else 2


@functools.singledispatch
def speaker(votes: Any, names: Sequence[str]) -> Callable[[int], str]:
    """What a vote says, in words, by its place along the flattened weights."""
    raise TypeError(f"expected Comparisons or PairCounts, not {type(votes).__name__}")


@speaker.register
def _(votes: Comparisons, names: Sequence[str]) -> Callable[[int], str]:
    a, b, outcome = (np.asarray(x) for x in (votes.a, votes.b, votes.outcome))
    n_items = int(max(a.max(initial=-1), b.max(initial=-1))) + 1
    if n_items > len(names):
        raise ValueError(f"{len(names)} names for ids up to {n_items - 1}")

    def say(place: int) -> str:
        one, other, won = names[int(a[place])], names[int(b[place])], float(outcome[place])
        said = {1.0: f"{one} beat {other}", 0.0: f"{other} beat {one}", 0.5: f"{one} and {other} tied"}
        return said.get(won, f"{one} against {other}: {won:.2g}")

    return say


@speaker.register
def _(votes: PairCounts, names: Sequence[str]) -> Callable[[int], str]:
    shape = votes.count.shape
    labels = checked_names(names, shape[-1])

    def say(place: int) -> str:
        tied, a, b = (int(x) for x in np.unravel_index(place, shape))
        return f"{labels[a]} and {labels[b]} tied" if tied else f"{labels[a]} beat {labels[b]}"

    return say
