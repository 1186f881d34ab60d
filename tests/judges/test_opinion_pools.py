import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.special import betainc

from scorax.data import Annotations
from scorax.judges import (
    SimplexJudge,
    beta_pool,
    effective_judges,
    extremised_pool,
    fit_beta_pool,
    fit_linear_pool,
    fit_log_odds_pool,
    linear_pool,
    log_pool,
    weighted_majority,
)

P = np.array([[[0.7, 0.2, 0.1], [0.3, 0.4, 0.3]], [[0.1, 0.8, 0.1], [0.25, 0.25, 0.5]]])
pools = {"linear": jax.jit(linear_pool), "log": jax.jit(lambda p, w=None: jnp.exp(log_pool(jnp.log(p), w)))}


@pytest.mark.parametrize("name", ["linear", "log"])
def test_agreement_is_kept_weights_choose_and_results_sum_to_one(dtype, name):
    p, pool = jnp.asarray(P, dtype), pools[name]
    weight = jnp.asarray([[0.5, 1.5]], dtype)
    rtol = 20 * float(jnp.finfo(dtype).eps)
    chex.assert_trees_all_close(pool(p, weight).sum(-1), jnp.ones(2, dtype), rtol=rtol)
    same = jnp.stack([p[:, 0], p[:, 0]], axis=1)
    chex.assert_trees_all_close(pool(same, weight), p[:, 0], rtol=rtol)
    chex.assert_trees_all_close(pool(p, jnp.asarray([[0.0, 3.0]], dtype)), p[:, 1], rtol=rtol)
    chex.assert_trees_all_close(pool(p, jnp.asarray([[1.0, 3.0]], dtype)), pool(p, weight), rtol=rtol)


def test_log_pool_does_not_care_when_evidence_arrives(x64):
    p, evidence = jnp.asarray(P), jnp.array([0.3, 0.9, 0.5])
    weight = jnp.array([[0.4, 0.6]])
    after = pools["log"](p, weight) * evidence[None]
    before = p * evidence[None, None]
    before = pools["log"](before / before.sum(-1, keepdims=True), weight)
    chex.assert_trees_all_close(after / after.sum(-1, keepdims=True), before, rtol=1e-12)


def test_weights_of_one_add_up_evidence_and_zeros_veto():
    logs = jax.jit(log_pool, static_argnames="normalise")
    p = jnp.log(jnp.array([[0.9, 0.1, 0.0], [0.8, 0.2, 0.0]]))
    chex.assert_trees_all_close(jnp.exp(logs(p, normalise=False)), jnp.array([36 / 37, 1 / 37, 0.0]), rtol=1e-5)
    ones = jnp.ones(2)
    vetoed = jnp.exp(logs(jnp.log(jnp.array([[0.5, 0.5, 0.0], [0.0, 0.5, 0.5]])), ones))
    chex.assert_trees_all_close(vetoed, jnp.array([0.0, 1.0, 0.0]))
    assert jnp.isnan(logs(jnp.log(jnp.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])), ones)).all()
    assert jnp.isnan(logs(p, jnp.zeros(2))).all()


def test_extremising(dtype):
    p = jnp.asarray([[0.6, 0.7, 0.8], [0.5, 0.5, 0.5]], dtype)
    pool = jax.jit(extremised_pool)
    both = jnp.stack([p, 1 - p], axis=-1)
    geometric = pools["log"](both)[..., 0]
    rtol = 20 * float(jnp.finfo(dtype).eps)
    chex.assert_trees_all_close(pool(p, 1.0), geometric, rtol=rtol)
    chex.assert_trees_all_close(pool(p, 2.5)[1], jnp.asarray(0.5, dtype), rtol=rtol)
    assert pool(p, 2.5)[0] > geometric[0]
    chex.assert_trees_all_close(1 - pool(1 - p, 2.5), pool(p, 2.5), rtol=rtol)
    sure = jnp.asarray([[1.0, 0.3, 0.6], [0.0, 0.3, 0.6]], dtype)
    chex.assert_trees_all_equal(pool(sure, 2.0), jnp.asarray([1.0, 0.0], dtype))
    assert jnp.isnan(pool(jnp.asarray([[1.0, 0.0, 0.5]] * 2, dtype), 2.0)).all()
    gradient = jax.jit(jax.grad(lambda p: extremised_pool(p, 2.0).sum()))(sure)
    chex.assert_trees_all_equal(gradient, jnp.zeros_like(sure))


def test_beta_transform(x64):
    p = jnp.array([[0.6, 0.8], [0.1, 0.4]])
    chex.assert_trees_all_close(beta_pool(p, 1.0, 1.0), p.mean(1), rtol=1e-10)
    chex.assert_trees_all_close(beta_pool(p, 3.0, 2.0), betainc(3.0, 2.0, p.mean(1)), rtol=1e-10)
    chex.assert_trees_all_close(beta_pool(1 - p, 2.0, 3.0), 1 - beta_pool(p, 3.0, 2.0), rtol=1e-10)


