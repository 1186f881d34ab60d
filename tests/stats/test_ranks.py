import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.stats import rank_summary

S, K = 200, 6


def draws(dtype, decimals=None):
    x = jax.random.normal(jax.random.key(0), (S, K), dtype) + 0.5 * jnp.arange(K, dtype=dtype)[None, :]
    return x if decimals is None else x.round(decimals)


def ranks(x, ties):
    """By definition, with loops."""
    above = (x[:, None, :] > x[:, :, None]).sum(2)
    equal = (x[:, None, :] == x[:, :, None]).sum(2)
    return 1 + above if ties == "min" else above + (equal + 1) / 2


@pytest.mark.parametrize("decimals", [None, 0])
@pytest.mark.parametrize("ties", ["min", "average"])
def test_by_definition(dtype, ties, decimals):
    x = draws(dtype, decimals)
    summary = rank_summary(x, ties=ties, level=0.9)
    x = np.asarray(x, np.float64)
    rank = ranks(x, ties)
    tolerance = {"rtol": 0, "atol": 2 * S * float(jnp.finfo(dtype).eps)}
    np.testing.assert_allclose(summary.expected_rank, rank.mean(0), **tolerance)
    np.testing.assert_array_equal(summary.median_rank, np.quantile(rank, 0.5, axis=0, method="lower"))
    np.testing.assert_array_equal(summary.lower, np.quantile(rank, 0.05, axis=0, method="lower"))
    np.testing.assert_array_equal(summary.upper, np.quantile(rank, 0.95, axis=0, method="higher"))
    wins = (x[:, :, None] > x[:, None, :]).mean(0) + (x[:, :, None] == x[:, None, :]).mean(0) / 2
    np.testing.assert_allclose(summary.superiority, wins, **tolerance)
    np.testing.assert_allclose(summary.expected_loss, (x.max(1, keepdims=True) - x).mean(0), **tolerance)
    if ties == "min":
        np.testing.assert_allclose(summary.rank_prob, (rank[:, :, None] == np.arange(1, K + 1)).mean(0), **tolerance)


@pytest.mark.parametrize("decimals", [None, 0])
def test_the_three_forms_of_sucra_agree(dtype, decimals):
    summary = rank_summary(draws(dtype, decimals), ties="average")
    tolerance = 20 * float(jnp.finfo(dtype).eps)
    by_mean = (K - summary.expected_rank) / (K - 1)
    chex.assert_trees_all_close(summary.sucra, by_mean, atol=tolerance)
    # Spread mass has the same mean rank, so the cumulative form holds with ties too.
    cumulative = jnp.cumsum(summary.rank_prob, axis=1)[:, : K - 1].mean(1)
    chex.assert_trees_all_close(summary.sucra, cumulative, atol=tolerance)


def test_rank_probabilities_are_doubly_stochastic(dtype):
    for x in (draws(dtype), draws(dtype, 0)):
        prob = rank_summary(x, ties="average").rank_prob
        chex.assert_trees_all_close(prob.sum(0), jnp.ones(K, dtype), atol=1e-5)
        chex.assert_trees_all_close(prob.sum(1), jnp.ones(K, dtype), atol=1e-5)


def test_items_that_take_no_part_change_nothing(dtype):
    x = draws(dtype)
    stranger = jnp.full((S, 2), jnp.nan, dtype).at[:, 1].set(1e6)
    part = jnp.arange(K + 2) < K
    summary = rank_summary(jnp.concatenate([x, stranger], axis=1), where=part)
    alone = rank_summary(x)
    for name in ("expected_rank", "median_rank", "lower", "upper", "p_best", "sucra", "expected_loss"):
        chex.assert_trees_all_close(getattr(summary, name)[:K], getattr(alone, name), rtol=1e-6)
        assert jnp.isnan(getattr(summary, name)[K:]).all()
    chex.assert_trees_all_equal(summary.rank_prob[:K, :K], alone.rank_prob)
    chex.assert_trees_all_equal(summary.superiority[:K, :K], alone.superiority)
    assert jnp.isnan(summary.superiority[K:]).all()
    assert jnp.isnan(summary.superiority[:, K:]).all()


def test_one_draw_is_a_plain_ranking(dtype):
    summary = rank_summary(jnp.asarray([[0.3, -1.0, 2.0]], dtype))
    chex.assert_trees_all_equal(summary.expected_rank, jnp.asarray([2.0, 3.0, 1.0], dtype))
    chex.assert_trees_all_equal(summary.lower, summary.upper)
    chex.assert_trees_all_equal(summary.sucra, jnp.asarray([0.5, 0.0, 1.0], dtype))


def test_a_nan_makes_everything_nan(dtype):
    summary = rank_summary(draws(dtype).at[3, 1].set(jnp.nan))
    assert all(jnp.isnan(leaf).all() for leaf in jax.tree.leaves(summary))


@pytest.mark.parametrize(("options", "message"), [({"level": 1.0}, "level must be"), ({"ties": "max"}, "ties must be")])
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        rank_summary(jnp.ones((2, 2)), **options)
