import itertools
import math

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.choice._models._insertions import (
    insertion_vector,
    orders_of,
    truncated_geometric,
)
from scorax.choice._models._mallows import (
    GeneralizedMallows,
    Mallows,
    generalized_mallows_log_prob,
    mallows_log_prob,
    mallows_mean_distance,
)
from scorax.choice._models._mallows_fit import fit_mallows, mallows_dispersion
from scorax.data import Rankings
from scorax.inference import fit
from scorax.stats._rank_distance import kendall_distance

DISPERSIONS = [0.0, 1e-6, 1e-3, 0.02, 0.3, 0.49999, 0.50001, 1.0, 5.0, 30.0, 80.0]
log_prob = jax.jit(mallows_log_prob, static_argnames="n_items")
mean_distance = jax.jit(mallows_mean_distance, static_argnames="n_items")
simulate = jax.jit(lambda model, data, key: model.simulate(data, key=key))
draw = jax.jit(truncated_geometric, static_argnums=2)
inverse = jax.jit(mallows_dispersion, static_argnames="n_items")
rows = jax.jit(lambda model, data: model.log_prob(data))
curvatures = jax.jit(
    jax.vmap(
        lambda x, n: (
            -jax.grad(lambda x: mallows_mean_distance(x, n_items=n))(x),
            -jax.hessian(lambda x: mallows_log_prob(jnp.zeros(()), x, n_items=n))(x),
        ),
        (0, None),
    ),
    static_argnums=1,
)


def eps(dtype, factor):
    return factor * float(jnp.finfo(dtype).eps)


def every(n):
    return np.array(list(itertools.permutations(range(n))))


def data_of(orders, dtype=jnp.float32, count=None):
    ones = jnp.ones(len(orders), dtype) if count is None else jnp.asarray(count, dtype)
    return Rankings(jnp.asarray(orders, jnp.int32), jnp.ones(np.shape(orders), bool), ones, ones)


@pytest.fixture(scope="module")
def orders():
    """Enough draws around [2, 0, 3, 1, 4] that the fit is near."""
    model = Mallows.init([2, 0, 3, 1, 4], dispersion=0.9)
    return np.asarray(simulate(model, data_of(np.tile(np.arange(5), (4000, 1))), jax.random.key(0)).order)


def test_all_rankings_sum_to_one_and_have_the_mean_distance(dtype):
    n = 5
    reference = np.random.default_rng(n).permutation(n)
    data = data_of(every(n), dtype)
    places = np.argsort(every(n), axis=1).astype(dtype)
    target = np.tile(np.argsort(reference).astype(dtype), (len(places), 1))
    distance = np.asarray(jax.jit(kendall_distance)(jnp.asarray(places), jnp.asarray(target)), np.float64)
    for dispersion in DISPERSIONS:
        p = np.exp(np.asarray(rows(Mallows.init(reference, dispersion=dispersion, dtype=dtype), data), np.float64))
        np.testing.assert_allclose(p.sum(), 1, rtol=eps(dtype, 100))
        expected = mean_distance(jnp.asarray(dispersion, dtype), n_items=n)
        # At 80 the mean distance is e^-80.
        np.testing.assert_allclose(p @ distance, expected, rtol=eps(dtype, 200), atol=eps(dtype, 1e-6))


def exact_log_normaliser(dispersion, n):
    """In 64 bits from the sums themselves, which have no cancellation."""
    return sum(math.log1p(math.fsum(math.exp(-dispersion * v) for v in range(1, i))) for i in range(1, n + 1))


def exact_mean(dispersion, n):
    total = 0.0
    for i in range(1, n + 1):
        weight = [math.exp(-dispersion * v) for v in range(i)]
        total += math.fsum(v * w for v, w in enumerate(weight)) / math.fsum(weight)
    return total


@pytest.fixture(scope="module")
def at_dispersion():
    """Value, derivative in the dispersion, and mean distance, of forty items."""
    n = 40
    value_and_slope = jax.value_and_grad(lambda x: mallows_log_prob(jnp.zeros((), x.dtype), x, n_items=n))
    return jax.jit(lambda x: (*value_and_slope(x), mallows_mean_distance(x, n_items=n)))


@pytest.mark.parametrize("dispersion", DISPERSIONS)
def test_normaliser_and_its_derivatives_at_both_ends(dtype, dispersion, at_dispersion):
    x = jnp.asarray(dispersion, dtype)
    value, slope, mean = at_dispersion(x)
    # Forty terms; log 40! is 110.
    tiny = eps(dtype, 1e-6)
    np.testing.assert_allclose(-value, exact_log_normaliser(float(x), 40), rtol=eps(dtype, 32), atol=tiny)
    np.testing.assert_allclose(mean, exact_mean(float(x), 40), rtol=eps(dtype, 64), atol=tiny)
    np.testing.assert_allclose(slope, mean, rtol=eps(dtype, 200), atol=100 * tiny)


