"""Judging drawn on the simplex of three levels: the judge's triangle, where candidates are seen, and equal scores."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from scorax.judges import barycentric, expected_score
from scorax.numerics import to_ternary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
else:
    Axes = Any

_INK = "#2b2f33"
_MUTED = "#6b737a"
_FAINT = "#e4e7ea"
_JUDGE = "#0b6e99"
# Okabe & Ito: told apart by every kind of eye. A candidate keeps its colour under every judge.
_COLOURS = ("#d55e00", "#009e73", "#cc79a7", "#e69f00", "#0072b2", "#56b4e9", "#000000", "#b3a500")
_ISO_STEPS = 8
_MOST_TRIANGLES = 150


def plot_simplex(
    confusion: Float[Array, "..."],
    observed: Float[Array, "k m"] | None = None,
    *,
    draws: Float[Array, "r 3 3"] | None = None,
    names: Sequence[str] | None = None,
    levels: Sequence[str] | None = None,
    values: Sequence[float] | None = None,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """One judge and what it sees of the candidates, among all distributions over three labels.

    Corners of the frame are labels. The blue triangle is the judge: its corners are the labels that it gives to answers
    of each true level, so whatever it sees lies inside, and where inside says how the true levels are mixed. Across it
    run lines of equal expected score. Triangles of posterior draws, if given, show how well the judge is known: points
    keep their place, but a score is read off against the triangle. Without `ax` a figure of its own is made, without
    pyplot; `.figure` of the result has `savefig`, and a notebook shows it.

    Args:
        confusion: The judge, `[3, 3]`, row = true level; one `model.confusion[j]`.
        observed: `[k, 3]`, label distribution of each candidate under it, as `model.observed_distribution()[j]`.
        draws: More judges, as posterior draws; at most 150, evenly chosen, are drawn.
        names: Of the candidates: a vocabulary, or any sequence.
        levels: Names of the three levels, lowest first; 1, 2, 3 if None.
        values: Increasing values of the levels; 1, 2, 3 if None.
        title: Above the figure.
        ax: Axes to draw into.

    Returns:
        The axes.

    Raises:
        ValueError: There are not three levels, or names and candidates differ in number.
        ImportError: Matplotlib is not installed (it comes with `scorax[plot]`).

    Example:
        >>> judge = jnp.array([[0.80, 0.15, 0.05], [0.10, 0.80, 0.10], [0.05, 0.15, 0.80]])
        >>> seen = jnp.array([[0.15, 0.475, 0.375], [0.3175, 0.215, 0.4675]])
        >>> ax = plot_simplex(judge, seen, names=["a", "b"])
        >>> [text.get_text() for text in ax.get_legend().get_texts()]
        ['a   2.30', 'b   2.20']

    Source: Vossler et al. (2025), arXiv 2505.21972.
    """
    judge = np.asarray(confusion, float)
    if judge.shape != (3, 3):
        raise ValueError(
            f"a simplex can be drawn for 3 levels and one judge at a time, not for a confusion of shape {judge.shape}; "
            "pick one with confusion[j], or merge levels"
        )
    level_names = ["1", "2", "3"] if levels is None else [str(level) for level in levels]
    if len(level_names) != 3:
        raise ValueError(f"{len(level_names)} names for 3 levels")
    ax = _new_axes() if ax is None else ax
    _frame(ax, level_names)
    if draws is not None:
        _cloud(ax, np.asarray(draws, float))
    _iso_scores(ax, judge, values)
    _triangle(ax, judge, level_names)
    if observed is not None:
        _candidates(ax, judge, np.asarray(observed, float), names, values)
    if title is not None:
        ax.set_title(title, loc="left", color=_INK, fontsize=11, pad=12)
    return ax


def _new_axes() -> Axes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.2, 6.2))
    figure.set_layout_engine("constrained", w_pad=0.12, h_pad=0.12)
    FigureCanvasAgg(figure)
    return figure.add_subplot()


def _place(p: np.ndarray) -> np.ndarray:
    return np.asarray(to_ternary(jnp.asarray(p)))


def _frame(ax: Axes, levels: list[str]) -> None:
    """The outer triangle, a faint grid, and a label at each corner that says what the corner means."""
    corners = _place(np.eye(3))
    for share in (0.2, 0.4, 0.6, 0.8):
        for level in range(3):
            one, other = np.delete(np.eye(3), level, axis=0)
            ends = [share * np.eye(3)[level] + (1 - share) * end for end in (one, other)]
            ax.plot(*_place(np.stack(ends)).T, color=_FAINT, linewidth=0.8, zorder=0)
    ax.fill(*corners.T, facecolor="none", edgecolor=_MUTED, linewidth=1.0, zorder=1)
    for corner, level, below in zip(corners, levels, (True, True, False), strict=True):
        ax.annotate(
            f"always labelled\n{level}", corner, (0, -8 if below else 8), textcoords="offset points", ha="center",
            va="top" if below else "bottom", color=_MUTED, fontsize=9, linespacing=1.2,
        )  # fmt: skip
    ax.set_aspect("equal")
    ax.set_axis_off()
    ax.set_xlim(-0.14, 1.14)
    ax.set_ylim(-0.12, 0.99)


def _cloud(ax: Axes, draws: np.ndarray) -> None:
    chosen = draws[np.unique(np.linspace(0, len(draws) - 1, min(len(draws), _MOST_TRIANGLES)).astype(int))]
    for triangle in _place(chosen):
        ax.fill(*triangle.T, facecolor="none", edgecolor=_JUDGE, linewidth=0.6, alpha=0.08, zorder=2)


def _iso_scores(ax: Axes, judge: np.ndarray, values: Sequence[float] | None) -> None:
    """Lines of equal score from the edge between lowest and highest level to one of the edges at the middle level."""
    low, middle, high = (1.0, 2.0, 3.0) if values is None else (float(value) for value in values)
    outward = _place(judge[0] + judge[2] - 2 * judge[1]) - _place(np.zeros(3))
    outward = outward / max(np.linalg.norm(outward), 1e-9)
    for step in range(1, _ISO_STEPS):
        score = low + (high - low) * step / _ISO_STEPS
        share = step / _ISO_STEPS
        start = (1 - share) * judge[0] + share * judge[2]
        if score <= middle:
            end = judge[0] + (score - low) / (middle - low) * (judge[1] - judge[0])
        else:
            end = judge[1] + (score - middle) / (high - middle) * (judge[2] - judge[1])
        ends = _place(np.stack([start, end]))
        ax.plot(*ends.T, color=_JUDGE, linewidth=0.9, alpha=0.55, linestyle=(0, (4, 3)), zorder=3)
        if step % 2 == 0:
            ax.annotate(
                f"{score:.3g}", ends[0], tuple(11 * outward), textcoords="offset points",
                ha="center", va="center", color=_JUDGE, fontsize=8, zorder=6,
            )  # fmt: skip


def _triangle(ax: Axes, judge: np.ndarray, levels: list[str]) -> None:
    from matplotlib.patheffects import withStroke

    corners = _place(judge)
    ax.fill(*corners.T, facecolor=_JUDGE, alpha=0.06, zorder=2)
    ax.fill(*corners.T, facecolor="none", edgecolor=_JUDGE, linewidth=1.8, joinstyle="round", zorder=4)
    ax.plot(*corners.T, "s", color=_JUDGE, markersize=5, zorder=5)
    # Beside the corner, never below or above it: there stand the labels of the frame, close to a good judge's corners.
    for (x, y), level in zip(corners, levels, strict=True):
        left = x < corners[:, 0].mean() - 0.05
        ax.annotate(
            f"truly {level}", (x, y), (-9 if left else 9, 1), textcoords="offset points",
            ha="right" if left else "left",
            va="bottom", color=_JUDGE, fontsize=9, fontweight="bold", zorder=6,
            path_effects=[withStroke(linewidth=3, foreground="white")],
        )  # fmt: skip


def _candidates(
    ax: Axes,
    judge: np.ndarray,
    observed: np.ndarray,
    names: Sequence[str] | None,
    values: Sequence[float] | None,
) -> None:
    """Points where the judge sees each candidate; the legend lists them by the score that the judge implies."""
    k = len(observed)
    labels = [f"candidate {i}" for i in range(k)] if names is None else [str(name) for name in names]
    if len(labels) != k or observed.shape != (k, 3):
        raise ValueError(f"{len(labels)} names for observed distributions of shape {observed.shape}")
    score = np.asarray(
        expected_score(barycentric(jnp.asarray(observed), jnp.broadcast_to(jnp.asarray(judge), (k, 3, 3))), values)
    )
    order = np.argsort(-score)
    for i in order.tolist():
        ax.plot(
            *_place(observed[i]), "o", color=_colour(i, k), markersize=8, markeredgecolor="white",
            markeredgewidth=1.2, linestyle="none", zorder=7, label=f"{labels[i]}   {score[i]:.2f}",
        )  # fmt: skip
    legend = ax.legend(
        title="seen at, and the score\nthe triangle gives it", loc="center left", bbox_to_anchor=(0.93, 0.66),
        frameon=False, fontsize=9, labelcolor=_INK, handletextpad=0.3, alignment="left", borderaxespad=0,
    )  # fmt: skip
    legend.get_title().set(fontsize=9, color=_MUTED)


def _colour(candidate: int, k: int) -> Any:
    if k <= len(_COLOURS):
        return _COLOURS[candidate]
    from matplotlib import colormaps

    return colormaps["viridis"](0.95 - 0.9 * candidate / (k - 1))
