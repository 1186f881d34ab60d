import chex
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.score_matching import kernel_density_score, kernel_stein_score, nu_method
from scorax.score_matching._nonparametric import _nu_coefficients


def close(dtype, digits=64):
    return {"rtol": digits * float(jnp.finfo(dtype).eps), "atol": digits * float(jnp.finfo(dtype).eps)}


def samples(n, d, dtype=jnp.float32, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=(n, d)), dtype)


def kernel(x, y):
    return jnp.exp(-jnp.sum((x - y) ** 2) / (2 * 1.3**2))


def test_the_kernel_density_score_is_the_gradient_of_its_density(dtype):
    data, queries = samples(7, 3, dtype), samples(4, 3, dtype, seed=1)
    weight = jnp.asarray([1.0, 2.0, 0.0, 1.0, 0.5, 3.0, 1.0], dtype)

    def log_density(x):
        square = ((x[None] - data) ** 2).sum(1)
        return jnp.log(weight @ jnp.exp(-0.5 * square / 0.8**2))

    score, expected = jax.jit(
        lambda x: (
            jax.vmap(kernel_density_score(data, 0.8, sample_weight=weight))(x),
            jax.vmap(jax.grad(log_density))(x),
        )
    )(queries)
    assert score.dtype == dtype
    np.testing.assert_allclose(score, expected, **close(dtype))


def test_far_from_the_data_the_nearest_sample_counts(heavy_dtype):
    dtype = heavy_dtype
    data = jnp.asarray([[0.0, 0.0], [10.0, 0.0]], dtype)
    far = jnp.asarray([1e4, 0.0], dtype)
    np.testing.assert_allclose(kernel_density_score(data, 0.1)(far), (data[1] - far) / 0.1**2, rtol=1e-5)


def test_the_stein_score_solves_its_equation_and_extends_to_new_samples(x64):
    data, ridge = samples(9, 2, jnp.float64), 0.05
    gram = jax.vmap(lambda x: jax.vmap(lambda y: kernel(x, y))(data))(data)
    slopes = jax.vmap(lambda x: jax.vmap(jax.grad(kernel, 1), (None, 0))(x, data).sum(0))(data)

    @jax.jit
    def estimate(data):
        score = kernel_stein_score(data, kernel, ridge=ridge)
        return score.at_data, jax.vmap(score)(data)

    at_data, called = estimate(data)
    np.testing.assert_allclose((gram + ridge * jnp.eye(9)) @ at_data, -slopes, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(called, at_data, rtol=1e-9, atol=1e-11)


def test_steins_identity_holds_for_the_kernel_without_a_ridge(x64):
    # sum_i k(x_i, x_j) s(x_i) + d k / d x_i = 0 at every sample: what the estimator asks for.
    data = samples(6, 2, jnp.float64)
    s = kernel_stein_score(data, kernel, ridge=1e-12).at_data
    total = jax.vmap(lambda y: jax.vmap(lambda x, s: kernel(x, y) * s + jax.grad(kernel)(x, y))(data, s).sum(0))(data)
    np.testing.assert_allclose(total, 0, atol=1e-7)


@pytest.mark.parametrize("nu", [1.0, 2.0])
def test_the_nu_method_iterates_its_formula(nu, x64):
    data, n_steps = samples(8, 2, jnp.float64), 6
    result = eqx.filter_jit(nu_method)(data, kernel, n_steps=n_steps, nu=nu)
    gram = np.asarray(jax.vmap(lambda x: jax.vmap(lambda y: kernel(x, y))(data))(data))
    b = np.asarray(jax.vmap(lambda x: jax.vmap(jax.grad(kernel, 1), (None, 0))(x, data).sum(0))(data))
    bound = min(np.trace(gram), gram.sum(1).max())
    old, f = np.zeros_like(b), np.zeros_like(b)
    for k in range(1, n_steps + 1):
        u = (
            (k - 1)
            * (2 * k - 3)
            * (2 * k + 2 * nu - 1)
            / ((k + 2 * nu - 1) * (2 * k + 4 * nu - 1) * (2 * k + 2 * nu - 3))
        )
        w = 4 * (2 * k + 2 * nu - 1) * (k + nu - 1) / ((k + 2 * nu - 1) * (2 * k + 4 * nu - 1))
        old, f = f, f + u * (f - old) - w * (b + gram @ f) / bound
    np.testing.assert_allclose(result.at_data, f, rtol=1e-11)
    np.testing.assert_allclose(jax.vmap(result)(data), f, rtol=1e-9, atol=1e-11)


def test_the_residual_polynomial_of_the_nu_method_is_small():
    # r_k, what is left of a component of eigenvalue l after k steps: at most 1, and l^nu |r_k| k^(2 nu) bounded.
    for nu in (0.5, 1.0, 2.0):
        u, w = _nu_coefficients(60, nu)
        eigenvalues = np.linspace(0, 1, 400)
        old, now = np.ones(400), np.ones(400)
        for k in range(60):
            old, now = now, now + u[k] * (now - old) - w[k] * eigenvalues * now
            assert np.abs(now).max() < 1 + 1e-9
            assert (eigenvalues**nu * np.abs(now)).max() * (k + 1) ** (2 * nu) < (0.8 if nu == 1 else 10)


def test_the_scores_of_a_normal_sample_point_home():
    # A loose check of the whole: with 200 samples the mean squared error is well below that of the zero score, which
    # is 2; over seeds it was 0.05 to 0.25.
    data = samples(200, 2, seed=7)
    stein, nu = jax.jit(
        lambda data: (
            kernel_stein_score(data, lambda x, y: jnp.exp(-jnp.sum((x - y) ** 2) / 8), ridge=0.5).at_data,
            nu_method(data, lambda x, y: jnp.exp(-jnp.sum((x - y) ** 2) / 8), n_steps=20).at_data,
        )
    )(data)
    for score in (stein, nu):
        assert ((score + data) ** 2).sum(1).mean() < 0.4


def test_the_scores_are_pytrees_under_jit_vmap_and_grad(heavy_dtype):
    dtype = heavy_dtype
    data = samples(5, 4, dtype).reshape(5, 2, 2)

    @jax.jit
    def loss(data):
        scores = (
            kernel_density_score(data, 0.9),
            kernel_stein_score(data, kernel, ridge=0.1),
            nu_method(data, kernel, n_steps=3),
        )
        return sum(jax.vmap(score)(data + 0.1).sum() for score in scores)

    value, slope = jax.value_and_grad(loss)(data)
    assert value.dtype == slope.dtype == dtype
    chex.assert_tree_all_finite((value, slope))


def test_bad_input_is_refused():
    data = samples(3, 2)
    for estimate in (
        lambda data: kernel_density_score(data, 1.0),
        lambda data: kernel_stein_score(data, kernel, ridge=1.0),
        lambda data: nu_method(data, kernel, n_steps=3),
    ):
        with pytest.raises(ValueError, match=r"the data have no rows: their shape is \(0, 2\)"):
            estimate(data[:0])
    with pytest.raises(ValueError, match=r"the kernel of two samples .* returns one number"):
        kernel_stein_score(data, lambda x, y: x * y, ridge=1.0)
    with pytest.raises(ValueError, match="n_steps must be at least 1, not 0"):
        nu_method(data, kernel, n_steps=0)
    with pytest.raises(ValueError, match=r"nu must be at least 1/2, not 0\.2"):
        nu_method(data, kernel, n_steps=3, nu=0.2)
