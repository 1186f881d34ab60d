import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from scorax.choice import BradleyTerry
from scorax.choice._uncertainty import contrasts, next_pairs, pair_scores
from scorax.choice._uncertainty._next_pairs import METHODS
from scorax.data import PairCounts
from scorax.inference import Posterior, fit
from scorax.numerics import graph_laplacian, laplacian_logdet

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def level():
    """Four items that are all equal, each pair four times."""
    with jax.enable_x64(True):
        return fit(BradleyTerry.init(4), PairCounts.from_arrays(2 * (1 - np.eye(4))))


@pytest.mark.parametrize("method", METHODS)
def test_scores_are_symmetric_and_nothing_between_an_item_and_itself(result, method):
    scores = pair_scores(result, method=method, key=KEY)
    np.testing.assert_allclose(scores, scores.T, rtol=1e-14)
    assert (jnp.diagonal(scores) == 0).all()
    assert (scores >= 0).all()
    assert scores.max() > 0


def test_variance_is_that_of_the_contrast(result):
    np.testing.assert_allclose(pair_scores(result, method="variance"), contrasts(result).std_error ** 2, rtol=1e-12)


def test_d_optimal_is_the_gain_of_the_log_determinant(result, battles):
    strength = result.model.strength
    p = jax.nn.sigmoid(strength[:, None] - strength[None, :])
    wins = battles.table(5).weight[0]
    edges = (wins + wins.T) * p * p.T
    scores = pair_scores(result, method="d_optimal")
    for i, j in [(0, 1), (2, 4)]:
        more = edges.at[i, j].add(p[i, j] * p[j, i]).at[j, i].add(p[i, j] * p[j, i])
        gain = laplacian_logdet(graph_laplacian(more)) - laplacian_logdet(graph_laplacian(edges))
        np.testing.assert_allclose(scores[i, j], gain, rtol=1e-8)


def entropy(p):
    return -sum(x * np.log(x) for x in p if x > 0)


def test_information_gain_by_integration(result):
    pairs = contrasts(result)
    scores = pair_scores(result, method="info_gain")
    for i, j in [(0, 1), (1, 3)]:
        normal = stats.norm(float(pairs.difference[i, j]), float(pairs.std_error[i, j]))

        def mean(f, normal=normal):
            return integrate.quad(lambda d: f(1 / (1 + np.exp(-d))) * normal.pdf(d), *normal.interval(1 - 1e-12))[0]

        p = mean(lambda p: p)
        expected = entropy([p, 1 - p]) - mean(lambda p: entropy([p, 1 - p]))
        np.testing.assert_allclose(scores[i, j], expected, rtol=1e-5)


def test_arena_is_a_distribution_of_what_a_standard_error_falls_by(result, battles):
    scores = pair_scores(result, method="arena")
    np.testing.assert_allclose(jnp.triu(scores).sum(), 1, rtol=1e-9)
    met = battles.table(5).weight[0] + battles.table(5).weight[0].T
    p = jax.nn.sigmoid(contrasts(result).difference)
    expected = jnp.sqrt(p * p.T / met) - jnp.sqrt(p * p.T / (met + 1))
    expected = jnp.where(jnp.eye(5) > 0, 0, expected)
    np.testing.assert_allclose(scores, 2 * expected / expected.sum(), rtol=1e-9)
    # Fewer comparisons so far, more to gain; none counts as one.
    empty = PairCounts.from_arrays(np.eye(5, k=1))
    assert pair_scores(result, empty, method="arena")[0, 4] > 0


def test_uncertainty_is_the_even_match(result):
    p = jax.nn.sigmoid(contrasts(result).difference)
    expected = jnp.where(jnp.eye(5) > 0, 0, 1 - jnp.abs(2 * p - 1))
    np.testing.assert_allclose(pair_scores(result, method="uncertainty"), expected, rtol=1e-9)


def test_top_by_hand(draws):
    strength = np.asarray(draws.model.strength)
    among = strength >= np.sort(strength, axis=1)[:, [-2]]
    only = np.einsum("si,sj->ij", among.astype(float), 1.0 - among) / 100
    scores = pair_scores(draws, method="top_k", top=2)
    np.testing.assert_allclose(scores, np.minimum(only, only.T), rtol=1e-12)


def test_a_batch_does_not_say_the_same_thing_twice(level):
    # After 0 against 1 the most is to be learned from the other two.
    assert next_pairs(level, 2).tolist() == [[0, 1], [2, 3]]


@pytest.mark.parametrize("method", ["info_gain", "arena", "top_k"])
def test_every_pair_comes_once(result, method):
    pairs = np.asarray(next_pairs(result, 10, method=method, key=KEY))
    assert (pairs[:, 0] < pairs[:, 1]).all()
    assert len({tuple(pair) for pair in pairs.tolist()}) == 10
    scores = np.asarray(pair_scores(result, method=method, key=KEY))
    assert scores[tuple(pairs[0])] == scores.max()


def test_ties_carry_information_too(tied):
    assert np.isfinite(pair_scores(tied)).all()
    # Davidson's information about the difference is the variance of the outcome.
    strength, log_tie = np.asarray(tied.model.strength), float(tied.model.log_tie)
    half = (strength[0] - strength[1]) / 2
    p = np.exp([-half, log_tie, half])
    p /= p.sum()
    variance = p @ [0.0, 0.25, 1.0] - (p @ [0.0, 0.5, 1.0]) ** 2
    expected = np.log1p(variance * float(contrasts(tied).std_error[0, 1]) ** 2)
    np.testing.assert_allclose(pair_scores(tied, method="d_optimal")[0, 1], expected, rtol=1e-9)


def test_rankings_compare_two_as_bradley_and_terry_do(ranked):
    pairs = contrasts(ranked)
    p = 1 / (1 + np.exp(-np.asarray(pairs.difference)))
    expected = np.log1p(p * p.T * np.asarray(pairs.std_error) ** 2)
    np.testing.assert_allclose(pair_scores(ranked, method="d_optimal"), expected, rtol=1e-9)


def test_a_posterior_says_what_to_compare(draws):
    moving = jax.tree.map(lambda leaf: leaf.reshape(2, 50, 5), draws.model)
    still = jax.tree.map(lambda _: None, moving)
    posterior = Posterior(moving, still, {}, {"log_density": jnp.zeros((2, 50))})
    np.testing.assert_allclose(
        pair_scores(posterior, method="variance"), pair_scores(draws, method="variance"), rtol=1e-9
    )
    np.testing.assert_array_equal(next_pairs(posterior, 10), next_pairs(draws, 10))
    with pytest.raises(ValueError, match="draws do not remember the data"):
        pair_scores(posterior, method="arena")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "random"}, "method must be one of variance"),
        ({"method": "top_k"}, "pass key"),
        ({"method": "top_k", "top": 5, "key": KEY}, "top must be between 1 and 4"),
        ({"n_pairs": 11}, "between 1 and the number of pairs, 10"),
        ({"n_pairs": 0}, "between 1 and the number of pairs, 10"),
    ],
)
def test_what_makes_no_sense_is_refused(result, options, message):
    with pytest.raises(ValueError, match=message):
        next_pairs(result, **({"n_pairs": 1} | options))
