"""Rules of eigenvectors and of random walks, on pair counts as well as on rankings."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


@eqx.filter_jit
def counting(pairwise: Float[Array, "k k"]) -> Float[Array, " k"]:
    """Wins, and half of the ties. Of complete rankings it is Borda's count.

    Args:
        pairwise: Support of the row's item over the column's, see `pairwise_matrix`.

    Example:
        >>> counting(jnp.array([[0.0, 2.0, 2.0], [1.0, 0.0, 3.0], [1.0, 0.0, 0.0]]))
        Array([4., 4., 1.], dtype=float32)
    """
    return pairwise.sum(1)


@eqx.filter_jit
def average_win_rate(pairwise: Float[Array, "k k"]) -> Float[Array, " k"]:
    """Mean over opponents of the share of comparisons won; a tie is half a win. Every opponent counts the same.

    Args:
        pairwise: Support of the row's item over the column's, see `pairwise_matrix`.

    Returns:
        In [0, 1]; NaN for an item that was never compared.

    Example:
        >>> average_win_rate(jnp.array([[0.0, 2.0, 2.0], [1.0, 0.0, 3.0], [1.0, 0.0, 0.0]]))
        Array([0.6666667 , 0.6666667 , 0.16666667], dtype=float32)
    """
    total = pairwise + pairwise.T
    met = total > 0
    rate = jnp.where(met, pairwise / jnp.where(met, total, 1), 0)
    return rate.sum(1) / met.sum(1).astype(pairwise.dtype)


@eqx.filter_jit
def eigenvector(pairwise: Float[Array, "k k"]) -> Float[Array, " k"]:
    r"""Eigenvector centrality: beating someone is worth what that one is worth, \(s \propto M s\).

    Args:
        pairwise: Support \(M\) of the row's item over the column's, see `pairwise_matrix`.

    Returns:
        Positive, of Euclidean length 1; larger is better. NaN where the items are not linked by wins in both directions
        (`scorax.data.connectivity`): the vector is then not unique, or has zeros that say nothing.

    Example:
        >>> eigenvector(jnp.array([[0.0, 5.0, 1.0], [2.0, 0.0, 4.0], [6.0, 3.0, 0.0]])).tolist()
        [0.4974, 0.5429, 0.6766]

    Source: Keener (1993), doi:10.1137/1035004.
    """
    k = len(pairwise)
    # A shift by half the largest row sum keeps the eigenvectors and stops a bipartite walk from oscillating.
    total = pairwise.sum(1).max()
    start = (pairwise / jnp.where(total > 0, total, 1) + 0.5 * jnp.eye(k, dtype=pairwise.dtype)) / 1.5

    def square(_: Array, power: Float[Array, "k k"]) -> Float[Array, "k k"]:
        power = power @ power
        return power / power.max()

    # After t squarings the next eigenvector is down by the 2^t-th power of a ratio below 1.
    scores = jax.lax.fori_loop(0, 2 * k.bit_length() + 20, square, start).sum(1)
    return jnp.where(_irreducible(pairwise), scores / jnp.linalg.norm(scores), jnp.nan)


@eqx.filter_jit
def pagerank(pairwise: Float[Array, "k k"], *, damping: float = 0.85) -> Float[Array, " k"]:
    """PageRank: a walker leaves an item for one that beat it, in proportion to the losses, or starts anew anywhere.

    Args:
        pairwise: Support of the row's item over the column's, see `pairwise_matrix`.
        damping: Probability of following a loss, in [0, 1). Who never lost is left for anyone.

    Returns:
        Shares of time, which sum to 1; larger is better. Solved directly, so it is exact and differentiable.

    Raises:
        ValueError: `damping` is not in [0, 1).

    Example:
        >>> pagerank(jnp.array([[0.0, 2.0, 2.0], [1.0, 0.0, 3.0], [1.0, 0.0, 0.0]])).tolist()
        [0.4231, 0.3470, 0.2298]

    Source: Brin & Page (1998), doi:10.1016/S0169-7552(98)00110-X.
    """
    losses = pairwise.sum(0)
    step = jnp.where(losses > 0, pairwise / jnp.where(losses > 0, losses, 1)[None, :], 1 / len(pairwise))
    return _stationary(step, damping)


@eqx.filter_jit
def mc4(pairwise: Float[Array, "k k"], *, damping: float = 0.85) -> Float[Array, " k"]:
    """MC4: a walker thinks of any item, and moves there if a majority prefers it to the present one.

    Args:
        pairwise: Support of the row's item over the column's, see `pairwise_matrix`.
        damping: Probability of such a step, in [0, 1); otherwise the walker starts anew anywhere. (At 1 all time is
            spent in the top cycle, and everyone else is tied at 0.)

    Returns:
        Shares of time, which sum to 1; larger is better. Solved directly.

    Raises:
        ValueError: `damping` is not in [0, 1).

    Example:
        >>> mc4(jnp.array([[0.0, 2.0, 2.0], [1.0, 0.0, 3.0], [1.0, 0.0, 0.0]])).tolist()
        [0.7692, 0.1610, 0.0698]

    Source: Dwork, Kumar, Naor, Sivakumar (2001), doi:10.1145/371920.372165.
    """
    k = len(pairwise)
    move = (pairwise > pairwise.T).astype(pairwise.dtype) / k
    return _stationary(move + jnp.diag(1 - move.sum(0)), damping)


def _stationary(step: Float[Array, "k k"], damping: float) -> Float[Array, " k"]:
    """Where a walk spends its time; `step[i, j]` is the probability of going from j to i."""
    if not 0 <= damping < 1:
        raise ValueError(f"damping must be in [0, 1), not {damping}")
    k = len(step)
    return jnp.linalg.solve(jnp.eye(k, dtype=step.dtype) - damping * step, jnp.full(k, (1 - damping) / k, step.dtype))


def _irreducible(pairwise: Float[Array, "k k"]) -> Bool[Array, ""]:
    def through(j: Array, reach: Bool[Array, "k k"]) -> Bool[Array, "k k"]:
        return reach | (reach[:, j][:, None] & reach[j][None, :])

    linked = (pairwise > 0) | jnp.eye(len(pairwise), dtype=bool)
    return jax.lax.fori_loop(0, len(pairwise), through, linked).all()
