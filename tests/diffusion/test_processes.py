import chex
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.diffusion import (
    EDM,
    CosineVP,
    LinearInterpolant,
    OrnsteinUhlenbeck,
    ScheduledProcess,
    SubVariancePreserving,
    VarianceExploding,
    VariancePreserving,
)


class Fade(eqx.Module):
    """A learned schedule: a variance-preserving one with a constant rate."""

    rate: jax.Array

    def log_alpha(self, t):
        return -self.rate.astype(t.dtype) * t


def scheduled():
    fade = Fade(jnp.asarray(3.0, dtype=float))
    return ScheduledProcess(fade.log_alpha, lambda t: jnp.sqrt(-jnp.expm1(2 * fade.log_alpha(t))))


PROCESSES = {
    "vp": lambda: VariancePreserving(),
    "ve": lambda: VarianceExploding(),
    "ve_exact": lambda: VarianceExploding(exact=True),
    "edm": lambda: EDM(),
    "subvp": lambda: SubVariancePreserving(),
    "ou": lambda: OrnsteinUhlenbeck(1.5, 0.7),
    "cosine": lambda: CosineVP(),
    "linear": lambda: LinearInterpolant(),
    "scheduled": scheduled,
}
TIMES = [0.001, 0.03, 0.4, 0.99]


@pytest.fixture(params=PROCESSES)
def make(request):
    return PROCESSES[request.param]


def eps(dtype, ulps):
    return ulps * float(jnp.finfo(dtype).eps)


def test_the_coefficients_are_the_derivatives_of_the_schedule(make, x64):
    process, t = make(), jnp.asarray(TIMES)

    @jax.jit
    @jax.vmap
    def derived(t):
        alpha, d_alpha = jax.value_and_grad(process.alpha)(t)
        sigma, d_sigma = jax.value_and_grad(process.sigma)(t)
        return d_alpha / alpha, 2 * sigma**2 * (d_sigma / sigma - d_alpha / alpha), jax.grad(process.log_snr)(t)

    rate, diffusion2, snr_slope = derived(t)
    # The two terms of the second formula cancel to about sigma², which costs digits at small times.
    np.testing.assert_allclose(process.drift_rate(t), rate, rtol=1e-12)
    np.testing.assert_allclose(process.diffusion2(t), diffusion2, rtol=1e-10)
    np.testing.assert_allclose(snr_slope, -process.diffusion2(t) / (2 * process.sigma(t) ** 2), rtol=1e-10)


def test_variance_is_preserved(dtype):
    process, t = VariancePreserving(), jnp.asarray(TIMES, dtype)
    np.testing.assert_allclose(process.alpha(t) ** 2 + process.sigma(t) ** 2, 1, rtol=eps(dtype, 4))


def test_time_comes_back_from_the_noise_level(make, dtype):
    process, t = make(), jnp.asarray(TIMES, dtype)
    log_snr, back = jax.jit(lambda t: (process.log_snr(t), process.inverse_log_snr(process.log_snr(t))))(t)
    # A rounding of the log-SNR moves time by dt = eps |lambda| / |dlambda/dt|, at most 30 eps of t here.
    np.testing.assert_allclose(back, t, rtol=eps(dtype, 64), atol=eps(dtype, 4))
    assert (np.diff(log_snr) < 0).all()


def test_time_comes_back_from_the_noise_level_of_a_constant_rate():
    process, t = VariancePreserving(2.0, 2.0), jnp.asarray(TIMES)
    np.testing.assert_allclose(process.inverse_log_snr(process.log_snr(t)), t, rtol=eps(jnp.float32, 64))


def test_no_noise_at_the_time_of_infinite_log_snr(make):
    @jax.jit
    def at(log_snr):
        t = make().inverse_log_snr(log_snr)
        return make().sigma(t), make().alpha(t)

    assert at(jnp.asarray(jnp.inf)) == (0, 1)


