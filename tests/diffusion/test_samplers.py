import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.diffusion import EDM, VarianceExploding, VariancePreserving, edm_grid, heun

MEAN, VARIANCE = 0.7, 0.3  # normal data
MIXTURE = {"weights": [0.3, 0.7], "means": [[-1.0], [1.5]], "variances": [0.05, 0.2]}
PROCESSES = [VariancePreserving, VarianceExploding, EDM]
sample = eqx.filter_jit(heun)


def spread(process, t):
    return jnp.sqrt(process.alpha(t) ** 2 * VARIANCE + process.sigma(t) ** 2)


def normal_score(process):
    return lambda x, t: (process.alpha(t) * MEAN - x) / spread(process, t) ** 2


def times_of(process, n, low, high, dtype=float):
    """`n` steps between two noise levels, both positive."""
    return process.inverse_log_snr(-jnp.log(edm_grid(n + 1, low, high, dtype=dtype)[:-1]))


def flow_of_normal_data(process, x_T, times):
    """The exact flow keeps a sample at its quantile."""
    first, last = times[0], times[-1]
    z = (x_T - process.alpha(first) * MEAN) / spread(process, first)
    return process.alpha(last) * MEAN + z * spread(process, last)


def mixture_quantile(process, x, t):
    weights, means, variances = (jnp.asarray(MIXTURE[name]) for name in ("weights", "means", "variances"))
    scale = jnp.sqrt(process.alpha(t) ** 2 * variances + process.sigma(t) ** 2)
    return (weights * jax.scipy.stats.norm.cdf((x - process.alpha(t) * means[:, 0]) / scale)).sum(-1)


def test_the_grid_is_that_of_the_paper(dtype):
    grid = jax.jit(lambda: edm_grid(18, dtype=dtype))()
    assert grid.dtype == dtype
    assert grid.shape == (19,)
    expected = [80, 57.586, 40.786, 28.375, 19.352, 12.910, 8.401]
    np.testing.assert_allclose(grid[:7], expected, atol=5e-4)
    np.testing.assert_allclose(grid[17], 0.002, rtol=1e-5)
    assert grid[0] == 80
    assert grid[18] == 0
    even = jax.jit(lambda: edm_grid(5, 1.0, 9.0, rho=1.0, dtype=dtype))()
    np.testing.assert_allclose(even, [9, 7, 5, 3, 1, 0], rtol=1e-6)


@pytest.mark.parametrize("make", PROCESSES)
def test_converges_with_order_two_to_the_flow_of_normal_data(make, x64):
    process = make()

    @functools.partial(jax.jit, static_argnums=1)
    def error(x_T, n):
        times = times_of(process, n, 0.1, 10.0)
        x = heun(normal_score(process), process, x_T, times)
        return jnp.abs(x - flow_of_normal_data(process, x_T, times)).max()

    errors = [error(jnp.asarray([[-9.0, 3.0], [0.5, 12.0]]), n) for n in (64, 128)]
    # Measured slope: 2.01 for each process; largest last error 1.2e-3.
    np.testing.assert_allclose(np.log2(errors[0] / errors[1]), 2, atol=0.1)
    assert errors[-1] < 2e-3


@pytest.mark.parametrize("make", [VariancePreserving, EDM])
def test_converges_with_order_two_to_the_flow_of_a_mixture(mixture_score, make, x64):
    process = make()
    score = mixture_score(process, *(jnp.asarray(MIXTURE[name]) for name in ("weights", "means", "variances")))

    @functools.partial(jax.jit, static_argnums=1)
    def error(x_T, n):
        # In one dimension the flow of any density keeps each sample at its quantile.
        times, quantile = times_of(process, n, 0.1, 10.0), jax.vmap(mixture_quantile, (None, 0, None))
        x = heun(score, process, x_T, times)
        return jnp.abs(quantile(process, x, times[-1]) - quantile(process, x_T, times[0])).max()

    errors = [error(jnp.asarray(np.linspace(-8, 8, 9)[:, None]), n) for n in (80, 160)]
    # Measured slope: 2.01 for the first process, 2.02 for the second.
    np.testing.assert_allclose(np.log2(errors[0] / errors[1]), 2, atol=0.1)


