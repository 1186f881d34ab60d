import csv
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.choice import BradleyTerry
from scorax.choice._uncertainty import firth
from scorax.choice._uncertainty._firth import _firth
from scorax.data import Comparisons, PairCounts
from scorax.inference import fit
from scorax.numerics import graph_laplacian, laplacian_logdet

FILES = pathlib.Path(__file__).parents[2] / "data" / "files"


def penalised(strength, wins):
    p = jax.nn.sigmoid(strength[:, None] - strength[None, :])
    information = graph_laplacian((wins + wins.T) * p * p.T)
    return (wins * jax.nn.log_sigmoid(strength[:, None] - strength[None, :])).sum() + laplacian_logdet(information) / 2


slope = jax.jit(jax.grad(penalised))


def chain(*wins):
    """Each item against the next, with wins both ways."""
    counts = np.zeros((len(wins) + 1, len(wins) + 1))
    for i, (up, down) in enumerate(wins):
        counts[i, i + 1], counts[i + 1, i] = up, down
    return counts


def test_citations_of_stigler():
    with (FILES / "citations_cited_by_citing.csv").open(newline="") as file:
        _, *table = list(csv.reader(file))
    wins = np.array([line[1:] for line in table], float)
    np.fill_diagonal(wins, 0)
    strength = firth(PairCounts.from_arrays(wins)).strength
    np.testing.assert_allclose(strength[1:] - strength[0], [-2.94438, -0.47908, 0.26853], atol=5e-6)


@pytest.mark.parametrize("wins", [(7.0, 3.0), (5.0, 0.0), (0.0, 1.0), (2.5, 0.5)])
def test_two_items_have_half_a_win_more_each(wins, dtype):
    found = firth(PairCounts.from_arrays([[0, wins[0]], [wins[1], 0]]))
    expected = np.log((wins[0] + 0.5) / (wins[1] + 0.5))
    np.testing.assert_allclose(found.strength[0] - found.strength[1], expected, rtol=1e2 * float(jnp.finfo(dtype).eps))


def test_each_edge_of_a_tree_is_by_itself():
    edges = [(9.0, 0.0), (2.0, 5.0), (0.0, 4.0), (1.0, 1.0)]
    strength = firth(PairCounts.from_arrays(chain(*edges))).strength
    np.testing.assert_allclose(
        strength[:-1] - strength[1:], [np.log((up + 0.5) / (down + 0.5)) for up, down in edges], atol=1e-10
    )


def test_a_chain_of_nothing_but_wins_converges(dtype):
    # With the information of the likelihood alone, steps would go round in circles here.
    found = firth(PairCounts.from_arrays(chain(*[(1.0, 0.0)] * 4)))
    assert found.converged
    np.testing.assert_allclose(
        found.strength[:-1] - found.strength[1:], np.log(3.0), rtol=3e2 * float(jnp.finfo(dtype).eps)
    )


@pytest.mark.parametrize("seed", range(4))
def test_the_penalised_likelihood_is_at_its_maximum(seed):
    # Few wins, and item 0 never loses.
    wins = np.random.default_rng(seed).poisson(0.8, size=(5, 5)).astype(float)
    wins[:, 0], wins[0, 1:] = 0, 1
    np.fill_diagonal(wins, 0)
    found = firth(PairCounts.from_arrays(wins))
    np.testing.assert_allclose(slope(found.strength, jnp.asarray(wins)), 0, atol=1e-9)
    np.testing.assert_allclose(found.strength.sum(), 0, atol=1e-10)
    np.testing.assert_allclose(found.penalised_log_likelihood, penalised(found.strength, jnp.asarray(wins)), rtol=1e-9)


def test_the_penalty_fades_with_data(battles, result):
    many = firth(battles.reweight(battles.weight * 1e6), 5)
    np.testing.assert_allclose(many.strength, result.model.strength, atol=1e-5)
    np.testing.assert_allclose(many.covariance * 1e6, result.covariance, rtol=1e-4, atol=1e-10)


def test_it_shrinks(battles, result):
    assert jnp.ptp(firth(battles, 5).strength) < jnp.ptp(result.model.strength)


def test_a_tie_is_half_a_win_each_way():
    rows = Comparisons.from_arrays([0, 0, 1, 2, 3], [1, 1, 2, 3, 4], [1.0, 0.5, 1.0, 1.0, 0.0])
    ties, halves = firth(rows, 5), firth(PairCounts.from_arrays(chain((1.5, 0.5), (1, 0), (1, 0), (0, 1))))
    np.testing.assert_allclose(ties.strength, halves.strength, rtol=1e-10)


def test_items_change_places_with_their_strengths(battles):
    order = np.array([3, 0, 4, 1, 2])
    renamed = Comparisons.from_arrays(order[np.asarray(battles.a)], order[np.asarray(battles.b)], battles.outcome)
    np.testing.assert_allclose(firth(renamed, 5).strength[order], firth(battles, 5).strength, rtol=1e-9)


def test_batches_equal_single_fits():
    edges = [((3.0, 0.0), (2.0, 1.0), (1.0, 0.0), (5.0, 4.0)), ((1.0, 4.0), (0.0, 2.0), (1.0, 1.0), (0.0, 9.0))]
    wins = jnp.asarray(np.stack([chain(*each) for each in edges]))
    tables = jax.vmap(lambda w: PairCounts(jnp.stack([w, 0 * w]), jnp.stack([w, 0 * w])))(wins)
    batched = jax.jit(jax.vmap(lambda table: firth(table).strength))(tables)
    singles = [firth(PairCounts.from_arrays(w)).strength for w in np.asarray(wins)]
    np.testing.assert_allclose(batched, jnp.stack(singles), rtol=1e-10)


def test_a_search_cut_short_says_so():
    table = PairCounts.from_arrays(chain((9.0, 0.0), (2.0, 1.0), (3.0, 3.0), (0.0, 7.0)))
    with pytest.raises(ValueError, match="did not converge in 1 steps"):
        firth(table, max_steps=1)
    flagged = _firth(table, jnp.asarray(1, jnp.int32))
    assert not flagged.converged
    assert jnp.isnan(flagged.strength).all()


def test_what_makes_no_sense_is_refused(battles):
    apart = PairCounts.from_arrays([[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]])
    with pytest.raises(ValueError, match="2 groups that never met"):
        firth(apart)
    with pytest.raises(ValueError, match="pass n_items"):
        firth(battles)
    with pytest.raises(ValueError, match="no place for 'order'"):
        firth(Comparisons.from_arrays([0], [1], [1.0], order=[1]), 2)


def test_where_maximum_likelihood_fails_it_does_not():
    a, b = np.triu_indices(5, 1)
    perfect = Comparisons.from_arrays(a, b, np.ones(10))
    with pytest.raises(ValueError, match="no finite maximum"):
        fit(BradleyTerry.init(5), perfect)
    found = firth(perfect, 5)
    assert jnp.isfinite(found.std_error).all()
    assert (jnp.diff(found.strength) < 0).all()
