"""Hierarchies with several numbers above the parameters: the Laplace marginal, its gradient, and what is drawn."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from jaxtyping import Array, Float, Int, PRNGKeyArray

from scorax.data import AbstractRows
from scorax.inference import NUTS, AbstractModel, laplace_frame, sample
from scorax.inference._engine import engine
from scorax.inference._marginal_mode import Hierarchy, conditional, log_marginal_gradient
from scorax.inference._posterior_problem import posterior_problem
from tests.inference.compilations import compilations
from tests.inference.toys import Measurements, Things, hierarchical_posterior, some_measurements

KEY, OTHER_KEY = jax.random.key(0), jax.random.key(1)


class Groups(AbstractRows):
    """Rows of a regression in groups."""

    x: Float[Array, "n p"]
    group: Int[Array, " n"]
    y: Float[Array, " n"]
    weight: Float[Array, " n"]
    count: Float[Array, " n"]


def random_effects(coefficient: Array, *, centred: bool = True) -> Array:
    """Coefficients that vary together from group to group."""
    k, p = coefficient.shape
    mean = jnp.asarray(numpyro.sample("mean", dist.Normal(0.0, 2.0).expand((p,))))
    scale = jnp.asarray(numpyro.sample("scale", dist.HalfNormal(1.0).expand((p,))))
    root = jnp.asarray(numpyro.sample("root", dist.LKJCholesky(p, 2.0)))
    root = scale[:, None] * root
    if centred:
        return jnp.asarray(numpyro.sample("coefficient", dist.MultivariateNormal(mean, scale_tril=root).expand((k,))))
    z = jnp.asarray(numpyro.sample("z", dist.Normal(0.0, 1.0).expand((k, p))))
    return jnp.asarray(numpyro.deterministic("coefficient", mean[None] + z @ root.T))


class Lines(AbstractModel[Groups]):
    """`y ~ Normal(x . coefficient[group], 1)`."""

    coefficient: Float[Array, "k p"]

    def log_prob(self, data: Groups) -> Float[Array, " n"]:
        return -((data.y - predictor(self, data)) ** 2) / 2 - 0.5 * math.log(2 * math.pi)

    def prior(self) -> "Lines":
        return Lines(random_effects(self.coefficient))

    def non_centred(self) -> "Lines":
        return Lines(random_effects(self.coefficient, centred=False))

    def simulate(self, data: Groups, *, key: PRNGKeyArray) -> Groups:
        mean = predictor(self, data)
        return dataclasses.replace(data, y=mean + jax.random.normal(key, mean.shape, mean.dtype))


class Chances(AbstractModel[Groups]):
    """`y ~ Bernoulli(sigmoid(x . coefficient[group]))`."""

    coefficient: Float[Array, "k p"]

    def log_prob(self, data: Groups) -> Float[Array, " n"]:
        eta = predictor(self, data)
        return jax.nn.log_sigmoid(jnp.where(data.y > 0, eta, -eta))

    def prior(self) -> "Chances":
        return Chances(random_effects(self.coefficient))

    def non_centred(self) -> "Chances":
        return Chances(random_effects(self.coefficient, centred=False))

    def simulate(self, data: Groups, *, key: PRNGKeyArray) -> Groups:
        yes = jax.random.bernoulli(key, jax.nn.sigmoid(predictor(self, data)))
        return dataclasses.replace(data, y=yes.astype(data.y.dtype))


def predictor(model: Lines | Chances, data: Groups) -> Float[Array, " n"]:
    return (data.x.astype(model.coefficient.dtype) * model.coefficient[data.group]).sum(1)


def some_groups(model: type, p: int, k: int, each: int):
    """A model, and data from it whose coefficients are correlated by 0.6."""
    generator = np.random.default_rng(0)
    x = np.concatenate([np.ones((k * each, 1)), generator.normal(size=(k * each, p - 1))], axis=1)
    root = 0.8 * np.linalg.cholesky(0.4 * np.eye(p) + 0.6)
    truth = 0.7 * generator.normal(size=p) + generator.normal(size=(k, p)) @ root.T
    ones = np.ones(k * each)
    x, blank, ones, truth = (jnp.asarray(array, float) for array in (x, 0 * ones, ones, truth))
    design = Groups(x, jnp.asarray(np.repeat(np.arange(k), each), jnp.int32), blank, ones, ones)
    return model(jnp.zeros((k, p))), model(truth).simulate(design, key=jax.random.key(1))


ABOVE = ("mean", "root", "scale")


def gradient_and_marginal(model: Chances, data: Groups):
    """At two places."""
    hierarchy = Hierarchy.of(posterior_problem(model, data, None)[0], model.solver, ABOVE)
    start = hierarchy.start(above=False)
    u = jnp.asarray(0.4 * np.random.default_rng(1).normal(size=(2, 5)), start.dtype)

    def marginal(u):
        return conditional(hierarchy, u, start)

    return u, marginal, log_marginal_gradient(hierarchy, u, marginal(u).mode)


@pytest.mark.slow
@pytest.mark.engine
def test_gradient_equals_differences(x64):
    """The posterior of chances is not normal: the determinant, and the mode in it, move with every number."""
    u, marginal, gradient = gradient_and_marginal(*some_groups(Chances, 2, 3, 6))
    step = 1e-4 * jnp.eye(5)[None]
    both = (u[:, None] + step).reshape(-1, 5), (u[:, None] - step).reshape(-1, 5)
    up, down = (marginal(at).log_marginal.reshape(2, 5) for at in both)
    # Of the differences: step^2 of the third derivative, and rounding over the step.
    np.testing.assert_allclose(gradient, (up - down) / 2e-4, rtol=1e-6, atol=1e-7)


@pytest.mark.slow
@pytest.mark.engine
def test_gradient_in_single_precision():
    model, data = some_groups(Chances, 2, 3, 6)
    _, _, single = gradient_and_marginal(model, data)
    with jax.enable_x64(True):
        widened = jax.tree.map(lambda x: x.astype(float) if jnp.issubdtype(x.dtype, jnp.floating) else x, (model, data))
        _, _, double = gradient_and_marginal(*widened)
    assert single.dtype == jnp.float32
    np.testing.assert_allclose(single, double, rtol=1e-3, atol=1e-3)


def a_scale_each():
    scale = jnp.asarray(numpyro.sample("scale", dist.HalfNormal(1.0).expand((4,))))
    return Things(jnp.asarray(numpyro.sample("level", dist.Normal(0.0, scale))))


def test_scales_of_their_own_are_integrated(heavy_dtype):
    """Four problems in one, each of which is known by quadrature; and the same key draws the same."""
    data, model = some_measurements(3, k=4, each=6), Things.init(4)
    settings = {"method": "laplace", "prior": a_scale_each, "num_samples": 2000, "progress": False}
    posterior = sample(model, data, key=KEY, **settings)
    assert posterior.sites["level"].dtype == heavy_dtype
    assert posterior.check().ok, posterior.check()
    for i in range(4):
        own = np.asarray(data.thing) == i
        exact = hierarchical_posterior(Measurements.of(0 * np.flatnonzero(own), np.asarray(data.value)[own]), 1)
        for name, (mean, sd) in exact.items():
            x, sd = np.asarray(posterior.sites[name], np.float64)[..., i], np.ravel(sd)[0]
            # The pool of proposals is worth `importance_ess` independent draws of a scale.
            error = sd / float(posterior.stats["importance_ess"][0, 0]) ** 0.5
            assert abs(x.mean() - np.ravel(mean)[0]) < 3 * error, (name, i)
            assert abs(x.std() - sd) < 3 * error, (name, i)
    with compilations() as count:
        again, other = (sample(model, data, key=key, **settings).sites["scale"] for key in (KEY, OTHER_KEY))
    assert count[0] == 0
    np.testing.assert_array_equal(again, posterior.sites["scale"])
    assert not np.array_equal(other, again)


@pytest.mark.engine
@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "p", "k", "each", "close"),
    [
        # The effects are normal given what is above them: what is left is the error of a pool of some hundred effective
        # proposals. In twelve runs of the first, and six of the second, no mean was off by more than 0.09 of a standard
        # deviation.
        (Lines, 2, 8, 6, 0.1),
        (Lines, 3, 12, 8, 0.1),
        # They are not, and each group's Gaussian misses its skewness: a quarter of a standard deviation at most.
        (Chances, 2, 8, 20, 0.25),
    ],
)
def test_correlated_effects_are_close_to_nuts(model, p, k, each, close, x64):
    model, data = some_groups(model, p, k, each)
    settings = {"key": KEY, "num_samples": 4000, "progress": False}
    laplace = sample(model, data, method="laplace", **settings)
    nuts = sample(model, data, method=NUTS(target_accept_prob=0.95), prior=model.non_centred, **settings)
    assert laplace.check().ok, laplace.check()
    for name in ("coefficient", *ABOVE):
        x, y = laplace.sites[name], nuts.sites[name]
        # A Cholesky factor's corner is one, and what is above its diagonal zero.
        moves = y.std((0, 1)) > 1e-12
        sd = jnp.where(moves, y.std((0, 1)), 1)
        assert (jnp.abs(x.mean((0, 1)) - y.mean((0, 1))) < close * sd).all(), name
        assert (jnp.where(moves, jnp.abs(x.std((0, 1)) / sd - 1), 0) < max(close / 2, 0.1)).all(), name


@pytest.mark.engine
@pytest.mark.slow
def test_frame_of_several_numbers(x64):
    """The mode of the parameters at the marginal's mode: no slope in the parameters."""
    model, data = some_groups(Lines, 2, 8, 6)
    frame = laplace_frame(model, data)
    problem, _ = posterior_problem(model, data, None)
    with engine():
        slope = jax.jit(jax.grad(problem.log_density))(frame.outward(jnp.zeros(21)))
    np.testing.assert_allclose(problem.coordinates(slope)["coefficient"], 0, atol=1e-6)
