"""How probable each rank is for each item."""

from collections.abc import Sequence

import numpy as np

from scorax.plot._heat_map import heat_map
from scorax.plot._style import BLUE, Axes, caption, checked_names, checked_top, new_axes
from scorax.stats import RankSummary

# One hue, from nothing to dark: among many items every probability is small.
_HUES = ("#f7fafc", "#9cc9dc", BLUE, "#06384d")
# What rounds to 0 per cent is not worth a number or a column.
_VISIBLE = 0.005


def plot_ranks(summary: RankSummary, names: Sequence[str], *, top: int | None = None, ax: Axes | None = None) -> Axes:
    """Heat map of the probabilities of ranks: a row an item, the best expected rank on top, a column a rank.

    Ranks that none of the items drawn reaches with half a per cent are left out on the right. Cells hold per cents
    where they are large enough; the scale of colours is stretched at small ones. Without `ax` a figure of its own is
    made, without pyplot; `.figure` of the result has `savefig`, and a notebook shows it.

    Args:
        summary: From `scorax.stats.rank_summary`. Items that take no part are left out.
        names: Of the items: a vocabulary, or any sequence.
        top: Draw only the first so many items. None draws all.
        ax: Axes to draw into; their size is yours.

    Returns:
        The axes.

    Raises:
        ValueError: Names and items differ in number, `top` is not positive, or no item takes part.
        ImportError: Matplotlib is not installed (it comes with `scorax[plot]`).

    Example:
        >>> summary = sx.stats.rank_summary(jnp.array([[0.0, 2.0, 1.0], [0.0, 1.0, 2.0]]))
        >>> ax = plot_ranks(summary, ["a", "b", "c"])
        >>> [label.get_text() for label in ax.get_yticklabels()]
        ['b', 'c', 'a']

    Source: Salanti, Ades, Ioannidis (2011), doi:10.1016/j.jclinepi.2010.03.016 (rank probabilities).
    """
    order, labels = best_first(summary, names, top)
    probable = np.asarray(summary.rank_prob, float)[order]
    n_ranks = int(np.flatnonzero((probable >= _VISIBLE).any(0)).max(initial=0)) + 1
    ax = _sized(len(order), n_ranks) if ax is None else ax
    ax.set_yticks(range(len(order)), labels, fontsize=9)
    ticks = [rank for rank in range(1, n_ranks + 1) if n_ranks <= 20 or rank == 1 or rank % 5 == 0]
    ax.set_xticks([rank - 1 for rank in ticks], [str(rank) for rank in ticks], fontsize=9)
    caption(ax, "rank")
    heat_map(ax, probable[:, :n_ranks], _HUES, "probability of the rank", least=_VISIBLE, power=0.5)
    return ax


def best_first(summary: RankSummary, names: Sequence[str], top: int | None) -> tuple[np.ndarray, list[str]]:
    """Items that take part, the best expected rank first, at most `top` of them; and their names.

    Raises:
        ValueError: Names and items differ in number, `top` is not positive, or no item takes part.
    """
    checked_top(top)
    expected = np.asarray(summary.expected_rank, float)
    labels = checked_names(names, len(expected))
    order = np.argsort(expected, kind="stable")
    order = order[np.isfinite(expected[order])][:top]
    if not order.size:
        raise ValueError("no item takes part: every expected rank is NaN")
    return order, [labels[i] for i in order.tolist()]


def _sized(n_rows: int, n_columns: int) -> Axes:
    """Columns that hold a number while there are few."""
    column = 0.34 if n_columns <= 25 else 0.17
    return new_axes(2.8 + column * max(n_columns, 4), 0.7 + 0.21 * max(n_rows, 8))
