"""Expectation propagation against choix, exact integrals, and one factor a comparison."""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_expit, log_ndtr
from scipy.stats import norm

from scorax.choice._estimators import ep_pairwise
from scorax.choice._estimators._tilted import tilted_moments
from scorax.data import Comparisons, PairCounts

FOLDER = pathlib.Path(__file__).parents[2] / "oracles" / "choice"
CASES = json.loads((FOLDER / "ep_choix.json").read_text())["cases"]
LINKS = pytest.mark.parametrize("link", ["logit", "probit"])
LOG_WIN = {"logit": log_expit, "probit": log_ndtr}


@pytest.mark.parametrize("case", [CASES[0], pytest.param(CASES[1], marks=pytest.mark.slow)], ids=["4", "6"])
# choix replaces the logistic function by five probit terms, good to 1e-3.
@pytest.mark.parametrize(("link", "tolerance"), [("logit", 2e-3), ("probit", 1e-5)])
def test_as_choix(case, link, tolerance, x64):
    pairs = np.array(case["winner_loser"])
    counts = Comparisons.from_arrays(pairs[:, 0], pairs[:, 1], np.ones(len(pairs))).table(case["n"])
    posterior = ep_pairwise(counts, link=link, prior_precision=case["prior_precision"])
    np.testing.assert_allclose(posterior.mean, case[link]["mean"], atol=tolerance)
    np.testing.assert_allclose(posterior.covariance, case[link]["cov"], atol=tolerance)


def among_four(wins, losses=0.0):
    """Comparisons of the first two of four items."""
    table = np.zeros((4, 4))
    table[0, 1], table[1, 0] = wins, losses
    return PairCounts.from_arrays(table)


CONTRAST = np.array([1.0, -1.0, 0.0, 0.0])


def exact(link, mean, variance, wins, losses=0.0):
    """Log integral, mean and variance of N(d; m, v) F(d)^wins F(-d)^losses, on a fine grid."""
    d = np.linspace(mean - 14 * variance**0.5, mean + 14 * variance**0.5, 400_001)
    log = wins * LOG_WIN[link](d) + losses * LOG_WIN[link](-d) + norm.logpdf(d, mean, variance**0.5)
    weight = np.exp(log - log.max())
    total = weight.sum()
    middle = (weight * d).sum() / total
    return np.log(total * (d[1] - d[0])) + log.max(), middle, (weight * (d - middle) ** 2).sum() / total


@LINKS
@pytest.mark.parametrize(("mean", "variance", "power"), [(0.0, 1.0, 1.0), (-10.0, 10.0, 1.0), (3.0, 10.0, 0.3)])
def test_tilted_moments_are_exact(link, mean, variance, power, dtype):
    found = jax.jit(tilted_moments, static_argnums=(3, 4))(
        *(jnp.full((), x, dtype) for x in (mean, variance, power)), link, 64
    )
    tolerance = 1e-6 if dtype == jnp.float64 else 2e-5
    np.testing.assert_allclose(jnp.stack(found), exact(link, mean, variance, power), rtol=tolerance, atol=tolerance)


@LINKS
@pytest.mark.parametrize("weight", [1.0, 0.4])
def test_one_factor_is_exact(link, weight, x64):
    posterior = ep_pairwise(among_four(weight), link=link, prior_precision=0.5)
    log_total, mean, variance = exact(link, 0.0, 4.0, weight)
    np.testing.assert_allclose(CONTRAST @ posterior.mean, mean, rtol=1e-6)
    np.testing.assert_allclose(CONTRAST @ posterior.covariance @ CONTRAST, variance, rtol=1e-6)
    np.testing.assert_allclose(posterior.log_evidence, log_total, rtol=1e-6)


@LINKS
def test_many_factors_are_nearly_exact(link, x64):
    posterior = ep_pairwise(among_four(7, 3), link=link)
    log_total, mean, variance = exact(link, 0.0, 2.0, 7, 3)
    # The approximation's own error (0.2 % of the mean and 1.2 % of the variance at most), and half as much again.
    np.testing.assert_allclose(CONTRAST @ posterior.mean, mean, rtol=4e-3)
    np.testing.assert_allclose(CONTRAST @ posterior.covariance @ CONTRAST, variance, rtol=2e-2)
    np.testing.assert_allclose(posterior.log_evidence, log_total, atol=5e-3)


