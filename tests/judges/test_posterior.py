"""Posteriors by NUTS: against published numbers, conjugate ones, and the limit of unlimited data."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from scorax.data import Annotations
from scorax.inference import NUTS, sample
from scorax.inference.validity import joint_of, posterior_sampler, sbc
from scorax.judges import DawidSkene, SimplexJudge, SimplexPrior, binary_identified_interval
from tests.judges.conftest import oracle

pytestmark = pytest.mark.engine


def drawn(model, data, prior, *, chains=2, samples=500, warmup=300, **settings):
    return sample(
        model, data, key=jax.random.key(0), prior=prior, num_warmup=warmup, num_samples=samples, num_chains=chains,
        progress=False, **settings,
    )  # fmt: skip


# R package rater: Dirichlet(3) classes, rows of 8 labels, 6 in 10 right, errors spread evenly. Means to 0.01.
def test_anaesthetists_as_in_rater(anaesthesia):
    data, _ = anaesthesia
    model = SimplexJudge.from_majority_vote(data, 1, 5, 4)
    prior = SimplexPrior(model, reach=float("inf"), concentration=3.0)
    posterior = drawn(model, data, prior, initial=model, chains=1, samples=400, warmup=200)
    np.testing.assert_allclose(posterior.model.prevalence.mean((0, 1))[0], [0.3756, 0.4073, 0.1432, 0.0738], atol=0.015)
    assert posterior.stats["diverging"].sum() == 0


@pytest.mark.slow
def test_anaesthetists_under_flat_priors_as_in_numpyro(anaesthesia):
    data, _ = anaesthesia
    expected = oracle("numpyro_dawid_skene_posterior_anesthesia")
    model = SimplexJudge.from_majority_vote(data, 1, 5, 4)

    def flat():
        prevalence = numpyro.sample("prevalence", dist.Dirichlet(jnp.ones((1, 4))))
        confusion = numpyro.sample("confusion", dist.Dirichlet(jnp.ones((5, 4, 4))))
        return SimplexJudge(jnp.asarray(prevalence), jnp.asarray(confusion), model.values)

    posterior = drawn(model, data, flat, initial=model, chains=16, samples=2000)
    classes = posterior.map(lambda m: m.label_posterior(data)).mean(1)
    # The posterior has several modes, between which chains hardly move. The reference kept the chains in one of them,
    # which is told by how it labels the items; the parameters are what is compared. A quarter of 16 chains of four
    # seeds were there: that none of 16 is happens once in a hundred seeds.
    truth = np.asarray(expected["class_probs_mean"])
    kept = np.flatnonzero(np.abs(np.asarray(classes) - truth).max((1, 2)) < 0.1)
    assert kept.size >= 1
    np.testing.assert_allclose(posterior.model.prevalence[kept].mean((0, 1))[0], expected["pi_mean"], atol=0.02)
    confusion = posterior.model.confusion[kept].mean((0, 1))
    np.testing.assert_allclose(confusion, expected["theta_mean_judge_truth_label"], atol=0.04)


@pytest.mark.slow
def test_gold_labels_for_all_items_give_the_conjugate_posterior():
    rng = np.random.default_rng(0)
    gold = rng.integers(2, size=40)
    label = np.where(rng.random((40, 2)) < 0.8, gold[:, None], 1 - gold[:, None])
    data = Annotations.from_arrays(label, np.broadcast_to([0, 1], label.shape), gold=gold)
    model = SimplexJudge.init(1, 2, 2)
    prior = SimplexPrior(model)
    posterior = drawn(model, data, prior)
    counts = np.zeros((2, 2, 2))
    for j in range(2):
        np.add.at(counts, (j, gold, label[:, j]), 1)
    concentration = np.asarray(prior.strength * prior.mean_confusion) + counts
    mean = concentration / concentration.sum(-1, keepdims=True)
    # Standard deviation below 0.1, at least 300 effective draws: four Monte Carlo standard errors.
    np.testing.assert_allclose(posterior.model.confusion.mean((0, 1)), mean, atol=4 * 0.1 / 300**0.5)


def one_judge(observed, n):
    """Labels of one judge in the exact proportions `observed`, as weighted rows of one label."""
    k, m = observed.shape
    weight = (n * observed).ravel()
    return Annotations.from_arrays(
        np.tile(np.arange(m), k)[:, None],
        np.zeros((k * m, 1), int),
        candidate=np.repeat(np.arange(k), m),
        weight=weight,
    )


@pytest.mark.slow
def test_two_levels_order_is_known_and_the_level_is_not():
    p = np.array([0.3, 0.5, 0.7])
    approved = 0.2 + 0.6 * p
    data = one_judge(np.stack([1 - approved, approved], axis=1), 10_000)
    model = SimplexJudge.init(3, 1, 2)
    # The Beta rows of the default prior, truncated to judges that approve of good answers more often.

    def truncated():
        drawn = SimplexPrior(model)()
        right = drawn.confusion[0, 0, 1] < drawn.confusion[0, 1, 1]
        numpyro.factor("order", jnp.where(right, 0.0, -1e6))
        return drawn

    start = {"prevalence": jnp.stack([1 - p, p], axis=1), "confusion": jnp.array([[[0.8, 0.2], [0.2, 0.8]]])}
    posterior = drawn(
        model,
        data,
        truncated,
        chains=4,
        samples=4000,
        warmup=500,
        method=NUTS(target_accept_prob=0.9, dense_mass=True),
        initial=start,
    )
    good = np.asarray(posterior.model.prevalence[..., 1]).reshape(-1, 3)
    assert (np.diff(good, axis=1) > 0).mean() > 0.999
    interval = np.quantile(good, [0.025, 0.975], axis=0).T
    # Quadrature of the limit of unlimited data, to 0.03.
    np.testing.assert_allclose(interval, [[0.008, 0.452], [0.303, 0.697], [0.548, 0.992]], atol=0.03)
    widest = binary_identified_interval(jnp.asarray(approved))
    assert (np.diff(interval, axis=1)[:, 0] > 0.55 * np.asarray(widest.upper - widest.lower)).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "n", "low", "high"),
    [({}, 1000, 0.62, 0.70), ({"strength": 40.0, "accuracy": 0.9}, 10_000, 0.99, 1.0)],
)
def test_three_levels_order_stays_open_however_many_labels(settings, n, low, high):
    observed = np.array([[0.15, 0.475, 0.375], [0.3175, 0.215, 0.4675]])
    model = SimplexJudge.init(2, 1, 3)
    posterior = drawn(
        model, one_judge(observed, n), SimplexPrior(model, **settings), chains=4, samples=1000, warmup=500,
        method=NUTS(target_accept_prob=0.9), initial=model,
    )  # fmt: skip
    score = posterior.map(lambda m: m.expected_score())
    assert low <= float((score[..., 0] > score[..., 1]).mean()) <= high


def _simplex():
    return SimplexJudge.init(2, 3, 2), lambda model: jnp.append(model.expected_score(), model.confusion[0, 1, 1])


def _with_item_effects():
    model = SimplexJudge.init(2, 3, 2, item_effects=True)
    return model, lambda model: jnp.append(model.expected_score(), model.item_effect)


def _by_candidate():
    model = SimplexJudge.init(2, 3, 2).per_candidate()
    return model, lambda model: jnp.append(model.expected_score(), model.confusion[:, 0, 1, 1])


def _dawid_skene():
    return DawidSkene.init(3, 3), lambda model: jnp.append(model.prevalence, jnp.diagonal(model.confusion[0]))


@pytest.mark.slow
@pytest.mark.parametrize("case", [_simplex, _with_item_effects, _by_candidate, _dawid_skene])
def test_posteriors_are_calibrated(case):
    judge = np.broadcast_to([0, 1, 2], (50, 3))
    model, quantities = case()
    candidate = np.arange(50) % 2 if isinstance(model, SimplexJudge) else np.zeros(50, int)
    ranks = sbc(
        posterior_sampler(model, num_draws=99, num_warmup=300),
        joint_of(model, Annotations.from_arrays(np.zeros_like(judge), judge, candidate=candidate)),
        key=jax.random.key(0),
        quantities=lambda model, _: quantities(model),
        n_simulations=200,
        vmapped=False,
    )
    # Corrected for the number of quantities: of a right sampler, one seed in a hundred is below.
    assert ranks.test().p_value > 0.01
