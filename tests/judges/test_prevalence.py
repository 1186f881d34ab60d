import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.judges import (
    adjust_prevalence,
    judge_error_rates,
    rogan_gladen,
    rogan_gladen_bootstrap,
    rogan_gladen_posterior,
)
from tests.judges.conftest import oracle

CONFUSION = np.array([[0.8, 0.2, 0.0], [0.1, 0.8, 0.1], [0.05, 0.15, 0.8]])


def _adjusted(method):
    """The solution, and how it moves with the labels."""

    def run(gamma, confusion, change):
        return jax.jvp(lambda g: adjust_prevalence(g, confusion, method=method), (gamma,), (change,))

    return jax.jit(run)


adjust = {method: _adjusted(method) for method in ("least_squares", "likelihood")}


@jax.jit
def posterior(key, observed, positive, negative):
    found = rogan_gladen_posterior(key, observed, positive, negative, draws=4000)
    return found.mean, found.std_error, found.interval(), found.usable


@pytest.fixture
def judged():
    """Labels, the judge's of the same items and of others, and what judgy makes of them."""
    numbers = oracle("ppi_rogan_gladen")["rogan_gladen"][0]
    arrays = (jnp.asarray(numbers[name], float) for name in ("test_labels", "test_preds", "unlabeled_preds"))
    return (*arrays, numbers)


@jax.jit
def of_labels(labels, predictions, unlabeled):
    rates = judge_error_rates(labels, predictions)
    counts = (unlabeled.shape[0], rates.n_positive, rates.n_negative)
    return rogan_gladen(unlabeled.mean(), rates.sensitivity, rates.specificity, counts=counts)


def test_estimate_is_judgys(dtype, judged):
    labels, predictions, unlabeled, numbers = judged
    found = of_labels(labels, predictions, unlabeled)
    assert found.value.dtype == dtype
    chex.assert_trees_all_close(found.value, jnp.asarray(numbers["rogan_gladen"], dtype), rtol=8 * jnp.finfo(dtype).eps)


def test_bootstrap_of_labels_alone_is_judgys_and_too_narrow(judged):
    labels, predictions, unlabeled, numbers = judged
    key = jax.random.key(0)
    theirs = rogan_gladen_bootstrap(key, labels, predictions, unlabeled, 20_000, resample_unlabeled=False)
    # Their interval is a Monte Carlo one, to 0.01 as its file says.
    chex.assert_trees_all_close(
        np.asarray(theirs.interval()),
        np.asarray(numbers["judgy_ci95_labelled_only_bootstrap_mc"], np.float32),
        atol=0.01,
    )
    ours = rogan_gladen_bootstrap(key, labels, predictions, unlabeled, 20_000)
    assert ours.std_error > theirs.std_error
    # The delta method is first-order; with 80 labels it is right to a tenth.
    exact = of_labels(labels, predictions, unlabeled)
    chex.assert_trees_all_close(ours.std_error, exact.std_error, rtol=0.1)


def test_perfect_judge_changes_nothing(dtype):
    found = rogan_gladen(0.3, 1.0, 1.0, counts=(500, 20, 30))
    chex.assert_trees_all_close(found.value, jnp.asarray(0.3, dtype), rtol=4 * jnp.finfo(dtype).eps)
    chex.assert_trees_all_close(found.variance, jnp.asarray(0.3 * 0.7 / 500, dtype), rtol=1e-6)


def test_delta_variance_has_both_sources_of_noise(x64):
    truth, se, sp, n, n1, n0 = 0.4, 0.85, 0.8, 1000, 200, 300
    expected = truth * se + (1 - truth) * (1 - sp)
    found = rogan_gladen(expected, se, sp, counts=(n, n1, n0))
    rng = np.random.default_rng(0)
    draws = 200_000
    p, a, b = (rng.binomial(k, q, draws) / k for k, q in ((n, expected), (n1, se), (n0, sp)))
    values = (p + b - 1) / (a + b - 1)
    # The delta method leaves out terms of order 1/n, a percent and a half here; Monte Carlo errs by a third of one.
    chex.assert_trees_all_close(float(found.variance), values.var(), rtol=0.025)
    chex.assert_trees_all_close(float(found.value), truth, rtol=1e-12)


def test_estimates_outside_the_range_are_cut_after_the_variance():
    found = rogan_gladen(0.05, 0.9, 0.9, counts=(100, 50, 50))
    assert found.value == 0
    assert found.unclipped < 0
    assert found.interval().lower == 0
    assert found.interval().upper > 0


def test_useless_judge_is_an_error_at_the_border_and_nan_inside():
    with pytest.raises(ValueError, match=r"at most 1 in 1 row \(row 1\)\. Such a judge is no better than chance"):
        rogan_gladen(0.3, jnp.array([0.9, 0.5]), jnp.array([0.9, 0.5]))
    found, gradient = jax.jit(jax.value_and_grad(lambda p: rogan_gladen(p, 0.5, 0.5).value))(0.3)
    assert jnp.isnan(found)
    assert gradient == 0
    inside = jax.vmap(lambda se: rogan_gladen(0.3, se, 0.6))(jnp.array([0.9, 0.3]))
    chex.assert_trees_all_equal(inside.degenerate, jnp.array([False, True]))
    chex.assert_trees_all_equal(jnp.isnan(inside.value), jnp.array([False, True]))


