"""A score in the plane, as arrows."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from scorax.plot._style import BLUE, GREY, INK, Axes, caption, dress, finite, new_axes, size_in_points

Span = tuple[float, float]

_HUES = ("#c3d7e1", BLUE, "#0b2231")
# Of the distance between neighbouring points.
_ARROW = 0.85
_POINTS_OF_SCALE = (8.0, 130.0)


def plot_score_field(
    score: Callable[..., Float[Array, "..."]],
    t: float | Float[Array, ""] | None = None,
    *,
    limits: Span | tuple[Span, Span],
    n: int = 20,
    samples: Float[Array, "m 2"] | None = None,
    lengths: Span | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Arrows that point where a score of two variables points, coloured by its length on a log scale.

    All arrows are drawn equally long, because lengths of scores differ by orders of magnitude; the arrow's middle is
    the point where the score was taken. Where the score is zero up to rounding, against the longest, there is no arrow.
    Without `ax` a figure of its own is made, without pyplot; `.figure` of the result has `savefig`, and a notebook
    shows it.

    Args:
        score: `score(x)`, or `score(x, t)` if `t` is given, on one sample of two entries: a network, an exact score, or
            a function that looks up values of your own.
        t: Time or noise level.
        limits: Lowest and highest value of both variables, or a pair of those for each.
        n: Arrows along each axis. At least 2.
        samples: Drawn behind, as grey dots; those outside the limits are cut off.
        lengths: Least and largest length on the colour scale, to share it between figures; those of the arrows if None.
        ax: Axes to draw into; their size is yours.

    Returns:
        The axes.

    Raises:
        ValueError: Limits or lengths do not rise or are not finite, `n` is below 2, the score has another shape than
            its sample, is missing or infinite somewhere, or is zero everywhere.
        ImportError: Matplotlib is not installed (it comes with `scorax[plot]`).

    Example:
        >>> ax = plot_score_field(lambda x, t: -x / (1 + t**2), 2.0, limits=(-3.0, 3.0), n=10)
        >>> ax.collections[0].N  # arrows
        100
    """
    from matplotlib.colors import LinearSegmentedColormap, LogNorm

    (left, right), (bottom, top) = _spans(limits)
    if n < 2:
        raise ValueError(f"n must be at least 2 arrows along each axis, not {n}")
    across, up = np.linspace(left, right, n), np.linspace(bottom, top, n)
    points = np.stack(np.meshgrid(across, up), axis=-1).reshape(-1, 2)
    found = _scores(score, t, points)
    arrows = np.asarray(found, float)
    length = np.linalg.norm(arrows, axis=1)
    # What rounding leaves of a zero has no direction, and would stretch the scale of colours.
    drawn = length > jnp.finfo(found.dtype).eps * length.max()
    if not drawn.any():
        raise ValueError(f"the score is zero at all {length.size} points: there is no arrow to draw; widen the limits")
    least, most = _rising("lengths", lengths) if lengths else (float(length[drawn].min()), float(length.max()))
    if least <= 0:
        raise ValueError(f"lengths must be positive on a log scale, not {lengths}")
    step = _ARROW * min(across[1] - across[0], up[1] - up[0])
    if ax is None:
        ax = new_axes(6.4, float(np.clip(0.8 + 4.6 * (top - bottom) / (right - left), 2.6, 8.0)))
    if samples is not None:
        ax.plot(*np.asarray(samples, float).T, ".", color=GREY, markersize=2.5, alpha=0.6, zorder=1)
    mesh = ax.quiver(
        *points[drawn].T,
        *(step * arrows[drawn] / length[drawn, None]).T,
        length[drawn],
        cmap=LinearSegmentedColormap.from_list("lengths", _HUES),
        norm=LogNorm(least, most),
        angles="xy",
        scale_units="xy",
        scale=1.0,
        pivot="mid",
        width=0.0035,
        zorder=2,
    )
    dress(ax, frame=("left", "bottom"), grid="both")
    # Directions are true only where both variables have one scale.
    ax.set_aspect("equal")
    # Room for the arrows at the border.
    ax.set_xlim(left - step, right + step)
    ax.set_ylim(bottom - step, top + step)
    caption(ax, "first variable", "second variable")
    _scale(ax, mesh, least, most)
    return ax


def _rising(name: str, span: Span) -> Span:
    low, high = (float(end) for end in span)
    if not (np.isfinite([low, high]).all() and low < high):
        raise ValueError(f"{name} must rise and be finite, not go from {low:g} to {high:g}")
    return low, high


def _spans(limits: Span | tuple[Span, Span]) -> tuple[Span, Span]:
    first, second = limits
    if isinstance(first, tuple) and isinstance(second, tuple):
        return _rising("limits", first), _rising("limits", second)
    both = _rising("limits", (first, second))  # type: ignore[arg-type]
    return both, both


def _scores(
    score: Callable[..., Float[Array, "..."]], t: float | Float[Array, ""] | None, points: np.ndarray
) -> np.ndarray:
    x = jnp.asarray(points, float)
    at = () if t is None else (jnp.asarray(t, x.dtype),)
    found = jax.vmap(lambda x: score(x, *at))(x)
    if found.shape != x.shape:
        raise ValueError(
            f"the score of a sample of shape (2,) has shape {found.shape[1:]}: pass a function of one sample in the "
            "plane that returns its gradient"
        )
    return finite("the score", np.asarray(found))


def _scale(ax: Axes, mesh: Any, least: float, most: float) -> None:
    """A scale beside the axes, with powers of ten, or finer if there are few of them."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    width, height = size_in_points(ax)
    wide, high = _POINTS_OF_SCALE
    share = min(high / height, 1.0)
    bar = ax.figure.colorbar(mesh, cax=ax.inset_axes((1 + 12 / width, 1 - share, wide / width, share)))
    bar.locator = LogLocator(subs=(1.0,) if most > 100 * least else (1.0, 2.0, 5.0))
    bar.formatter = FuncFormatter(lambda value, _: f"{value:g}")
    bar.minorlocator = NullLocator()
    bar.update_ticks()
    bar.ax.tick_params(length=0, labelsize=8, labelcolor=INK)
    bar.set_label("length of the score", fontsize=8, color=INK)
    bar.outline.set_visible(False)  # type: ignore[operator]
