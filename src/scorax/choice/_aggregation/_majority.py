"""Rules of majorities: who beats whom, directly or along a path."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float


@eqx.filter_jit
def copeland(pairwise: Float[Array, "k k"]) -> Float[Array, " k"]:
    """Copeland's rule: majorities won, and half of those tied.

    Args:
        pairwise: Support of the row's item over the column's, see `pairwise_matrix`.

    Returns:
        From 0 to k - 1; larger is better. (Wins minus losses, which some print, is `2 * score - (k - 1)`.)

    Example:
        >>> copeland(jnp.array([[0.0, 2.0, 2.0], [1.0, 0.0, 3.0], [1.0, 0.0, 0.0]]))
        Array([2., 1., 0.], dtype=float32)

    Source: Copeland (1951), "A reasonable social welfare function".
    """
    ahead = (1 + jnp.sign(pairwise - pairwise.T)) / 2
    # An item ties with itself.
    return ahead.sum(1) - jnp.asarray(0.5, pairwise.dtype)


@eqx.filter_jit
def minimax(pairwise: Float[Array, "k k"]) -> Float[Array, " k"]:
    """Minimax (Simpson-Kramer): minus the largest support that anyone has over the item.

    Supports are totals: pairs compared more often weigh more. Among complete rankings it makes no difference.

    Args:
        pairwise: Support of the row's item over the column's, see `pairwise_matrix`.

    Returns:
        At most 0; larger is better.

    Example:
        >>> minimax(jnp.array([[0.0, 2.0, 2.0], [1.0, 0.0, 3.0], [1.0, 0.0, 0.0]]))
        Array([-1., -2., -3.], dtype=float32)

    Source: Simpson (1969), doi:10.2307/1880533; Kramer (1977), doi:10.1016/0022-0531(77)90011-4.
    """
    return -_off_diagonal(pairwise, -jnp.inf).max(0)


@eqx.filter_jit
def schulze(pairwise: Float[Array, "k k"]) -> Float[Array, " k"]:
    """Schulze's rule: an item is ahead of another if its strongest path there is stronger than the way back.

    A path is as strong as its weakest majority, a majority as strong as its support ("winning votes"). The relation
    is transitive, so counting the items that one is ahead of (half for ties) sorts by it. O(k³).

    Args:
        pairwise: Support of the row's item over the column's, see `pairwise_matrix`.

    Returns:
        From 0 to k - 1; larger is better.

    Example:
        >>> schulze(jnp.array([[0.0, 2.0, 2.0], [1.0, 0.0, 3.0], [1.0, 0.0, 0.0]]))
        Array([2., 1., 0.], dtype=float32)

    Source: Schulze (2011), doi:10.1007/s00355-010-0475-4.
    """
    return copeland(strongest_paths(pairwise))


@eqx.filter_jit
def strongest_paths(pairwise: Float[Array, "k k"]) -> Float[Array, "k k"]:
    """Strength of the strongest path of majorities from each item to each other one; 0 where there is none.

    Args:
        pairwise: Support of the row's item over the column's, see `pairwise_matrix`.

    Example:
        >>> strongest_paths(jnp.array([[0.0, 5.0, 1.0], [2.0, 0.0, 4.0], [6.0, 3.0, 0.0]]))  # a cycle
        Array([[0., 5., 4.],
               [4., 0., 4.],
               [6., 5., 0.]], dtype=float32)

    Source: Schulze (2011), doi:10.1007/s00355-010-0475-4.
    """
    won = jnp.where(pairwise > pairwise.T, pairwise, 0)

    def through(j: Array, path: Float[Array, "k k"]) -> Float[Array, "k k"]:
        return jnp.maximum(path, jnp.minimum(path[:, j][:, None], path[j][None, :]))

    return _off_diagonal(jax.lax.fori_loop(0, len(pairwise), through, won), 0.0)


def ranked_pairs(pairwise: Float[Array, "k k"]) -> Float[Array, " k"]:
    """Ranked pairs (Tideman): majorities are locked in, strongest first, unless one closes a cycle.

    Strongest is the largest support, then the smallest opposition, then the smaller ids. On the host, O(k⁴) at worst:
    seconds for 200 items.

    Args:
        pairwise: Support of the row's item over the column's, see `pairwise_matrix`.

    Returns:
        How many items one is ahead of by locked majorities, half for those it is not related to; larger is better.

    Example:
        >>> ranked_pairs(jnp.array([[0.0, 5.0, 1.0], [2.0, 0.0, 4.0], [6.0, 3.0, 0.0]]))  # 2 > 0, then 0 > 1
        Array([1., 0., 2.], dtype=float32)

    Source: Tideman (1987), doi:10.1007/BF00433944.
    """
    support = np.asarray(pairwise, np.float64)
    winner, loser = np.nonzero(support > support.T)
    strength, opposition = support[winner, loser], support[loser, winner]
    reach = np.eye(len(support), dtype=bool)
    for pair in np.lexsort((loser, winner, opposition, -strength)):
        i, j = winner[pair], loser[pair]
        if not reach[j, i] and not reach[i, j]:
            reach |= np.outer(reach[:, i], reach[j])
    ahead = (1 + reach.astype(float) - reach.T.astype(float)).sum(1) / 2 - 0.5
    return jnp.asarray(ahead, pairwise.dtype)


@eqx.filter_jit
def condorcet_winner(pairwise: Float[Array, "k k"]) -> Bool[Array, " k"]:
    """The item that beats every other one by a majority.

    Args:
        pairwise: Support of the row's item over the column's, see `pairwise_matrix`.

    Returns:
        True for the winner; false everywhere where there is none.

    Example:
        >>> condorcet_winner(jnp.array([[0.0, 2.0, 2.0], [1.0, 0.0, 3.0], [1.0, 0.0, 0.0]]))
        Array([ True, False, False], dtype=bool)

    Source: Condorcet (1785), "Essai sur l'application de l'analyse".
    """
    return ((pairwise > pairwise.T) | jnp.eye(len(pairwise), dtype=bool)).all(1)


@eqx.filter_jit
def smith_set(pairwise: Float[Array, "k k"]) -> Bool[Array, " k"]:
    """The smallest set whose members all beat everyone outside by a majority. O(k³).

    Args:
        pairwise: Support of the row's item over the column's, see `pairwise_matrix`.

    Returns:
        True for its members: one for a Condorcet winner, all of a top cycle otherwise.

    Example:
        >>> smith_set(jnp.array([[0.0, 5.0, 1.0], [2.0, 0.0, 4.0], [6.0, 3.0, 0.0]]))  # a cycle
        Array([ True,  True,  True], dtype=bool)

    Source: Smith (1973), doi:10.2307/1914033; Good (1971), doi:10.1007/BF01726202.
    """

    def through(j: Array, reach: Bool[Array, "k k"]) -> Bool[Array, "k k"]:
        return reach | (reach[:, j][:, None] & reach[j][None, :])

    # Whoever reaches everyone along majorities and ties is in it.
    return jax.lax.fori_loop(0, len(pairwise), through, pairwise >= pairwise.T).all(1)


def _off_diagonal(matrix: Float[Array, "k k"], fill: float) -> Float[Array, "k k"]:
    return jnp.where(jnp.eye(len(matrix), dtype=bool), fill, matrix)
