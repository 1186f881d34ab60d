"""Blocks on populations: every one leaves `E[sum w f(a)]` alone."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.inference._blocks import (
    Population,
    Weighted,
    adaptive_resample,
    collapse,
    compose,
    evidence,
    extract_evidence,
    proper,
    push_evidence,
    resample,
    spawn,
)
from scorax.numerics._resampling import multinomial_indices, residual_indices, stratified_indices
from tests.inference.blocks.closed_forms import NORMAL_LOG_EVIDENCE, log_normal

WEIGHTS = np.array([0.5, 0.0, 2.0, 1.0])
VALUES = np.array([[1.0, 0.0], [np.nan, np.inf], [-1.0, 3.0], [0.5, 2.0]])
INTEGRAL = (WEIGHTS[:, None] * np.nan_to_num(VALUES, posinf=0)).sum(0)
RUNS = 20_000


def population(dtype=jnp.float32, weights=WEIGHTS):
    with np.errstate(divide="ignore"):
        return Population({"x": jnp.asarray(VALUES, dtype)}, jnp.asarray(np.log(weights), dtype))


def test_summaries(dtype):
    rtol = 8 * float(jnp.finfo(dtype).eps)
    p = population(dtype)
    np.testing.assert_allclose(p.log_evidence, np.log(3.5), rtol=rtol)
    np.testing.assert_allclose(p.ess, 3.5**2 / 5.25, rtol=20 * rtol)
    # What has no weight adds nothing, be it NaN.
    np.testing.assert_allclose(p.integral()["x"], INTEGRAL, rtol=20 * rtol)
    np.testing.assert_allclose(p.mean(lambda value: value["x"]), INTEGRAL / 3.5, rtol=20 * rtol)
    np.testing.assert_allclose(p.map(lambda value: 2 * value["x"]).integral(), 2 * INTEGRAL, rtol=20 * rtol)


def test_averages_of_nothing_are_nan_and_integrals_zero():
    nothing = population(weights=np.zeros(4))
    assert (nothing.integral()["x"] == 0).all()
    assert jnp.isnan(nothing.ess)
    assert jnp.isnan(nothing.mean(lambda value: 1.0))


def test_a_population_may_hold_modules_and_whole_numbers():
    linear = eqx.filter_vmap(lambda key: eqx.nn.Linear(1, 1, key=key))(jax.random.split(jax.random.key(0), 3))
    mapped = Population(linear, jnp.zeros(3)).map(lambda module: (module(jnp.ones(1)), jnp.asarray(1)))
    total = mapped.integral()
    np.testing.assert_allclose(total[0], (linear.weight[:, :, 0] + linear.bias).sum(0), rtol=1e-6)
    assert total[1] == 3.0


@eqx.filter_jit
def runs(transform, keys):
    return jax.lax.map(lambda key: transform(population(), key=key), keys)


def mean_and_error(drawn):
    drawn = np.asarray(drawn, np.float64)
    return drawn.mean(0), drawn.std(0) / RUNS**0.5


KEYS = jax.random.split(jax.random.key(0), RUNS)


@pytest.mark.parametrize(
    "transform",
    [
        resample,
        eqx.Partial(resample, scheme=multinomial_indices),
        eqx.Partial(adaptive_resample, ess_threshold=0.9),
        compose(eqx.Partial(resample, scheme=stratified_indices), eqx.Partial(resample, scheme=residual_indices)),
    ],
    ids=["systematic", "multinomial", "adaptive", "composed"],
)
def test_resampling_leaves_integrals_and_the_evidence_alone(transform):
    after = runs(transform, KEYS)
    np.testing.assert_allclose(after.log_weight, np.log(3.5 / 4), rtol=1e-6)
    mean, error = mean_and_error(3.5 / 4 * np.asarray(after.value["x"]).sum(1))
    assert (abs(mean - INTEGRAL) < 4.5 * error + 1e-6).all()


def test_a_draw_carries_the_evidence():
    one = runs(collapse, KEYS)
    np.testing.assert_allclose(one.log_weight, np.log(3.5), rtol=1e-6)
    mean, error = mean_and_error(3.5 * np.asarray(one.value["x"]))
    assert (abs(mean - INTEGRAL) < 4.5 * error).all()


@pytest.mark.parametrize("transform", [resample, adaptive_resample, compose(resample, adaptive_resample)])
def test_zero_weights_come_back_unchanged(transform):
    nothing = population(weights=np.zeros(4))
    after = jax.jit(transform)(nothing, key=jax.random.key(0))
    assert (after.log_weight == -jnp.inf).all()
    np.testing.assert_array_equal(after.value["x"], nothing.value["x"])


def test_a_nan_weight_stays_visible():
    broken = population(weights=np.array([1.0, np.nan, 1.0, 1.0]))
    assert jnp.isnan(jax.jit(resample)(broken, key=jax.random.key(0)).log_evidence)


def test_one_particle_keeps_its_value_and_its_weight():
    one = Population(jnp.asarray([3.0]), jnp.asarray([-2.0]))
    after = jax.jit(resample)(one, key=jax.random.key(0))
    np.testing.assert_allclose([after.value[0], after.log_weight[0]], [3.0, -2.0], rtol=1e-6)


def test_adaptive_resampling_waits_for_the_threshold():
    # ESS 2.33 of 4.
    for threshold, happens in ((0.58, False), (0.59, True)):
        after = jax.jit(adaptive_resample)(population(), key=jax.random.key(0), ess_threshold=threshold)
        assert bool((after.log_weight == after.log_weight[0]).all()) == happens


def test_evidence_taken_out_and_put_back_is_the_same_measure():
    normalised, total = extract_evidence(population())
    np.testing.assert_allclose(jnp.exp(normalised.log_weight).sum(), 1.0, rtol=1e-6)
    np.testing.assert_allclose(jnp.exp(total) * normalised.integral()["x"], INTEGRAL, rtol=1e-5)
    outer = push_evidence(population())
    np.testing.assert_array_equal(outer.log_weight, total)
    np.testing.assert_array_equal(outer.value.log_weight, normalised.log_weight)


def test_evidence_of_nothing_leaves_a_proper_population():
    normalised, total = extract_evidence(population(weights=np.zeros(4)))
    assert total == -jnp.inf
    np.testing.assert_allclose(jnp.exp(normalised.log_weight), 0.25, rtol=1e-6)


def test_composing_nothing_does_nothing_and_composing_is_in_order():
    p = population()
    assert compose()(p, key=jax.random.key(0)) is p
    trail = []

    def note(name):
        return lambda population, *, key: trail.append((name, int(jax.random.bits(key) % 1000))) or population

    compose(note("first"), note("second"))(p, key=jax.random.key(0))
    assert [name for name, _ in trail] == ["first", "second"]
    assert trail[0][1] != trail[1][1]


def test_spawned_particles_depend_on_their_number_alone(dtype):
    three, many = (spawn(jax.random.normal, n, key=jax.random.key(0)) for n in (3, 5))
    np.testing.assert_array_equal(three.value, many.value[:3])
    assert three.log_weight.dtype == dtype
    np.testing.assert_allclose(many.log_weight, -np.log(5), rtol=1e-6)


def test_weights_of_runs_are_divided_by_their_number():
    doubled = spawn(lambda key: Weighted(jax.random.normal(key), jnp.log(2.0)), 5, key=jax.random.key(0))
    np.testing.assert_allclose(doubled.log_weight, np.log(2 / 5), rtol=1e-6)


def few(key):
    """Importance sampling by eight draws at once."""
    x = jax.random.normal(key, (8,))
    return Population(x, log_normal(x, 1.0) - jnp.log(8.0))


def test_a_filter_of_filters_has_the_same_evidence():
    outer = eqx.filter_jit(lambda key: spawn(proper(few), 1000, key=key))(jax.random.key(0))
    # Means of 8 weights whose own relative standard deviation is 0.60; posterior Normal(1/2, variance 1/2).
    assert abs(np.exp(float(outer.log_evidence) - NORMAL_LOG_EVIDENCE) - 1) < 4 * 0.6 / 8000**0.5
    assert abs(outer.mean() - 0.5) < 4.4 * (0.5 / 1000) ** 0.5


def test_the_evidence_of_a_program():
    run = evidence(lambda key: Population(jnp.zeros(2), jax.random.normal(key, (2,))))
    np.testing.assert_allclose(run(jax.random.key(0)), np.log(np.exp(jax.random.normal(jax.random.key(0), (2,))).sum()))


def test_no_particles():
    with pytest.raises(ValueError, match="n_particles must be at least 1, not 0"):
        spawn(jax.random.normal, 0, key=jax.random.key(0))
