import itertools

import chex
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.diffusion import EDM, Preconditioned, VarianceExploding, VariancePreserving
from scorax.score_matching import (
    NoiseProcess,
    denoising_score_matching_loss,
    explicit_score_matching_loss,
    implicit_score_matching_loss,
    noise_conditional_score_matching_loss,
)

KEY = jax.random.key(0)
PROCESSES = [VariancePreserving, VarianceExploding, EDM]
loss = eqx.filter_jit(denoising_score_matching_loss)


class Linear(eqx.Module):
    matrix: jax.Array

    def __call__(self, x, t):
        return x @ self.matrix / (1 + t)


def linear(d, dtype, seed=0):
    return Linear(jnp.asarray(np.random.default_rng(seed).normal(size=(d, d)), dtype))


def batch(n, d, dtype=jnp.float32):
    x0 = np.random.default_rng(7).normal(size=(n, d))
    return jnp.asarray(x0, dtype), jnp.asarray(np.linspace(0.05, 0.95, n), dtype)


def noise_like(x):
    return jnp.asarray(np.random.default_rng(8).normal(size=x.shape), x.dtype)


def close(dtype, digits=32):
    return {"rtol": digits * float(jnp.finfo(dtype).eps), "atol": digits * float(jnp.finfo(dtype).eps)}


@pytest.mark.parametrize("make", PROCESSES)
def test_the_weightings_are_the_formula(make, dtype):
    process, score = make(), linear(3, dtype)
    x0, t = batch(5, 3, dtype)

    @jax.jit
    def compare(x0, t, noise):
        alpha, sigma = process.alpha(t), process.sigma(t)
        error = jax.vmap(score)(alpha[:, None] * x0 + sigma[:, None] * noise, t) + noise / sigma[:, None]
        weights = {
            "std": sigma**2,
            "uniform": jnp.ones_like(t),
            "likelihood": process.diffusion2(t),
            # EDM weights the error of the denoised sample, which is sigma²/alpha times that of the score.
            "edm": Preconditioned(score).weight(sigma / alpha) * (sigma**2 / alpha) ** 2,
            # The error of the denoised sample has the weight min(SNR, 5); that of the EDM network the soft one.
            "min_snr": jnp.minimum((alpha / sigma) ** 2, 5) * (sigma**2 / alpha) ** 2,
            "soft_min_snr": (0.5 * sigma / alpha) ** 2
            / ((sigma / alpha) ** 2 + 0.25) ** 2
            / Preconditioned(score).factors(sigma / alpha)[1] ** 2
            * (sigma**2 / alpha) ** 2,
            (lambda t: 1 + t): 1 + t,
        }
        values = [denoising_score_matching_loss(score, process, x0, t, noise=noise, weighting=name) for name in weights]
        return values, [weight * 0.5 * (error**2).sum(1) for weight in weights.values()]

    for value, expected in zip(*compare(x0, t, noise_like(x0)), strict=True):
        assert value.dtype == dtype
        # The error is a difference: its relative rounding is that of the noise.
        np.testing.assert_allclose(value, expected, rtol=256 * float(jnp.finfo(dtype).eps))


def test_the_default_divides_by_nothing_without_noise(dtype):
    process, noise = EDM(), jnp.asarray([[1.0, 2.0]], dtype)

    def total(score):
        return denoising_score_matching_loss(score, process, jnp.ones_like(noise), jnp.zeros(1, dtype), noise=noise)[0]

    value, gradient = eqx.filter_jit(eqx.filter_value_and_grad(total))(linear(2, dtype))
    np.testing.assert_allclose(value, 2.5)
    chex.assert_tree_all_finite(gradient)


