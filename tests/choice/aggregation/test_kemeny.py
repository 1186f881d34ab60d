import itertools
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.choice._aggregation import borda, condorcet_winner, kemeny, kemeny_cost, pairwise_matrix
from scorax.choice._aggregation._kemeny_search import search
from scorax.data import Rankings

FOLDER = pathlib.Path(__file__).parents[2] / "oracles" / "choice"
CASES = json.loads((FOLDER / "social_choice.json").read_text())["cases"]
cost = jax.jit(kemeny_cost)


def support(seed, n, k, *, noise=None):
    """Of random rankings, or of noisy looks at 0, 1, 2, ..."""
    random = np.random.default_rng(seed)
    values = random.random((n, k)) if noise is None else np.arange(k) + noise * random.normal(size=(n, k))
    return (values[:, :, None] < values[:, None, :]).sum(0).astype(float)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{len(case['pairwise'])} items")
def test_as_pref_voting(case):
    result = kemeny(case["pairwise"])
    assert result.order.tolist() in case["kemeny_rankings"]
    assert result.cost == result.lower_bound == case["kemeny_distance"]
    assert result.exact


@pytest.mark.parametrize("seed", range(8))
def test_no_order_is_better_and_ties_go_to_the_smallest_id_at_the_end(x64, seed):
    matrix = support(seed, 3 + seed % 4, 6)
    orders = np.array(list(itertools.permutations(range(6))))
    costs = np.asarray(cost(jnp.asarray(orders), jnp.asarray(matrix)))
    best = orders[costs == costs.min()]
    result = kemeny(matrix)
    assert result.cost == costs.min()
    assert result.order.tolist() == min(best.tolist(), key=lambda order: order[::-1])


def test_the_cost_is_the_kendall_distance_to_all_rankings(x64):
    orders = np.array([[0, 1, 2, 3], [3, 1, 0, 2], [2, 3, 1, 0]])
    matrix = pairwise_matrix(Rankings.from_arrays(orders))
    places = np.argsort(orders, axis=1)
    for order in itertools.permutations(range(4)):
        inversions = sum(row[a] > row[b] for row in places for a, b in itertools.combinations(order, 2))
        assert float(cost(jnp.asarray(order), matrix)) == inversions


def test_groups_that_beat_each_other_lose_nothing(x64):
    # Two cycles of three, the first group above the second: solved apart, as good as together.
    matrix = np.asarray([[0, 5, 1], [2, 0, 4], [6, 3, 0]], float)
    both = np.block([[matrix, np.full((3, 3), 4.0)], [np.full((3, 3), 3.0), matrix]])
    shuffled = np.random.default_rng(0).permutation(6)
    both = both[np.ix_(shuffled, shuffled)]
    orders = np.array(list(itertools.permutations(range(6))))
    result = kemeny(both)
    assert result.cost == float(np.asarray(cost(jnp.asarray(orders), jnp.asarray(both))).min())
    assert set(shuffled[result.order[:3]].tolist()) == {0, 1, 2}


@pytest.mark.parametrize("seed", range(4))
def test_a_condorcet_winner_is_first_and_a_condorcet_order_is_found(x64, seed):
    matrix = support(seed, 9, 7)
    winner = np.flatnonzero(condorcet_winner(jnp.asarray(matrix)))
    if winner.size:
        assert kemeny(matrix).order.tolist()[0] == winner[0]
    # Among 40 items with one clear order the groups are single items: exact, beyond the reach of the subsets.
    clear = kemeny(support(seed, 25, 40, noise=0.3))
    assert clear.exact
    assert clear.order.tolist() == list(range(40))


def test_of_two_rankings_borda_is_optimal(x64):
    for seed in range(5):
        ranks = jnp.asarray(np.argsort(np.random.default_rng(seed).random((2, 6)), axis=1) + 1.0)
        matrix = pairwise_matrix(ranks)
        order = jnp.argsort(-borda(ranks), stable=True)
        assert cost(order, matrix) == kemeny(matrix).cost


@pytest.mark.parametrize("seed", range(3))
def test_the_search_reaches_the_exact_optimum_of_fourteen_items(seed):
    matrix = support(seed, 5, 14)
    exact = kemeny(matrix)
    found = search(matrix, restarts=8, key=jax.random.key(seed))
    assert sorted(found.tolist()) == list(range(14))
    assert np.tril(matrix[np.ix_(found, found)], -1).sum() == exact.cost


def test_beyond_exact_reach_the_bound_holds_and_more_restarts_never_hurt():
    matrix = support(0, 5, 40)
    few, many = (kemeny(matrix, restarts=restarts, key=jax.random.key(1)) for restarts in (0, 8))
    assert not few.exact
    assert few.lower_bound == many.lower_bound < many.cost <= few.cost
    order = np.asarray(many.order)
    assert many.cost == np.tril(matrix[np.ix_(order, order)], -1).sum()
    assert kemeny(matrix, key=jax.random.key(1)).order.tolist() == many.order.tolist()
    # Borda, a five-approximation, is where it starts.
    start = np.argsort(-matrix.sum(1), kind="stable")
    assert few.cost <= np.tril(matrix[np.ix_(start, start)], -1).sum()


@pytest.mark.parametrize("scale", [1e-3, 0.1, 1 / 3])
def test_weights_that_round_end_the_search(scale):
    matrix = support(2, 6, 25) * scale
    result = kemeny(matrix, restarts=2)
    assert result.lower_bound <= result.cost


def test_bad_matrices_are_refused():
    with pytest.raises(ValueError, match="expected \\[k, k\\]"):
        kemeny(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="1 negative or missing"):
        kemeny([[0.0, -1.0], [2.0, 0.0]])
