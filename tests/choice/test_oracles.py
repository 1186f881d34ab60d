"""Against numbers that other packages computed; see `tests/oracles/choice/README.md`."""

import json
import math
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

from scorax.choice import BradleyTerry, Davidson, PlackettLuce, Thurstone
from scorax.data import Comparisons, Rankings, inverse_propensity
from scorax.inference import fit, iid_prior, log_likelihood

FOLDER = pathlib.Path(__file__).parents[1] / "oracles" / "choice"


def oracle(name):
    return json.loads((FOLDER / f"{name}.json").read_text())


@pytest.fixture(autouse=True)
def double(x64):
    """Reference numbers carry twelve digits."""


@pytest.mark.parametrize("case", oracle("bt_choix")["cases"], ids=lambda case: f"{case['n']} items")
def test_bradley_terry_as_choix(case):
    pairs = np.array(case["winner_loser"])
    data = Comparisons.from_arrays(pairs[:, 0], pairs[:, 1], np.ones(len(pairs)))
    probe = BradleyTerry(jnp.asarray(case["theta_probe"]))
    np.testing.assert_allclose(log_likelihood(probe, data), case["loglik_at_probe"], rtol=1e-11)
    at = probe.solver.derivatives_of_leaves(probe, data.table(case["n"]))(probe)
    np.testing.assert_allclose(-at.gradient, case["grad_nll_at_probe"], atol=1e-9)
    np.testing.assert_allclose(-at.hessian, case["hess_nll_at_probe"], atol=1e-9)
    start = BradleyTerry.init(case["n"])
    if case["ml"] is not None:
        # choix stops its own iteration at 1e-8.
        np.testing.assert_allclose(fit(start, data).model.strength, case["ml"], atol=1e-6)
    # choix' penalty alpha * sum theta^2 is a normal prior of variance 1 / (2 alpha).
    prior = iid_prior(start, {"strength": dist.Normal(0.0, math.sqrt(1 / 0.2))})
    mode = fit(start, data, prior=prior).model.strength
    np.testing.assert_allclose(mode, case["l2_penalty_0.1_times_sumsq"], atol=1e-5)


@pytest.mark.parametrize("case", oracle("pl_choix")["cases"], ids=lambda case: f"{case['n']} items")
def test_plackett_luce_as_choix(case):
    data = Rankings.from_orders(case["rankings"], n_items=case["n"])
    probe = PlackettLuce(jnp.asarray(case["theta_probe"]))
    np.testing.assert_allclose(log_likelihood(probe, data), case["loglik_rankings_at_probe"], rtol=1e-11)

    def loss(strength):
        return -log_likelihood(PlackettLuce(strength), data)

    np.testing.assert_allclose(jax.jit(jax.grad(loss))(probe.strength), case["grad_nll_at_probe"], atol=1e-9)
    np.testing.assert_allclose(jax.jit(jax.hessian(loss))(probe.strength), case["hess_nll_at_probe"], atol=1e-9)
    start = PlackettLuce.init(case["n"])
    if case["ml"] is not None:
        np.testing.assert_allclose(fit(start, data).model.strength, case["ml"], atol=1e-6)
    prior = iid_prior(start, {"strength": dist.Normal(0.0, math.sqrt(1 / 0.2))})
    np.testing.assert_allclose(fit(start, data, prior=prior).model.strength, case["l2_0_1"], atol=1e-5)


def test_sandwich_as_arena_rank():
    reference = oracle("bt_arena_rank")
    data = Comparisons.from_arrays(reference["a"], reference["b"], np.asarray(reference["outcome"]))
    result = fit(BradleyTerry.init(reference["n"]), data).robust()
    points = 400 / math.log(10)
    rating = result.map(lambda model: 1000 + points * model.strength)
    np.testing.assert_allclose(rating.value, reference["plain"]["ratings"], atol=1e-4)
    # arena-rank adds 1e-5 of the number of rows to the Hessian: 3e-4 of a variance.
    np.testing.assert_allclose(jnp.diagonal(rating.covariance), reference["plain"]["variances"], rtol=1e-3)


def test_every_pair_alike_as_arena_rank():
    reference = oracle("bt_arena_rank")
    data = Comparisons.from_arrays(reference["a"], reference["b"], np.asarray(reference["outcome"]))
    result = fit(BradleyTerry.init(reference["n"]), data.reweight(inverse_propensity(data))).robust()
    points = 400 / math.log(10)
    rating = result.map(lambda model: 1000 + points * model.strength)
    np.testing.assert_allclose(rating.value, reference["reweighted_min50"]["ratings"], atol=1e-4)
    # With weights of 1/50 at most, its 1e-5 a row is a fiftieth of what it is without, against the Hessian's mean.
    np.testing.assert_allclose(jnp.diagonal(rating.covariance), reference["reweighted_min50"]["variances"], rtol=1e-3)


