import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.choice import BradleyTerry
from scorax.data import Comparisons
from scorax.inference import bootstrap, fit


@pytest.fixture(autouse=True)
def double(x64):
    """As the fits that they repeat."""


@pytest.fixture(scope="module")
def battles():
    with jax.enable_x64(True):
        a, b = np.repeat([0, 0, 1], 40), np.repeat([1, 2, 2], 40)
        outcome = np.concatenate([np.arange(40) < n for n in (28, 33, 26)]).astype(np.float64)
        return Comparisons.from_arrays(a, b, outcome, cluster=np.arange(120) // 4)


@pytest.fixture(scope="module")
def result(battles):
    with jax.enable_x64(True):
        return fit(BradleyTerry.init(3), battles)


@pytest.mark.parametrize("method", ["multinomial", "bayesian"])
def test_spread_is_the_sandwich_of_independent_rows(result, battles, method):
    draws = bootstrap(result.model, battles, key=jax.random.key(0), method=method)
    # A thousand resamples know a standard deviation to 2 %; both are first-order expansions at n = 120.
    np.testing.assert_allclose(draws.std_error.strength, result.robust().std_error.strength, rtol=0.12)


def test_spread_of_whole_clusters_is_the_clustered_sandwich(battles):
    # With 240 clusters the second order is small; with the 30 of the data it is a sixth.
    many = jax.tree.map(lambda leaf: jnp.tile(leaf, 8), battles)
    cluster = jnp.arange(960, dtype=jnp.int32) // 4
    result = fit(BradleyTerry.init(3), many)
    draws = bootstrap(result.model, many, key=jax.random.key(0), cluster=cluster)
    np.testing.assert_allclose(draws.std_error.strength, result.robust(cluster).std_error.strength, rtol=0.1)


@pytest.mark.slow
def test_batches_do_not_change_the_draws(result, battles):
    few, many = (
        bootstrap(result.model, battles, key=jax.random.key(1), n_resamples=30, batch_size=size) for size in (7, 30)
    )
    chex.assert_trees_all_close(few.model, many.model, rtol=1e-9)


def test_aggregated_rows_resample_alike(result, battles):
    raw, aggregated = (
        bootstrap(result.model, data, key=jax.random.key(2), n_resamples=30, method="bayesian")
        for data in (battles, battles.aggregate())
    )
    chex.assert_trees_all_close(raw.model, aggregated.model, rtol=1e-9)


@pytest.mark.slow
def test_soft_labels_and_unequal_weights_are_redrawn_as_they_are(battles):
    # Counted as wins and losses, labels of 0.6 would seem to vary as coins do, and heavy rows as many light ones.
    soft = 0.5 + 0.2 * (np.asarray(battles.outcome) - 0.5) + np.linspace(-0.1, 0.1, 120)
    data = Comparisons.from_arrays(battles.a, battles.b, soft, weight=np.where(np.arange(120) % 3, 1.0, 2.0))
    result = fit(BradleyTerry.init(3), data)
    draws = bootstrap(result.model, data, key=jax.random.key(0))
    robust = result.robust().std_error.strength
    assert (result.std_error.strength > 3 * robust).all()
    # As above: 2 % of a thousand resamples, and the second order.
    np.testing.assert_allclose(draws.std_error.strength, robust, rtol=0.12)


@pytest.mark.slow
def test_interval_is_the_percentile_interval_of_the_map(result, battles):
    draws = bootstrap(result.model, battles, key=jax.random.key(0), n_resamples=100, method="bayesian")
    lower, upper = draws.interval(lambda model: model.strength[0], level=0.9)
    values = draws.map(lambda model: model.strength[0])
    np.testing.assert_allclose([lower, upper], np.quantile(values, [0.05, 0.95]), rtol=1e-12)


def test_resamples_without_a_finite_maximum_are_left_out_and_counted():
    # Item 2 lost to item 0 once and won once: a third of the resamples lose one of the two.
    data = Comparisons.from_arrays(
        np.array([0] * 20 + [0, 2]), np.array([1] * 20 + [2, 0]), np.array([1.0] * 12 + [0.0] * 8 + [1.0, 1.0])
    )
    result = fit(BradleyTerry.init(3), data)
    draws = bootstrap(result.model, data, key=jax.random.key(0), n_resamples=100)
    assert 40 < draws.failed < 85  # 1 - (1 - 1/e)^2 = 60 % expected, standard deviation 5
    assert len(draws.model.strength) == 100 - draws.failed
    assert jnp.isfinite(draws.model.strength).all()


def test_nothing_left_is_an_error():
    data = Comparisons.from_arrays([0, 1], [1, 0], [1.0, 1.0])
    nearly = fit(BradleyTerry.init(2), data).model
    with pytest.raises(ValueError, match=r"refits had no finite maximum.*bayesian"):
        bootstrap(nearly, data, key=jax.random.key(3), n_resamples=3)


@pytest.mark.parametrize("clustered", [False, True])
def test_data_that_do_not_fit_the_model_are_refused(battles, clustered):
    # The refits are compiled, where a gather out of range would be silent.
    cluster = battles.cluster if clustered else None
    with pytest.raises(ValueError, match="item id is 2 or more"):
        bootstrap(BradleyTerry.init(2), battles, key=jax.random.key(0), n_resamples=3, cluster=cluster)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"method": "jackknife"}, "'bayesian', 'multinomial'"), ({"cluster": jnp.arange(3)}, r"shape \(3,\).*\(120,\)")],
)
def test_what_makes_no_sense_is_refused(result, battles, options, message):
    with pytest.raises(ValueError, match=message):
        bootstrap(result.model, battles, key=jax.random.key(0), **options)
