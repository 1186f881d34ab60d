"""Noise other than the logistic one, graded scales, flexible ties: identities, limits, tails."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special as sp

from scorax.choice import (
    adjacent_log_prob,
    bradley_terry_log_prob,
    cauchit_log_prob,
    davidson_log_prob,
    generalized_davidson_log_prob,
    glenn_david_log_prob,
    graded_log_prob,
    rao_kupper_log_prob,
    thurstone_log_prob,
)

DIFFERENCES = [-300.0, -30.0, -1.3, 0.0, 0.4, 25.0, 300.0]


def eps(dtype, factor):
    return factor * float(jnp.finfo(dtype).eps)


def every_outcome(kernel, difference, *shape, outcomes=(0.0, 0.5, 1.0)):
    levels = [jnp.full_like(difference, y) for y in outcomes]
    return jax.jit(lambda d: jnp.stack([kernel(d, y, *shape) for y in levels]))(difference)


@pytest.mark.parametrize("kernel", [thurstone_log_prob, cauchit_log_prob])
def test_win_and_loss_sum_to_one_and_swap_with_the_sides(kernel, dtype):
    d = jnp.asarray(DIFFERENCES, dtype)
    both = every_outcome(kernel, d, outcomes=(0.0, 1.0))
    np.testing.assert_allclose(jnp.exp(both).sum(0), 1.0, rtol=eps(dtype, 4))
    np.testing.assert_array_equal(every_outcome(kernel, -d, outcomes=(1.0, 0.0)), both)


def test_links_equal_their_distribution_functions(x64):
    d = jnp.asarray([-40.0, -3.0, 0.2, 5.0])
    win = jnp.ones_like(d)
    np.testing.assert_allclose(thurstone_log_prob(d, win), sp.log_ndtr(d), rtol=1e-13, atol=1e-16)
    np.testing.assert_allclose(jnp.exp(cauchit_log_prob(d, win))[1:], 0.5 + np.arctan(d[1:]) / np.pi, rtol=1e-14)
    # 1/(pi x) in the tail.
    np.testing.assert_allclose(jnp.exp(cauchit_log_prob(jnp.asarray(-1e9), jnp.asarray(1.0))), 1 / (np.pi * 1e9))


MARGIN = 0.7
TIES = {
    "glenn_david": lambda d, y: glenn_david_log_prob(d, y, jnp.asarray(MARGIN, d.dtype)),
    "generalized_davidson": lambda d, y: generalized_davidson_log_prob(
        d, y, *(jnp.asarray(x, d.dtype) for x in (-0.4, 0.3, 0.0))
    ),
}


@pytest.fixture(params=TIES)
def ties(request):
    return TIES[request.param]


def test_win_loss_and_tie_sum_to_one_and_swap_with_the_sides(ties, dtype):
    d = jnp.asarray(DIFFERENCES, dtype)
    each = every_outcome(ties, d)
    np.testing.assert_allclose(jnp.exp(each).sum(0), 1.0, rtol=eps(dtype, 32))
    np.testing.assert_allclose(every_outcome(ties, -d)[::-1], each, rtol=eps(dtype, 32), atol=eps(dtype, 4))


@pytest.mark.parametrize("outcome", [0.0, 0.5, 1.0])
def test_two_derivatives_are_finite_everywhere(ties, dtype, outcome):
    d = jnp.asarray([*DIFFERENCES, -1000.0, 1000.0], dtype)
    y = jnp.asarray(outcome, dtype)
    first = jax.jit(jax.vmap(jax.grad(lambda d: ties(d, y))))(d)
    second = jax.jit(jax.vmap(jax.grad(jax.grad(lambda d: ties(d, y)))))(d)
    assert jnp.isfinite(first).all()
    assert jnp.isfinite(second).all()
    # The log-probability of each outcome is concave, also exactly at a difference of zero.
    assert (second <= eps(dtype, 1000)).all()
    assert (second[3] < -0.1).all()


def test_a_tie_of_glenn_and_david_is_the_middle_of_the_normal(x64):
    d = jnp.asarray([-2.0, 0.0, 3.0])
    tie = every_outcome(TIES["glenn_david"], d)[1]
    np.testing.assert_allclose(jnp.exp(tie), sp.ndtr(d + MARGIN) - sp.ndtr(d - MARGIN), rtol=1e-13)


def test_generalised_davidson_holds_davidsons_model(dtype):
    d = jnp.asarray([-3.0, 0.0, 1.7], dtype)
    zero = jnp.zeros((), dtype)
    general = every_outcome(generalized_davidson_log_prob, d, jnp.asarray(0.2, dtype), zero, zero)
    davidson = every_outcome(davidson_log_prob, d, jnp.asarray(0.2 + np.log(2), dtype))
    np.testing.assert_allclose(general, davidson, rtol=eps(dtype, 16))


def test_ties_are_most_likely_at_their_mode(x64):
    tie_max, mode = -0.4, 0.9
    shape = [jnp.asarray(x) for x in (tie_max, 0.5, mode)]
    at = jnp.linspace(-6.0, 6.0, 1201)
    tie = every_outcome(generalized_davidson_log_prob, at, *shape)[1]
    np.testing.assert_allclose(at[tie.argmax()], mode, atol=0.006)
    peak = generalized_davidson_log_prob(jnp.asarray(mode), jnp.asarray(0.5), *shape)
    np.testing.assert_allclose(jnp.exp(peak), sp.expit(tie_max), rtol=1e-13)


CUT = [-2.0, -0.5, 0.5, 2.0]


def every_level(kernel, d, shape, m):
    return jnp.stack([kernel(d, jnp.full(d.shape, level), shape) for level in range(m)])


@pytest.mark.parametrize("kernel", [graded_log_prob, adjacent_log_prob])
def test_levels_sum_to_one_and_reverse_with_the_sides(kernel, dtype):
    d = jnp.asarray(DIFFERENCES, dtype)
    shape = jnp.asarray(CUT if kernel is graded_log_prob else [0.3, -0.2, 0.0, -0.2, 0.3], dtype)
    each = every_level(kernel, d, shape, 5)
    np.testing.assert_allclose(jnp.exp(each).sum(0), 1.0, rtol=eps(dtype, 64))
    np.testing.assert_allclose(every_level(kernel, -d, shape, 5)[::-1], each, rtol=eps(dtype, 16), atol=eps(dtype, 16))


def test_three_levels_are_rao_and_kupper_or_davidson(dtype):
    d = jnp.asarray([-3.0, 0.0, 1.7], dtype)
    eta = jnp.asarray(0.6, dtype)
    cumulative = every_level(graded_log_prob, d, jnp.stack([-eta, eta]), 3)
    np.testing.assert_allclose(cumulative, every_outcome(rao_kupper_log_prob, d, eta), rtol=eps(dtype, 16))
    log_tie = jnp.asarray(0.3, dtype)
    adjacent = every_level(adjacent_log_prob, d / 2, jnp.stack([jnp.zeros_like(eta), log_tie, jnp.zeros_like(eta)]), 3)
    np.testing.assert_allclose(adjacent, every_outcome(davidson_log_prob, d, log_tie), rtol=eps(dtype, 16))


def test_two_levels_are_bradley_terry(dtype):
    d = jnp.asarray(DIFFERENCES, dtype)
    plain = every_outcome(bradley_terry_log_prob, d, outcomes=(0.0, 1.0))
    np.testing.assert_array_equal(every_level(graded_log_prob, d, jnp.zeros(1, dtype), 2), plain)


def test_gradients_of_levels_stay_finite_far_out(dtype):
    d = jnp.asarray([-1e4, 0.0, 1e4], dtype)
    slope = jax.vmap(jax.grad(lambda d, level: graded_log_prob(d, level, jnp.asarray(CUT, dtype))), (0, None))
    for level in range(5):
        assert jnp.isfinite(slope(d, jnp.asarray(level))).all()
