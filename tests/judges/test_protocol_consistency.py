import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.data.datasets import load_ratings_vs_rankings
from scorax.judges import consistency_interval, protocol_consistency

consistency = jax.jit(protocol_consistency, static_argnames="tol")


def both_protocols():
    """By rating and by ranking, as outcomes of the same pairs."""
    (by_rating, _), (by_ranking, _) = (load_ratings_vs_rankings(protocol) for protocol in ("rating", "ranking"))
    return by_rating.outcome, jnp.round(2 * by_ranking.outcome - 1).astype(int), by_ranking.cluster


def random_pairs(dtype, seed=0, n=117):
    rng = np.random.default_rng(seed)
    a, b = (rng.integers(1, 8, n).astype(dtype) for _ in range(2))
    return a, b, rng.integers(-1, 2, n)


def test_share_of_the_sample_that_was_published():
    outcome, preference, _ = both_protocols()
    found = consistency(outcome, 1 - outcome, preference)
    assert float(found.n_pairs) == 117
    assert float(jnp.trace(found.table)) == 66
    assert float(found.consistency) == pytest.approx(0.5641025641, rel=1e-6)


def test_interval_holds_the_share_and_widens_with_clusters():
    outcome, preference, cluster = both_protocols()
    rng = jax.random.key(0)
    of = lambda c: consistency_interval(outcome, 1 - outcome, preference, c, key=rng, n_resamples=1000)  # noqa: E731
    interval = of(cluster)
    assert interval.lower < 66 / 117 < interval.upper
    # Pairs alone: a binomial standard error of .0458, seen within a tenth through 1000 draws.
    alone = of(jnp.arange(117))
    assert float(alone.upper - alone.lower) == pytest.approx(2 * 1.96 * 0.0458, rel=0.1)
    # Ten clusters of equal pairs each: as if there were a tenth of them.
    tenfold = jax.tree.map(lambda x: jnp.repeat(x, 10), (outcome, preference, jnp.arange(117)))
    again = consistency_interval(tenfold[0], 1 - tenfold[0], *tenfold[1:], key=rng, n_resamples=1000)
    chex.assert_trees_all_close(again, alone, atol=1e-6)


def test_table_is_what_counting_gives(dtype):
    a, b, preference = random_pairs(dtype)
    found = consistency(a, b, preference)
    table = np.zeros((3, 3))
    for row, column in zip(np.sign(a - b), preference, strict=True):
        table[1 - int(row), 1 - int(column)] += 1
    np.testing.assert_array_equal(found.table, table)
    np.testing.assert_allclose(np.asarray(found.row_rate).sum(1), np.ones(3), rtol=1e-6)
    chance = (table.sum(0) * table.sum(1)).sum() / 117**2
    share = np.trace(table) / 117
    assert float(found.kappa) == pytest.approx((share - chance) / (1 - chance), rel=1e-4)


def test_exchanging_the_answers_turns_the_table():
    a, b, preference = random_pairs("float32")
    found, turned = consistency(a, b, preference), consistency(b, a, -preference)
    np.testing.assert_array_equal(turned.table, np.asarray(found.table)[::-1, ::-1])
    chex.assert_trees_all_close((turned.consistency, turned.kappa), (found.consistency, found.kappa), rtol=1e-5)


def test_weights_are_repetition_and_masks_are_absence():
    a, b, preference = random_pairs("float32")
    times = np.random.default_rng(1).choice(3, 117, p=[0.4, 0.35, 0.25])
    assert times.sum() <= 117
    rest = (0, 117 - times.sum())
    repeated = [np.pad(np.repeat(x, times), rest) for x in (a, b, preference)]
    weighted = consistency(a, b, preference, weight=times.astype("float32"))
    chex.assert_trees_all_close(consistency(*repeated, where=np.arange(117) < times.sum()), weighted, rtol=1e-5)
    hidden = consistency(np.where(times > 0, a, np.nan).astype("float32"), b, preference, where=times > 0)
    chex.assert_trees_all_close(hidden, consistency(a, b, preference, weight=(times > 0).astype("float32")), rtol=1e-6)


def test_perfect_agreement_and_a_tolerance():
    a, b, _ = random_pairs("float32")
    found = consistency(a, b, np.sign(a - b).astype(int))
    assert (float(found.consistency), float(found.kappa)) == pytest.approx((1, 1))
    near = np.where(np.abs(a - b) < 2, 0, np.sign(a - b)).astype(int)
    assert consistency(a, b, near, tol=2.0).consistency == 1
    with pytest.raises(ValueError, match="tol must be at least 0"):
        protocol_consistency(jnp.asarray(a), jnp.asarray(b), jnp.asarray(near), tol=-1.0)


def test_nothing_to_compare_is_no_share():
    a, b, preference = random_pairs("float32")
    found = consistency(a, b, preference, where=np.zeros(117, bool))
    assert np.isnan(found.consistency)
    assert np.isnan(found.kappa)
    assert np.isnan(found.row_rate).all()
    # Both say "a" only: agreement is sure, and says nothing.
    one = consistency(a, a - 1, np.ones(117, int))
    assert one.consistency == 1
    assert np.isnan(one.kappa)
