import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.score_matching._diagnostics import conservativity_gap
from scorax.score_matching._gauge import (
    ConservativeScore,
    conservative_projection_loss,
    gauge_residual,
    helmholtz_gaussian,
    project_conservative,
)

RNG = np.random.default_rng(4)
MATRIX = RNG.normal(size=(3, 3))
ROOT = RNG.normal(size=(3, 3))
COVARIANCE = ROOT @ ROOT.T + 0.3 * np.eye(3)
TURN = np.asarray([[0.0, 1.0, -0.4], [-1.0, 0.0, 0.7], [0.4, -0.7, 0.0]])
X = RNG.normal(size=(7, 3))


def quadratic(x):
    """A basis of all quadratic forms in three dimensions."""
    first, second = np.triu_indices(3)
    return x[first] * x[second]


def test_the_split_of_a_linear_field(x64):
    symmetric, rest = jax.jit(helmholtz_gaussian)(jnp.asarray(MATRIX), jnp.asarray(COVARIANCE))
    np.testing.assert_allclose(symmetric, symmetric.T, atol=1e-12)
    np.testing.assert_allclose(symmetric + rest, MATRIX, rtol=1e-12)
    # R = A C⁻¹ with an antisymmetric A, and orthogonal to every gradient: E <Sx, Rx> = tr(S R C).
    antisymmetric = rest @ COVARIANCE
    np.testing.assert_allclose(antisymmetric, -antisymmetric.T, atol=1e-12)
    np.testing.assert_allclose(np.trace(np.diag([1.0, 2, 3]) @ rest @ COVARIANCE), 0, atol=1e-12)


def test_a_gauge_field_is_all_rest_and_a_gradient_none(x64):
    split, precision = jax.jit(helmholtz_gaussian), np.linalg.inv(COVARIANCE)
    np.testing.assert_allclose(split(jnp.asarray(TURN @ precision), jnp.asarray(COVARIANCE))[0], 0, atol=1e-12)
    np.testing.assert_allclose(split(jnp.asarray(precision), jnp.asarray(COVARIANCE))[1], 0, atol=1e-12)


def test_the_rest_satisfies_the_gauge_condition_everywhere(x64):
    precision = jnp.asarray(np.linalg.inv(COVARIANCE))

    @jax.jit
    def residuals(x):
        symmetric, rest = helmholtz_gaussian(jnp.asarray(MATRIX), jnp.asarray(COVARIANCE))
        return [gauge_residual(lambda x, m=m: m @ x, lambda x: -precision @ x, x) for m in (rest, symmetric)]

    gauge, gradient = residuals(jnp.asarray(X))
    np.testing.assert_allclose(gauge, 0, atol=1e-11)
    assert jnp.abs(gradient).min() > 1e-3


def test_excluded_entries_take_no_part_in_the_residual():
    x = jnp.asarray([[1.0, 2.0, jnp.nan]])
    found = eqx.filter_jit(gauge_residual)(lambda x: x**2, lambda x: -x, x, where=jnp.asarray([True, True, False]))
    np.testing.assert_allclose(found, [2 * (1 + 2) - (1 + 8)], rtol=1e-6)


def test_projection_on_quadratic_forms_is_the_gaussian_split(x64):
    # The empirical covariance takes the place of the true one, exactly.
    x = jnp.asarray(X - X.mean(0))
    covariance = x.T @ x / len(x)

    @jax.jit
    def run(x):
        part = project_conservative(lambda x: jnp.asarray(MATRIX) @ x, x, quadratic)
        return jax.vmap(part)(x), part.explained, helmholtz_gaussian(jnp.asarray(MATRIX), covariance)[0]

    found, explained, symmetric = run(x)
    np.testing.assert_allclose(found, x @ symmetric.T, rtol=1e-8, atol=1e-10)
    # Pythagoras.
    share = ((x @ symmetric.T) ** 2).sum() / ((x @ MATRIX.T) ** 2).sum()
    np.testing.assert_allclose(explained, share, rtol=1e-10)


def test_the_projection_minimises_its_loss(x64):
    x = jnp.asarray(X)

    def field(x):
        return jnp.tanh(jnp.asarray(MATRIX) @ x)

    def loss(coefficients):
        return conservative_projection_loss(lambda x: jnp.vdot(quadratic(x), coefficients), field, x).mean()

    @jax.jit
    def run(coefficients):
        part = project_conservative(field, x, quadratic)
        return jax.grad(loss)(part.coefficients), loss(part.coefficients), part.explained

    gradient, least, explained = run(jnp.zeros(6))
    np.testing.assert_allclose(gradient, 0, atol=1e-10)
    # At the least it is minus half the mean square of the gradient part.
    square = (jnp.tanh(x @ MATRIX.T) ** 2).sum() / len(x)
    np.testing.assert_allclose(least, -0.5 * explained * square, rtol=1e-10)


def test_a_gradient_has_no_conservativity_gap(x64):
    score = ConservativeScore(lambda x, t: jnp.sum(jnp.tanh(jnp.asarray(MATRIX) @ x)) / t)

    @jax.jit
    def gap(x, t):
        return conservativity_gap(lambda x: score(x, t), x, key=jax.random.key(0))

    np.testing.assert_allclose(gap(jnp.asarray(X), jnp.asarray(2.0)), 0, atol=1e-28)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="must be square and of one size"):
        helmholtz_gaussian(jnp.eye(2), jnp.eye(3))
    with pytest.raises(ValueError, match="the data have no rows"):
        project_conservative(lambda x: x, jnp.ones((0, 3)), quadratic)
