import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.choice._aggregation import borda, dowdall, mean_rank, plurality, positional, veto

POINTS = {
    "borda": lambda p, k: k - p,
    "dowdall": lambda p, k: 1 / p,
    "plurality": lambda p, k: float(p == 1),
    "veto": lambda p, k: -float(p == k),
}
RULES = {"borda": borda, "dowdall": dowdall, "plurality": plurality, "veto": veto, "mean_rank": mean_rank}
ROWS, K = 8, 5
CUSTOM = (5.0, 2.0, 1.5, 1.0, -2.0)


@jax.jit
def everything(ranks, weight, where):
    found = {name: rule(ranks, weight=weight, where=where) for name, rule in RULES.items()}
    return {**found, "custom": positional(ranks, jnp.asarray(CUSTOM, ranks.dtype), weight=weight, where=where)}


def score(name, ranks, weight=None, where=None):
    """Under one compilation: rows of padding rank nothing and weigh nothing."""
    n = len(ranks)
    padded = np.full((ROWS, K), np.nan, ranks.dtype)
    padded[:n] = ranks
    weights = np.zeros(ROWS, ranks.dtype)
    weights[:n] = 1 if weight is None else weight
    part = np.ones((ROWS, K), bool)
    part[:n] = True if where is None else where
    return np.asarray(everything(*map(jnp.asarray, (padded, weights, part)))[name])


def eps(dtype, factor):
    return factor * float(jnp.finfo(dtype).eps)


def profile(seed, dtype, n=ROWS):
    random = np.random.default_rng(seed)
    ranks = np.argsort(np.argsort(random.random((n, K)), axis=1), axis=1) + 1
    return ranks.astype(dtype), random.random(n).astype(dtype)


@pytest.mark.parametrize("name", [*POINTS, "custom"])
def test_points_of_places_add_up(dtype, name):
    ranks, weight = profile(0, dtype)
    worth = POINTS.get(name, lambda p, k: CUSTOM[p - 1])
    points = np.vectorize(lambda p: worth(p, K))(ranks.astype(int))
    expected = (weight[:, None] * points).sum(0)
    np.testing.assert_allclose(score(name, ranks, weight), expected, rtol=eps(dtype, 32), atol=eps(dtype, 8))


@pytest.mark.parametrize("name", [*POINTS, "custom"])
def test_ties_share_the_mean_over_ways_to_break_them(x64, name):
    broken = np.array([[1.0, *(2.0 + np.array(p)), 5.0] for p in itertools.permutations(range(3))])
    expected = score(name, broken) / len(broken)
    np.testing.assert_allclose(score(name, np.array([[1.0, 2.0, 2.0, 2.0, 5.0]])), expected, rtol=1e-13)


@pytest.mark.parametrize("name", RULES)
def test_only_the_order_within_a_row_matters(dtype, name):
    ranks, weight = profile(1, dtype)
    np.testing.assert_array_equal(score(name, ranks**3 - 7, weight), score(name, ranks, weight))


@pytest.mark.parametrize("name", RULES)
def test_weights_are_repetitions(dtype, name):
    ranks, _ = profile(2, dtype)
    weight = np.array([2, 0, 1, 1, 0, 3, 1, 0])
    repeated = score(name, np.repeat(ranks, weight, axis=0))
    np.testing.assert_allclose(score(name, ranks, weight), repeated, rtol=eps(dtype, 16), atol=eps(dtype, 4))


@pytest.mark.parametrize("name", RULES)
def test_a_mask_is_a_missing_entry(dtype, name):
    ranks, _ = profile(3, dtype)
    where = np.random.default_rng(4).random(ranks.shape) < 0.7
    missing = np.where(where, ranks, np.nan).astype(dtype)
    np.testing.assert_array_equal(score(name, ranks, where=where), score(name, missing))
    assert np.isfinite(score(name, missing)).all()


def test_borda_of_partial_rankings_is_the_mean_of_normalised_ranks(x64):
    nan = np.nan
    ranks = np.array([[1.0, 2.0, 3.0, 4.0, nan], [nan, 2.0, 1.0, nan, nan], [2.0, nan, 1.0, 3.0, 4.0]])
    weight = np.array([1.0, 2.0, 3.0])
    normalised = np.array([[1, 2 / 3, 1 / 3, 0, nan], [nan, 0, 1, nan, nan], [2 / 3, nan, 1, 1 / 3, 0]])
    held = ~np.isnan(normalised) * weight[:, None]
    mean = (held * np.nan_to_num(normalised)).sum(0) / held.sum(0)
    np.testing.assert_allclose(score("borda", ranks, weight), 6 * 4 * mean, rtol=1e-13)


@pytest.mark.parametrize("name", POINTS)
def test_an_item_without_rankings_has_no_score(dtype, name):
    nan = np.nan
    ranks = np.array([[1, 2, nan, 3, 4], [2, 1, nan, 3, 4], [nan, nan, 1, nan, nan]], dtype)
    # A ranking of one item says nothing: the third row neither counts nor gives a score.
    found = score(name, ranks)
    assert np.isnan(found[2])
    np.testing.assert_array_equal(found, score(name, ranks[:2]))
    assert np.isfinite(np.delete(found, 2)).all()


def test_borda_ranks_by_mean_rank(dtype):
    ranks, weight = profile(6, dtype)
    mean = score("mean_rank", ranks, weight)
    np.testing.assert_allclose(score("borda", ranks, weight), weight.sum() * (K - mean), rtol=eps(dtype, 32))


def test_a_bootstrap_is_a_vmap_over_weights(x64):
    ranks, _ = profile(7, np.float64)
    weights = np.random.default_rng(8).exponential(size=(3, ROWS))
    batch = jax.jit(jax.vmap(lambda w: borda(jnp.asarray(ranks), weight=w)))(jnp.asarray(weights))
    np.testing.assert_allclose(batch, [score("borda", ranks, w) for w in weights], rtol=1e-13)
