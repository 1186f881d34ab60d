import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.choice._uncertainty import contrasts, quasi_variances
from scorax.choice._uncertainty._contrasts import _normal

objective_gradient = jax.jit(
    jax.grad(lambda log_q, v: (jnp.triu(jnp.log(jnp.exp(log_q)[:, None] + jnp.exp(log_q)[None, :]) - v, 1) ** 2).sum())
)


def laplacian(model, data):
    strength = np.asarray(model.strength)
    matrix = np.zeros((strength.size, strength.size))
    for a, b in zip(np.asarray(data.a), np.asarray(data.b), strict=True):
        p = 1 / (1 + np.exp(strength[b] - strength[a]))
        edge = np.eye(strength.size)[a] - np.eye(strength.size)[b]
        matrix += p * (1 - p) * np.outer(edge, edge)
    return matrix


def variances(covariance):
    own = np.diag(covariance)
    return own[:, None] + own[None, :] - 2 * covariance


def test_variance_is_the_effective_resistance_of_the_network_of_comparisons(result, battles):
    expected = variances(np.linalg.pinv(laplacian(result.model, battles)))
    np.testing.assert_allclose(contrasts(result).std_error ** 2, expected, rtol=1e-9, atol=1e-15)


def test_swapping_the_items_swaps_everything(result):
    pairs = contrasts(result)
    np.testing.assert_allclose(pairs.difference, -pairs.difference.T)
    np.testing.assert_allclose(pairs.superiority + pairs.superiority.T, 1.0, rtol=1e-12)
    np.testing.assert_array_equal(pairs.inferiority, pairs.superiority.T)
    np.testing.assert_array_equal(pairs.p_value, pairs.p_value.T)


def test_an_item_against_itself_is_undecided(result):
    pairs = contrasts(result)
    assert (jnp.diagonal(pairs.std_error) == 0).all()
    assert (jnp.diagonal(pairs.superiority) == 0.5).all()
    assert (jnp.diagonal(pairs.p_value) == 1).all()
    assert jnp.isnan(jnp.diagonal(pairs.z)).all()


def test_z_and_p_are_those_of_the_normal_distribution(result):
    pairs = contrasts(result)
    gap = result.map(lambda model: model.strength[0] - model.strength[3])
    np.testing.assert_allclose(pairs.z[0, 3], gap.value / gap.std_error, rtol=1e-10)
    two_sided = 2 * jax.scipy.special.ndtr(-jnp.abs(pairs.z[0, 3]))
    np.testing.assert_allclose(pairs.p_value[0, 3], two_sided, rtol=1e-10)
    lower, upper = pairs.interval(level=0.9)
    np.testing.assert_allclose((upper - lower)[0, 3] / 2, 1.6448536269514722 * gap.std_error, rtol=1e-10)


def test_small_p_values_keep_their_digits_in_single_precision():
    pairs = _normal(jnp.asarray([9.0, 0.0], jnp.float32), jnp.eye(2, dtype=jnp.float32) / 2)
    assert pairs.p_value.dtype == jnp.float32
    np.testing.assert_allclose(pairs.z[0, 1], 9, rtol=1e-6)
    np.testing.assert_allclose(pairs.p_value, [[1, 2.2571768e-19], [2.2571768e-19, 1]], rtol=1e-4)


def test_a_reference_is_a_column(result):
    pairs, against = contrasts(result), contrasts(result, reference=2)
    for name in ("difference", "std_error", "p_value"):
        np.testing.assert_array_equal(getattr(against, name), getattr(pairs, name)[:, 2])


def test_a_robust_fit_gives_robust_contrasts(result):
    robust = result.robust()
    gap = robust.map(lambda model: model.strength[0] - model.strength[3])
    np.testing.assert_allclose(contrasts(robust).std_error[0, 3], gap.std_error, rtol=1e-10)


def test_draws_give_their_own_moments_and_shares(draws):
    pairs = contrasts(draws)
    gap = np.asarray(draws.model.strength[:, 0] - draws.model.strength[:, 3])
    np.testing.assert_allclose(pairs.difference[0, 3], gap.mean(), rtol=1e-10)
    np.testing.assert_allclose(pairs.std_error[0, 3], gap.std(ddof=1), rtol=1e-10)
    np.testing.assert_allclose(pairs.superiority[0, 3], np.mean(gap > 0), rtol=1e-10)
    np.testing.assert_allclose(pairs.p_value[0, 3], 2 * min(np.mean(gap > 0), np.mean(gap < 0)), atol=1e-12)