@pytest.mark.parametrize("case", [0, 1])
def test_matches_the_reference_sampler(oracle, mixture_score, case, x64):
    expected, process = oracle("edm_sampler")[case], EDM()
    score = mixture_score(process, *(jnp.asarray(expected["mixture"][k]) for k in ("weights", "means", "variances")))
    x_T = expected["sigma_max"] * jnp.asarray(expected["latents"])
    levels = float(expected["sigma_min"]), float(expected["sigma_max"])
    times = edm_grid(expected["num_steps"], *levels, rho=float(expected["rho"]))
    churn = {"churn": float(expected["S_churn"])}
    if case == 1:
        span = (float(expected["S_min"]), float(expected["S_max"]))
        churn |= {"churn_range": span, "noise_scale": expected["S_noise"]}
    x = jax.jit(lambda x_T, noise: heun(score, process, x_T, times, noise=noise, **churn))(
        x_T, jnp.asarray(expected["noise"])
    )
    # The latents hold 12 digits, and are multiplied by 80.
    np.testing.assert_allclose(x, expected["x_0"], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("churn", [0.0, 10.0])
@pytest.mark.parametrize("make", PROCESSES)
def test_samples_have_the_moments_of_the_data(make, churn):
    process = make()

    @jax.jit
    def moments(z):
        times = process.inverse_log_snr(-jnp.log(edm_grid(128, 0.002, 50.0)))
        x_T = process.alpha(times[0]) * MEAN + spread(process, times[0]) * z
        x = heun(normal_score(process), process, x_T, times, key=jax.random.key(1), churn=churn)
        return x.mean(0), jnp.cov(x.T)

    mean, covariance = moments(jnp.asarray(np.random.default_rng(0).normal(size=(4000, 2)), jnp.float32))
    # Standard errors: 0.0087 of a mean, 0.0067 of a variance. The method adds 0.0026 to the variance with this churn
    # (measured with 40 000 samples; 0.022 with 32 steps), which is less than one of them.
    np.testing.assert_allclose(mean, MEAN, atol=0.04)
    np.testing.assert_allclose(covariance, VARIANCE * np.eye(2), atol=0.03)


def test_one_step_is_exact_for_data_at_a_point(dtype):
    point, x_T = jnp.asarray([1.0, -2.0], dtype), jnp.asarray([[70.0, -3.0], [0.0, 120.0]], dtype)

    @jax.jit
    @jax.value_and_grad
    def square(x_T):
        # The score has no value at the last time: neither it nor its derivative may be felt.
        x = heun(lambda x, t: (point - x) / t**2, EDM(), x_T, jnp.asarray([80.0, 0.0], dtype))
        return (x**2).sum()

    value, gradient = square(x_T)
    assert value.dtype == dtype
    np.testing.assert_allclose(value, 10, rtol=80 * 8 * float(jnp.finfo(dtype).eps))
    np.testing.assert_allclose(gradient, 0, atol=16 * float(jnp.finfo(dtype).eps))


def test_variance_preserving_samples_are_scaled_variance_exploding_ones(x64):
    # Both integrate the same equation in y = x / alpha over the noise level.
    preserving, exploding = VariancePreserving(), EDM()

    @jax.jit
    def both(y_T):
        levels = edm_grid(12, 0.05, 10.0)
        times = preserving.inverse_log_snr(-jnp.log(levels))
        x = heun(normal_score(preserving), preserving, preserving.alpha(times[0]) * y_T, times)
        return x, heun(normal_score(exploding), exploding, y_T, levels)

    preserved, exploded = both(jnp.asarray([[3.0], [-8.0]]))
    np.testing.assert_allclose(preserved, exploded, rtol=1e-9)


def test_samples_are_differentiable_to_the_last_step(mixture_score, x64):
    process = EDM()
    score = mixture_score(process, *(jnp.asarray(MIXTURE[name]) for name in ("weights", "means", "variances")))
    times = edm_grid(8, 0.002, 10.0)

    def total(x_T, times):
        return heun(score, process, x_T, times).sum()

    x_T, shift = jnp.asarray([[-4.0], [0.3], [7.0]]), 1e-5
    by_sample, by_times = jax.jit(jax.grad(total, (0, 1)))(x_T, times)
    assert jnp.isfinite(by_times).all()
    up, down = jax.jit(jax.vmap(total, (0, None)))(jnp.stack([x_T + shift, x_T - shift]), times)
    np.testing.assert_allclose(by_sample.sum(), (up - down) / (2 * shift), rtol=1e-6)


def test_the_trajectory_runs_from_the_first_sample_to_the_last():
    process, x_T = VariancePreserving(), jnp.asarray([[0.3], [-1.0]])

    @jax.jit
    def run(x_T):
        times, score = times_of(process, 64, 0.1, 10.0), normal_score(process)
        path = heun(score, process, x_T, times, return_trajectory=True)
        return path, heun(score, process, x_T, times), flow_of_normal_data(process, x_T, times[:33])

    path, last, halfway = run(x_T)
    assert path.shape == (65, 2, 1)
    np.testing.assert_array_equal(path[0], x_T)
    np.testing.assert_allclose(path[-1], last, rtol=1e-6)
    np.testing.assert_allclose(path[32], halfway, atol=5e-4)  # measured error 1.2e-4


def test_increasing_times_lead_back_to_the_noise():
    process, x_T = EDM(), jnp.asarray([[4.0], [-11.0]])

    @jax.jit
    def there_and_back(x_T):
        times, score = times_of(process, 128, 0.1, 10.0), normal_score(process)
        return heun(score, process, heun(score, process, x_T, times), times[::-1])

    # Measured 3e-5 in double precision: the two runs make nearly the same error, with opposite signs.
    np.testing.assert_allclose(there_and_back(x_T), x_T, atol=3e-4)


def test_the_transform_replaces_the_clean_estimate(x64):
    process = VariancePreserving()

    def posterior_mean(x0, x, t):
        gain = process.alpha(t) * VARIANCE / spread(process, t) ** 2
        return MEAN + gain * (x - process.alpha(t) * MEAN)

    @jax.jit
    def run(x_T):
        times = process.inverse_log_snr(-jnp.log(edm_grid(8, 0.1, 10.0)))

        def sampled(score, transform=None):
            return heun(score, process, x_T, times, transform=transform)

        exact = normal_score(process)
        replaced = sampled(lambda x, t: 0 * x, posterior_mean)  # the score is wrong, the transform right
        unchanged = sampled(exact, lambda x0, x, t: x0)
        clipped = sampled(exact, lambda x0, x, t: jnp.clip(x0, 0.6, 0.8))
        return sampled(exact), replaced, unchanged, clipped

    exact, replaced, unchanged, clipped = run(jnp.asarray([[0.3], [-1.0]]))
    np.testing.assert_allclose(replaced, exact, rtol=1e-10)
    np.testing.assert_allclose(unchanged, exact, rtol=1e-10)
    assert ((clipped > 0.6 - 1e-6) & (clipped < 0.8 + 1e-6)).all()


def test_chunks_draw_the_noise_of_the_whole():
    process, x_T = EDM(), jnp.asarray([[20.0], [-90.0], [5.0], [70.0]])

    @jax.jit
    def run(x_T, offset):
        options = {"key": jax.random.key(5), "churn": 4.0, "offset": offset}
        return heun(normal_score(process), process, x_T, edm_grid(6), **options)

    whole = run(x_T, jnp.asarray(0, jnp.int32))
    later = jnp.roll(x_T, -1, axis=0)  # rows 1 to 3 first
    np.testing.assert_allclose(run(later, jnp.asarray(1, jnp.int32))[:3], whole[1:], rtol=1e-5)
    assert not jnp.allclose(run(later, jnp.asarray(0, jnp.int32))[:3], whole[1:], rtol=1e-2)


def test_churn_outside_its_range_changes_nothing():
    process, score = EDM(), normal_score(EDM())

    @jax.jit
    def both(x_T):
        churn = {"noise": jnp.ones((6, *x_T.shape)), "churn": 9.0, "churn_range": (100.0, 200.0)}
        return heun(score, process, x_T, edm_grid(6)), heun(score, process, x_T, edm_grid(6), **churn)

    quiet, out_of_range = both(jnp.asarray([[20.0], [-90.0]]))
    np.testing.assert_allclose(out_of_range, quiet, rtol=1e-6)


def test_samples_of_any_event_shape():
    for event in ((), (2, 3)):
        assert sample(normal_score(EDM()), EDM(), jnp.ones((4, *event)), jnp.asarray([2.0, 1.0])).shape == (4, *event)


@pytest.mark.parametrize(
    ("times", "options", "message"),
    [
        ([1.0], {}, "a sampler needs at least two times, not 1"),
        ([2.0, 1.0], {"churn": 1.0}, "churn draws noise: pass key=, or the noise itself"),
        ([2.0, 1.0], {"churn": -1.0}, "churn must be zero or more, not -1"),
        ([2.0, 1.0], {"churn": 1.0, "noise": jnp.zeros((2, 3, 1))}, r"noise has shape \(2, 3, 1\), but the steps need"),
    ],
)
def test_bad_input_is_refused(times, options, message):
    with pytest.raises(ValueError, match=message):
        heun(normal_score(EDM()), EDM(), jnp.ones((3, 1)), jnp.asarray(times), **options)


def test_a_score_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="the score of a sample of shape"):
        heun(lambda x, t: x.sum(), EDM(), jnp.ones((3, 1)), jnp.asarray([2.0, 1.0]))


def test_a_grid_of_one_level_is_refused():
    with pytest.raises(ValueError, match="a grid needs at least 2 levels, not 1"):
        edm_grid(1)
