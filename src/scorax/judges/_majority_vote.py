"""The vote of the majority: where estimates of true levels start."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from scorax.data import Annotations


def majority_vote(data: Annotations, n_levels: int, *, smoothing: float = 0.0) -> Float[Array, "n m"]:
    """Share of each level among a row's labels, all judges alike; a gold label has the whole share.

    Args:
        data: Rows of labels. A row without labels is shared evenly.
        n_levels: Number of levels.
        smoothing: Number of labels that are added to each row, spread evenly over the levels. With 1 no share is zero,
            as the start of a search needs.

    Returns:
        Shares, which sum to one.

    Example:
        >>> data = sx.data.Annotations.from_arrays([[0, 0, 1]], [[0, 1, 2]])
        >>> majority_vote(data, 2).tolist()
        [[0.667, 0.333]]

    Source: Dawid & Skene (1979), doi:10.2307/2346806 (as the start of their algorithm).
    """
    dtype = data.weight.dtype
    votes = _one_hot(data.label, n_levels, dtype) * data.where[..., None].astype(dtype)
    total = votes.sum(1) + smoothing / n_levels
    empty = total.sum(-1, keepdims=True) == 0
    total = jnp.where(empty, jnp.ones_like(total), total)
    shares = total / total.sum(-1, keepdims=True)
    return jnp.where(data.has_gold[:, None], _one_hot(data.gold, n_levels, dtype), shares)


def _one_hot(label: Int[Array, "*s"], n_levels: int, dtype: jnp.dtype) -> Float[Array, "*s m"]:
    levels = jnp.arange(n_levels, dtype=label.dtype).reshape((1,) * label.ndim + (n_levels,))
    return (label[..., None] == levels).astype(dtype)
