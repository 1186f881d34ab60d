import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.diffusion import EDM
from scorax.diffusion._multiplicative import (
    GeometricBrownian,
    multiplicative_denoising_loss,
    multiplicative_implicit_loss,
    multiplicative_sample,
    multiplicative_score,
)
from scorax.score_matching import denoising_score_matching_loss, explicit_score_matching_loss

M, V = 0.2, 0.25  # log-normal data
denoising, implicit, sample = map(
    eqx.filter_jit, (multiplicative_denoising_loss, multiplicative_implicit_loss, multiplicative_sample)
)


def process_of(dtype=jnp.float64):
    return GeometricBrownian(jnp.asarray(0.3, dtype), jnp.asarray(0.8, dtype))


def spread(process, t):
    """Mean and variance of the noised logarithm."""
    return M + process.log_drift(t), V + process.log_std(t) ** 2


def exact(process):
    """The relative score of noised log-normal data."""

    def score(x, t):
        mean, variance = (part.astype(x.dtype) for part in spread(process, t))
        return -1 - (jnp.log(x) - mean) / variance

    return score


def other(x, t):
    return -0.6 - 0.5 * jnp.log(x) + 0.1 * jnp.sin(jnp.log(x))


def test_the_relative_score_of_log_normal_data(x64):
    process, t = process_of(), jnp.asarray(0.7)

    def log_prob(x):
        mean, variance = spread(process, t)
        return (-jnp.log(x) - 0.5 * (jnp.log(x) - mean) ** 2 / variance).sum()

    x = jnp.asarray([0.2, 1.0, 3.0])
    found = jax.jit(multiplicative_score(jax.grad(log_prob)))(x)
    np.testing.assert_allclose(found, exact(process)(x, t), rtol=1e-12)


def test_the_three_losses_differ_by_a_constant(x64):
    process, t, order = process_of(), jnp.asarray(0.7), 40
    nodes, weights = np.polynomial.hermite_e.hermegauss(order)
    weights = weights / np.sqrt(2 * np.pi)
    z0, z = (jnp.asarray(side)[:, None] for side in np.asarray(list(itertools.product(nodes, nodes))).T)
    joint = np.outer(weights, weights).ravel()
    mean, variance = spread(process, t)
    x_t = jnp.exp(mean + jnp.sqrt(variance) * jnp.asarray(nodes)[:, None])

    @jax.jit
    def losses(x0, noise, x_t):
        times, found = jnp.full(len(x0), t), []
        for score in (other, exact(process)):
            at = lambda x, score=score: score(x, t)  # noqa: E731
            found.append(
                (
                    explicit_score_matching_loss(at, lambda x: exact(process)(x, t), x_t),
                    multiplicative_denoising_loss(score, process, x0, times, noise=noise) / process.log_std(t) ** 2,
                    multiplicative_implicit_loss(at, x_t),
                )
            )
        return found

    model, truth = losses(jnp.exp(M + V**0.5 * z0), z, x_t)
    for loss, least, weight in zip(model, truth, (weights, joint, weights), strict=True):
        np.testing.assert_allclose(weight @ loss - weight @ least, 0.4017640387, atol=2e-10)


def test_it_is_additive_noise_on_logarithms_without_their_drift(x64):
    # At mu = sigma² / 2 there is none.
    process, t = GeometricBrownian(jnp.asarray(0.32), jnp.asarray(0.8)), jnp.asarray([0.5, 1.7])
    rng = np.random.default_rng(0)
    log_x0, noise = (jnp.asarray(rng.normal(size=(2, 3))) for _ in range(2))

    def additive(y, level):
        return jnp.tanh(y) - level * y

    def relative(x, t):
        return additive(jnp.log(x), process.log_std(t)) - 1

    @jax.jit
    def both(log_x0, noise, t):
        on_logs = denoising_score_matching_loss(additive, EDM(), log_x0, process.log_std(t), noise=noise)
        return multiplicative_denoising_loss(relative, process, jnp.exp(log_x0), t, noise=noise), on_logs

    np.testing.assert_allclose(*both(log_x0, noise, t), rtol=1e-12)


def test_data_at_a_point_leave_no_loss(dtype):
    process = GeometricBrownian(jnp.asarray(0.5, dtype), jnp.asarray(1.0, dtype))
    x0, t = jnp.ones((2, 3), dtype), jnp.asarray([0.5, 2.0], dtype)
    loss = denoising(lambda x, t: -1 - jnp.log(x) / t, process, x0, t, key=jax.random.key(0))
    assert loss.dtype == dtype
    np.testing.assert_allclose(loss, 0, atol=1e-11 if dtype == jnp.float64 else 1e-11 * 1e3)


def test_excluded_entries_reach_neither_value_nor_gradient():
    x0, where = jnp.asarray([[1.0, 2.0, jnp.nan], [0.5, 3.0, -7.0]]), jnp.asarray([True, True, False])
    process, t, noise = process_of(jnp.float32), jnp.asarray([0.5, 1.0]), jnp.asarray([[1.0, -1.0, jnp.nan]] * 2)

    @jax.jit
    @jax.value_and_grad
    def total(weight, x0, noise, where):
        def score(x, t=None):
            return weight * jnp.log(x) - jnp.log(x) ** 2

        denoised = multiplicative_denoising_loss(score, process, x0, t, noise=noise, where=where)
        return (denoised + multiplicative_implicit_loss(score, x0, where=where)).sum()

    masked = total(0.4, x0, noise, where)
    kept = total(0.4, x0[:, :2], noise[:, :2], where[:2])
    np.testing.assert_allclose(masked, kept, rtol=1e-6)


