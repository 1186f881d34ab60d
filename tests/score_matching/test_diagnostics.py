import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.score_matching._diagnostics import (
    conservativity_gap,
    fisher_divergence,
    jacobian_asymmetry,
    quasi_conservative_loss,
)

MATRIX = np.random.default_rng(2).normal(size=(3, 3))
X = np.random.default_rng(3).normal(size=(4, 3))


def linear(matrix):
    return lambda x: jnp.asarray(matrix, x.dtype) @ x


def test_fisher_divergence_is_the_squared_distance(dtype):
    x = jnp.asarray(X, dtype)
    found = eqx.filter_jit(fisher_divergence)(linear(MATRIX), linear(np.eye(3)), x)
    np.testing.assert_allclose(found, ((X @ (MATRIX - np.eye(3)).T) ** 2).sum(1), rtol=1e-5)


def test_excluded_entries_reach_neither_value_nor_gradient():
    x = jnp.asarray([[1.0, 2.0, jnp.nan], [0.5, -1.0, 7.0]])
    where = jnp.asarray([True, True, False])

    @jax.jit
    @jax.value_and_grad
    def total(weight):
        def field(x):
            return weight * jnp.asarray([[0.0, 1.0, 1.0], [-1.0, 2.0, 1.0], [3.0, 1.0, 1.0]]) @ x

        divergence = fisher_divergence(field, linear(np.zeros((3, 3))), x, where=where)
        asymmetry = quasi_conservative_loss(field, x, key=jax.random.key(0), n_probes=2, where=where)
        return (divergence + asymmetry).sum()

    # Rows of |M x|² are 4 + 9 and 1 + 6.25; |J - J'|² is 8 for each, whatever the signs.
    value, gradient = total(1.0)
    np.testing.assert_allclose(value, 13 + 7.25 + 16, rtol=1e-6)
    np.testing.assert_allclose(gradient, 2 * value, rtol=1e-6)


def test_asymmetry_is_estimated_without_bias(x64):
    # The mean over many probes; each of the two has a standard error of a few per cent with 2000.
    run = eqx.filter_jit(lambda x, key: jacobian_asymmetry(linear(MATRIX), x, key, 2000, None, 0))
    asymmetry, size = run(jnp.asarray(X[:1]), jax.random.key(1))
    np.testing.assert_allclose(asymmetry, ((MATRIX - MATRIX.T) ** 2).sum(), rtol=0.1)
    np.testing.assert_allclose(size, (MATRIX**2).sum(), rtol=0.1)


@pytest.mark.parametrize(("matrix", "expected"), [(MATRIX + MATRIX.T, 0), (MATRIX - MATRIX.T, 4)])
def test_the_gap_of_gradients_and_of_turns(matrix, expected, dtype):
    x = jnp.asarray(X, dtype)
    found = eqx.filter_jit(conservativity_gap)(linear(matrix), x, key=jax.random.key(0), n_probes=2)
    np.testing.assert_allclose(found, expected, atol=64 * float(jnp.finfo(dtype).eps))


def test_the_gap_of_a_nonlinear_gradient_is_zero(x64):
    potential = jax.grad(lambda x: jnp.sum(jnp.tanh(jnp.asarray(MATRIX) @ x)))
    found = eqx.filter_jit(conservativity_gap)(potential, jnp.asarray(X), key=jax.random.key(0))
    np.testing.assert_allclose(found, 0, atol=1e-28)


def test_chunks_draw_the_probes_of_the_whole():
    @jax.jit
    def run(x, key):
        whole, chunk = (quasi_conservative_loss(linear(MATRIX), x[k:], key=key, offset=k) for k in (0, 2))
        return whole[2:], chunk

    np.testing.assert_allclose(*run(jnp.asarray(X, jnp.float32), jax.random.key(5)), rtol=1e-6)


def test_bad_input_is_refused():
    x = jnp.ones((2, 3))
    with pytest.raises(ValueError, match="n_probes must be at least 1"):
        conservativity_gap(linear(MATRIX), x, key=jax.random.key(0), n_probes=0)
    with pytest.raises(ValueError, match="the data have no rows"):
        fisher_divergence(linear(MATRIX), linear(MATRIX), x[:0])
    with pytest.raises(ValueError, match="A score function takes one sample"):
        fisher_divergence(linear(MATRIX), jnp.sum, x)
