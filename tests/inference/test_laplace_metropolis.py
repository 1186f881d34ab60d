"""Independent proposals in Laplace's frame, the frame itself, and the choice between that and NUTS."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from scorax.choice import BradleyTerry
from scorax.data import datasets
from scorax.inference import LaplaceMetropolis, effective_sample_size, iid_prior, laplace_frame, mcse_mean, rhat, sample
from scorax.inference._engine import engine
from scorax.inference._posterior_problem import posterior_problem
from tests.inference.compilations import compilations
from tests.inference.toys import Things, hierarchical_posterior, normal_posterior, some_measurements

pytestmark = pytest.mark.engine

MODEL = Things.init(3)
ARGUMENTS = {"key": jax.random.key(0), "num_warmup": 50, "num_chains": 4, "progress": False}


def assert_mean_and_sd(draws, mean, sd):
    """Within five Monte Carlo errors; that of a standard deviation is near `sd / sqrt(2 ESS)` for near-normal draws."""
    error = np.asarray(mcse_mean(draws))
    np.testing.assert_array_less(np.abs(draws.mean((0, 1)) - mean), 5 * error)
    np.testing.assert_array_less(np.abs(draws.std((0, 1)) - sd), 5 * 2 * error)


def test_a_gaussian_posterior_accepts_everything(heavy_dtype):
    data = some_measurements(0)
    prior = iid_prior(MODEL, {"level": dist.Normal(0.0, 2.0)})
    posterior = sample(MODEL, data, method="laplace_metropolis", prior=prior, num_samples=1000, **ARGUMENTS)
    assert_mean_and_sd(posterior.model.level, *normal_posterior(data, 3, 2.0))
    # All weights are equal; what is left is rounding. Every tenth step is a trajectory.
    proposed = np.asarray(posterior.stats["num_steps"]) == 1
    assert proposed.mean() == pytest.approx(0.9, abs=0.01)
    assert (np.asarray(posterior.stats["accept_prob"])[proposed] > 1 - 1e4 * jnp.finfo(heavy_dtype).eps).all()
    # Draws are independent: 4000 of them, and the ESS of independent draws has a relative error of some 5 %.
    assert (np.asarray(effective_sample_size(posterior.model.level)) > 3000).all()


@pytest.mark.slow
def test_a_hierarchy():
    """Three levels, whose scale's posterior is skew: fewer are accepted, and the draws are right all the same."""
    data = some_measurements(1)
    posterior = sample(MODEL, data, method="laplace_metropolis", num_samples=6000, **ARGUMENTS)
    exact = hierarchical_posterior(data, 3)
    for name, draws in posterior.sites.items():
        assert float(rhat(draws).max()) < 1.02
        assert_mean_and_sd(draws, *exact[name])


@pytest.mark.slow
def test_trajectories_alone_are_right(x64):
    data = some_measurements(0)
    prior = iid_prior(MODEL, {"level": dist.StudentT(3.0, 0.0, 1.0)})
    kernels = LaplaceMetropolis(local_every=1), LaplaceMetropolis()
    local, both = (
        sample(MODEL, data, method=kernel, prior=prior, num_samples=4000, **ARGUMENTS).model.level for kernel in kernels
    )
    error = np.hypot(mcse_mean(local), mcse_mean(both))
    np.testing.assert_array_less(np.abs(local.mean((0, 1)) - both.mean((0, 1))), 5 * error)
    np.testing.assert_array_less(np.abs(local.std((0, 1)) - both.std((0, 1))), 5 * 2 * error)


@pytest.mark.slow
def test_the_curvature_in_the_frame_is_the_identity(x64):
    battles, foods = datasets.load_food()
    model = BradleyTerry.init(len(foods))
    frame = laplace_frame(model, battles)
    problem, _ = posterior_problem(model, battles, None)
    with engine():
        hessian = jax.jit(jax.hessian(lambda z: problem.log_density(frame.outward(z))))(jnp.zeros(len(foods)))
    np.testing.assert_allclose(-hessian, np.eye(len(foods)), atol=1e-8)
    z = jnp.arange(float(len(foods)))
    np.testing.assert_allclose(frame.inward(frame.outward(z)), z, rtol=1e-10)
    # NUTS in the frame draws the same posterior.
    inside, outside = (
        sample(model, battles, num_samples=500, precondition=f, **{**ARGUMENTS, "num_warmup": 300}).model.strength
        for f in (frame, None)
    )
    error = np.hypot(mcse_mean(inside), mcse_mean(outside))
    np.testing.assert_array_less(np.abs(inside.mean((0, 1)) - outside.mean((0, 1))), 5 * error)


NOTHING = dataclasses.replace(some_measurements(0), weight=jnp.zeros(12))


def constructed():
    """Parameters computed from a site, which Laplace's method refuses."""
    scale = numpyro.sample("scale", dist.HalfNormal(1.0))
    z = jnp.asarray(numpyro.sample("z", dist.Normal(0.0, 1.0).expand((3,))))
    return dataclasses.replace(MODEL, level=scale * z)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("data", "prior", "chosen"),
    [
        (some_measurements(0), iid_prior(MODEL, {"level": dist.Normal(0.0, 1.0)}), "LaplaceMetropolis"),
        # A Cauchy posterior: the weights of normal draws have no variance.
        (NOTHING, iid_prior(MODEL, {"level": dist.Cauchy(0.0, 1.0)}), "NUTS"),
        (some_measurements(0), constructed, "NUTS"),
    ],
)
def test_auto_chooses_and_says_what(data, prior, chosen):
    phases = []
    arguments = {**ARGUMENTS, "progress": lambda state: phases.append(state.phase)}
    posterior = sample(MODEL, data, method="auto", prior=prior, num_samples=50, **arguments)
    assert posterior.method.startswith(chosen)
    assert phases[:2] == ["choosing", "compiling"]


@pytest.mark.slow
def test_other_data_compile_nothing():
    arguments = {**ARGUMENTS, "method": "auto", "num_samples": 20}
    sample(MODEL, some_measurements(0), **arguments)
    with compilations() as count:
        sample(MODEL, some_measurements(2), **arguments)
    assert count[0] == 0
