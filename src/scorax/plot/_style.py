"""What the figures share: colours, axes without pyplot, rows of names, checks."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import Float
from scipy.optimize import isotonic_regression

if TYPE_CHECKING:
    from matplotlib.axes import Axes
else:
    Axes = Any

BLUE = "#0b6e99"
"""What is meant. Blue, grey and orange stay apart for every kind of eye."""
ORANGE = "#d55e00"
"""Its opposite."""
GREY = "#8a9299"
INK = "#2b2f33"
FAINT = "#e4e7ea"
# Okabe & Ito, the darker ones.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#b3a500")
INCHES_PER_ROW = 0.23


def new_axes(width: float, height: float) -> Axes:
    """Axes in a figure of their own, in inches: no window opens and no global state changes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    figure = Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.08))
    FigureCanvasAgg(figure)
    return figure.add_subplot()


def rows_axes(n_rows: int) -> Axes:
    """Axes as high as so many rows need."""
    return new_axes(8.0, 1.2 + INCHES_PER_ROW * n_rows)


def size_in_points(ax: Axes) -> tuple[float, float]:
    """Width and height of the axes, once they are laid out with what they hold by now."""
    figure = ax.figure.figure
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
    box = ax.get_window_extent()
    return box.width * 72 / figure.dpi, box.height * 72 / figure.dpi


def dress(ax: Axes, *, frame: Sequence[str] = ("bottom",), grid: Literal["x", "y", "both"] = "x") -> None:
    """Quiet axes: only some sides of the frame, a faint grid behind everything."""
    for side, spine in ax.spines.items():
        spine.set_visible(side in frame)
        spine.set_color(GREY)
    ax.grid(axis=grid, color=FAINT, linewidth=0.8)
    ax.set_axisbelow(True)
    ax.tick_params(color=GREY, labelcolor=INK, labelsize=9)


def label_rows(ax: Axes, labels: Sequence[str]) -> None:
    """One row a label, the first on top, with a faint line through each."""
    ax.set_yticks(range(len(labels)), labels)
    ax.set_ylim(len(labels) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0, labelsize=9, labelcolor=INK)
    ax.hlines(range(len(labels)), 0, 1, transform=ax.get_yaxis_transform(), color=FAINT, linewidth=0.5, zorder=0)


def caption(ax: Axes, x: str, y: str = "") -> None:
    """Words below and, if any, beside the axes."""
    ax.set_xlabel(x, fontsize=9, color=INK)
    ax.set_ylabel(y, fontsize=9, color=INK)


def colour(place: int, n: int) -> Any:
    """A colour of its own for each of `n`."""
    if n <= len(_COLOURS):
        return _COLOURS[place]
    from matplotlib import colormaps

    return colormaps["viridis"](0.86 - 0.84 * place / (n - 1))


def spread(positions: np.ndarray, gap: float) -> np.ndarray:
    """Positions moved as little as possible, by squares, until neighbours are `gap` apart; their order is kept."""
    order = np.argsort(positions, kind="stable")
    steps = gap * np.arange(len(positions))
    out = np.empty(len(positions))
    out[order] = isotonic_regression(np.asarray(positions, float)[order] - steps).x + steps
    return out


def checked_names(names: Sequence[str], k: int) -> list[str]:
    """The names as strings, as many as there are items."""
    if len(names) != k:
        raise ValueError(f"{len(names)} names for {k} items")
    return [str(name) for name in names]


def checked_top(top: int | None) -> None:
    """Refuse to draw less than one."""
    if top is not None and top < 1:
        raise ValueError(f"top must be at least 1, not {top}")


def normal_reach(level: float) -> float:
    """Standard errors from the middle to the end of an interval of this level."""
    from scipy.special import ndtri

    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, not {level}")
    return float(ndtri((1 + level) / 2))


def signed(x: float, decimals: int = 2) -> str:
    """A number with its sign, a true minus, and neither before what reads as zero."""
    text = f"{x:+.{decimals}f}"
    return text.replace("-", "\u2212") if float(text) else text[1:]


def per_cent(x: float) -> str:
    """A share in whole per cent, without claiming certainty."""
    return "< 1 %" if 0 < x < 0.005 else "> 99 %" if 0.995 <= x < 1 else f"{100 * x:.0f} %"


def finite(name: str, x: Float[np.ndarray, "..."]) -> np.ndarray:
    """`x`, unless some of it is missing or infinite."""
    if not np.isfinite(x).all():
        raise ValueError(f"{name} is missing or infinite in {int((~np.isfinite(x)).sum())} of {x.size} places")
    return x