def test_error_rates_without_a_kind_are_nan():
    rates = judge_error_rates(jnp.ones(3), jnp.array([1.0, 0.0, 1.0]))
    assert jnp.isnan(rates.specificity)
    chex.assert_trees_all_close(rates.sensitivity, jnp.asarray(2 / 3, jnp.float32))
    masked = judge_error_rates(
        jnp.array([1.0, 1.0, 0.0]), jnp.array([1.0, 0.0, 0.0]), weight=jnp.array([1.0, 0.0, 1.0])
    )
    assert (masked.sensitivity, masked.specificity, masked.n_positive) == (1, 1, 1)


def test_posterior_covers_and_conditions_on_a_share():
    mean, std_error, _, usable = posterior(jax.random.key(0), (400, 1000), (170, 200), (240, 300))
    exact = rogan_gladen(0.4, 0.85, 0.8, counts=(1000, 200, 300))
    # Flat priors move shares by one part in a hundred here; the error of 4000 draws is smaller.
    chex.assert_trees_all_close(mean, exact.value, atol=0.01)
    chex.assert_trees_all_close(std_error, exact.std_error, rtol=0.1)
    assert usable == 1
    # Fewer positives than false ones alone: most draws have no share that explains them.
    mean, _, (lower, upper), usable = posterior(jax.random.key(0), (5, 100), (45, 50), (45, 50))
    assert 0 < usable < 0.5
    assert 0 <= lower < mean < upper < 0.2
    with pytest.raises(ValueError, match="must be positive"):
        rogan_gladen_posterior(jax.random.key(0), (5, 100), (45, 50), (45, 50), prior=(0.0, 1.0))


@pytest.mark.slow
def test_intervals_hold_the_truth():
    """400 studies of 60 labels: the delta interval holds the truth in 91 to 97 of 100, the posterior's in 93 to 98."""
    rng = np.random.default_rng(1)
    truth, se, sp = 0.35, 0.9, 0.8
    held = np.zeros(2)
    for study in range(400):
        gold = rng.random(660) < truth
        said = np.where(gold, rng.random(660) < se, rng.random(660) > sp).astype(float)
        labels, predictions, others = (jnp.asarray(x, jnp.float32) for x in (gold[:60], said[:60], said[60:]))
        found = of_labels(labels, predictions, others).interval()
        hits = [(int(said[:60][gold[:60]].sum()), int(gold[:60].sum()))]
        hits.append((int((1 - said[:60][~gold[:60]]).sum()), int((~gold[:60]).sum())))
        drawn = posterior(jax.random.key(study), (int(others.sum()), 600), *hits)[2]
        for i, interval in enumerate((found, drawn)):
            held[i] += float(interval.lower) <= truth <= float(interval.upper)
    # Three standard errors of 400 studies are 3.3 in 100.
    assert (np.abs(held / 400 - 0.95) < 0.04).all()


@pytest.mark.parametrize("method", ["least_squares", "likelihood"])
def test_exact_explanations_are_found_and_have_exact_derivatives(x64, method):
    # Single precision is in the docstring's example and under the linear pool.
    dtype = jnp.float64
    confusion = jnp.stack([jnp.asarray(CONFUSION, dtype)] * 2)
    mix = jnp.asarray([[0.2, 0.5, 0.3], [0.6, 0.1, 0.3]], dtype)
    gamma = jnp.einsum("bm,bml->bl", mix, confusion)
    # Along the simplex the solution is linear: gamma's change through the inverse.
    change = jnp.asarray([[0.01, -0.03, 0.02], [0.01, 0.0, -0.01]], dtype)
    found, moved = adjust[method](gamma, confusion, jnp.einsum("bm,bml->bl", change, confusion))
    chex.assert_trees_all_close(found, mix, rtol=50 * jnp.finfo(dtype).eps)
    chex.assert_trees_all_close(moved, change, atol=1e-12)


@pytest.mark.parametrize("method", ["least_squares", "likelihood"])
def test_optimum_without_an_exact_explanation_and_blind_judges(x64, method):
    confusion, gamma = jnp.asarray(CONFUSION), jnp.asarray([0.95, 0.04, 0.01])
    blind = jnp.full((3, 3), 1 / 3)
    both = adjust[method](jnp.stack([gamma] * 2), jnp.stack([confusion, blind]), jnp.zeros((2, 3)))[0]
    assert jnp.isnan(both[1]).all()
    found = both[0]
    chex.assert_trees_all_close(found.sum(), jnp.ones(()), rtol=1e-12)
    assert (found >= 0).all()

    @jax.jit
    @jax.grad
    def slope_at(mix):
        expected = mix @ confusion
        return ((gamma - expected) ** 2).sum() if method == "least_squares" else -(gamma * jnp.log(expected)).sum()

    # Kuhn and Tucker: the slope is the same on all levels that occur, and no smaller on those that do not.
    slope = slope_at(found)
    least = slope[jnp.argmax(found)]
    assert (slope >= least - 1e-9).all()
    assert (jnp.where(found > 1e-9, slope - least, 0) < 1e-9).all()


def test_two_levels_are_rogan_and_gladen(x64):
    se, sp, p = 0.85, 0.8, 0.4
    confusion = jnp.array([[sp, 1 - sp], [1 - se, se]])
    found = jax.jit(adjust_prevalence)(jnp.array([1 - p, p]), confusion)
    chex.assert_trees_all_close(found[1], rogan_gladen(p, se, sp).value, rtol=1e-10)


def test_unknown_method():
    with pytest.raises(ValueError, match="method must be one of 'least_squares', 'likelihood'"):
        adjust_prevalence(jnp.full(3, 1 / 3), jnp.eye(3), method="magic")
