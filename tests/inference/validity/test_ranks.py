"""Ranks and whether they are uniform: exact where it can be counted."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from scorax.inference.validity import Ranks
from scorax.inference.validity._ecdf import UniformPaths, counts_below, points_of
from scorax.inference.validity._ranks import rank_of


def uniform(n=1000, num_draws=63, quantities=1, seed=0):
    rank = np.random.default_rng(seed).integers(0, num_draws + 1, (n, quantities))
    return Ranks(rank, num_draws, tuple("abcdef"[:quantities]))


def test_chi_square_is_that_of_scipy():
    ranks = uniform(quantities=2)
    result = ranks.test(bins=16)
    counts = np.stack([np.histogram(rank, 16, (0, 64))[0] for rank in ranks.rank.T])
    reference = scipy.stats.chisquare(counts, axis=1)
    np.testing.assert_allclose(result.details["statistics"], reference.statistic)
    assert result.p_value == pytest.approx(min(1, 2 * reference.pvalue.min()))


@pytest.mark.parametrize(
    ("n", "num_draws", "bins"),
    [(1000, 63, 16), (1000, 99, 20), (1000, 7, 8), (40, 63, 8), (1000, 100, 20)],
)
def test_bins_divide_the_ranks_where_they_can(n, num_draws, bins):
    expected = uniform(n, num_draws).test().details["expected"]
    assert len(expected) == bins
    assert expected.sum() == pytest.approx(n)
    # 101 ranks are prime: twenty bins of five, but one of six.
    assert (np.ptp(expected) == 0) == ((num_draws + 1) % bins == 0)


def test_chi_square_of_uniform_ranks_is_uniform_and_of_others_is_not():
    p_values = [uniform(200, seed=seed).test().p_value for seed in range(200)]
    assert scipy.stats.kstest(p_values, "uniform").pvalue > 0.01
    skewed = Ranks(uniform().rank ** 2 // 63, 63, ("a",))
    assert skewed.test().p_value < 1e-10


def test_simultaneous_p_value_counts_all_samples():
    """Four ranks of 0 to 3, all 256 samples: the p-value is the share of samples that are as far out."""
    points = points_of(3)
    paths = UniformPaths(4, points / 4)
    samples = np.array(list(itertools.product(range(4), repeat=4)))
    counts = np.stack([counts_below(sample, points) for sample in samples])
    farthest = paths.two_sided[np.arange(3), counts].min(1)
    expected = (farthest[None, :] <= farthest[:, None] * (1 + 1e-9)).mean(1)
    np.testing.assert_allclose([paths.p_value(count) for count in counts], expected, atol=1e-12)
    result = Ranks(np.repeat(samples[:1], 4, 0).T.repeat(3, 0), 3, tuple("abcd")).ecdf_test()
    assert result.p_value < 0.05  # twelve ranks that are all 0


def test_band_holds_all_counts_at_once_as_often_as_it_says():
    ranks = uniform(200)
    band = ranks.band(0.9)
    assert ((band.lower < band.at) & (band.at < band.upper)).all()
    np.testing.assert_allclose(band.ecdf[0], [(ranks.rank[:, 0] < 64 * at).mean() for at in band.at])
    others = uniform(200, quantities=6, seed=1).rank, *(uniform(200, quantities=6, seed=s).rank for s in range(2, 80))
    ecdf = np.stack([counts_below(rank, points_of(63)) / 200 for ranks in others for rank in ranks.T])
    inside = ((ecdf >= band.lower - 1e-12) & (ecdf <= band.upper + 1e-12)).all(1).mean()
    # 474 samples know a share of 0.9 to 0.014.
    assert abs(inside - 0.9) < 0.045


def test_simultaneous_test_is_sharper_than_bins_against_bias():
    found = []
    for seed in range(20):
        generator = np.random.default_rng(seed)
        draws, truth = generator.normal(size=(200, 63)), generator.normal(0.3, size=(200, 1))
        ranks = Ranks((draws < truth).sum(1)[:, None], 63, ("a",))
        found.append((ranks.ecdf_test().p_value < 0.01, ranks.test().p_value < 0.01))
    by_ecdf, by_bins = np.sum(found, axis=0)
    assert by_ecdf >= by_bins + 5


@jax.jit
def many_ranks(truth, draws):
    """By key and quantity."""
    keys = jax.random.split(jax.random.key(0), 4000)
    return jax.vmap(lambda key: rank_of(truth, draws, key))(keys)


def test_ties_are_broken_evenly_and_rounding_ties():
    draws = jnp.array([[1.0, 1.0], [2.0, 2.0 + 2e-7], [2.0, 2.0 - 2e-7], [2.0, 2.0], [3.0, 2.0 + 2e-5]])
    rank = many_ranks(jnp.array([2.0, 2.0]), draws)
    # One below, three ties: 1, 2, 3 or 4.
    for column in np.asarray(rank).T:
        assert set(np.unique(column)) == {1, 2, 3, 4}
        assert scipy.stats.chisquare(np.bincount(column)[1:]).pvalue > 0.01


def test_infinite_draws_rank_and_draws_that_are_no_numbers_do_not():
    inf, nan = jnp.inf, jnp.nan
    draws = jnp.array([[-inf, 0.0], [-inf, nan], [0.0, 0.0], [1.0, 0.0], [inf, 0.0]])
    np.testing.assert_array_equal(many_ranks(jnp.array([-1.0, 0.0]), draws)[0], [2, -1])
    np.testing.assert_array_equal(many_ranks(jnp.array([nan, 0.0]), draws)[0], [-1, -1])


@pytest.mark.parametrize(
    ("ranks", "reason"),
    [
        (Ranks(np.array([[3], [-1], [-1]]), 63, ("a",)), "2 of 3 simulations have draws that are not numbers"),
        (uniform(7), "7 ranks are too few"),
        (Ranks(uniform().rank, 63, ("a",), np.array([20.0])), "draws of 'a' depend on each other: 20 effective of 63"),
    ],
)
def test_no_verdict_comes_with_a_reason(ranks, reason):
    for result in (ranks.test(), ranks.ecdf_test()):
        assert np.isnan(result.p_value)
        assert reason in result.details["reason"]


def test_errors():
    with pytest.raises(ValueError, match="bins must be between 2 and num_draws \\+ 1 = 64, not 65"):
        uniform().test(bins=65)
    with pytest.raises(ValueError, match=r"level must be between 0 and 1, not 95\.0"):
        uniform().band(95.0)