@pytest.mark.parametrize("make", PROCESSES)
def test_gradients_are_those_of_the_explicit_and_implicit_losses_of_noised_data(make, x64):
    # Data N(0.5, 0.3²) in one dimension, so the noised density is normal. Quadrature over data and noise is exact, as
    # every integrand is a polynomial. The losses differ by constants: their parameter gradients agree.
    process, t = make(), jnp.asarray(0.6)
    nodes, weights = np.polynomial.hermite_e.hermegauss(8)
    weights = jnp.asarray(weights / weights.sum())
    alpha, sigma = process.alpha(t), process.sigma(t)
    scale = jnp.sqrt(alpha**2 * 0.09 + sigma**2)
    pairs = jnp.asarray(list(itertools.product(nodes, nodes)))
    x0, noise = 0.5 + 0.3 * pairs[:, :1], pairs[:, 1:]
    x_t = alpha * 0.5 + scale * jnp.asarray(nodes)[:, None]

    def at(parameters):
        return lambda x, t=t: parameters[0] + parameters[1] * x + parameters[2] * (x / scale) ** 3

    def denoising(parameters):
        rows = denoising_score_matching_loss(
            at(parameters), process, x0, jnp.broadcast_to(t, (64,)), noise=noise, weighting="uniform"
        )
        return jnp.vdot(jnp.outer(weights, weights).ravel(), rows)

    def explicit(parameters):
        truth = lambda x: (alpha * 0.5 - x) / scale**2  # noqa: E731
        return jnp.vdot(weights, explicit_score_matching_loss(at(parameters), truth, x_t))

    def implicit(parameters):
        return jnp.vdot(weights, implicit_score_matching_loss(at(parameters), x_t))

    parameters = jnp.asarray([0.3, -0.8, 0.1])
    expected = jax.jit(jax.grad(explicit))(parameters)
    np.testing.assert_allclose(jax.jit(jax.grad(denoising))(parameters), expected, rtol=1e-9)
    np.testing.assert_allclose(jax.jit(jax.grad(implicit))(parameters), expected, rtol=1e-9)


def test_the_best_linear_score_is_that_of_the_noised_data(x64):
    # One time, normal data: the least-squares solution over many rows is the true score within its standard error.
    process, n = VariancePreserving(), 40_000
    x0, t = jnp.asarray(np.random.default_rng(1).normal(scale=0.3, size=(n, 1))), jnp.full(n, 0.4)
    noise = noise_like(x0)

    def total(slope):
        return denoising_score_matching_loss(lambda x, t: slope * x, process, x0, t, noise=noise).mean()

    start, curvature = jax.jit(lambda slope: jax.jvp(jax.grad(total), (slope,), (jnp.ones_like(slope),)))(jnp.zeros(()))
    expected = -1 / (process.alpha(t[0]) ** 2 * 0.09 + process.sigma(t[0]) ** 2)
    # The regression of the noise on x_t: its slope has the relative error 1/sqrt(n) or less.
    np.testing.assert_allclose(-start / curvature, expected, rtol=5 / n**0.5)


def test_chunks_draw_the_noise_of_the_whole():
    process, score = VariancePreserving(), linear(3, jnp.float32)
    x0, t = batch(8, 3)
    run = jax.jit(lambda x0, t, i: denoising_score_matching_loss(score, process, x0, t, key=KEY, offset=i))
    whole = run(x0, t, jnp.asarray(0, jnp.int32))
    later = jnp.roll(x0, -3, axis=0), jnp.roll(t, -3)  # rows 3 to 7 first
    np.testing.assert_allclose(run(*later, jnp.asarray(3, jnp.int32))[:5], whole[3:], rtol=1e-5)
    assert not jnp.allclose(run(*later, jnp.asarray(0, jnp.int32))[:5], whole[3:], rtol=1e-3)


@pytest.mark.parametrize("noise", [None, "given"])
def test_excluded_entries_reach_neither_value_nor_gradient(noise):
    x0, t = batch(4, 3)
    where = jnp.asarray([[True, True, False]])
    draws = {"key": KEY} if noise is None else {"noise": jnp.ones_like(x0)}

    @eqx.filter_jit
    @eqx.filter_value_and_grad
    def total(parameters, x0):
        score, process = parameters
        return denoising_score_matching_loss(score, process, x0, t, where=where, **draws).sum()

    parameters = linear(3, jnp.float32), VariancePreserving()
    value, gradient = total(parameters, x0.at[:, 2].set(jnp.nan))
    expected, expected_gradient = total(parameters, x0)
    assert jnp.isfinite(value)
    chex.assert_tree_all_finite(gradient)
    np.testing.assert_array_equal(value, expected)
    chex.assert_trees_all_equal(gradient, expected_gradient)
    # What the excluded entry would have read or driven has no gradient.
    np.testing.assert_array_equal(gradient[0].matrix[2], 0)
    np.testing.assert_array_equal(gradient[0].matrix[:, 2], 0)


