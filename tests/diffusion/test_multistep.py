import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.diffusion import (
    EDM,
    VarianceExploding,
    VariancePreserving,
    ancestral,
    ddim,
    dpm_solver_pp_2m,
    dpm_solver_pp_2m_sde,
    dpm_solver_pp_3m_sde,
    edm_grid,
    euler_maruyama,
    heun,
    log_snr_grid,
    predictor_corrector,
    probability_flow_euler,
    probability_flow_heun,
    quadratic_grid,
    reverse_diffusion,
    uniform_grid,
    unipc,
    vp_grid,
)

MEAN, VARIANCE = 0.7, 0.3  # normal data
third_order = functools.partial(dpm_solver_pp_3m_sde, eta=0.0)
DETERMINISTIC = {
    "euler": probability_flow_euler,
    "flow heun": probability_flow_heun,
    "heun": heun,
    "ddim": ddim,
    "2m": dpm_solver_pp_2m,
    "3m": third_order,
    "unipc": unipc,
}
RANDOM = {
    "euler-maruyama": euler_maruyama,
    "reverse diffusion": reverse_diffusion,
    "ancestral": ancestral,
    "half": functools.partial(ddim, eta=0.5),
    "2m": dpm_solver_pp_2m_sde,
    "3m": dpm_solver_pp_3m_sde,
    "corrected": predictor_corrector,
}


def spread(process, t):
    return jnp.sqrt(process.alpha(t) ** 2 * VARIANCE + process.sigma(t) ** 2)


def normal_score(process):
    return lambda x, t: (process.alpha(t) * MEAN - x) / spread(process, t) ** 2


def exact(process, x_T, times):
    """The flow keeps a sample at its quantile."""
    first, last = times[0], times[-1]
    z = (x_T - process.alpha(first) * MEAN) / spread(process, first)
    return process.alpha(last) * MEAN + z * spread(process, last)


@pytest.mark.parametrize("case", [0, 1])
def test_matches_the_reference_samplers(oracle, mixture_score, case, x64):
    expected, process = oracle("samplers_karras")[case], EDM()
    score = mixture_score(process, *(jnp.asarray(expected["mixture"][k]) for k in ("weights", "means", "variances")))
    times, x_T, noise = (jnp.asarray(expected[name]) for name in ("sigmas", "x_T", "noise"))
    released = functools.partial(third_order, coefficients="released")
    plain = {"euler": ddim, "heun": heun, "dpmpp_2m": dpm_solver_pp_2m, "dpmpp_3m_eta0": released}
    noisy = {"dpmpp_2m_sde_midpoint_eta1": dpm_solver_pp_2m_sde, "euler_ancestral_eta1": ancestral}

    @jax.jit
    def run(x_T, noise):
        found = {name: sampler(score, process, x_T, times) for name, sampler in plain.items()}
        return found | {name: sampler(score, process, x_T, times, noise=noise) for name, sampler in noisy.items()}

    for name, value in run(x_T, noise).items():
        # The file holds 12 digits of samples of order 10 to 80.
        np.testing.assert_allclose(value, expected[name], rtol=1e-10, atol=1e-10, err_msg=name)
    n = times.shape[0] - 1
    first, last = float(times[0]), float(times[-2])
    np.testing.assert_allclose(log_snr_grid(process, n - 1, last, first), expected["exponential"][:-1], rtol=1e-10)
    np.testing.assert_allclose(vp_grid(n), expected["vp"], rtol=1e-10)


def test_matches_the_reference_on_an_exploding_schedule(oracle, x64):
    expected = oracle("azula_schedules_samplers")[0]
    process = VarianceExploding(0.01, 100.0)
    mean, variance = jnp.asarray(expected["mean"]), jnp.asarray(expected["variance"])
    t = jnp.asarray(expected["t"])
    np.testing.assert_allclose(process.sigma(t), expected["sigma"], rtol=1e-10)
    np.testing.assert_allclose(process.alpha(t), expected["alpha"], rtol=1e-10)
    score = lambda x, t: (mean - x) / (variance + process.sigma(t) ** 2)  # noqa: E731
    x = jax.jit(lambda x: ddim(score, process, x, uniform_grid(12, 0.0, 1.0)))(jnp.asarray(expected["x_1"]))
    np.testing.assert_allclose(x, expected["DDIMSampler"], rtol=1e-9)


