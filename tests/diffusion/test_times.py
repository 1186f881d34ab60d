import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.diffusion import (
    EDM,
    VariancePreserving,
    edm_discrete_times,
    edm_grid,
    importance_times,
    log_normal_times,
    shared_offset_times,
    stratified_times,
    uniform_times,
)

SPAN = {"t0": 0.5, "t1": 2.5}
N, REPEATS = 16, 2000


def repeated(sampler, **options):
    keys = jax.random.split(jax.random.key(0), REPEATS)
    return jax.jit(jax.vmap(lambda key: sampler((N,), key=key, **options)))(keys)


@pytest.mark.parametrize("sampler", [uniform_times, stratified_times, shared_offset_times])
def test_times_stay_in_their_span_with_its_density(sampler, dtype):
    t, density = sampler((N,), key=jax.random.key(0), dtype=dtype, **SPAN)
    assert t.dtype == density.dtype == dtype
    assert t.shape == density.shape == (N,)
    assert ((t >= 0.5) & (t <= 2.5)).all()
    np.testing.assert_array_equal(density, 0.5)


@pytest.mark.parametrize(
    ("sampler", "options", "integrand", "integral"),
    [
        # Away from zero, so that a sampler that stratifies [t0, t1/n] + i t1/n is caught (mean 1.75 instead of 1.5).
        (uniform_times, SPAN, lambda t: t, 3.0),
        (stratified_times, SPAN, lambda t: t, 3.0),
        (stratified_times, SPAN, lambda t: t**2, (2.5**3 - 0.5**3) / 3),
        (shared_offset_times, SPAN, lambda t: t**2, (2.5**3 - 0.5**3) / 3),
        (importance_times, SPAN | {"process": EDM()}, lambda t: t**2, (2.5**3 - 0.5**3) / 3),
        (importance_times, {"process": VariancePreserving(), "t0": 0.1}, lambda t: t, 0.495),
        (edm_discrete_times, {"n_levels": 8, "sigma_max": 2.0}, lambda t: t, float(edm_grid(8, 0.002, 2.0).sum())),
        (log_normal_times, {}, lambda t: t * jnp.exp(-t), 1.0),
        (log_normal_times, {"mean": 0.5, "std": 2.0}, lambda t: jnp.exp(-t), 1.0),
    ],
)
def test_the_mean_over_the_density_is_the_integral(sampler, options, integrand, integral):
    t, density = repeated(sampler, **options)
    estimates = (integrand(t) / density).mean(1)
    error = estimates.std() / REPEATS**0.5
    assert abs(estimates.mean() - integral) < 5 * error + 1e-5
    assert error < 0.03 * integral


def test_strata_hold_one_time_each_and_every_row_sees_all_times():
    t, _ = repeated(stratified_times, **SPAN)
    stratum = jnp.floor((t - 0.5) / 2.0 * N).astype(int)
    np.testing.assert_array_equal(jnp.sort(stratum, axis=1), np.broadcast_to(np.arange(N), (REPEATS, N)))
    # A row's own time is uniform: mean 1.5, standard error 2 / sqrt(12 * 2000) = 0.013. Without the rotation the first
    # row would stay near 0.56.
    np.testing.assert_allclose(t[:, 0].mean(), 1.5, atol=0.065)
    np.testing.assert_allclose(t[:, 0].std(), 2 / 12**0.5, rtol=0.05)


def test_strata_take_variance_away():
    # n times in strata of width 1/n: the variance of the mean falls like n^-3 instead of n^-1.
    independent, stratified = (
        repeated(sampler, **SPAN)[0].mean(1).var() for sampler in (uniform_times, stratified_times)
    )
    np.testing.assert_allclose(independent / stratified, N**2, rtol=0.25)


def test_importance_times_make_the_likelihood_weight_constant():
    # The density is g² / sigma² over its integral, twice the span of the log signal-to-noise ratio.
    process = VariancePreserving()
    t, density = importance_times((N,), key=jax.random.key(0), process=process, t0=1e-3)
    span = process.log_snr(jnp.asarray(1e-3)) - process.log_snr(jnp.asarray(1.0))
    np.testing.assert_allclose(process.diffusion2(t) / process.sigma(t) ** 2 / density, 2 * span, rtol=1e-5)
    assert ((t >= 1e-3) & (t <= 1.0)).all()


def test_one_shift_moves_equidistant_times():
    t, _ = repeated(shared_offset_times, **SPAN)
    np.testing.assert_allclose(jnp.diff(jnp.sort(t, axis=1), axis=1), 2 / N, rtol=1e-4)
    np.testing.assert_allclose(t[:, 0].mean(), 1.5, atol=0.065)


def test_discrete_times_are_levels_of_the_grid():
    t, probability = edm_discrete_times((400,), key=jax.random.key(0), n_levels=5)
    np.testing.assert_array_equal(np.unique(t), np.sort(edm_grid(5)[:-1]))
    np.testing.assert_allclose(probability, 0.2, rtol=1e-6)


def test_log_normal_density_integrates_to_one():
    # The density is a function of the time: over the sorted times, trapezoids cover all but the outer 1e-4 or so.
    t, density = map(np.asarray, jax.jit(lambda key: log_normal_times((20_000,), key=key))(jax.random.key(0)))
    order = np.argsort(t)
    middle = (density[order][1:] + density[order][:-1]) / 2
    np.testing.assert_allclose(middle @ np.diff(t[order]), 1.0, atol=2e-3)
    np.testing.assert_allclose(np.log(t).mean(), -1.2, atol=5 * 1.2 / 20_000**0.5)


def test_the_same_key_gives_the_same_times():
    for sampler in (uniform_times, stratified_times, log_normal_times):
        (t, _), (again, _) = sampler((N,), key=jax.random.key(3)), sampler((N,), key=jax.random.key(3))
        np.testing.assert_array_equal(t, again)


def test_bad_spans_are_refused():
    for sampler in (uniform_times, stratified_times, shared_offset_times):
        with pytest.raises(ValueError, match=r"t1 must be later than t0, not t0=1.0, t1=1.0"):
            sampler((N,), key=jax.random.key(0), t0=1.0)
    with pytest.raises(ValueError, match=r"std must be positive, not 0.0"):
        log_normal_times((N,), key=jax.random.key(0), std=0.0)
