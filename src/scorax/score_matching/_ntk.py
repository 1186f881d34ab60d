"""Kernels that wide networks train by."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

_PRECISION = jax.lax.Precision.HIGHEST  # angles between near neighbours come from products


def ntk_relu(z: Float[Array, "n p"], y: Float[Array, "m p"]) -> Float[Array, "n m"]:
    r"""The tangent kernel of a wide layer of rectified units, per output: `z·y (pi - angle) / 2 pi`.

    It belongs to `f(z) = m^(-1/2) sum_r a_r relu(w_r·z)` with `w_r ~ N(0, I)`, which is trained, and fixed signs `a_r`.
    Append a one to the inputs for a bias. Derivatives of the angle are taken to be zero between vectors of one
    direction, where it has a kink.

    Args:
        z: Inputs.
        y: Other inputs of the same length.

    Returns:
        One number for each pair; `|z|² / 2` for a vector and itself, zero for a vector of zeros.

    Example:
        >>> ntk_relu(jnp.array([[1.0, 1.0]]), jnp.array([[1.0, 1.0], [2.0, 0.0]]))
        Array([[1. , 0.75]], dtype=float32)

    Source: Jacot, Gabriel and Hongler (2018), arXiv:1806.07572; Han, Razaviyayn and Xu (2024), arXiv:2401.15604.
    """
    _, angle, product = _angles(z, y)
    return product * (0.5 - angle / (2 * jnp.pi))


def arc_cosine_kernel(z: Float[Array, "n p"], y: Float[Array, "m p"], *, order: int = 1) -> Float[Array, "n m"]:
    r"""The kernel of a wide random layer with units `max(0, w·z)^order`, `2 E[(w·z)_+^order (w·y)_+^order]`.

    $$\tfrac1\pi |z|^n |y|^n J_n(\theta), \quad J_0 = \pi - \theta, \quad
      J_1 = \sin\theta + (\pi - \theta) \cos\theta, \quad
      J_2 = 3 \sin\theta \cos\theta + (\pi - \theta)(1 + 2 \cos^2\theta)$$

    Args:
        z: Inputs.
        y: Other inputs of the same length.
        order: 0 (steps), 1 (rectified units) or 2.

    Returns:
        One number for each pair. Between vectors of one direction derivatives of the angle are taken to be zero.

    Raises:
        ValueError: The order is unknown.

    Example:
        >>> arc_cosine_kernel(jnp.array([[3.0, 4.0]]), jnp.array([[3.0, 4.0]]))
        Array([[25.]], dtype=float32)

    Source: Cho and Saul (2009), "Kernel methods for deep learning", NeurIPS 22.
    """
    if order not in (0, 1, 2):
        raise ValueError(f"order must be 0, 1 or 2, not {order}.")
    cosine, angle, _ = _angles(z, y)
    rest, sine = jnp.pi - angle, jnp.sin(angle)
    if order == 0:
        return rest / jnp.pi
    shape = sine + rest * cosine if order == 1 else 3 * sine * cosine + rest * (1 + 2 * cosine**2)
    size = _lengths(z)[:, None] * _lengths(y)[None]
    return size**order * shape / jnp.pi


def empirical_ntk(
    net: Callable[[Float[Array, "..."]], Float[Array, "..."]], z: Float[Array, "n *in"], y: Float[Array, "m *in"]
) -> Float[Array, "n m o o"]:
    r"""The tangent kernel of a network as it is, `K[i, j] = (∂f(z_i)/∂θ) (∂f(y_j)/∂θ)ᵀ` over its floating leaves.

    One backward pass for each input and output; it holds their gradients, `n o` times the size of the network.

    Args:
        net: A module or any PyTree that is called on one sample. Its floating array leaves are the parameters.
        z: Inputs.
        y: Other inputs of the same shape.

    Returns:
        A matrix of outputs by outputs for each pair; outputs are flattened.

    Example:
        >>> class Line(eqx.Module):
        ...     slope: Float[Array, ""]
        ...     def __call__(self, z):
        ...         return self.slope * z
        >>> empirical_ntk(Line(jnp.array(5.0)), jnp.array([[2.0]]), jnp.array([[3.0]]))
        Array([[[[6.]]]], dtype=float32)

    Source: Jacot, Gabriel and Hongler (2018), arXiv:1806.07572.
    """
    parameters, rest = eqx.partition(net, eqx.is_inexact_array)

    def gradients(batch: Float[Array, "b *in"]) -> list[Float[Array, "b o p"]]:
        def output(parameters: Any, sample: Float[Array, "*in"]) -> Float[Array, " o"]:
            return eqx.combine(parameters, rest)(sample).reshape(-1)

        jacobian = jax.vmap(jax.jacrev(output), (None, 0))(parameters, batch)
        return [leaf.reshape(*leaf.shape[:2], -1) for leaf in jax.tree.leaves(jacobian)]

    pairs = zip(gradients(z), gradients(y), strict=True)
    return sum(
        (jnp.einsum("iap,jbp->ijab", left, right, precision=_PRECISION) for left, right in pairs),
        jnp.zeros((), z.dtype),
    )


def _angles(
    z: Float[Array, "n p"], y: Float[Array, "m p"]
) -> tuple[Float[Array, "n m"], Float[Array, "n m"], Float[Array, "n m"]]:
    """Cosine, angle and product of all pairs; a vector of zeros is at a right angle to all."""
    product = jnp.matmul(z, y.T, precision=_PRECISION)
    size = _lengths(z)[:, None] * _lengths(y)[None]
    empty = size == 0
    cosine = jnp.clip(
        jnp.where(empty, jnp.zeros_like(size), product / jnp.where(empty, jnp.ones_like(size), size)), -1, 1
    )
    aligned = jnp.abs(cosine) == 1
    angle = jnp.arccos(jnp.where(aligned, jnp.zeros_like(cosine), cosine))
    straight = jnp.where(cosine > 0, jnp.zeros_like(angle), jnp.full_like(angle, jnp.pi))
    return cosine, jnp.where(aligned, straight, angle), product


def _lengths(z: Float[Array, "n p"]) -> Float[Array, " n"]:
    square = (z**2).sum(-1)
    empty = square == 0
    return jnp.where(empty, jnp.zeros_like(square), jnp.sqrt(jnp.where(empty, jnp.ones_like(square), square)))
