import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.spatial.distance

from scorax.inference.validity import energy_distance, mmd, two_sample_test

GENERATOR = np.random.default_rng(0)
ENERGY, MMD = jax.jit(energy_distance), jax.jit(mmd)


def pairs(shift=0.0, n=60, seed=0):
    x, y = np.random.default_rng(seed).normal(size=(2, n, 2))
    return jnp.asarray(x, dtype=float), jnp.asarray(y + shift, dtype=float)


def test_distances_are_their_definitions(x64):
    x, y = GENERATOR.normal(size=(7, 3)), GENERATOR.normal(size=(5, 3))
    cdist = scipy.spatial.distance.cdist
    energy = 2 * cdist(x, y).mean() - cdist(x, x).mean() - cdist(y, y).mean()
    np.testing.assert_allclose(ENERGY(jnp.asarray(x), jnp.asarray(y)), energy, rtol=1e-12)
    z = np.concatenate([x, y])
    width = np.median(scipy.spatial.distance.pdist(z) ** 2)
    xx, yy, xy = (np.exp(-(cdist(a, b) ** 2) / width) for a, b in ((x, x), (y, y), (x, y)))
    off = [(k.sum() - len(k)) / (len(k) * (len(k) - 1)) for k in (xx, yy)]
    np.testing.assert_allclose(mmd(jnp.asarray(x), jnp.asarray(y)), sum(off) - 2 * xy.mean(), rtol=1e-12)


def test_energy_distance_of_normals_on_a_line(x64):
    """Two points against one: 2 E|X - Y| - E|X - X'|, by hand; symmetric, and zero between equal samples."""
    x, y = jnp.array([[0.0], [3.0]]), jnp.array([[1.0]])
    np.testing.assert_allclose(ENERGY(x, y), 2 * 1.5 - 1.5)
    np.testing.assert_allclose(ENERGY(y, x), ENERGY(x, y))
    assert ENERGY(x, x) == 0


def test_gradients_are_finite_where_points_coincide(dtype):
    x, y = jnp.zeros((3, 2), dtype), jnp.ones((3, 2), dtype)
    for distance in (energy_distance, mmd):
        chex.assert_tree_all_finite(jax.jit(jax.grad(distance))(x, y))


def test_far_from_the_origin_nothing_is_lost():
    # Moved by a number that both samples represent exactly.
    x, y = (jnp.round(z * 64) / 64 for z in pairs(0.5))
    np.testing.assert_allclose(ENERGY(x + 1024, y + 1024), ENERGY(x, y), rtol=1e-5)


@pytest.mark.parametrize("distance", ["energy", "mmd"])
def test_size_and_power(distance):
    """2 x 60 points in the plane, as in the specification's study: level 0.05, a shift of 0.6 in both coordinates."""
    same, shifted = (
        np.array(
            [two_sample_test(*pairs(by, seed=s), key=jax.random.key(s), distance=distance).p_value for s in range(100)]
        )
        for by in (0.0, 0.6)
    )
    # The size is exactly 0.05 at most: 100 samples reject more than 12 times once in a thousand.
    assert (same <= 0.05).sum() <= 12
    assert (shifted <= 0.05).mean() > 0.8


def test_ties_do_not_reject():
    """Few values, so that many permutations change nothing."""
    x = jnp.asarray(GENERATOR.integers(0, 2, (30, 1)), dtype=float)
    y = jnp.asarray(GENERATOR.permuted(np.asarray(x)), dtype=float)
    assert two_sample_test(x, y, key=jax.random.key(0)).p_value > 0.9


@pytest.mark.parametrize(
    ("x", "distance", "reason"),
    [
        (jnp.zeros((5, 1)), "energy", "all points are equal"),
        (jnp.zeros((5, 1)).at[0].set(1.0), "mmd", "use distance='energy'"),
        (jnp.full((5, 1), jnp.nan), "energy", "not finite"),
    ],
)
def test_no_verdict_comes_with_a_reason(x, distance, reason):
    result = two_sample_test(x, jnp.zeros((5, 1)), key=jax.random.key(0), distance=distance)
    assert np.isnan(result.p_value)
    assert reason in result.details["reason"]


def test_errors_say_what_is_wrong():
    x, y = pairs()
    with pytest.raises(ValueError, match="distance must be 'energy' or 'mmd', not 'l2'"):
        two_sample_test(x, y, key=jax.random.key(0), distance="l2")
    with pytest.raises(ValueError, match="x must be at least 2, not 1"):
        two_sample_test(x[:1], y, key=jax.random.key(0))
