import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.choice._matchups import confidence_matchups, relative_confidence
from scorax.data import Comparisons


def matchups(n, m, seed=0, **options):
    return np.asarray(confidence_matchups(n, m, key=jax.random.key(seed), **options))


def unordered(pairs):
    return {tuple(sorted(pair)) for pair in pairs.tolist()}


@pytest.mark.parametrize(("n", "m"), [(2, 1), (9, 3), (9, 8), (40, 15)])
def test_each_question_draws_distinct_others(n, m):
    pairs = matchups(n, m)
    assert pairs.shape == (n * m, 2)
    assert pairs.dtype == np.int32
    np.testing.assert_array_equal(pairs[:, 0], np.repeat(np.arange(n), m))
    assert (pairs[:, 0] != pairs[:, 1]).all()
    assert all(len(set(row)) == m for row in pairs[:, 1].reshape(n, m).tolist())


def test_all_opponents_are_as_likely():
    # 400 designs of 6 questions with 2 opponents: each of 30 ordered pairs is drawn by a coin of 2/5.
    met = np.zeros((6, 6))
    for seed in range(400):
        np.add.at(met, tuple(matchups(6, 2, seed).T), 1)
    share = met[~np.eye(6, dtype=bool)] / 400
    np.testing.assert_allclose(share, 0.4, atol=4 * np.sqrt(0.24 / 400))


