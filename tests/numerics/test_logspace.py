import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.numerics import log1mexp, log_sigmoid_interval, masked_logsumexp, masked_where, suffix_logsumexp, suffixes
from scorax.numerics._logspace import _suffixes_by_place, _suffixes_by_tree


def relative(dtype, ulps=8):
    return ulps * float(jnp.finfo(dtype).eps)


def test_masked_where_is_the_identity_without_a_mask(dtype):
    x = jnp.asarray([1.0, jnp.nan], dtype)
    assert masked_where(None, x, 0.0) is x


def test_suffix_logsumexp_equals_logsumexp_of_every_suffix(dtype):
    x = jnp.asarray([3.0, -80.0, 0.5, 79.0, -2.0], dtype)
    expected = jnp.stack([jax.nn.logsumexp(x[j:]) for j in range(5)])
    chex.assert_trees_all_close(jax.jit(suffix_logsumexp)(x), expected, rtol=relative(dtype))


def test_suffix_logsumexp_keeps_a_tail_that_underflows_beside_the_maximum(dtype):
    x = jnp.asarray([0.0, -2000.0, -2001.0], dtype)
    expected = -2000.0 + np.log1p(np.exp(-1.0))
    np.testing.assert_allclose(suffix_logsumexp(x)[1], expected, rtol=relative(dtype))


def test_rest_joins_every_suffix(dtype):
    x, rest = jnp.asarray([0.3, -1.0], dtype), jnp.asarray(0.7, dtype)
    longer = suffix_logsumexp(jnp.concatenate([x, rest[None]]))
    chex.assert_trees_all_close(suffix_logsumexp(x, rest=rest), longer[:2], rtol=relative(dtype))


def test_masked_entries_reach_neither_value_nor_gradient(dtype):
    x = jnp.asarray([0.3, jnp.nan, -1.0, jnp.inf], dtype)
    where = jnp.asarray([True, False, True, False])
    kept = jnp.asarray([0.3, -1.0], dtype)
    for reduce in (masked_logsumexp, lambda x, where=None: suffix_logsumexp(x, where=where)[..., 0]):
        value, gradient = jax.jit(jax.value_and_grad(reduce))(x, where=where)
        expected, expected_gradient = jax.jit(jax.value_and_grad(reduce))(kept)
        chex.assert_trees_all_close(value, expected, rtol=relative(dtype))
        np.testing.assert_allclose(gradient[np.array([0, 2])], expected_gradient, rtol=relative(dtype))
        assert (gradient[np.array([1, 3])] == 0).all()


def test_a_row_without_entries_is_finite_with_zero_gradient(dtype):
    nowhere = jnp.zeros(3, bool)
    value, gradient = jax.value_and_grad(masked_logsumexp)(jnp.ones(3, dtype), where=nowhere)
    assert jnp.isfinite(value)
    assert value < -1e30
    assert (gradient == 0).all()


@pytest.mark.parametrize("x", [1e-6, 1e-3, 0.6931, 0.6932, 5.0, 80.0])
def test_log1mexp_matches_double_precision(dtype, x):
    # The conditioning of log(1 - e^-x) in x near log 2 costs a few units in the last place.
    at = float(jnp.asarray(x, dtype))
    exact = np.log(-np.expm1(-at)) if at < 0.7 else np.log1p(-np.exp(-at))
    np.testing.assert_allclose(log1mexp(jnp.asarray(x, dtype)), exact, rtol=relative(dtype))
    np.testing.assert_allclose(jax.grad(log1mexp)(jnp.asarray(x, dtype)), 1 / np.expm1(at), rtol=relative(dtype))


def test_ordinal_levels_sum_to_one_far_from_the_centre(dtype):
    cuts = jnp.asarray([-jnp.inf, -1.5, 0.2, jnp.inf], dtype) + jnp.asarray(30.0, dtype)
    levels = jax.vmap(log_sigmoid_interval)(cuts[:-1], cuts[1:])
    np.testing.assert_allclose(jnp.exp(levels).sum(), 1.0, rtol=relative(dtype))
    # The top level's probability is sigmoid(-30.2): a difference of two numbers that round to 1.
    np.testing.assert_allclose(levels[-1], -np.logaddexp(0, 30.2), rtol=relative(dtype))


def test_both_ways_to_sum_suffixes_agree_in_value_and_derivative(dtype):
    # Platforms differ in which one they take; each must be right wherever it runs.
    x = jax.random.normal(jax.random.key(0), (6, 3), dtype) * 30
    rest = jax.random.normal(jax.random.key(1), (3,), dtype)
    by_place, by_tree = _suffixes_by_place(x, rest), _suffixes_by_tree(x, rest)
    chex.assert_trees_all_close(by_place[0], by_tree[0], rtol=relative(dtype))
    # The tree's shares are exponentials of differences of totals of up to 100, which they are known to.
    chex.assert_trees_all_close(by_place[1:], by_tree[1:], rtol=relative(dtype, 200))


def test_second_derivatives_of_suffixes_are_those_of_logsumexp(x64):
    x, rest = jnp.asarray([0.3, -1.0, 2.0, 0.1]), jnp.asarray(0.5)

    def weigh(total):
        return jnp.vdot(jnp.asarray([1.0, -2.0, 0.5, 3.0]), total)

    def plain(x):
        return weigh(jnp.stack([jax.nn.logsumexp(jnp.append(x[j:], rest)) for j in range(4)]))

    got = jax.jit(jax.hessian(lambda x: weigh(suffix_logsumexp(x, rest=rest))))(x)
    np.testing.assert_allclose(got, jax.jit(jax.hessian(plain))(x), atol=1e-13)


def test_shares_of_suffixes_are_softmax_probabilities_with_their_derivatives(x64):
    # Ties on purpose: a maximum has no derivative there, shares do.
    x, rest = jnp.asarray([0.3, 0.3, -1.0, 0.3]), jnp.asarray(0.3)

    def plain(x):
        each = [jax.nn.softmax(jnp.append(x[j:], rest)) for j in range(4)]
        return jnp.stack([share[0] for share in each]), jnp.stack([share[1:].sum() for share in each])

    chex.assert_trees_all_close(suffixes(x, rest=rest)[1:], plain(x), atol=1e-15)
    got = jax.jit(jax.jacrev(lambda x: suffixes(x, rest=rest)[1:]))(x)
    chex.assert_trees_all_close(got, jax.jit(jax.jacrev(plain))(x), atol=1e-14)