def test_transitions_chain_and_carry_the_marginal_along(make, dtype):
    process = make()

    @jax.jit
    def chained(x, s, t, u):
        shrink = process.alpha(u) / process.alpha(t)
        (x_t, by_t), (start, spread) = process.transition(x, s, t), process.marginal(x, t)
        (mean, std), (carried, added) = process.transition(x_t, t, u), process.transition(start, t, u)
        chain = mean, jnp.hypot(std, shrink * by_t)
        marginal = carried, jnp.hypot(added, shrink * spread)
        return chain, process.transition(x, s, u), marginal, process.marginal(x, u)

    chain, direct, marginal, expected = chained(jnp.asarray([1.5, -0.3], dtype), *jnp.asarray([0.1, 0.3, 0.7], dtype))
    chex.assert_trees_all_close(chain, direct, rtol=eps(dtype, 32))
    chex.assert_trees_all_close(marginal, expected, rtol=eps(dtype, 32))


def test_no_transition_takes_no_noise_and_a_backward_one_is_undefined(make):
    process, x, t = make(), jnp.ones(2), jnp.asarray(0.5)
    transition = jax.jit(lambda s, t: process.transition(x, s, t))
    mean, std = transition(t, t)
    np.testing.assert_array_equal(mean, x)
    assert std == 0
    assert jnp.isnan(transition(t, t / 2)[1])


def test_a_perturbed_sample_is_made_of_its_noise(make):
    process, x0, t = make(), jnp.asarray([[1.0, 2.0], [0.0, -1.0]]), jnp.asarray(0.3)

    @jax.jit
    def both(x0):
        x, noise = process.perturb(x0, t, key=jax.random.key(0))
        mean, std = process.marginal(x0, t)
        return x, mean + std * noise

    np.testing.assert_allclose(*both(x0), rtol=eps(jnp.float32, 8))


def test_perturbed_samples_have_the_marginal_moments():
    process, x0, t = VariancePreserving(), jnp.full(20_000, 2.0), jnp.asarray(0.5)
    x, _ = eqx.filter_jit(process.perturb)(x0, t, key=jax.random.key(1))
    mean, std = process.marginal(x0, t)
    # Standard errors of mean and standard deviation are 0.7 % and 0.5 % of std: five of each.
    np.testing.assert_allclose(x.mean(), mean[0], atol=0.035 * std)
    np.testing.assert_allclose(x.std(), std, rtol=0.025)


def test_a_small_variance_keeps_its_digits_in_single_precision():
    # The subtraction 1 - alpha² would be 4.7 % off here.
    with jax.enable_x64(True):
        exact = VariancePreserving().sigma(jnp.asarray(1e-5))
    np.testing.assert_allclose(VariancePreserving().sigma(jnp.asarray(1e-5)), exact, rtol=2e-7)


def test_reverse_equation_and_flow_differ_by_half_the_noise(make):
    process = make()

    @jax.jit
    def both(x, t):
        def score(x, t):
            return -x * t

        flow, reverse = process.probability_flow(score)(x, t), process.reverse(score)
        assert reverse.process is process
        return 2 * flow - process.drift(x, t), reverse.drift(x, t)

    np.testing.assert_allclose(*both(jnp.asarray([0.5, -2.0]), jnp.asarray(0.4)), rtol=eps(jnp.float32, 8))


