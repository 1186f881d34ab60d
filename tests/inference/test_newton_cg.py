"""Newton's method by conjugate gradients finds what Newton's method finds."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from numpyro import handlers

from scorax.choice import BradleyTerry
from scorax.data import Comparisons
from scorax.inference import Newton, fit, iid_prior
from scorax.inference._marginal_mode import Hierarchy
from scorax.inference._newton_cg import _steihaug, newton_cg
from scorax.inference._posterior_problem import posterior_problem
from tests.inference.models import CASES, simulated
from tests.inference.toys import Things, some_measurements

NAMED = {case.name: case for case in CASES}


def given_scale(case, dtype):
    """A hierarchy, given a value of what is above the parameters."""
    problem, _ = posterior_problem(case.template(dtype), simulated(case, dtype), None)
    hierarchy = Hierarchy.of(problem, Newton(), ("scale",))
    return hierarchy.given(jnp.full(1, -0.3, dtype), hierarchy.start(above=False))


def pinned(case, dtype):
    model = case.template(dtype)
    prior = handlers.condition(model.prior, {"scale": jnp.ones((), dtype)})
    return posterior_problem(model, simulated(case, dtype), prior)[0]


@pytest.mark.parametrize(
    ("problem", "name"),
    [
        (pinned, "BradleyTerry with order and features"),
        pytest.param(pinned, "PlackettLuce of tops", marks=pytest.mark.slow),
        pytest.param(given_scale, "Davidson with order and features", marks=pytest.mark.slow),
    ],
)
def test_the_mode_is_newtons(problem, name, x64):
    problem = problem(NAMED[name], float)
    summit = newton_cg(problem, problem.start)
    exact = eqx.filter_jit(Newton().maximise)(problem, max_steps=50)
    assert summit.converged
    assert summit.steps < 15
    # Both square what is left once more when it is the fourth root of the rounding error.
    np.testing.assert_allclose(summit.q, exact.q, atol=1e-8)
    np.testing.assert_allclose(summit.value, exact.value, rtol=1e-12)


def test_it_climbs_where_the_density_curves_upwards(dtype):
    """From ten widths out on a Student t, where Newton's own step leads further out."""
    model, nothing = Things.init(6), dataclasses.replace(some_measurements(0), weight=jnp.zeros(12))
    prior = iid_prior(model, {"level": dist.StudentT(3.0, 1.0, 1.0)})
    problem, _ = posterior_problem(model, nothing, prior)
    summit = newton_cg(problem, jnp.linspace(-10.0, 10.0, 6))
    assert summit.converged
    assert summit.q.dtype == dtype
    # The gradient is a sum of few numbers of order one, and so is the information.
    np.testing.assert_allclose(summit.q, np.ones(6), atol=100 * jnp.finfo(dtype).eps)


def test_a_maximum_at_infinity_is_no_maximum():
    """Where one item wins everything and the prior is flat."""
    dtype = np.dtype("float32")
    model = BradleyTerry.init(3, dtype=dtype)
    battles = NAMED["BradleyTerry"].design(dtype)
    where = (battles.a < 3) & (battles.b < 3)
    ids = jnp.minimum(battles.a, 2), jnp.minimum(battles.b, 2)
    always = dataclasses.replace(
        battles, a=ids[0], b=ids[1], outcome=(ids[0] < ids[1]).astype(dtype), weight=where.astype(dtype)
    )
    flat = handlers.condition(model.prior, {"scale": jnp.asarray(1e10, dtype)})
    problem, _ = posterior_problem(model, always, flat)
    assert not newton_cg(problem, problem.start, max_steps=20).converged


@pytest.mark.parametrize(
    "name", [pytest.param("Davidson with order and features", marks=pytest.mark.slow), "PlackettLuce of tops"]
)
def test_fits_of_many_parameters_are_those_of_few(name, x64):
    """Estimate, certificate and implicit derivative, where no Hessian is formed."""
    case = NAMED[name]
    model, data = case.template(float), simulated(case, float)
    sparing = dataclasses.replace(type(model).solver, largest_dense=2)
    prior = handlers.condition(model.prior, {"scale": jnp.ones(())})

    @eqx.filter_jit
    def slope(solver):
        def first(weight):
            result = fit(model, data.reweight(weight), prior=prior, solver=solver)
            return jax.tree.leaves(result.model)[0][0], result

        return jax.grad(first, has_aux=True)(data.weight)

    (expected, dense), (found, sparse) = slope(type(model).solver), slope(sparing)
    assert sparse.diagnostics.converged
    for ours, theirs in zip(jax.tree.leaves(sparse.model), jax.tree.leaves(dense.model), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-8)
    np.testing.assert_allclose(sparse.log_likelihood, dense.log_likelihood, rtol=1e-12)
    # Conjugate gradients stop at the 3/4 power of the rounding error.
    np.testing.assert_allclose(found, expected, atol=1e-10)


def test_what_runs_to_infinity_is_said_to():
    battles = Comparisons.from_arrays([0, 0, 1, 2, 1], [1, 2, 2, 1, 2], [1.0, 1.0, 1.0, 1.0, 0.0])
    sparing = dataclasses.replace(BradleyTerry.solver, largest_dense=2)
    with pytest.raises(ValueError, match="no finite maximum: strength"):
        fit(BradleyTerry.init(3), battles, solver=sparing)


@pytest.mark.parametrize("curvature", [[3.0, 1.0, 0.2], [3.0, -1.0, 0.2], [-1.0, -2.0, -3.0]])
def test_a_step_is_within_the_trust_region_and_gains(curvature, dtype):
    matrix, gradient = jnp.diag(jnp.asarray(curvature, dtype)), jnp.asarray([1.0, 0.5, -0.3], dtype)

    @jax.jit
    def step(radius):
        return _steihaug(lambda v: matrix @ v, gradient, radius, jnp.asarray(1e-6, dtype))

    newton = np.asarray(gradient) / curvature
    for radius in (0.1, 1.0, 10.0):
        found = step(jnp.asarray(radius, dtype))
        s = np.asarray(found.step, np.float64)
        np.testing.assert_allclose(found.gain, gradient @ s - s @ matrix @ s / 2, rtol=1e-5)
        # At least what the steepest ascent gains within the region, which makes the search converge.
        steepest = np.asarray(gradient) / np.linalg.norm(gradient) * radius
        best = max(t * (gradient @ steepest) - t**2 * (steepest @ matrix @ steepest) / 2 for t in np.linspace(0, 1, 50))
        assert found.gain >= best * (1 - 1e-6)
        inside = min(curvature) > 0 and np.linalg.norm(newton) < radius
        assert bool(found.limited) != inside
        np.testing.assert_allclose(s if inside else np.linalg.norm(s), newton if inside else radius, rtol=1e-5)
