"""HodgeRank: strengths by least squares on flows between items, and what no strengths explain."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float
from scipy import sparse
from scipy.sparse import csgraph

from scorax.choice._estimators._iterated import is_concrete
from scorax.data import PairCounts

# Edges that no triangles tie to the others: a dense eigenproblem of this size takes tens of seconds.
_MOST_LOOSE = 4000


class HodgeDecomposition(eqx.Module):
    """A flow as a sum of three flows, orthogonal where squares are weighted like the pairs.

    A flow is a matrix with `flow[i, j] = -flow[j, i]`, above 0 where i is above j, and 0 for pairs that did not meet.
    """

    strength: Float[Array, " k"]
    """The strengths whose differences come nearest; they sum to zero. NaN where groups of items never met."""
    gradient: Float[Array, "k k"]
    """Their differences: the part that a ranking explains."""
    curl: Float[Array, "k k"]
    """Inconsistencies around triangles: i above j above l above i."""
    harmonic: Float[Array, "k k"]
    """Inconsistencies around longer cycles only. Zero where all pairs met."""
    cyclicity: Float[Array, ""]
    """Share of the weighted square that no strengths explain, in [0, 1]; NaN where there is no flow at all."""
    local: Float[Array, ""]
    """The part of `cyclicity` that is curl."""


def hodge_decompose(flow: Float[Array, "k k"], weight: Float[Array, "k k"]) -> HodgeDecomposition:
    r"""HodgeRank of a flow: weighted least squares, and the residual split into curl and harmonic parts.

    Minimises \(\sum_{i<j} c_{ij} (s_i - s_j - Y_{ij})^2\) over strengths. The residual R, in the inner product weighted
    by c, is split into the flows \(C^{-1} d_1^\top \phi\) that circulate around triangles (triples of which all three
    pairs met) and what is left, which adds up to zero around every triangle: it is the projection on a basis of such
    flows, one for each independent hole of the graph. So the parts are exact however unequal the weights are. On the
    host, in 64 bits. Complete graphs have no holes, and hundreds of items take milliseconds; a sparse graph may
    have up to 4000 pairs outside chains of triangles.

    Args:
        flow: How much i is above j, in any unit: log-odds, win rate minus 1/2, mean difference of scores. Skew; looked
            at where `weight` is above 0 only.
        weight: How well each is known, such as the number of comparisons; symmetric, 0 for pairs that did not meet.

    Raises:
        ValueError: `flow` is not skew or not finite where there is weight, `weight` is not symmetric or is negative or
            all zero, values are traced, or the graph is sparse and too large.

    Example:
        >>> cycle = jnp.array([[0.0, 1.0, -1.0], [-1.0, 0.0, 1.0], [1.0, -1.0, 0.0]])  # rock, paper, scissors
        >>> parts = hodge_decompose(cycle, jnp.ones((3, 3)))
        >>> parts.strength, parts.cyclicity, parts.local
        (Array([0., 0., 0.], dtype=float32), Array(1., dtype=float32), Array(1., dtype=float32))

    Source: Jiang, Lim, Yao, Ye (2011), doi:10.1007/s10107-010-0419-x.
    """
    if not is_concrete((flow, weight)):
        raise ValueError("hodge_decompose works on the host: call it outside jit, vmap and grad")
    y, c = _checked(np.asarray(flow, np.float64), np.asarray(weight, np.float64))
    k = len(c)
    a, b = np.nonzero(np.triu(c, 1))
    on_edge, of_flow = c[a, b], y[a, b]
    islands, label = csgraph.connected_components(sparse.csr_array(c), directed=False)
    strength = _least_squares(y, c, label)
    gradient = strength[a] - strength[b]
    residual = of_flow - gradient
    harmonic = _harmonic(residual, c, a, b)
    curl = residual - harmonic
    total = (on_edge * of_flow**2).sum()
    rounding = total * (8 * np.finfo(float).eps * k) ** 2

    def share(part: np.ndarray) -> Float[Array, ""]:
        square = (on_edge * part**2).sum()
        return jnp.asarray(np.nan if total == 0 else 0.0 if square <= rounding else min(square / total, 1.0), float)

    def matrix(part: np.ndarray) -> Float[Array, "k k"]:
        out = np.zeros((k, k))
        out[a, b], out[b, a] = part, -part
        return jnp.asarray(out, float)

    known = strength if islands == 1 else np.full(k, np.nan)
    return HodgeDecomposition(
        jnp.asarray(known, float), matrix(gradient), matrix(curl), matrix(harmonic), share(residual), share(curl)
    )


def hodge_rank(counts: PairCounts, *, flow: str = "log_odds", pseudo: float | int = 0.5) -> HodgeDecomposition:
    r"""HodgeRank of paired comparisons, weighted by how often each pair met.

    See `hodge_decompose` for what is minimised. A tie is half a win for each side.

    Args:
        counts: A table of pairs.
        flow: `"log_odds"`: \(\log((w_{ij} + \epsilon) / (w_{ji} + \epsilon))\). `"win_rate"`: the share of wins of i
            over j, minus 1/2.
        pseudo: The \(\epsilon\) of log-odds, above 0 where some pair was won by one side only.

    Raises:
        ValueError: `flow` is unknown, log-odds are infinite, or as in `hodge_decompose`.

    Example:
        >>> parts = hodge_rank(sx.data.PairCounts.from_arrays([[0, 3, 3], [1, 0, 3], [1, 1, 0]]), flow="win_rate")
        >>> parts.strength.round(4), parts.cyclicity.round(4)
        (Array([ 0.1667,  0.    , -0.1667], dtype=float32), Array(0.1111, dtype=float32))

    Source: Jiang, Lim, Yao, Ye (2011), doi:10.1007/s10107-010-0419-x.
    """
    if flow not in ("log_odds", "win_rate"):
        raise ValueError(f"flow must be 'log_odds' or 'win_rate', not {flow!r}")
    if not is_concrete(counts):
        raise ValueError("hodge_rank works on the host: call it outside jit, vmap and grad")
    won, tied = np.asarray(counts.weight, np.float64)
    won = won + (tied + tied.T) / 2
    met = won + won.T
    seen = met > 0
    if flow == "win_rate":
        y = np.where(seen, won / np.where(seen, met, 1), 0.5) - 0.5
    else:
        if pseudo < 0 or (pseudo == 0 and (seen & (won == 0)).any()):
            raise ValueError("some pair was won by one side only: its log-odds are infinite without pseudo > 0")
        y = np.where(seen, np.log(np.where(seen, won + pseudo, 1)) - np.log(np.where(seen, won.T + pseudo, 1)), 0)
    return hodge_decompose(jnp.asarray(y, float), jnp.asarray(met, float))


def _checked(y: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if y.ndim != 2 or y.shape[0] != y.shape[1] or c.shape != y.shape:
        raise ValueError(f"flow has shape {y.shape} and weight {c.shape}; expected the same square shape")
    off = ~np.eye(len(c), dtype=bool)
    if not np.isfinite(c[off]).all() or (c[off] < 0).any() or not np.allclose(c, c.T, rtol=1e-6, atol=0):
        raise ValueError("weight must be symmetric, finite and at least 0")
    c = np.where(off, (c + c.T) / 2, 0)
    if not c.any():
        raise ValueError("every weight is 0: no pair ever met")
    y = np.where(c > 0, y, 0)
    if not np.isfinite(y).all():
        raise ValueError("flow is not finite for a pair that has weight")
    if np.abs(y + y.T).max() > 1e-5 * np.abs(y).max():
        raise ValueError("flow must be skew: flow[i, j] = -flow[j, i]")
    return (y - y.T) / 2, c


def _least_squares(y: np.ndarray, c: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Strengths that sum to zero in each group of items that met."""
    same = label[:, None] == label[None, :]
    laplacian = np.diag(c.sum(1)) - c
    # A constant on each group makes the Laplacian regular without moving the solution.
    return np.linalg.solve(laplacian + c.sum(1).mean() * same / same.sum(1), (c * y).sum(1))


