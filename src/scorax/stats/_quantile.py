"""Quantiles of weighted values."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def weighted_quantile(
    x: Float[Array, "*b n"], q: float | Float[Array, ""], *, weight: Float[Array, "*b n"] | None = None
) -> Float[Array, "*b"]:
    """The smallest value below or at which at least the share `q` of the weight lies.

    The inverse of the weighted distribution function, without interpolation: the result is one of the values, and a
    weight of 2 is the same as the value twice. Values of weight 0 take no part.

    Args:
        x: Values.
        q: Share, in [0, 1]. For several shares, `vmap`.
        weight: At least 0; equal by default.

    Returns:
        A quantile for each leading index; NaN where a value of positive weight is NaN, or where all weights are 0.

    Example:
        >>> weighted_quantile(jnp.array([3.0, 1.0, 2.0]), 0.5, weight=jnp.array([5.0, 1.0, 1.0]))
        Array(3., dtype=float32)

    Source: Hyndman and Fan (1996), doi:10.1080/00031305.1996.10473566, definition 1.
    """
    weight = jnp.ones_like(x) if weight is None else weight.astype(x.dtype)
    used = weight > 0
    order = jnp.argsort(jnp.where(used, x, jnp.inf), axis=-1)
    value, mass = (jnp.take_along_axis(a, order, axis=-1) for a in (x, weight))
    below = jnp.cumsum(mass, axis=-1)
    # A share of the total that rounds up must not step past a value that holds it.
    target = jnp.asarray(q, x.dtype) * below[..., -1:] * (1 - 4 * jnp.finfo(x.dtype).eps)
    place = jnp.argmax((below >= target) & (mass > 0), axis=-1)
    found = jnp.take_along_axis(value, place[..., None], axis=-1)[..., 0]
    unknown = (jnp.isnan(x) & used).any(-1) | ~used.any(-1)
    return jnp.where(unknown, jnp.nan, found)
