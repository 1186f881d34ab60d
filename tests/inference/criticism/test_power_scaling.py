"""Power-scaling sensitivity: a normal mean in closed form, hierarchies, and what cannot be scaled."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
import scipy.integrate
import scipy.stats
from numpyro import handlers

from scorax.inference import iid_prior
from scorax.inference._criticism import _power_scaling as module
from scorax.inference._criticism import power_scale_sensitivity
from scorax.inference._criticism._power_scaling import cumulative_jensen_shannon
from scorax.inference._criticism._prior_density import log_prior_of
from tests.inference.criticism.posteriors import even_levels, of_levels
from tests.inference.toys import Measurements, Things, some_measurements

ONE = Things.init(1)
distance = jax.jit(cumulative_jensen_shannon)


def normal_prior(mean, sd):
    return iid_prior(ONE, {"level": dist.Normal(mean, sd)})


def posterior_of_mean(mean, sd, data, prior_power=1.0, likelihood_power=1.0):
    """Mean and standard deviation of a level with a normal prior, either density raised to a power."""
    precision = prior_power / sd**2 + likelihood_power * data.value.size
    total = prior_power * mean / sd**2 + likelihood_power * float(data.value.sum())
    return total / precision, precision**-0.5


def exact_distance(first, second, ends):
    """Cumulative Jensen-Shannon distance of two normals between the ends, by quadrature."""
    grid = np.linspace(*ends, 20_001)
    found = []
    for sign in (1, -1):
        p, q = (scipy.stats.norm(sign * m, s).cdf(sign * grid) for m, s in (first, second))
        terms = p * np.log2(2 * p / (p + q)) + q * np.log2(2 * q / (p + q))
        found.append(scipy.integrate.trapezoid(terms, grid) / scipy.integrate.trapezoid(p + q, grid))
    return np.sqrt(max(found))


@pytest.mark.parametrize(("mean", "sd"), [(0.0, 1.0), (3.0, 0.5), (0.5, 0.1)])
def test_a_normal_mean_in_closed_form(mean, sd, x64):
    """Draws at even quantiles: what is left is the error of a sum for an integral, and of smoothing the tail: 0.4 %."""
    data = Measurements.of([0] * 5, [0.2, 1.1, -0.4, 0.7, 0.9])
    base = posterior_of_mean(mean, sd, data)
    posterior = even_levels(*base)
    row = power_scale_sensitivity(posterior, ONE, data, prior=normal_prior(mean, sd))["level[0]"]
    ends = np.asarray(posterior.model.level.min()), np.asarray(posterior.model.level.max())
    for part, found in (("prior_power", row.prior), ("likelihood_power", row.likelihood)):
        scaled = [posterior_of_mean(mean, sd, data, **{part: alpha}) for alpha in (0.8, 1.25)]
        expected = sum(exact_distance(base, other, ends) for other in scaled) / (2 * np.log2(1.25))
        np.testing.assert_allclose(found, expected, rtol=0.01)


def test_prior_and_likelihood_that_say_the_same_are_alike(x64):
    """A prior that is worth n observations with their mean: exchanging the two changes nothing.

    Weights to the left and to the right of the mean tie, and rounding decides which of two is taken for the larger.
    """
    data = Measurements.of([0] * 4, [0.5] * 4)
    posterior = even_levels(*posterior_of_mean(0.5, 0.5, data))
    row = power_scale_sensitivity(posterior, ONE, data, prior=normal_prior(0.5, 0.5))["level[0]"]
    np.testing.assert_allclose(row.prior, row.likelihood, rtol=1e-3)


@pytest.mark.parametrize(
    ("sd", "value", "diagnosis"),
    [(1.0, 4.0, "prior and data pull apart"), (100.0, 4.0, "-"), (0.1, 0.1, "strong prior, or weak data")],
)
def test_diagnosis(sd, value, diagnosis, x64):
    data = Measurements.of([0] * 5, [value] * 5)
    posterior = even_levels(*posterior_of_mean(0.0, sd, data))
    result = power_scale_sensitivity(posterior, ONE, data, prior=normal_prior(0.0, sd))
    assert [row.diagnosis for row in result] == [diagnosis]


def test_a_flat_prior_has_no_sensitivity(x64):
    data = Measurements.of([0] * 5, [0.2, 1.1, -0.4, 0.7, 0.9])
    result = power_scale_sensitivity(even_levels(0.5, 5**-0.5), ONE, data, prior=flat)
    assert result["level[0]"].prior < 1e-10
    assert np.isnan(result.pareto_k["prior"])
    assert result["level[0]"].likelihood > 0.05


def flat():
    return Things(jnp.asarray(numpyro.sample("level", dist.ImproperUniform(dist.constraints.real, (1,), ()))))


def hierarchical(shape=(4, 500)):
    scale = np.abs(np.random.default_rng(1).normal(1, 0.3, shape))
    level = 0.3 * scale[..., None] * np.random.default_rng(2).normal(size=(*shape, 1))
    posterior = of_levels(level)
    return dataclasses.replace(posterior, sites={**posterior.sites, "scale": jnp.asarray(scale)})


def log_prior(program, names=None):
    sites = {name: x.reshape(-1, *x.shape[2:]) for name, x in hierarchical().sites.items()}
    value, chosen = log_prior_of(program, sites, names)
    return np.asarray(value), chosen, {name: np.asarray(x) for name, x in sites.items()}


def test_only_the_top_of_a_hierarchy_is_scaled(x64):
    top, chosen, sites = log_prior(ONE.prior)
    assert chosen == ("scale",)
    np.testing.assert_allclose(top, scipy.stats.halfnorm.logpdf(sites["scale"]), rtol=1e-12)
    both, chosen, _ = log_prior(ONE.prior, ["scale", "level"])
    assert chosen == ("scale", "level")
    levels = scipy.stats.norm.logpdf(sites["level"], scale=sites["scale"][:, None]).sum(1)
    np.testing.assert_allclose(both, top + levels, rtol=1e-10)


def with_factor():
    scale = numpyro.sample("scale", dist.HalfNormal(1.0))
    level = jnp.asarray(numpyro.sample("level", dist.Normal(0.0, 2.0).expand([1])))
    numpyro.deterministic("double", 2 * level)
    numpyro.factor("tilt", 0.3 * (level.sum() - scale))
    return Things(level)


def test_factors_belong_to_the_prior_and_pinned_sites_do_not_move(x64):
    value, chosen, sites = log_prior(with_factor)
    assert set(chosen) == {"scale", "level", "tilt"}
    level, scale = sites["level"][:, 0], sites["scale"]
    expected = scipy.stats.halfnorm.logpdf(scale) + scipy.stats.norm.logpdf(level, scale=2) + 0.3 * (level - scale)
    np.testing.assert_allclose(value, expected, rtol=1e-10)
    value, chosen, _ = log_prior(handlers.condition(ONE.prior, {"scale": jnp.asarray(2.0)}))
    assert set(chosen) == {"scale", "level"}
    constant = scipy.stats.halfnorm.logpdf(2.0)
    np.testing.assert_allclose(value, constant + scipy.stats.norm.logpdf(level, scale=2), rtol=1e-10)


def test_a_hierarchy_has_a_row_for_every_number(x64):
    result = power_scale_sensitivity(hierarchical(), ONE, some_measurements(0, k=1), names=["thing"])
    assert result.to_dict()["name"] == ["level[thing]", "scale"]
    assert result.sites == ("scale",)
    lines = str(result).splitlines()
    assert lines[0].split() == ["prior", "likelihood", "diagnosis"]
    assert lines[-1] == "Scaled priors: scale. Sensitive means 0.05 or more."
    with pytest.raises(KeyError):
        result["other"]


def test_weights_that_cannot_be_trusted_give_no_number(x64):
    """Data that the draws hardly reach: the weights of the likelihood have a heavy tail, those of the prior do not."""
    far = Measurements.of([0] * 40, [30.0] * 40)
    result = power_scale_sensitivity(hierarchical(), ONE, far)
    assert result.pareto_k["likelihood"] > 0.7
    row = result["level[0]"]
    assert np.isnan(row.likelihood)
    assert np.isfinite(row.prior)
    assert row.diagnosis == "unknown"
    assert str(result).splitlines()[-1].startswith("The likelihood cannot be scaled that far")


def test_draws_that_the_prior_forbids_give_no_number(x64):
    result = power_scale_sensitivity(hierarchical(), ONE, some_measurements(0, k=1), prior=bounded)
    assert result.pareto_k["prior"] == np.inf
    assert [row.diagnosis for row in result] == ["unknown", "unknown"]


def bounded():
    scale = numpyro.sample("scale", dist.Uniform(5.0, 6.0))
    return Things(jnp.asarray(numpyro.sample("level", dist.Normal(0.0, scale).expand([1]))))


def test_draws_that_do_not_move_give_no_number(x64):
    posterior = hierarchical()
    still = dataclasses.replace(posterior, sites={**posterior.sites, "scale": jnp.ones((4, 500))})
    assert np.isnan(power_scale_sensitivity(still, ONE, some_measurements(0, k=1))["scale"].likelihood)


def test_distance_is_what_it_says(dtype):
    """Against the formula written out, and unchanged by shift, scale and sign."""
    x, weight = np.random.default_rng(0).normal(size=200), np.random.default_rng(1).gamma(1.0, size=200)
    order = np.argsort(x)
    below = np.arange(1, 200) / 200, np.cumsum(weight[order])[:-1] / weight.sum()
    width = np.diff(x[order])
    expected = []
    for p, q in (below, (1 - below[0], 1 - below[1])):
        terms = p * np.log2(2 * p / (p + q)) + q * np.log2(2 * q / (p + q))
        expected.append((width * terms).sum() / (width * (p + q)).sum())
    for moved in (x, 3 + 5 * x, -x):
        found = distance(jnp.asarray(moved, dtype), jnp.asarray(weight, dtype))
        np.testing.assert_allclose(found, np.sqrt(max(expected)), rtol=1e-10 if dtype == "float64" else 1e-4)


def test_distance_of_nothing_and_of_everything(dtype):
    x = jnp.linspace(0, 1, 200, dtype=dtype)
    # Rounding of the sum of weights.
    assert distance(x, jnp.ones(200, dtype)) < 10 * jnp.finfo(dtype).eps
    alone = jnp.zeros(200, dtype).at[0].set(1)
    assert 0.5 < distance(x, alone) <= 1
    np.testing.assert_allclose(distance(x, alone), distance(x, alone[::-1]), rtol=1e-4)
    assert jnp.isnan(distance(jnp.ones(200, dtype), alone))


def test_errors(x64):
    posterior, data = hierarchical(), some_measurements(0, k=1)
    for alpha in (0.0, 1.0):
        with pytest.raises(ValueError, match=f"alpha must be between 0 and 1, not {alpha}"):
            power_scale_sensitivity(posterior, ONE, data, alpha=alpha)
    for names in (["scalar"], []):
        with pytest.raises(ValueError, match=r"must name some of what the prior samples, \['level', 'scale'\]"):
            power_scale_sensitivity(posterior, ONE, data, sites=names)
    with pytest.raises(ValueError, match="samples a site 'scale', of which the posterior has no draws"):
        power_scale_sensitivity(even_levels(0.0, 1.0), ONE, data)


def test_thresholds_are_those_of_the_paper():
    assert (module._SENSITIVE, module._UNRELIABLE) == (0.05, 0.7)
