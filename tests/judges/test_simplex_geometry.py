import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.judges import (
    barycentric,
    expected_score,
    in_hull,
    iso_score_direction,
    observed_distribution,
    score_contrast,
    simplex_volume,
)
from scorax.judges._small_solve import determinant, solve_small
from scorax.numerics import to_ternary

OBSERVED = [[0.15, 0.475, 0.375], [0.3175, 0.215, 0.4675]]
JUDGE_A = [[0.80, 0.15, 0.05], [0.10, 0.80, 0.10], [0.05, 0.15, 0.80]]
JUDGE_B = [[0.80, 0.15, 0.05], [0.05, 0.55, 0.40], [0.00, 0.10, 0.90]]

both = jax.jit(jax.vmap(barycentric, (0, None)))


def draws(dtype, n, m, seed=0):
    rng = np.random.default_rng(seed)
    prevalence = rng.dirichlet(np.ones(m), n)
    confusion = 0.4 * rng.dirichlet(np.ones(m), (n, m)) + 0.6 * np.eye(m)
    return jnp.asarray(prevalence, dtype), jnp.asarray(confusion, dtype)


@pytest.mark.parametrize(
    ("judge", "volume", "prevalence", "score"),
    [
        (JUDGE_A, 0.4875, [[0.10, 0.50, 0.40], [0.35, 0.10, 0.55]], [2.30, 2.20]),
        (
            JUDGE_B,
            0.3575,
            [[0.136364, 0.818182, 0.045455], [0.383566, 0.212937, 0.403497]],
            [1.909091, 2.019930],
        ),
    ],
)
def test_two_sensible_judges_order_the_same_observations_differently(dtype, judge, volume, prevalence, score):
    observed, judge = jnp.asarray(OBSERVED, dtype), jnp.asarray(judge, dtype)
    found = both(observed, judge)
    chex.assert_trees_all_close(found, jnp.asarray(prevalence, dtype), atol=1e-6)
    chex.assert_trees_all_close(expected_score(found), jnp.asarray(score, dtype), atol=2e-6)
    chex.assert_trees_all_close(simplex_volume(judge), jnp.asarray(volume, dtype), atol=1e-6)
    contrast = score_contrast(observed[0], observed[1], judge)
    chex.assert_trees_all_close(contrast, jnp.asarray(score[0] - score[1], dtype), atol=2e-6)
    assert bool(in_hull(observed[0], judge))


@pytest.mark.parametrize("m", [2, 3, 5])
def test_barycentric_inverts_observed(dtype, m):
    prevalence, confusion = draws(dtype, 32, m)
    back = jax.jit(barycentric)(observed_distribution(prevalence, confusion), confusion)
    # Diagonally dominant matrices: the condition number stays below 100.
    chex.assert_trees_all_close(back, prevalence, atol=100 * float(jnp.finfo(dtype).eps))


def test_contrast_is_the_ratio_of_areas_in_the_plane(x64):
    _, confusion = draws("float64", 16, 3)
    rng = np.random.default_rng(1)
    a, b = jnp.asarray(rng.dirichlet(np.ones(3), (2, 16)))
    corner = to_ternary(confusion)
    u, v = corner[:, 0] - corner[:, 1], corner[:, 2] - corner[:, 1]
    delta = to_ternary(a) - to_ternary(b)
    cross = lambda p, q: p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0]  # noqa: E731
    chex.assert_trees_all_close(score_contrast(a, b, confusion), cross(u + v, delta) / cross(u, v), rtol=1e-10)
    uneven = (1.0, 1.5, 4.0)
    expected = (-0.5 * cross(delta, v) + 2.5 * cross(u, delta)) / cross(u, v)
    chex.assert_trees_all_close(score_contrast(a, b, confusion, uneven), expected, rtol=1e-10)


