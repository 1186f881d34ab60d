"""Selective curves; the reference's number is in `tests/oracles/stats/selective.json`."""

import itertools
import json
import math
import pathlib

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.stats import (
    accuracy_coverage_curve,
    augrc,
    aurc,
    coverage_at_risk,
    e_aurc,
    risk_at_coverage,
    risk_coverage_curve,
    selective_classification_auc,
)

ORACLE = json.loads((pathlib.Path(__file__).parents[1] / "oracles/stats/selective.json").read_text())
curve = jax.jit(risk_coverage_curve)
area = jax.jit(aurc, static_argnames="method")
generalised = jax.jit(augrc)
excess = jax.jit(e_aurc, static_argnames="optimum")
at_coverage = jax.jit(risk_at_coverage)
at_risk = jax.jit(coverage_at_risk)


@jax.jit
def everything(confidence, loss, where):
    """The curve, all areas, and points of the curve."""
    areas = [f(confidence, loss, where=where) for f in (aurc, augrc, e_aurc)]
    points = [f(confidence, loss, 0.5, where=where) for f in (risk_at_coverage, coverage_at_risk)]
    return risk_coverage_curve(confidence, loss, where=where), jnp.stack(areas + points, axis=-1)


@pytest.fixture
def tied(dtype):
    """Confidences in four levels, losses of any size."""
    random = np.random.default_rng(3)
    return jnp.asarray(random.integers(0, 4, 8) / 4, dtype), jnp.asarray(random.exponential(size=8), dtype)


def over_all_orders(confidence, loss):
    """Risks by the definition: mean over all orders of the rows that respect the confidences."""
    confidence, loss = np.asarray(confidence, float), np.asarray(loss, float)
    blocks = [np.flatnonzero(confidence == c) for c in sorted(set(confidence), reverse=True)]
    risks = []
    for parts in itertools.product(*(itertools.permutations(block) for block in blocks)):
        ordered = loss[[i for part in parts for i in part]]
        risks.append(np.cumsum(ordered) / np.arange(1, loss.size + 1))
    return np.mean(risks, 0)


def test_ties_are_the_mean_over_all_orders(dtype, tied):
    found = curve(*tied)
    expected = over_all_orders(*tied)
    eps = float(jnp.finfo(dtype).eps)
    chex.assert_trees_all_close(np.asarray(found.risk, float), expected, rtol=16 * eps)
    chex.assert_trees_all_close(float(area(*tied)), expected.mean(), rtol=16 * eps)
    chex.assert_trees_all_close(float(generalised(*tied)), (expected * np.arange(1, 9)).mean() / 8, rtol=16 * eps)
    chex.assert_trees_all_equal(found.coverage, jnp.arange(1, 9, dtype=dtype) / 8)
    ordered = np.sort(np.asarray(tied[0]))[::-1]
    chex.assert_trees_all_equal(np.asarray(found.threshold), ordered)
    chex.assert_trees_all_equal(np.asarray(found.attainable), np.append(ordered[1:] != ordered[:-1], True))


def test_trapezoid_is_the_references_without_ties_and_the_integral_through_thresholds_with(x64):
    confidence = jnp.asarray(ORACLE["confidence"])
    loss = 1 - jnp.asarray(ORACLE["correct"], float)
    found = 1000 * area(confidence, loss, method="trapezoid")
    chex.assert_trees_all_close(float(found), ORACLE["aurc_x1000_trapezoid"], rtol=1e-12)
    rounded = jnp.round(confidence, 1)
    points = curve(rounded, loss)
    keep = np.asarray(points.attainable)
    coverage, risk = (np.asarray(v)[keep] for v in (points.coverage, points.risk))
    expected = np.trapezoid(np.append(risk[0], risk), np.append(0, coverage))
    chex.assert_trees_all_close(float(area(rounded, loss, method="trapezoid")), expected, rtol=1e-12)


def test_the_order_of_rows_changes_nothing(x64, tied):
    confidence, loss = (jnp.asarray(v, float) for v in tied)
    order = np.random.default_rng(0).permutation(8)
    moved = curve(confidence[order], loss[order])
    chex.assert_trees_all_close(moved, curve(confidence, loss), rtol=1e-14)
    # Nor does any increasing map of the confidences.
    chex.assert_trees_all_equal(area(jnp.exp(confidence), loss), area(confidence, loss))


