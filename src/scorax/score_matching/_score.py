"""What the losses share: a score function evaluated on the entries that take part, rows and their keys."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key, PRNGKeyArray

from scorax.numerics import masked_where

Score = Callable[..., Float[Array, "..."]]


def masked_score(score: Score, where: Bool[Array, "*event"] | None, *t: Float[Array, ""]) -> Score:
    """The score with zeros for excluded entries, at which it neither reads its input nor passes a derivative."""

    def masked(x: Float[Array, "*event"]) -> Float[Array, "*event"]:
        value = score(masked_where(where, x, 0.0), *t)
        if value.shape != x.shape:
            raise ValueError(
                f"the score of a sample of shape {x.shape} has shape {value.shape}. "
                "A score function takes one sample, without a batch axis, and returns an array of its shape."
            )
        return masked_where(where, value.astype(x.dtype), 0.0)

    return masked


def spread_mask(where: Bool[Array, "..."] | None, x: Float[Array, "n *event"]) -> Bool[Array, "n *event"] | None:
    """The mask in the shape of the data, which must not be empty."""
    if x.shape[0] == 0:
        raise ValueError(f"the data have no rows: their shape is {x.shape}.")
    return None if where is None else jnp.broadcast_to(where, x.shape)


def row_keys(key: PRNGKeyArray, n: int, offset: int | Int[Array, ""]) -> Key[Array, " n"]:
    """One key for each row, the same however the rows are chunked."""
    return jax.vmap(jax.random.fold_in, (None, 0))(key, offset + jnp.arange(n, dtype=jnp.int32))
