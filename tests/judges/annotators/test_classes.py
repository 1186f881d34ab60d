"""Models with hidden true levels: against plain sums, each other, crowd-kit's numbers, and their own EM algorithm."""

import dataclasses
import functools
import itertools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import pytest

from scorax.data import Annotations
from scorax.data.datasets import load_llmbar
from scorax.inference import log_likelihood
from scorax.judges import (
    GLAD,
    MACE,
    ClassConditionalDawidSkene,
    DawidSkene,
    HierarchicalDawidSkenePrior,
    ItemDifficulty,
    LogisticRandomEffects,
    MultinomialAnnotator,
    OneCoinDawidSkene,
    SimplexJudge,
    em_step,
    fit_em,
    judge_accuracy,
    majority_vote,
)
from tests.judges.conftest import annotations_of, oracle

J, M = 3, 3
MODELS = {
    "DawidSkene": lambda dtype: DawidSkene.init(J, M, dtype=dtype),
    "OneCoinDawidSkene": lambda dtype: OneCoinDawidSkene.init(J, M, dtype=dtype),
    "ClassConditionalDawidSkene": lambda dtype: ClassConditionalDawidSkene.init(J, M, dtype=dtype),
    "MultinomialAnnotator": lambda dtype: MultinomialAnnotator.init(M, dtype=dtype),
    "MACE": lambda dtype: MACE.init(J, M, dtype=dtype),
    "GLAD": lambda dtype: GLAD.init(J, M, dtype=dtype),
    "GLAD of these items": lambda dtype: GLAD.init(J, M, n_items=5, dtype=dtype),
    "ItemDifficulty": lambda dtype: ItemDifficulty.init(M, dtype=dtype),
    "LogisticRandomEffects": lambda dtype: LogisticRandomEffects.init(J, M, dtype=dtype),
}
TABLES = ["DawidSkene", "OneCoinDawidSkene", "ClassConditionalDawidSkene", "MultinomialAnnotator", "MACE"]

everything = jax.jit(
    lambda model, data: (
        model.log_prob(data),
        model.label_posterior(data),
        *jax.value_and_grad(log_likelihood)(model, data),
    )
)


@pytest.fixture(params=MODELS, scope="module")
def name(request):
    return request.param


@functools.cache
def drawn(name, dtype):
    """The model at a draw of its prior."""
    with numpyro.handlers.seed(rng_seed=0):
        return jax.tree.map(lambda x: x.astype(dtype), MODELS[name](dtype).prior())


def by_hand(model, data):
    """Joint probability of every row's labels and each true level, as plain sums of products over hidden numbers."""
    effect, log_weight = (np.asarray(x, float) for x in model.quadrature())
    given = getattr(model, "difficulty", None)
    joint = np.zeros((data.label.shape[0], model.n_levels))
    prevalence = np.exp(np.asarray(model.log_prevalence(), float))
    shared = np.exp(np.asarray(model.label_log_prob(jnp.asarray(effect, model.dtype)), float))
    columns = [np.asarray(x) for x in (data.label, data.judge, data.where, data.has_gold, data.gold)]
    for i, (labels, judges, filled, has_gold, gold) in enumerate(zip(*columns, strict=True)):
        table, weight = shared, np.exp(log_weight)
        if given is not None:
            own = model.label_log_prob(given[i : i + 1, None] + 1)
            table, weight = np.exp(np.asarray(own, float)), np.ones(1)
        terms = np.broadcast_to(weight, (model.n_levels, weight.size)).copy()
        for label, judge in zip(labels[filled], judges[filled], strict=True):
            terms *= table[0 if table.shape[0] == 1 else judge, :, :, label]
        joint[i] = prevalence * terms.sum(-1)
        if has_gold:
            joint[i, np.arange(model.n_levels) != gold] = 0
    return joint


def test_likelihood_and_posterior_are_sums_over_what_is_hidden(name, heavy_dtype, ragged):
    model = drawn(name, str(heavy_dtype))
    joint = by_hand(model, ragged)
    rtol = 400 * float(jnp.finfo(heavy_dtype).eps)
    # Both layouts in one precision are enough: each compiles.
    for data in (model.condense(ragged), ragged) if heavy_dtype == "float64" else (model.condense(ragged),):
        log_prob, posterior, value, gradient = everything(model, data)
        assert log_prob.dtype == posterior.dtype == heavy_dtype
        np.testing.assert_allclose(log_prob, np.log(joint.sum(1)), rtol=rtol, atol=rtol)
        np.testing.assert_allclose(posterior, joint / joint.sum(1, keepdims=True), rtol=rtol, atol=rtol)
        np.testing.assert_allclose(value, np.asarray(ragged.weight) @ np.log(joint.sum(1)), rtol=rtol)
        chex.assert_tree_all_finite(gradient)
    assert type(model.condense(ragged)) is not Annotations


