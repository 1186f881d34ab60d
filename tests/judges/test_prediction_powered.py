import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.data.datasets import load_llmbar
from scorax.judges import (
    cross_ppi_mean,
    judge_error_rates,
    ppi_bootstrap,
    ppi_contrast,
    ppi_mean,
    ppi_quantile,
    ppi_regression,
    ppi_stratified_mean,
    rogan_gladen,
)
from tests.judges.conftest import oracle

mean = jax.jit(ppi_mean)
quantile = jax.jit(ppi_quantile)
regression = jax.jit(ppi_regression, static_argnames=("family", "rounds"))
NUMBERS = oracle("ppi_rogan_gladen")


def arrays(numbers, *names):
    return tuple(jnp.asarray(numbers[name], float) for name in names)


def close(found, expected, dtype, factor=50.0):
    chex.assert_trees_all_close(
        np.asarray(found, float), np.asarray(expected, float), rtol=0, atol=factor * float(jnp.finfo(dtype).eps)
    )


@pytest.mark.parametrize("case", [0, 1])
@pytest.mark.parametrize(("name", "power"), [("tuned", None), ("lam1", 1.0), ("lam0", 0.0), ("lam0.5", 0.5)])
def test_mean_is_the_references(dtype, case, name, power):
    numbers = NUMBERS["ppi_mean"][case]
    found = mean(*arrays(numbers, "Y", "Yhat", "Yhat_unlabeled"), power=power)
    assert found.value.dtype == dtype
    close(found.value, numbers["mean"][name]["estimate"], dtype)
    close(jnp.stack(found.interval()), numbers["mean"][name]["ci95"], dtype)


@pytest.mark.parametrize("q", [0.25, 0.5, 0.9])
def test_quantile_is_the_references(x64, q):
    numbers = NUMBERS["ppi_mean"][0]
    labels, predictions, unlabeled = arrays(numbers, "Y", "Yhat", "Yhat_unlabeled")
    every = jnp.concatenate([labels, predictions, unlabeled])
    grid = jnp.linspace(every.min(), every.max(), 5000)
    found, expected = quantile(labels, predictions, unlabeled, q, power=1.0, grid=grid), numbers[f"quantile_{q}"]
    close(found.closest, expected["estimate"], jnp.float64)
    lower, upper = found.interval()
    close(lower, expected["ci95"][0], jnp.float64)
    # The distribution function is level up to the next value of the grid: that is where the last one in doubt ends.
    close(found.grid[jnp.searchsorted(grid, upper) - 1], expected["ci95"][1], jnp.float64)


@pytest.mark.parametrize(("family", "names"), [("linear", ("Y", "Yhat")), ("logistic", ("Yb", "Ybhat"))])
@pytest.mark.parametrize("power", [None, 1.0])
def test_regression_is_the_references(x64, family, names, power):
    numbers = NUMBERS["ppi_regression"][0]
    expected = numbers[f"{'ols' if family == 'linear' else 'logistic'}_{'tuned' if power is None else 'lam1'}"]
    x, y, f, other_x, other_f = arrays(numbers, "X", *names, "X_unlabeled", f"{names[1]}_unlabeled")
    # Its estimate tunes the power once, its interval twice. Its logistic search stops at 3e-10.
    once = regression(x, y, f, other_x, other_f, family=family, power=power)
    # The logistic power is 1 from the first.
    tunes = power is None and family == "linear"
    twice = regression(x, y, f, other_x, other_f, family=family, power=power, rounds=2) if tunes else once
    chex.assert_trees_all_close(once.value, np.asarray(expected["estimate"]), atol=1e-9)
    chex.assert_trees_all_close(np.asarray(twice.interval()), np.asarray(expected["ci95"]), atol=1e-9)


def test_power_zero_is_the_mean_of_the_labels(dtype):
    labels, predictions, unlabeled = arrays(NUMBERS["ppi_mean"][0], "Y", "Yhat", "Yhat_unlabeled")
    found = mean(labels, predictions, unlabeled, power=0.0)
    close(found.value, labels.mean(), dtype)
    close(found.variance, labels.var() / labels.shape[0], dtype)
    alone = mean(labels, predictions, unlabeled[:0])
    close(alone.value, labels.mean(), dtype)
    assert alone.power == 0


def test_perfect_judge_leaves_the_noise_of_its_own_sample(dtype):
    labels, _, unlabeled = arrays(NUMBERS["ppi_mean"][0], "Y", "Yhat", "Yhat_unlabeled")
    found = mean(labels, labels, unlabeled, power=1.0)
    close(found.value, unlabeled.mean(), dtype)
    close(found.variance, unlabeled.var() / unlabeled.shape[0], dtype)
    assert found.degenerate