def test_an_excluded_entry_leaves_the_loss_of_the_others(dtype):
    process = EDM()
    x0, t = batch(4, 3, dtype)
    noise = noise_like(x0)

    def score(x, t):
        return jnp.sin(x) * t

    kept = loss(score, process, x0[:, :2], t, noise=noise[:, :2])
    masked = loss(score, process, x0, t, noise=noise, where=jnp.arange(3)[None] < 2)
    np.testing.assert_allclose(masked, kept, **close(dtype))


def test_gradients_are_those_of_finite_differences(x64):
    process = VariancePreserving()
    x0, t = batch(4, 2, jnp.float64)

    def total(matrix):
        rows = denoising_score_matching_loss(
            Linear(matrix), process, x0, t, noise=noise_like(x0), weighting="likelihood"
        )
        return rows.sum()

    matrix, step = linear(2, jnp.float64).matrix, 1e-5
    shift = jnp.asarray([[step, 0.0], [0.0, 0.0]])
    compiled = jax.jit(jax.vmap(total))(jnp.stack([matrix + shift, matrix - shift]))
    np.testing.assert_allclose(
        jax.jit(jax.grad(total))(matrix)[0, 0], (compiled[0] - compiled[1]) / (2 * step), rtol=1e-7
    )


def test_the_schedule_learns_through_the_likelihood_weighting(x64):
    x0, t = batch(4, 2, jnp.float64)

    @eqx.filter_jit
    @eqx.filter_grad
    def gradient(process):
        return denoising_score_matching_loss(
            linear(2, jnp.float64), process, x0, t, noise=noise_like(x0), weighting="likelihood"
        ).mean()

    slopes = gradient(VariancePreserving())
    assert all(jnp.isfinite(leaf) and leaf != 0 for leaf in (slopes.beta_min, slopes.beta_max))


def test_the_loss_vectorises_over_models():
    process = VariancePreserving()
    x0, t = batch(4, 3)
    matrices = jnp.stack([linear(3, jnp.float32, seed).matrix for seed in (0, 1)])

    def rows(matrix):
        return denoising_score_matching_loss(Linear(matrix), process, x0, t, key=KEY)

    together, single = jax.jit(jax.vmap(rows))(matrices), jax.jit(rows)
    for row, matrix in zip(together, matrices, strict=True):
        np.testing.assert_allclose(row, single(matrix), **close(jnp.float32, 64))


class HomeMade:
    """A process of the user's own: no base class, only what the loss asks for."""

    def alpha(self, t):
        return 1 - t

    def sigma(self, t):
        return t

    def perturb(self, x0, t, *, key):
        noise = jax.random.normal(key, x0.shape, x0.dtype)
        return (1 - t) * x0 + t * noise, noise


def test_any_process_that_noises_will_do():
    process = HomeMade()
    x0, t = batch(4, 2)
    assert isinstance(process, NoiseProcess)
    assert loss(linear(2, jnp.float32), process, x0, t, key=KEY).shape == (4,)
    with pytest.raises(ValueError, match="likelihood weighting needs a process with diffusion2"):
        denoising_score_matching_loss(linear(2, jnp.float32), process, x0, t, key=KEY, weighting="likelihood")


LADDER = jnp.geomspace(2.0, 0.1, 5)