def test_second_derivatives_are_the_variance(x64):
    n, dispersions = 30, [0.0, 1e-4, 0.1, 0.49, 0.51, 2.0, 60.0]
    found = curvatures(jnp.asarray(dispersions), n)
    for dispersion, *values in zip(dispersions, *found, strict=True):
        variance = 0.0
        for i in range(1, n + 1):
            weight = np.exp(-dispersion * np.arange(i))
            weight /= weight.sum()
            variance += weight @ np.arange(i) ** 2 - (weight @ np.arange(i)) ** 2
        np.testing.assert_allclose(values, variance, rtol=1e-8, atol=1e-22)


def test_an_infinite_dispersion_allows_the_reference_only(x64):
    value = log_prob(jnp.array([0.0, 1.0]), jnp.asarray(jnp.inf), n_items=4)
    np.testing.assert_array_equal(value, [0.0, -np.inf])
    assert (draw(jax.random.key(0), jnp.full(4, jnp.inf), 20_000) == 0).all()


def test_insertion_vectors_are_orders_and_sum_to_the_kendall_distance():
    reference = jnp.array([2, 0, 3, 1])
    there_and_back = jax.jit(lambda orders: (v := insertion_vector(orders, reference), orders_of(v, reference)))
    vectors, back = there_and_back(jnp.asarray(every(4), jnp.int32))
    chex.assert_trees_all_equal(back, jnp.asarray(every(4), jnp.int32))
    assert len({tuple(v) for v in vectors.tolist()}) == 24
    assert (vectors >= 0).all()
    assert (vectors <= jnp.array([[3, 2, 1, 0]])).all()


def test_generalised_with_equal_stages_is_mallows_and_sums_to_one_without(dtype):
    reference = [1, 3, 0, 2, 4]
    data = data_of(every(5), dtype)
    plain = rows(Mallows.init(reference, dispersion=0.7, dtype=dtype), data)
    equal = rows(GeneralizedMallows.init(reference, dispersion=0.7, dtype=dtype), data)
    np.testing.assert_allclose(equal, plain, rtol=eps(dtype, 16))
    model = GeneralizedMallows(jnp.asarray(reference, jnp.int32), jnp.asarray([0.0, 2.0, 0.3, 40.0], dtype))
    np.testing.assert_allclose(jnp.exp(rows(model, data)).sum(), 1, rtol=eps(dtype, 64))


def test_an_infinite_stage_is_certain(x64):
    insertions = jnp.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    value = jax.jit(generalized_mallows_log_prob)(insertions, jnp.array([jnp.inf, 0.0]))
    np.testing.assert_allclose(value, [-np.log(2), -np.inf], rtol=1e-6)


@pytest.mark.parametrize("stages", [[0.9] * 4, [2.0, 0.0, 1.0, 0.3]])
def test_simulated_rankings_have_the_models_probabilities(stages):
    reference = [2, 0, 3, 1, 4]
    model = GeneralizedMallows(jnp.asarray(reference, jnp.int32), jnp.asarray(stages))
    n = 20_000
    drawn = simulate(model, data_of(np.tile(np.arange(5), (n, 1))), jax.random.key(1))
    index = {order: i for i, order in enumerate(map(tuple, every(5)))}
    seen = np.bincount([index[tuple(order)] for order in drawn.order.tolist()], minlength=120)
    p = np.exp(np.asarray(rows(model, data_of(every(5))), np.float64))
    statistic = ((seen - n * p) ** 2 / (n * p)).sum()
    # Chi-square with 119 degrees of freedom: mean 119, standard deviation 15.4; four of them.
    assert statistic < 119 + 4 * 15.4


def test_stages_draw_uniformly_without_dispersion(x64):
    drawn = np.asarray(draw(jax.random.key(2), jnp.zeros(4), 20_000))
    for stage, choices in enumerate((4, 3, 2, 1)):
        share = np.bincount(drawn[:, stage], minlength=choices) / 20_000
        np.testing.assert_allclose(share, np.full(choices, 1 / choices), atol=0.018)


@pytest.mark.parametrize("n", [2, 40])
def test_dispersion_inverts_the_mean_distance(dtype, n):
    for dispersion in (1e-3, 0.2, 1.0, 6.0, 20.0):
        x = jnp.asarray(dispersion, dtype)
        found = inverse(mean_distance(x, n_items=n), n_items=n)
        # Near 0 the mean hardly depends on the dispersion: its relative rounding error is multiplied by
        # mean/(variance * dispersion), at most 3000 at 0.001.
        np.testing.assert_allclose(found, x, rtol=eps(dtype, 64) * max(1, 3 / dispersion))
    top = n * (n - 1) / 4
    assert inverse(jnp.asarray(top, dtype), n_items=n) == inverse(jnp.asarray(top + 1, dtype), n_items=n) == 0
    assert inverse(jnp.zeros((), dtype), n_items=n) == jnp.inf
    assert jnp.isnan(inverse(jnp.asarray(jnp.nan, dtype), n_items=n))


