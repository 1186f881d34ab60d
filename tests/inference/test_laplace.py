"""Laplace's method: exact where posteriors are Gaussian given what is above them."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from scorax.inference import Newton, iid_prior, sample
from scorax.inference._laplace import _number, _student_t
from scorax.inference._marginal_mode import differences_of_gradients, differences_of_values, find_mode
from tests.inference.compilations import compilations
from tests.inference.toys import Measurements, Things, hierarchical_posterior, normal_posterior, some_measurements

MODEL = Things.init(3)
SETTINGS = {"method": "laplace", "progress": False}
KEY = jax.random.key(0)


class Climbed(Things):
    """The same model, whose modes Newton's method finds."""

    solver = Newton()

    def prior(self):
        return Climbed(super().prior().level)


def assert_mean_and_sd(draws, mean, sd):
    """Independent draws: within five standard errors, and a hundredth for the proposals, which do not repeat."""
    draws = np.asarray(draws, np.float64)
    error = sd / (draws.shape[0] * draws.shape[1]) ** 0.5
    np.testing.assert_array_less(np.abs(draws.mean((0, 1)) - mean), 5 * error + 0.01 * sd)
    np.testing.assert_array_less(np.abs(draws.std((0, 1)) - sd), 5 * error + 0.01 * sd)


def test_gaussian_posterior_is_exact(dtype):
    data = some_measurements(0)
    prior = iid_prior(MODEL, {"level": dist.Normal(0.0, 2.0)})
    posterior = sample(MODEL, data, key=KEY, prior=prior, num_samples=1000, **SETTINGS)
    level = posterior.model.level
    assert level.shape == (4, 1000, 3)
    assert level.dtype == dtype
    mean, sd = normal_posterior(data, 3, 2.0)
    assert_mean_and_sd(level, mean, sd)
    # Standardised draws are those of independent normals: across levels, draws and chains.
    z = (np.asarray(level, np.float64) - mean) / sd
    for x in (z[..., 0] * z[..., 1], z[0] * z[1], z[:, 1:] * z[:, :-1]):
        assert abs(x.mean()) < 5 / x.size**0.5


@pytest.mark.parametrize("model", [MODEL, Climbed.init(3)], ids=["BFGS", "Newton"])
def test_hierarchy_is_integrated(model, x64):
    data = some_measurements(1)
    model = jax.tree.map(lambda x: x.astype(float), type(model)(model.level))
    posterior = sample(model, data, key=KEY, num_samples=1000, **SETTINGS)
    exact = hierarchical_posterior(data, 3)
    for name, draws in posterior.sites.items():
        assert_mean_and_sd(draws, *exact[name])
    assert (posterior.stats["importance_ess"] > 100).all()
    assert (posterior.stats["pareto_k"] < 0.7).all(), posterior.stats["pareto_k"][0, 0]


def two_above():
    centre = numpyro.sample("centre", dist.Normal(0.0, 3.0))
    scale = numpyro.sample("scale", dist.HalfNormal(1.0))
    return Things(jnp.asarray(numpyro.sample("level", dist.Normal(centre, scale).expand((3,)))))


def test_two_sites_above(x64):
    """The marginal of `centre` and `scale` is known, so their means come from a grid."""
    data = some_measurements(2)
    posterior = sample(MODEL, data, key=KEY, prior=two_above, num_samples=1000, **SETTINGS)
    centre, scale = np.meshgrid(np.linspace(-12, 12, 601), np.exp(np.linspace(-9, 3, 601)), indexing="ij")
    means = np.bincount(data.thing, data.value) / 4
    variance = scale**2 + 1 / 4
    terms = sum(-((m - centre) ** 2) / variance - np.log(variance) for m in means)
    log_weight = terms / 2 - centre**2 / 18 - scale**2 / 2 + np.log(scale)
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    for name, x in (("centre", centre), ("scale", scale)):
        mean = (weight * x).sum()
        assert_mean_and_sd(posterior.sites[name], mean, np.sqrt((weight * (x - mean) ** 2).sum()))


def test_a_draw_does_not_depend_on_how_many_there_are():
    few, many = (
        sample(MODEL, some_measurements(0), key=KEY, num_samples=n, num_chains=c, **SETTINGS).sites
        for n, c in ((10, 2), (70, 3))
    )
    jax.tree.map(lambda x, y: np.testing.assert_array_equal(x, y[:2, :10]), few, many)


def test_a_second_call_compiles_nothing():
    sample(MODEL, some_measurements(0), key=KEY, num_samples=10, **SETTINGS)
    for data, key, num_samples in ((1, KEY, 10), (0, jax.random.key(1), 10), (0, KEY, 123)):
        with compilations() as count:
            sample(MODEL, some_measurements(data), key=key, num_samples=num_samples, **SETTINGS)
        assert count[0] == 0


def test_progress():
    seen = []
    sample(MODEL, some_measurements(0), key=KEY, num_samples=10, method="laplace", progress=seen.append)
    assert [state.phase for state in seen] == ["mode", "sampling", "done"]
    assert seen[-1].done == seen[-1].total == 40


def eleven_above():
    scale = numpyro.sample("scale", dist.HalfNormal(1.0).expand((11,)))
    return Things(jnp.asarray(numpyro.sample("level", dist.Normal(0.0, scale[:3]))))


