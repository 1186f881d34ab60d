"""A model's posterior as a block, whole and row by row."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
import scipy.stats

from scorax.choice import BradleyTerry
from scorax.data import Comparisons
from scorax.inference import iid_prior, log_likelihood
from scorax.inference._blocks import (
    compose,
    importance,
    mh_kernel,
    random_walk,
    rmsmc,
    smc,
    stepped_by_rows,
    traced,
)
from scorax.inference._blocks._smc import aside
from scorax.inference._priors import FlatPrior
from tests.inference.compilations import compilations
from tests.inference.toys import Measurements, Things, normal_posterior, some_measurements

K = 3
BATTLES = Comparisons.from_arrays([0, 1, 2, 0], [1, 2, 0, 2], [1.0, 1.0, 0.0, 1.0], weight=[1.0, 2.0, 1.0, 0.0])


def unit_prior(model):
    return iid_prior(model, {"level": dist.Normal(0.0, 1.0)})


def evidence(data: Measurements) -> float:
    """Of levels that are Normal(0, 1)."""
    together = np.asarray(data.thing)[:, None] == np.asarray(data.thing)
    covariance = np.eye(together.shape[0]) + together
    return scipy.stats.multivariate_normal(np.zeros(len(covariance)), covariance).logpdf(np.asarray(data.value))


def test_the_prior_density_is_that_of_the_prior_draws(x64):
    # For any density g on the coordinates, the mean of g over the prior density is 1 under draws from the prior.
    target = traced(BradleyTerry.init(K), BATTLES)
    d = jax.eval_shape(target.draw, jax.random.key(0)).shape[0]
    centre, spread = np.array([-0.3, 0.0, 0.0]), np.array([0.2, 0.3, 0.3])
    assert d == 3  # the scale, and two free strengths

    @eqx.filter_jit
    def ratios(target, keys):
        def ratio(key):
            q = target.draw(key)
            log_g = jax.scipy.stats.norm.logpdf(q, jnp.asarray(centre), jnp.asarray(spread)).sum()
            return jnp.exp(log_g - target.log_prior(q))

        return jax.lax.map(ratio, keys)

    ratio = np.asarray(ratios(target, jax.random.split(jax.random.key(0), 40_000)))
    assert abs(ratio.mean() - 1) < 4.5 * ratio.std() / 200
    assert ratio.std() < 8  # else the line above says nothing


@eqx.filter_jit
def look(target, key):
    q = target.draw(key)
    module = target.output(q)
    parts = target.log_prior(q) + target.log_likelihood(q)
    return q, module, target.log_joint(q), parts, target.log_likelihood(q), log_likelihood(module, BATTLES)


def test_likelihood_and_module_are_those_of_the_model(dtype):
    q, module, joint, parts, of_target, of_model = look(traced(BradleyTerry.init(K), BATTLES), jax.random.key(1))
    assert q.dtype == joint.dtype == dtype
    np.testing.assert_allclose(of_target, of_model, rtol=1e-6)
    np.testing.assert_allclose(module.strength.sum(), 0.0, atol=1e-6)
    np.testing.assert_allclose(joint, parts, rtol=1e-6)


def test_importance_sampling_of_a_conjugate_model(x64):
    data = some_measurements(0, each=2)
    model = Things.init(K)
    population = importance(traced(model, data, unit_prior(model)), 40_000, key=jax.random.key(0))
    # Some 1200 effective draws.
    assert population.ess > 1000
    assert abs(population.log_evidence - evidence(data)) < 4 / 1000**0.5
    mean, sd = normal_posterior(data, K, 1.0)
    assert (abs(population.mean().level - mean) < 4.5 * sd / 1000**0.5).all()


def test_rows_one_by_one_weigh_as_all_together():
    model, data, key = Things.init(K), some_measurements(0, each=1), jax.random.key(0)
    data = data.reweight(jnp.asarray([2.0, 1.0, 0.0]))
    by_rows = smc(stepped_by_rows(model, data, unit_prior(model)), 16, key=key, resampler=compose())
    whole = importance(traced(model, data, unit_prior(model)), 16, key=jax.jit(aside)(key))
    np.testing.assert_allclose(by_rows.value.level, whole.value.level, rtol=1e-5)
    np.testing.assert_allclose(by_rows.log_weight, whole.log_weight, rtol=1e-5)


@pytest.mark.slow
def test_data_that_arrive_row_by_row_are_unbiased(x64):
    data, model = some_measurements(0, each=2), Things.init(K)
    walk = eqx.Partial(mh_kernel, proposal=random_walk(0.8))

    @eqx.filter_jit
    def runs(model, data, keys):
        def one(key):
            steps = stepped_by_rows(model, data, unit_prior(model), kernel=walk)
            population = rmsmc(steps, 30, key=key)
            return population.log_evidence, population.integral(lambda module: module.level)

        return jax.lax.map(one, keys)

    log_evidence, total = runs(model, data, jax.random.split(jax.random.key(0), 1000))
    exact = evidence(data)
    ratio = np.exp(np.asarray(log_evidence) - exact)
    assert abs(ratio.mean() - 1) < 4 * ratio.std() / 1000**0.5
    level = np.asarray(total) / np.exp(exact)
    assert (abs(level.mean(0) - normal_posterior(data, K, 1.0)[0]) < 4 * level.std(0) / 1000**0.5).all()


def test_other_data_of_the_same_shape_compile_nothing():
    first, second = (traced(Things.init(K), some_measurements(seed)) for seed in (0, 1))
    importance(first, 8, key=jax.random.key(0)).log_weight.block_until_ready()
    key = jax.random.key(1)
    with compilations() as count:
        importance(second, 8, key=key).log_weight.block_until_ready()
    assert count[0] == 0


def test_a_table_has_no_rows():
    with pytest.raises(ValueError, match="PairCounts has no rows to go through: pass the observations"):
        stepped_by_rows(BradleyTerry.init(K), BATTLES.table(K))


def test_a_flat_prior_cannot_be_drawn_from():
    model = Things.init(K)
    target = traced(model, some_measurements(0), FlatPrior(model, jnp.ones(())))
    with pytest.raises(ValueError, match="site 'level' has no proper prior to draw from"):
        target.draw(jax.random.key(0))
