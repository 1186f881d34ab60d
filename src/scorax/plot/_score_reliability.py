"""How good scores are at each noise level."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Array, Float

from scorax.plot._style import GREY, Axes, caption, checked_names, colour, dress, finite, new_axes

_WORDS = {"error": "relative squared error", "explained": "explained variance"}
_MARKERS = "osD^vP*X"


def plot_score_reliability(
    levels: Float[Array, " l"],
    values: Float[Array, "m l"] | Float[Array, "r m l"],
    names: Sequence[str],
    *,
    kind: Literal["error", "explained"] = "error",
    level: float = 0.9,
    ax: Axes | None = None,
) -> Axes:
    """Errors of scores, or the share of a score that they explain, against the noise level, a line for each method.

    A score that is zero everywhere has a relative squared error of 1 and explains 0: the grey line. Without `ax` a
    figure of its own is made, without pyplot; `.figure` of the result has `savefig`, and a notebook shows it.

    Args:
        levels: Noise levels, in any order, on a log axis.
        values: Of each method at each level: `sum |score - approximation|² / sum |score|²`, on a log axis, or one minus
            that, as `scorax.diffusion.explained_variance` gives it. With a leading axis of replicates (seeds, folds)
            the line is their mean, and a band shows their spread.
        names: Of the methods.
        kind: Which of the two `values` are.
        level: Share of the replicates that lie inside the band at each level, the middle ones.
        ax: Axes to draw into; their size is yours.

    Returns:
        The axes.

    Raises:
        ValueError: Shapes differ or are empty, noise levels are not positive, errors are not positive or explained
            variances exceed 1, a value is missing or infinite, there are not as many names as methods, or `level` is
            not inside (0, 1).
        ImportError: Matplotlib is not installed (it comes with `scorax[plot]`).

    Example:
        >>> levels = jnp.array([0.1, 1.0, 10.0])
        >>> explained = jnp.array([[0.4, 0.9, 1.0], [-1.0, 0.8, 1.0]])
        >>> ax = plot_score_reliability(levels, explained, ["normal", "mean only"], kind="explained")
        >>> [text.get_text() for text in ax.get_legend().get_texts()]
        ['normal', 'mean only']
    """
    noise, found = np.asarray(levels, float), np.asarray(values, float)
    replicates = found if found.ndim == 3 else found[None]
    if noise.size == 0 or found.size == 0 or replicates.shape[2:] != noise.shape:
        raise ValueError(
            f"levels of shape {noise.shape} and values of shape {found.shape}; [l] and [m, l] or [r, m, l] are needed, "
            "none of them empty"
        )
    labels = checked_names(names, replicates.shape[1])
    _check(finite("levels", noise), finite("values", found), kind)
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, not {level}")
    order = np.argsort(noise, kind="stable")
    noise, replicates = noise[order], replicates[..., order]
    ax = new_axes(7.2, 4.4) if ax is None else ax
    low, high = np.quantile(replicates, [(1 - level) / 2, (1 + level) / 2], axis=0)
    ax.axhline(1.0 if kind == "error" else 0.0, color=GREY, linewidth=1.0, zorder=1)
    for place, (label, middle) in enumerate(zip(labels, replicates.mean(0), strict=True)):
        hue, marker = colour(place, len(labels)), _MARKERS[place % len(_MARKERS)]
        if len(replicates) > 1:
            ax.fill_between(noise, low[place], high[place], color=hue, alpha=0.18, linewidth=0, zorder=2)
        look = {"color": hue, "marker": marker, "markersize": 4.5, "markeredgecolor": "white", "linewidth": 1.6}
        ax.plot(noise, middle, label=label, zorder=3, **look)
    ax.set_xscale("log")
    if kind == "error":
        ax.set_yscale("log")
    dress(ax, frame=("left", "bottom"), grid="both")
    band = f"; bands: the middle {100 * level:g} % of {len(replicates)} replicates" if len(replicates) > 1 else ""
    caption(ax, f"noise level{band}", _WORDS[kind])
    ax.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1.0))
    return ax


def _check(noise: np.ndarray, found: np.ndarray, kind: str) -> None:
    if (noise <= 0).any():
        raise ValueError(f"noise levels must be positive on a log axis: {int((noise <= 0).sum())} are not")
    if kind == "error" and (found <= 0).any():
        raise ValueError(
            f"errors must be positive on a log axis: {int((found <= 0).sum())} of {found.size} are not; explained "
            'variances are drawn with kind="explained"'
        )
    if kind == "explained" and (found > 1).any():
        raise ValueError(
            f"no score explains more than all: {int((found > 1).sum())} of {found.size} values exceed 1; errors are "
            'drawn with kind="error"'
        )