def test_the_flow_moves_every_normal_quantile_at_its_own_speed(make, x64):
    # Data N(m, c): x_t has quantiles a m + z sqrt(a² c + s²), and the flow must be their velocity.
    process, z, t = make(), jnp.asarray([-1.0, 0.0, 2.0]), jnp.asarray(0.4)

    @jax.jit
    def both(t):
        velocity = process.probability_flow(lambda x, t: (1.3 * process.alpha(t) - x) / scale(t) ** 2)
        return velocity(quantile(t), t), jax.jacfwd(quantile)(t)

    def scale(t):
        return jnp.sqrt(process.alpha(t) ** 2 * 0.7 + process.sigma(t) ** 2)

    def quantile(t):
        return 1.3 * process.alpha(t) + z * scale(t)

    velocity, expected = both(t)
    np.testing.assert_allclose(velocity, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("case", "make"),
    [
        (0, lambda: VariancePreserving(0.1, 20.0)),
        (1, lambda: SubVariancePreserving(0.1, 20.0)),
        (2, lambda: VarianceExploding(0.01, 50.0)),
        (3, lambda: VariancePreserving(0.5, 4.0)),
    ],
)
def test_matches_the_reference_coefficients(oracle, case, make, x64):
    expected, process = oracle("sde_coefficients")[case], make()
    x, z, t, matrix = (jnp.asarray(expected[name]) for name in ("x", "z", "t", "score_matrix"))

    def score(x, t):
        return -jnp.tanh(x @ matrix)

    @jax.jit
    @jax.vmap
    def coefficients(x, t):
        mean, std = process.marginal(x, t)
        reverse, flow = process.reverse(score), process.probability_flow(score)
        return mean, std, process.drift(x, t), jnp.sqrt(process.diffusion2(t)), reverse.drift(x, t), flow(x, t)

    names = ("mean", "std", "drift", "diffusion", "reverse_drift", "pf_drift")
    for name, value in zip(names, coefficients(x, t), strict=True):
        # The file holds 12 digits of numbers of order 1 to 10, also of those that enter the drifts and cancel there.
        np.testing.assert_allclose(value, expected[name], rtol=2e-11, atol=2e-11, err_msg=name)
    prior = jax.vmap(process.prior_log_prob)(z)
    np.testing.assert_allclose(prior, expected["prior_logp"], rtol=2e-11)


def test_the_prior_has_the_scale_of_the_last_time(make, dtype):
    process = make()
    last = process.sigma_max if isinstance(process, EDM) else jnp.asarray(1.0, dtype)
    if isinstance(process, OrnsteinUhlenbeck):
        last = jnp.asarray(20.0, dtype)  # it has no last time
    sample = jax.jit(lambda key: process.prior_sample((10_000, 2), key=key, dtype=dtype))(jax.random.key(2))
    assert sample.dtype == dtype
    # VP(0.1, 20) ends 2e-5 short of its limit, subVP 4.3e-5. The standard error of the second is 0.5 %.
    np.testing.assert_allclose(process.prior_scale, process.sigma(last), rtol=5e-5)
    np.testing.assert_allclose(sample.std(), process.prior_scale, rtol=0.025)


def test_parameters_are_leaves_with_gradients(make, x64):
    process = make()
    leaves = {CosineVP: 1, LinearInterpolant: 0, ScheduledProcess: 1}.get(type(process), 2)
    assert len(jax.tree.leaves(eqx.filter(process, eqx.is_inexact_array))) == leaves
    gradient = eqx.filter_jit(eqx.filter_grad(lambda p, t: p.log_snr(t).sum() + p.diffusion2(t).sum()))
    chex.assert_tree_all_finite(gradient(process, jnp.asarray(TIMES)))


def test_noise_levels_are_differentiable_in_the_schedule(x64):
    def level(beta_max):
        return VariancePreserving(0.1, beta_max).sigma(jnp.asarray(0.3))

    slope = (level(12.0 + 1e-4) - level(12.0 - 1e-4)) / 2e-4
    np.testing.assert_allclose(jax.jit(jax.grad(level))(12.0), slope, rtol=1e-7)


def test_times_of_any_shape_and_of_another_width(make, x64):
    process, t, x = make(), jnp.asarray([TIMES, TIMES]), jnp.ones(3, jnp.float32)
    shapes = jax.eval_shape(lambda t: (process.alpha(t), process.sigma(t), process.diffusion2(t)), t)
    assert {leaf.shape for leaf in shapes} == {(2, 4)}
    mixed = jax.eval_shape(
        lambda t: (process.drift(x, t), process.transition(x, t, t), process.perturb(x, t, key=jax.random.key(0))),
        t[0, 0],
    )
    assert {leaf.dtype for leaf in jax.tree.leaves(mixed)} == {x.dtype}


