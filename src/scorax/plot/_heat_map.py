"""A matrix as coloured cells, with numbers where they fit and a scale beside it."""

from typing import Any

import numpy as np
from jaxtyping import Float

from scorax.plot._style import FAINT, INK, Axes, size_in_points

_FONT = 7.5
# A cell holds "100" at this size.
_CELL_TO_WRITE_IN = (17.0, 10.0)
_POINTS_OF_SCALE = (8.0, 130.0)


def heat_map(
    ax: Axes, shares: Float[np.ndarray, "k l"], hues: tuple[str, ...], words: str, *, least: float, power: float
) -> None:
    """Draw shares in [0, 1], the first row on top; NaN stays empty.

    Args:
        ax: To draw into; rows and columns are labelled already, cells lie around whole numbers from 0.
        shares: One cell each.
        hues: Colours from 0 to 1, evenly spaced.
        words: On the scale.
        least: Numbers below are not written.
        power: The colour is that of the share to this power: below 1, small shares are told apart better.
    """
    from matplotlib.colors import LinearSegmentedColormap, PowerNorm

    colours = LinearSegmentedColormap.from_list("shares", hues)
    rows, columns = shares.shape
    ax.set_xlim(-0.5, columns - 0.5)
    ax.set_ylim(rows - 0.5, -0.5)
    width, height = size_in_points(ax)
    wide, high = width / columns, height / rows
    line = 1.0 if min(wide, high) > 14 else 0.4
    edges = np.arange(columns + 1) - 0.5, np.arange(rows + 1) - 0.5
    mesh = ax.pcolormesh(*edges, np.ma.masked_invalid(shares), cmap=colours, norm=PowerNorm(power, 0, 1))
    mesh.set(edgecolor="white", linewidth=line)
    for spine in ax.spines.values():
        spine.set_visible(False)
    ax.set_facecolor(FAINT)
    ax.tick_params(length=0, labelcolor=INK)
    if wide >= _CELL_TO_WRITE_IN[0] and high >= _CELL_TO_WRITE_IN[1]:
        _write(ax, shares, colours, least, power)
    _scale(ax, mesh, width, height, words, power)


def _write(ax: Axes, shares: Float[np.ndarray, "k l"], colours: Any, least: float, power: float) -> None:
    for row, column in np.argwhere(shares >= least).tolist():
        share = shares[row, column]
        # By the lightness of the cell as the eye takes it.
        light = np.dot(colours(share**power)[:3], (0.299, 0.587, 0.114)) > 0.6
        ax.text(
            column, row, f"{100 * share:.0f}", ha="center", va="center", fontsize=_FONT, color=INK if light else "white"
        )


def _scale(ax: Axes, mesh: Any, width: float, height: float, words: str, power: float) -> None:
    wide, high = _POINTS_OF_SCALE
    share = min(high / height, 1.0)
    inset = ax.inset_axes((1 + 12 / width, 1 - share, wide / width, share))
    ticks = [0.0, *([0.05] if power < 1 else []), 0.25, 0.5, 0.75, 1.0]
    bar = ax.figure.colorbar(mesh, cax=inset, ticks=ticks)
    bar.ax.set_yticklabels([f"{100 * tick:.0f} %" for tick in ticks], fontsize=8, color=INK)
    bar.ax.tick_params(length=0)
    bar.set_label(words, fontsize=8, color=INK)
    bar.outline.set_visible(False)  # type: ignore[operator]
