"""Skew-symmetric matrices as embeddings: blocks of two numbers an item, and what leaves the matrix as it is."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def rotate(item: Float[Array, "k e"]) -> Float[Array, "k e"]:
    """Rows `(w2, -w1, w4, -w3, ...)`: the score of v against w is v times this."""
    pairs = item.reshape(item.shape[0], -1, 2)
    return jnp.stack([pairs[..., 1], -pairs[..., 0]], axis=-1).reshape(item.shape)


def orbit_directions(item: Float[Array, "k e"]) -> Float[Array, "g p"]:
    """Directions in which the embeddings move and no score changes: `V A` for all `A` of the symplectic algebra.

    These are `V M J` with `M` symmetric.
    """
    e = item.shape[1]
    row, column = np.triu_indices(e)
    symmetric = np.zeros((row.size, e, e))
    symmetric[np.arange(row.size), row, column] = symmetric[np.arange(row.size), column, row] = 1
    moved = jnp.einsum("kp,gpq->gkq", item, jnp.asarray(symmetric, item.dtype))
    return jax.vmap(rotate)(moved).reshape(row.size, -1)


def embed_skew_symmetric(score: Float[Array, "k k"], n_blocks: int) -> Float[Array, "k e"]:
    r"""Embeddings whose scores are a given skew-symmetric matrix, or the nearest of its rank in least squares.

    From the leading eigenpairs \((a_l, u_l)\) of the Hermitian matrix \(iS\): block \(l\) holds \(\sqrt{2 a_l}\) times
    imaginary and real part of \(u_l\). Columns of different blocks are orthogonal; each block is known up to a rotation
    of its two coordinates. `k // 2` blocks reproduce any matrix.

    Args:
        score: `score[i, j]` favours i over j. The skew-symmetric part is taken.
        n_blocks: How many blocks of two numbers, up to `k // 2`.

    Returns:
        Embeddings `[k, 2 * n_blocks]`, the blocks in order of size. Differentiable where the sizes \(a_l\) differ and
        are not 0.

    Raises:
        ValueError: `n_blocks` is out of range.

    Example:
        >>> circle = jnp.array([[0.0, 1.0, -1.0], [-1.0, 0.0, 1.0], [1.0, -1.0, 0.0]])
        >>> item = embed_skew_symmetric(circle, 1)
        >>> (item @ rotate(item).T).round(4) + 0
        Array([[ 0.,  1., -1.],
               [-1.,  0.,  1.],
               [ 1., -1.,  0.]], dtype=float32)

    Source: Zhang, Zhang, Wu, Xu & Gu (2025), arXiv:2410.02197 (existence); Eckart & Young (1936),
        doi:10.1007/BF02288367 (the nearest).
    """
    k = score.shape[0]
    refuse_blocks(k, n_blocks)
    size, vector = _leading_pairs(score, n_blocks)
    halves = jnp.stack([vector.imag, vector.real], axis=-1)
    return (jnp.sqrt(2 * jnp.maximum(size, 0))[None, :, None] * halves).reshape(k, 2 * n_blocks)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _leading_pairs(score: Float[Array, "k k"], n: int) -> tuple[Array, Array]:
    """The largest eigenvalues of `i S`, falling, and their vectors in columns."""
    size, vector = jnp.linalg.eigh(jax.lax.complex(jnp.zeros_like(score), score))
    return size[::-1][:n], vector[:, ::-1][:, :n]


@_leading_pairs.defjvp
def _leading_pairs_jvp(n: int, primals: tuple[Any], tangents: tuple[Any]) -> tuple[Any, Any]:
    """Perturbation of simple eigenpairs; others may coincide, as the zeros of a matrix of low rank do."""
    (score,), (change,) = primals, tangents
    k = score.shape[0]
    size, vector = _leading_pairs(score, k)
    skew = (change - change.T) / 2
    mixed = vector.conj().T @ jax.lax.complex(jnp.zeros_like(skew), skew) @ vector[:, :n]
    own = jnp.eye(k, n, dtype=bool)
    gap = jnp.where(own, 1, size[None, :n] - size[:, None])
    other = jnp.where(own, 0, mixed)
    turned = vector @ jax.lax.complex(other.real / gap, other.imag / gap)
    return (size[:n], vector[:, :n]), (jnp.diagonal(mixed).real, turned)


def refuse_blocks(k: int, n_blocks: int) -> None:
    """Raise `ValueError` where that many blocks are none, or more than a skew-symmetric matrix can use."""
    if not 1 <= n_blocks <= k // 2:
        raise ValueError(f"{k} items need from 1 to {k // 2} blocks, which can represent anything; not {n_blocks}")
