import itertools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.choice import bradley_terry_log_prob, davidson_log_prob, plackett_luce_log_prob, rao_kupper_log_prob

DIFFERENCES = [-700.0, -30.0, -1.3, 0.0, 0.4, 25.0, 700.0]


def eps(dtype, factor):
    return factor * float(jnp.finfo(dtype).eps)


def categories(kernel, difference, *shape):
    outcomes = jnp.asarray([0.0, 0.5, 1.0], difference.dtype)
    return jnp.stack([kernel(difference, jnp.broadcast_to(y, difference.shape), *shape) for y in outcomes])


TIES = {"davidson": (davidson_log_prob, 0.3), "rao_kupper": (rao_kupper_log_prob, 0.7)}


@pytest.fixture(params=TIES)
def tie_kernel(request):
    return TIES[request.param]


def test_win_and_loss_sum_to_one(dtype):
    d = jnp.asarray(DIFFERENCES, dtype)
    both = jnp.stack([bradley_terry_log_prob(d, jnp.full_like(d, y)) for y in (0.0, 1.0)])
    np.testing.assert_allclose(jnp.exp(both).sum(0), 1.0, rtol=eps(dtype, 4))


def test_win_loss_and_tie_sum_to_one(tie_kernel, dtype):
    kernel, shape = tie_kernel
    total = jnp.exp(categories(kernel, jnp.asarray(DIFFERENCES, dtype), jnp.asarray(shape, dtype))).sum(0)
    np.testing.assert_allclose(total, 1.0, rtol=eps(dtype, 8))


def test_swapping_the_sides_swaps_the_outcome(tie_kernel, dtype):
    kernel, shape = tie_kernel
    d = jnp.asarray(DIFFERENCES, dtype)
    forwards = categories(kernel, d, jnp.asarray(shape, dtype))
    chex.assert_trees_all_close(categories(kernel, -d, jnp.asarray(shape, dtype))[::-1], forwards, rtol=eps(dtype, 8))


def test_half_wins_are_half_of_each(dtype):
    d = jnp.asarray(DIFFERENCES, dtype)
    win, tie, loss = (bradley_terry_log_prob(d, jnp.full_like(d, y)) for y in (1.0, 0.5, 0.0))
    np.testing.assert_allclose(tie, (win + loss) / 2, rtol=eps(dtype, 4))


def test_equal_items_tie_as_often_as_the_parameter_says(dtype):
    tie = jnp.asarray(0.5, dtype)
    level = jnp.zeros((), dtype)
    for log_delta in (-2.0, 0.0, 3.0):
        delta = np.exp(log_delta)
        value = davidson_log_prob(level, tie, jnp.asarray(log_delta, dtype))
        np.testing.assert_allclose(jnp.exp(value), delta / (2 + delta), rtol=eps(dtype, 16))
    for margin in (0.01, 0.5, 60.0):
        value = rao_kupper_log_prob(level, tie, jnp.asarray(margin, dtype))
        np.testing.assert_allclose(jnp.exp(value), np.tanh(margin / 2), rtol=eps(dtype, 16))


def test_ties_vanish_into_bradley_terry(dtype):
    d = jnp.asarray([-3.0, 0.2, 1.5], dtype)
    win = jnp.ones_like(d)
    plain = bradley_terry_log_prob(d, win)
    np.testing.assert_allclose(davidson_log_prob(d, win, jnp.asarray(-60.0, dtype)), plain, rtol=eps(dtype, 8))
    np.testing.assert_allclose(rao_kupper_log_prob(d, win, jnp.asarray(1e-9, dtype)), plain, rtol=1e-6)


def test_rao_kupper_does_not_overflow_where_the_textbook_form_does(dtype):
    # log(expm1(2 eta)) overflows single precision beyond eta = 44.
    value = rao_kupper_log_prob(jnp.asarray(1.0, dtype), jnp.asarray(0.5, dtype), jnp.asarray(50.0, dtype))
    np.testing.assert_allclose(value, 0.0, atol=1e-20)


