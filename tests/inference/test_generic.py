"""What holds for every model. A new model joins by one entry in `models.py`."""

import dataclasses

import chex
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from numpyro import handlers

from scorax.inference import bootstrap, fit, leaf_names, log_likelihood, supports
from scorax.inference._model import parameters
from tests.inference.models import CASES, UPPER, drawn, simulated

F64 = jnp.dtype("float64")


@pytest.fixture(params=[*CASES, *UPPER], ids=str, scope="module")
def case(request):
    return request.param


# Fits, their sandwiches and their derivatives compile for long: of models that are alike one is enough every day.
DAILY = (
    "BradleyTerry with order and features",
    "Davidson with order and features",
    "PlackettLuce of tops",
    "SimplexJudge",
)


@pytest.fixture(
    params=[pytest.param(case, marks=() if case.name in DAILY else pytest.mark.slow) for case in [*CASES, *UPPER]],
    ids=str,
    scope="module",
)
def fitted_case(request):
    return request.param


@eqx.filter_jit
def value(model, data):
    return log_likelihood(model, data)


@eqx.filter_jit
def value_and_gradient(model, data):
    return eqx.filter_value_and_grad(log_likelihood)(model, data)


@eqx.filter_jit
def log_prob(model, data):
    return model.log_prob(data)


def close(dtype, factor=50):
    eps = float(jnp.finfo(dtype).eps)
    return {"rtol": factor * eps, "atol": factor * eps}


def repeated(data, times):
    return jax.tree.map(lambda leaf: jnp.repeat(leaf, times, axis=0), data)


def test_parameters_are_all_floating_leaves_and_have_names(case, dtype):
    model = case.template(dtype)
    names = leaf_names(model)
    assert len(names) == len(set(names)) == len(supports(model)) == len(jax.tree.leaves(model))
    assert all(leaf.dtype == dtype for leaf in jax.tree.leaves(model))


def test_survives_a_pytree_round_trip(case, x64):
    model, data = drawn(case, F64), case.design(F64)
    leaves, structure = jax.tree.flatten(model)
    chex.assert_trees_all_equal(value(jax.tree.unflatten(structure, leaves), data), value(model, data))


def test_log_prob_has_the_shape_of_the_rows_and_the_dtype_of_the_parameters(case, dtype):
    model, data = drawn(case, dtype), simulated(case, dtype)
    rows = log_prob(model, data)
    assert rows.shape == data.weight.shape
    assert rows.dtype == dtype
    assert (rows <= 0).all()


def test_jit_equals_eager(case, x64):
    model, data = drawn(case, F64), simulated(case, F64)
    chex.assert_trees_all_close(log_prob(model, data), model.log_prob(data), **close(F64))


def test_vmap_equals_loop(case, x64):
    data = simulated(case, F64)
    models = [drawn(case, F64, seed) for seed in range(3)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *models)
    batched = eqx.filter_jit(eqx.filter_vmap(lambda model: log_likelihood(model, data)))(stacked)
    chex.assert_trees_all_close(batched, jnp.stack([value(model, data) for model in models]), **close(F64))


