import chex
import jax
import jax.numpy as jnp
import numpy as np

from scorax.numerics import graph_laplacian, laplacian_logdet, laplacian_pseudoinverse, solve_laplacian


def random_graph(dtype, k=7):
    half = jax.random.exponential(jax.random.key(0), (k, k), dtype)
    return graph_laplacian(half + half.T)


def test_pseudoinverse_is_moore_penrose(dtype):
    laplacian = random_graph(dtype)
    # The error of a Cholesky solve grows with the condition number, here about 5.
    expected = np.linalg.pinv(np.asarray(laplacian, np.float64), rcond=1e-4, hermitian=True)
    np.testing.assert_allclose(laplacian_pseudoinverse(laplacian), expected, atol=50 * jnp.finfo(dtype).eps)


def test_solution_sums_to_zero_and_solves(dtype):
    laplacian = random_graph(dtype)
    rhs = jax.random.normal(jax.random.key(1), (7,), dtype)
    rhs = rhs - rhs.mean()
    x = jax.jit(solve_laplacian)(laplacian, rhs)
    np.testing.assert_allclose(laplacian @ x, rhs, atol=100 * jnp.finfo(dtype).eps)
    np.testing.assert_allclose(x.sum(), 0.0, atol=100 * jnp.finfo(dtype).eps)


def test_log_determinant_counts_spanning_trees(dtype):
    # Cayley: the complete graph has k^(k-2) spanning trees; the pseudo-determinant is k times their number.
    complete = graph_laplacian(jnp.ones((5, 5), dtype))
    np.testing.assert_allclose(laplacian_logdet(complete), np.log(5.0**4), rtol=20 * jnp.finfo(dtype).eps)


def test_batched_equals_looped(dtype):
    stack = jnp.stack([random_graph(dtype), 2 * random_graph(dtype)])
    for function in (laplacian_pseudoinverse, laplacian_logdet):
        chex.assert_trees_all_close(
            function(stack), jnp.stack([function(one) for one in stack]), rtol=50 * float(jnp.finfo(dtype).eps)
        )


def test_a_disconnected_graph_is_nan(dtype):
    two_islands = graph_laplacian(jnp.kron(jnp.eye(2, dtype=dtype), jnp.ones((2, 2), dtype)))
    assert jnp.isnan(laplacian_pseudoinverse(two_islands)).any() | (
        jnp.abs(laplacian_pseudoinverse(two_islands)).max() > 1 / jnp.finfo(dtype).eps / 100
    )