@pytest.mark.parametrize(("n", "m"), [(2, 1), (4, 3), (5, 4), (8, 2), (9, 6), (10, 3), (31, 8), (200, 15)])
def test_a_regular_design_is_regular_and_linked(n, m):
    pairs = matchups(n, m, design="regular")
    assert pairs.shape == (n * m // 2, 2)
    assert len(unordered(pairs)) == n * m // 2
    np.testing.assert_array_equal(np.bincount(pairs.reshape(-1), minlength=n), m)
    adjacency = np.zeros((n, n))
    adjacency[tuple(pairs.T)] = adjacency[tuple(pairs[:, ::-1].T)] = 1
    laplacian = np.diag(adjacency.sum(1)) - adjacency
    assert np.linalg.eigvalsh(laplacian)[1] > 1e-9


def test_a_regular_design_forgets_the_circle_it_began_as():
    # A random cubic graph has resistances like a tree's, a circle with neighbours only has long ways.
    n = 100
    pairs = matchups(n, 4, design="regular")
    adjacency = np.zeros((n, n))
    adjacency[tuple(pairs.T)] = adjacency[tuple(pairs[:, ::-1].T)] = 1
    mean_resistance = 2 * np.mean(1 / np.linalg.eigvalsh(np.diag(adjacency.sum(1)) - adjacency)[1:])
    # 0.72 for random graphs over 50 seeds, with a spread of 0.01; 3.4 for the circle.
    assert mean_resistance < 0.8
    met = np.zeros((6, 6))
    for seed in range(400):
        np.add.at(met, tuple(np.sort(matchups(6, 3, seed, design="regular"), axis=1).T), 1)
    share = met[np.triu_indices(6, 1)] / 400
    np.testing.assert_allclose(share, 0.6, atol=4 * np.sqrt(0.24 / 400))


@pytest.mark.parametrize("design", ["random", "regular"])
def test_the_key_alone_decides(design):
    first, again, other = (matchups(20, 4, seed, design=design) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize(
    ("n", "m", "design", "message"),
    [
        (5, 5, "random", "each of 5 questions can have from 1 to 4 opponents, not 5"),
        (5, 0, "random", "not 0"),
        (5, 3, "regular", "5 questions cannot have 3 opponents each: one of the two numbers must be even"),
        (6, 1, "regular", "take m of 2 or more"),
        (6, 2, "circle", "design must be 'random' or 'regular', not 'circle'"),
    ],
)
def test_impossible_designs_are_refused(n, m, design, message):
    with pytest.raises(ValueError, match=message):
        matchups(n, m, design=design)


def compare(pairs, latent):
    outcome = np.where(latent[pairs[:, 0]] > latent[pairs[:, 1]], 1.0, 0.0)
    return Comparisons.from_arrays(pairs[:, 0], pairs[:, 1], outcome)


def test_all_noiseless_judgements_give_the_exact_order():
    latent = np.random.default_rng(0).normal(size=8)
    confidence = relative_confidence(compare(matchups(8, 7), latent))
    np.testing.assert_array_equal(np.argsort(confidence), np.argsort(latent))


@pytest.mark.parametrize(("method", "newcomer"), [("elo", 0.0), ("trueskill", 25.0)])
def test_rating_systems_agree_with_the_fit_about_the_order(method, newcomer):
    latent = np.linspace(-2, 2, 8)
    data = compare(matchups(8, 4), latent).aggregate()
    found = relative_confidence(data, method=method, key=jax.random.key(0), n_items=9)
    np.testing.assert_allclose(found[8], newcomer, atol=1e-5)
    assert np.corrcoef(found[:8], relative_confidence(data))[0, 1] > 0.95


def test_the_mode_of_the_penalised_likelihood(dtype):
    latent = np.random.default_rng(1).normal(size=8)
    data = compare(matchups(8, 3), latent)
    for precision in (0.3, 2):
        found = relative_confidence(data, prior_precision=precision)
        assert found.dtype == dtype

        def penalised(strength, precision=precision):
            difference = strength[data.a] - strength[data.b]
            won = (data.outcome * difference).sum() - jax.nn.softplus(difference).sum()
            return won - precision / 2 * (strength**2).sum()

        slope = jax.jit(jax.grad(penalised))(found)
        np.testing.assert_allclose(slope, 0, atol=100 * float(jnp.finfo(dtype).eps))


def test_questions_without_comparisons_are_average():
    data = Comparisons.from_arrays([0, 1], [1, 0], [1.0, 1.0])
    np.testing.assert_allclose(relative_confidence(data, n_items=8), 0, atol=1e-6)


def test_another_precision_compiles_nothing():
    data = Comparisons.from_arrays([0, 1], [1, 2], [1.0, 0.5])
    relative_confidence(data, prior_precision=0.5, n_items=8)
    compiled = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, duration, **_: compiled.append(event) if "backend_compile" in event else None
    )
    relative_confidence(data, prior_precision=0.7, n_items=8)
    assert not compiled


def test_bad_options_are_refused():
    data = Comparisons.from_arrays([0, 1], [1, 2], [1.0, 0.5])
    with pytest.raises(ValueError, match=r"method must be one of .*'bradley_terry'.*, not 'votes'"):
        relative_confidence(data, method="votes")
    with pytest.raises(ValueError, match="prior_precision must be positive, not 0"):
        relative_confidence(data, prior_precision=0)
    for method in ("bradley_terry", "elo", "trueskill"):
        with pytest.raises(ValueError, match=r"2 items|2 or more"):
            relative_confidence(data, method=method, n_items=2, key=jax.random.key(0))
    with pytest.raises(ValueError, match=r"pass key=jax\.random\.key"):
        relative_confidence(data, method="elo")


def selective_auc(confidence, correct):
    """Mean accuracy over all coverages, in expectation over the order within ties."""
    order = np.argsort(-confidence, kind="stable")
    confidence, correct = confidence[order], correct[order].astype(float)
    _, block = np.unique(-confidence, return_inverse=True)
    share = np.bincount(block, correct) / np.bincount(block)
    return (np.cumsum(share[block]) / np.arange(1, len(correct) + 1)).mean()


def test_relative_confidence_beats_what_is_said_outright():
    n, seeds = 300, 5
    found = np.zeros((seeds, 4))
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        latent = rng.normal(size=n)
        correct = rng.random(n) < 1 / (1 + np.exp(-(1.5 * latent + 0.6)))
        said = np.round(1 / (1 + np.exp(-(2.2 + 0.6 * (latent + 0.8 * rng.normal(size=n))))), 1)
        pairs = matchups(n, 8, seed)
        # The noise is anew in each comparison.
        seen = latent[pairs] + 0.5 * rng.normal(size=pairs.shape)
        prefers = rng.random(len(pairs)) < 1 / (1 + np.exp(-2 * (seen[:, 0] - seen[:, 1])))
        surer = Comparisons.from_arrays(pairs[:, 0], pairs[:, 1], prefers.astype(float))
        relative = np.asarray(relative_confidence(surer, prior_precision=0.3))
        scores = said, relative, latent, correct.astype(float)
        found[seed] = [selective_auc(confidence, correct) for confidence in scores]
    # Means over five seeds, which vary by 0.02 with the seeds.
    np.testing.assert_allclose(found.mean(0), [0.732, 0.788, 0.805, 0.901], atol=0.02)
    gain = found[:, 1] - found[:, 0]
    np.testing.assert_allclose(gain.mean(), 0.056, atol=0.02)