def test_predictions_are_corrected_for_any_bias_and_constant_ones_ignored(dtype):
    labels, predictions, unlabeled = arrays(NUMBERS["ppi_mean"][0], "Y", "Yhat", "Yhat_unlabeled")
    expected = mean(labels, predictions, unlabeled)
    biased = mean(labels, predictions + 3, unlabeled + 3)
    close(biased.value, expected.value, dtype, 200)
    close(biased.power, expected.power, dtype, 200)
    constant = mean(labels, jnp.ones_like(labels), jnp.ones_like(unlabeled))
    assert constant.power == 0
    close(constant.value, labels.mean(), dtype)
    # No more variance than that of the labels alone, and no more than with full trust.
    assert expected.variance <= mean(labels, predictions, unlabeled, power=0.0).variance
    assert expected.variance <= mean(labels, predictions, unlabeled, power=1.0).variance


def test_rows_of_weight_zero_add_nothing_to_value_or_gradient():
    labels, predictions, unlabeled = arrays(NUMBERS["ppi_mean"][0], "Y", "Yhat", "Yhat_unlabeled")
    short = (labels[:20], predictions[:20], unlabeled[:200])
    gradient = jax.jit(jax.grad(lambda y, f, g, **rest: ppi_mean(y, f, g, **rest).std_error))
    expected, slope = mean(*short), gradient(*short)
    weight, other = jnp.arange(40) < 20, jnp.arange(300) < 200
    padded = (jnp.where(weight, labels, jnp.nan), predictions, jnp.where(other, unlabeled, jnp.nan))
    weights = {"weight": weight.astype(float), "unlabeled_weight": other.astype(float)}
    chex.assert_trees_all_close(mean(*padded, **weights), expected, rtol=1e-5)
    found = gradient(*padded, **weights)
    chex.assert_trees_all_close(found, jnp.concatenate([slope, jnp.zeros(20)]), rtol=1e-3, atol=1e-6)


def test_inverse_probabilities_undo_a_choice_of_labels(x64):
    """Labels asked for where the judge is unsure: unweighted means are biased, weighted ones are not."""
    rng = np.random.default_rng(0)
    truth = rng.normal(size=4000)
    judge = truth + rng.normal(size=4000)
    chance = np.clip(0.05 + 0.1 * (truth > 0), 0, 1)
    values = []
    for _ in range(60):
        asked = rng.random(4000) < chance
        weight, other = (jnp.asarray(w) for w in (asked / chance, (~asked) / (1 - chance)))
        found = mean(*map(jnp.asarray, (truth, judge, judge)), weight=weight, unlabeled_weight=other)
        values.append((float(found.value), float(found.std_error)))
    value, error = np.array(values).T
    # Four standard errors of the mean of 60 studies; the plain mean of the labels is off by 0.3.
    assert abs(value.mean() - truth.mean()) < 4 * value.std() / 60**0.5
    # Studies share their items, so what they differ by is part of the error that is estimated.
    assert value.std() < 1.3 * error.mean()


def test_degenerate_estimates():
    found = mean(jnp.array([1.0]), jnp.array([1.0]), jnp.array([1.0, 0.0]))
    assert jnp.isnan(found.variance)
    assert found.degenerate
    empty = mean(jnp.zeros(2), jnp.zeros(2), jnp.ones(3), weight=jnp.zeros(2))
    assert jnp.isnan(empty.value)


def test_contrast_is_the_mean_of_differences(x64):
    rng = np.random.default_rng(0)
    item = rng.normal(size=(240, 1))
    truth = item + np.array([[0.3, 0.0, -0.2]]) + 0.3 * rng.normal(size=(240, 3))
    judge = truth + 0.5 * item + 0.2 * rng.normal(size=(240, 3))
    labels, predictions, unlabeled = (jnp.asarray(x) for x in (truth[:40], judge[:40], judge[40:]))
    found = jax.jit(ppi_contrast)(labels, predictions, unlabeled)
    single = mean(labels[:, 0] - labels[:, 2], predictions[:, 0] - predictions[:, 2], unlabeled[:, 0] - unlabeled[:, 2])
    chex.assert_trees_all_close(jax.tree.map(lambda x: x[0, 2], found), single, rtol=1e-10)
    chex.assert_trees_all_close(found.value, -found.value.T, atol=1e-12)
    # What items have in common cancels: an unpaired difference is three times as unsure.
    apart = mean(labels[:, 0], predictions[:, 0], unlabeled[:, 0]).minus(
        mean(labels[:, 2], predictions[:, 2], unlabeled[:, 2])
    )
    assert found.std_error[0, 2] < apart.std_error / 3