def test_dispersion_is_differentiable_in_the_mean_distance(x64):
    @jax.jit
    def slopes(x):
        mean, forwards = jax.value_and_grad(lambda x: mallows_mean_distance(x, n_items=6))(x)
        return forwards, jax.grad(lambda m: mallows_dispersion(m, n_items=6))(mean)

    for dispersion in (0.2, 2.0):
        forwards, backwards = slopes(jnp.asarray(dispersion))
        np.testing.assert_allclose(backwards, 1 / forwards, rtol=1e-9)


def test_the_fit_is_the_most_likely_of_all_models(x64, orders):
    data = data_of(orders[:60], jnp.float64)
    result = fit_mallows(data)
    assert result.exact

    @jax.jit
    def best_around(reference):
        mean = insertion_vector(data.order, reference).sum(1).astype(float).mean()
        return Mallows(reference, mallows_dispersion(mean, n_items=5)).log_prob(data).sum()

    others = jnp.stack([best_around(reference) for reference in jnp.asarray(every(5), jnp.int32)])
    np.testing.assert_allclose(best_around(result.model.reference), others.max(), rtol=1e-12)
    np.testing.assert_allclose(rows(result.model, data).sum(), others.max(), rtol=1e-12)
    # The expected distance is the mean one: the slope of the likelihood is zero.
    np.testing.assert_allclose(mean_distance(result.model.dispersion, n_items=5), result.mean_distance, rtol=1e-12)


def test_the_fit_finds_the_truth(orders):
    result = fit_mallows(data_of(orders))
    assert result.model.reference.tolist() == [2, 0, 3, 1, 4]
    # The information of one ranking is the variance of its distance, 2.4 at 0.9: a standard error of 0.010.
    np.testing.assert_allclose(result.model.dispersion, 0.9, atol=0.05)
    assert not result.uniform
    assert not result.unanimous


def test_the_fit_at_its_ends():
    unanimous = fit_mallows(data_of([[1, 0, 2]] * 6))
    assert unanimous.unanimous
    assert jnp.isinf(unanimous.model.dispersion)
    even = fit_mallows(data_of(every(3)))
    assert even.uniform
    assert even.model.dispersion == 0


def test_weights_of_rankings_are_repetitions(x64, orders):
    few, weight = orders[:6], np.array([1, 2, 0, 3, 1, 1])
    weighted = fit_mallows(data_of(few, jnp.float64, weight))
    repeated = fit_mallows(data_of(np.repeat(few, weight, axis=0), jnp.float64))
    np.testing.assert_allclose(weighted.model.dispersion, repeated.model.dispersion, rtol=1e-12)
    chex.assert_trees_all_equal(weighted.model.reference, repeated.model.reference)


@pytest.mark.engine
def test_maximum_likelihood_agrees_and_brings_a_standard_error_and_a_flag(x64, orders):
    data = data_of(orders[:360], jnp.float64)
    by_moments = fit_mallows(data)
    start = Mallows.init(by_moments.model.reference)
    result = fit(start, data)
    np.testing.assert_allclose(result.model.dispersion, by_moments.model.dispersion, rtol=1e-8)
    variance = curvatures(result.model.dispersion[None], 5)[0][0]
    np.testing.assert_allclose(result.std_error.dispersion, 1 / jnp.sqrt(360 * variance), rtol=1e-6)
    chex.assert_trees_all_equal(result.std_error.reference, by_moments.model.reference)
    # All orders equally often: the maximum is at the edge.
    even = fit(start, data_of(np.tile(every(5), (3, 1)), jnp.float64), throw=False)
    assert even.diagnostics.boundary


@pytest.mark.engine
@pytest.mark.parametrize("model", [Mallows.init([1, 0, 2]), GeneralizedMallows.init([1, 0, 2])])
def test_priors_draw_models_with_the_reference_as_it_is(model):
    from numpyro import handlers

    drawn = handlers.seed(model.prior, 0)()
    chex.assert_trees_all_equal(drawn.reference, model.reference)
    assert drawn.dispersion.shape == model.dispersion.shape
    assert (drawn.dispersion > 0).all()


@pytest.mark.parametrize("reference", [[0, 0, 1], [1, 2, 3], [0], [0.0, 1.0], [[0, 1]]])
def test_a_reference_is_an_order(reference):
    with pytest.raises(ValueError, match="reference must hold"):
        Mallows.init(reference)


def test_partial_rankings_are_refused():
    partial = Rankings.from_orders([[0, 1, 2], [2, 0]])
    for call in (lambda: fit_mallows(partial), lambda: Mallows.init([0, 1, 2]).check(partial)):
        with pytest.raises(ValueError, match=r"1 rankings are not of all 3 items \(first rows: \[1\]"):
            call()
    with pytest.raises(ValueError, match="not of all 4 items"):
        GeneralizedMallows.init([0, 1, 2, 3]).check(data_of([[0, 1, 2]]))
