"""Judging drawn on the simplex of two levels, a segment: the judge's two ends, and where candidates are seen."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from scorax.judges import binary_identified_interval
from scorax.plot._style import BLUE, GREY, INK, Axes, caption, checked_names, dress, finite, label_rows, rows_axes


def plot_segment(
    confusion: Float[Array, "..."],
    observed: Float[Array, "k m"],
    *,
    names: Sequence[str] | None = None,
    levels: Sequence[str] = ("lower", "upper"),
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    r"""One judge of two levels: what it sees of each candidate, what that makes of the truth, and what it leaves open.

    The blue band is the judge, from how often it approves of answers of the lower level, \(q_0\), to how often of the
    upper one, \(q_1\). An open circle is how often it approves of a candidate: where in the band says how good the
    candidate is, and the full dot is that share. The grey line is every share that some judge, whichever it be, could
    have approved of so: if the line is long, the dot is an assumption. The order is the same under any of them.

    Args:
        confusion: The judge, `[2, 2]`, row = true level; one `model.confusion[j]`.
        observed: `[k, 2]`, label distribution of each candidate under it, as `model.observed_distribution()[j]`.
        names: Of the candidates: a vocabulary, or any sequence; their numbers if None.
        levels: Names of the two levels, lowest first.
        title: Above the figure.
        ax: Axes to draw into. Without, a figure of its own is made, without pyplot; `.figure` has `savefig`.

    Returns:
        The axes, the best candidate on top.

    Raises:
        ValueError: There are not two levels, the judge is right no more often than wrong, or names and candidates
            differ in number.
        ImportError: Matplotlib is not installed (it comes with `scorax[plot]`).

    Example:
        >>> judge = jnp.array([[0.8, 0.2], [0.2, 0.8]])
        >>> ax = plot_segment(judge, jnp.array([[0.62, 0.38], [0.38, 0.62]]), names=["a", "b"])
        >>> [label.get_text() for label in ax.get_yticklabels()]
        ['b   0.70', 'a   0.30']

    Source: Vossler et al. (2025), arXiv 2505.21972.
    """
    judge, seen = np.asarray(confusion, float), finite("observed", np.asarray(observed, float))
    if judge.shape != (2, 2) or seen.ndim != 2 or seen.shape[1] != 2 or len(levels) != 2:
        raise ValueError(
            f"a segment is for 2 levels and one judge at a time, not for a confusion of shape {judge.shape} and "
            f"observed of shape {seen.shape}; with three levels use plot_simplex"
        )
    q0, q1 = judge[:, 1]
    if not q0 < q1:
        raise ValueError(
            f"the judge approves of {q0:g} of the lower and {q1:g} of the upper level: there is no segment"
        )
    approved = seen[:, 1]
    order = np.argsort(-approved, kind="stable")
    labels = checked_names([str(k) for k in range(len(seen))] if names is None else names, len(seen))
    share = (approved - q0) / (q1 - q0)
    open_to = binary_identified_interval(jnp.asarray(approved))
    ax = rows_axes(len(seen)) if ax is None else ax
    ax.axvspan(float(q0), float(q1), color=BLUE, alpha=0.10, linewidth=0, zorder=0)
    for place, k in enumerate(order.tolist()):
        ends = [float(open_to.lower[k]), float(open_to.upper[k])]
        ax.plot(ends, [place, place], color=GREY, linewidth=1.6, solid_capstyle="round", zorder=2)
        ax.plot([approved[k]], [place], "o", color="white", markeredgecolor=INK, markersize=5, zorder=3)
        ax.plot([share[k]], [place], "o", color=BLUE, markeredgecolor="white", markersize=6, zorder=4)
    dress(ax)
    label_rows(ax, [f"{labels[k]}   {share[k]:.2f}" for k in order.tolist()])
    ax.set_xlim(min(-0.02, float(share.min()) - 0.02), max(1.02, float(share.max()) + 0.02))
    caption(
        ax,
        f"share of {levels[1]}: approved of (open), true under this judge (blue), true under any judge (line);\n"
        f"band: how often it approves of {levels[0]} and of {levels[1]} answers",
    )
    if title is not None:
        ax.set_title(title, loc="left", color=INK, fontsize=11)
    return ax
