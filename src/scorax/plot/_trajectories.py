"""Skills over time."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Array, Float

from scorax.plot._style import (
    Axes,
    caption,
    checked_names,
    checked_top,
    colour,
    dress,
    finite,
    new_axes,
    normal_reach,
    size_in_points,
    spread,
)

_BACKGROUND = "#cfd4d8"
_POINTS_PER_LINE = 12.0


def plot_trajectories(
    times: Float[Array, " t"],
    mean: Float[Array, "k t"],
    std: Float[Array, "k t"],
    names: Sequence[str],
    *,
    top: int = 8,
    level: float = 0.95,
    ax: Axes | None = None,
) -> Axes:
    """Skills that change with time, with bands; the best at the end are named there, all others are thin and grey.

    Without `ax` a figure of its own is made, without pyplot; `.figure` of the result has `savefig`, and a notebook
    shows it.

    Args:
        times: Rising.
        mean: Of the skill of each item at each time. `mean, std = skills.predict(times)` for skills that
            `dynamic_skills` found.
        std: Standard deviations of the same.
        names: Of the items: a vocabulary, or any sequence.
        top: How many are named: those with the highest mean at the last time.
        level: Of the bands, normal ones and at one time each.
        ax: Axes to draw into; their size is yours.

    Returns:
        The axes.

    Raises:
        ValueError: Shapes differ, times do not rise, a value is missing or infinite, a standard deviation is negative,
            `level` is not inside (0, 1), or `top` is not positive.
        ImportError: Matplotlib is not installed (it comes with `scorax[plot]`).

    Example:
        >>> times = jnp.array([0.0, 1.0, 2.0])
        >>> mean = jnp.array([[0.0, 0.5, 1.0], [0.0, -0.5, -1.0], [0.1, 0.0, -0.1]])
        >>> ax = plot_trajectories(times, mean, jnp.full((3, 3), 0.2), ["a", "b", "c"], top=2)
        >>> [text.get_text() for text in ax.texts]
        ['a', 'c']
    """
    from matplotlib.ticker import MaxNLocator

    checked_top(top)
    t, middle, width = (np.asarray(x, float) for x in (times, mean, std))
    labels = checked_names(names, len(middle))
    _check(t, middle, width)
    reach = normal_reach(level) * width
    order = np.argsort(-middle[:, -1], kind="stable")
    chosen, others = order[:top].tolist(), order[top:].tolist()
    ax = new_axes(8.0, max(4.8, 1.2 + 0.18 * len(chosen))) if ax is None else ax
    for i in others:
        ax.plot(t, middle[i], color=_BACKGROUND, linewidth=0.8, zorder=1)
    colours = [colour(place, len(chosen)) for place in range(len(chosen))]
    haze = min(0.14, 1 / len(chosen))
    for i, hue in zip(chosen, colours, strict=True):
        ax.fill_between(t, middle[i] - reach[i], middle[i] + reach[i], color=hue, alpha=haze, linewidth=0, zorder=2)
        ax.plot(t, middle[i], color=hue, linewidth=1.8, solid_capstyle="round", zorder=3)
    dress(ax, frame=("bottom",), grid="y")
    ax.tick_params(axis="y", length=0)
    ax.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10]))
    ax.set_xlim(t[0], t[-1])
    rest = f"; grey: the other {len(others)}" if others else ""
    caption(ax, f"time, with {100 * level:g} % bands{rest}", "skill")
    _name(ax, middle[chosen, -1], [labels[i] for i in chosen], colours)
    return ax


def _check(t: np.ndarray, middle: np.ndarray, width: np.ndarray) -> None:
    if t.ndim != 1 or t.size < 2 or middle.shape != (len(middle), t.size) or width.shape != middle.shape:
        raise ValueError(
            f"times of shape {t.shape}, mean {middle.shape} and std {width.shape}; [t], [k, t] and [k, t] are needed, "
            "with at least two times"
        )
    for name, x in (("times", t), ("mean", middle), ("std", width)):
        finite(name, x)
    if (np.diff(t) <= 0).any():
        raise ValueError(f"times must rise: they do not after place {int((np.diff(t) <= 0).argmax())}")
    if (width < 0).any():
        raise ValueError(f"std is negative in {int((width < 0).sum())} of {width.size} places")


def _name(ax: Axes, ends: np.ndarray, labels: list[str], colours: list[Any]) -> None:
    """Names to the right of where the lines end, moved apart, each tied to its end."""
    from matplotlib.transforms import ScaledTranslation

    gap = _POINTS_PER_LINE / size_in_points(ax)[1] * float(np.ptp(ax.get_ylim()))
    across = ax.get_yaxis_transform()
    beside = across + ScaledTranslation(20 / 72, 0, ax.figure.dpi_scale_trans)
    for label, end, y, hue in zip(labels, ends.tolist(), spread(ends, gap).tolist(), colours, strict=True):
        tie = {"arrowstyle": "-", "color": hue, "linewidth": 0.7, "relpos": (0, 0.5), "shrinkA": 2, "shrinkB": 1}
        ax.annotate(
            label, (1, end), (1, y), across, beside, tie, annotation_clip=False, fontsize=9, va="center", color=hue
        )  # fmt: skip