def test_one_stratum_is_no_stratum_and_strata_add_up(x64):
    labels, predictions, unlabeled = arrays(NUMBERS["ppi_mean"][0], "Y", "Yhat", "Yhat_unlabeled")
    stratified = jax.jit(ppi_stratified_mean, static_argnums=5)
    stratum, other = jnp.arange(40) // 20, jnp.arange(300) // 100
    # Strata without a share add nothing, though one of them has no gold label.
    inside = jnp.zeros_like(stratum), jnp.zeros_like(other)
    whole = stratified(labels, predictions, unlabeled, *inside, 3, share=jnp.array([1.0, 0.0, 0.0]))
    chex.assert_trees_all_close(whole, mean(labels, predictions, unlabeled), rtol=1e-10)
    share = jnp.array([0.25, 0.75, 0.0])
    found = stratified(labels, predictions, unlabeled, stratum, other, 3, share=share)
    parts = [mean(labels[20 * s :][:20], predictions[20 * s :][:20], unlabeled[100 * s :][:100]) for s in (0, 1)]
    chex.assert_trees_all_close(found.value, 0.25 * parts[0].value + 0.75 * parts[1].value, rtol=1e-10)
    chex.assert_trees_all_close(found.variance, parts[0].variance / 16 + parts[1].variance * 9 / 16, rtol=1e-10)
    # By default strata are as large as they are found; the last one then has no gold label.
    assert jnp.isnan(stratified(labels, predictions, unlabeled, stratum, other, 3).value)


def test_folds_of_one_model_are_one_model(x64):
    labels, predictions, unlabeled = arrays(NUMBERS["ppi_mean"][0], "Y", "Yhat", "Yhat_unlabeled")
    found = cross_ppi_mean(labels, predictions, jnp.stack([unlabeled] * 3))
    chex.assert_trees_all_close(found, mean(labels, predictions, unlabeled, power=1.0), rtol=1e-10)


def test_bootstrap_spreads_as_the_standard_error_says(x64):
    data = arrays(NUMBERS["ppi_mean"][1], "Y", "Yhat", "Yhat_unlabeled")
    draws = ppi_bootstrap(jax.random.key(0), *data, 2000)
    found = mean(*data)
    # Of 2000 draws a standard deviation is known to 1.6%; the tuning adds a little.
    chex.assert_trees_all_close(draws.std(), found.std_error, rtol=0.06)
    chex.assert_trees_all_close(draws.mean(), found.value, atol=4 * float(found.std_error) / 2000**0.5 + 0.002)


def test_quantiles_of_discrete_scores(x64):
    labels = jnp.array([0.0] * 11 + [1.0] * 9)
    others = jnp.array([0.0] * 110 + [1.0] * 90)
    for q, value in ((0.3, 0.0), (0.55, 0.0), (0.9, 1.0)):
        found = quantile(labels, labels, others, q)
        assert found.value == value
        assert found.interval().lower <= value <= found.interval().upper
    # The median is in doubt between both.
    assert quantile(labels, labels, others, 0.55).interval() == (0.0, 1.0)
    short = quantile(labels, labels, others, 0.9, grid=jnp.array([-1.0, 0.0]))
    assert jnp.isnan(short.value)
    assert short.interval().upper == jnp.inf


def test_regressions_without_predictions_are_the_classical_ones(x64):
    numbers = NUMBERS["ppi_regression"][0]
    x, y, f, other_x, other_f = arrays(numbers, "X", "Y", "Yhat", "X_unlabeled", "Yhat_unlabeled")
    found = regression(x, y, f, other_x, other_f, power=0.0)
    chex.assert_trees_all_close(found.value, jnp.linalg.lstsq(x, y)[0], rtol=1e-9)
    # An intercept alone is a mean; its variance divides by n - 1.
    ones, other_ones = jnp.ones((60, 1)), jnp.ones((250, 1))
    constant = regression(ones, y, f, other_ones, other_f, power=1.0)
    plain = mean(y, f, other_f, power=1.0)
    chex.assert_trees_all_close(constant.value[0], plain.value, rtol=1e-9)
    chex.assert_trees_all_close(constant.std_error[0], plain.std_error, rtol=0.01)