def test_small_noise_of_all_closed_forms_is_exact_in_single_precision(make):
    t = jnp.asarray([1e-5, 1e-3])
    with jax.enable_x64(True):
        exact = make().sigma(t.astype(jnp.float64))
    # The level goes through a few rounded factors; naive differences of one would be percents off.
    np.testing.assert_allclose(make().sigma(t), exact, rtol=2e-6)


def test_a_user_schedule_is_the_closed_form_it_writes_out(x64):
    closed, fade = VariancePreserving(2.0, 2.0), Fade(jnp.asarray(1.0))
    user = ScheduledProcess(fade.log_alpha, lambda t: jnp.sqrt(-jnp.expm1(-2 * t)))
    t = jnp.asarray(TIMES)
    for name in ("alpha", "sigma", "drift_rate", "diffusion2", "log_snr"):
        np.testing.assert_allclose(getattr(user, name)(t), getattr(closed, name)(t), rtol=1e-12, err_msg=name)

    def time(rate, log_snr):
        curve = lambda t: -rate * t  # noqa: E731
        return ScheduledProcess(curve, lambda t: jnp.sqrt(-jnp.expm1(2 * curve(t)))).inverse_log_snr(log_snr)

    # rate t is a function of the log-SNR: dt/drate = -t / rate; and dt/dlambda = -2 sigma² / g².
    at = closed.log_snr(jnp.asarray(0.4))
    by_rate, by_level = jax.jit(jax.grad(time, (0, 1)))(jnp.asarray(1.0), at)
    np.testing.assert_allclose(by_rate, -0.4, rtol=1e-10)
    sigma, diffusion2 = closed.sigma(jnp.asarray(0.4)), closed.diffusion2(jnp.asarray(0.4))
    np.testing.assert_allclose(by_level, -2 * sigma**2 / diffusion2, rtol=1e-10)


def test_a_level_outside_a_user_schedule_is_at_its_nearer_end():
    process = scheduled()
    np.testing.assert_array_equal(process.inverse_log_snr(jnp.asarray([-10.0, jnp.inf])), [1.0, 0.0])


def test_a_negative_noise_level_is_nan():
    assert jnp.isnan(EDM().sigma(jnp.asarray([-1.0]))).all()
    assert jnp.isnan(VariancePreserving().sigma(jnp.asarray([-0.1]))).all()


@pytest.mark.parametrize(
    ("make_bad", "message"),
    [
        (lambda: VariancePreserving(0.0, 20.0), "beta_min must be a positive finite number, not 0.0"),
        (lambda: VariancePreserving(0.1, jnp.asarray(jnp.nan)), "beta_max must be a positive finite number, not nan"),
        (lambda: VarianceExploding(-1.0, 50.0), "sigma_min must be a positive"),
        (lambda: VarianceExploding(50.0, 50.0), "sigma_max must be larger than sigma_min"),
        (lambda: EDM(0.1, float("inf")), "sigma_max must be a positive"),
        (lambda: EDM(1.0, 0.5), "sigma_max must be larger than sigma_min"),
        (lambda: SubVariancePreserving(0.1, -1.0), "beta_max must be a positive"),
        (lambda: OrnsteinUhlenbeck(0.0), "rate must be a positive"),
        (lambda: CosineVP(0.0), "offset must be a positive"),
        (lambda: ScheduledProcess(lambda t: -t, jnp.sqrt, 1.0, 1.0), "t1 must be later than t0, not t0=1.0"),
    ],
)
def test_bad_parameters_are_refused(make_bad, message):
    with pytest.raises(ValueError, match=message):
        make_bad()


def test_bad_parameters_are_refused_inside_compiled_code():
    build = eqx.filter_jit(lambda beta: VariancePreserving(beta, 20.0).alpha(jnp.asarray(0.5)))
    assert jnp.isfinite(build(jnp.asarray(0.1)))
    with pytest.raises(RuntimeError, match="beta_min must be a positive finite number"):
        build(jnp.asarray(-0.1))
