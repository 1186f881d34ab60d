import dataclasses
import itertools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from scorax.data import Annotations
from scorax.inference import bootstrap, fit, log_likelihood
from scorax.judges import SimplexJudge, em_step, fit_em, majority_vote, marginal_annotations
from tests.judges.conftest import annotations_of, oracle, random_model

log_prob = jax.jit(SimplexJudge.log_prob)
value_and_grad = jax.jit(jax.value_and_grad(log_likelihood))


def by_hand(model, data):
    """Every item's probability as a plain sum of products, in double precision."""
    prevalence, confusion = np.asarray(model.prevalence, float), np.asarray(model.confusion, float)
    values = []
    for i in range(data.label.shape[0]):
        terms = prevalence[data.candidate[i]].copy()
        for label, judge, where in zip(data.label[i], data.judge[i], data.where[i], strict=True):
            if where:
                terms *= confusion[int(judge), :, int(label)]
        values.append(terms[int(data.gold[i])] if data.has_gold[i] else terms.sum())
    return np.log(values)


def test_log_prob_is_the_sum_over_true_levels(heavy_dtype, ragged):
    model = random_model(heavy_dtype)
    expected = jnp.asarray(by_hand(model, ragged), heavy_dtype)
    rtol = 20 * float(jnp.finfo(heavy_dtype).eps)
    chex.assert_trees_all_close(log_prob(model, ragged), expected, rtol=rtol, atol=rtol)
    condensed = model.condense(ragged)
    assert type(condensed) is not Annotations
    chex.assert_trees_all_close(log_prob(model, condensed), expected, rtol=rtol, atol=rtol)


def test_probabilities_of_all_labellings_sum_to_one(dtype):
    labels = np.asarray(list(itertools.product(range(3), repeat=3)))
    data = Annotations.from_arrays(labels, np.broadcast_to([0, 1, 2], labels.shape))
    total = jnp.exp(log_prob(random_model(dtype), data)).sum()
    chex.assert_trees_all_close(total, jnp.ones((), dtype), rtol=20 * float(jnp.finfo(dtype).eps))


def test_sparse_annotations_of_many_judges_are_not_condensed(ragged):
    model = random_model("float32", n_judges=30)
    assert model.condense(ragged) is ragged


def test_posterior_of_levels_is_bayes_rule_and_one_hot_at_gold(heavy_dtype, ragged):
    model = random_model(heavy_dtype)
    found = jax.jit(SimplexJudge.label_posterior)(model, ragged)
    chex.assert_trees_all_close(found.sum(-1), jnp.ones(5, heavy_dtype), rtol=1e-5)
    chex.assert_trees_all_close(found[1], jnp.asarray([0, 0, 1], heavy_dtype))
    chex.assert_trees_all_close(found[3], model.prevalence[0], rtol=1e-5)
    terms = np.asarray(model.prevalence[1] * model.confusion[0, :, 1] * model.confusion[0, :, 1])
    terms = terms * np.asarray(model.confusion[1, :, 2] * model.confusion[2, :, 2])
    chex.assert_trees_all_close(found[2], jnp.asarray(terms / terms.sum()), rtol=1e-4)


def test_permuting_judges_items_and_candidates_permutes_outputs_only(ragged):
    model = random_model("float32")
    judges, rows, candidates = np.array([2, 0, 1]), np.array([3, 1, 4, 0, 2]), np.array([1, 0])
    renamed = dataclasses.replace(
        ragged.take(rows),
        judge=jnp.asarray(np.argsort(judges), jnp.int32)[ragged.judge[rows]],
        candidate=jnp.asarray(np.argsort(candidates), jnp.int32)[ragged.candidate[rows]],
    )
    other = SimplexJudge(model.prevalence[candidates], model.confusion[judges], model.values)
    chex.assert_trees_all_close(log_prob(other, renamed), log_prob(model, ragged)[rows], rtol=1e-5)
    chex.assert_trees_all_close(other.expected_score(), model.expected_score()[candidates])


