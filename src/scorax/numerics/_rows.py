"""Functions of one sample over the rows of a batch: their keys, their masks, the shape of what they return."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key, PRNGKeyArray, Shaped


def row_keys(key: PRNGKeyArray, n: int, offset: int | Int[Array, ""] = 0) -> Key[Array, " n"]:
    """One key for each row, the same however the rows are chunked: `fold_in(key, offset + row)`.

    Example:
        >>> row_keys(jax.random.key(0), 3).shape
        (3,)
    """
    return jax.vmap(jax.random.fold_in, (None, 0))(key, offset + jnp.arange(n, dtype=jnp.int32))


def spread_mask(where: Bool[Array, "..."] | None, x: Shaped[Array, "n *event"]) -> Bool[Array, "n *event"] | None:
    """The mask in the shape of the data, which must not be empty.

    Example:
        >>> spread_mask(jnp.array([True, False]), jnp.zeros((3, 2))).shape
        (3, 2)
    """
    if x.shape[0] == 0:
        raise ValueError(f"the data have no rows: their shape is {x.shape}.")
    return None if where is None else jnp.broadcast_to(where, x.shape)


def checked_score(value: Float[Array, "..."], x: Float[Array, "*event"]) -> Float[Array, "*event"]:
    """What a score function returned for a sample, in the sample's dtype, and an error where it has another shape.

    Example:
        >>> checked_score(jnp.zeros(2), jnp.ones(2))
        Array([0., 0.], dtype=float32)
    """
    if value.shape != x.shape:
        raise ValueError(
            f"the score of a sample of shape {x.shape} has shape {value.shape}. "
            "A score function takes one sample, without a batch axis, and returns an array of its shape."
        )
    return value.astype(x.dtype)
