"""Whether favourites win as often as a model says."""

import numpy as np

from scorax.choice import CalibrationTable
from scorax.plot._style import (
    BLUE,
    FAINT,
    GREY,
    INK,
    ORANGE,
    Axes,
    caption,
    dress,
    new_axes,
    normal_reach,
    size_in_points,
)

# Of the height, at the bottom: the counts.
_ROOM_OF_COUNTS = 0.2
_POINTS_PER_COUNT = 26.0


def plot_calibration(table: CalibrationTable, *, level: float = 0.95, ax: Axes | None = None) -> Axes:
    """Observed against predicted scores of the favourites, with error bars, and how many comparisons each bin holds.

    A calibrated model's points lie on the grey line. Bars are normal intervals of `level` around what was observed, by
    the spread that the model predicts, cut off at 0 and 1; bins whose bar misses the line are orange. Points above the
    line were favoured too little. Empty bins are left out. Without `ax` a figure of its own is made, without pyplot;
    `.figure` of the result has `savefig`, and a notebook shows it.

    Args:
        table: From `scorax.choice.calibration_table`.
        level: Of the error bars.
        ax: Axes to draw into; their size is yours.

    Returns:
        The axes.

    Raises:
        ValueError: Every bin is empty, or `level` is not inside (0, 1).
        ImportError: Matplotlib is not installed (it comes with `scorax[plot]`).

    Example:
        >>> battles, models = sx.data.datasets.load_llmfao()
        >>> result = sx.inference.fit(sx.choice.BradleyTerry.init(len(models)), battles)
        >>> ax = plot_calibration(sx.choice.calibration_table(result.model, battles, n_bins=5))
        >>> ax.get_xlabel()
        'predicted score of the favourite; 8931 comparisons, 95 % intervals'

    Source: DeGroot and Fienberg (1983), doi:10.2307/2987588.
    """
    reach = normal_reach(level) * np.asarray(table.std_error, float)
    count, predicted, observed = (np.asarray(x, float) for x in (table.count, table.predicted, table.observed))
    held = count > 0
    if not held.any():
        raise ValueError("every bin is empty: there is nothing to compare")
    ax = new_axes(5.6, 5.2) if ax is None else ax
    ax.plot([0.5, 1], [0.5, 1], color=GREY, linewidth=1.0, zorder=1)
    below, above = np.maximum(observed - reach, 0), np.minimum(observed + reach, 1)
    for x, y, low, high in zip(predicted[held], observed[held], below[held], above[held], strict=True):
        hue = BLUE if low <= x <= high else ORANGE
        ax.plot([x, x], [low, high], color=hue, linewidth=1.6, solid_capstyle="round", zorder=2)
        ax.plot([x], [y], "o", color=hue, markersize=6, markeredgecolor="white", zorder=3)
    dress(ax, frame=("left", "bottom"), grid="both")
    ax.set_xlim(0.49, 1.01)
    lowest = min(0.5, float(below[held].min()))
    ax.set_ylim(lowest - (1.03 - lowest) * _ROOM_OF_COUNTS / (1 - _ROOM_OF_COUNTS), 1.03)
    ax.set_yticks([tick for tick in ax.get_yticks() if lowest - 1e-9 <= tick <= 1])
    caption(
        ax,
        f"predicted score of the favourite; {count.sum():.0f} comparisons, {100 * level:g} % intervals",
        "observed score",
    )
    _counts(ax, np.asarray(table.lower, float), np.asarray(table.upper, float), count)
    return ax


def _counts(ax: Axes, lower: np.ndarray, upper: np.ndarray, count: np.ndarray) -> None:
    """Bars along the bottom, numbered where there is room."""
    across = ax.get_xaxis_transform()
    height = (_ROOM_OF_COUNTS - 0.08) * count / count.max()
    ax.bar((lower + upper) / 2, height, 0.9 * (upper - lower), color=FAINT, transform=across, zorder=1)
    if size_in_points(ax)[0] / 0.52 * (upper - lower).min() < _POINTS_PER_COUNT:
        return
    for x, y, n in zip((lower + upper) / 2, height, count, strict=True):
        if n > 0:
            ax.annotate(f"{n:.0f}", (x, y), (0, 2), across, "offset points", ha="center", fontsize=7.5, color=INK)