@pytest.mark.parametrize(("name", "order"), [("euler", 1), ("flow heun", 2), ("ddim", 1), ("2m", 2)])
def test_converges_with_its_order_to_the_flow_of_normal_data(name, order, x64):
    process = VariancePreserving()

    @functools.partial(jax.jit, static_argnums=1)
    def error(x_T, n):
        times = log_snr_grid(process, n, 0.03, 0.9)
        return jnp.abs(
            DETERMINISTIC[name](normal_score(process), process, x_T, times) - exact(process, x_T, times)
        ).max()

    errors = [error(jnp.asarray([[-2.0, 1.0], [0.5, 2.2]]), n) for n in (80, 160)]
    np.testing.assert_allclose(np.log2(errors[0] / errors[1]), order, atol=0.12)


def test_third_order_steps_are_consistent_and_the_released_ones_are_not(x64):
    # From an exact start of two steps: only the order of the later steps shows.
    process = EDM()

    @functools.partial(jax.jit, static_argnums=(1, 2))
    def error(x_T, n, coefficients):
        times = log_snr_grid(process, n, 0.1, 10.0)
        run = functools.partial(third_order, normal_score(process), process, coefficients=coefficients)
        x = run(x_T, times)
        first = run(x_T, times[:3])  # two steps, wrong by their low order
        shift = exact(process, x_T, times[:3]) - first
        carried = shift * spread(process, times[-1]) / spread(process, times[2])  # the flow of normal data is linear
        return jnp.abs(x + carried - exact(process, x_T, times)).max()

    x_T = jnp.asarray([[-9.0], [12.0]])
    slopes = {name: np.log2(error(x_T, 160, name) / error(x_T, 320, name)) for name in ("consistent", "released")}
    np.testing.assert_allclose(slopes["consistent"], 3, atol=0.25)
    np.testing.assert_allclose(slopes["released"], 2, atol=0.2)


def test_the_same_step_has_many_names(x64):
    process, x_T, times = EDM(), jnp.asarray([[3.0], [-8.0]]), edm_grid(6, 0.05, 10.0)
    noise = jnp.asarray(np.random.default_rng(0).normal(size=(6, 2, 1)))

    @jax.jit
    def run(x_T):
        of = lambda sampler, **options: sampler(normal_score(process), process, x_T, times, **options)  # noqa: E731
        return (
            (of(ddim), of(probability_flow_euler)),
            (of(dpm_solver_pp_2m), of(dpm_solver_pp_2m_sde, eta=0.0)),
            (of(ddim, eta=1.0, noise=noise), of(ancestral, noise=noise)),
        )

    for one, other in run(x_T):
        np.testing.assert_allclose(one, other, rtol=1e-11)


def test_ddim_is_exact_in_one_step_for_data_at_a_point(dtype):
    point, process = jnp.asarray([1.0, -2.0], dtype), VariancePreserving()

    def score(x, t):
        return (process.alpha(t) * point - x) / process.sigma(t) ** 2

    x_T = jnp.asarray([[0.4, -1.0]], dtype)
    x = jax.jit(lambda x_T: ddim(score, process, x_T, jnp.asarray([0.9, 0.0], dtype)))(x_T)
    np.testing.assert_allclose(x[0], point, rtol=100 * float(jnp.finfo(dtype).eps))


def test_ancestral_noise_is_that_of_the_posterior(x64):
    # DDPM: the variance of x_s given x_t and x_0 is sigma_s² / sigma_t² times that of the step.
    process, times = VariancePreserving(), jnp.asarray([0.6, 0.4])
    _, step = process.transition(jnp.ones(()), times[1], times[0])
    x = [
        ancestral(normal_score(process), process, jnp.ones((1, 1)), times, noise=jnp.full((1, 1, 1), value))
        for value in (0.0, 1.0)
    ]
    np.testing.assert_allclose(
        (x[1] - x[0])[0, 0], process.sigma(times[1]) / process.sigma(times[0]) * step, rtol=1e-10
    )


def quick(names, *kept):
    """A program is compiled for each: all but a few that differ in kind are slow."""
    return [name if name in kept else pytest.param(name, marks=pytest.mark.slow) for name in names]


EVERY = [*DETERMINISTIC, *(f"random {name}" for name in RANDOM)]


