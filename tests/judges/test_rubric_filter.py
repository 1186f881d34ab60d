import math

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.judges import consistency_filter, filter_purity

keep = jax.jit(consistency_filter, static_argnames=("rule", "threshold"))


def test_unanimous_keeps_no_doubt():
    agree, votes = jnp.array([4, 3, 0, 0, 1]), jnp.array([4, 4, 4, 0, 1])
    assert keep(agree, votes).tolist() == [True, False, False, False, True]
    everything = keep(agree, votes, rule="quota", threshold=1.0)
    chex.assert_trees_all_equal(everything, keep(agree, votes))


def test_a_quota_is_met_exactly():
    """Shares such as 7 of 10 count as the 0.7 that was asked for, in single precision too."""
    votes = jnp.arange(1, 61)
    for share in (0.1, 0.3, 0.6, 0.7, 0.9):
        needed = jnp.asarray([-(-round(share * 10) * int(v) // 10) for v in votes])
        assert keep(needed, votes, rule="quota", threshold=share).all()
        assert not keep(needed - 1, votes, rule="quota", threshold=share).any()


def test_bayes_asks_for_a_posterior():
    agree = jnp.array([4, 3, 8, 7, 0])
    votes = jnp.array([4, 4, 10, 10, 0])
    # P(p > 1/2): .96875, .8125, .9673, .8867 and 1/2, sums of binomials of V + 1 over 2^(V + 1).
    found = [keep(agree, votes, rule="bayes", threshold=t).tolist() for t in (0.95, 0.96875 + 1e-4, 0.8)]
    assert found == [[True, False, True, False, False], [False] * 5, [True, True, True, True, False]]


def test_bayes_is_a_sum_of_binomials():
    """I_{1/2}(c + 1, V - c + 1) is the probability of more than c heads in V + 1 throws."""
    c, v = np.meshgrid(np.arange(13), np.arange(1, 13))
    c, v = (x[(c <= v)] for x in (c, v))
    throws = np.array([[_binomial(int(n) + 1, h) for h in range(14)] for n in v])
    posterior = (throws * (np.arange(14)[None, :] <= c[:, None])).sum(1)
    found = keep(jnp.asarray(c), jnp.asarray(v), rule="bayes")
    assert found.tolist() == (posterior >= 0.95).tolist()


def _binomial(n, h):
    return math.comb(n, h) / 2**n


def test_purity_of_the_published_example(dtype):
    found = jax.jit(lambda p, q, s: filter_purity(p, q, s, 4))(*jnp.asarray([0.9, 0.5, 0.5], dtype))
    chex.assert_trees_all_close(found.purity, jnp.asarray(0.6561 / (0.6561 + 0.0625), dtype), rtol=1e-5)
    chex.assert_trees_all_close(found.kept, jnp.asarray((0.6561 + 0.0625) / 2, dtype), rtol=1e-5)
    chex.assert_trees_all_close(found.p_none(2), (1 - found.kept) ** 2, rtol=1e-6)


@pytest.mark.parametrize("quota", [0.3, 0.7, 1.0])
def test_survival_is_a_sum_of_binomials(x64, quota):
    p = jnp.linspace(0.05, 0.95, 7)
    found = filter_purity(p, 0.5, 0.5, 10, quota)
    needed = round(10 * quota)
    expected = sum(math.comb(10, c) * p**c * (1 - p) ** (10 - c) for c in range(needed, 11))
    chex.assert_trees_all_close(found.kept_good, expected, rtol=1e-10)


def test_stricter_filters_are_purer_and_keep_less(x64):
    found = [filter_purity(0.8, 0.5, 0.3, 8, quota) for quota in (0.25, 0.5, 0.75, 1.0)]
    assert [float(x.purity) for x in found] == sorted(float(x.purity) for x in found)
    assert [float(x.kept) for x in found] == sorted((float(x.kept) for x in found), reverse=True)
    same = filter_purity(0.6, 0.6, 0.3, 8, 0.5)
    assert float(same.purity) == pytest.approx(0.3)


def test_purity_has_gradients(x64):
    slope = jax.jit(jax.grad(lambda p: filter_purity(p, 0.5, 0.5, 4).purity))
    at = jnp.asarray(0.9)
    # purity = p^4 / (p^4 + 1/16)
    assert float(slope(at)) == pytest.approx(4 * 0.9**3 / 16 / (0.6561 + 0.0625) ** 2, rel=1e-6)


def test_a_filter_that_keeps_nothing_has_no_purity():
    found = filter_purity(0.0, 0.0, 0.5, 4)
    assert found.kept == 0
    assert jnp.isnan(found.purity)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (lambda n: consistency_filter(n, n, rule="most"), "rule must be one of"),
        (lambda n: consistency_filter(n, n, rule="quota"), "rule 'quota' takes a threshold"),
        (lambda n: consistency_filter(n, n, threshold=0.5), "rule 'unanimous' takes no threshold"),
        (lambda n: consistency_filter(n, n, rule="bayes", threshold=1.5), "threshold must be in"),
        (lambda n: filter_purity(0.9, 0.5, 0.5, 0), "n_votes must be at least 1"),
        (lambda n: filter_purity(0.9, 0.5, 0.5, 4, 0.0), "quota must be in"),
    ],
)
def test_what_makes_no_sense_is_refused(bad, message):
    with pytest.raises(ValueError, match=message):
        bad(jnp.array([1]))