def test_what_makes_no_sense_is_refused(result):
    with pytest.raises(ValueError, match="reference must be an item from 0 to 4, not 5"):
        contrasts(result, reference=5)
    with pytest.raises(ValueError, match="level must be between 0 and 1"):
        contrasts(result).interval(level=95.0)


def spread(k, seed):
    root = np.random.default_rng(seed).normal(size=(k, 2 * k))
    return jnp.asarray(root @ root.T / k)


def test_quasi_variances_minimise_squared_log_ratios():
    covariance = spread(5, seed=0)
    found = quasi_variances(covariance)
    assert found.converged
    slope = objective_gradient(jnp.log(found.variance), jnp.log(jnp.where(jnp.eye(5) > 0, 1, variances(covariance))))
    # Steps below the root of the rounding error; Gauss and Newton's method closes in linearly.
    np.testing.assert_allclose(slope, 0, atol=1e-6)


def test_three_items_are_exact(dtype):
    v = {(0, 1): 0.5, (0, 2): 0.7, (1, 2): 0.9}
    exact = [(0.5 + 0.7 - 0.9) / 2, (0.5 + 0.9 - 0.7) / 2, (0.7 + 0.9 - 0.5) / 2]
    # With item 0 as the reference.
    covariance = jnp.asarray([[0, 0, 0], [0, v[0, 1], 0.15], [0, 0.15, v[0, 2]]], dtype)
    found = quasi_variances(covariance)
    np.testing.assert_allclose(found.variance, exact, rtol=1e3 * float(jnp.finfo(dtype).eps))
    np.testing.assert_allclose(found.relative_error, 0, atol=1e3 * float(jnp.finfo(dtype).eps))


def test_equal_correlations_are_exact():
    independent = jnp.asarray([0.5, 1.0, 2.0, 4.0, 0.1])
    found = quasi_variances(jnp.diag(independent) + 0.3)
    np.testing.assert_allclose(found.variance, independent, rtol=1e-10)
    np.testing.assert_allclose(found.worst, 0, atol=1e-10)


def test_two_items_share_the_variance():
    found = quasi_variances(jnp.asarray([[0.3, -0.1], [-0.1, 0.5]]))
    np.testing.assert_allclose(found.variance, 0.5, rtol=1e-12)
    np.testing.assert_allclose(found.std_error**2, found.variance)


def test_gauge_does_not_matter_and_scale_carries_over():
    covariance = spread(5, seed=1)
    centre = jnp.eye(5) - 1 / 5
    against_first = jnp.eye(5).at[:, 0].add(-1)
    plain = quasi_variances(covariance).variance
    for change in (centre, against_first):
        np.testing.assert_allclose(quasi_variances(change @ covariance @ change.T).variance, plain, rtol=1e-7)
    np.testing.assert_allclose(quasi_variances(1e-6 * covariance).variance, 1e-6 * plain, rtol=1e-7)


def test_the_middle_of_a_chain_has_none():
    # Resistances 1, 1 and 2: only q = (1, 0, 1) gives all three.
    chain = jnp.diag(jnp.asarray([1.0, 0.0, 1.0]))
    found = quasi_variances(chain)
    np.testing.assert_allclose(found.variance, [1, 0, 1], atol=1e-6)
    assert (found.variance >= 0).all()
    # Where the three would ask for a negative one, the best with (q, 0, q) has log q = log(2) / 3.
    obtuse = quasi_variances(jnp.asarray([[1.0, 0.0, -1.0], [0.0, 0.0, 0.0], [-1.0, 0.0, 1.0]]))
    assert obtuse.converged
    np.testing.assert_allclose(obtuse.variance, [2 ** (1 / 3), 0, 2 ** (1 / 3)], atol=1e-6)


def test_quasi_variances_under_vmap():
    both = jnp.stack([spread(5, seed=2), spread(5, seed=3)])
    batched = jax.vmap(quasi_variances)(both).variance
    np.testing.assert_allclose(batched, jnp.stack([quasi_variances(c).variance for c in both]), rtol=1e-7)


def test_a_difference_without_variance_has_no_quasi_variances():
    found = quasi_variances(jnp.ones((3, 3)))
    assert jnp.isnan(found.variance).all()
    assert not found.converged
    with pytest.raises(ValueError, match="two items"):
        quasi_variances(jnp.ones((1, 1)))
