"""Traffic on a network: how often each node was entered and left, and where one can go from it."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from scipy import sparse

from scorax.data._base import AbstractRows
from scorax.data._frame import Table, natural
from scorax.data._ragged import padded
from scorax.data._validate import (
    count_rows,
    refuse,
    refuse_empty,
    to_array,
    to_float_array,
    to_ids,
    to_int_array,
    to_numbers,
    to_weights,
)
from scorax.data._vocabulary import Vocabulary

# Sums of counts, which may have been rounded to single precision, agree to this.
_BALANCE = 1e-6


class Traffic(AbstractRows):
    """Visits of the nodes of a network, a node a row.

    `successors` holds the nodes that the row's node leads to, any valid id where `where` is false. `log_edge_weight`
    says how much an edge is favoured beyond what it leads to (None: all edges alike); only differences within a row
    matter. `visits_in` counts the transitions that ended in the node, `visits_out` those that began there. Rows belong
    together: each transition is counted once at either end, and only the likelihood of the whole network means
    anything. So weights of rows are all equal, or repeat whole networks.
    """

    node: Int[Array, " n"]
    successors: Int[Array, "n l"]
    where: Bool[Array, "n l"]
    visits_in: Float[Array, " n"]
    visits_out: Float[Array, " n"]
    weight: Float[Array, " n"]
    count: Float[Array, " n"]
    log_edge_weight: Float[Array, "n l"] | None = None

    @classmethod
    def from_edges(
        cls,
        source: Any,
        target: Any,
        visits_in: Any,
        visits_out: Any,
        *,
        edge_weight: Any = None,
        weight: Any = None,
    ) -> "Traffic":
        """Check and build from a list of edges.

        Args:
            source: Ids of the nodes where the edges begin, counted from 0.
            target: Ids of the nodes where they end.
            visits_in: `[k]`, how many transitions ended in each of the `k` nodes.
            visits_out: `[k]`, how many began there.
            edge_weight: How much each edge is favoured, above 0; 1 by default.
            weight: What the traffic of a node adds to the likelihood; 1 by default.

        Raises:
            ValueError: no edges, lengths that differ, ids that are no ids, an edge listed twice, a missing, infinite or
                negative value, visits in and out that do not add up to the same, a node that was left and leads
                nowhere, or one that was entered more often than its predecessors were left.

        Example:
            >>> walk = Traffic.from_edges([0, 0, 1, 2], [1, 2, 0, 0], visits_in=[10, 7, 3], visits_out=[10, 7, 3])
            >>> walk.successors
            Array([[1, 2],
                   [0, 0],
                   [0, 0]], dtype=int32)
        """
        k, n_edges = count_rows("visits_in", visits_in), count_rows("source", source)
        refuse_empty(n_edges, "edges")
        begin, end = to_ids("source", source, n_edges, k), to_ids("target", target, n_edges, k)
        entered = to_numbers("visits_in", visits_in, (k,), lower=0.0)
        left = to_numbers("visits_out", visits_out, (k,), lower=0.0)
        favour = None if edge_weight is None else to_numbers("edge_weight", edge_weight, (n_edges,), lower=0.0)
        if favour is not None:
            refuse(favour == 0, "edge_weight is 0", "Leave out edges that nobody can take.")
        order = np.lexsort((end, begin))
        begin, end = begin[order], end[order]
        again = np.zeros(n_edges, bool)
        again[order[1:]] = (np.diff(begin) == 0) & (np.diff(end) == 0)
        refuse(again, "an edge is listed twice", "Add the weights of equal edges.")
        degree = np.bincount(begin, minlength=k)
        _refuse_imbalance(entered, left, degree, begin, end)
        successors, where = padded(end, degree)
        favoured = None if favour is None else padded(np.log(favour[order]), degree)[0]
        weights, counts = to_weights(weight, None if weight is None else np.ones(k), k)
        return cls(
            node=jnp.arange(k, dtype=jnp.int32),
            successors=to_int_array(successors),
            where=jnp.asarray(where),
            visits_in=to_float_array(entered),
            visits_out=to_float_array(left),
            weight=weights,
            count=counts,
            log_edge_weight=None if favoured is None else to_float_array(favoured),
        )

    @classmethod
    def from_matrix(cls, adjacency: Any, visits_in: Any, visits_out: Any, *, weight: Any = None) -> "Traffic":
        """Check and build from an adjacency matrix.

        Args:
            adjacency: `[k, k]`, a SciPy sparse matrix or anything NumPy takes: how much the edge from the row's node to
                the column's is favoured, 0 where there is none.
            visits_in: As in `from_edges`.
            visits_out: As in `from_edges`.
            weight: As in `from_edges`.

        Raises:
            ValueError: as in `from_edges`, or the matrix is not square.

        Example:
            >>> Traffic.from_matrix([[0, 1], [1, 0]], visits_in=[4, 4], visits_out=[4, 4]).where.sum(1)
            Array([1, 1], dtype=int32)
        """
        if not sparse.issparse(adjacency):
            shape = to_array("adjacency", adjacency).shape
            adjacency = to_numbers("adjacency", adjacency, shape, lower=0.0)
        matrix = sparse.coo_array(adjacency)
        k = count_rows("visits_in", visits_in)
        if matrix.shape != (k, k):
            raise ValueError(f"adjacency has shape {matrix.shape}; expected [{k}, {k}]: a row and a column a node")
        matrix.sum_duplicates()
        value = to_numbers("adjacency", matrix.data, matrix.data.shape, lower=0.0)
        held = value > 0
        source, target = (np.asarray(ids)[held] for ids in matrix.coords)
        alike = (value[held] == value[held][:1]).all()
        return cls.from_edges(
            source, target, visits_in, visits_out, edge_weight=None if alike else value[held], weight=weight
        )

    @classmethod
    def from_frame(
        cls,
        edges: Any,
        nodes: Any,
        *,
        source: str | None = None,
        target: str | None = None,
        edge_weight: str | None = None,
        node: str | None = None,
        visits_in: str = "visits_in",
        visits_out: str = "visits_out",
    ) -> tuple["Traffic", Vocabulary]:
        """From a table with one edge a row and a table with one node a row.

        Args:
            edges: A pandas or polars data frame, a pyarrow table, or a mapping from names to columns.
            nodes: Likewise.
            source: Column of `edges` that names where an edge begins; `source` or `from` by default.
            target: Column of `edges` that names where it ends; `target` or `to` by default.
            edge_weight: Column of `edges` with how much an edge is favoured; `edge_weight` by default, if it is there.
            node: Column of `nodes` that names the node; `node`, `page` or `name` by default.
            visits_in: Column of `nodes`, see `from_edges`.
            visits_out: Column of `nodes`, see `from_edges`.

        Returns:
            The traffic and the names of its nodes.

        Raises:
            ValueError: as in `from_edges`, a column is not there, a value is missing, a node appears twice or only
                among the edges.

        Example:
            >>> traffic, pages = Traffic.from_frame(
            ...     {"source": ["home", "home", "shop", "help"], "target": ["shop", "help", "home", "home"]},
            ...     {"node": ["home", "shop", "help"], "visits_in": [10, 7, 3], "visits_out": [10, 7, 3]},
            ... )
            >>> pages.names, traffic.visits_in
            (('help', 'home', 'shop'), Array([ 3., 10.,  7.], dtype=float32))
        """
        links, places = Table(edges), Table(nodes)
        words = places.words(places.find(node, "node", ("node", "page", "name")))
        counted = [
            places.numbers(places.require(name, role), lower=0.0)
            for name, role in ((visits_in, "visits_in"), (visits_out, "visits_out"))
        ]
        names = Vocabulary.of(natural(words.distinct))
        row = words.ids(names)
        refuse(_repeated(row), "a node appears twice in the table of nodes", "Add up its visits.")
        ends = [
            links.words(links.find(name, role, usual)).ids(names)
            for name, role, usual in ((source, "source", ("source", "from")), (target, "target", ("target", "to")))
        ]
        favour = links.find_optional(edge_weight, "edge_weight", ("edge_weight",))
        visits = np.zeros((2, len(names)))
        for sums, counts in zip(visits, counted, strict=True):
            sums[row] = counts
        return cls.from_edges(*ends, *visits, edge_weight=None if favour is None else links.numbers(favour)), names

    def canonical(self) -> "Traffic":
        """The same traffic with id 0 and weight 1 in all places that are not filled."""
        edge = self.log_edge_weight
        return Traffic(
            node=self.node,
            successors=jnp.where(self.where, self.successors, 0),
            where=self.where,
            visits_in=self.visits_in,
            visits_out=self.visits_out,
            weight=self.weight,
            count=self.count,
            log_edge_weight=None if edge is None else jnp.where(self.where, edge, 0),
        )


def _repeated(ids: np.ndarray) -> np.ndarray:
    """Rows whose id stands in an earlier row."""
    again = np.ones(len(ids), bool)
    again[np.unique(ids, return_index=True)[1]] = False
    return again


def _refuse_imbalance(
    entered: np.ndarray, left: np.ndarray, degree: np.ndarray, begin: np.ndarray, end: np.ndarray
) -> None:
    """Raise where no transitions along the edges can have left these counts behind."""
    refuse(
        (degree == 0) & (left > 0), "a node was left but leads nowhere", "Add its edges, or set its visits_out to 0."
    )
    total_in, total_out = entered.sum(), left.sum()
    if abs(total_in - total_out) > _BALANCE * max(total_in, total_out):
        raise ValueError(
            f"visits_in add up to {total_in:g}, visits_out to {total_out:g}: every transition counts once at each end. "
            "Leave out visits that began or ended outside of the network."
        )
    if total_in == 0:
        raise ValueError("there are no visits: all counts are 0")
    possible = np.bincount(end, left[begin], len(left))
    refuse(
        entered > possible * (1 + _BALANCE),
        "a node was entered more often than all nodes that lead to it were left",
        "Add the edges that lead there, or count only visits along edges.",
    )
