"""Many small pictures in one."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Array, Float

from scorax.plot._style import INK, Axes, finite, new_axes

_INCHES = (10.0, 0.9)  # widest figure, widest picture


def plot_sample_grid(
    images: Float[Array, "n h w"] | Float[Array, "n h w 3"],
    *,
    n_columns: int = 10,
    limits: tuple[float, float] | None = None,
    rows: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Pictures side by side, row by row, one pixel of which is one value.

    Pictures without colour are white where they are least and black where they are largest, on one scale for all.
    Without `ax` a figure of its own is made, without pyplot; `.figure` of the result has `savefig`, and a notebook
    shows it.

    Args:
        images: Grey or red-green-blue, the first one at the top left. Flat samples are reshaped first,
            `samples.reshape(-1, 8, 8)`.
        n_columns: Pictures in a row. The last row may be shorter.
        limits: Values that are drawn as white and black, or for colours as absent and full; values beyond are drawn as
            the nearer of them. None for the least and the largest of all values.
        rows: Names of the rows, on the left: noise levels, methods.
        columns: Names of the columns, on top.
        ax: Axes to draw into; their size is yours.

    Returns:
        The axes.

    Raises:
        ValueError: There are no pictures or they have no pixels, `n_columns` is not positive, limits do not rise, there
            are more or fewer names than rows or columns, or a value is missing or infinite.
        ImportError: Matplotlib is not installed (it comes with `scorax[plot]`).

    Example:
        >>> ax = plot_sample_grid(jnp.linspace(0, 1, 6 * 4 * 4).reshape(6, 4, 4), n_columns=4, rows=["few", "many"])
        >>> ax.images[0].get_array().shape  # two rows and four columns, with gaps
        (9, 19)
    """
    pictures = finite("images", np.asarray(images, float))
    n, high, wide = pictures.shape[:3]
    if pictures.size == 0:
        raise ValueError(f"images of shape {pictures.shape} have nothing to show: one picture of one pixel is needed")
    if n_columns < 1:
        raise ValueError(f"n_columns must be at least 1, not {n_columns}")
    low, top = limits or (float(pictures.min()), float(pictures.max()))
    if limits and not low < top:
        raise ValueError(f"limits must rise, not go from {low:g} to {top:g}")
    across = min(n_columns, n)
    down = -(-n // across)
    gap = max(1, round(max(high, wide) / 16))
    mosaic = _mosaic(_shares(pictures, low, top), down, across, gap)
    if ax is None:
        size = min(_INCHES[0] / across, _INCHES[1])
        margins = (1.2 if rows else 0.3), (0.5 if columns else 0.3)
        ax = new_axes(across * size + margins[0], down * size * high / wide + margins[1])
    ax.imshow(mosaic, cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
    for spine in ax.spines.values():
        spine.set_visible(False)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.tick_params(length=0, labelcolor=INK, labelsize=9)
    if rows is not None:
        ax.set_yticks(_middles(high, gap, down), _checked("rows", rows, down))
    if columns is not None:
        ax.xaxis.tick_top()
        ax.set_xticks(_middles(wide, gap, across), _checked("columns", columns, across))
        ax.tick_params(length=0)
    return ax


def _shares(pictures: np.ndarray, low: float, top: float) -> np.ndarray:
    """Values as shares of the way between the limits; half of it where all are equal."""
    if low == top:
        return np.full_like(pictures, 0.5)
    return np.clip((pictures - low) / (top - low), 0, 1)


def _mosaic(pictures: np.ndarray, down: int, across: int, gap: int) -> np.ndarray:
    """All pictures in one array, white between them and in places that are empty."""
    n, high, wide, *colours = pictures.shape
    white = 1.0 if colours else 0.0
    out = np.full((down * (high + gap) - gap, across * (wide + gap) - gap, *colours), white)
    for place in range(n):
        row, column = divmod(place, across)
        top, left = row * (high + gap), column * (wide + gap)
        out[top : top + high, left : left + wide] = pictures[place]
    return out


def _middles(length: int, gap: int, count: int) -> np.ndarray:
    return (length - 1) / 2 + (length + gap) * np.arange(count)


def _checked(what: str, names: Sequence[str], count: int) -> list[str]:
    if len(names) != count:
        raise ValueError(f"{len(names)} names for {count} {what} of pictures")
    return [str(name) for name in names]
