import chex
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.score_matching import nonnegative_score_matching_loss, truncated_score_matching_loss

nonnegative, truncated = map(eqx.filter_jit, (nonnegative_score_matching_loss, truncated_score_matching_loss))


def close(dtype, digits=64):
    return {"rtol": digits * float(jnp.finfo(dtype).eps), "atol": digits * float(jnp.finfo(dtype).eps)}


def column(values, dtype):
    return jnp.asarray(values, dtype)[:, None]


def positive(n, d, dtype=jnp.float32):
    return jnp.asarray(np.random.default_rng(2).gamma(2.0, size=(n, d)), dtype)


def bent(x):
    """A score with a full Jacobian that exists at positive entries only."""
    return jnp.log(x) * x.sum() - jnp.sqrt(x[::-1])


def test_the_best_exponential_rate_by_hand(dtype):
    # On {1, 2, 3} the loss is rate² mean(x²) / 2 - 2 rate mean(x): its minimum -12/7 is at 6/7.
    x = column([1.0, 2.0, 3.0], dtype)

    def loss(rate):
        return nonnegative_score_matching_loss(lambda x: -rate * jnp.ones_like(x), x).mean()

    value, slope = jax.jit(jax.value_and_grad(loss))(jnp.asarray(6 / 7, dtype))
    np.testing.assert_allclose(value, -12 / 7, **close(dtype))
    np.testing.assert_allclose(slope, 0, atol=close(dtype)["atol"])


def test_the_best_half_normal_precision_by_hand(heavy_dtype):
    dtype = heavy_dtype
    x = column([0.5, 1.0, 2.5], dtype)
    best = 3 * (x**2).mean() / (x**4).mean()
    slope = jax.jit(jax.grad(lambda precision: nonnegative_score_matching_loss(lambda x: -precision * x, x).mean()))
    np.testing.assert_allclose(slope(best), 0, atol=4 * close(dtype)["atol"])


def test_the_losses_are_their_formulas(heavy_dtype):
    dtype = heavy_dtype
    x = positive(4, 3, dtype)

    def formula(x):
        s, jacobian = bent(x), jax.jacfwd(bent)(x)
        h, slope = jnp.minimum(x, 1.5), (x < 1.5).astype(x.dtype)
        twice = jnp.sum(0.5 * x**2 * s**2 + 2 * x * s + x**2 * jnp.diagonal(jacobian))
        capped = jnp.sum(0.5 * h * s**2 + h * jnp.diagonal(jacobian) + slope * s)
        distance = jnp.min(x)  # one weight for all entries
        shared = 0.5 * distance * s @ s + distance * jnp.trace(jacobian) + s[jnp.argmin(x)]
        return twice, capped, shared

    expected = jax.jit(jax.vmap(formula))(x)
    actual = (
        nonnegative(bent, x),
        truncated(bent, x, lambda x: jnp.minimum(x, 1.5)),
        truncated(bent, x, jnp.min),
    )
    for value, other in zip(actual, expected, strict=True):
        assert value.dtype == dtype
        np.testing.assert_allclose(value, other, **close(dtype, 256))


def quadrature(f, n=400, end=40.0):
    """Integral over (0, end) by Gauss-Legendre, for smooth functions that vanish at both ends."""
    nodes, weights = np.polynomial.legendre.leggauss(n)
    return (end / 2) * jnp.asarray(weights) @ f(jnp.asarray((nodes + 1) * end / 2)[:, None])


@pytest.mark.parametrize(
    "name", ["square", *(pytest.param(x, marks=pytest.mark.slow) for x in ("linear", "saturating"))]
)
def test_the_excess_is_the_weighted_squared_error(name, x64):
    # For the gamma(3, 2) density, by quadrature: loss - constant = E h (s - s_true)² / 2 for any s.
    weight = {"square": jnp.square, "linear": lambda x: x, "saturating": lambda x: x**2 / (1 + x**2)}[name]

    def density(x):
        return 4 * x[:, 0] ** 2 * jnp.exp(-2 * x[:, 0])

    def truth(x):
        return 2 / x - 2

    @jax.jit
    def excess(a):
        def score(x):
            return a[0] / x - a[1] + a[2] * jnp.sin(x)

        def error(x):
            return (0.5 * weight(x) * (score(x) - truth(x)) ** 2)[:, 0]

        def loss(score):
            return quadrature(lambda x: density(x) * truncated_score_matching_loss(score, x, weight))

        return loss(score) - loss(truth), quadrature(lambda x: density(x) * error(x))

    for a in ([1.3, 1.1, 0.4], [3.0, 2.5, -0.7]):
        actual, expected = excess(jnp.asarray(a))
        np.testing.assert_allclose(actual, expected, rtol=1e-9)


def test_excluded_entries_reach_neither_value_nor_gradient(heavy_dtype):
    dtype = heavy_dtype
    x, where = positive(4, 3, dtype), jnp.asarray([[True, False, True]])

    def total(a, x, loss):
        # Singular at zero, where excluded entries must not be read.
        return loss(lambda x: a / x - jnp.log(x)).sum()

    @jax.jit
    def both(x, where):
        losses = (
            lambda s: nonnegative_score_matching_loss(s, x, where=where),
            lambda s: truncated_score_matching_loss(s, x, lambda x: jnp.sqrt(x) * jnp.log1p(x), where=where),
        )
        return [jax.value_and_grad(total)(jnp.asarray(0.7, dtype), x, loss) for loss in losses]

    masked = both(x.at[:, 1].set(jnp.nan), where)
    chex.assert_tree_all_finite(masked)
    chex.assert_trees_all_close(masked, both(x[:, ::2], None), **close(dtype))


def test_samples_of_any_shape(heavy_dtype):
    dtype = heavy_dtype
    x = positive(4, 6, dtype)
    flat, folded = nonnegative(jnp.sqrt, x), nonnegative(jnp.sqrt, x.reshape(4, 2, 3))
    np.testing.assert_allclose(flat, folded, **close(dtype))
    assert nonnegative(jnp.sqrt, x[:, 0]).shape == (4,)


def test_bad_input_is_refused():
    x = jnp.ones((3, 2))
    with pytest.raises(ValueError, match=r"the weight of a sample of shape \(2,\) has shape \(1,\)"):
        truncated_score_matching_loss(jnp.sin, x, lambda x: x[:1])
    with pytest.raises(ValueError, match="the data have no rows"):
        nonnegative_score_matching_loss(jnp.sin, x[:0])
    with pytest.raises(ValueError, match=r"the score of a sample of shape \(2,\) has shape \(\)"):
        nonnegative_score_matching_loss(jnp.sum, x)