def non_centred():
    scale = numpyro.sample("scale", dist.HalfNormal(1.0))
    return Things(scale * jnp.asarray(numpyro.sample("z", dist.Normal(0.0, 1.0).expand((3,)))))


def flat():
    level = numpyro.sample("level", dist.ImproperUniform(dist.constraints.real, (3,), ()))
    return Things(jnp.asarray(level))


@pytest.mark.parametrize(
    ("prior", "thing", "message"),
    [
        (
            eleven_above,
            [0, 1, 2],
            r"at most 10 numbers above the parameters; this prior has 11 \(sites \['scale'\]\).*nuts",
        ),
        (non_centred, [0, 1, 2], r"\['level'\] are computed from the sites \['scale', 'z'\].*centred form.*nuts"),
        (flat, [0, 1, 1], "no maximum of the posterior density was found.*proper prior"),
    ],
)
def test_errors_say_what_is_wrong(prior, thing, message):
    with pytest.raises(ValueError, match=message):
        sample(MODEL, Measurements.of(thing, [0.0, 1.0, 2.0]), key=KEY, prior=prior, **SETTINGS)


@pytest.mark.parametrize(("h", "by_gradients"), [(1, False), (2, False), (3, False), (2, True), (10, True)])
def test_modes_of_known_functions(h, by_gradients):
    generator = np.random.default_rng(h)
    root = generator.normal(size=(h, h)) + 2 * np.eye(h)
    precision, centre = root @ root.T + np.eye(h), 3 * generator.normal(size=h)

    def find(value, gradient, start):
        by = differences_of_gradients(gradient) if by_gradients else differences_of_values(value)
        return find_mode(value, by, start)

    def quadratic(u):
        return -np.einsum("gi,ij,gj->g", u - centre, precision, u - centre) / 2

    mode, covariance = find(quadratic, lambda u: -(u - centre) @ precision, np.zeros(h))
    np.testing.assert_allclose(mode, centre, atol=1e-6)
    np.testing.assert_allclose(covariance, np.linalg.inv(precision), rtol=1e-6, atol=1e-9)

    def skewed(u):
        """Log-gamma densities, far from the start and convex nowhere; mode log 7, variance of the curvature 1/7."""
        return (7 * u - np.exp(u)).sum(1)

    mode, covariance = find(skewed, lambda u: 7 - np.exp(u), np.full(h, -9.0))
    np.testing.assert_allclose(mode, np.log(7), atol=0.1)
    np.testing.assert_allclose(np.diagonal(covariance), 1 / 7, rtol=0.1)


def test_no_mode_is_an_error():
    with pytest.raises(ValueError, match=r"found no maximum of the marginal density.*proper prior"):
        find_mode(lambda u: u.sum(1), differences_of_values(lambda u: u.sum(1)), np.zeros(2))


@pytest.mark.parametrize("h", [1, 2, 3, 6, 10])
def test_weighted_proposals_are_the_target(h, x64):
    generator = np.random.default_rng(h)
    root = generator.normal(size=(h, h)) + 2 * np.eye(h)
    covariance, centre = root @ root.T, generator.normal(size=h)
    u, log_density = (np.asarray(x) for x in _student_t(KEY, jnp.asarray(centre), jnp.asarray(covariance)))
    assert u.shape == (_number(h), h)
    z = np.linalg.solve(root, (u - centre).T).T
    weight = np.exp(-(z**2).sum(1) / 2 - log_density)
    weight /= weight.sum()
    # Those that are effective, which is what the number of proposals is chosen for.
    effective = 1 / (weight**2).sum()
    assert effective > 0.8 * 0.878**h * _number(h)
    # The lattice's own error: a few hundredths at 256 points in three dimensions; in more, that of independent draws.
    error = 0.05 if h <= 3 else 4 / effective**0.5
    np.testing.assert_allclose(weight @ z, 0, atol=error)
    np.testing.assert_allclose((weight[:, None] * z).T @ z, np.eye(h), atol=2 * error)


@pytest.mark.engine
@pytest.mark.slow
@pytest.mark.parametrize(("items", "rows"), [(6, 40), (59, 9000)])
def test_close_to_nuts_on_comparisons(items, rows, x64):
    from scorax.choice import BradleyTerry
    from scorax.data import Comparisons

    generator = np.random.default_rng(0)
    strength = generator.normal(size=items)
    a = generator.integers(0, items, rows)
    b = (a + generator.integers(1, items, rows)) % items
    won = generator.random(rows) < 1 / (1 + np.exp(strength[b] - strength[a]))
    data, model = Comparisons.from_arrays(a, b, won.astype(float)), BradleyTerry.init(items)
    laplace, nuts = (
        sample(model, data, key=KEY, method=method, num_samples=2000, progress=False) for method in ("laplace", "nuts")
    )
    for name in ("strength", "scale"):
        x, y = laplace.sites[name], nuts.sites[name]
        sd = y.std((0, 1))
        # The Gaussian misses skewness: at 40 comparisons that is a sixth of a standard deviation at most.
        assert (jnp.abs(x.mean((0, 1)) - y.mean((0, 1))) < 0.15 * sd).all(), name
        assert (jnp.abs(x.std((0, 1)) / sd - 1) < 0.15).all(), name
