"""Strengths with bars that compare by eye: where two do not overlap, the items differ."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Array, Float

from scorax.choice import QuasiVariances
from scorax.plot._style import (
    BLUE,
    GREY,
    Axes,
    caption,
    checked_names,
    checked_top,
    dress,
    finite,
    label_rows,
    normal_reach,
    rows_axes,
)


def plot_comparison_intervals(
    strength: Float[Array, " k"],
    quasi: QuasiVariances,
    names: Sequence[str],
    *,
    level: float = 0.95,
    top: int | None = None,
    ax: Axes | None = None,
) -> Axes:
    r"""Forest plot of strengths for comparing any two items by eye, best on top.

    Bars reach \(z / \sqrt 2\) quasi standard errors to each side, z being 1.96 for a level of 95 %. Then two bars of
    one length touch exactly where the difference is z of its own standard errors; of unequal ones, a gap that is barely
    there is not quite enough. A bar alone is no interval of its item: strengths have no zero of their own. Items whose
    bar overlaps that of the best are blue, all others grey; a thin line marks where its bar ends. The line below says
    how far off standard errors of differences are that are read from quasi-variances. Pairs are compared one at a time:
    for all at once see `scorax.choice.rank_confidence_sets`.

    Args:
        strength: The estimates, in any gauge.
        quasi: From `scorax.choice.quasi_variances`.
        names: Of the items: a vocabulary, or any sequence.
        level: At which a gap between two bars speaks of a difference.
        top: Draw only the first so many items. None draws all.
        ax: Axes to draw into; their size is yours.

    Returns:
        The axes.

    Raises:
        ValueError: Lengths differ, a strength or a quasi-variance is missing or infinite, `level` is not inside (0, 1),
            or `top` is not positive.
        ImportError: Matplotlib is not installed (it comes with `scorax[plot]`).

    Example:
        >>> quasi = sx.choice.quasi_variances(jnp.diag(jnp.array([0.01, 0.02, 0.03])))
        >>> ax = plot_comparison_intervals(jnp.array([0.0, 1.0, -1.0]), quasi, ["a", "b", "c"])
        >>> [label.get_text() for label in ax.get_yticklabels()]
        ['b', 'a', 'c']

    Source: Firth and de Menezes (2004), doi:10.1093/biomet/91.1.65; Goldstein and Healy (1995), doi:10.2307/2983411
    (the length of the bars).
    """
    checked_top(top)
    at = finite("strength", np.asarray(strength, float))
    labels = checked_names(names, len(at))
    if quasi.variance.shape != at.shape:
        raise ValueError(f"quasi-variances of {quasi.variance.size} items for {at.size} strengths")
    reach = finite("quasi.variance", np.asarray(quasi.std_error, float)) * normal_reach(level) / np.sqrt(2)
    order = np.argsort(-at, kind="stable")
    edge = at[order[0]] - reach[order[0]]
    order = order[:top]
    ax = rows_axes(len(order)) if ax is None else ax
    ax.axvline(edge, color=BLUE, alpha=0.4, linewidth=0.8, zorder=1)
    for place, i in enumerate(order.tolist()):
        colour = BLUE if at[i] + reach[i] >= edge else GREY
        ends = [at[i] - reach[i], at[i] + reach[i]]
        ax.plot(ends, [place, place], color=colour, linewidth=1.6, solid_capstyle="butt", marker="|", zorder=2)
        ax.plot([at[i]], [place], "o", color=colour, markersize=5, markeredgecolor="white", zorder=3)
    dress(ax)
    label_rows(ax, [labels[i] for i in order.tolist()])
    low, high = (100 * float(worst) for worst in quasi.worst)
    caption(
        ax,
        f"strength; bars that do not overlap differ at {100 * level:g} %; blue: not told apart from the best\n"
        f"(quasi standard errors, off by {low:+.0f} to {high:+.0f} % for differences)".replace("-", "\u2212"),
    )
    return ax
