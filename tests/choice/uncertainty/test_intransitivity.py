import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.choice._uncertainty import circular_triads, kendall_zeta, transitivity, win_probability_draws
from scorax.data import PairCounts

KEY = jax.random.key(0)


def tournaments(k):
    pairs = list(itertools.combinations(range(k), 2))
    for ways in itertools.product([False, True], repeat=len(pairs)):
        wins = np.zeros((k, k))
        for (i, j), way in zip(pairs, ways, strict=True):
            wins[(i, j) if way else (j, i)] = 1
        yield wins


def cycles(wins):
    return sum(
        (wins[i, j] > wins[j, i] and wins[j, m] > wins[m, j] and wins[m, i] > wins[i, m])
        or (wins[j, i] > wins[i, j] and wins[m, j] > wins[j, m] and wins[i, m] > wins[m, i])
        for i, j, m in itertools.combinations(range(len(wins)), 3)
    )


@pytest.mark.parametrize("k", [3, 4, 5])
def test_every_tournament(k):
    every = np.stack(list(tournaments(k)))
    count = np.asarray(jax.jit(jax.vmap(circular_triads))(jnp.asarray(every)))
    zeta = np.asarray(jax.jit(jax.vmap(kendall_zeta))(jnp.asarray(every)))
    scores = every.sum(2)
    np.testing.assert_array_equal(count, k * (k - 1) * (k - 2) / 6 - (scores * (scores - 1) / 2).sum(1))
    np.testing.assert_array_equal(count[:64], [cycles(wins) for wins in every[:64]])
    assert zeta.max() == 1
    np.testing.assert_allclose(zeta.min(), 0, atol=1e-6)


def test_pairs_that_never_met_or_are_level_are_in_no_cycle():
    wins = np.random.default_rng(0).integers(0, 3, size=(8, 8)).astype(float)
    np.fill_diagonal(wins, 0)
    assert int(circular_triads(jnp.asarray(wins))) == cycles(wins)
    assert jnp.isnan(kendall_zeta(jnp.asarray(wins)))
    assert jnp.isnan(kendall_zeta(jnp.zeros((2, 2))))


def brute(p, part):
    """Premises, and violations of each grade."""
    k = len(p)
    total, broken = 0, np.zeros(3)
    for i, j, m in itertools.permutations(range(k), 3):
        if part[i, j] and part[j, m] and part[i, m] and p[i, j] >= 0.5 and p[j, m] >= 0.5:
            total += 1
            broken += p[i, m] < np.array([0.5, min(p[i, j], p[j, m]), max(p[i, j], p[j, m])])
    return total, broken


@pytest.mark.parametrize("partly", [False, True])
def test_violations_by_hand(partly):
    generator = np.random.default_rng(1)
    p = generator.random((5, 6, 6))
    upper = np.triu(p, 1)
    p = upper + np.tril(1 - upper.transpose(0, 2, 1), -1) + np.eye(6) / 2
    part = np.ones((6, 6), bool)
    if partly:
        part = np.triu(generator.random((6, 6)) < 0.7, 1)
        part = part | part.T
    found = transitivity(jnp.asarray(p), where=jnp.asarray(part) if partly else None)
    by_draw = [brute(draw, part) for draw in p]
    broken = np.array([violations for _, violations in by_draw])
    np.testing.assert_allclose([found.weak, found.moderate, found.strong], (broken > 0).mean(0), rtol=1e-12)
    share = broken.sum(0) / sum(total for total, _ in by_draw)
    np.testing.assert_allclose([found.weak_share, found.moderate_share, found.strong_share], share, rtol=1e-12)


def test_one_strength_an_item_is_strongly_transitive(dtype):
    strength = jnp.asarray(np.random.default_rng(2).normal(size=(5, 6)), dtype)
    found = transitivity(jax.nn.sigmoid(strength[:, :, None] - strength[:, None, :]))
    assert (found.weak, found.moderate, found.strong) == (0, 0, 0)


def test_unknown_probabilities_are_nan_and_masked_ones_are_not():
    p, part = np.full((5, 6, 6), 0.5), np.ones((6, 6), bool)
    p[:, 0, 1], part[0, 1], part[1, 0] = np.nan, False, False
    assert np.isnan(transitivity(jnp.asarray(p)).weak)
    assert transitivity(jnp.asarray(p), where=jnp.asarray(part)).weak == 0
    assert np.isnan(transitivity(jnp.asarray(p), where=jnp.asarray(0 * part > 0)).weak_share)


@pytest.mark.slow
def test_rock_paper_scissors_breaks_all_grades():
    wins = np.array([[0, 90, 10], [10, 0, 90], [90, 10, 0]])
    ties = np.array([[0, 2, 0], [2, 0, 0], [0, 0, 0]])
    table = PairCounts.from_arrays(wins, ties)
    draws = win_probability_draws(table, key=KEY, n_draws=40_000)
    found = transitivity(draws[:50])
    assert (found.weak, found.strong, found.weak_share) == (1, 1, 1)
    # Each pair by itself is a beta variate.
    p = np.asarray(draws[:, 0, 1], np.float64)
    a, b = 91.5, 11.5
    mean, variance = a / (a + b), a * b / ((a + b) ** 2 * (a + b + 1))
    # Six standard errors of the mean, and of the variance.
    np.testing.assert_allclose(p.mean(), mean, atol=6 * np.sqrt(variance / 40_000))
    np.testing.assert_allclose(p.var(), variance, rtol=6 * np.sqrt(2 / 40_000))
    np.testing.assert_allclose(draws[:, 0, 1] + draws[:, 1, 0], 1, rtol=1e-14)
    with pytest.raises(ValueError, match="prior_count must be above 0"):
        win_probability_draws(table, key=KEY, prior_count=0.0)