def test_single_labels_have_the_marginal_likelihood(dtype):
    rng = np.random.default_rng(0)
    labels, candidate = rng.integers(3, size=(40, 1)), rng.integers(2, size=40)
    data = Annotations.from_arrays(labels, np.zeros((40, 1), int), candidate=candidate)
    model = random_model(dtype, n_judges=1)
    counts = np.zeros((1, 2, 3))
    np.add.at(counts, (0, candidate, labels[:, 0]), 1)
    expected = jax.jit(SimplexJudge.marginal_log_prob)(model, jnp.asarray(counts, dtype)).sum()
    chex.assert_trees_all_close(log_likelihood(model, data), expected, rtol=1e-5)
    chex.assert_trees_all_close(log_likelihood(model, marginal_annotations(data)), expected, rtol=1e-5)


def test_marginal_annotations_forget_the_item_and_share_its_weight(ragged):
    data = dataclasses.replace(ragged, has_gold=jnp.zeros(5, bool))
    model = random_model("float32")
    marginal = marginal_annotations(data)
    counts = np.zeros((3, 2, 3))
    for i, place in zip(*np.nonzero(np.asarray(data.where)), strict=True):
        judge, label = int(data.judge[i, place]), int(data.label[i, place])
        counts[judge, int(data.candidate[i]), label] += float(data.weight[i]) / 4
    expected = model.marginal_log_prob(jnp.asarray(counts, jnp.float32)).sum()
    chex.assert_trees_all_close(log_likelihood(model, marginal), expected, rtol=1e-5)
    whole = marginal_annotations(data, composite_weight=1.0)
    chex.assert_trees_all_close(log_likelihood(model, whole), 4 * expected, rtol=1e-5)


def test_marginal_annotations_refuse_gold_labels(ragged):
    with pytest.raises(ValueError, match=r"1 rows have a gold label \(first rows: \[1\]\)"):
        marginal_annotations(ragged)


def test_aggregated_padded_and_repeated_rows_are_the_same_likelihood(heavy_dtype, ragged):
    model = random_model(heavy_dtype)
    expected = value_and_grad(model, ragged)
    twice = jax.tree.map(lambda x: jnp.concatenate([x, x]), ragged.reweight(ragged.weight / 2))
    for same in (twice, twice.aggregate(), ragged.pad(8), model.condense(ragged)):
        chex.assert_trees_all_close(value_and_grad(model, same), expected, rtol=1e-4, atol=1e-5)


def test_gradient_is_that_of_differences(x64, ragged):
    model = random_model("float64")
    direction = random_model("float64", seed=9)
    _, slope = jax.jvp(lambda m: log_likelihood(m, ragged), (model,), (direction,))
    shifted = [jax.tree.map(lambda x, d, h=h: x + h * d, model, direction) for h in (1e-6, -1e-6)]
    difference = (log_likelihood(shifted[0], ragged) - log_likelihood(shifted[1], ragged)) / 2e-6
    chex.assert_trees_all_close(slope, difference, rtol=1e-7)


@pytest.mark.parametrize("tiny", [0.0, 1e-30])
def test_gradients_are_finite_at_the_edge_of_the_simplex(dtype, ragged, tiny):
    perfect = jnp.eye(3, dtype=dtype) + tiny
    confusion = jnp.broadcast_to(perfect, (4, 3, 3))  # and the fourth judge labels nothing
    model = SimplexJudge(jnp.asarray([[1.0, 0.0, 0.0], [0.0, 0.5, 0.5]], dtype), confusion, (1.0, 2.0, 3.0))
    for data in (ragged, model.condense(ragged)):
        chex.assert_tree_all_finite(value_and_grad(model, data))
        chex.assert_tree_all_finite(jax.jit(em_step)(model, data))


