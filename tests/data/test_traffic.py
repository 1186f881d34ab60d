import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse

from scorax.data import Traffic, Vocabulary

SOURCE, TARGET = [2, 0, 0, 1], [0, 2, 1, 0]
IN, OUT = [10, 7, 3], [10, 7, 3]
EDGES = {"source": ["home", "home", "shop", "help"], "target": ["shop", "help", "home", "home"]}
NODES = {"node": ["home", "shop", "help"], "visits_in": [10, 7, 3], "visits_out": [10, 7, 3]}


def traffic(**changes):
    given = {"source": SOURCE, "target": TARGET, "visits_in": IN, "visits_out": OUT} | changes
    return Traffic.from_edges(
        given.pop("source"), given.pop("target"), given.pop("visits_in"), given.pop("visits_out"), **given
    )


def test_edges_become_padded_rows(dtype):
    data = traffic(edge_weight=[1.0, 2.0, 4.0, 1.0])
    np.testing.assert_array_equal(data.node, [0, 1, 2])
    np.testing.assert_array_equal(data.successors, [[1, 2], [0, 0], [0, 0]])
    np.testing.assert_array_equal(data.where, [[True, True], [True, False], [True, False]])
    np.testing.assert_allclose(data.log_edge_weight, np.log([[4, 2], [1, 1], [1, 1]]), atol=1e-6)
    assert data.visits_in.dtype == dtype
    assert traffic().log_edge_weight is None


def test_a_matrix_is_its_edges():
    dense = np.array([[0, 4, 2], [1, 0, 0], [1, 0, 0]])
    expected = traffic(edge_weight=[1, 2, 4, 1])
    for matrix in (dense, sparse.csr_array(dense), sparse.coo_matrix(dense)):
        data = Traffic.from_matrix(matrix, IN, OUT)
        assert all(np.array_equal(x, y) for x, y in zip(jax.tree.leaves(data), jax.tree.leaves(expected), strict=True))
    alike = Traffic.from_matrix(3 * (dense > 0), IN, OUT)
    assert alike.log_edge_weight is None


@pytest.mark.parametrize("make", [dict, pd.DataFrame, pl.DataFrame])
def test_frames_name_the_nodes(make):
    data, names = Traffic.from_frame(make(EDGES), make(NODES))
    assert isinstance(names, Vocabulary)
    assert names.names == ("help", "home", "shop")
    np.testing.assert_array_equal(data.visits_in, [3, 10, 7])
    np.testing.assert_array_equal(data.successors, [[1, 0], [0, 2], [1, 0]])
    named = {"from": EDGES["source"], "to": EDGES["target"], "edge_weight": [1, 2, 1, 1]}
    nodes = {"page": NODES["node"], "entered": IN, "left": OUT}
    other, _ = Traffic.from_frame(make(named), make(nodes), visits_in="entered", visits_out="left")
    np.testing.assert_allclose(other.log_edge_weight, [[0, 0], [np.log(2), 0], [0, 0]], atol=1e-6)


def test_rows_are_data():
    data = traffic(edge_weight=[1, 2, 4, 1])
    padded = data.pad(5)
    np.testing.assert_array_equal(padded.weight, [1, 1, 1, 0, 0])
    twice = jax.tree.map(lambda x: jnp.asarray(np.concatenate([x, x])), data)
    together = twice.aggregate()
    np.testing.assert_array_equal(together.count, [2, 2, 2])
    assert together.expand().weight.shape == (6,)
    junk = Traffic(
        data.node,
        jnp.where(data.where, data.successors, 2),
        data.where,
        data.visits_in,
        data.visits_out,
        data.weight,
        data.count,
        jnp.where(data.where, data.log_edge_weight, 7),
    )
    assert jax.tree.map(lambda x: jnp.asarray(np.concatenate([x, x])), junk).aggregate().count.sum() == 6
    both = jax.tree.map(lambda x, y: jnp.asarray(np.concatenate([x, y])), data, junk).aggregate()
    assert both.weight.shape == (3,)


BAD = {
    "empty": (lambda: traffic(source=[], target=[]), "there are no edges"),
    "names": (lambda: traffic(source=["x"] * 4), "source holds <U1 values, not integer ids"),
    "unknown node": (lambda: traffic(target=[0, 3, 1, 0]), r"target is no id from 0 to 2 in 1 row \(row 1\)"),
    "twice": (
        lambda: traffic(source=[2, 0, 0, 1, 0], target=[0, 2, 1, 0, 2]),
        r"an edge is listed twice in 1 row \(row 4\). Add the weights of equal edges",
    ),
    "edge weight": (lambda: traffic(edge_weight=[1, 0, 1, 1]), r"edge_weight is 0 in 1 row \(row 1\)"),
    "negative": (lambda: traffic(visits_in=[10, -7, 17]), r"visits_in is negative in 1 row \(row 1\)"),
    "missing": (lambda: traffic(visits_out=[10, np.nan, 3]), r"visits_out is missing \(NaN\) in 1 row \(row 1\)"),
    "lengths": (lambda: traffic(visits_out=[10, 7]), r"visits_out has shape \(2,\)"),
    "imbalance": (
        lambda: traffic(visits_in=[10, 7, 4]),
        "visits_in add up to 21, visits_out to 20: every transition counts once at each end",
    ),
    "nothing": (lambda: traffic(visits_in=[0, 0, 0], visits_out=[0, 0, 0]), "there are no visits"),
    "dead end": (
        lambda: traffic(source=[0, 0, 1], target=[1, 2, 0]),
        r"a node was left but leads nowhere in 1 row \(row 2\)",
    ),
    "too many": (
        lambda: traffic(visits_in=[11, 6, 3]),
        r"a node was entered more often than all nodes that lead to it were left in 1 row \(row 0\)",
    ),
    "square": (
        lambda: Traffic.from_matrix(np.ones((2, 3)), IN, OUT),
        r"adjacency has shape \(2, 3\); expected \[3, 3\]",
    ),
    "negative edge": (lambda: Traffic.from_matrix(-np.eye(3), IN, OUT), "adjacency is negative in 3 rows"),
    "column": (lambda: Traffic.from_frame(EDGES, {"node": ["a"]}), "there is no column 'visits_in' for visits_in"),
    "unknown name": (
        lambda: Traffic.from_frame({"source": ["shop"], "target": ["cart"]}, NODES),
        "1 names are unknown: 'cart'",
    ),
    "node twice": (
        lambda: Traffic.from_frame(EDGES, {"node": ["home", "shop", "home"], "visits_in": IN, "visits_out": OUT}),
        r"a node appears twice in the table of nodes in 1 row \(row 2\)",
    ),
}


@pytest.mark.parametrize(("make", "message"), BAD.values(), ids=BAD)
def test_bad_traffic_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_node_that_leads_nowhere_may_be_entered():
    data = Traffic.from_edges([0, 0], [1, 2], visits_in=[0, 4, 2], visits_out=[6, 0, 0])
    np.testing.assert_array_equal(data.where, [[True, True], [False, False], [False, False]])