def test_the_noise_conditional_loss_takes_each_level_alike(x64):
    # Data at the origin and the score -x c / sigma²: the loss is (1 - c)² |e|² / 2 at every level; the level that a row
    # took shows in what the score was called with.
    x0, n = jnp.zeros((4000, 2)), 4000
    levels = LADDER.astype(jnp.float64)
    run = jax.jit(lambda score: noise_conditional_score_matching_loss(score, x0, levels, key=KEY), static_argnums=0)
    rows = run(lambda x, sigma: -0.5 * x / sigma**2)
    np.testing.assert_allclose(rows.mean(), 0.25, atol=5 * 0.25 / n**0.5)
    # With the score e'(1/sigma²) it is |sigma^-1 + e|²/2 summed: rows tell levels by their mean of 1/sigma².
    shifted = run(lambda x, sigma: jnp.full(2, 1.0) / sigma**2)
    np.testing.assert_allclose(shifted.mean(), 1 + (1 / levels**2).mean(), atol=5 * float(shifted.std()) / n**0.5)


def test_the_noise_conditional_loss_is_the_denoising_loss_of_its_level(heavy_dtype):
    dtype = heavy_dtype
    # One level: EDM at that time, with the noise that the row drew.
    score, (x0, _) = linear(3, dtype), batch(4, 3, dtype)
    level = jnp.asarray([0.7], dtype)
    keys = jax.vmap(lambda i: jax.random.split(jax.random.fold_in(KEY, i))[1])(jnp.arange(4))
    noise = jax.vmap(lambda key: jax.random.normal(key, (3,), dtype))(keys)
    value = jax.jit(lambda x0: noise_conditional_score_matching_loss(score, x0, level, key=KEY))(x0)
    np.testing.assert_allclose(value, loss(score, EDM(), x0, jnp.full(4, 0.7, dtype), noise=noise), **close(dtype))


def test_the_noise_conditional_loss_is_masked_and_chunked():
    score, (x0, _) = linear(3, jnp.float32), batch(6, 3)
    where = jnp.asarray([[True, True, False]])

    @eqx.filter_jit
    def rows(score, x0, offset):
        value, pull = eqx.filter_vjp(
            lambda score: noise_conditional_score_matching_loss(score, x0, LADDER, key=KEY, where=where, offset=offset),
            score,
        )
        return value, pull(jnp.ones_like(value))[0]

    whole, gradient = rows(score, x0.at[:, 2].set(jnp.nan), jnp.asarray(0, jnp.int32))
    chex.assert_tree_all_finite((whole, gradient))
    np.testing.assert_array_equal(gradient.matrix[2], 0)
    np.testing.assert_array_equal(gradient.matrix[:, 2], 0)
    later, _ = rows(score, jnp.roll(x0, -2, axis=0), jnp.asarray(2, jnp.int32))
    np.testing.assert_allclose(later[:4], whole[2:], rtol=1e-5)


def test_events_of_any_shape(dtype):
    process, t = EDM(), jnp.ones(4, dtype)
    for event in ((), (2, 3)):
        noise = jnp.ones((4, *event), dtype)
        value = loss(lambda x, t: 0 * x, process, 0 * noise, t, noise=noise)
        np.testing.assert_array_equal(value, 0.5 * noise[0].size)


def test_bad_input_is_refused():
    process = EDM()
    x0, t = batch(4, 2)
    with pytest.raises(ValueError, match="the loss draws noise: pass key=, or the noise itself"):
        denoising_score_matching_loss(linear(2, jnp.float32), process, x0, t)
    with pytest.raises(ValueError, match="unknown weighting 'snr': expected 'std', 'uniform', 'edm', 'min_snr'"):
        denoising_score_matching_loss(linear(2, jnp.float32), process, x0, t, key=KEY, weighting="snr")
    with pytest.raises(ValueError, match=r"the score of a sample of shape \(2,\) has shape \(\)"):
        denoising_score_matching_loss(lambda x, t: x.sum(), process, x0, t, key=KEY)
    with pytest.raises(ValueError, match="there are no noise levels"):
        noise_conditional_score_matching_loss(linear(2, jnp.float32), x0, t[:0], key=KEY)
    with pytest.raises(ValueError, match="the data have no rows"):
        denoising_score_matching_loss(linear(2, jnp.float32), process, x0[:0], t[:0], key=KEY)