def test_simulated_labels_have_the_observed_distribution_and_keep_the_design(ragged):
    model = random_model("float32")
    rows = jnp.zeros(4000, jnp.int32) + 2
    data = jax.tree.map(lambda x: x[rows], ragged)
    simulated = jax.jit(SimplexJudge.simulate)(model, data, key=jax.random.key(0))
    chex.assert_trees_all_equal(simulated.judge, data.judge)
    expected = model.observed_distribution()[:, 1]
    for place, judge in enumerate([0, 0, 1, 2]):
        share = jnp.bincount(simulated.label[:, place], length=3) / 4000
        # Four standard errors of a share of 4000 draws.
        chex.assert_trees_all_close(share, expected[judge], atol=4 * 0.5 / 4000**0.5)
    assert simulated.where.all()


def test_simulation_keeps_gold_labels_as_the_truth():
    model = SimplexJudge(jnp.full((1, 2), 0.5), jnp.eye(2)[None], (1.0, 2.0))
    data = Annotations.from_arrays(np.zeros((50, 1), int), np.zeros((50, 1), int), gold=np.arange(50) % 2)
    simulated = model.simulate(data, key=jax.random.key(0))
    chex.assert_trees_all_equal(simulated.label[:, 0], data.gold)
    with pytest.raises(ValueError, match="it has no places to fill"):
        model.simulate(model.condense(data), key=jax.random.key(0))


def test_majority_vote_shares(ragged):
    shares = majority_vote(ragged, 3)
    expected = [[2 / 3, 1 / 3, 0], [0, 0, 1], [0, 0.5, 0.5], [1 / 3, 1 / 3, 1 / 3], [0.5, 0, 0.5]]
    chex.assert_trees_all_close(shares, jnp.asarray(expected), atol=1e-6)
    assert (majority_vote(ragged, 3, smoothing=1.0)[0] > 0).all()


@pytest.mark.parametrize("name", ["crowdkit_anesthesia", "crowdkit_llmbar_natural_vanilla"])
def test_em_takes_the_same_steps_as_crowd_kit(x64, name):
    numbers = oracle(name)
    data = annotations_of(numbers)
    start = SimplexJudge.from_majority_vote(data, 1, numbers["J"], numbers["M"], smoothing=0.0)
    chex.assert_trees_all_close(
        majority_vote(data, numbers["M"]), jnp.asarray(numbers["majority_vote_probs"]), atol=1e-12
    )
    before = fit_em(start, data, 9).model
    for steps in (10, 500):
        expected = numbers[f"dawid_skene_{steps}_steps"]
        result = fit_em(start, data, steps)
        chex.assert_trees_all_close(result.model.prevalence[0], jnp.asarray(expected["prior"]), atol=1e-8)
        truth = jnp.asarray(expected["theta_judge_truth_label"])
        chex.assert_trees_all_close(result.model.confusion, truth, atol=1e-8)
        last = before if steps == 10 else result.model
        chex.assert_trees_all_close(last.label_posterior(data), jnp.asarray(expected["class_probs"]), atol=1e-8)
        assert jnp.diff(result.log_likelihood).min() > -1e-10


# Entries of the maximum that are 0 lie at the edge of the simplex, where the search stops when nothing is left to gain:
# they are small, not 0. The likelihood has a higher maximum, -190.52, with another reading of some items.
@pytest.mark.slow
@pytest.mark.engine
def test_fit_climbs_to_the_maximum_above_the_majority_vote(x64, anaesthesia):
    data, numbers = anaesthesia
    expected = numbers["dawid_skene_500_steps"]
    result = fit(SimplexJudge.from_majority_vote(data, 1, 5, 4), data)
    assert abs(float(result.log_likelihood) + 190.731) < 1e-4
    assert result.diagnostics.boundary
    assert jnp.isnan(result.std_error.confusion).all()
    chex.assert_trees_all_close(result.model.prevalence[0], jnp.asarray(expected["prior"]), atol=1e-6)
    chex.assert_trees_all_close(result.model.confusion, jnp.asarray(expected["theta_judge_truth_label"]), atol=1e-6)
    chex.assert_trees_all_close(result.model.label_posterior(data), jnp.asarray(expected["class_probs"]), atol=1e-6)