def test_gradient_matches_central_differences(case, x64):
    model, data = drawn(case, "float64"), simulated(case, "float64")
    flat, rebuild = ravel_pytree(model)
    _, gradient = value_and_gradient(model, data)
    direction = jax.random.normal(jax.random.key(7), flat.shape, flat.dtype)
    # Central differences of step h err by h^2 times the third derivative, and by eps/h times the value.
    step = 1e-5
    up, down = (value(rebuild(flat + sign * step * direction), data) for sign in (1, -1))
    slope = jnp.vdot(ravel_pytree(gradient)[0], direction)
    np.testing.assert_allclose(slope, (up - down) / (2 * step), rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("scale", [0.0, 10.0])
def test_gradient_is_finite_at_extreme_parameters(case, dtype, scale):
    total, gradient = value_and_gradient(drawn(case, dtype, scale=scale), simulated(case, dtype))
    assert jnp.isfinite(total)
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


def test_weights_equal_repetition(case, x64):
    model, data = drawn(case, F64), simulated(case, F64)
    doubled = data.reweight(2 * data.weight)
    chex.assert_trees_all_close(value(model, doubled), value(model, repeated(data, 2)), **close(F64))


def test_aggregated_equals_raw(case, x64):
    model, data = drawn(case, "float64"), repeated(simulated(case, "float64"), 3)
    aggregated = data.aggregate()
    assert aggregated.weight.size < data.weight.size
    assert aggregated.count.sum() == data.count.sum()
    chex.assert_trees_all_close(
        value_and_gradient(model, aggregated), value_and_gradient(model, data), rtol=1e-12, atol=1e-12
    )


def test_padding_adds_nothing(case, dtype):
    model, data = drawn(case, dtype), simulated(case, dtype)
    padded = data.pad(data.weight.shape[0] + 8)
    assert padded.weight.shape[0] == data.weight.shape[0] + 8
    chex.assert_trees_all_close(value_and_gradient(model, padded), value_and_gradient(model, data), **close(dtype))


@pytest.mark.parametrize("of_items", [case for case in [*CASES, *UPPER] if case.permute], ids=str)
def test_renaming_the_items_renames_the_answer(of_items, x64):
    model, data = drawn(of_items, F64), simulated(of_items, F64)
    new = np.random.default_rng(0).permutation(5)
    chex.assert_trees_all_close(log_prob(*of_items.permute(model, data, new)), log_prob(model, data), **close(F64))


def test_single_precision_is_close_to_double(case):
    with jax.enable_x64(True):
        model, data = drawn(case, "float64"), simulated(case, "float64")
        double = np.asarray(log_prob(model, data))
    single_model = jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf), jnp.float32), model)
    single_data = jax.tree.map(
        lambda leaf: jnp.asarray(np.asarray(leaf), jnp.float32) if np.issubdtype(leaf.dtype, np.floating) else leaf,
        data,
    )
    # Rounding of the parameters themselves moves a log-probability by a few units in their last place.
    np.testing.assert_allclose(log_prob(single_model, single_data), double, rtol=2e-5, atol=2e-6)


def test_prior_draws_lie_in_the_declared_support(case, heavy_dtype):
    model = case.template(heavy_dtype)
    draws = jax.jit(jax.vmap(lambda key: parameters(handlers.seed(model.prior, key)())))(
        jax.random.split(jax.random.key(0), 50)
    )
    chex.assert_trees_all_equal_structs(draws, parameters(model))
    for leaf, support in zip(jax.tree.leaves(draws), supports(model), strict=True):
        assert support(leaf).all(), support


def test_simulated_outcomes_are_new_and_depend_on_the_key_alone(case, x64):
    model, design = drawn(case, F64), case.design(F64)
    simulate = eqx.filter_jit(lambda key: model.simulate(design, key=key))
    first, again, other = simulate(jax.random.key(1)), simulate(jax.random.key(1)), simulate(jax.random.key(2))
    chex.assert_trees_all_equal(first, again)
    chex.assert_trees_all_equal_shapes_and_dtypes(first, design)
    assert any((x != y).any() for x, y in zip(jax.tree.leaves(first), jax.tree.leaves(other), strict=True))


@pytest.fixture(scope="module")
def recovered(fitted_case):
    """A fit to many simulated rows, in double precision."""
    with jax.enable_x64(True), jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
        truth = drawn(fitted_case, "float64")
        times = fitted_case.recovery_rows // fitted_case.design("float64").weight.shape[0]
        data = truth.simulate(repeated(fitted_case.design("float64"), times), key=jax.random.key(5))
        yield truth, data, fit(fitted_case.template("float64"), data)


def test_fit_recovers_what_simulated_the_data(recovered, x64):
    truth, _, result = recovered
    assert result.diagnostics.converged
    assert not result.diagnostics.separated
    off = ravel_pytree(result.model)[0] - ravel_pytree(truth)[0]
    # Mahalanobis distance: chi-square with as many degrees of freedom as free parameters; 40 is beyond the 1e-5 tail
    # of ten.
    assert off @ jnp.linalg.pinv(result.covariance, rtol=1e-10, hermitian=True) @ off < 40