def test_logistic_regression_solves_its_equation_and_says_where_there_is_no_solution(x64):
    numbers = NUMBERS["ppi_regression"][0]
    x, y, f, other_x, other_f = arrays(numbers, "X", "Yb", "Ybhat", "X_unlabeled", "Ybhat_unlabeled")
    found = regression(x, y, f, other_x, other_f, family="logistic", power=0.5).value
    p, q = jax.nn.sigmoid(x @ found), jax.nn.sigmoid(other_x @ found)
    slope = x.T @ (p - y) / 60 - 0.5 * x.T @ (p - f) / 60 + 0.5 * other_x.T @ (q - other_f) / 250
    chex.assert_trees_all_close(slope, jnp.zeros(3), atol=1e-12)
    separated = (x[:, 1] > 0).astype(float)
    assert jnp.isnan(regression(x, separated, f, other_x, other_f, family="logistic", power=0.0).value).all()


def test_what_cannot_be():
    one, none = jnp.ones(3), jnp.ones(0)
    with pytest.raises(ValueError, match="no items without a gold label"):
        ppi_quantile(one, one, none, 0.5)
    with pytest.raises(ValueError, match="no gold labels"):
        ppi_regression(none[:, None], none, none, one[:, None], one)
    with pytest.raises(ValueError, match="family must be"):
        ppi_regression(one[:, None], one, one, one[:, None], one, family="probit")
    with pytest.raises(ValueError, match="level must be between 0 and 1"):
        ppi_mean(one, one, one).interval(95.0)


def test_intervals_hold_the_truth(x64):
    """1000 studies of 50 labels and 500 others, all in one `vmap`.

    With fifty labels of this kind 91.9 of 100 intervals hold the truth where the power is tuned, 94.0 where it is 0
    (20 000 studies); with a hundred 94.0 and 94.9.
    """
    rng = np.random.default_rng(3)
    truth = (rng.random((1000, 550)) < 0.4).astype(float)
    judge = np.where(rng.random((1000, 550)) < 0.85, truth, 1.0)
    labels, predictions, unlabeled = (jnp.asarray(x) for x in (truth[:, :50], judge[:, :50], judge[:, 50:]))
    tuned, plain = (
        jax.jit(jax.vmap(lambda *x, p=p: ppi_mean(*x, power=p)))(labels, predictions, unlabeled) for p in (None, 0.0)
    )
    for found, share in ((tuned, 0.919), (plain, 0.94)):
        lower, upper = found.interval()
        held = float(((lower <= 0.4) & (upper >= 0.4)).mean())
        # Three standard errors of 1000 studies.
        assert abs(held - share) < 0.026
    assert tuned.std_error.mean() < 0.7 * plain.std_error.mean()


def test_a_few_gold_labels_and_all_verdicts_of_llmbar(x64):
    """How often is output 1 better? GPT-4 has a view on all pairs, people on 60 of them."""
    verdicts, names = load_llmbar(model="GPT-4", prompt="Vanilla")
    judge = names.judges.names.index("GPT-4/Vanilla/1")
    mine = np.asarray(verdicts.where) & (np.asarray(verdicts.judge) == judge)
    rows = mine.any(1)
    said = np.where(mine, np.asarray(verdicts.label), 0).sum(1)[rows].astype(float)
    gold = np.asarray(verdicts.gold)[rows].astype(float)
    n, truth = 60, gold.mean()
    rng = np.random.default_rng(0)
    errors, held, width = [], 0, []
    for _ in range(50):
        order = rng.permutation(len(gold))
        some, rest = order[:n], order[n:]
        found = mean(jnp.asarray(gold[some]), jnp.asarray(said[some]), jnp.asarray(said[rest]))
        lower, upper = found.interval()
        held += float(lower) <= truth <= float(upper)
        errors.append(float(found.value) - truth)
        width.append(float(upper - lower))
    # The judge alone is off by more than the corrected mean, which is not off at all on average: four standard errors.
    assert abs(np.mean(errors)) < 4 * np.std(errors) / 50**0.5
    # These 50 studies draw from 419 items without replacement, so intervals for a population hold more than 95 of 100.
    assert held >= 45
    rates = judge_error_rates(jnp.asarray(gold), jnp.asarray(said))
    corrected = rogan_gladen(jnp.asarray(said.mean()), rates.sensitivity, rates.specificity)
    # With the error rates of these very items the correction is exact.
    chex.assert_trees_all_close(corrected.value, jnp.asarray(truth), rtol=1e-9)
