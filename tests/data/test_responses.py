"""Score matrices: how they come in, and the tables and rankings that they become."""

import itertools
import re

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from scorax.data import Responses

NAN = np.nan
LIBRARIES = {"mapping": dict, "pandas": pd.DataFrame, "polars": pl.DataFrame, "pyarrow": pa.table}
EVERY = pytest.mark.parametrize("frame", LIBRARIES.values(), ids=LIBRARIES)
LONG = {
    "sample": ["q1", "q1", "q2", "q2", "q3"],
    "model": ["llama", "gpt", "gpt", "llama", "gpt"],
    "score": [0.5, 0.7, 3.0, 2.0, 1.0],
    "sign": [1, 1, -1, -1, 1],
    "w": [2.0, 2.0, 0.5, 0.5, 1.0],
    "task": ["x", "x", "y", "y", "x"],
}
WIDE = {"id": ["q1", "q2", "q3"], "gpt": [0.7, 3.0, 1.0], "llama": [0.5, 2.0, None], "sign": [1, -1, 1]}


def some_responses(n=30, k=5, seed=0, weighted=True):
    rng = np.random.default_rng(seed)
    value = rng.integers(0, 4, (n, k)).astype(float)
    value[rng.random((n, k)) < 0.3] = NAN
    value[:, 0] = np.where(np.isnan(value).all(1), 1.0, value[:, 0])
    weight = rng.uniform(0.5, 2, n) if weighted else None
    return Responses.from_arrays(value, direction=rng.choice([-1, 1], n), weight=weight, count=rng.integers(1, 4, n))


def by_pairs(responses, ties):
    """The table, pair by pair and sample by sample."""
    n, k = responses.value.shape
    out = np.zeros((2, 2, k, k))
    for r, i, j in itertools.product(range(n), range(k), range(k)):
        if i < j and responses.where[r, i] and responses.where[r, j]:
            lead = float((responses.value[r, i] - responses.value[r, j]) * responses.direction[r])
            for total, w in zip(out, (float(responses.weight[r]), float(responses.count[r])), strict=True):
                if lead:
                    total[0, i if lead > 0 else j, j if lead > 0 else i] += w
                elif ties == "keep":
                    total[1, i, j] += w
                else:
                    total[0, i, j] += w * (1 if ties == "full" else 0.5)
                    total[0, j, i] += w * (1 if ties == "full" else 0.5)
    return out