def test_confidences_that_say_nothing_have_the_plain_risk(dtype):
    loss = jnp.asarray([0.0, 1.0, 1.0, 0.0, 1.0], dtype)
    found = curve(jnp.full(5, 0.3, dtype), loss)
    chex.assert_trees_all_close(found.risk, jnp.full(5, 0.6, dtype), rtol=4 * float(jnp.finfo(dtype).eps))
    chex.assert_trees_all_equal(found.attainable, jnp.arange(5) == 4)


def test_what_takes_no_part_adds_nothing_to_value_or_gradient(dtype, tied):
    confidence, loss = tied
    padded = [jnp.concatenate([v, jnp.asarray([jnp.nan, 1e30, -jnp.inf], dtype)]) for v in tied]
    where = jnp.arange(11) < 8

    @jax.jit
    def both(c, x, w):
        return jax.value_and_grad(lambda v: aurc(c, v, where=w) + e_aurc(c, v, where=w) + augrc(c, v, where=w))(x)

    value, slope = both(*padded, where)
    plain, plain_slope = both(confidence, loss, jnp.ones(8, bool))
    eps = float(jnp.finfo(dtype).eps)
    chex.assert_trees_all_close(value, plain, rtol=16 * eps)
    chex.assert_trees_all_close(slope, jnp.append(plain_slope, jnp.zeros(3, dtype)), atol=16 * eps)
    found = curve(*padded, where=where)
    chex.assert_trees_all_equal(jnp.isnan(found.risk), ~found.where)
    chex.assert_trees_all_close(found.risk[:8], curve(*tied).risk, rtol=8 * eps)


def test_gradient_is_how_much_an_answer_weighs(x64):
    confidence, loss = jnp.asarray([0.9, 0.2, 0.5, 0.5]), jnp.asarray([0.3, 1.0, 0.4, 0.0])
    slope = jax.jit(jax.grad(lambda v: aurc(confidence, v)))(loss)
    # Of n answers the i-th weighs sum_{k >= i} 1 / (n k); tied ones share.
    weight = np.cumsum((1 / np.arange(1, 5))[::-1])[::-1] / 4
    shared = weight[1:3].mean()
    chex.assert_trees_all_close(np.asarray(slope), np.array([weight[0], weight[3], shared, shared]), rtol=1e-12)


def test_excess_is_zero_for_the_best_order_and_the_closed_form_for_errors(x64):
    n, e = 200, 70
    loss = (jnp.arange(n) < e).astype(float)
    confidence = jax.random.uniform(jax.random.key(0), (n,))
    assert excess(-loss, loss) == 0
    optimum = sum((k - (n - e)) / k for k in range(n - e + 1, n + 1)) / n
    r = e / n
    whole = float(area(confidence, loss))
    chex.assert_trees_all_close(whole - float(excess(confidence, loss)), optimum, rtol=1e-12)
    limit = whole - float(excess(confidence, loss, optimum="asymptotic"))
    chex.assert_trees_all_close(limit, r + (1 - r) * math.log(1 - r), rtol=1e-12)
    # The figures that are known for this case, to the digits given.
    assert (round(optimum, 5), round(limit, 5)) == (0.07086, 0.06999)


def test_asymptotic_excess_at_the_edges():
    right, wrong = jnp.zeros(4), jnp.ones(4)
    confidence = jnp.arange(4.0)
    both = jax.jit(jax.value_and_grad(lambda v: e_aurc(confidence, v, optimum="asymptotic")))
    value, slope = both(wrong)
    assert value == 0
    assert jnp.isfinite(slope).all()
    assert both(right)[0] == 0
    assert jnp.isnan(both(3 * wrong)[0])


def test_accuracy_is_one_minus_the_risk_of_errors(dtype):
    confidence = jnp.asarray([0.9, 0.8, 0.8, 0.4, 0.1], dtype)
    correct = jnp.asarray([True, False, True, True, False])
    found = jax.jit(accuracy_coverage_curve)(confidence, correct)
    assert found.accuracy.dtype == dtype
    eps = float(jnp.finfo(dtype).eps)
    chex.assert_trees_all_close(found.accuracy, 1 - curve(confidence, ~correct).risk, atol=4 * eps)
    auc = jax.jit(selective_classification_auc)(confidence, correct)
    chex.assert_trees_all_close(auc, 1 - area(confidence, ~correct), atol=4 * eps)
    chex.assert_trees_all_close(auc, found.accuracy.mean(), atol=4 * eps)


