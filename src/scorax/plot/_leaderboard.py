"""A leaderboard as a forest plot: every rating with its interval, and what the intervals say about ranks."""

from typing import TYPE_CHECKING, Any

from scorax.choice import Leaderboard

if TYPE_CHECKING:
    from matplotlib.axes import Axes
else:
    Axes = Any

_BEST = "#0b6e99"
"""Items that may be the best: their interval of ranks holds 1. Blue and grey stay apart for every kind of eye."""
_OTHER = "#8a9299"
_INK = "#2b2f33"
_FAINT = "#e4e7ea"
_INCHES_PER_ROW = 0.23
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
    if top is not None and top < 1:
        raise ValueError(f"top must be at least 1, not {top}")
    rows = board.rows[:top]
    if not rows:
        raise ValueError("the leaderboard has no rows to draw")
    ax = _new_axes(len(rows)) if ax is None else ax
    for place, row in enumerate(rows):
        colour = _BEST if row.rank_lower == 1 else _OTHER
        ax.plot([row.lower, row.upper], [place, place], color=colour, linewidth=1.6, solid_capstyle="round", zorder=2)
        ax.plot([row.rating], [place], "o", color=colour, markersize=5, markeredgecolor="white", zorder=3)
    _label_rows(ax, rows)
    _label_columns(ax, rows)
    _dress(ax, board, len(rows))
    return ax


def _new_axes(n_rows: int) -> Axes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.08)
    figure = Figure(figsize=(8.0, 1.2 + _INCHES_PER_ROW * n_rows), layout=layout)
    FigureCanvasAgg(figure)
    return figure.add_subplot()


def _label_rows(ax: Axes, rows: tuple[Any, ...]) -> None:
    ax.set_yticks(range(len(rows)), [f"{row.rank}  {row.item}" for row in rows])
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0, labelsize=9, labelcolor=_INK)


def _label_columns(ax: Axes, rows: tuple[Any, ...]) -> None:
    """Ranks and P(best), in two columns to the right of the axes."""
    columns = (
        (30, "ranks", [_interval(row.rank_lower, row.rank_upper) for row in rows]),
        (76, "P(best)", [_percent(row.p_best) for row in rows]),
    )
    style: dict[str, Any] = {"textcoords": "offset points", "fontsize": 8, "ha": "center", "annotation_clip": False}
    for points, heading, cells in columns:
        ax.annotate(heading, (1, 1), (points, 2), "axes fraction", color=_OTHER, va="bottom", **style)
        for place, cell in enumerate(cells):
            ax.annotate(cell, (1, place), (points, 0), ax.get_yaxis_transform(), color=_INK, va="center", **style)


def _interval(low: int, high: int) -> str:
    return str(low) if low == high else f"{low}\u2013{high}"


def _percent(p: float) -> str:
    """A probability in per cent, nothing where it would read 0."""
    if not p >= 0.005:
        return ""
    return f"{100 * p:.0f} %" if p < 0.995 else "> 99 %"


def _dress(ax: Axes, board: Leaderboard, n_rows: int) -> None:
    for side in ("top", "left", "right"):
        ax.spines[side].set_visible(False)
    ax.spines["bottom"].set_color(_OTHER)
    ax.grid(axis="x", color=_FAINT, linewidth=0.8)
    ax.set_axisbelow(True)
    ax.hlines(range(n_rows), 0, 1, transform=ax.get_yaxis_transform(), color=_FAINT, linewidth=0.5, zorder=0)
    ax.tick_params(axis="x", color=_OTHER, labelcolor=_INK, labelsize=9)
    scale = _AXIS_OF_SCALE.get(board.scale, board.scale)
    ax.set_xlabel(f"{scale}, with {100 * board.level:g} % intervals; blue: may be the best", fontsize=9, color=_INK)