def test_the_dale_sampler_recovers_log_normal_data():
    process, n = process_of(jnp.float32), 40_000
    times = jnp.linspace(2.0, 0.0, 401)
    mean, variance = spread(process, times[0])
    x_T = jnp.exp(mean + jnp.sqrt(variance) * jax.random.normal(jax.random.key(0), (n, 1)))
    log_x = jnp.log(sample(exact(process), process, x_T, times, key=jax.random.key(1)))
    # Standard errors 0.0025 and 0.0018; the steps add less than 2e-3.
    np.testing.assert_allclose(log_x.mean(), M, atol=0.009)
    np.testing.assert_allclose(log_x.var(), V, atol=0.008)


def test_the_two_samplers_agree_to_first_order_and_only_one_keeps_signs():
    process, x_T = process_of(jnp.float32), jnp.exp(jnp.linspace(-2, 2, 64))[:, None]

    @jax.jit
    def run(x_T):
        fine, coarse, options = jnp.linspace(1.0, 0.9, 201), jnp.asarray([3.0, 0.01]), {"key": jax.random.key(0)}
        score = exact(process)
        pair = [
            multiplicative_sample(score, process, x_T, fine, method=m, **options) for m in ("dale", "sign_agnostic")
        ]
        rough = [
            multiplicative_sample(score, process, x_T, coarse, method=m, **options) for m in ("dale", "sign_agnostic")
        ]
        return pair, rough

    (dale, agnostic), (rough_dale, rough_agnostic) = run(x_T)
    # The same noise: they differ by sigma² δ (e² - 1) / 2 a step, 2e-3 in all with 200 steps.
    np.testing.assert_allclose(dale, agnostic, rtol=0.02)
    assert (rough_dale > 0).all()
    assert (rough_agnostic < 0).any()


def test_the_flow_keeps_quantiles(x64):
    process, y_T = process_of(), jnp.asarray([[-1.0], [0.3], [2.0]])
    times = jnp.linspace(2.0, 0.5, 2001)
    y = jnp.log(sample(exact(process), process, jnp.exp(y_T), times, method="flow"))
    (m_T, v_T), (m, v) = (spread(process, t) for t in (times[0], times[-1]))
    np.testing.assert_allclose(y, m + jnp.sqrt(v / v_T) * (y_T - m_T), atol=1e-3)  # first order: 0.75 / 2000 steps


def test_the_forward_equation_has_the_moments_of_its_marginal(x64):
    # E x_t = x_0 exp(mu t) and the log-normal variance, by quadrature over the noise.
    process, t = process_of(), jnp.asarray(0.7)
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    x = process.noised(jnp.full(40, 2.0), t, jnp.asarray(nodes))
    weights = weights / np.sqrt(2 * np.pi)
    np.testing.assert_allclose(weights @ x, 2 * np.exp(0.3 * 0.7), rtol=1e-12)
    np.testing.assert_allclose(weights @ x**2, 4 * np.exp((2 * 0.3 + 0.64) * 0.7), rtol=1e-12)
    drift, diffusion = process.drift(x, t), process.diffusion(x, t)
    np.testing.assert_allclose([drift, diffusion], [0.3 * x, 0.8 * x], rtol=1e-12)


def test_chunks_draw_the_noise_of_the_whole():
    process, x, key = process_of(jnp.float32), jnp.asarray([[1.0], [2.0], [0.3]]), jax.random.key(2)

    @jax.jit
    def run(x):
        t, times = jnp.full(len(x), 0.5), jnp.asarray([1.0, 0.5, 0.1])
        parts = [(x, t, 0), (x[1:], t[1:], 1)]
        losses = [multiplicative_denoising_loss(other, process, x, t, key=key, offset=o) for x, t, o in parts]
        return losses, [multiplicative_sample(other, process, x, times, key=key, offset=o) for x, _, o in parts]

    for whole, chunk in run(x):
        np.testing.assert_allclose(chunk, whole[1:], rtol=1e-6)


def test_bad_input_is_refused():
    process, x, t = process_of(jnp.float32), jnp.ones((2, 3)), jnp.ones(2)
    with pytest.raises(ValueError, match="the loss draws noise"):
        multiplicative_denoising_loss(other, process, x, t)
    with pytest.raises(ValueError, match="the data have no rows"):
        multiplicative_implicit_loss(lambda x: x, x[:0])
    with pytest.raises(ValueError, match="unknown method 'euler'"):
        multiplicative_sample(other, process, x, t, method="euler")
    with pytest.raises(ValueError, match="'dale' draws noise: pass key="):
        multiplicative_sample(other, process, x, t)
    with pytest.raises(ValueError, match="needs at least two times"):
        multiplicative_sample(other, process, x, t[:1], method="flow")
    with pytest.raises(RuntimeError, match="needs positive data: shift"):
        multiplicative_implicit_loss(lambda x: x, x - 1)
    with pytest.raises(RuntimeError, match="sigma must be positive"):
        GeometricBrownian(0.1, -1.0)
