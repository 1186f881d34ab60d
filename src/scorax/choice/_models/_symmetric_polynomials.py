"""Elementary symmetric polynomials in log space, item by item: the total weight of all sets of each size."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from scorax.numerics import masked_where, most_negative


def no_items(batch: tuple[int, ...], highest: int, dtype: Any) -> Float[Array, "*b h h+1"]:
    """Logs of the symmetric polynomials of no items: one empty set, nothing else."""
    log = jnp.full((*batch, highest, highest + 1), most_negative(dtype), dtype)
    return log.at[..., 0].set(0)


def grow(
    start: Float[Array, "*b h h+1"], strength: Float[Array, "*b l"], where: Bool[Array, "*b l"]
) -> tuple[Float[Array, "*b h h+1"], Float[Array, "*b l h"]]:
    """Let the items join from the back; also the polynomial of each order when each of them has joined.

    Entry `[k, r]` is the log of the r-th elementary symmetric polynomial in the k-th roots of the worths: a set of k
    items weighs the geometric mean of theirs.
    """
    order = jnp.arange(1, start.shape[-2] + 1, dtype=strength.dtype)

    def join(log: Array, item: tuple[Array, Array]) -> tuple[Array, Array]:
        own, present = item
        root = own[..., None] / jnp.broadcast_to(order, (*own.shape, order.size))
        more = jnp.logaddexp(log[..., 1:], root[..., None] + log[..., :-1])
        log = jnp.concatenate([log[..., :1], jnp.where(present[..., None, None], more, log[..., 1:])], axis=-1)
        return log, jnp.diagonal(log[..., 1:], axis1=-2, axis2=-1)

    places = (jnp.moveaxis(masked_where(where, strength, 0.0), -1, 0), jnp.moveaxis(where, -1, 0))
    last, along = jax.lax.scan(join, start, places, reverse=True)
    return last, jnp.moveaxis(along, 0, -2)