@pytest.mark.parametrize("ties", ["half", "full", "keep"])
@pytest.mark.parametrize("weighted", [True, False])
def test_table_pair_by_pair(ties, weighted, dtype):
    responses = some_responses(weighted=weighted)
    expected = by_pairs(responses, ties)
    tolerance = 32 * float(jnp.finfo(dtype).eps)
    for table in (responses.table(ties), jax.jit(lambda data: data.table(ties))(responses)):
        assert table.weight.dtype == dtype
        np.testing.assert_allclose(table.weight, expected[0], rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose(table.count, expected[1], rtol=tolerance)


def test_table_of_more_rows_than_a_chunk(x64):
    value = np.random.default_rng(0).normal(size=(1000, 3))
    wins = Responses.from_arrays(value).table().weight[0]
    np.testing.assert_array_equal(wins, (value[:, :, None] > value[:, None, :]).sum(0))
    even = Responses.from_arrays(np.zeros((600, 3))).table("keep").weight
    np.testing.assert_array_equal(even[1], np.triu(np.full((3, 3), 600.0), 1))


def test_table_is_linear_in_the_weight(x64):
    responses = some_responses()
    chosen = jnp.asarray(np.random.default_rng(1).normal(size=(2, 5, 5)))
    slope = jax.jit(jax.grad(lambda w: jnp.vdot(responses.reweight(w).table("keep").weight, chosen)))
    each = [jnp.vdot(by_pairs(responses.take(np.array([r])).reweight(np.ones(1)), "keep")[0], chosen) for r in range(6)]
    np.testing.assert_allclose(slope(responses.weight)[:6], jnp.stack(each), rtol=1e-10)


def test_rows_behave_like_rows(x64):
    responses = some_responses(weighted=False)
    for ties in ("half", "keep"):
        chex.assert_trees_all_close(responses.pad(40).table(ties), responses.table(ties))
        chex.assert_trees_all_close(responses.expand().table(ties), responses.table(ties))
        chex.assert_trees_all_close(responses.expand().aggregate().table(ties), responses.table(ties))
    hidden = Responses.from_arrays(np.full((2, 2), 7.0), where=[[True, True], [True, False]])
    shown = Responses.from_arrays([[7.0, 7.0], [7.0, NAN]])
    chex.assert_trees_all_equal(hidden, shown)


def test_rankings_have_the_scores_order(x64):
    value = np.random.default_rng(0).normal(size=(20, 6))
    value[np.random.default_rng(1).random(value.shape) < 0.4] = NAN
    value[np.isnan(value).all(1)] = np.arange(6)
    responses = Responses.from_arrays(value, direction=np.repeat([1, -1], 10), weight=np.arange(1, 21))
    rankings = responses.rankings()
    for r in range(20):
        there = np.flatnonzero(~np.isnan(value[r]))
        expected = there[np.argsort(-value[r, there] * (1 if r < 10 else -1))]
        np.testing.assert_array_equal(rankings.order[r][rankings.where[r]], expected)
    np.testing.assert_array_equal(rankings.weight, responses.weight)
    assert rankings.tie_level is None


def test_equal_scores_are_ties_of_a_ranking():
    rankings = Responses.from_arrays([[1.0, 2.0, 1.0], [3.0, 3.0, NAN]]).rankings()
    np.testing.assert_array_equal(rankings.order, [[1, 0, 2], [0, 1, 0]])
    np.testing.assert_array_equal(rankings.where, [[True, True, True], [True, True, False]])
    np.testing.assert_array_equal(rankings.tie_level, [[0, 1, 1], [0, 0, 0]])


def test_mean_differences_pair_by_pair(x64):
    responses = some_responses()
    difference, total = jax.jit(lambda data: data.mean_differences())(responses)
    value = np.where(responses.where, responses.value, NAN) * np.asarray(responses.direction)[:, None]
    gap = value[:, :, None] - value[:, None, :]
    weight = np.where(np.isnan(gap), 0, np.asarray(responses.weight)[:, None, None])
    np.testing.assert_allclose(total, weight.sum(0), rtol=1e-12)
    np.testing.assert_allclose(difference, (np.nan_to_num(gap) * weight).sum(0) / weight.sum(0), atol=1e-12)


@EVERY
def test_long_frames(frame):
    scores, systems = Responses.from_frame(frame(LONG), direction="sign", weight="w", cluster="task")
    expected = Responses.from_arrays(
        [[0.7, 0.5], [3.0, 2.0], [1.0, NAN]], direction=[1, -1, 1], weight=[2, 0.5, 1], cluster=[0, 1, 0]
    )
    chex.assert_trees_all_equal(scores, expected)
    assert systems.names == ("gpt", "llama")


@EVERY
def test_wide_frames(frame):
    scores, systems = Responses.from_wide_frame(frame(WIDE), sample="id", direction="sign")
    chex.assert_trees_all_equal(scores, Responses.from_arrays([[0.7, 0.5], [3, 2], [1, NAN]], direction=[1, -1, 1]))
    assert systems.names == ("gpt", "llama")
    turned, systems = Responses.from_wide_frame(frame(WIDE), systems=["llama", "gpt"])
    assert systems.names == ("llama", "gpt")
    np.testing.assert_array_equal(turned.where[2], [False, True])


def long(**columns):
    options = {name: columns.pop(name) for name in list(columns) if name not in LONG}
    return Responses.from_frame(LONG | columns, **options)


BAD = {
    "empty": (lambda: Responses.from_arrays(np.zeros((0, 3))), "there are no scores: the data are empty"),
    "vector": (lambda: Responses.from_arrays([1.0, 2.0]), "value has shape (2,); expected [n, k]"),
    "text": (lambda: Responses.from_arrays([["a", "b"]]), "value holds <U1 values, not numbers"),
    "row": (lambda: Responses.from_arrays([[1, 2], [NAN, NAN]]), "a sample has no score in 1 row (row 1)"),
    "column": (lambda: Responses.from_arrays([[1, NAN], [2, NAN]]), "1 of 2 systems have no score (columns [1])"),
    "infinite": (lambda: Responses.from_arrays([[1, np.inf]]), "value is infinite in 1 row (row 0)"),
    "hidden": (lambda: Responses.from_arrays([[1, NAN]], where=[[True, True]]), "value is missing (NaN) in 1 row"),
    "where": (lambda: Responses.from_arrays([[1, 2]], where=[[True]]), "where has shape (1, 1)"),
    "direction": (lambda: Responses.from_arrays([[1, 2]], direction=0), "direction is not +1 or -1 in 1 row"),
    "weight": (lambda: Responses.from_arrays([[1, 2]], weight=[-1]), "weight is negative in 1 row (row 0)"),
    "ties": (lambda: Responses.from_arrays([[1, 2]]).table("both"), "ties must be one of ('full', 'half', 'keep')"),
    "twice": (
        lambda: long(model=["gpt", "gpt", "gpt", "llama", "gpt"]),
        "a system has another score on the same sample in 1 row (row 1)",
    ),
    "missing": (lambda: long(score=[0.5, NAN, 3.0, 2.0, 1.0]), "column 'score' is missing in 1 row (row 1)"),
    "changes": (lambda: long(w=[1.0, 2, 1, 1, 1], weight="w"), "column 'w' changes within a sample in 1 row (row 1)"),
    "no column": (lambda: long(system="who"), "there is no column 'who' for system"),
    "words": (
        lambda: Responses.from_wide_frame({"a": ["x", "y"], "b": [1, 2]}),
        "column 'a' holds text that is no number, such as 'x', 'y', in 2 rows (rows 0, 1). If it names the samples, "
        "pass sample='a'; if not, name the columns of scores with systems=[...].",
    ),
    "nothing": (lambda: Responses.from_wide_frame({"a": [1, 2]}, sample="a"), "no column is left for the systems"),
}


@pytest.mark.parametrize(("call", "message"), BAD.values(), ids=BAD)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()
