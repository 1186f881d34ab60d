"""What a ranking explains of who beats whom, and what runs in circles."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from scorax.choice import HodgeDecomposition
from scorax.plot._style import (
    BLUE,
    FAINT,
    GREY,
    INK,
    ORANGE,
    Axes,
    caption,
    checked_names,
    new_axes,
    per_cent,
    signed,
    spread,
)

_WIDEST = 3.2
# Arcs shorter than the column reach out more than in proportion, so that they leave one item at different angles.
_BEND = 0.7


def plot_hodge(parts: HodgeDecomposition, names: Sequence[str], *, arrows: int = 30, ax: Axes | None = None) -> Axes:
    """Items in a column by strength, and beside it the flows that no strengths explain.

    An arrow goes from the item that does better than the two strengths say to the one that does worse; the wider, the
    more. Arrows down, from the higher item, are blue and on the right, arrows up orange and on the left: a cycle is a
    loop that runs clockwise. Flows around triangles have these colours, those around longer cycles only are grey.
    Heights are strengths, moved apart as little as the names need; the numbers beside them are exact. Best for up to 20
    items. Without `ax` a figure of its own is made, without pyplot; `.figure` of the result has `savefig`, and a
    notebook shows it.

    Args:
        parts: From `scorax.choice.hodge_rank` or `hodge_decompose`.
        names: Of the items: a vocabulary, or any sequence.
        arrows: Draw only so many, the largest.
        ax: Axes to draw into; their size is yours.

    Returns:
        The axes.

    Raises:
        ValueError: Names and items differ in number, `arrows` is negative, or strengths are NaN, because groups of
            items never met.
        ImportError: Matplotlib is not installed (it comes with `scorax[plot]`).

    Example:
        >>> wins = sx.data.PairCounts.from_arrays([[0, 9, 3], [1, 0, 9], [7, 1, 0]])
        >>> ax = plot_hodge(sx.choice.hodge_rank(wins), ["rock", "scissors", "paper"])
        >>> [label.get_text() for label in ax.get_yticklabels()]
        ['rock', 'scissors', 'paper']

    Source: Jiang, Lim, Yao, Ye (2011), doi:10.1007/s10107-010-0419-x.
    """
    if arrows < 0:
        raise ValueError(f"arrows must be at least 0, not {arrows}")
    strength = np.asarray(parts.strength, float)
    if not np.isfinite(strength).all():
        raise ValueError("strengths are NaN: groups of items never met. Draw each group by itself.")
    k = len(strength)
    labels = checked_names(names, k)
    flows = np.stack([np.asarray(parts.curl, float), np.asarray(parts.harmonic, float)])
    order = np.argsort(-strength, kind="stable")
    ax = new_axes(7.5, 1.2 + 0.36 * max(k, 6)) if ax is None else ax
    height = _heights(strength, np.abs(flows).max(initial=0))
    # Rounding leaves traces of flows in parts that have none.
    least = 1e-5 * max(np.abs(flows).max(initial=0), float(np.ptp(strength)))
    n_drawn, n_all = _draw_flows(ax, flows, least, height, arrows)
    ax.plot(np.zeros(k), height, "o", color=INK, markersize=7, markeredgecolor="white", zorder=5)
    _label(ax, [labels[i] for i in order.tolist()], height[order], strength[order])
    some = "" if n_drawn == n_all else f"\nthe {n_drawn} largest of {n_all} flows"
    caption(ax, _in_words(parts, n_all) + some)
    return ax


def _heights(strength: Float[np.ndarray, " k"], largest_flow: float) -> Float[np.ndarray, " k"]:
    """Strengths moved apart by units of the larger of their range and the flows, so that noise is not blown up."""
    unit = max(float(np.ptp(strength)), float(largest_flow)) or 1.0
    scaled = strength / unit
    # Turned over, so that of equal ones the first stands on top.
    return -spread(-scaled, 1 / (1.6 * max(len(strength) - 1, 1)))


def _draw_flows(
    ax: Axes, flows: Float[np.ndarray, "2 k k"], least: float, height: np.ndarray, most: int
) -> tuple[int, int]:
    """The largest flows, each from the item that does better than expected; how many are drawn, of how many."""
    largest = flows.max(initial=0)
    found = np.argwhere(flows > least)
    sizes = flows[tuple(found.T)]
    chosen = found[np.argsort(-sizes, kind="stable")[:most]]
    span = float(np.abs(height[chosen[:, 1]] - height[chosen[:, 2]]).max(initial=0))
    # The smallest first: the largest lie on top.
    for kind, start, end in chosen[::-1].tolist():
        size = float(flows[kind, start, end] / largest)
        _arrow(ax, float(height[start]), float(height[end]), size, span, faint=kind == 1)
    return len(chosen), len(found)


def _arrow(ax: Axes, start: float, end: float, size: float, span: float, *, faint: bool) -> None:
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path

    side = 1 if start > end else -1
    out = side * (abs(start - end) / span) ** _BEND
    inset = 0.02 * side
    path = Path([(inset, start), (2 * out, (start + end) / 2), (inset, end)], [Path.MOVETO, Path.CURVE3, Path.CURVE3])
    colour = GREY if faint else BLUE if side > 0 else ORANGE
    ax.add_patch(
        FancyArrowPatch(
            path=path, arrowstyle="-|>,head_length=4,head_width=2", mutation_scale=0.8 + size, color=colour,
            linewidth=0.5 + (_WIDEST - 0.5) * size, alpha=0.35 + 0.55 * size, joinstyle="miter", capstyle="butt",
            zorder=2 + size,
        )
    )  # fmt: skip


def _label(ax: Axes, labels: list[str], height: np.ndarray, strength: np.ndarray) -> None:
    ax.set_yticks(height.tolist(), labels)
    ax.tick_params(axis="y", length=0, labelsize=9, labelcolor=INK)
    ax.set_xticks([])
    margin = 0.06 * (float(np.ptp(height)) or 1.0)
    ax.set_ylim(height.min() - margin, height.max() + margin)
    ax.set_xlim(-1.08, 1.08)
    for spine in ax.spines.values():
        spine.set_visible(False)
    ax.hlines(height, -1.08, 1.08, color=FAINT, linewidth=0.6, zorder=0)
    ax.vlines(0, height.min(), height.max(), color=GREY, linewidth=0.8, zorder=1)
    style: dict[str, Any] = {"textcoords": "offset points", "fontsize": 8, "ha": "right", "annotation_clip": False}
    for at, words, colour in ((0.25, "against the ranking", ORANGE), (0.75, "beyond the ranking", BLUE)):
        ax.annotate(words, (at, 1), (0, 2), "axes fraction", color=colour, va="bottom", **{**style, "ha": "center"})
    ax.annotate("strength", (1, 1), (40, 2), "axes fraction", color=GREY, va="bottom", **style)
    for at, value in zip(height.tolist(), strength.tolist(), strict=True):
        ax.annotate(signed(value), (1, at), (40, 0), ax.get_yaxis_transform(), color=INK, va="center", **style)


def _in_words(parts: HodgeDecomposition, n_flows: int) -> str:
    cyclic, local = float(parts.cyclicity), float(parts.local)
    if np.isnan(cyclic):
        return "there is no flow: no item is above another"
    if n_flows == 0:
        return "the strengths explain everything"
    longer = max(cyclic - local, 0.0)
    where = f" ({per_cent(longer)} around cycles longer than three)" if longer > 1e-6 else ""
    return (
        f"{per_cent(cyclic)} of the squared flow runs in circles{where}, {per_cent(1 - cyclic)} follows the strengths"
    )
