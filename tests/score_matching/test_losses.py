import itertools
import json
import pathlib

import chex
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.score_matching import (
    explicit_score_matching_loss,
    finite_difference_sliced_score_matching_loss,
    implicit_score_matching_loss,
    sliced_score_matching_loss,
)

ORACLES = pathlib.Path(__file__).parent.parent / "oracles" / "diffusion"
KEY = jax.random.key(0)
explicit, implicit, sliced, finite = map(
    eqx.filter_jit,
    (
        explicit_score_matching_loss,
        implicit_score_matching_loss,
        sliced_score_matching_loss,
        finite_difference_sliced_score_matching_loss,
    ),
)


class Bent(eqx.Module):
    """A score that is no gradient and has a full Jacobian."""

    matrix: jax.Array
    bend: jax.Array

    def __call__(self, x):
        return jnp.tanh(x @ self.matrix) - self.bend * x**3


def bent(d, dtype, seed=0):
    return Bent(jnp.asarray(np.random.default_rng(seed).normal(size=(d, d)), dtype), jnp.asarray(0.1, dtype))


def points(n, d, dtype=jnp.float32):
    return jnp.asarray(np.random.default_rng(9).normal(size=(n, d)), dtype)


def fixed(vectors):
    """A probe that draws these directions for every sample."""
    return lambda key, shape, dtype: jnp.asarray(vectors, dtype)


def close(dtype, digits=32):
    return {"rtol": digits * float(jnp.finfo(dtype).eps), "atol": digits * float(jnp.finfo(dtype).eps)}