def test_style_with_a_penalty_as_arena_rank():
    reference = oracle("bt_arena_rank")
    columns = {"features": np.asarray(reference["features"])}
    data = Comparisons.from_arrays(reference["a"], reference["b"], np.asarray(reference["outcome"]), **columns)
    start = BradleyTerry.init(reference["n"], n_features=2)
    # Its objective is a mean: the penalty of 0.01 is one of 0.01 n on the sum, and strengths have none.
    of_coefficient = dist.Normal(0.0, (0.01 * len(reference["a"])) ** -0.5)
    prior = iid_prior(start, {"strength": dist.Normal(0.0, 1e4), "coefficient": of_coefficient})
    model, expected = fit(start, data, prior=prior).model, reference["contextual_reg0.01"]
    np.testing.assert_allclose(1000 + 400 / math.log(10) * model.strength, expected["ratings"], atol=1e-4)
    np.testing.assert_allclose(model.coefficient, expected["coeffs"], atol=1e-6)


@pytest.fixture
def glm():
    reference = oracle("bt_glm_statsmodels")
    columns = {"order": np.asarray(reference["home"], float), "features": np.asarray(reference["x"])[:, None]}
    outcome = np.asarray(reference["outcome"])
    data = Comparisons.from_arrays(reference["a"], reference["b"], outcome, **columns)
    return reference, data, fit(BradleyTerry.init(reference["n"], order_effect=True, n_features=1), data)


def contrasts(model):
    """statsmodels' parameters: strengths relative to item 0, then the home effect and the coefficient."""
    return jnp.concatenate([model.strength[1:] - model.strength[0], model.order_effect[None], model.coefficient])


def test_effects_as_statsmodels(glm):
    reference, _, result = glm
    estimate = result.map(contrasts)
    np.testing.assert_allclose(estimate.value, reference["logit"]["params"], atol=1e-8)
    np.testing.assert_allclose(estimate.std_error, reference["logit"]["se"], rtol=1e-7)
    np.testing.assert_allclose(result.log_likelihood, reference["logit"]["llf"], rtol=1e-10)


@pytest.mark.parametrize("link", ["probit", "cauchit"])
def test_other_links_as_statsmodels(glm, link):
    reference, data, _ = glm
    result = fit(Thurstone.init(reference["n"], link=link, order_effect=True, n_features=1), data)
    estimate = result.map(contrasts)
    np.testing.assert_allclose(result.log_likelihood, reference[link]["llf"], rtol=1e-10)
    # statsmodels stops its own iteration at 1e-8.
    np.testing.assert_allclose(estimate.value, reference[link]["params"], atol=1e-6)
    np.testing.assert_allclose(estimate.std_error, reference[link]["se"], rtol=1e-5)


def test_robust_errors_as_statsmodels(glm):
    reference, _, result = glm
    robust = result.robust().map(contrasts).std_error
    np.testing.assert_allclose(robust, reference["logit_sandwich_se_HC0"], rtol=1e-7)
    clustered = result.robust(jnp.asarray(reference["cluster"])).map(contrasts).std_error
    np.testing.assert_allclose(clustered, reference["logit_cluster_se_no_correction"], rtol=1e-7)


def test_weights_as_statsmodels(glm):
    reference, data, _ = glm
    weighted = data.reweight(jnp.asarray(reference["weights"]))
    estimate = fit(BradleyTerry.init(reference["n"], order_effect=True, n_features=1), weighted).map(contrasts)
    np.testing.assert_allclose(estimate.value, reference["logit_weighted"]["params"], atol=1e-8)
    np.testing.assert_allclose(estimate.std_error, reference["logit_weighted"]["se_model"], rtol=1e-7)


@pytest.mark.parametrize("case", oracle("evalica")["cases"], ids=["plain", "weighted"])
def test_ties_as_evalica(case):
    data = Comparisons.from_arrays(case["a"], case["b"], np.asarray(case["outcome"]), weight=case["weights"])
    # evalica stops at a change of 1e-6.
    half = fit(BradleyTerry.init(case["n"]), data).model
    np.testing.assert_allclose(jnp.exp(half.strength), case["bradley_terry"], rtol=1e-4)
    newman = fit(Davidson.init(case["n"]), data).model
    scores = np.log(case["newman"]["scores"])  # evalica leaves their scale open
    np.testing.assert_allclose(newman.strength, scores - scores.mean(), atol=1e-4)
    np.testing.assert_allclose(jnp.exp(newman.log_tie) / 2, case["newman"]["nu"], rtol=1e-4)
