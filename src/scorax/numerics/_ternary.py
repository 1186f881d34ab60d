"""Barycentric coordinates of three levels drawn in the plane."""

import jax.numpy as jnp
from jaxtyping import Array, Float

_HEIGHT = 3**0.5 / 2


def to_ternary(p: Float[Array, "*b 3"]) -> Float[Array, "*b 2"]:
    """Points of the 2-simplex in the plane: corners at (0, 0), (1, 0) and (1/2, sqrt(3)/2) for levels 1, 2, 3.

    Example:
        >>> to_ternary(jnp.array([0.0, 0.0, 1.0]))
        Array([0.5      , 0.8660254], dtype=float32)
    """
    return jnp.stack([p[..., 1] + p[..., 2] / 2, p[..., 2] * _HEIGHT], axis=-1)


def from_ternary(xy: Float[Array, "*b 2"]) -> Float[Array, "*b 3"]:
    """Inverse of :func:`to_ternary`; a point outside the triangle gets a negative coordinate.

    Example:
        >>> from_ternary(jnp.array([1.0, 0.0]))
        Array([0., 1., 0.], dtype=float32)
    """
    top = xy[..., 1] / _HEIGHT
    right = xy[..., 0] - top / 2
    return jnp.stack([1 - right - top, right, top], axis=-1)
