"""Many small linear systems at once, one for each judge that was drawn."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def solve_small(
    matrix: Float[Array, "*b m m"], right: Float[Array, "*b m c"]
) -> tuple[Float[Array, "*b m c"], Float[Array, "*b"]]:
    """Solutions and determinants by elimination with pivoting, written out for the few levels that there are.

    `jnp.linalg` would call LAPACK for each matrix, six times slower on a hundred thousand of three levels; and on the
    CPU two such calls of a large batch in one program can wait for each other's threads for ever (seen in jaxlib 0.10
    on two cores).

    Returns:
        The solution, finite but meaningless where the matrix is exactly singular, and the determinant, which says so.
    """
    m = matrix.shape[-1]
    rows = jnp.concatenate([matrix, right], axis=-1)
    determinant = jnp.ones(matrix.shape[:-2], matrix.dtype)
    for i in range(m):
        below = rows[..., i:, :]
        best = jnp.argmax(jnp.abs(below[..., i]), axis=-1)[..., None]
        pivot_row = jnp.take_along_axis(below, best[..., None], axis=-2)
        pivot = pivot_row[..., 0, i]
        determinant = determinant * jnp.where(best[..., 0] == 0, pivot, -pivot)
        place = jnp.arange(m - i).reshape((1,) * (best.ndim - 1) + (-1,))
        below = jnp.where((place == best)[..., None], below[..., :1, :], below)[..., 1:, :]
        scaled = pivot_row / jnp.where(pivot == 0, jnp.ones_like(pivot), pivot)[..., None, None]
        others = jnp.concatenate([rows[..., :i, :], below], axis=-2)
        others = others - others[..., i : i + 1] * scaled
        rows = jnp.concatenate([others[..., :i, :], scaled, others[..., i:, :]], axis=-2)
    return rows[..., m:], determinant


def determinant(matrix: Float[Array, "*b m m"]) -> Float[Array, "*b"]:
    """Of each matrix."""
    return solve_small(matrix, matrix[..., :0])[1]
