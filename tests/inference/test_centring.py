"""Partly centred priors: the same distribution, in coordinates without a funnel."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro import handlers

from scorax.inference import NUTS, PartlyCentred, partly_centred, sample
from scorax.inference._posterior_problem import posterior_problem
from tests.inference.compilations import compilations
from tests.inference.toys import Measurements, Things, hierarchical_posterior, some_measurements

pytestmark = pytest.mark.engine

MODEL = Things.init(3)
DATA = some_measurements(0)


@pytest.mark.slow
def test_as_much_centred_as_the_data_say(x64):
    """A level seen `n` times with unit noise has the information `n`; padding adds none."""
    uneven = dataclasses.replace(DATA, weight=jnp.asarray(np.repeat([0.0, 1.0, 100.0], 4)))
    found = partly_centred(MODEL, uneven)
    n = np.asarray([0.0, 4.0, 400.0])
    ratio = np.asarray(found.centredness["level"]) / (1 - np.asarray(found.centredness["level"]))
    scale_squared = ratio[1] / n[1]
    # Far from both ends: neither centred nor not.
    assert 0.01 < scale_squared < 10
    np.testing.assert_allclose(ratio, scale_squared * n, rtol=1e-6)


@pytest.mark.parametrize("centredness", [0.0, 0.3, 1.0])
def test_the_prior_is_the_same_distribution(centredness, x64):
    """Its density over the level, by change of variables from that over `z`; and its draws are those numbers."""
    prior = PartlyCentred(MODEL.prior, {"level": jnp.full(3, centredness)})
    scale, z = jnp.asarray(0.4), jnp.asarray([0.5, -1.0, 2.0])
    given = {"scale": scale, "level_decentered": z}
    with handlers.block(), handlers.trace() as trace, handlers.condition(data=given):
        drawn = prior()
    np.testing.assert_allclose(drawn.level, scale ** (1 - centredness) * z, rtol=1e-12)
    density = trace["level_decentered"]["fn"].log_prob(z).sum() - 3 * (1 - centredness) * jnp.log(scale)
    np.testing.assert_allclose(density, dist.Normal(0.0, scale).log_prob(drawn.level).sum(), rtol=1e-12)


@pytest.fixture(scope="module")
def poor():
    """Twelve levels, each seen once: the posterior of the scale goes down to nothing, and the levels with it."""
    data = Measurements.of(np.arange(12), np.random.default_rng(1).normal(size=12))
    arguments = {"key": jax.random.key(0), "num_warmup": 500, "num_samples": 1000, "progress": False}
    arguments["method"] = NUTS(target_accept_prob=0.95)
    model = Things.init(12)
    prior = partly_centred(model, data)
    return data, prior, sample(model, data, **arguments), sample(model, data, prior=prior, **arguments), arguments


@pytest.mark.slow
def test_the_funnel_is_gone(poor):
    """The centred chains get stuck in the neck; the partly centred ones find the closed form, and say nothing."""
    data, prior, centred, partly, _ = poor
    assert (prior.centredness["level"] < 0.5).all()
    assert any(problem.check in ("divergences", "ess", "bfmi", "rhat") for problem in centred.check().problems)
    assert partly.check().ok, partly.check()
    for name, (mean, sd) in hierarchical_posterior(data, 12).items():
        draws = np.asarray(partly.sites[name], np.float64)
        rows = [row for row in partly.summary().rows if row.name.partition("[")[0] == name]
        error = np.asarray([row.mcse_mean for row in rows]).reshape(np.shape(mean))
        # Four standard errors of thirteen numbers together.
        np.testing.assert_array_less(np.abs(draws.mean((0, 1)) - mean), 4 * error)
        # Of a standard deviation, with the least effective number of draws of 400: 1 / sqrt(800) is 3.5 %.
        np.testing.assert_allclose(draws.std((0, 1)), sd, rtol=4 * 0.035)


@pytest.mark.slow
def test_the_next_one_compiles_nothing(poor):
    data, prior, _, _, arguments = poor
    other = PartlyCentred(prior.program, {name: c / 2 for name, c in prior.centredness.items()})
    with compilations() as count:
        sample(Things.init(12), data, prior=other, **{**arguments, "key": jax.random.key(1)})
    assert count[0] == 0


def unknown_mean():
    mean = numpyro.sample("mean", dist.Normal(0.0, 1.0))
    return Things(jnp.asarray(numpyro.sample("level", dist.Normal(mean, 0.5).expand([3]).to_event(1))))


def fixed():
    return Things(jnp.asarray(numpyro.sample("level", dist.Normal(0.0, 0.5).expand([3]).to_event(1))))


@pytest.mark.slow
def test_sites_that_can_be_moved():
    assert sorted(partly_centred(MODEL, DATA, prior=unknown_mean).centredness) == ["level"]
    with pytest.raises(ValueError, match=r"nothing to centre in part.*laplace_frame"):
        partly_centred(MODEL, DATA, prior=fixed)
    # A scale that is known may still be asked for.
    assert sorted(partly_centred(MODEL, DATA, prior=fixed, sites=["level"]).centredness) == ["level"]
    with pytest.raises(ValueError, match=r"\['scale'\] are not normal.*normal sites are \['level'\]"):
        partly_centred(MODEL, DATA, sites=["scale"])


def test_the_posterior_density_is_that_of_the_centred_program(x64):
    """At the same values, up to the volume of the change of coordinates."""
    prior = PartlyCentred(MODEL.prior, {"level": jnp.asarray([0.2, 0.5, 0.9])})
    centred, partly = (posterior_problem(MODEL, DATA, program)[0] for program in (MODEL.prior, prior))
    scale, level = 0.7, np.asarray([0.5, -1.0, 2.0])
    z = level / scale ** (1 - np.asarray([0.2, 0.5, 0.9]))
    here = jnp.asarray([*level, np.log(scale)])
    there = jnp.asarray([*z, np.log(scale)])
    volume = (1 - np.asarray([0.2, 0.5, 0.9])).sum() * np.log(scale)
    np.testing.assert_allclose(partly.log_density(there), centred.log_density(here) + volume, rtol=1e-12)
