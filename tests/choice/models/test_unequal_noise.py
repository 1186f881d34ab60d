"""Thurstone's cases III and IV against case V, drawn performances and each other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.choice import Thurstone, UnequalThurstone, leaderboard
from scorax.data import Comparisons
from scorax.inference import fit

STRENGTH = np.array([1.0, 0.2, -0.3, -0.9])
LOG_NOISE = np.array([0.5, -0.7, 0.3, -0.1])
A, B = np.triu_indices(4, 1)


def model(dtype, case="III", log_noise=LOG_NOISE):
    return UnequalThurstone(jnp.asarray(STRENGTH, dtype), jnp.asarray(log_noise, dtype), case)


def battles(outcome=1.0, **columns):
    return Comparisons.from_arrays(A, B, np.full(6, outcome), n_items=4, **columns)


@pytest.mark.parametrize("case", ["III", "IV"])
def test_equal_noises_are_case_five(case, dtype):
    expected = Thurstone(jnp.asarray(STRENGTH, dtype)).log_prob(battles())
    np.testing.assert_allclose(model(dtype, case, np.zeros(4)).log_prob(battles()), expected, rtol=1e-6)


def test_the_better_performance_wins(x64):
    # Performances of standard deviation sigma / sqrt(2), so that two average ones differ by a unit of noise.
    generator = np.random.default_rng(0)
    performance = STRENGTH + np.exp(LOG_NOISE) / np.sqrt(2) * generator.normal(size=(400_000, 4))
    share = (performance[:, A] > performance[:, B]).mean(0)
    # Six shares: one in ten thousand lies 4.2 standard errors off.
    np.testing.assert_array_less(
        np.abs(jnp.exp(model("float64").log_prob(battles())) - share), 4.2 * 0.5 / 400_000**0.5
    )


def test_cases_differ_in_the_second_order_of_the_noises(x64):
    gap = [
        float(jnp.abs(model("float64", "III", h * LOG_NOISE).log_prob(battles())
                      - model("float64", "IV", h * LOG_NOISE).log_prob(battles())).max())
        for h in (0.02, 0.01)
    ]  # fmt: skip
    np.testing.assert_allclose(gap[0] / gap[1], 4, rtol=0.02)


def test_rows_a_table_and_swapped_sides_are_the_same(x64):
    rows = battles(0.5, weight=np.arange(1.0, 7.0))
    swapped = rows.swap(np.arange(6) % 2 == 0)
    totals = [model("float64").total_log_prob(data) for data in (rows, rows.table(4), swapped)]
    np.testing.assert_allclose(totals, totals[0], rtol=1e-14)


@pytest.mark.slow
def test_a_noisy_item_is_found(x64):
    truth = UnequalThurstone(jnp.asarray([1.0, 0.4, 0.0, -0.5, -0.9]), jnp.asarray([0.0, 0.8, -0.3, -0.3, -0.2]))
    a, b = np.triu_indices(5, 1)
    design = Comparisons.from_arrays(np.repeat(a, 2000), np.repeat(b, 2000), np.zeros(20_000), n_items=5)
    data = truth.simulate(design, key=jax.random.key(0))
    result = fit(UnequalThurstone.init(5), data)
    off = np.asarray(result.model.log_noise - truth.log_noise) / np.asarray(result.std_error.log_noise)
    assert np.abs(off).max() < 4  # five of them: one run in three thousand
    assert int(result.model.log_noise.argmax()) == 1
    assert leaderboard(result, data, names=list("abcde")).rows[0].item == "a"


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match=r"3 items have no more pairs than parameters.*Use Thurstone"):
        UnequalThurstone.init(3)
    with pytest.raises(ValueError, match=r"case must be 'III' or 'IV', not 'V'.*case V"):
        UnequalThurstone.init(4, case="V")
    with pytest.raises(ValueError, match=r"an item id is 4 or more"):
        UnequalThurstone.init(4).check(Comparisons.from_arrays([0], [7], [1.0]))
