"""Linear algebra of weighted graphs: a Laplacian is singular along the constant vector, and only there."""

import jax.numpy as jnp
import jax.scipy.linalg as jsl
from jaxtyping import Array, Float


def graph_laplacian(weight: Float[Array, "*b k k"]) -> Float[Array, "*b k k"]:
    """Laplacian `diag(A 1) - A` of a symmetric matrix of edge weights; its diagonal does not matter.

    Example:
        >>> graph_laplacian(jnp.array([[0.0, 2.0], [2.0, 0.0]]))
        Array([[ 2., -2.],
               [-2.,  2.]], dtype=float32)
    """
    degree = weight.sum(-1) - jnp.diagonal(weight, axis1=-2, axis2=-1)
    on_diagonal = jnp.broadcast_to(jnp.eye(weight.shape[-1], dtype=bool), weight.shape)
    return jnp.where(on_diagonal, jnp.broadcast_to(degree[..., None], weight.shape), -weight)


def _grounded_cholesky(laplacian: Float[Array, "*b k k"]) -> Float[Array, "*b k k"]:
    """Cholesky factor of `L + 11ᵀ/k`, which is positive definite for a connected graph."""
    return jnp.linalg.cholesky(laplacian + jnp.asarray(1 / laplacian.shape[-1], laplacian.dtype))


def solve_laplacian(laplacian: Float[Array, "*b k k"], rhs: Float[Array, "*b k"]) -> Float[Array, "*b k"]:
    """The solution of `L x = rhs` that sums to zero, for a right-hand side that sums to zero.

    A disconnected graph has no unique solution and gives NaN.

    Example:
        >>> solve_laplacian(graph_laplacian(jnp.ones((2, 2))), jnp.array([1.0, -1.0]))
        Array([ 0.5, -0.5], dtype=float32)
    """
    factor = _grounded_cholesky(laplacian)
    return jsl.cho_solve((factor, True), rhs[..., None])[..., 0]


def laplacian_pseudoinverse(laplacian: Float[Array, "*b k k"]) -> Float[Array, "*b k k"]:
    """Moore-Penrose inverse of the Laplacian of a connected graph: the covariance of zero-sum strengths.

    Its contrasts `L⁺ᵢᵢ + L⁺ⱼⱼ - 2 L⁺ᵢⱼ` are the effective resistances. A disconnected graph gives NaN.

    Example:
        >>> laplacian_pseudoinverse(graph_laplacian(jnp.ones((2, 2)))).round(4)
        Array([[ 0.25, -0.25],
               [-0.25,  0.25]], dtype=float32)
    """
    k = laplacian.shape[-1]
    identity = jnp.broadcast_to(jnp.eye(k, dtype=laplacian.dtype), laplacian.shape)
    inverse = jsl.cho_solve((_grounded_cholesky(laplacian), True), identity)
    return inverse - jnp.asarray(1 / k, laplacian.dtype)


def laplacian_logdet(laplacian: Float[Array, "*b k k"]) -> Float[Array, "*b"]:
    """Log of the product of the non-zero eigenvalues, exactly the log-determinant of `L + 11ᵀ/k`.

    By the matrix-tree theorem it is `log k` plus the log of the weighted count of spanning trees. A disconnected
    graph gives NaN.

    Example:
        >>> laplacian_logdet(graph_laplacian(jnp.ones((3, 3))))  # three spanning trees: log 9
        Array(2.1972246, dtype=float32)
    """
    diagonal = jnp.diagonal(_grounded_cholesky(laplacian), axis1=-2, axis2=-1)
    return 2 * jnp.log(diagonal).sum(-1)