@pytest.mark.parametrize("outcome", [0.0, 0.5, 1.0])
def test_gradients_stay_finite_and_right_in_the_tails(tie_kernel, dtype, outcome):
    kernel, shape = tie_kernel
    slope = jax.vmap(jax.grad(lambda d: kernel(d, jnp.asarray(outcome, dtype), jnp.asarray(shape, dtype))))
    gradient = slope(jnp.asarray(DIFFERENCES, dtype))
    assert jnp.isfinite(gradient).all()
    # Far from zero each category is an exponential tail: slopes 1 and 0 for a win, +-1/2 (Davidson) or +-1 for a tie.
    ends = {1.0: (1.0, 0.0), 0.0: (0.0, -1.0), 0.5: (0.5, -0.5) if kernel is davidson_log_prob else (1.0, -1.0)}
    np.testing.assert_allclose(gradient[jnp.array([0, -1])], ends[outcome], atol=eps(dtype, 4))


def test_a_soft_label_has_no_probability_under_a_model_of_ties(tie_kernel, dtype):
    kernel, shape = tie_kernel
    assert jnp.isnan(kernel(jnp.zeros((), dtype), jnp.asarray(0.3, dtype), jnp.asarray(shape, dtype)))


ranking_value_and_grad = jax.jit(jax.value_and_grad(plackett_luce_log_prob))


def test_all_orders_sum_to_one(dtype):
    strength = jnp.asarray([0.3, -1.2, 2.0, 0.1], dtype)
    orders = jnp.asarray(list(itertools.permutations(range(4))))
    total = jnp.exp(jax.jit(plackett_luce_log_prob)(strength[orders])).sum()
    np.testing.assert_allclose(total, 1.0, rtol=eps(dtype, 8))


def test_all_tops_of_a_longer_list_sum_to_one(dtype):
    strength = np.array([0.3, -1.2, 2.0, 0.1, -0.4])
    tops = list(itertools.permutations(range(5), 2))
    rest = [np.log(sum(np.exp(strength[i]) for i in range(5) if i not in top)) for top in tops]
    total = jnp.exp(
        plackett_luce_log_prob(jnp.asarray(strength[np.array(tops)], dtype), rest=jnp.asarray(rest, dtype))
    ).sum()
    np.testing.assert_allclose(total, 1.0, rtol=eps(dtype, 8))


def test_top_of_a_list_is_the_sum_of_all_its_endings(dtype):
    strength = np.array([0.3, -1.2, 2.0, 0.1])
    endings = np.array([[2, 0, 1, 3], [2, 0, 3, 1]])
    whole = jnp.exp(plackett_luce_log_prob(jnp.asarray(strength[endings], dtype))).sum()
    rest = np.log(np.exp(strength[[1, 3]]).sum())
    top = plackett_luce_log_prob(jnp.asarray(strength[[2, 0]], dtype), rest=jnp.asarray(rest, dtype))
    np.testing.assert_allclose(jnp.exp(top), whole, rtol=eps(dtype, 8))


def test_two_items_are_bradley_terry(dtype):
    strength = jnp.asarray([0.8, -0.5], dtype)
    plain = bradley_terry_log_prob(strength[0] - strength[1], jnp.ones((), dtype))
    np.testing.assert_allclose(plackett_luce_log_prob(strength), plain, rtol=eps(dtype, 8))


def test_padding_adds_nothing_to_value_or_gradient(dtype):
    short = jnp.asarray([1.0, -0.5, 0.2], dtype)
    padded = jnp.concatenate([short, jnp.asarray([1e30, jnp.nan], dtype)])
    value, gradient = ranking_value_and_grad(padded, where=jnp.arange(5) < 3)
    expected, expected_gradient = ranking_value_and_grad(short)
    chex.assert_trees_all_close(value, expected, rtol=eps(dtype, 8))
    expected_gradient = jnp.concatenate([expected_gradient, jnp.zeros(2, dtype)])
    chex.assert_trees_all_close(gradient, expected_gradient, rtol=eps(dtype, 16), atol=eps(dtype, 4))


def test_an_empty_ranking_is_certain(dtype):
    value, gradient = ranking_value_and_grad(jnp.asarray([jnp.nan, 3.0], dtype), where=jnp.zeros(2, bool))
    assert value == 0
    assert (gradient == 0).all()


def test_gradient_sums_to_zero_because_only_differences_matter(dtype):
    strength = jnp.asarray([50.0, -80.0, 3.0, 0.0, 79.0], dtype)
    _, gradient = ranking_value_and_grad(strength)
    np.testing.assert_allclose(gradient.sum(), 0.0, atol=eps(dtype, 32))
