"""A leaderboard as a forest plot: every rating with its interval, and what the intervals say about ranks."""

from typing import Any

from scorax.choice import Leaderboard
from scorax.plot._style import BLUE, GREY, INK, Axes, caption, checked_top, dress, label_rows, rows_axes

_AXIS_OF_SCALE = {"elo": "rating (Elo points)", "log": "strength (natural-log worth)", "score": "expected score"}


def plot_leaderboard(board: Leaderboard, *, top: int | None = None, ax: Axes | None = None) -> Axes:
    """Forest plot of a leaderboard: rating and interval of every item, best on top.

    Items whose interval of ranks holds 1, so that they may be the best, are blue, all others grey. Columns on the
    right give the interval of ranks and the probability of being best. Without `ax` a figure of its own is made, as
    high as its rows need and without pyplot: no window opens and no global state changes; `.figure` of the result
    has `savefig`, and a notebook shows it.

    Args:
        board: From `scorax.choice.leaderboard`.
        top: Draw only the first so many rows. None draws all.
        ax: Axes to draw into; their size is yours.

    Returns:
        The axes.

    Raises:
        ValueError: `top` is not positive, or the leaderboard has no rows.
        ImportError: Matplotlib is not installed (it comes with `scorax[plot]`).

    Example:
        >>> battles, models = sx.data.datasets.load_llmfao()
        >>> result = sx.inference.fit(sx.choice.BradleyTerry.init(len(models)), battles)
        >>> board = sx.choice.leaderboard(result, battles, names=models)
        >>> ax = plot_leaderboard(board, top=10)
        >>> ax.get_yticklabels()[0].get_text()
        '1  GPT 4'
    """
    checked_top(top)
    rows = board.rows[:top]
    if not rows:
        raise ValueError("the leaderboard has no rows to draw")
    ax = rows_axes(len(rows)) if ax is None else ax
    for place, row in enumerate(rows):
        colour = BLUE if row.rank_lower == 1 else GREY
        ax.plot([row.lower, row.upper], [place, place], color=colour, linewidth=1.6, solid_capstyle="round", zorder=2)
        ax.plot([row.rating], [place], "o", color=colour, markersize=5, markeredgecolor="white", zorder=3)
    dress(ax)
    label_rows(ax, [f"{row.rank}  {row.item}" for row in rows])
    _label_columns(ax, rows)
    scale = _AXIS_OF_SCALE.get(board.scale, board.scale)
    caption(ax, f"{scale}, with {100 * board.level:g} % intervals; blue: may be the best")
    return ax


def _label_columns(ax: Axes, rows: tuple[Any, ...]) -> None:
    """Ranks and P(best), in two columns to the right of the axes."""
    columns = (
        (30, "ranks", [_interval(row.rank_lower, row.rank_upper) for row in rows]),
        (76, "P(best)", [_percent(row.p_best) for row in rows]),
    )
    style: dict[str, Any] = {"textcoords": "offset points", "fontsize": 8, "ha": "center", "annotation_clip": False}
    for points, heading, cells in columns:
        ax.annotate(heading, (1, 1), (points, 2), "axes fraction", color=GREY, va="bottom", **style)
        for place, cell in enumerate(cells):
            ax.annotate(cell, (1, place), (points, 0), ax.get_yaxis_transform(), color=INK, va="center", **style)


def _interval(low: int, high: int) -> str:
    return str(low) if low == high else f"{low}\u2013{high}"


def _percent(p: float) -> str:
    """A probability in per cent, nothing where it would read 0."""
    if not p >= 0.005:
        return ""
    return f"{100 * p:.0f} %" if p < 0.995 else "> 99 %"
