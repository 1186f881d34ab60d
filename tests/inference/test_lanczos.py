"""Lanczos' method against matrices whose spectra are known."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.inference import _curvature
from scorax.inference._curvature import scaled, widths
from scorax.inference._lanczos import eigenpairs, inverse_root, lanczos, log_determinant

D = 40
SPECTRA = {
    "wide": np.geomspace(1e-2, 1e2, D),
    "even": np.linspace(1.0, 3.0, D),
    "equal": np.ones(D),
    "repeated": np.repeat([0.5, 1.0, 2.0, 8.0], D // 4),
    "two outside": np.concatenate([[0.01], np.linspace(0.9, 1.1, D - 2), [100.0]]),
}
SPECTRUM = pytest.mark.parametrize("spectrum", SPECTRA.values(), ids=SPECTRA)


AXES = np.linalg.qr(np.random.default_rng(0).normal(size=(D, D)))[0]


def matrix_of(spectrum, dtype):
    return jnp.asarray((AXES * spectrum) @ AXES.T, dtype)


def vector(dtype, seed=1):
    return jnp.asarray(np.random.default_rng(seed).normal(size=D), dtype)


@jax.jit
def whole(matrix, start):
    krylov = lanczos(lambda v: matrix @ v, start, D)
    return krylov.basis, eigenpairs(krylov)


@SPECTRUM
def test_all_steps_find_all_eigenvalues(spectrum, dtype):
    matrix = matrix_of(spectrum, dtype)
    basis, pairs = jax.tree.map(np.asarray, whole(matrix, vector(dtype)))
    rounding = 100 * D * float(jnp.finfo(dtype).eps)
    np.testing.assert_allclose(basis @ basis.T, np.eye(D), atol=rounding)
    np.testing.assert_allclose(pairs.value, np.sort(spectrum), atol=rounding * spectrum.max())
    off = np.linalg.norm(np.asarray(matrix) @ pairs.vector - pairs.vector * pairs.value, axis=0)
    np.testing.assert_allclose(off, 0, atol=rounding * spectrum.max())


def test_the_residual_is_what_it_says_and_both_ends_come_first(x64):
    spectrum = SPECTRA["two outside"]
    matrix = matrix_of(spectrum, float)
    found = jax.jit(lambda a, v: eigenpairs(lanczos(lambda v: a @ v, v, 12)))(matrix, vector(float))
    pairs = jax.tree.map(np.asarray, found)
    off = np.linalg.norm(np.asarray(matrix) @ pairs.vector - pairs.vector * pairs.value, axis=0)
    np.testing.assert_allclose(off, pairs.residual, atol=1e-12)
    np.testing.assert_allclose(pairs.value[[0, -1]], [0.01, 100.0], rtol=1e-8)
    # Some eigenvalue is within the residual of each.
    distance = np.abs(pairs.value[:, None] - spectrum).min(1)
    assert (distance <= pairs.residual + 1e-12).all()


@jax.jit
def root(matrix, v):
    return inverse_root(lambda v: matrix @ v, v)


@SPECTRUM
def test_the_inverse_root(spectrum, dtype):
    matrix = matrix_of(spectrum, dtype)
    v = vector(dtype)
    values, axes = np.linalg.eigh(np.asarray(matrix, np.float64))
    exact = (axes / values**0.5) @ axes.T @ np.asarray(v, np.float64)
    # A rounding error in the matrix moves an eigenvalue by as much, against which the smallest may be small.
    error = 100 * D * float(jnp.finfo(dtype).eps) * (values.max() / values.min())
    np.testing.assert_allclose(root(matrix, v), exact, atol=error * np.abs(exact).max())
    twice = root(matrix, root(matrix, v))
    np.testing.assert_allclose(np.asarray(matrix) @ np.asarray(twice), v, atol=error * 10)


def test_a_root_that_is_not_reached_is_nan(dtype):
    """Widths over four orders of magnitude, in a few steps; where they are alike, as few are enough."""
    few = jax.jit(lambda matrix, v: inverse_root(lambda v: matrix @ v, v, steps=8))
    assert jnp.isnan(few(matrix_of(np.geomspace(1e-4, 1e4, D), dtype), vector(dtype))).all()
    assert jnp.isfinite(few(matrix_of(SPECTRA["even"], dtype), vector(dtype))).all()


@functools.partial(jax.jit, static_argnames="steps")
def log_det(matrix, v, steps=24):
    return log_determinant(lambda v: matrix @ v, v, steps=steps)


def test_a_negative_eigenvalue_has_no_root_and_no_log(dtype):
    negative = matrix_of(np.linspace(-0.5, 3.0, D), dtype)
    assert jnp.isnan(root(negative, vector(dtype))).all()
    assert jnp.isnan(log_det(negative, vector(dtype)).value)
    # Nor has zero, whatever rounding makes of it.
    singular = matrix_of(np.append(np.linspace(1.0, 3.0, D - 1), 0.0), dtype)
    assert jnp.isnan(log_det(singular, vector(dtype)).value)


@pytest.mark.parametrize("steps", [8, 24])
@SPECTRUM
def test_the_log_determinant_is_within_its_error(spectrum, steps, dtype):
    matrix = matrix_of(spectrum, dtype)
    found = log_det(matrix, vector(dtype), steps)
    # The error is of 7 degrees of freedom: beyond 4 of them five times in a thousand. The probes are always the same.
    rounding = 100 * D * float(jnp.finfo(dtype).eps) * spectrum.max() / spectrum.min()
    assert abs(float(found.value) - np.log(spectrum).sum()) < 4 * float(found.error) + rounding
    # And it is not large to be safe: root 2 times the norm of the logarithm off its diagonal, over root 8 probes.
    assert float(found.error) < 2 * np.sqrt(2) * np.linalg.norm(np.log(spectrum)) / 8**0.5 + rounding + (steps < 24)


def test_the_same_probes_every_time(x64):
    """So differences are exact where the matrices have the same axes."""
    matrix = matrix_of(SPECTRA["wide"], float)
    one, two = (log_det(jnp.asarray(c * np.asarray(matrix)), vector(float)).value for c in (1.0, 2.0))
    np.testing.assert_allclose(two - one, D * np.log(2), rtol=1e-10)


@pytest.mark.parametrize("exact", [True, False])
def test_widths_scale_the_diagonal_to_one(exact, dtype, monkeypatch):
    monkeypatch.setattr(_curvature, "_MOST_EXACT", D if exact else 0)
    scale = np.geomspace(0.03, 30.0, D)
    matrix = jnp.asarray(scale[:, None] * ((AXES * SPECTRA["even"]) @ AXES.T) * scale, dtype)
    found = jax.jit(lambda a, w: widths(lambda v: a @ v, w, probes=64, rounds=3))(matrix, jnp.ones(D, dtype))
    size, diagonal = np.asarray(found, np.float64) ** -2, np.diagonal(np.asarray(matrix, np.float64))
    if exact:
        np.testing.assert_allclose(size, diagonal, rtol=100 * jnp.finfo(dtype).eps)
        return
    # Rounds find the scales. Eigenvalues from 1 to 3 leave at most 1 off the diagonal: four standard errors of 1/8.
    np.testing.assert_allclose(size, diagonal, rtol=0.5)


def test_widths_of_nothing_but_correlation_are_finite_and_positive(monkeypatch):
    monkeypatch.setattr(_curvature, "_MOST_EXACT", 0)
    found = np.asarray(widths(lambda v: jnp.full_like(v, v.sum()), jnp.ones(D, "float32"), probes=8))
    # The norm of a row is root D, and its diagonal one: the bounds, up to the error of 8 squared normals.
    assert (found > 0.25 / D**0.25).all()
    assert (found < 4).all()


def test_scaling_is_a_change_of_units():
    matrix, width = matrix_of(SPECTRA["even"], "float32"), jnp.linspace(0.5, 2.0, D)
    product = scaled(lambda v: matrix @ v, width)
    np.testing.assert_allclose(product(vector("float32")), width * (matrix @ (width * vector("float32"))), rtol=1e-5)
