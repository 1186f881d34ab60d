"""The two scans against dense Gaussian conditioning."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.numerics._state_space import StateSpaceSeries, _by_place, _by_tree, smooth_series

BOTH = pytest.mark.parametrize("scan", [_by_place, _by_tree], ids=["place", "tree"])
COMPILED = {scan: jax.jit(scan) for scan in (_by_place, _by_tree, smooth_series)}
L, D = 7, 2


def example(dtype, *, seed=0, singular=False):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(L, D, D))
    noise = root @ root.transpose(0, 2, 1)
    precision, shift = rng.uniform(0.5, 2, L), rng.normal(size=L)
    precision[2] = shift[2] = 0.0
    if singular:
        noise[3:5] = 0
        noise[0, 1] = noise[0, :, 1] = 0
    arrays = (rng.normal(size=(L, D, D)) / 2, noise, np.array([1.0, 0.5]), precision, shift)
    return StateSpaceSeries(*(jnp.asarray(x, dtype) for x in arrays))


def dense(series):
    """Prior covariance of all states at once, by unrolling the recursion; then one conditioning."""
    transition, noise, h, tau, nu = (np.asarray(x, np.float64) for x in jax.tree.leaves(series))
    size = tau.size
    cov = np.zeros((size, D, size, D))
    for i in range(size):
        for j in range(i):
            cov[i, :, j] = transition[i] @ cov[i - 1, :, j]
            cov[j, :, i] = cov[i, :, j].T
        cov[i, :, i] = noise[i] + (transition[i] @ cov[i - 1, :, i - 1] @ transition[i].T if i else 0)
    k = np.einsum("a,iajb,b->ij", h, cov, h)
    # The observations in information form: N(0, K) exp(nu x - x' T x / 2).
    inner = np.eye(size) + k * tau[None, :]
    variance = np.linalg.solve(inner, k)
    mean = variance @ nu
    return mean, np.diagonal(variance), (nu @ mean - np.linalg.slogdet(inner)[1]) / 2


@BOTH
@pytest.mark.parametrize("singular", [False, True])
def test_both_scans_condition_as_a_dense_gaussian_does(scan, singular, dtype):
    series = example(dtype, singular=singular)
    found = COMPILED[scan](series)
    mean, variance, log_normaliser = dense(series)
    # Rounding of a few operations on numbers of order 1 to 10, in seven places.
    tolerance = 200 * float(jnp.finfo(dtype).eps)
    np.testing.assert_allclose(found.marginal_mean, mean, atol=tolerance)
    np.testing.assert_allclose(found.marginal_variance, variance, atol=tolerance)
    np.testing.assert_allclose(found.log_normaliser, log_normaliser, atol=tolerance)


def test_the_scans_agree_in_everything(x64):
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, atol=1e-12),
        *(COMPILED[scan](example("float64")) for scan in (_by_place, _by_tree)),
    )


def test_what_the_future_says_is_a_derivative(x64):
    """A number added to the first state moves the log-likelihood by score, and the score by information."""
    series = example("float64")
    found = COMPILED[smooth_series](series)
    h, tau, nu = series.measurement, series.precision, series.shift
    paths = [jnp.eye(D)]
    for a in series.transition[1:]:
        paths.append(a @ paths[-1])
    lift = jnp.stack(paths) @ jnp.eye(D)

    def log_normaliser(by):
        """Of the series whose first state is `by` more on average: the observations of what is left."""
        known = lift @ by @ h
        moved = StateSpaceSeries(series.transition, series.noise, h, tau, nu - tau * known)
        return COMPILED[smooth_series](moved).log_normaliser + nu @ known - tau @ known**2 / 2

    step, zero = 1e-4, jnp.zeros(D)
    at = [[log_normaliser(zero.at[i].add(s)) for s in (step, -step)] for i in range(D)]
    gradient = [(up - down) / (2 * step) for up, down in at]
    curvature = [(up + down - 2 * found.log_normaliser) / step**2 for up, down in at]
    np.testing.assert_allclose(found.score[0], gradient, atol=1e-7)
    np.testing.assert_allclose(-jnp.diagonal(found.information[0]), curvature, atol=1e-5)


def test_batches_and_gradients(x64):
    series = [example("float64", seed=seed) for seed in (0, 1)]
    batch = jax.tree.map(lambda *x: jnp.stack(x), *series)
    together = jax.jit(jax.vmap(smooth_series))(batch)
    for i in range(2):
        single = COMPILED[smooth_series](series[i])
        np.testing.assert_allclose(together.marginal_mean[i], single.marginal_mean, atol=1e-13)

    def log_normaliser(x):
        return smooth_series(StateSpaceSeries(x, *jax.tree.leaves(series[0])[1:])).log_normaliser

    gradient = jax.jit(jax.grad(log_normaliser))(series[0].transition)
    np.testing.assert_array_equal(gradient[0], 0)
    step = 1e-5
    for place in ((1, 0, 1), (5, 1, 1)):
        moved = [dense(StateSpaceSeries(series[0].transition.at[place].add(s), *jax.tree.leaves(series[0])[1:]))[2]
                 for s in (step, -step)]  # fmt: skip
        np.testing.assert_allclose(gradient[place], (moved[0] - moved[1]) / (2 * step), atol=1e-8)


def test_a_long_nearly_certain_series_stays_positive_in_single_precision():
    """A rate that is hardly noisy, seen a thousand times: the covariance is singular to rounding."""
    n, gap = 1000, 1e-2
    transition = jnp.broadcast_to(jnp.asarray([[1.0, gap], [0.0, 1.0]]), (n, 2, 2))
    tiny = 1e-6 * jnp.asarray([[gap**3 / 3, gap**2 / 2], [gap**2 / 2, gap]])
    noise = jnp.broadcast_to(tiny, (n, 2, 2)).at[0].set(jnp.eye(2))
    series = StateSpaceSeries(transition, noise, jnp.asarray([1.0, 0.0]), jnp.full(n, 10.0), jnp.full(n, 5.0))
    found = COMPILED[_by_place](series)
    with jax.enable_x64(True):
        exact = COMPILED[_by_place](jax.tree.map(lambda x: jnp.asarray(np.asarray(x), float), series))
    assert (found.marginal_variance > 0).all()
    # Variances lose what they are smaller than the prior's by: here a factor 1e4, of 24 bits.
    np.testing.assert_allclose(found.marginal_variance, exact.marginal_variance, rtol=2e-2)
    np.testing.assert_allclose(found.marginal_mean, exact.marginal_mean, atol=2e-3)
