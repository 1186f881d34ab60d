import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.choice._aggregation import (
    average_win_rate,
    borda,
    counting,
    eigenvector,
    mc4,
    pagerank,
    pairwise_matrix,
)
from scorax.data import Comparisons

FOLDER = pathlib.Path(__file__).parents[2] / "oracles" / "choice"
CASES = json.loads((FOLDER / "evalica.json").read_text())["cases"]
METHODS = {
    "average_win_rate": average_win_rate,
    "counting": counting,
    "eigenvector": eigenvector,
    "mc4": mc4,
    "pagerank": pagerank,
}
everything = jax.jit(lambda matrix: {name: method(matrix) for name, method in METHODS.items()})


def of(name, matrix):
    return everything(matrix)[name]


def matrix_of(case):
    battles = Comparisons.from_arrays(case["a"], case["b"], np.asarray(case["outcome"]), weight=case["weights"])
    return pairwise_matrix(battles.table(case["n"]))


@pytest.mark.parametrize("case", CASES, ids=["plain", "weighted"])
def test_as_evalica(x64, case):
    matrix = matrix_of(case)
    for name in ("counting", "average_win_rate", "pagerank"):
        np.testing.assert_allclose(of(name, matrix), case[name], atol=2e-12)
    # evalica 0.4.2 multiplies by the transposed matrix, so that its "eigen" is the eigenvector of losses: in its
    # numbers the item that wins most is last but one. Turned round, it is ours.
    np.testing.assert_allclose(of("eigenvector", matrix.T), case["eigen"], atol=2e-12)
    assert int(of("eigenvector", matrix).argmax()) == int(np.argmax(case["counting"]))


def random_matrix(seed, dtype, k=6):
    random = np.random.default_rng(seed)
    return jnp.asarray(random.integers(0, 5, (k, k)) * (1 - np.eye(k)), dtype)


def changed(matrix, won):
    """Item 0 never loses, and wins so often against each."""
    new = np.array(matrix)
    new[0], new[:, 0] = won, 0
    return jnp.asarray(new)


def test_eigenvector_against_numpy(dtype):
    matrix = random_matrix(0, dtype)
    values, vectors = np.linalg.eig(np.asarray(matrix, np.float64))
    principal = np.abs(vectors[:, values.real.argmax()].real)
    # Thirty squarings and the products in them.
    np.testing.assert_allclose(of("eigenvector", matrix), principal, rtol=200 * float(jnp.finfo(dtype).eps))


def test_a_cycle_of_equals_does_not_oscillate(dtype):
    cycle = jnp.asarray(np.roll(np.eye(6, dtype=dtype), 1, axis=1))
    np.testing.assert_allclose(of("eigenvector", cycle), np.full(6, 6**-0.5), rtol=1e-5)


def test_the_eigenvector_is_undefined_without_wins_both_ways(dtype):
    matrix = changed(random_matrix(1, dtype), won=3)
    assert jnp.isnan(of("eigenvector", matrix)).all()
    assert jnp.isnan(of("eigenvector", jnp.zeros((6, 6), dtype))).all()


@pytest.mark.parametrize("name", ["mc4", "pagerank"])
def test_walks_spend_all_their_time_and_stay_where_they_are(dtype, name):
    matrix = np.asarray(random_matrix(2, dtype), np.float64)
    share = np.asarray(of(name, jnp.asarray(matrix, dtype)), np.float64)
    step = np.zeros((6, 6))
    for here in range(6):
        losses = matrix[:, here] if name == "pagerank" else (matrix[:, here] > matrix[here]) * 1.0
        if name == "pagerank":
            step[:, here] = losses / losses.sum()
        else:
            step[:, here] = losses / 6
            step[here, here] += 1 - losses.sum() / 6
    np.testing.assert_allclose(share.sum(), 1, rtol=1e-5)
    np.testing.assert_allclose(0.85 * step @ share + 0.15 / 6, share, rtol=1e-5)


def test_who_never_lost_is_left_for_anyone(dtype):
    matrix = changed(random_matrix(3, dtype), won=3)
    share = of("pagerank", matrix)
    assert share.argmax() == 0
    np.testing.assert_allclose(share.sum(), 1, rtol=1e-5)


def test_counting_of_complete_rankings_is_borda():
    ranks = jnp.asarray(np.argsort(np.random.default_rng(4).random((7, 6)), axis=1) + 1.0)
    np.testing.assert_array_equal(of("counting", pairwise_matrix(ranks)), borda(ranks))


def test_an_item_that_never_played_has_no_win_rate(dtype):
    matrix = changed(random_matrix(5, dtype), won=0)
    rate = of("average_win_rate", matrix)
    assert jnp.isnan(rate[0])
    assert jnp.isfinite(rate[1:]).all()


@pytest.mark.parametrize("name", METHODS)
def test_renaming_items_renames_scores(dtype, name):
    matrix = random_matrix(6, dtype)
    new = np.array([2, 0, 5, 4, 1, 3])
    renamed = of(name, jnp.asarray(np.asarray(matrix)[np.ix_(new, new)]))
    np.testing.assert_allclose(renamed, np.asarray(of(name, matrix))[new], rtol=1e-4)


def test_pagerank_is_differentiable_in_the_counts(x64):
    matrix = random_matrix(7, jnp.float64) + 1
    slope = jax.jit(jax.grad(lambda m: pagerank(m)[0]))(matrix)
    ends = [of("pagerank", matrix.at[0, 3].add(h))[0] for h in (1e-5, -1e-5)]
    np.testing.assert_allclose(slope[0, 3], (ends[0] - ends[1]) / 2e-5, rtol=1e-7)
    assert slope[0, 3] > 0


@pytest.mark.parametrize("method", [mc4, pagerank])
def test_damping_is_a_probability(method):
    with pytest.raises(ValueError, match="damping must be in"):
        method(jnp.ones((2, 2)), damping=1.0)
