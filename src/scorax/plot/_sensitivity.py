"""Ranks of all candidates under every set of assumptions, side by side."""

from collections.abc import Sequence

import numpy as np

from scorax.judges import Sensitivity
from scorax.plot._style import (
    BLUE,
    GREY,
    INCHES_PER_ROW,
    INK,
    Axes,
    caption,
    checked_names,
    dress,
    label_rows,
    new_axes,
)


def plot_sensitivity(found: Sensitivity, names: Sequence[str], *, ax: Axes | None = None) -> Axes:
    """Expected rank and interval of ranks of every candidate, a mark for each set of assumptions.

    Candidates are ordered by the reference, which is blue and filled; where a mark of other assumptions lies outside
    the reference's interval it is ringed in dark. A ranking that hangs on an assumption shows as a row whose marks
    scatter.

    Args:
        found: From `scorax.judges.sensitivity`.
        names: Of the candidates.
        ax: Axes to draw into; a figure of its own if None.

    Returns:
        The axes.

    Raises:
        ValueError: There are not as many names as candidates.
        ImportError: Matplotlib is not installed (it comes with `scorax[plot]`).
    """
    base = found[found.reference]
    k = base.score.size
    labels = checked_names(names, k)
    order = np.argsort(np.asarray(base.ranks.expected_rank), kind="stable")
    ax = new_axes(8.5, 1.2 + k * max(INCHES_PER_ROW, 0.09 * len(found))) if ax is None else ax
    shifts = np.linspace(-0.3, 0.3, len(found)) if len(found) > 1 else np.zeros(1)
    marks = "osD^vP*X<>hpdH8"
    for shift, (number, row) in zip(shifts, enumerate(found), strict=True):
        ours = row.name == found.reference
        for place, i in enumerate(order):
            low, high, rank = (float(x[i]) for x in (row.ranks.lower, row.ranks.upper, row.ranks.expected_rank))
            outside = not float(base.ranks.lower[i]) <= rank <= float(base.ranks.upper[i])
            colour = BLUE if ours else GREY
            ax.plot([low, high], [place + shift] * 2, color=colour, linewidth=1.2, solid_capstyle="round", zorder=2)
            ax.plot(
                [rank],
                [place + shift],
                marks[number % len(marks)],
                color=colour,
                markersize=6,
                markeredgecolor=INK if outside else "white",
                markeredgewidth=1.4 if outside else 0.6,
                zorder=3,
                label=row.name if place == 0 else None,
            )
    dress(ax)
    label_rows(ax, [labels[int(i)] for i in order])
    ax.set_xlim(0.5, k + 0.5)
    # Ranks are whole numbers.
    ax.locator_params(axis="x", integer=True)
    ax.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1.0), title="assumptions")
    caption(ax, f"rank, with {100 * found.level:g} % intervals; dark rings: outside the reference's interval")
    return ax