@pytest.mark.slow
def test_gradient_is_that_of_differences(name, x64, ragged):
    model = drawn(name, "float64")
    leaves, structure = jax.tree.flatten(model)
    direction = jax.tree.unflatten(
        structure, [jnp.asarray(np.random.default_rng(1).normal(size=x.shape)) for x in leaves]
    )
    gradient = everything(model, ragged)[3]
    slope = sum(jnp.vdot(a, b) for a, b in zip(jax.tree.leaves(gradient), jax.tree.leaves(direction), strict=True))
    ends = [everything(jax.tree.map(lambda x, d, h=h: x + h * d, model, direction), ragged)[2] for h in (1e-6, -1e-6)]
    np.testing.assert_allclose(slope, (ends[0] - ends[1]) / 2e-6, rtol=1e-6)


@pytest.mark.parametrize("of", ["MACE", "GLAD", "LogisticRandomEffects"])
def test_probabilities_of_all_labellings_sum_to_one(of, x64):
    labels = np.asarray(list(itertools.product(range(M), repeat=J)))
    data = Annotations.from_arrays(labels, np.broadcast_to(np.arange(J), labels.shape))
    np.testing.assert_allclose(jnp.exp(everything(drawn(of, "float64"), data)[0]).sum(), 1, rtol=1e-13)


@pytest.mark.parametrize("of", TABLES)
def test_gradients_and_steps_are_finite_at_the_edge(of, ragged):
    model = MODELS[of]("float32")
    edge = {}
    for key, row in model.rows().items():
        corner = jnp.zeros_like(row).at[..., 0].set(1)
        if key == "confusion":
            corner = jnp.broadcast_to(jnp.eye(M), row.shape)
        edge[key] = corner
    step = jax.jit(em_step)
    for tiny in (0.0, 1e-30):
        near = model.with_rows({key: row + tiny for key, row in edge.items()})
        chex.assert_tree_all_finite(everything(near, ragged)[2:])
        chex.assert_tree_all_finite(step(near, ragged))


def test_em_never_goes_down(name, x64, anaesthesia):
    data, _ = anaesthesia
    sizes = {"DawidSkene": DawidSkene, "OneCoinDawidSkene": OneCoinDawidSkene, "MACE": MACE,
             "ClassConditionalDawidSkene": ClassConditionalDawidSkene}  # fmt: skip
    if name in ("ItemDifficulty", "LogisticRandomEffects"):
        with pytest.raises(ValueError, match="has no EM algorithm here"):
            em_step(drawn(name, "float64"), data)
        return
    if name == "MultinomialAnnotator":
        start = MultinomialAnnotator.init(4)
    elif name in sizes:
        start = sizes[name].init(5, 4)
    else:
        start = GLAD.init(5, 4, n_items=45 if name == "GLAD of these items" else None)
    prior = start.prior
    if name == "MACE":
        with pytest.raises(ValueError, match=r"concentration of 0\.5: below 1"):
            fit_em(start, data, 30, prior=prior)
        prior = None
    # Without a prior, others are climbed in the tests below.
    result = fit_em(start, data, 30, prior=prior)
    np.testing.assert_allclose(result.log_likelihood[0], log_likelihood(start, data), rtol=1e-12)
    assert jnp.diff(result.log_density).min() > -1e-10
    assert result.log_density[-1] > result.log_density[0]
    if prior is None:
        chex.assert_trees_all_equal(result.log_density, result.log_likelihood)


@pytest.fixture(params=["crowdkit_anesthesia", "crowdkit_llmbar_natural_vanilla"])
def reference(request, x64):
    """Annotations, the reference's numbers, and both kinds of Dawid-Skene after as many steps as the reference."""
    numbers = oracle(request.param)
    data, sizes = annotations_of(numbers), (numbers["J"], numbers["M"])
    found = fit_em(DawidSkene.init(*sizes).at_majority_vote(data, smoothing=0.0), data, 500)
    coin = fit_em(OneCoinDawidSkene.init(*sizes).at_majority_vote(data, smoothing=0.0), data, 300)
    return data, numbers, found, coin


