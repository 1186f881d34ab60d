"""Models of ordered labels without true levels: against quadrature by hand, special cases, and simulated data."""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import pytest
import scipy.integrate
import scipy.stats
from jax.flatten_util import ravel_pytree

from scorax.data import Annotations
from scorax.inference import fit, log_likelihood
from scorax.judges import GraderGLM, ManyFacetRasch, OrdinalAnnotator

MODELS = {
    "OrdinalAnnotator": lambda dtype: OrdinalAnnotator.init(3, 3, dtype=dtype),
    "ManyFacetRasch": lambda dtype: ManyFacetRasch.init(2, 3, 3, dtype=dtype),
    "GraderGLM": lambda dtype: GraderGLM.init(2, 3, 3, dtype=dtype),
    "GraderGLM without interaction": lambda dtype: GraderGLM.init(2, 3, 3, interaction=False, dtype=dtype),
}

everything = jax.jit(lambda model, data: (model.log_prob(data), *jax.value_and_grad(log_likelihood)(model, data)))


@pytest.fixture(params=MODELS)
def name(request):
    return request.param


@pytest.fixture
def scores(ragged):
    return dataclasses.replace(ragged, has_gold=jnp.zeros_like(ragged.has_gold))


@functools.cache
def drawn(name, dtype):
    with numpyro.handlers.seed(rng_seed=2):
        return jax.tree.map(lambda x: x.astype(dtype), MODELS[name](dtype).prior())


def label_probabilities(model, candidate, judge, hidden):
    """Of each label, by the formula of the model, in plain numbers."""
    if isinstance(model, ManyFacetRasch):
        ability, severity, spread = (
            float(x) for x in (model.ability[candidate], model.severity[judge], model.difficulty_spread)
        )
        steps = ability - severity - spread * hidden - np.asarray(model.step, float)
        odds = np.exp(np.concatenate([[0], np.cumsum(steps)]))
        return odds / odds.sum()
    if isinstance(model, OrdinalAnnotator):
        location = float(model.discrimination[judge]) * hidden - float(model.severity[judge])
    else:
        location = float(model.candidate[candidate] + model.grader[judge])
        location += 0 if model.interaction is None else float(model.interaction[candidate, judge])
    below = 1 / (1 + np.exp(location - np.asarray(model.cutpoint, float)))
    return np.diff(np.concatenate([[0], below, [1]]))


def by_hand(model, data):
    """Log-probability of each row, by adaptive quadrature over what is hidden, and the mean of that given the row."""
    model = jax.tree.map(np.asarray, model)
    values, means = [], []
    for i in range(data.label.shape[0]):
        row = [np.asarray(x[i]) for x in (data.label, data.judge, data.where)]
        given = [(int(label), int(judge)) for label, judge, where in zip(*row, strict=True) if where]

        def joint(t, moment=0, given=given, candidate=int(data.candidate[i])):
            terms = [label_probabilities(model, candidate, judge, t)[label] for label, judge in given]
            return np.prod(terms) * scipy.stats.norm.pdf(t) * t**moment

        total, first = (scipy.integrate.quad(joint, -9, 9, args=(moment,), epsabs=1e-11)[0] for moment in (0, 1))
        values.append(np.log(total))
        means.append(first / total)
    return np.asarray(values), np.asarray(means)


def test_likelihood_is_the_integral_over_what_is_hidden(name, x64, scores):
    # Nearer to the start: a draw of the prior may hold a judge too keen for 21 nodes.
    model = jax.tree.map(lambda a, b: 0.7 * a + 0.3 * b, MODELS[name]("float64"), drawn(name, "float64"))
    expected, means = by_hand(model, scores)
    for data in (scores, model.condense(scores)):
        log_prob, value, gradient = everything(model, data)
        # 21 nodes are not exact: for a handful of labels by judges of discrimination 1.6 they are right to 2e-4.
        np.testing.assert_allclose(log_prob, expected, atol=2e-4)
        np.testing.assert_allclose(value, np.asarray(scores.weight) @ expected, atol=1e-3)
        chex.assert_tree_all_finite(gradient)
    if name == "OrdinalAnnotator":
        np.testing.assert_allclose(model.trait(scores), means, atol=1e-3)
    if name == "ManyFacetRasch":
        np.testing.assert_allclose(model.difficulty(scores), model.difficulty_spread * means, atol=1e-3)


def test_single_precision_is_close_to_double(name, scores):
    with jax.enable_x64(True):
        model = drawn(name, "float64")
        double = np.asarray(everything(model, scores)[0])
    single = jax.tree.map(lambda x: jnp.asarray(np.asarray(x), jnp.float32), model)
    log_prob, _, gradient = everything(single, scores)
    assert log_prob.dtype == jnp.float32
    np.testing.assert_allclose(log_prob, double, rtol=2e-5, atol=1e-6)
    chex.assert_tree_all_finite(gradient)


def test_gold_labels_are_refused(name, ragged):
    with pytest.raises(ValueError, match=r"1 rows have a gold label \(first rows: \[1\]\).*labels of one more judge"):
        MODELS[name]("float32").check(ragged)


def test_other_ids_are_refused(scores):
    with pytest.raises(ValueError, match=r"hold a candidate outside 0\.\.0"):
        GraderGLM.init(1, 3, 3).check(scores)
    OrdinalAnnotator.init(3, 3).check(dataclasses.replace(scores, candidate=scores.candidate + 7))
    with pytest.raises(ValueError, match="at least 1 candidate"):
        ManyFacetRasch.init(0, 3, 3)


@pytest.mark.engine
@pytest.mark.slow
def test_fit_recovers_what_simulated_the_scores(name, x64):
    model, rows = drawn(name, "float64"), 1500
    judge = np.tile(np.arange(3), (rows, 2))
    design = Annotations.from_arrays(np.zeros_like(judge), judge, candidate=np.arange(rows) % 2)
    data = model.simulate(design, key=jax.random.key(1))
    chex.assert_trees_all_equal(data.judge, design.judge)
    result = fit(MODELS[name]("float64"), data)
    off = ravel_pytree(result.model)[0] - ravel_pytree(model)[0]
    # Chi-square with at most ten degrees of freedom: 40 is beyond the tail of 1e-5. Labels of an item are independent
    # in the one model that takes them so.
    assert off @ jnp.linalg.pinv(result.covariance, rtol=1e-10, hermitian=True) @ off < 40


@pytest.mark.engine
@pytest.mark.slow
def test_scores_without_structure_are_fitted_by_their_frequencies(x64):
    labels = np.random.default_rng(0).choice(3, size=(60, 1), p=[0.2, 0.5, 0.3])
    data = Annotations.from_arrays(labels, np.zeros_like(labels))
    model = fit(GraderGLM.init(1, 1, 3, interaction=False), data).model
    share = np.bincount(labels[:, 0]) / 60
    np.testing.assert_allclose(jnp.exp(model.label_log_prob(jnp.zeros((1, 0)))).ravel(), share, atol=1e-7)
