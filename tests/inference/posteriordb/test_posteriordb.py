"""Posteriors that others have sampled at length: every mean and standard deviation, by several kernels.

Source: Magnusson, Torgander, Bürkner, Zhang, Carpenter & Vehtari (2025), "posteriordb: testing, benchmarking and
developing Bayesian inference algorithms", AISTATS; https://github.com/stan-dev/posteriordb.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.inference import NUTS, fit, laplace_frame, log_likelihood, mcse_mean, mcse_sd, rhat, sample
from tests.inference.posteriordb.cases import CASES, Case, linear
from tests.inference.posteriordb.models import KidScore

pytestmark = pytest.mark.engine

BY_NAME = {case.name.split("-")[0]: case for case in CASES}

# The funnel of a scale wants short steps; where parameters are of very different widths, or all but determine each
# other, no diagonal mass matrix helps (the verdict says so).
CHAINS = {
    "eight_schools": {"method": NUTS(target_accept_prob=0.95)},
    "sblri": {"precondition": laplace_frame},
    "kilpisjarvi_mod": {"precondition": laplace_frame},
}


def draw(case: Case, **settings):
    model, data = case.model_and_data
    if "precondition" in settings:
        settings["precondition"] = settings["precondition"](model, data)
    return sample(model, data, key=jax.random.key(0), num_samples=2000, progress=False, **settings)


def assert_equal_to_reference(case: Case, draws: dict[str, jax.Array], *, mean: float = 0.02, sd: float = 0.08):
    """Within four combined standard errors, and shares of the reference's standard deviation.

    The reference's own errors are near a hundredth of it; in six runs of each, ours of its standard deviation were at
    most 0.026 of it (so that 0.08 is three), and no mean was further off than two thirds of what is allowed.
    """
    for name in case.names:
        x = draws[name]
        expected, spread = (np.reshape(array, x.shape[2:]) for array in case.reference(name))
        error = np.hypot(np.asarray(mcse_mean(x)), spread / 100)
        np.testing.assert_array_less(np.abs(x.mean((0, 1)) - expected), 4 * error + mean * spread, name)
        assert (np.asarray(mcse_sd(x)) < 0.03 * spread).all(), name
        np.testing.assert_array_less(np.abs(x.std((0, 1)) / spread - 1), sd, name)


@pytest.mark.slow
@pytest.mark.parametrize("case", BY_NAME.values(), ids=BY_NAME)
def test_nuts(case, x64):
    posterior = draw(case, **CHAINS.get(case.name.split("-")[0], {}))
    draws = posterior.quantities()
    assert all((rhat(draws[name]) < 1.01).all() for name in case.names)
    assert posterior.check().ok, posterior.check()
    assert_equal_to_reference(case, draws)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("low_dim_gauss_mix", "pathfinder"),
        ("mesquite", "pathfinder"),
        ("low_dim_gauss_mix", "adjusted_mclmc"),
        ("mesquite", "adjusted_mclmc"),
        ("arK", "chees"),
        ("low_dim_gauss_mix", "chees"),
        ("mesquite", "auto"),
        ("kidiq", "auto"),
        ("arK", "auto"),
    ],
)
def test_other_kernels(name, method, x64):
    """On posteriors that suit them: without a funnel, and (but for `"auto"`) of widths that are not too different."""
    case = BY_NAME[name]
    posterior = draw(case, method=method)
    assert method != "auto" or posterior.method.startswith("LaplaceMetropolis")
    assert posterior.check().ok, posterior.check()
    assert_equal_to_reference(case, posterior.quantities())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["kidiq", "mesquite", "sblri", "arK", "kilpisjarvi_mod", "low_dim_gauss_mix"])
def test_laplace(name, x64):
    """Off by what is of first order in one over the number of rows.

    The joint mode of a regression divides the squared residuals by `n` in place of `n - p`, and the logarithm of the
    noise, whose standard deviation is near `1 / sqrt(2 n)`, is skew: together at most `d / sqrt(2 n)` of a standard
    deviation for `d` parameters, and `(d + 1) / n` of the standard deviations themselves.
    """
    case = BY_NAME[name]
    _, data = case.model_and_data
    posterior = draw(case, method="laplace")
    d = sum(len(names) for names in case.names.values())
    n = data.weight.size
    assert_equal_to_reference(case, posterior.quantities(), mean=0.02 + d / (2 * n) ** 0.5, sd=0.08 + (d + 1) / n)


def test_laplace_of_a_hierarchy(heavy_dtype):
    """Effects are normal given what is above them, and all error is that of 256 proposals of the centre and the scale.

    The scale's posterior has much of its mass near zero, where NUTS wants a non-centred form. In four runs no mean was
    further off than 0.03 of a standard deviation, and no standard deviation by more than 0.04 of itself.
    """
    case = BY_NAME["eight_schools"]
    model, _ = case.model_and_data
    posterior = draw(case, method="laplace", prior=model.centred)
    assert posterior.check().ok, posterior.check()
    assert_equal_to_reference(case, posterior.quantities(), mean=0.05)


@pytest.mark.parametrize("case", CASES, ids=list(BY_NAME))
def test_models_are_models(case, dtype):
    """Of every row a number, and new outcomes of the same design that are about as likely as the data."""
    model, data = case.model_and_data
    log_prob = jax.jit(lambda model, data: model.log_prob(data))(model, data)
    assert log_prob.shape == data.weight.shape
    assert log_prob.dtype == dtype
    again = jax.jit(lambda model, data, key: model.simulate(data, key=key))(model, data, jax.random.key(0))
    assert jax.tree.map(lambda x: (x.shape, x.dtype), again) == jax.tree.map(lambda x: (x.shape, x.dtype), data)
    assert jnp.isfinite(log_likelihood(model, again))


def test_a_regression_equals_its_closed_form(x64):
    """The flat prior's mode is least squares, with the noise of maximum likelihood."""
    _, data = BY_NAME["kidiq"].model_and_data
    found = fit(linear(KidScore, 2), data).model
    expected, squares, *_ = np.linalg.lstsq(np.asarray(data.x), np.asarray(data.y), rcond=None)
    np.testing.assert_allclose(found.coefficient, expected, rtol=1e-6)
    np.testing.assert_allclose(found.noise, np.sqrt(squares[0] / data.y.size), rtol=1e-6)
