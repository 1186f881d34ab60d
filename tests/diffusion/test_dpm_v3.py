import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.diffusion import EDM, ModelStatistics, VariancePreserving, dpm_solver_v3, empirical_model_statistics

MEAN, VARIANCE = jnp.array([0.5, -1.0]), jnp.array([0.3, 2.0])


def normal_score(process):
    def score(x, t):
        alpha, sigma = process.alpha(t), process.sigma(t)
        return (alpha * MEAN.astype(x.dtype) - x) / (alpha**2 * VARIANCE.astype(x.dtype) + sigma**2)

    return score


def normal_statistics(grid):
    level2 = jnp.exp(-2 * grid)[:, None]
    mean, variance = MEAN.astype(grid.dtype)[None], VARIANCE.astype(grid.dtype)[None]
    slope = level2 / (level2 + variance)
    return ModelStatistics(grid, slope, jnp.zeros_like(slope), 2 * mean * level2 * variance / (level2 + variance) ** 2)


def grid_of(n, dtype=float):
    return jnp.linspace(-np.log(20.0), np.log(20.0), n, dtype=dtype)


@pytest.mark.parametrize("case", [0, 1])
def test_matches_the_reference_sampler(oracle, mixture_score, case, x64):
    expected, process = oracle("dpm_solver_v3")[case], EDM()
    score = mixture_score(process, *(jnp.asarray(expected["mixture"][k]) for k in ("weights", "means", "variances")))
    grid, slope, growth, shift = (jnp.asarray(expected[name]) for name in ("lambda_grid", "l", "s", "b"))
    options = {"order": int(expected["order"]), "corrector": expected["corrector"] in (True, "True")}
    given = ModelStatistics(grid, slope, growth, shift)
    degenerate = ModelStatistics(grid, jnp.ones_like(slope), jnp.zeros_like(slope), jnp.zeros_like(slope))
    times = jnp.asarray(expected["timesteps"])

    @jax.jit
    def run(x_T):
        return tuple(dpm_solver_v3(score, process, x_T, times, statistics=s, **options) for s in (given, degenerate))

    found = run(jnp.asarray(expected["x_T"]))
    for value, name in zip(found, ("x_0", "x_0_degenerate"), strict=True):
        np.testing.assert_allclose(value, expected[name], rtol=1e-8, atol=1e-8, err_msg=name)


@pytest.mark.parametrize("make", [EDM, VariancePreserving])
def test_one_step_is_exact_for_normal_data(make, dtype):
    process, statistics = make(), normal_statistics(grid_of(4001, dtype))
    times = process.inverse_log_snr(jnp.asarray([-np.log(20.0), np.log(20.0)], dtype))

    def scale(t):
        return jnp.sqrt(process.alpha(t) ** 2 * VARIANCE.astype(dtype) + process.sigma(t) ** 2)

    @jax.jit
    def both(x_T):
        z = (x_T - process.alpha(times[0]) * MEAN.astype(dtype)[None]) / scale(times[0])[None]
        exact = process.alpha(times[1]) * MEAN.astype(dtype)[None] + z * scale(times[1])[None]
        return exact, dpm_solver_v3(normal_score(process), process, x_T, times, statistics=statistics)

    exact, found = both(jnp.asarray([[0.3, -1.0], [1.5, 0.4]], dtype))
    # The trapezoid rule leaves 4e-6 at this width of the grid.
    np.testing.assert_allclose(found, exact, rtol=2e-4 if dtype == jnp.float32 else 2e-5)


def test_the_statistics_of_normal_data_come_back(x64):
    process, grid = EDM(), jnp.linspace(-0.01, 0.01, 3)
    z = jnp.asarray(np.random.default_rng(0).normal(size=(50, 2)))
    x0 = MEAN.astype(float)[None] + jnp.sqrt(VARIANCE.astype(float))[None] * z
    found = jax.jit(
        lambda x0: empirical_model_statistics(normal_score(process), process, x0, grid, key=jax.random.key(0))
    )(x0)
    exact = normal_statistics(grid)
    # The Jacobian is diagonal and constant: one sign vector measures it exactly, and f does not vary.
    np.testing.assert_allclose(found.slope, exact.slope, rtol=1e-10)
    np.testing.assert_array_equal(found.growth, jnp.zeros_like(found.growth))
    # The derivative of the slope is a central difference over 0.01, whose error is of second order.
    np.testing.assert_allclose(found.shift[1], exact.shift[1], rtol=2e-3)