@pytest.fixture
def interior():
    """Many items of known judges: the maximum is inside the simplex."""
    design = Annotations.from_arrays(
        np.zeros((600, 3), int), np.broadcast_to([0, 1, 2], (600, 3)), candidate=np.arange(600) % 2
    )
    truth = random_model(jnp.zeros(()).dtype, n_levels=2)
    return truth, truth.simulate(design, key=jax.random.key(3)).aggregate()


@pytest.mark.engine
def test_fit_is_where_em_stands_still_and_recovers_the_truth(x64, interior):
    truth, data = interior
    result = fit(SimplexJudge.from_majority_vote(data, 2, 3, 2), data)
    chex.assert_trees_all_close(em_step(result.model, data), result.model, atol=1e-6)
    z = jax.tree.map(lambda a, b, s: (a - b) / s, result.model, truth, result.std_error)
    # 16 numbers, each free one twice: a standard normal exceeds 4 once in 16 000.
    assert all(float(jnp.abs(leaf).max()) < 4 for leaf in jax.tree.leaves(z))


@pytest.mark.engine
def test_fit_runs_in_single_precision_and_in_a_bootstrap(interior):
    truth, data = interior
    result = fit(SimplexJudge.from_majority_vote(data, 2, 3, 2), data)
    chex.assert_trees_all_close(result.model, truth, atol=0.15)

    draws = bootstrap(result.model, data, key=jax.random.key(0), n_resamples=8, method="bayesian")
    assert draws.failed == 0
    assert (draws.std_error.prevalence > 0).all()


@pytest.mark.engine
def test_posterior_mode_with_a_perfect_judge_is_the_frequency(x64):
    labels = np.array([0, 0, 1, 2, 2, 2, 1, 1, 2, 0])[:, None]
    data = Annotations.from_arrays(labels, np.zeros_like(labels), candidate=np.repeat([0, 1], 5))
    model = SimplexJudge.init(2, 1, 3)

    def perfect():
        prevalence = jnp.asarray(numpyro.sample("prevalence", dist.Dirichlet(jnp.ones((2, 3)))))
        return SimplexJudge(prevalence, jnp.eye(3)[None], model.values)

    result = fit(model, data, prior=perfect)
    frequency = jnp.asarray([[0.4, 0.2, 0.4], [0.2, 0.4, 0.4]])
    chex.assert_trees_all_close(result.model.prevalence, frequency, atol=1e-6)
    average = jnp.asarray([labels[:5].mean() + 1, labels[5:].mean() + 1])
    chex.assert_trees_all_close(result.model.expected_score(), average, atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 3, 3), r"2 rows hold a candidate outside 0..0 \(first rows: \[1, 2\]"),
        ((2, 2, 3), r"3 rows hold a judge outside 0..1 .*another n_judges"),
        ((2, 3, 2), r"2 rows hold a label outside 0..1 \(first rows: \[1, 2\]"),
    ],
)
def test_ids_that_the_model_has_not_are_refused(ragged, shape, message):
    data = dataclasses.replace(
        ragged, label=jnp.minimum(ragged.label, jnp.asarray([[2], [2], [2], [2], [1]], jnp.int32))
    )
    with pytest.raises(ValueError, match=message):
        fit_em(SimplexJudge.init(*shape), data, 1)
    with pytest.raises(ValueError, match=message):
        fit(SimplexJudge.init(*shape), data)


def test_gold_label_outside_the_levels_is_refused(ragged):
    data = dataclasses.replace(ragged, gold=ragged.gold + 1)
    with pytest.raises(ValueError, match=r"1 rows hold a gold label outside 0..2 \(first rows: \[1\]"):
        SimplexJudge.init(2, 3, 3).check(data)


@pytest.mark.parametrize("shape", [(0, 1, 2), (1, 0, 2), (1, 1, 1)])
def test_impossible_sizes_are_refused(shape):
    with pytest.raises(ValueError, match="at least 1 candidate, 1 judge and 2 levels"):
        SimplexJudge.init(*shape)
