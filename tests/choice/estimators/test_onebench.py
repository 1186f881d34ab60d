"""Ranking systems by pooled samples of mixed scores, most of them missing (Ghosh et al. 2025)."""

import jax
import numpy as np
import pytest
from scipy.stats import kendalltau

from scorax.choice._estimators import ilsr, lsr, newman
from scorax.data import Responses

SYSTEMS, SAMPLES, SEEDS = 50, 2000, 3


def simulated(seed, missing):
    """Gumbel scores about 0.1 i, half of the samples cut at a level to 0 and 1, half moved and stretched at random."""
    rng = np.random.default_rng(seed)
    score = rng.gumbel(0.1 * np.arange(SYSTEMS), 1.0, (SAMPLES, SYSTEMS))
    cut = np.arange(SAMPLES) < SAMPLES // 2
    level = rng.uniform(score.min(1), score.max(1))[:, None]
    scale, shift = 3 * np.exp(rng.normal(size=(SAMPLES, 1))), 10 * rng.normal(size=(SAMPLES, 1))
    value = np.where(cut[:, None], score > level, scale * score + shift)
    value[rng.random(value.shape) < missing] = np.nan
    return Responses.from_arrays(value[~np.isnan(value).all(1)])


def tau(strength):
    return kendalltau(strength, np.arange(SYSTEMS)).statistic


@pytest.mark.parametrize(
    ("missing", "spectral", "one_pass", "mean"), [(0.9, 0.944, 0.941, 0.797), (0.95, 0.884, 0.878, 0.707)]
)
def test_pooled_orders_beat_averages(missing, spectral, one_pass, mean, x64):
    found = []
    for seed in range(SEEDS):
        responses = simulated(seed, missing)
        counts = responses.table("full")
        average = np.nanmean(np.where(responses.where, responses.value, np.nan), axis=0)
        found.append([tau(ilsr(counts, alpha=1e-6).strength), tau(lsr(counts, alpha=1e-6)), tau(average)])
    of_ilsr, of_lsr, of_mean = np.mean(found, axis=0)
    # Tolerances of three seeds: one varies by .02 and, the mean score, by .04.
    np.testing.assert_allclose([of_ilsr, of_lsr], [spectral, one_pass], atol=0.04)
    np.testing.assert_allclose(of_mean, mean, atol=0.08)


@pytest.fixture(scope="module")
def responses():
    with jax.enable_x64(True):
        rng = np.random.default_rng(7)
        value = rng.gumbel(0.3 * np.arange(8), 1.0, (60, 8)).round(1)
        value[rng.random(value.shape) < 0.2] = np.nan
        yield Responses.from_arrays(value)


def test_increasing_transforms_change_nothing(responses, x64):
    scale = np.arange(1, 61)[:, None]
    transformed = Responses.from_arrays(
        np.where(responses.where, np.sinh(np.asarray(responses.value) / 3) * scale - 5 * scale, np.nan)
    )
    expected = newman(responses.table("full")).strength
    np.testing.assert_allclose(newman(transformed.table("full")).strength, expected, atol=1e-12)
    turned = Responses.from_arrays(np.where(responses.where, -np.asarray(responses.value), np.nan), direction=-1)
    np.testing.assert_allclose(newman(turned.table("full")).strength, expected, atol=1e-12)


def test_permuted_systems(responses, x64):
    order = np.random.default_rng(0).permutation(8)
    turned = Responses.from_arrays(np.where(responses.where, responses.value, np.nan)[:, order])
    expected = newman(responses.table()).strength[order]
    np.testing.assert_allclose(newman(turned.table()).strength, expected, atol=1e-7)


def test_weight_zero_is_removal(responses, x64):
    kept = np.arange(60) % 3 != 0
    blank = responses.reweight(np.where(kept, 1.0, 0.0))
    expected = newman(responses.take(kept).table("full")).strength
    np.testing.assert_allclose(newman(blank.table("full")).strength, expected, atol=1e-12)


@pytest.mark.parametrize("ties", ["half", "full"])
def test_a_sample_without_differences_shrinks_but_keeps_the_order(ties, x64):
    value = np.random.default_rng(1).normal(size=(40, 6))
    before = newman(Responses.from_arrays(value).table(ties)).strength
    after = newman(Responses.from_arrays(np.concatenate([value, np.zeros((10, 6))])).table(ties)).strength
    np.testing.assert_array_equal(np.argsort(after), np.argsort(before))
    assert (np.abs(after) < np.abs(before)).all()


def test_a_capability_is_a_choice_of_weights(responses, x64):
    weight = np.random.default_rng(2).random(60)

    def lead(w):
        return lsr(responses.reweight(w).table("full"))[0]

    slope = jax.jit(jax.grad(lead))(jax.numpy.asarray(weight))
    step = np.zeros(60)
    step[4] = 1e-5
    np.testing.assert_allclose(slope[4], (lead(weight + step) - lead(weight - step)) / 2e-5, rtol=1e-6)