def normal_expectation(function, order=24):
    """Mean over N(0, I) in two dimensions by Gauss-Hermite quadrature: exact for polynomials."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(order)
    grid = jnp.asarray(list(itertools.product(nodes, nodes)))
    weight = np.outer(weights, weights).ravel() / (2 * np.pi)
    return jnp.vdot(jnp.asarray(weight), function(grid))


def test_implicit_loss_of_the_standard_normal(dtype):
    data = jnp.asarray([[-1.0], [0.0], [2.0]], dtype)
    np.testing.assert_allclose(implicit(lambda x: -x, data).mean(), -1 / 6, **close(dtype))


def test_implicit_loss_of_the_fitted_normal_is_stationary(dtype):
    data = jnp.asarray([[-1.0], [0.0], [2.0]], dtype)

    def loss(mean, variance):
        return implicit_score_matching_loss(lambda x: (mean - x) / variance, data).mean()

    at = jnp.asarray(1 / 3, dtype), jnp.asarray(14 / 9, dtype)
    value, gradient = jax.jit(jax.value_and_grad(loss, (0, 1)))(*at)
    np.testing.assert_allclose(value, -9 / 28, **close(dtype))
    np.testing.assert_allclose(gradient, 0, **close(dtype))


def test_explicit_loss_is_half_the_squared_distance_and_zero_at_the_truth(dtype):
    x = points(5, 3, dtype)
    field = bent(3, dtype)
    # The two evaluations may be compiled with different roundings.
    np.testing.assert_allclose(explicit(field, field, x), 0, atol=float(jnp.finfo(dtype).eps))
    loss = explicit(lambda x: field(x) + 2.0, field, x)
    np.testing.assert_allclose(loss, 0.5 * 3 * 2.0**2, **close(dtype, 64))


def test_implicit_and_explicit_losses_differ_by_a_constant(x64):
    # E_p[ISM(s) - ESM(s)] = -E|true score|²/2 for every s: here -1, as the truth is N(0, I) in two dimensions.
    @jax.jit
    @jax.vmap
    def difference(matrix):
        def field(x):
            return x @ matrix + 0.2 * x**2 - 0.1 * x[0] * x[1] * x

        return normal_expectation(
            lambda x: implicit_score_matching_loss(field, x) - explicit_score_matching_loss(field, lambda x: -x, x)
        )

    matrices = jnp.asarray(np.random.default_rng(1).normal(size=(3, 2, 2)))
    np.testing.assert_allclose(difference(matrices), -1, rtol=1e-12)


def test_implicit_loss_does_not_notice_a_rotation(x64):
    field, x = bent(3, jnp.float64), points(4, 3, jnp.float64)
    rotation = jnp.asarray(np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0])
    turned = implicit(lambda x: rotation @ field(rotation.T @ x), x @ rotation.T)
    np.testing.assert_allclose(turned, implicit(field, x), rtol=1e-12)


@pytest.mark.parametrize("d", [3, 12])
def test_the_divergence_is_the_trace_of_the_jacobian(d, dtype):
    # Below and above the length at which the loop over entries is no longer unrolled.
    field, x = bent(d, dtype), points(4, d, dtype)
    jacobian = np.asarray(jax.jit(jax.vmap(jax.jacfwd(field)))(x))
    expected = np.trace(jacobian, axis1=1, axis2=2) + 0.5 * (np.asarray(jax.jit(jax.vmap(field))(x)) ** 2).sum(1)
    np.testing.assert_allclose(implicit(field, x), expected, **close(dtype, 64))


@pytest.mark.parametrize("case", [0, 1])
def test_implicit_loss_matches_the_reference_laplacian(case, x64):
    expected = json.loads((ORACLES / "laplacian_mlp.json").read_text())["cases"][case]
    (w0, w1, w2), (b0, b1) = (map(jnp.asarray, expected[name]) for name in ("W", "b"))

    def log_prob(x):
        return (jnp.tanh(jnp.tanh(x @ w0 + b0) @ w1 + b1) @ w2)[0]

    np.testing.assert_allclose(
        implicit(jax.grad(log_prob), jnp.asarray(expected["x"])), expected["ism"], rtol=2e-11, atol=2e-11
    )


@pytest.mark.parametrize("case", [2, 3, 6, 7])
def test_sliced_loss_matches_the_reference(case, x64):
    expected = json.loads((ORACLES / "stein_and_sliced.json").read_text())["cases"][case]
    x, probes, matrix = (jnp.asarray(expected[name]) for name in ("x", "probes", "A"))

    @jax.jit
    @jax.vmap
    def each(x, probe):
        return sliced_score_matching_loss(
            lambda x: jnp.tanh(x @ matrix),
            x[None],
            key=KEY,
            n_probes=probes.shape[1],
            probe=lambda key, shape, dtype: probe,
            variance_reduced=expected["variance_reduced"],
        )[0]

    np.testing.assert_allclose(each(x, probes), jnp.asarray(expected["loss"]).mean(1), rtol=2e-11)


def test_the_average_over_all_signs_is_the_implicit_loss(dtype):
    field, x = bent(4, dtype), points(5, 4, dtype)
    signs = fixed(list(itertools.product([-1.0, 1.0], repeat=4)))

    @jax.jit
    def both(x):
        return [
            sliced_score_matching_loss(field, x, key=KEY, n_probes=16, probe=signs, variance_reduced=reduced)
            for reduced in (True, False)
        ]

    expected = implicit(field, x)
    for loss in both(x):
        np.testing.assert_allclose(loss, expected, **close(dtype, 64))


def test_signs_are_exact_for_a_diagonal_jacobian_with_variance_reduction_only():
    def diagonal(x):
        return jnp.sin(x) - x

    @jax.jit
    def both(x):
        return [sliced_score_matching_loss(diagonal, x, key=KEY, variance_reduced=reduced) for reduced in (True, False)]

    x = points(5, 4)
    expected, (reduced, plain) = implicit(diagonal, x), both(x)
    np.testing.assert_allclose(reduced, expected, **close(jnp.float32))
    assert not jnp.allclose(plain, expected, rtol=1e-2)


@pytest.mark.parametrize("probe", ["rademacher", "gaussian", "sphere"])
def test_probes_are_unbiased(probe):
    field, x = bent(3, jnp.float32), points(1, 3)

    @jax.jit
    def both(x):
        copies = jnp.broadcast_to(x, (4000, 3))
        return [
            sliced_score_matching_loss(field, copies, key=KEY, probe=probe, variance_reduced=reduced)
            for reduced in (True, False)
        ]

    expected = implicit(field, x)[0]
    for loss in both(x):
        error = loss.std() / 4000**0.5
        assert 0 < error < 0.1
        assert abs(loss.mean() - expected) < 5 * error


def test_several_probes_average_single_ones(dtype):
    field, x = bent(3, dtype), points(2, 3, dtype)
    vectors = points(10, 3, dtype)

    @jax.jit
    @jax.vmap
    def single(vector):
        return sliced_score_matching_loss(field, x, key=KEY, probe=fixed(vector[None]))

    together = sliced(field, x, key=KEY, n_probes=10, probe=fixed(vectors))
    np.testing.assert_allclose(together, single(vectors).mean(0), **close(dtype, 64))


SIGNS = np.array([[1.0, -1.0, 1.0, 1.0], [1.0, 1.0, 1.0, -1.0]])
LOSSES = {
    "explicit": lambda s, x, where=None: explicit_score_matching_loss(s, lambda x: -x, x, where=where),
    "implicit": lambda s, x, where=None: implicit_score_matching_loss(s, x, where=where),
    "sliced": lambda s, x, where=None: sliced_score_matching_loss(
        s, x, key=KEY, n_probes=2, probe=fixed(SIGNS[:, : x.shape[1]]), where=where
    ),
    "finite difference": lambda s, x, where=None: finite_difference_sliced_score_matching_loss(
        s, x, key=KEY, n_probes=2, probe=fixed(SIGNS[:, : x.shape[1]]), where=where
    ),
    "finite difference of a log-density": lambda s, x, where=None: finite_difference_sliced_score_matching_loss(
        lambda x: jnp.tanh(s(x)).sum(),
        x,
        of="log_prob",
        key=KEY,
        n_probes=2,
        probe=fixed(SIGNS[:, : x.shape[1]]),
        where=where,
    ),
}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_excluded_entries_reach_neither_value_nor_gradient(loss):
    x, field = points(3, 4), bent(4, jnp.float32)
    where = jnp.arange(4)[None] < 3

    @eqx.filter_jit
    @eqx.filter_value_and_grad
    def total(field_and_x):
        field, x = field_and_x
        return loss(field, x, where).sum()

    value, gradient = total((field, x.at[:, 3].set(jnp.nan)))
    expected, expected_gradient = total((field, x.at[:, 3].set(1e6)))
    assert jnp.isfinite(value)
    chex.assert_tree_all_finite(gradient)
    np.testing.assert_array_equal(value, expected)
    chex.assert_trees_all_equal(gradient, expected_gradient)
    np.testing.assert_array_equal(gradient[1][:, 3], 0)
    assert (gradient[1][:, :3] != 0).all()


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_excluded_entries_leave_the_loss_of_the_others(loss):
    def diagonal(x):  # so that its derivative along the shorter directions is the same
        return jnp.sin(x) - x

    x, where = points(3, 4), jnp.arange(4)[None] < 3
    padded, shorter = jax.jit(lambda x: (loss(diagonal, x, where), loss(diagonal, x[:, :3])))(x)
    np.testing.assert_allclose(padded, shorter, **close(jnp.float32))


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_parameters_have_the_gradient_of_finite_differences(loss, x64):
    x, field, step = points(3, 2, jnp.float64), bent(2, jnp.float64), 1e-5

    def total(matrix):
        return loss(Bent(matrix, field.bend), x).sum()

    shift = step * jnp.eye(4).reshape(4, 2, 2)
    up, down = jax.jit(jax.vmap(total))(
        jnp.stack([field.matrix[None] + shift, field.matrix[None] - shift]).reshape(8, 2, 2)
    ).reshape(2, 4)
    gradient = jax.jit(jax.grad(total))(field.matrix)
    np.testing.assert_allclose(gradient.ravel(), (up - down) / (2 * step), rtol=1e-6, atol=1e-8)


def test_events_of_any_shape():
    x = points(4, 6)
    flat, folded = implicit(jnp.sin, x), implicit(jnp.sin, x.reshape(4, 2, 3))
    np.testing.assert_allclose(flat, folded, **close(jnp.float32))
    assert implicit(jnp.sin, x[:, 0]).shape == (4,)
    assert sliced(jnp.sin, x.reshape(4, 2, 3), key=KEY, probe="sphere").shape == (4,)


def test_chunks_draw_the_probes_of_the_whole():
    field, x = bent(3, jnp.float32), points(6, 3)
    run = jax.jit(lambda x, offset: sliced_score_matching_loss(field, x, key=KEY, offset=offset))
    whole = run(x, jnp.asarray(0, jnp.int32))
    later = jnp.roll(x, -2, axis=0)  # rows 2 to 5 first
    np.testing.assert_allclose(run(later, jnp.asarray(2, jnp.int32))[:4], whole[2:], rtol=1e-6)
    assert not jnp.allclose(run(later, jnp.asarray(0, jnp.int32))[:4], whole[2:], rtol=1e-3)


def test_finite_differences_of_a_linear_score_are_exact(heavy_dtype):
    dtype = heavy_dtype
    # The model N(0, 1) on {-1, 0, 2}: -1/6, as the implicit loss. Its log-density is quadratic, and exact too.
    data = jnp.asarray([[-1.0], [0.0], [2.0]], dtype)
    np.testing.assert_allclose(finite(lambda x: -x, data, key=KEY).mean(), -1 / 6, **close(dtype, 128))
    log_prob = finite(lambda x: -0.5 * jnp.vdot(x, x), data, key=KEY, of="log_prob", step=0.5)
    np.testing.assert_allclose(log_prob.mean(), -1 / 6, **close(dtype, 128))


@pytest.mark.parametrize("of", ["score", "log_prob"])
def test_the_bias_of_finite_differences_falls_as_the_square_of_the_step(of, x64):
    # The same probes as the sliced loss, with its variance reduced for a score and in its plain form for a density.
    field, x = bent(3, jnp.float64), points(4, 3, jnp.float64)

    def log_prob(x):
        return jnp.tanh(field(x)).sum()

    @jax.jit
    def errors(x):
        score = field if of == "score" else jax.grad(log_prob)
        exact = sliced_score_matching_loss(score, x, key=KEY, n_probes=2, variance_reduced=of == "score")
        function = field if of == "score" else log_prob
        return [
            finite_difference_sliced_score_matching_loss(function, x, key=KEY, n_probes=2, of=of, step=step) - exact
            for step in (0.02, 0.01)
        ]

    coarse, fine = errors(x)
    np.testing.assert_allclose(coarse / fine, 4, rtol=0.02)
    assert (np.abs(fine) < 1e-2).all()


def test_every_loss_has_the_gradient_of_the_explicit_one_in_expectation(x64):
    # A normal truth and 20 000 samples: gradients per example differ from the explicit ones by noise only.
    rng = np.random.default_rng(11)
    root = jnp.asarray(rng.normal(size=(2, 2)))
    precision = jnp.linalg.inv(root @ root.T)
    x = jnp.asarray(rng.normal(size=(20_000, 2))) @ root.T

    def gradients(loss):
        def one(parameters, x, row):
            matrix, bend = parameters
            return loss(lambda x: x @ matrix - bend * jnp.sin(x), x, row)

        return jax.vmap(jax.grad(one), (None, 0, 0))(
            (0.3 * root, jnp.asarray(0.2)), x, jnp.arange(len(x), dtype=jnp.int32)
        )

    def at_row(loss):
        # One row at a time, with its own key.
        return lambda s, x, row: loss(s, x[None], row)[0]

    @jax.jit
    def compare():
        truth = gradients(lambda s, x, row: explicit_score_matching_loss(s, lambda x: -precision @ x, x[None])[0])
        losses = {
            "sliced": lambda s, x, i: sliced_score_matching_loss(s, x, key=KEY, offset=i),
            "sliced, plain": lambda s, x, i: sliced_score_matching_loss(
                s, x, key=KEY, offset=i, probe="gaussian", variance_reduced=False
            ),
            "sliced, sphere": lambda s, x, i: sliced_score_matching_loss(
                s, x, key=KEY, offset=i, probe="sphere", n_probes=2
            ),
            "finite difference": lambda s, x, i: finite_difference_sliced_score_matching_loss(
                s, x, key=KEY, offset=i, step=0.01
            ),
            "implicit": lambda s, x, i: implicit_score_matching_loss(s, x),
            "hutchinson": lambda s, x, i: implicit_score_matching_loss(s, x, method="hutchinson", key=KEY, offset=i),
        }
        return {name: jax.tree.map(jnp.subtract, gradients(at_row(loss)), truth) for name, loss in losses.items()}

    for name, differences in compare().items():
        for rows in jax.tree.leaves(differences):
            error = rows.std(0) / len(rows) ** 0.5
            # Thirty numbers: none is beyond 4.5 of its standard errors.
            assert (jnp.abs(rows.mean(0)) < 4.5 * error + 1e-5).all(), name


def test_bad_input_is_refused():
    x = jnp.ones((3, 2))
    with pytest.raises(ValueError, match="unknown probe 'cauchy': expected one of 'rademacher', 'gaussian', 'sphere'"):
        sliced_score_matching_loss(jnp.sin, x, key=KEY, probe="cauchy")
    with pytest.raises(ValueError, match="n_probes must be at least 1, not 0"):
        sliced_score_matching_loss(jnp.sin, x, key=KEY, n_probes=0)
    with pytest.raises(ValueError, match=r"the data have no rows: their shape is \(0, 2\)"):
        implicit_score_matching_loss(jnp.sin, x[:0])
    with pytest.raises(ValueError, match=r"the score of a sample of shape \(2,\) has shape \(\)"):
        explicit_score_matching_loss(jnp.sum, jnp.sin, x)
    for of, result in (
        ("score", r"the score of .* has shape \(\)"),
        ("log_prob", r"the function of .* has shape \(2,\)"),
    ):
        with pytest.raises(ValueError, match=result):
            finite_difference_sliced_score_matching_loss(jnp.sum if of == "score" else jnp.sin, x, key=KEY, of=of)
    with pytest.raises(ValueError, match="step must be positive, not 0"):
        finite_difference_sliced_score_matching_loss(jnp.sin, x, key=KEY, step=0.0)
    with pytest.raises(ValueError, match="'score' or 'log_prob', not 'density'"):
        finite_difference_sliced_score_matching_loss(jnp.sin, x, key=KEY, of="density")