def test_learned_weights_are_the_best_there_are(x64):
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(3), (200, 4))
    share = np.array([0.6, 0.4, 0.0, 0.0])
    outcome = np.array([rng.choice(3, p=row) for row in np.einsum("j,njm->nm", share, p)])
    weights = jax.jit(fit_linear_pool)(jnp.asarray(p), jnp.asarray(outcome))
    chex.assert_trees_all_close(weights.sum(), jnp.ones(()), rtol=1e-12)
    given = p[np.arange(200), :, outcome]
    # Kuhn and Tucker: no judge would add to the log score, and those with a weight add just what they have.
    gain = (given / (given @ np.asarray(weights))[:, None]).mean(0)
    assert (gain < 1 + 1e-9).all()
    chex.assert_trees_all_close(gain[np.asarray(weights) > 1e-6], np.ones(int((weights > 1e-6).sum())), rtol=1e-9)


def test_learned_extremity(x64):
    rng = np.random.default_rng(0)
    odds = rng.normal(size=(4000, 2))
    yes = (rng.random(4000) < 1 / (1 + np.exp(-(1.5 * odds[:, 0] + 0.5 * odds[:, 1])))).astype(float)
    p = jnp.asarray(1 / (1 + np.exp(-odds)))
    fitted = jax.jit(fit_log_odds_pool, static_argnames="shared")
    found = fitted(p, jnp.asarray(yes))
    # Standard errors are 0.06 and 0.04.
    chex.assert_trees_all_close(found, jnp.array([1.5, 0.5]), atol=0.2)
    shared = fitted(p, jnp.asarray(yes), shared=True)
    assert shared[0] == shared[1]
    log_score = lambda c: -np.logaddexp(0, -np.where(yes == 1, 1, -1) * (odds @ np.asarray(c))).mean()  # noqa: E731
    assert log_score(found) > log_score(shared) > log_score([0.5, 0.5])
    chex.assert_trees_all_close(
        jax.jit(extremised_pool)(p, found.sum(), weight=found / found.sum()),
        jax.nn.sigmoid(jnp.asarray(odds) @ found),
        rtol=1e-9,
    )
    assert jnp.isnan(fitted(p, (p[:, 0] > 0.5).astype(float))).all()


@pytest.mark.slow
def test_learned_beta_transform(x64):
    rng = np.random.default_rng(0)
    p = jnp.asarray(rng.beta(2, 2, (300, 2)))
    chance = betainc(3.0, 2.0, p.mean(1))
    yes = jnp.asarray(rng.random(300) < np.asarray(chance), float)
    a, b = jax.jit(fit_beta_pool)(p, yes)
    pool = jax.jit(beta_pool)
    score = lambda a, b: float(jnp.log(jnp.where(yes == 1, pool(p, a, b), 1 - pool(p, a, b))).mean())  # noqa: E731
    best = score(a, b)
    # No neighbour within a hundredth is better; near a maximum a thousandth changes the score by less than 1e-6.
    assert all(score(a * x, b * y) < best + 1e-7 for x in (0.99, 1.01) for y in (0.99, 1.01))
    # Likelihood-ratio: twice the gain over the truth is chi-squared with two degrees of freedom.
    assert 0 <= 2 * 300 * (best - score(3.0, 2.0)) < 14


def test_effective_number_of_judges(dtype):
    found = effective_judges(5, jnp.asarray([0.0, 1.0, 0.5, -0.3], dtype))
    chex.assert_trees_all_close(found, jnp.asarray([5.0, 1.0, 5 / 3, jnp.nan], dtype), rtol=1e-6)


def test_votes_are_weighed_as_bayes_would(x64):
    """Against the posterior of the latent-class model whose judges err evenly."""
    accuracy, m = jnp.array([0.9, 0.6, 0.75]), 3
    prevalence = jnp.array([0.2, 0.5, 0.3])
    right = jnp.eye(m)[None] * accuracy[:, None, None]
    confusion = right + (1 - jnp.eye(m)[None]) * ((1 - accuracy) / (m - 1))[:, None, None]
    label = np.array([[0, 1, 1], [2, 2, 0], [1, 0, 0]])
    where = np.array([[True, True, True], [True, True, True], [True, True, False]])
    data = Annotations.from_arrays(label, np.tile(np.arange(3), (3, 1)), where=where)
    expected = jax.jit(SimplexJudge.label_posterior)(SimplexJudge(prevalence[None], confusion, (1.0, 2.0, 3.0)), data)
    found = weighted_majority(jnp.asarray(label), accuracy, m, where=jnp.asarray(where), prevalence=prevalence)
    chex.assert_trees_all_close(jnp.exp(found), expected, rtol=1e-9)
