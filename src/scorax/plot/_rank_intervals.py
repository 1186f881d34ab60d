"""Between which ranks each item lies."""

from collections.abc import Sequence

import numpy as np

from scorax.plot._ranks import best_first
from scorax.plot._style import BLUE, GREY, Axes, caption, dress, label_rows, rows_axes
from scorax.stats import RankSummary


def plot_rank_intervals(
    summary: RankSummary, names: Sequence[str], *, top: int | None = None, ax: Axes | None = None
) -> Axes:
    """Intervals of ranks: a row an item, the best expected rank on top, with a dot at the median rank.

    Items that may have rank 1 are blue, all others grey. Where `plot_ranks` shows every probability, this shows at a
    glance whom nothing tells apart. Without `ax` a figure of its own is made, without pyplot; `.figure` of the result
    has `savefig`, and a notebook shows it.

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
        >>> ax = plot_rank_intervals(summary, ["a", "b", "c"])
        >>> [label.get_text() for label in ax.get_yticklabels()]
        ['b', 'c', 'a']

    Source: Salanti, Ades, Ioannidis (2011), doi:10.1016/j.jclinepi.2010.03.016 (ranks with their uncertainty).
    """
    order, labels = best_first(summary, names, top)
    lower, median, upper = (np.asarray(x, float) for x in (summary.lower, summary.median_rank, summary.upper))
    ax = rows_axes(len(order)) if ax is None else ax
    for place, item in enumerate(order.tolist()):
        colour = BLUE if lower[item] <= 1 else GREY
        ends = [lower[item], upper[item]]
        ax.plot(ends, [place, place], color=colour, linewidth=1.6, solid_capstyle="round", zorder=2)
        ax.plot([median[item]], [place], "o", color=colour, markersize=5, markeredgecolor="white", zorder=3)
    dress(ax)
    label_rows(ax, labels)
    last = int(np.ceil(upper[order].max()))
    # Whole ranks only, and not so many that their numbers touch.
    ax.set_xticks(range(1, last + 1, -(-last // 20)))
    ax.set_xlim(0.6, last + 0.4)
    caption(ax, "rank, with its interval; blue: may be the best")
    return ax
