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


def _grounded_cholesky(laplacian: Float[Array, "*b k k"]) -> tuple[Float[Array, "*b k k"], Float[Array, "*b"]]:
    """Cholesky factor of `L + c 11ᵀ/k`, positive definite for a connected graph, and `c`.

    The eigenvalue `c` of the constant vector is the mean degree: near the others whatever the weights, so that no
    digit is lost to it.
    """
    size = jnp.trace(laplacian, axis1=-2, axis2=-1) / laplacian.shape[-1]
    ground = jnp.broadcast_to((size / laplacian.shape[-1])[..., None, None], laplacian.shape)
    return jnp.linalg.cholesky(laplacian + ground), size


def solve_laplacian(laplacian: Float[Array, "*b k k"], rhs: Float[Array, "*b k"]) -> Float[Array, "*b k"]:
    """The solution of `L x = rhs` that sums to zero, for a right-hand side that sums to zero.

    A disconnected graph has no unique solution and gives NaN.

    Example:
        >>> solve_laplacian(graph_laplacian(jnp.ones((2, 2))), jnp.array([1.0, -1.0]))
        Array([ 0.5, -0.5], dtype=float32)
    """
    factor, _ = _grounded_cholesky(laplacian)
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
    factor, size = _grounded_cholesky(laplacian)
    inverse = jsl.cho_solve((factor, True), identity)
    return inverse - jnp.broadcast_to((1 / (size * k))[..., None, None], inverse.shape)


def laplacian_logdet(laplacian: Float[Array, "*b k k"]) -> Float[Array, "*b"]:
    """Log of the product of the non-zero eigenvalues.

    By the matrix-tree theorem it is `log k` plus the log of the weighted count of spanning trees. A disconnected
    graph gives NaN.

    Example:
        >>> laplacian_logdet(graph_laplacian(jnp.ones((3, 3))))  # three spanning trees: log 9
        Array(2.1972246, dtype=float32)
    """
    factor, size = _grounded_cholesky(laplacian)
    return 2 * jnp.log(jnp.diagonal(factor, axis1=-2, axis2=-1)).sum(-1) - jnp.log(size)