def test_points_of_the_curve(dtype):
    confidence = jnp.asarray([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0], dtype)
    loss = jnp.asarray([0, 0, 0, 1, 0, 0, 0, 0, 0, 1], dtype)
    for k in range(1, 11):
        # Shares such as 0.3 are no binary numbers: they must not ask for one answer more.
        expected = loss[:k].sum() / k
        chex.assert_trees_all_close(at_coverage(confidence, loss, k / 10), expected, rtol=2 * jnp.finfo(dtype).eps)
    assert at_coverage(confidence, loss, 0.31) == 0.25
    assert at_coverage(confidence, loss, 1e-6) == 0
    # Whole losses have exactly rounded risks: 2 of 10 is at most 0.2.
    chex.assert_trees_all_equal(at_risk(confidence, loss, 0.2), jnp.ones((), dtype))
    chex.assert_trees_all_close(at_risk(confidence, loss, 0.12), jnp.asarray(0.9, dtype))
    chex.assert_trees_all_close(at_risk(confidence, loss, 0.0), jnp.asarray(0.3, dtype))
    assert at_risk(confidence, 1 - loss, 0.5) == 0
    several = at_coverage(jnp.stack([confidence] * 2), jnp.stack([loss] * 2), jnp.asarray([0.3, 1.0], dtype))
    chex.assert_trees_all_close(several, jnp.asarray([0.0, 0.2], dtype))


def test_batched_is_looped():
    dtype = jnp.float32
    confidence = jax.random.uniform(jax.random.key(0), (3, 8), dtype).round(1)
    loss = jax.random.uniform(jax.random.key(1), (3, 8), dtype)
    where = jax.random.bernoulli(jax.random.key(2), 0.8, (3, 8))
    whole = everything(confidence, loss, where)
    each = [everything(c, v, w) for c, v, w in zip(confidence, loss, where, strict=True)]
    # Sums are taken in another order.
    eps = float(jnp.finfo(dtype).eps)
    chex.assert_trees_all_close(whole, jax.tree.map(lambda *v: jnp.stack(v), *each), rtol=16 * eps, atol=4 * eps)
    mapped = jax.jit(jax.vmap(everything))(confidence, loss, where)
    chex.assert_trees_all_close(whole, mapped, rtol=16 * eps, atol=4 * eps)


def test_nothing_left_and_nan():
    confidence, loss, every = jnp.array([0.5, 0.2]), jnp.array([0.0, 1.0]), jnp.ones(2, bool)
    for nothing in (
        everything(confidence, loss, ~every),
        everything(confidence.at[0].set(jnp.nan), loss, every),
        everything(confidence, loss.at[0].set(jnp.nan), every),
    ):
        assert jnp.isnan(nothing[0].risk).all()
        assert jnp.isnan(nothing[1]).all()
    # A loss of NaN spoils the risks from there on.
    found, numbers = everything(confidence, loss.at[1].set(jnp.nan), every)
    chex.assert_trees_all_equal(jnp.isnan(found.risk), jnp.array([False, True]))
    chex.assert_trees_all_equal(jnp.isnan(numbers), jnp.array([True, True, True, False, True]))
    assert jnp.isnan(at_coverage(confidence, loss, jnp.asarray(1.5)))


def test_bad_input():
    confidence, loss = jnp.array([0.5, 0.2]), jnp.array([0.0, 1.0])
    with pytest.raises(ValueError, match="method must be 'mean' or 'trapezoid', not 'sum'"):
        aurc(confidence, loss, method="sum")
    with pytest.raises(ValueError, match="optimum must be 'exact' or 'asymptotic'"):
        e_aurc(confidence, loss, optimum="best")
    with pytest.raises(ValueError, match=r"coverage must be in \(0, 1\], not 0"):
        risk_at_coverage(confidence, loss, 0)
