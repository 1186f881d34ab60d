"""Who beats whom, and how surely."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Array, Float

from scorax.plot._heat_map import heat_map
from scorax.plot._style import BLUE, ORANGE, Axes, caption, checked_names, checked_top, new_axes

# Pale in the middle, where neither side is favoured, and of like darkness on both sides.
_HUES = ("#8a3c00", ORANGE, "#f5c9a8", "#f7f7f5", "#a9cfdf", BLUE, "#06455f")


def plot_win_probability(
    win_prob: Float[Array, "k k"], names: Sequence[str], *, top: int | None = None, ax: Axes | None = None
) -> Axes:
    """Matrix of the probabilities that the row's item beats the column's: blue above one half, orange below.

    Items come from best to worst, by their mean probability over the others; columns have the numbers of the rows.
    Where strengths order the items, colours rise evenly along rows and columns: an orange cell right of the diagonal is
    an upset. Cells hold per cents where they are large enough. Without `ax` a figure of its own is made, without
    pyplot; `.figure` of the result has `savefig`, and a notebook shows it.

    Args:
        win_prob: In [0, 1]. Bradley-Terry's are `jax.nn.sigmoid(strength[:, None] - strength[None, :])`; a mean of
            `win_probability_draws` assumes no model; `contrasts(result).superiority` asks who is better instead. NaN
            leaves a cell empty: pairs that never met. The diagonal is not read.
        names: Of the items: a vocabulary, or any sequence.
        top: Draw only the first so many items. None draws all.
        ax: Axes to draw into; their size is yours.

    Returns:
        The axes.

    Raises:
        ValueError: The matrix is not square, lies outside [0, 1], or knows nothing of an item; names and items
            differ in number; `top` is not positive.
        ImportError: Matplotlib is not installed (it comes with `scorax[plot]`).

    Example:
        >>> strength = jnp.array([-1.0, 1.0, 0.0])
        >>> ax = plot_win_probability(jax.nn.sigmoid(strength[:, None] - strength[None, :]), ["a", "b", "c"])
        >>> [label.get_text() for label in ax.get_yticklabels()]
        ['1  b', '2  c', '3  a']
    """
    checked_top(top)
    shares = np.array(win_prob, float)
    if shares.ndim != 2 or shares.shape[0] != shares.shape[1] or len(shares) < 2:
        raise ValueError(f"win_prob has shape {shares.shape}; a square matrix of at least two items is needed")
    labels = checked_names(names, len(shares))
    np.fill_diagonal(shares, np.nan)
    order = np.argsort(-_mean_over_others(shares, labels), kind="stable")[:top]
    k = len(order)
    side = 0.34 if k <= 25 else 0.2
    ax = new_axes(2.8 + side * max(k, 4), 0.7 + side * max(k, 4)) if ax is None else ax
    ax.set_yticks(range(k), [f"{place + 1}  {labels[i]}" for place, i in enumerate(order.tolist())], fontsize=9)
    ax.set_xticks(range(k), [str(place + 1) for place in range(k)], fontsize=9 if k <= 25 else 7)
    caption(ax, "against the item of this row")
    heat_map(ax, shares[np.ix_(order, order)], _HUES, "the row's item wins", least=0.0, power=1.0)
    return ax


def _mean_over_others(shares: Float[np.ndarray, "k k"], labels: list[str]) -> Float[np.ndarray, " k"]:
    known = ~np.isnan(shares)
    outside = known & ~((shares >= 0) & (shares <= 1))
    if outside.any():
        i, j = np.argwhere(outside)[0].tolist()
        raise ValueError(f"win_prob[{i}, {j}] is {shares[i, j]:g}, no probability ({int(outside.sum())} in all)")
    alone = ~known.any(1)
    if alone.any():
        raise ValueError(f"win_prob knows nothing of {labels[int(alone.argmax())]!r} ({int(alone.sum())} in all)")
    return np.where(known, shares, 0).sum(1) / known.sum(1)
