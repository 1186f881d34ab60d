"""Weights, and the one property that makes a resampling scheme valid: expected offspring in proportion to them."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.numerics._resampling import (
    _by_positions,
    log_conditional_ess,
    log_ess,
    log_mean_weight,
    multinomial_indices,
    residual_indices,
    stratified_indices,
    systematic_indices,
)

SCHEMES = {
    "multinomial": multinomial_indices,
    "stratified": stratified_indices,
    "systematic": systematic_indices,
    "residual": residual_indices,
}
EACH = pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES.keys())
WEIGHTS = np.array([0.05, 0.0, 0.4, 0.25, 0.13, 0.17, 0.0])
"""`7 w` has fractional parts from 0.19 to 0.91; the second particle and the last have no weight."""
KEYS = 10_000
compiled = {scheme: jax.jit(scheme) for scheme in SCHEMES.values()}
over_keys = {
    scheme: jax.jit(
        lambda keys, w, scheme=scheme: jax.lax.map(lambda key: jnp.bincount(scheme(w, key=key), length=7), keys)
    )
    for scheme in SCHEMES.values()
}


def log_weights(dtype, weights=WEIGHTS, shift=0.0):
    with np.errstate(divide="ignore"):
        return jnp.asarray(np.log(weights) + shift, dtype)


def counts(scheme, dtype, **options):
    keys = jax.random.split(jax.random.key(0), KEYS)
    return np.asarray(over_keys[scheme](keys, log_weights(dtype, **options)))


@EACH
def test_expected_offspring_is_the_share_of_the_weight(scheme, dtype):
    drawn = counts(scheme, dtype)
    assert (drawn.sum(1) == 7).all()
    # A count varies by at most a binomial's n w (1 - w) (multinomial; the others less): 4.5 standard errors.
    error = np.sqrt(7 * WEIGHTS * (1 - WEIGHTS) / KEYS)
    assert (abs(drawn.mean(0) - 7 * WEIGHTS) <= 4.5 * error).all()
    assert (drawn[:, WEIGHTS == 0] == 0).all()


def test_systematic_counts_are_the_expectation_rounded_either_way(dtype):
    drawn = counts(systematic_indices, dtype)
    assert ((drawn == np.floor(7 * WEIGHTS)) | (drawn == np.ceil(7 * WEIGHTS))).all()


def test_stratified_counts_are_less_than_two_from_the_expectation(dtype):
    assert (abs(counts(stratified_indices, dtype) - 7 * WEIGHTS) < 2).all()


def test_residual_counts_are_never_below_the_expectation_rounded_down(dtype):
    assert (counts(residual_indices, dtype) >= np.floor(7 * WEIGHTS)).all()


def test_lower_variance_than_independent_draws():
    spread = {name: counts(scheme, jnp.float32).var(0).sum() for name, scheme in SCHEMES.items()}
    # Measured for these weights: stratified 1.20, systematic 0.80, residual 2.27, multinomial 5.10 (exact: 5.12).
    assert max(spread[name] for name in ("stratified", "systematic", "residual")) < 0.5 * spread["multinomial"]


@EACH
def test_only_ratios_of_weights_matter(scheme, dtype):
    key = jax.random.key(3)
    far = -80.0 if dtype == jnp.float32 else -700.0  # exp(far) has no digits left, or few
    one, other = (compiled[scheme](log_weights(dtype, shift=shift), key=key) for shift in (0.0, 2 * far))
    assert one.dtype == other.dtype == jnp.int32
    # Rounding of far + log w moves positions by a few 1e-5 in single precision: none of them is so near a border.
    chex.assert_trees_all_equal(one, other)


@pytest.mark.parametrize("scheme", [residual_indices, stratified_indices, systematic_indices])
def test_equal_weights_keep_every_particle(scheme):
    # Sevenths are no binary fractions: rounding must not lose a certain copy.
    got = compiled[scheme](jnp.zeros(7, jnp.float32), key=jax.random.key(0))
    chex.assert_trees_all_equal(got, jnp.arange(7, dtype=jnp.int32))


@pytest.mark.parametrize("scheme", [residual_indices, systematic_indices])
def test_whole_expectations_are_met_exactly(scheme):
    whole = np.array([3, 0, 1, 2, 1, 0, 0]) / 7
    drawn = counts(scheme, jnp.float32, weights=whole)
    # Seven equally spaced positions meet borders at whole sevenths: rounding may shift a copy across one, seldom.
    assert (drawn == 7 * whole).all(1).mean() > 0.999


@EACH
def test_where_no_particle_has_weight_all_stay(scheme):
    nothing = jnp.full(7, -jnp.inf, jnp.float32)
    chex.assert_trees_all_equal(compiled[scheme](nothing, key=jax.random.key(0)), jnp.arange(7, dtype=jnp.int32))


@EACH
def test_one_particle_is_its_own_ancestor(scheme):
    for weight in (0.0, -50.0, -jnp.inf):
        assert compiled[scheme](jnp.asarray([weight], jnp.float32), key=jax.random.key(0)) == 0


@EACH
def test_one_heavy_particle_takes_all(scheme):
    heavy = jnp.zeros(7, jnp.float32).at[4].set(1000.0)
    assert (compiled[scheme](heavy, key=jax.random.key(0)) == 4).all()


def test_a_position_at_the_very_end_goes_to_the_last_particle_with_weight():
    # The cumulative sum of these rounds to less than 1 in single precision, and the last particle has no weight.
    weights = jnp.log(jnp.asarray([0.1] * 10 + [0.0], jnp.float32))
    at = jnp.full(11, 1 - 2**-24, jnp.float32)
    assert (_by_positions(weights, at) == 9).all()


def test_effective_sample_sizes(dtype):
    rtol = 8 * float(jnp.finfo(dtype).eps)
    weights = jnp.asarray([1.0, 2.0, 3.0], dtype)
    np.testing.assert_allclose(jnp.exp(log_ess(jnp.log(weights) - 300)), 36 / 14, rtol=1e4 * rtol)
    np.testing.assert_allclose(jnp.exp(log_mean_weight(jnp.log(weights))), 2.0, rtol=rtol)
    # With constant increments nothing is lost, whatever the weights were.
    same = log_conditional_ess(jnp.log(weights), jnp.full(3, -7.0, dtype))
    np.testing.assert_allclose(jnp.exp(same), 3.0, rtol=20 * rtol)
    # From equal weights it is the ordinary one.
    from_equal = log_conditional_ess(jnp.zeros(3, dtype), jnp.log(weights))
    np.testing.assert_allclose(from_equal, log_ess(jnp.log(weights)), rtol=20 * rtol)


def test_effective_sample_size_of_nothing_is_nan(dtype):
    nothing = jnp.full(3, -jnp.inf, dtype)
    assert jnp.isnan(log_ess(nothing))
    assert jnp.isnan(log_conditional_ess(nothing, jnp.zeros(3, dtype)))
    assert log_mean_weight(nothing) == -jnp.inf