def test_ends_where_crowd_kit_does(reference):
    data, numbers, found, coin = reference
    expected = numbers["dawid_skene_500_steps"]
    np.testing.assert_allclose(found.model.prevalence, expected["prior"], atol=1e-9)
    np.testing.assert_allclose(found.model.confusion, expected["theta_judge_truth_label"], atol=1e-9)
    np.testing.assert_allclose(found.model.label_posterior(data), expected["class_probs"], atol=1e-8)
    expected = numbers["one_coin"]
    np.testing.assert_allclose(coin.model.prevalence, expected["prior"], atol=1e-10)
    np.testing.assert_allclose(coin.model.accuracy, expected["skill"], atol=1e-10)
    np.testing.assert_allclose(coin.model.label_posterior(data), expected["class_probs"], atol=1e-10)
    for result in (found, coin):
        assert jnp.diff(result.log_likelihood).min() > -1e-10
    # Restarts of the reference's MACE are random: its parameters say what its classes are.
    expected = numbers["mace_em"]
    mace = MACE(jnp.asarray(expected["p_spam"]), jnp.asarray(expected["strategy"]))
    np.testing.assert_allclose(mace.label_posterior(data), expected["class_probs"], atol=1e-12)
    if "gold" not in numbers:
        values = found.log_likelihood
        np.testing.assert_allclose([values[0], values[10], values[-1]], [-203.1130, -190.7311, -190.73100], atol=6e-5)
        return
    gold = np.asarray(numbers["gold"])
    shares = (majority_vote(data, 2), found.model.label_posterior(data), coin.model.label_posterior(data))
    right = [float((np.asarray(share).argmax(1) == gold).mean()) for share in shares]
    assert right == pytest.approx([0.91, 0.91, 0.96])


# The reference stopped before its fixed point (its own next E-step moves one probability by .028).
@pytest.mark.slow
def test_glad_is_near_where_crowd_kit_stopped(x64, anaesthesia):
    data, numbers = anaesthesia
    expected = numbers["glad"]
    start = GLAD.init(5, 4, n_items=45)
    found = fit_em(start, data, 60, prior=start.prior).model
    np.testing.assert_allclose(found.ability, expected["alpha_ability"], atol=0.01)
    assert found.difficulty is not None
    np.testing.assert_allclose(-found.difficulty, expected["log_beta_item"], atol=0.02)
    np.testing.assert_allclose(found.label_posterior(data), expected["class_probs"], atol=0.05)
    chex.assert_trees_all_close(em_step(found, data, prior=start.prior), found, atol=1e-7)


@pytest.mark.slow
def test_each_model_is_a_dawid_skene_with_a_special_matrix(x64, ragged):
    general = DawidSkene.init(J, M)
    for of in TABLES:
        model = drawn(of, "float64")
        confusion = jnp.exp(model.label_log_prob(jnp.zeros((1, 0)))[:, :, 0])
        general = DawidSkene(jnp.exp(model.log_prevalence()), jnp.broadcast_to(confusion, (J, M, M)))
        np.testing.assert_allclose(everything(model, ragged)[0], everything(general, ragged)[0], rtol=1e-12)
    with_candidates = SimplexJudge(general.prevalence[None], general.confusion, (1.0, 2.0, 3.0))
    one = dataclasses.replace(ragged, candidate=jnp.zeros_like(ragged.candidate))
    np.testing.assert_allclose(everything(general, ragged)[0], with_candidates.log_prob(one), rtol=1e-12)


def test_items_without_spread_are_a_multinomial_and_a_dawid_skene(x64, ragged):
    plain = drawn("MultinomialAnnotator", "float64")
    log_confusion = jnp.log(plain.confusion)
    logit = log_confusion[:, :-1] - log_confusion[:, -1:]
    still = jnp.zeros_like(logit)
    same = [
        ItemDifficulty(plain.prevalence, logit, still),
        LogisticRandomEffects(plain.prevalence, jnp.broadcast_to(logit, (J, *logit.shape)), still),
    ]
    for model in same:
        np.testing.assert_allclose(everything(model, ragged)[0], everything(plain, ragged)[0], rtol=1e-12, atol=1e-14)


def test_one_coin_on_two_even_levels_is_a_vote_weighted_by_log_odds(x64):
    labels = np.asarray(list(itertools.product(range(2), repeat=3)))
    data = Annotations.from_arrays(labels, np.broadcast_to(np.arange(3), labels.shape))
    accuracy = jnp.asarray([0.9, 0.6, 0.55])
    found = OneCoinDawidSkene(jnp.asarray([0.5, 0.5]), accuracy).label_posterior(data)[:, 1]
    votes = (2 * labels - 1) @ np.log(np.asarray(accuracy) / (1 - np.asarray(accuracy)))
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-votes)), rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["DawidSkene", "GLAD of these items"])
def test_simulated_labels_keep_design_and_gold(name, ragged):
    """The first place of a row with and of one without a gold label: its frequencies are the model's probabilities."""
    model = drawn(name, "float32")
    rows = np.repeat([2, 1], 2000)
    data = ragged.take(rows)
    data = dataclasses.replace(data, where=jnp.zeros_like(data.where).at[:, 0].set(True))
    each = data.take(np.repeat([0, 2000], M))
    each = dataclasses.replace(
        each, label=jnp.broadcast_to(jnp.tile(jnp.arange(M, dtype=jnp.int32), 2)[:, None], (6, 4))
    )
    of_rows, of_each = model, model
    if name == "GLAD of these items":
        of_rows = GLAD(model.ability, model.difficulty[rows], M)
        of_each = GLAD(model.ability, model.difficulty[np.repeat([2, 1], M)], M)
    simulated = jax.jit(type(model).simulate)(of_rows, data, key=jax.random.key(0))
    chex.assert_trees_all_equal(simulated.judge, data.judge)
    chex.assert_trees_all_equal(simulated.label[:, 1:], data.label[:, 1:])
    probability = np.exp(np.asarray(everything(of_each, each)[0])).reshape(2, M)
    share = (
        np.stack([np.bincount(half, minlength=M) for half in np.asarray(simulated.label[:, 0]).reshape(2, -1)]) / 2000
    )
    # Four standard errors of a share of 2000 draws.
    np.testing.assert_allclose(share, probability / probability.sum(1, keepdims=True), atol=4 * 0.5 / 2000**0.5)


