"""Prior and posterior predictive draws: their distribution, their keys, and what they refuse."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

from scorax.choice import BradleyTerry
from scorax.data import Comparisons, PairCounts
from scorax.inference import iid_prior
from scorax.inference._criticism import posterior_predictive, prior_predictive
from tests.inference.compilations import compilations
from tests.inference.criticism.posteriors import CONTAINERS, exact_levels, of_case, of_levels
from tests.inference.models import CASES
from tests.inference.toys import Things, normal_posterior, some_measurements

DATA = some_measurements(0)
KEY = jax.random.key(3)


def means(data):
    return data.value.reshape(3, 4).mean(1)


@pytest.mark.parametrize("case", CONTAINERS[:2], ids=str)  # Annotations compile too long.
def test_every_container_is_replicated(case):
    posterior, design = of_case(case, jnp.dtype("float32")), case.design("float32")
    replicated = posterior_predictive(posterior, design, key=KEY)
    assert type(replicated) is type(design)
    for new, old in zip(jax.tree.leaves(replicated), jax.tree.leaves(design), strict=True):
        assert new.shape == (2, 20, *old.shape)
        assert new.dtype == old.dtype
    np.testing.assert_array_equal(replicated.weight, jnp.broadcast_to(design.weight, replicated.weight.shape))


def test_posterior_predictive_moments():
    """New values are the level's posterior plus unit noise; those of one thing share its level."""
    mean, sd = normal_posterior(DATA, 3, 1.0)
    value = np.asarray(posterior_predictive(exact_levels(DATA, 3, 1.0), DATA, key=KEY).value, float).reshape(-1, 12)
    # Four standard errors of 2000 draws, of means and of covariances.
    np.testing.assert_allclose(value.mean(0), np.repeat(mean, 4), atol=4 * np.sqrt((1 + sd**2).max() / 2000))
    expected = np.kron(np.diag(sd**2), np.ones((4, 4))) + np.eye(12)
    np.testing.assert_allclose(np.cov(value.T), expected, atol=4 * expected.max() * np.sqrt(2 / 2000))


def test_prior_predictive_moments():
    """Under `scale ~ HalfNormal(1)`: variance 1 of a level, so 2 of a value and 1 between values of one thing."""
    value = np.asarray(prior_predictive(Things.init(3), DATA, key=KEY, num_draws=4000).value, float)
    expected = np.kron(np.eye(3), np.ones((4, 4))) + np.eye(12)
    # A level has kurtosis 9 (E scale^4 / (E scale^2)^2 = 3), so the variance of its variance is 8 / 4000.
    np.testing.assert_allclose(np.cov(value.T), expected, atol=4 * np.sqrt(12 / 4000))
    np.testing.assert_allclose(value.mean(0), 0, atol=4 * np.sqrt(2 / 4000))


def test_another_prior():
    model = Things.init(3)
    tight = iid_prior(model, {"level": dist.Normal(7.0, 0.01)})
    value = prior_predictive(model, DATA, key=KEY, prior=tight, num_draws=50).value
    np.testing.assert_allclose(value.mean(), 7, atol=4 / np.sqrt(600))


def test_a_statistic_is_that_of_the_replicates():
    posterior = exact_levels(DATA, 3, 1.0, shape=(2, 30))
    replicated = posterior_predictive(posterior, DATA, key=KEY)
    statistic = posterior_predictive(posterior, DATA, key=KEY, statistic=means)
    np.testing.assert_allclose(statistic, jax.vmap(jax.vmap(means))(replicated), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("batch_size", [7, 1000])
def test_batches_do_not_matter(batch_size):
    posterior = exact_levels(DATA, 3, 1.0, shape=(2, 30))
    expected = posterior_predictive(posterior, DATA, key=KEY).value
    np.testing.assert_array_equal(posterior_predictive(posterior, DATA, key=KEY, batch_size=batch_size).value, expected)


def test_a_replicate_depends_on_its_own_place_alone():
    level = jnp.zeros((2, 30, 3))
    whole = posterior_predictive(of_levels(level), DATA, key=KEY).value
    part = posterior_predictive(of_levels(level[:1, :10]), DATA, key=KEY).value
    np.testing.assert_array_equal(part, whole[:1, :10])
    assert len(np.unique(np.asarray(whole[..., 0]))) == 60
    some, more = (prior_predictive(Things.init(3), DATA, key=KEY, num_draws=n).value for n in (10, 4000))
    np.testing.assert_allclose(some, more[:10], rtol=1e-6)


def test_a_second_call_compiles_nothing():
    posterior, other = (exact_levels(DATA, 3, 1.0, shape=(2, 30), seed=seed) for seed in range(2))
    model, data, others, key = Things.init(3), some_measurements(0), some_measurements(1), jax.random.key(4)

    def both(posterior, data, key):
        return (
            posterior_predictive(posterior, data, key=key, statistic=means),
            prior_predictive(model, data, key=key, num_draws=10),
        )

    both(posterior, data, KEY)
    with compilations() as count:
        both(other, others, key)
    assert count[0] == 0


def test_padding_is_replicated_too():
    nothing = jnp.zeros_like(DATA.weight)
    padding = dataclasses.replace(DATA, weight=nothing, count=nothing)
    posterior = exact_levels(DATA, 3, 1.0, shape=(2, 30))
    expected = posterior_predictive(posterior, DATA, key=KEY).value
    np.testing.assert_array_equal(posterior_predictive(posterior, padding, key=KEY).value, expected)


def test_rows_of_several_observations_are_refused():
    counted = dataclasses.replace(DATA, count=DATA.count.at[jnp.asarray([2, 5])].set(3.0))
    message = r"2 rows stand for several .*first rows: \[2, 5\], counts \[3.0, 3.0\].*data.expand\(\)"
    with pytest.raises(ValueError, match=message):
        posterior_predictive(exact_levels(DATA, 3, 1.0), counted, key=KEY)
    with pytest.raises(ValueError, match=message):
        prior_predictive(Things.init(3), counted, key=KEY)


def test_a_table_of_pairs_is_refused():
    model = BradleyTerry.init(2)
    for wins in ([[0, 1], [0, 0]], [[0, 2], [0, 0]]):
        with pytest.raises(ValueError, match=r"pass Comparisons|data.expand\(\)"):
            prior_predictive(model, PairCounts.from_arrays(wins), key=KEY)


def test_data_of_more_items_are_refused():
    battles = Comparisons.from_arrays([0, 1], [1, 7], [1.0, 1.0])
    with pytest.raises(ValueError, match="but the model has 5 items"):
        posterior_predictive(of_case(CASES[0], jnp.dtype("float32")), battles, key=KEY)
    with pytest.raises(ValueError, match="but the model has 5 items"):
        prior_predictive(BradleyTerry.init(5), battles, key=KEY)


def test_no_draws_are_refused():
    with pytest.raises(ValueError, match="num_draws must be at least 1, not 0"):
        prior_predictive(Things.init(3), DATA, key=KEY, num_draws=0)
