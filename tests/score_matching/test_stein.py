import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.score_matching._stein import (
    InverseMultiquadric,
    RadialBasis,
    kernel_stein_discrepancy,
    kernel_stein_test,
    median_lengthscale,
    stein_matrix,
    stein_thinning,
)

CASES = json.loads((pathlib.Path(__file__).parent.parent / "oracles/diffusion/stein_and_sliced.json").read_text())[
    "cases"
]
STEIN = [case for case in CASES if "stein_matrix" in case]
X = np.random.default_rng(0).normal(size=(11, 3))


def standard(x):
    return -x


def by_definition(kernel, score, x, y):
    """The Stein kernel by automatic differentiation of the kernel."""

    def k(x, y):
        return kernel.profile(jnp.sum((x - y) ** 2))[0]

    by_x, by_y = jax.grad(k, 0)(x, y), jax.grad(k, 1)(x, y)
    mixed = jnp.trace(jax.jacfwd(jax.grad(k, 0), 1)(x, y))
    return score(x) @ score(y) * k(x, y) + score(x) @ by_y + by_x @ score(y) + mixed


@pytest.mark.parametrize("case", [0, *(pytest.param(case, marks=pytest.mark.slow) for case in (1, 2)), 3])
def test_matches_the_reference_matrices(case, x64):
    expected = STEIN[case]
    mean, precision = jnp.asarray(expected["mean"]), jnp.asarray(expected["precision"])
    length = expected["length_scale"]
    # The reference's multiquadric has r² / 2 l².
    kernel = RadialBasis(length) if expected["kernel"] == "rbf" else InverseMultiquadric(2**0.5 * length)

    @jax.jit
    def run(x):
        def score(x):
            return -precision @ (x - mean)

        return stein_matrix(x, score, kernel=kernel), kernel_stein_discrepancy(x, score, kernel=kernel, block=4)

    matrix, squared = run(jnp.asarray(expected["x"]))
    np.testing.assert_allclose(matrix, expected["stein_matrix"], rtol=1e-9, atol=1e-10)  # 12 digits
    np.testing.assert_allclose(squared, expected["ksd_squared_v"], rtol=1e-9)
    np.testing.assert_allclose(jnp.sqrt(squared), expected["ksd"], rtol=1e-9)


@pytest.mark.parametrize("kernel", [InverseMultiquadric(1.3, 0.7, -0.3), RadialBasis(0.8)], ids=["imq", "rbf"])
def test_the_stein_kernel_is_its_definition(kernel, x64):
    def score(x):
        return jnp.tanh(x) - x**3

    x, y = jnp.asarray(X[:4]), jnp.asarray(X[4:9])

    @jax.jit
    def run(x, y):
        slow = jax.vmap(lambda x: jax.vmap(lambda y: by_definition(kernel, score, x, y))(y))(x)
        return slow, stein_matrix(x, score, y, kernel=kernel)

    np.testing.assert_allclose(*run(x, y), rtol=1e-9, atol=1e-11)


def test_blocks_and_weights_change_nothing_but_what_they_say(x64):
    weights, kernel = np.arange(1.0, 12) / 66, InverseMultiquadric(1.0)

    @jax.jit
    def run(x, weights):
        options = {"kernel": kernel, "weights": weights}
        found = [
            kernel_stein_discrepancy(x, standard, estimator=estimator, block=block, **options)
            for estimator in ("v", "u")
            for block in (4, 100)
        ]
        return stein_matrix(x, standard, kernel=kernel), found

    matrix, found = run(jnp.asarray(X), jnp.asarray(3 * weights))
    pairs = np.outer(weights, weights)
    expected = [(p * matrix).sum() / p.sum() for p in (pairs, pairs * (1 - np.eye(11)))]
    np.testing.assert_allclose(found, np.repeat(expected, 2), rtol=1e-10)


def test_the_discrepancy_is_differentiable_and_does_not_feel_a_shift(x64):
    x, shift = jnp.asarray(X), 30.0

    @jax.jit
    @jax.value_and_grad
    def moved(x, by):
        return kernel_stein_discrepancy(x, lambda x: by - x, kernel=RadialBasis(1.0), block=4)

    value, gradient = moved(x, 0.0)
    np.testing.assert_allclose(moved(x + shift, shift)[0], value, rtol=1e-10)
    step = 1e-6 * jnp.asarray(X[::-1])
    change = (moved(x + step, 0.0)[0] - moved(x - step, 0.0)[0]) / 2
    np.testing.assert_allclose(jnp.vdot(gradient, step), change, rtol=1e-7)