def test_counted_labels_cannot_be_simulated(ragged):
    model = DawidSkene.init(J, M)
    with pytest.raises(ValueError, match="it has no places to fill"):
        model.simulate(model.condense(ragged), key=jax.random.key(0))


def test_bad_input_is_refused(ragged):
    with pytest.raises(ValueError, match=r"3 rows hold a judge outside 0\.\.1 \(first rows"):
        DawidSkene.init(2, 3).check(ragged)
    with pytest.raises(ValueError, match=r"hold a label outside 0\.\.1"):
        MultinomialAnnotator.init(2).check(ragged)
    MultinomialAnnotator.init(3).check(dataclasses.replace(ragged, judge=ragged.judge + 1000))
    with pytest.raises(ValueError, match="difficulties of 5 items, one a row, but the data have 8 rows"):
        GLAD.init(3, 3, n_items=5).log_prob(ragged.pad(8))
    for make in (DawidSkene, OneCoinDawidSkene, ClassConditionalDawidSkene, MACE, GLAD, LogisticRandomEffects):
        for sizes in ((0, 2), (1, 1)):
            with pytest.raises(ValueError, match="at least 1 candidate, 1 judge and 2 levels"):
                make.init(*sizes)
    with pytest.raises(ValueError, match="more than 20000"):
        ItemDifficulty.init(8).quadrature()
    hierarchy = HierarchicalDawidSkenePrior(DawidSkene.init(3, 3))
    with pytest.raises(ValueError, match=r"needs a prior that draws .*confusion.* and nothing else"):
        em_step(DawidSkene.init(3, 3), ragged, prior=hierarchy)


def test_priors_draw_models_of_their_supports(name):
    chex.assert_trees_all_equal_shapes_and_dtypes(drawn(name, "float32"), MODELS[name]("float32"))
    with numpyro.handlers.seed(rng_seed=0):
        rows = HierarchicalDawidSkenePrior(DawidSkene.init(J, M))().confusion
    np.testing.assert_allclose(rows.sum(-1), 1, rtol=1e-6)


# Judges of the adversarial part are worse than chance: without gold labels nobody can know.
def test_gold_labels_undo_the_flip_of_adversarial_items(x64):
    parts = [load_llmbar(prompt="Vanilla", subset=part)[0] for part in ("Neighbor", "GPTInst", "GPTOut", "Manual")]
    data = jax.tree.map(lambda *x: jnp.concatenate(x), *parts)
    gold, hidden = np.asarray(data.gold), dataclasses.replace(data, has_gold=jnp.zeros_like(data.has_gold))
    assert gold.size == 319
    start = DawidSkene.init(12, 2)

    def right(share, rows=slice(None)):
        """Share of items whose gold level has most of the probability; a tie counts half."""
        of_gold = np.asarray(share)[np.arange(gold.size), gold][rows]
        return float((of_gold > 0.5).mean() + 0.5 * np.isclose(of_gold, 0.5).mean())

    blind = fit_em(start.at_majority_vote(hidden, smoothing=0.0), hidden, 500).model
    # Half of the level halves, where the reference says the second: 51.1 %.
    assert right(majority_vote(hidden, 2)) == pytest.approx(0.5, abs=0.002)
    # Where crowd-kit ends, too.
    assert right(blind.label_posterior(hidden)) == pytest.approx(0.2382, abs=1e-3)
    assert not judge_accuracy(blind.prevalence, blind.confusion).worse_than_chance.all()
    some = np.arange(gold.size) % 4 == 0
    known = dataclasses.replace(data, has_gold=jnp.asarray(some))
    told = fit_em(start.at_majority_vote(known), known, 500).model
    assert right(told.label_posterior(known), ~some) > 0.8
    found = judge_accuracy(told.prevalence, told.confusion)
    assert found.worse_than_chance.any()