@pytest.mark.parametrize("name", quick(EVERY, "flow heun", "unipc", "random 3m", "random corrected"))
def test_one_program_serves_every_number_of_steps(name):
    process, x_T, most = EDM(), jnp.asarray([[3.0], [-8.0]]), 6
    sampler = RANDOM[name.removeprefix("random ")] if name.startswith("random") else DETERMINISTIC[name]
    options = {"key": jax.random.key(0)}
    traces = []

    def score(x, t):
        traces.append(None)
        return normal_score(process)(x, t)

    @jax.jit
    @jax.value_and_grad
    def run(x_T, n):
        x = sampler(score, process, x_T, edm_grid(n, 0.05, 10.0, n_max=most), **options)
        return x.sum()

    @jax.jit
    def stopped(x_T, n):
        return sampler(score, process, x_T, edm_grid(most, 0.05, 10.0), n_steps=n, return_trajectory=True, **options)

    short, _ = run(x_T, jnp.asarray(3, jnp.int32))
    once = len(traces)
    whole, gradient = run(x_T, jnp.asarray(most, jnp.int32))
    assert len(traces) == once
    for n, value in ((3, short), (most, whole)):
        expected = jax.jit(lambda x_T, n=n: sampler(score, process, x_T, edm_grid(n, 0.05, 10.0), **options))(x_T)
        np.testing.assert_allclose(value, expected.sum(), rtol=1e-5, atol=1e-5)
    assert jnp.isfinite(gradient).all()
    path = stopped(x_T, jnp.asarray(2, jnp.int32))
    assert path.shape == (most + 1, 2, 1)
    assert jnp.isfinite(path).all()
    np.testing.assert_array_equal(path[2:], jnp.broadcast_to(path[2], path[2:].shape))


@pytest.mark.parametrize("name", RANDOM)
@pytest.mark.parametrize("make", [VariancePreserving, pytest.param(EDM, marks=pytest.mark.slow)])
def test_random_samples_have_the_moments_of_the_data(make, name):
    process = make()
    span = (0.02, 50.0) if make is EDM else (0.02, 1.0)

    @jax.jit
    def moments(z):
        times = log_snr_grid(process, 150, *span)
        x_T = process.alpha(times[0]) * MEAN + spread(process, times[0]) * z
        x = RANDOM[name](normal_score(process), process, x_T, times, key=jax.random.key(1))
        return x.mean(0), x.var(0), spread(process, times[-1]) ** 2

    mean, variance, expected = moments(jnp.asarray(np.random.default_rng(0).normal(size=(4000, 2)), jnp.float32))
    # Standard errors: 0.009 of a mean, 2.2 % of a variance. Euler-Maruyama adds 3 % with so long steps; the corrections
    # have a step of their own that adds some.
    np.testing.assert_allclose(mean, MEAN, atol=0.05)
    np.testing.assert_allclose(variance, jnp.broadcast_to(expected, (2,)), rtol=0.16 if name == "corrected" else 0.12)


@pytest.mark.parametrize("name", quick(DETERMINISTIC, "euler", "2m", "unipc"))
def test_the_transform_replaces_the_clean_estimate(name, x64):
    process = VariancePreserving()

    def posterior_mean(x0, x, t):
        gain = process.alpha(t) * VARIANCE / spread(process, t) ** 2
        return MEAN + gain * (x - process.alpha(t) * MEAN)

    @jax.jit
    def run(x_T):
        times = log_snr_grid(process, 5, 0.05, 0.9)
        right = DETERMINISTIC[name](normal_score(process), process, x_T, times)
        return right, DETERMINISTIC[name](lambda x, t: 0 * x, process, x_T, times, transform=posterior_mean)

    np.testing.assert_allclose(*run(jnp.asarray([[0.3], [-1.0]])), rtol=1e-10)


@pytest.mark.parametrize("name", quick(RANDOM, "euler-maruyama", "2m", "corrected"))
def test_chunks_draw_the_noise_of_the_whole(name):
    process, x_T = EDM(), jnp.asarray([[2.0], [-9.0], [5.0], [7.0]])

    @jax.jit
    def run(x_T, offset):
        options = {"key": jax.random.key(5), "offset": offset} | ({"norms": "sample"} if name == "corrected" else {})
        return RANDOM[name](normal_score(process), process, x_T, jnp.asarray([10.0, 3.0, 0.5]), **options)

    whole = run(x_T, jnp.asarray(0, jnp.int32))
    later = run(jnp.roll(x_T, -1, axis=0), jnp.asarray(1, jnp.int32))
    np.testing.assert_allclose(later[:3], whole[1:], rtol=1e-5)


