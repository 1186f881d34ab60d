import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.choice._strengths import normal_draws, strengths
from scorax.choice._uncertainty import arena_rank_upper_bounds, rank_confidence_sets
from scorax.choice._uncertainty._rank_confidence import _bonferroni, _max_t, _sets

KEY = jax.random.key(0)


@jax.jit
def false_claims(values, covariance):
    """For estimates of five equal items: is any pair wrongly told apart, by max-|t| and by Bonferroni?"""
    draws = normal_draws(jnp.zeros(5), covariance, KEY, 2000)
    critical = [_max_t(draws, jnp.asarray(0.95), True), _bonferroni(values[0], 0.95, True)]
    return jnp.stack([jax.vmap(lambda v, c=c: _sets(v, covariance, c).better.any())(values) for c in critical])


@pytest.mark.slow
def test_all_sets_hold_at_once_as_often_as_they_say(result):
    _, covariance = strengths(result)
    estimates = normal_draws(jnp.zeros(5), covariance, jax.random.key(1), 4000)
    rate = np.asarray(false_claims(estimates, covariance)).mean(1)
    # 5 % expected where no two differ; 4000 samples know it to 0.35 %, 2000 draws their quantile to 0.5 %.
    assert 0.025 < rate[0] < 0.075
    # Bonferroni's intervals are wider.
    assert rate[1] < rate[0]


def test_one_item_alone_needs_less_than_all_together(result):
    simultaneous, marginal = (
        rank_confidence_sets(result, key=KEY, simultaneous=simultaneous) for simultaneous in (True, False)
    )
    assert (marginal.critical_value <= simultaneous.critical_value).all()
    assert (simultaneous.lower <= marginal.lower).all()
    assert (marginal.upper <= simultaneous.upper).all()
    wide = rank_confidence_sets(result, method="bonferroni")
    assert (simultaneous.critical_value < wide.critical_value).all()
    assert (wide.lower <= simultaneous.lower).all()
    assert (simultaneous.upper <= wide.upper).all()


def test_two_items_have_one_normal_difference():
    value, covariance = jnp.asarray([1.0, -1.0]), jnp.asarray([[0.2, -0.2], [-0.2, 0.2]])
    exact = _bonferroni(value, 0.95, True)
    np.testing.assert_allclose(exact, 1.959963984540054, rtol=1e-12)
    # 100 000 draws know a quantile of |t| to 0.7 %.
    drawn = _max_t(normal_draws(value, covariance, KEY, 100_000), jnp.asarray(0.95), True)
    np.testing.assert_allclose(drawn, exact, rtol=0.02)
    sets = _sets(value, covariance, exact)
    np.testing.assert_array_equal(sets.lower, [1, 2])
    np.testing.assert_array_equal(sets.upper, [1, 2])


def test_bounds_count_what_is_surely_better_and_worse(result):
    sets = rank_confidence_sets(result, key=KEY, level=0.5)
    assert sets.better.any()
    np.testing.assert_array_equal(sets.lower, 1 + np.asarray(sets.better).sum(0))
    np.testing.assert_array_equal(sets.upper, 5 - np.asarray(sets.better).sum(1))
    order = np.argsort(-np.asarray(result.model.strength))
    ranks = np.empty(5, int)
    ranks[order] = np.arange(1, 6)
    assert (np.asarray(sets.lower) <= ranks).all()
    assert (ranks <= np.asarray(sets.upper)).all()


def test_a_bootstrap_brings_its_own_draws(draws):
    sets = rank_confidence_sets(draws)
    strength = np.asarray(draws.model.strength)
    error = strength - strength.mean(0)
    difference = error[:, :, None] - error[:, None, :]
    deviation = difference.std(0, ddof=1) + np.eye(5)
    largest = np.sort(np.abs(difference / deviation).max((1, 2)))
    # The smallest draw with at least 95 % at or below it.
    np.testing.assert_allclose(sets.critical_value, largest[int(np.ceil(0.95 * 99))], rtol=1e-9)


def test_the_same_key_gives_the_same_sets(result):
    one, other = (rank_confidence_sets(result, key=KEY, n_draws=100) for _ in range(2))
    np.testing.assert_array_equal(one.critical_value, other.critical_value)


def test_draws_have_the_covariance_of_the_fit(result):
    value, covariance = strengths(result)
    draws = normal_draws(value, covariance, KEY, 10_000)
    np.testing.assert_allclose(draws.sum(1), 0, atol=1e-7)
    # Six standard errors of an entry.
    np.testing.assert_allclose(jnp.cov(draws.T), covariance, atol=6 * float(covariance.max()) * (2 / 10_000) ** 0.5)


def test_arena_bounds_by_hand(dtype):
    generator = np.random.default_rng(0)
    centre, half = generator.normal(size=30), generator.random(30)
    lower, upper = (jnp.asarray(x, dtype) for x in (centre - half, centre + half))
    expected = [1 + sum(float(lower[j]) > float(upper[i]) for j in range(30)) for i in range(30)]
    np.testing.assert_array_equal(jax.jit(arena_rank_upper_bounds)(lower, upper), expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"level": 1.0}, "level must be between 0 and 1"),
        ({"method": "holm"}, "'max_t' or 'bonferroni'"),
        ({}, r"pass key=jax.random.key"),
    ],
)
def test_what_makes_no_sense_is_refused(result, options, message):
    with pytest.raises(ValueError, match=message):
        rank_confidence_sets(result, **options)
