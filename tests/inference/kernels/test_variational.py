"""Gaussian guides: exact where the posterior is normal and the guide can say so, and honest where it cannot."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.inference._draws import layout_of
from scorax.inference._sample import _chain_keys
from scorax.inference._variational import Variational, draw_variational
from tests.inference.compilations import compilations
from tests.inference.kernels.gaussian import CORRELATED, DATA, WIDE, posterior, problem_and_start, standardised

pytestmark = pytest.mark.engine


def draw(guide, covariance, seed=0, num_chains=4, num_samples=500):
    problem, start = problem_and_start(covariance)
    keys = _chain_keys(jax.random.key(seed), jnp.arange(num_chains, dtype=jnp.uint32))
    return draw_variational(
        Variational(guide=guide),
        problem,
        layout_of(problem),
        start,
        keys=keys,
        num_samples=num_samples,
        report=lambda _: None,
    )


def log_evidence(covariance):
    """Of the data, whose values are normal with known variances once the levels are integrated out."""
    design = np.eye(3)[np.asarray(DATA.thing)]
    marginal = design @ covariance @ design.T + np.eye(len(design))
    value = np.asarray(DATA.value, np.float64)
    quadratic = value @ np.linalg.solve(marginal, value)
    return -(quadratic + np.linalg.slogdet(2 * np.pi * marginal)[1]) / 2


@pytest.mark.parametrize(
    "guide", [pytest.param(guide, marks=pytest.mark.slow) for guide in ("multivariate", "low_rank")]
)
def test_a_guide_with_correlations_is_exact(guide):
    chains = draw(guide, CORRELATED)
    z = standardised(chains.records["sites"]["level"], CORRELATED)
    # What Adam leaves of one fit's means, variances and covariances: 0.03 (root mean square over 48 fits).
    left = 0.03 / 4**0.5
    number = z[..., 0].size
    np.testing.assert_allclose(z.mean((0, 1)), 0, atol=5 * (1 / number + left**2) ** 0.5)
    np.testing.assert_allclose(
        np.einsum("cdi,cdj->ij", z, z) / number, np.eye(3), atol=5 * (2 / number + left**2) ** 0.5
    )
    assert (chains.records["stats"]["pareto_k"] < 0.7).all()
    elbo = chains.adaptation["elbo"]
    assert elbo.shape == (4, 2000)
    np.testing.assert_allclose(elbo[:, -200:].mean(1), log_evidence(CORRELATED), atol=0.05)
    assert elbo[:, :20].mean() < elbo[:, -200:].mean() - 1


@pytest.mark.slow
def test_without_correlations_it_is_too_narrow_and_says_so():
    chains = draw("normal", CORRELATED)
    mean, covariance = posterior(CORRELATED)
    level = chains.records["sites"]["level"]
    narrow = np.diagonal(np.linalg.inv(covariance)) ** -0.5
    np.testing.assert_allclose(level.mean((0, 1)), mean, atol=0.15 * narrow.max())
    np.testing.assert_allclose(level.std((0, 1)), narrow, rtol=0.15)
    assert (narrow < 0.75 * np.diagonal(covariance) ** 0.5).all()
    divergence = (np.log(narrow**-2).sum() + np.linalg.slogdet(covariance)[1]) / 2
    bound = log_evidence(CORRELATED) - divergence
    np.testing.assert_allclose(chains.adaptation["elbo"][:, -200:].mean(1), bound, atol=0.1)
    assert (chains.records["stats"]["pareto_k"] > 0.7).any()


def test_chains_are_fits_of_their_own_and_another_call_compiles_nothing():
    first = draw("multivariate", WIDE)
    with compilations() as count:
        again = draw("multivariate", WIDE, num_samples=30)
        other = draw("multivariate", CORRELATED, seed=1)
    assert count[0] == 0
    jax.tree.map(lambda x, y: np.testing.assert_array_equal(x[:, :30], y), first.records, again.records)
    assert not np.array_equal(first.adaptation["elbo"][0], first.adaptation["elbo"][1])
    assert not np.array_equal(first.records["sites"]["level"], other.records["sites"]["level"])


def test_a_guide_of_another_name_is_an_error():
    with pytest.raises(ValueError, match="guide must be one of 'low_rank', 'multivariate', 'normal', not 'flow'"):
        Variational(guide="flow")


def test_no_fit_is_an_error():
    with pytest.raises(ValueError, match=r"found no fit in 4 of 4 chains.*lower learning_rate"):
        draw("multivariate", np.nan * WIDE)