def test_fit_is_a_maximum_to_machine_precision(recovered, x64):
    _, data, result = recovered
    best = result.log_likelihood
    assert result.diagnostics.gradient_norm < 1e-8
    for seed in range(3):
        nudge = 1e-3 * jax.random.normal(jax.random.key(seed), result.q.shape, result.q.dtype)
        assert log_likelihood(result.problem.module(result.q + nudge), data) < best


def test_second_fit_of_the_same_shapes_compiles_nothing(fitted_case, recovered, x64):
    _, data, _ = recovered
    start = fitted_case.template("float64")
    fit(start, data)
    compiled = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, duration, **_: compiled.append(event) if "backend_compile" in event else None
    )
    fit(start, data.reweight(2 * data.weight))
    seen = len(compiled)
    # The reweighting itself is one product.
    assert seen <= 2, compiled


def test_sandwich_of_well_specified_data_is_close_to_the_model_based_covariance(recovered, x64):
    _, _, result = recovered
    ratio = ravel_pytree(result.robust().std_error)[0] / ravel_pytree(result.std_error)[0]
    # The sandwich's own relative noise at 2000 rows is a few percent a parameter.
    assert (jnp.abs(jnp.log(ratio)) < 0.25).all(), ratio


def test_sandwich_of_aggregated_rows_equals_the_one_of_raw_rows(fitted_case, recovered, x64):
    _, data, result = recovered
    aggregated = fit(fitted_case.template("float64"), data.aggregate())
    chex.assert_trees_all_close(aggregated.robust().covariance, result.robust().covariance, rtol=1e-6, atol=1e-12)


def test_singleton_clusters_are_rows(recovered, x64):
    _, data, result = recovered
    rows = jnp.arange(data.weight.size, dtype=jnp.int32)
    chex.assert_trees_all_close(result.robust(rows).covariance, result.robust().covariance, rtol=1e-6, atol=1e-12)


def test_estimates_differentiate_with_respect_to_the_votes(fitted_case, recovered, x64):
    _, data, _ = recovered
    start = fitted_case.template("float64")

    def first_parameter(weight):
        return ravel_pytree(fit(start, data.reweight(weight)).model)[0][0]

    direction = jax.random.normal(jax.random.key(3), data.weight.shape, data.weight.dtype)
    forward = jax.jit(lambda w: jax.jvp(first_parameter, (w,), (direction,))[1])(data.weight)
    backward = jax.jit(jax.grad(first_parameter))(data.weight)
    step = 1e-4
    refits = [first_parameter(data.weight + sign * step * direction) for sign in (1, -1)]
    np.testing.assert_allclose(jnp.vdot(backward, direction), forward, rtol=1e-6)
    np.testing.assert_allclose(forward, (refits[0] - refits[1]) / (2 * step), rtol=1e-4, atol=1e-9)


@pytest.mark.slow
def test_bootstrap_spread_is_close_to_the_standard_error(recovered, x64):
    _, data, result = recovered
    draws = bootstrap(result.model, data, key=jax.random.key(0), n_resamples=200, method="bayesian")
    assert draws.failed == 0
    ratio = ravel_pytree(draws.std_error)[0] / ravel_pytree(result.std_error)[0]
    # 200 resamples know a standard deviation to 5 %; the sandwich's noise comes on top.
    assert (jnp.abs(jnp.log(ratio)) < 0.3).all(), ratio


@pytest.mark.parametrize("of_items", [case for case in [*CASES, *UPPER] if case.permute], ids=str)
def test_ids_out_of_range_are_refused(of_items, x64):
    whole = of_items.template(F64)
    of_each_item = [name for name in ("strength", "log_noise") if hasattr(whole, name)]
    small = dataclasses.replace(whole, **{name: getattr(whole, name)[:3] for name in of_each_item})
    with pytest.raises(ValueError, match="3"):
        fit(small, of_items.design(F64))
