"""Sums that decay along an axis, by whichever scan the platform is fast at."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def decayed_sum(x: Float[Array, "*b l"], decay: Float[Array, "*b l"], *, reverse: bool = False) -> Float[Array, "*b l"]:
    r"""The recurrence `out[..., j] = x[..., j] + decay[..., j] * out[..., j - 1]` along the last axis, from 0.

    One place after the other on a CPU, a tree of partial sums elsewhere.

    Args:
        x: What each place adds.
        decay: What each place keeps of the sum so far.
        reverse: From the last place to the first.

    Example:
        >>> decayed_sum(jnp.ones(3), jnp.full(3, 0.5))
        Array([1.  , 1.5 , 1.75], dtype=float32)
    """
    by_place, by_tree = (lambda x, decay, scan=scan: scan(x, decay, reverse) for scan in (_by_place, _by_tree))
    return jax.lax.platform_dependent(x, decay, cpu=by_place, default=by_tree)


def _by_place(x: Float[Array, "*b l"], decay: Float[Array, "*b l"], reverse: bool) -> Float[Array, "*b l"]:
    def add(total: Float[Array, "*b"], place: tuple[Array, Array]) -> tuple[Float[Array, "*b"], Float[Array, "*b"]]:
        total = place[0] + place[1] * total
        return total, total

    places = (jnp.moveaxis(x, -1, 0), jnp.moveaxis(decay, -1, 0))
    return jnp.moveaxis(jax.lax.scan(add, jnp.zeros_like(x[..., 0]), places, reverse=reverse)[1], 0, -1)


def _by_tree(x: Float[Array, "*b l"], decay: Float[Array, "*b l"], reverse: bool) -> Float[Array, "*b l"]:
    def join(before: tuple[Array, Array], after: tuple[Array, Array]) -> tuple[Array, Array]:
        return after[0] + after[1] * before[0], after[1] * before[1]

    return jax.lax.associative_scan(join, (x, decay), reverse=reverse, axis=x.ndim - 1)[0]