def _harmonic(residual: np.ndarray, c: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The part of the residual that adds up to zero around every triangle."""
    holes = _holes(c > 0, a, b)
    if holes.shape[1] == 0:
        return np.zeros_like(residual)
    _, label = csgraph.connected_components(sparse.csr_array(c), directed=False)
    for column in holes.T:
        around = np.zeros_like(c)
        around[a, b], around[b, a] = column, -column
        potential = _least_squares(around, c, label)
        column -= potential[a] - potential[b]
    root = np.sqrt(c[a, b])[:, None]
    return holes @ np.linalg.lstsq(holes * root, residual * root[:, 0], rcond=None)[0]


def _holes(met: Bool[np.ndarray, "k k"], a: np.ndarray, b: np.ndarray) -> Float[np.ndarray, "e h"]:
    """Flows on edges that add up to zero around every triangle, a basis of them up to differences of strengths.

    Differences make a flow zero on a spanning forest. It is then zero on the third side of a triangle too, and so on;
    only what is not reached in this way is left to linear algebra.
    """
    zero = _forest(met)
    while True:
        closed = met & (zero | (zero.astype(float) @ zero > 0))
        if (closed == zero).all():
            break
        zero = closed
    loose = np.flatnonzero(~zero[a, b])
    basis = np.zeros((len(a), 0))
    if loose.size == 0:
        return basis
    if loose.size > _MOST_LOOSE:
        raise ValueError(f"{loose.size} pairs lie outside chains of triangles (the limit is {_MOST_LOOSE})")
    around = _triangles(met & ~zero, met, a, b)[:, loose]
    values, vectors = np.linalg.eigh((around.T @ around).toarray())
    free = vectors[:, values < 1e-9 * max(values[-1], 1)]
    basis = np.zeros((len(a), free.shape[1]))
    basis[loose] = free
    return basis


def _forest(met: Bool[np.ndarray, "k k"]) -> Bool[np.ndarray, "k k"]:
    """The edges of a spanning forest, each tree grown in breadth from an item that met the most others."""
    graph = sparse.csr_array(met)
    zero = np.zeros_like(met)
    _, label = csgraph.connected_components(graph, directed=False)
    degree = met.sum(1)
    for group in range(label.max() + 1):
        inside = np.flatnonzero(label == group)
        order, parent = csgraph.breadth_first_order(graph, inside[degree[inside].argmax()], directed=False)
        child = order[1:]
        zero[child, parent[child]] = zero[parent[child], child] = True
    return zero


def _triangles(
    some: Bool[np.ndarray, "k k"], met: Bool[np.ndarray, "k k"], a: np.ndarray, b: np.ndarray
) -> sparse.csr_array:
    """A row a triangle i < j < l with a side among some edges: +1 at the edges ij and jl, -1 at il."""
    number = np.zeros(met.shape, np.int64)
    number[a, b] = np.arange(len(a))
    found = []
    for i, j in np.argwhere(np.triu(some)):
        third = np.flatnonzero(met[i] & met[j])
        found.append(np.sort(np.stack([np.full_like(third, i), np.full_like(third, j), third], axis=1), axis=1))
    i, j, last = np.unique(np.concatenate(found), axis=0).T
    edges = np.stack([number[i, j], number[j, last], number[i, last]], axis=1)
    sign = np.broadcast_to([1.0, 1.0, -1.0], edges.shape)
    rows = np.repeat(np.arange(len(edges)), 3)
    return sparse.coo_array((sign.ravel(), (rows, edges.ravel())), shape=(len(edges), len(a))).tocsr()
