import jax
import jax.numpy as jnp
import numpy as np

from scorax.numerics import from_ternary, to_ternary


def test_corners_are_an_equilateral_triangle(dtype):
    corners = to_ternary(jnp.eye(3, dtype=dtype))
    sides = [jnp.linalg.norm(corners[i] - corners[j]) for i, j in ((0, 1), (1, 2), (0, 2))]
    np.testing.assert_allclose(sides, 1.0, rtol=4 * jnp.finfo(dtype).eps)


def test_there_and_back(dtype):
    p = jax.random.dirichlet(jax.random.key(0), jnp.ones(3, dtype), (20,))
    np.testing.assert_allclose(jax.jit(lambda p: from_ternary(to_ternary(p)))(p), p, atol=4 * jnp.finfo(dtype).eps)