def test_the_median_distance():
    found = jax.jit(lambda x: (median_lengthscale(x), median_lengthscale(x, max_rows=3)))(jnp.asarray(X, jnp.float32))
    for rows, length in zip((X, X[[0, 3, 7]]), found, strict=True):
        distances = np.linalg.norm(rows[:, None] - rows[None], axis=-1)[np.triu_indices(len(rows), 1)]
        np.testing.assert_allclose(length, np.median(distances), rtol=1e-5)


def test_the_test_keeps_its_level_and_finds_a_shift():
    @jax.jit
    @jax.vmap
    def p_values(key):
        of_data, of_signs = jax.random.split(key)
        x = jax.random.normal(of_data, (60, 1))
        kernel = InverseMultiquadric(1.0)
        options = {"key": of_signs, "n_boot": 99, "kernel": kernel}
        u = kernel_stein_test(x, standard, estimator="u", **options).p_value
        return u, kernel_stein_test(x + 0.6, standard, **options).p_value

    u, shifted = p_values(jax.random.split(jax.random.key(4), 400))
    # Standard error of a rate of 0.05 over 400 data sets: 0.011.
    assert abs((u <= 0.05).mean() - 0.05) < 0.045
    assert (shifted <= 0.05).mean() > 0.9
    assert (u >= 0.01).all()
    assert (u <= 1).all()


def test_replicates_are_signed_quadratic_forms(x64):
    # A chain that hardly ever flips leaves the signs alike: every replicate equals the statistic.
    @jax.jit
    def run(x):
        found = kernel_stein_test(x, standard, key=jax.random.key(0), n_boot=9, flip=1e-9)
        return found, kernel_stein_discrepancy(x, standard)

    found, value = run(jnp.asarray(X))
    np.testing.assert_allclose(found.discrepancy, value, rtol=1e-12)
    np.testing.assert_allclose(found.p_value, 1)


def test_thinning_adds_the_point_that_helps_most(x64):
    x, kernel = jnp.asarray(X), InverseMultiquadric(1.0)

    @jax.jit
    def run(x):
        return stein_thinning(x, standard, 6, kernel=kernel), stein_matrix(x, standard, kernel=kernel)

    chosen, matrix = (np.asarray(part) for part in run(x))
    energy, expected = 0.5 * np.diag(matrix), []
    for _ in range(6):
        expected.append(int(energy.argmin()))
        energy = energy + matrix[:, expected[-1]]
    np.testing.assert_array_equal(chosen, expected)


def test_bad_input_is_refused():
    x = jnp.ones((3, 2))
    with pytest.raises(ValueError, match="unknown kernel 'gauss': expected 'imq', 'rbf'"):
        kernel_stein_discrepancy(x, standard, kernel="gauss")
    with pytest.raises(ValueError, match="unknown estimator 'w'"):
        kernel_stein_discrepancy(x, standard, estimator="w")
    with pytest.raises(ValueError, match=r"3 samples need weights of shape \(3,\)"):
        kernel_stein_discrepancy(x, standard, weights=jnp.ones(2))
    with pytest.raises(ValueError, match="there are no samples"):
        kernel_stein_discrepancy(x[:0], standard)
    with pytest.raises(ValueError, match="block must be at least 1"):
        kernel_stein_discrepancy(x, standard, kernel=RadialBasis(1.0), block=0)
    with pytest.raises(ValueError, match="A score function takes one"):
        stein_matrix(x, jnp.sum, kernel=RadialBasis(1.0))
    with pytest.raises(ValueError, match="a test needs at least two samples"):
        kernel_stein_test(x[:1], standard, key=jax.random.key(0), kernel=RadialBasis(1.0))
    with pytest.raises(ValueError, match=r"flip must lie in \(0, 1/2\]"):
        kernel_stein_test(x, standard, key=jax.random.key(0), flip=0.7)
    with pytest.raises(ValueError, match="n_boot must be at least 1"):
        kernel_stein_test(x, standard, key=jax.random.key(0), n_boot=0)
    with pytest.raises(ValueError, match="n_points must be at least 1"):
        stein_thinning(x, standard, 0)
    with pytest.raises(ValueError, match="the median distance needs at least two"):
        kernel_stein_discrepancy(x[:1], standard)
    with pytest.raises(ValueError, match=r"exponent must lie in \(-1, 0\)"):
        InverseMultiquadric(1.0, exponent=0.5)