def test_one_program_serves_every_number_of_steps():
    process, statistics = EDM(), normal_statistics(grid_of(201))
    times = jnp.exp(-grid_of(201)[::40])

    @jax.jit
    def run(x_T, n):
        return dpm_solver_v3(normal_score(process), process, x_T, times, statistics=statistics, order=3, n_steps=n)

    x_T = jnp.asarray([[3.0, -8.0]])
    for n in (2, 5):
        expected = dpm_solver_v3(normal_score(process), process, x_T, times[: n + 1], statistics=statistics, order=3)
        np.testing.assert_allclose(run(x_T, jnp.asarray(n, jnp.int32)), expected, rtol=1e-4)
    assert run._cache_size() == 1


def test_pseudo_orders_are_close_and_differentiable(x64):
    process, statistics = EDM(), normal_statistics(grid_of(2001))
    flat = ModelStatistics(statistics.log_snr, 0 * statistics.slope + 1, 0 * statistics.slope, 0 * statistics.slope)
    times = jnp.exp(-grid_of(2001)[::50])

    run = jax.jit(
        jax.value_and_grad(
            lambda x_T, pseudo: dpm_solver_v3(
                normal_score(process), process, x_T, times, statistics=flat, order=3, p_pseudo=pseudo, c_pseudo=pseudo
            ).sum()
        ),
        static_argnums=1,
    )
    x_T = jnp.asarray([[3.0, -8.0]])
    (plain, by_plain), (pseudo, by_pseudo) = run(x_T, False), run(x_T, True)
    np.testing.assert_allclose(pseudo, plain, rtol=5e-2)
    np.testing.assert_allclose(by_pseudo, by_plain, rtol=5e-2)


@pytest.mark.parametrize(
    ("times", "options", "message"),
    [
        ([10.0, 0.001], {}, "the statistics span log_snr from"),
        ([10.0, 0.0], {}, "end where the noise is not zero"),
        ([10.0, 9.999, 1.0], {}, "two times fall on one value"),
        ([10.0, 1.0], {"order": 4}, "order must be 1, 2 or 3, not 4"),
    ],
)
def test_bad_input_is_refused(times, options, message):
    with pytest.raises(ValueError, match=message):
        dpm_solver_v3(
            normal_score(EDM()),
            EDM(),
            jnp.ones((1, 2)),
            jnp.asarray(times),
            statistics=normal_statistics(grid_of(51)),
            **options,
        )


def test_traced_times_and_misfits_are_refused():
    statistics = normal_statistics(grid_of(51))
    with pytest.raises(ValueError, match="must be known values"):
        jax.jit(lambda t: dpm_solver_v3(normal_score(EDM()), EDM(), jnp.ones((1, 2)), t, statistics=statistics))(
            jnp.asarray([10.0, 1.0])
        )
    with pytest.raises(ValueError, match=r"statistics of shape \(2,\) do not fit samples of \(3,\)"):
        dpm_solver_v3(normal_score(EDM()), EDM(), jnp.ones((1, 3)), jnp.asarray([10.0, 1.0]), statistics=statistics)
    with pytest.raises(ValueError, match="statistics need at least two values of log_snr"):
        ModelStatistics(jnp.ones(1), jnp.ones((1, 2)), jnp.ones((1, 2)), jnp.ones((1, 2)))
    with pytest.raises(ValueError, match="there are no samples"):
        empirical_model_statistics(normal_score(EDM()), EDM(), jnp.ones((0, 2)), grid_of(3), key=jax.random.key(0))