@pytest.mark.parametrize("values", [None, (0.0, 3.0, 4.0)])
def test_score_does_not_change_along_the_iso_score_direction(dtype, values):
    prevalence, confusion = draws(dtype, 8, 3)
    observed = observed_distribution(prevalence, confusion)
    step = 0.1 * iso_score_direction(confusion, values)
    contrast = score_contrast(observed + step, observed, confusion, values)
    chex.assert_trees_all_close(contrast, jnp.zeros(8, dtype), atol=50 * float(jnp.finfo(dtype).eps))


def test_permuting_levels_of_truth_and_label_changes_no_volume(dtype):
    _, confusion = draws(dtype, 4, 4)
    shuffled = confusion[:, jnp.array([2, 0, 3, 1])]
    chex.assert_trees_all_close(simplex_volume(shuffled), simplex_volume(confusion), rtol=1e-5)
    chex.assert_trees_all_close(simplex_volume(jnp.eye(4, dtype=dtype)), jnp.ones((), dtype))
    swapped = jnp.eye(4, dtype=dtype)[jnp.array([1, 0, 2, 3])]
    assert (float(simplex_volume(swapped)), float(simplex_volume(swapped, signed=True))) == (1.0, -1.0)


def test_a_judge_that_cannot_tell_levels_apart_points_nowhere(dtype):
    blind = jnp.asarray([[0.6, 0.3, 0.1], [0.2, 0.3, 0.5], [0.2, 0.3, 0.5]], dtype)
    observed = jnp.asarray([0.4, 0.3, 0.3], dtype)
    assert jnp.isnan(barycentric(observed, blind)).all()
    assert jnp.isnan(score_contrast(observed, observed, blind))
    assert not in_hull(observed, blind)


def test_outside_the_hull_a_coordinate_is_negative(dtype):
    judge = jnp.asarray(JUDGE_A, dtype)
    corner = jnp.asarray([1.0, 0.0, 0.0], dtype)
    assert barycentric(corner, judge).min() < 0
    assert not in_hull(corner, judge)
    assert in_hull(judge[0], judge)


def test_gradient_of_barycentric_is_that_of_differences(x64):
    prevalence, confusion = draws("float64", 1, 3)
    observed = observed_distribution(prevalence[0], confusion[0])
    score = lambda judge: expected_score(barycentric(observed, judge))  # noqa: E731
    direction = jnp.asarray(np.random.default_rng(2).normal(size=(3, 3)))
    _, slope = jax.jvp(score, (confusion[0],), (direction,))
    difference = (score(confusion[0] + 1e-6 * direction) - score(confusion[0] - 1e-6 * direction)) / 2e-6
    chex.assert_trees_all_close(slope, difference, rtol=1e-7)


@pytest.mark.parametrize("values", [(1.0, 2.0), (1.0, 3.0, 2.0)])
def test_values_that_do_not_fit_are_refused(values):
    with pytest.raises(ValueError, match=r"level values"):
        expected_score(jnp.array([0.2, 0.3, 0.5]), values)


@pytest.mark.parametrize("m", [1, 2, 3, 5])
def test_small_systems_are_solved_as_by_lapack(dtype, m):
    rng = np.random.default_rng(m)
    matrix, right = rng.normal(size=(64, m, m)), rng.normal(size=(64, m, 2))
    matrix[:2] = np.eye(m)[::-1]  # every pivot has to be looked for
    found, volume = jax.jit(solve_small)(jnp.asarray(matrix, dtype), jnp.asarray(right, dtype))
    # Normal matrices of this seed have condition numbers below 2000.
    rtol = 2e4 * float(jnp.finfo(dtype).eps)
    np.testing.assert_allclose(matrix @ np.asarray(found, float), right, rtol=rtol, atol=rtol)
    np.testing.assert_allclose(volume, np.linalg.det(matrix), rtol=rtol, atol=rtol)


def test_gradient_of_the_determinant_is_the_cofactor_matrix(x64):
    matrix = jnp.asarray(np.random.default_rng(0).normal(size=(4, 4)))
    cofactors = determinant(matrix) * jnp.linalg.inv(matrix).T
    chex.assert_trees_all_close(jax.grad(determinant)(matrix), cofactors, rtol=1e-10)
