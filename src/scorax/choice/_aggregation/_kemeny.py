"""Kemeny's rule: the order with the fewest disagreements, exactly where that is possible."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray
from scipy.sparse.csgraph import connected_components

from scorax.choice._aggregation._kemeny_search import search

_LARGEST_EXACT = 18


class KemenyResult(eqx.Module):
    """An order and how good it is."""

    order: Int[Array, " k"]
    """Item ids, best first."""
    cost: float
    """Disagreement with the rankings, summed over pairs: a Kendall distance, ties in rankings counting half."""
    lower_bound: float
    """No order costs less. Equal to `cost` where the order is optimal for sure."""
    exact: bool
    """Whether the order is optimal for sure."""


def kemeny(pairwise: Any, *, restarts: int = 8, key: PRNGKeyArray | None = None) -> KemenyResult:
    """Kemeny's rule: the order that contradicts the least support.

    Items that fall into groups, each beating all later ones by majorities, are ordered group by group, which loses
    nothing. A group of at most 18 is solved exactly over all its subsets (0.1 s); a larger one by moving single items
    from where Borda's and Copeland's orders have them, and from random changes of the best order found. On the host,
    in 64 bits.

    Args:
        pairwise: `[k, k]`, support of the row's item over the column's, see `pairwise_matrix`.
        restarts: Random changes to start again from, in groups of more than 18.
        key: For the restarts; number 0 by default.

    Returns:
        A `KemenyResult`. Among several optimal orders, the one whose last place has the smallest id, then its last but
        one, and so on.

    Raises:
        ValueError: the matrix is not square, or has missing or negative entries.

    Example:
        >>> result = kemeny([[0.0, 5.0, 1.0], [2.0, 0.0, 4.0], [6.0, 3.0, 0.0]])  # a cycle: 0 > 1 > 2 > 0
        >>> result.order, result.cost, result.exact
        (Array([2, 0, 1], dtype=int32), 7.0, True)

    Source: Kemeny (1959), "Mathematics without numbers"; Young & Levenglick (1978), doi:10.1137/0135023; Truchon
    (1998), "An extension of the Condorcet criterion and Kemeny orders" (groups).
    """
    support = _checked(pairwise)
    seed = jax.random.key(0) if key is None else key
    groups = _groups(support)
    orders, bounds, exact = [], [], True
    for index, group in enumerate(groups):
        within = support[np.ix_(group, group)]
        if len(group) <= _LARGEST_EXACT:
            order = _best_order(within)
            bounds.append(_cost(within, order))
        else:
            order = search(within, restarts=restarts, key=jax.random.fold_in(seed, index))
            bounds.append(np.minimum(within, within.T).sum() / 2)
        orders.append(group[order])
        exact &= bounds[-1] >= _cost(within, order)
    order = np.concatenate(orders)
    cost = _cost(support, order)
    bound = cost if exact else sum(bounds) + _between(support, groups)
    return KemenyResult(jnp.asarray(order, jnp.int32), cost, float(bound), bool(exact))


@eqx.filter_jit
def kemeny_cost(order: Int[Array, "*b k"], pairwise: Float[Array, "k k"]) -> Float[Array, "*b"]:
    """What an order costs under Kemeny's rule: the support that it contradicts.

    Args:
        order: Item ids, best first.
        pairwise: Support of the row's item over the column's, see `pairwise_matrix`.

    Example:
        >>> kemeny_cost(jnp.array([1, 0]), jnp.array([[0.0, 3.0], [2.0, 0.0]]))
        Array(3., dtype=float32)

    Source: Kemeny (1959), "Mathematics without numbers".
    """
    contradicted = pairwise[order[..., None, :], order[..., :, None]]
    earlier = jnp.triu(jnp.ones(pairwise.shape, bool), 1)
    return jnp.where(jnp.broadcast_to(earlier, contradicted.shape), contradicted, 0).sum((-2, -1))


def _checked(pairwise: Any) -> Float[np.ndarray, "k k"]:
    support = np.asarray(pairwise, np.float64)
    if support.ndim != 2 or support.shape[0] != support.shape[1] or not len(support):
        raise ValueError(f"pairwise has shape {support.shape}; expected [k, k], as pairwise_matrix gives it")
    bad = ~(support >= 0)
    if bad.any():
        raise ValueError(f"pairwise has {int(bad.sum())} negative or missing entries: it holds sums of weights")
    return support


def _groups(support: np.ndarray) -> list[np.ndarray]:
    """Items in groups, best first, each member of one beating each member of all later ones by a majority."""
    beaten = (support > support.T).sum(1) - (support < support.T).sum(1)
    _, group = connected_components((support >= support.T).astype(np.int8), connection="strong")
    members = [np.flatnonzero(group == g) for g in range(group.max() + 1)]
    return sorted(members, key=lambda ids: -beaten[ids].mean())


def _between(support: np.ndarray, groups: list[np.ndarray]) -> float:
    """What majorities between groups cost: nobody can avoid it."""
    label = np.empty(len(support), int)
    for index, group in enumerate(groups):
        label[group] = index
    return float(np.where(label[:, None] != label[None, :], np.minimum(support, support.T), 0).sum() / 2)


def _cost(support: np.ndarray, order: np.ndarray) -> float:
    return float(np.tril(support[np.ix_(order, order)], -1).sum())


def _best_order(support: np.ndarray) -> np.ndarray:
    """Exact, by the best cost of every set of items as the top of the order, set after set by size."""
    k = len(support)
    placed_last = _last_costs(support)
    best = np.zeros(2**k)
    sets = np.arange(2**k, dtype=np.int32)
    size = np.bitwise_count(sets)
    by_size = np.split(np.argsort(size, kind="stable").astype(np.int32), np.cumsum(np.bincount(size))[:-1])
    for level in by_size[1:]:
        lowest = np.full(len(level), np.inf)
        for i in range(k):
            inside = np.flatnonzero(level >> i & 1)
            rest = level[inside] ^ (1 << i)
            lowest[inside] = np.minimum(lowest[inside], best[rest] + placed_last[i, rest])
        best[level] = lowest
    return _walk_back(best, placed_last)


def _last_costs(support: np.ndarray) -> Float[np.ndarray, "k s"]:
    """`[i, S]`: what it costs to put i behind all items of the set S, the sum of i's support over them."""
    k = len(support)
    costs = np.zeros((k, 2**k))
    for j in range(k):
        costs[:, 2**j : 2 ** (j + 1)] = costs[:, : 2**j] + support[:, j][:, None]
    return costs


def _walk_back(best: np.ndarray, placed_last: np.ndarray) -> np.ndarray:
    order = []
    remaining = len(best) - 1
    while remaining:
        inside = [i for i in range(len(placed_last)) if remaining >> i & 1]
        costs = [best[remaining ^ (1 << i)] + placed_last[i, remaining ^ (1 << i)] for i in inside]
        order.append(inside[int(np.argmin(costs))])
        remaining ^= 1 << order[-1]
    return np.array(order[::-1])