def test_norms_over_the_batch_tie_samples_together():
    process, times = EDM(), jnp.asarray([2.0, 1.0])

    def first(norms, other):
        x_T = jnp.asarray([[1.0], [other]])
        options = {"key": jax.random.key(0), "norms": norms}
        return predictor_corrector(normal_score(process), process, x_T, times, **options)[0]

    np.testing.assert_array_equal(first("sample", 2.0), first("sample", 30.0))
    assert jnp.abs(first("batch", 2.0) - first("batch", 30.0)).max() > 1e-3


def test_grids_run_from_the_first_time_to_the_last():
    for grid in (uniform_grid(4, 0.01, 0.9), quadratic_grid(4, 0.01, 0.9), log_snr_grid(EDM(), 4, 0.01, 0.9)):
        assert grid.shape == (5,)
        np.testing.assert_array_equal(grid[jnp.asarray([0, -1])], jnp.asarray([0.9, 0.01]))
        assert (np.diff(grid) < 0).all()
    np.testing.assert_allclose(np.diff(np.sqrt(quadratic_grid(4, 0.01, 0.81))), -0.2, rtol=1e-5)
    traced = jax.jit(lambda n: uniform_grid(n, 0.0, 1.0, n_max=4))(jnp.asarray(2, jnp.int32))
    np.testing.assert_array_equal(traced, [1, 0.5, 0, 0, 0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda run: run(ddim, [1.0]), "a sampler needs at least two times, not 1"),
        (lambda run: run(ancestral, [1.0, 2.0], key=jax.random.key(0)), "times must decrease from noise to data"),
        (lambda run: run(ddim, [2.0, 1.0, 1.0, 0.5]), "only the last may be repeated"),
        (lambda run: run(ddim, [0.0, 1.0]), "the noise level sigma / alpha is 0.0 at the first time"),
        (lambda run: run(ddim, [2.0, 1.0], n_steps=2), "n_steps must be from 1 to the 1 steps"),
        (lambda run: run(ddim, [2.0, 1.0], eta=-1.0), "eta must be zero or more, not -1"),
        (lambda run: run(ancestral, [2.0, 1.0]), "this sampler draws noise: pass key="),
        (lambda run: run(euler_maruyama, [2.0, 1.0], noise=jnp.zeros((2, 3, 1))), "noise has shape"),
        (lambda run: run(dpm_solver_pp_3m_sde, [2.0, 1.0], coefficients="new"), "unknown coefficients 'new'"),
        (lambda run: run(predictor_corrector, [2.0, 1.0], snr=0.0), "snr must be positive"),
        (lambda run: run(predictor_corrector, [2.0, 1.0], norms="all"), "unknown norms 'all'"),
        (lambda run: uniform_grid(0), "a grid needs at least 1 step, not 0"),
        (lambda run: uniform_grid(3, 1.0, 1.0), "t1 must be later than t0"),
        (lambda run: edm_grid(9, n_max=4), "9 steps are more than n_max=4"),
        (lambda run: jax.jit(uniform_grid)(3), "pass n_max= with a number of steps that is traced"),
    ],
)
def test_bad_input_is_refused(call, message):
    def run(sampler, times, **options):
        return sampler(normal_score(EDM()), EDM(), jnp.ones((3, 1)), jnp.asarray(times), **options)

    with pytest.raises(ValueError, match=message):
        call(run)


def test_a_score_of_another_shape_is_refused():
    for sampler in (ddim, probability_flow_euler):
        with pytest.raises(ValueError, match="the score of a sample of shape"):
            sampler(lambda x, t: x.sum(), EDM(), jnp.ones((3, 1)), jnp.asarray([2.0, 1.0]))


def test_parameters_of_the_process_have_gradients_through_a_run(x64):
    def total(process):
        times = log_snr_grid(process, 6, 0.05, 1.0)
        return dpm_solver_pp_2m(normal_score(process), process, jnp.asarray([[0.3]]), times).sum()

    gradient = eqx.filter_jit(eqx.filter_grad(total))(VariancePreserving())
    step = 1e-5
    slope = (total(VariancePreserving(0.1, 20.0 + step)) - total(VariancePreserving(0.1, 20.0 - step))) / (2 * step)
    np.testing.assert_allclose(gradient.beta_max, slope, rtol=1e-6)