def one_factor_each(pairs, k, precision, sweeps=60):
    """Textbook EP, probit: a site for every comparison, one after the other."""
    tau, nu = np.zeros(len(pairs)), np.zeros(len(pairs))
    cov, shift = np.eye(k) / precision, np.zeros(k)
    for _ in range(sweeps):
        for r, (i, j) in enumerate(pairs):
            x = np.zeros(k)
            x[i], x[j] = 1, -1
            u = cov @ x
            m, v = u @ shift, x @ u
            vc = 1 / (1 / v - tau[r])
            mc = vc * (m / v - nu[r])
            z = mc / np.sqrt(1 + vc)
            ratio = np.exp(norm.logpdf(z) - log_ndtr(z))
            mean = mc + vc * ratio / np.sqrt(1 + vc)
            var = vc - vc**2 * ratio * (z + ratio) / (1 + vc)
            new_tau, new_nu = 1 / var - 1 / vc, mean / var - mc / vc
            cov = cov - np.outer(u, u) * (new_tau - tau[r]) / (1 + (new_tau - tau[r]) * v)
            shift = shift + x * (new_nu - nu[r])
            tau[r], nu[r] = new_tau, new_nu
    return cov @ shift, cov


def test_nothing_to_learn_gives_the_prior_on_others(x64):
    posterior = ep_pairwise(among_four(2, 1), link="probit", prior_precision=2.0)
    np.testing.assert_allclose(posterior.mean[2:], 0, atol=1e-12)
    np.testing.assert_allclose(posterior.covariance[2], [0, 0, 0.5, 0], atol=1e-12)
    # Only differences are observed: the level keeps its prior variance.
    np.testing.assert_allclose(posterior.covariance.sum(), 4 * 0.5, rtol=1e-9)
    np.testing.assert_allclose(posterior.mean.sum(), 0, atol=1e-12)


@LINKS
def test_hard_data_settle_or_say_so(link, x64):
    always = PairCounts.from_arrays(np.triu(np.full((4, 4), 300.0), 1))
    posterior = ep_pairwise(always, link=link, prior_precision=0.1)
    assert (jnp.diff(posterior.mean) < 0).all()
    assert (jnp.diagonal(posterior.covariance) < 10).all()
    with pytest.raises(ValueError, match="did not settle in 2 sweeps"):
        ep_pairwise(always, link=link, max_sweeps=2)
    stopped = ep_pairwise(always, link=link, max_sweeps=2, throw=False)
    assert jnp.isnan(stopped.mean).all()
    assert jnp.isnan(stopped.log_evidence)


def test_counts_stand_for_rows(x64):
    wins = np.array([[0, 3, 1, 0], [1, 0, 2, 0], [0, 4, 0, 1], [0, 0, 0, 0]])
    rows = [(i, j) for i in range(4) for j in range(4) for _ in range(wins[i, j])]
    mean, cov = one_factor_each(rows, 4, 0.7)
    posterior = ep_pairwise(PairCounts.from_arrays(wins), link="probit", prior_precision=0.7)
    np.testing.assert_allclose(posterior.mean, mean, atol=1e-7)
    np.testing.assert_allclose(posterior.covariance, cov, atol=1e-7)


def test_in_single_precision():
    posterior = ep_pairwise(PairCounts.from_arrays([[0, 3], [1, 0]]), link="probit")
    assert posterior.mean.dtype == jnp.float32
    mean, cov = one_factor_each([(0, 1)] * 3 + [(1, 0)], 2, 1.0)
    # The square root of single precision.
    np.testing.assert_allclose(posterior.mean, mean, atol=3.5e-4)
    np.testing.assert_allclose(posterior.covariance, cov, atol=3.5e-4)


def test_under_jit_and_vmap(x64):
    counts = among_four(7, 3)
    weights = counts.weight[None] * jnp.asarray([1.0, 3.0])[:, None, None, None]
    together = jax.jit(jax.vmap(lambda w: ep_pairwise(counts.reweight(w))))(weights)
    for i, scale in enumerate((1, 3)):
        one = ep_pairwise(among_four(7 * scale, 3 * scale))
        np.testing.assert_allclose(together.mean[i], one.mean, atol=1e-7)
        np.testing.assert_allclose(together.log_evidence[i], one.log_evidence, atol=1e-7)


def test_settings_are_checked():
    counts = PairCounts.from_arrays([[0, 3], [1, 0]])
    with pytest.raises(ValueError, match="link must be one of"):
        ep_pairwise(counts, link="cauchit")
    with pytest.raises(ValueError, match="prior_precision must be above 0"):
        ep_pairwise(counts, prior_precision=0)
