"""SimBench's score; numbers of its code are in `tests/oracles/evals/simbench_score.json`."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.evals import log_linear_fit, noise_ceiling, normalised_entropy, simulation_score, stratify
from scorax.evals import total_variation_bias as bias_of
from scorax.stats import total_variation_distance
from tests.evals.conftest import oracle

score = jax.jit(simulation_score, static_argnums=3, static_argnames="smooth")
bias = jax.jit(bias_of)
ceiling = jax.jit(noise_ceiling, static_argnums=3)
strata = jax.jit(stratify, static_argnames="n_strata")
line = jax.jit(log_linear_fit)


@pytest.fixture
def benchmark_items(dtype):
    """The reference's items, padded: human and model answers, data sets, options, and its results."""
    numbers = oracle("simbench_score")
    items = numbers["items"]
    options = max(len(item["human"]) for item in items)
    human, model = (
        np.array([item[side] + [0.0] * (options - len(item[side])) for item in items]) for side in ("human", "model")
    )
    where = np.array([[k < len(item["human"]) for k in range(options)] for item in items])
    dataset = np.array([int(item["dataset"][2:]) for item in items])
    return jnp.asarray(human, dtype), jnp.asarray(model, dtype), jnp.asarray(dataset), jnp.asarray(where), numbers


def test_is_simbenchs(dtype, benchmark_items):
    human, model, dataset, where, numbers = benchmark_items
    found = score(human, model, dataset, 3, where=where)
    assert found.score.dtype == dtype
    # The file has ten digits of shares; baselines divide by 0.2 and scores are in hundreds.
    close = 5e-8 if dtype == jnp.float64 else 500 * float(jnp.finfo(dtype).eps)
    chex.assert_trees_all_close(np.asarray(found.item_score, float), np.array(numbers["item_score"]), atol=300 * close)
    chex.assert_trees_all_close(float(found.score), numbers["score"], atol=100 * close)
    chex.assert_trees_all_close(
        np.asarray(found.baseline, float), np.array(list(numbers["dataset_norm"].values())), atol=close
    )
    scores = np.array(numbers["item_score"])
    chex.assert_trees_all_close(float(found.std_error), scores.std(ddof=1) / np.sqrt(len(scores)), rtol=1e-4)
    assert found.scored.all()


def test_one_is_the_population_nought_a_uniform_guesser(dtype, benchmark_items):
    human, _, dataset, where, _ = benchmark_items
    eps = float(jnp.finfo(dtype).eps)
    both = jnp.stack([human, jnp.where(where, 1, jnp.asarray(0, dtype))])
    found = score(human, both, dataset, 3, where=where)
    chex.assert_trees_all_close(found.score, jnp.asarray([100, 0], dtype), atol=1000 * eps)
    means = jax.ops.segment_sum(found.item_score[1], dataset, 3)
    chex.assert_trees_all_close(means, jnp.zeros(3, dtype), atol=1e4 * eps)
    # The order of the options, and counts in place of shares, change nothing.
    order = jnp.array([3, 1, 0, 5, 4, 2])
    moved = score(7 * human[:, order], both[..., order], dataset, 3, where=where[:, order])
    chex.assert_trees_all_close(moved.item_score, found.item_score, atol=1e4 * eps)


def test_ragged_is_a_loop_and_several_models_are_one_by_one(x64, benchmark_items):
    human, model, dataset, where, _ = (jnp.asarray(v, float) if i < 2 else v for i, v in enumerate(benchmark_items))
    junk = jnp.where(where, model, jnp.nan)
    found = score(human, jnp.stack([junk, human]), dataset, 3, where=where)
    for i in range(len(human)):
        p, q = (np.asarray(v[i])[np.asarray(where[i])] for v in (human, model))
        expected = np.abs(p / p.sum() - q / q.sum()).sum() / 2
        each = 100 * (1 - expected / float(found.baseline[dataset[i]]))
        chex.assert_trees_all_close(float(found.item_score[0, i]), each, atol=1e-10)
    chex.assert_trees_all_close(found.score[0], score(human, model, dataset, 3, where=where).score, rtol=1e-12)


def test_questions_that_cannot_be_scored_leave_the_mean():
    human = jnp.array([[0.2, 0.8], [1.0, 0.0], [0.5, 0.5], [0.4, 0.6]])
    model = jnp.array([[0.3, 0.7], [1.0, 0.0], [0.1, 0.9], [0.4, 0.6]])
    where = jnp.array([[True, True], [True, False], [True, True], [True, True]])
    # The second has one option; the third is alone in a data set as even as a uniform guesser; set 2 is empty.
    found, slope = jax.jit(
        jax.value_and_grad(lambda m: simulation_score(human, m, jnp.array([0, 0, 1, 0]), 3, where=where).score)
    )(model)
    whole = score(human, model, jnp.array([0, 0, 1, 0]), 3, where=where)
    chex.assert_trees_all_equal(whole.scored, jnp.array([True, False, False, True]))
    chex.assert_trees_all_equal(jnp.isnan(whole.item_score), ~whole.scored)
    chex.assert_trees_all_close(found, (whole.item_score[0] + 100) / 2, rtol=1e-6)
    assert jnp.isnan(whole.baseline[2])
    assert jnp.isfinite(slope).all()
    # No answer of the model is no score, not a question less.
    assert jnp.isnan(score(human, model.at[0].set(0.0), jnp.array([0, 0, 1, 0]), 3, where=where).score)
    assert jnp.isnan(score(human[2:3], model[2:3], jnp.array([0]), 1).score)


def test_data_sets_out_of_range():
    human = jnp.full((3, 2), 0.5)
    with pytest.raises(ValueError, match=r"dataset is not from 0 to 1 in 2 rows \(rows 0, 2\)"):
        simulation_score(human, human, jnp.array([2, 0, -1]), 2)
    with pytest.raises(ValueError, match="n_datasets must be at least 1"):
        simulation_score(human, human, jnp.array([0, 0, 0]), 0)


def test_bias_is_what_samples_show(x64):
    """20 000 samples of 60 answers: the mean distance from the truth, and from another distribution."""
    random = np.random.default_rng(0)
    truth, other = np.array([0.5, 0.3, 0.15, 0.05]), np.array([0.45, 0.3, 0.2, 0.05])
    drawn = random.multinomial(60, truth, size=20_000) / 60
    for q in (truth, other):
        distances = np.abs(drawn - q).sum(1) / 2
        expected = distances.mean() - np.abs(truth - q).sum() / 2
        found = float(bias(jnp.asarray(truth), jnp.asarray(q), 60))
        # Monte Carlo errs by 0.0002 (one standard error); the normal approximation by 2 in 100 of 0.05.
        chex.assert_trees_all_close(found, expected, atol=0.0015)


def test_bias_at_equality_far_away_and_at_the_edges(dtype):
    p = jnp.asarray([[0.5, 0.3, 0.2], [1.0, 0.0, 0.0]], dtype)
    found = bias(p, p, jnp.asarray([50.0, 50.0], dtype))
    expected = float((np.sqrt(np.array([0.25, 0.21, 0.16]) / (2 * np.pi * 50))).sum())
    chex.assert_trees_all_close(found, jnp.asarray([expected, 0.0], dtype), rtol=16 * float(jnp.finfo(dtype).eps))
    far = bias(p[:1], p[1:], jnp.asarray([10_000.0], dtype))
    chex.assert_trees_all_close(far, jnp.zeros(1, dtype), atol=1e-12)
    slope = jax.jit(jax.grad(lambda v: bias_of(v, p, 50.0).sum()))(p)
    assert jnp.isfinite(slope).all()
    assert jnp.isnan(bias(jnp.zeros(3, dtype), p[0], 50.0))
    assert jnp.isnan(bias(p[0], p[0], 0.0))


def test_ceiling_is_what_the_truth_would_get(x64):
    """4000 samples of a population: the score of its true distribution is the ceiling, on average."""
    random = np.random.default_rng(1)
    truth = np.array([[0.1, 0.6, 0.3], [0.7, 0.2, 0.1], [0.3, 0.4, 0.3]])
    n, dataset = np.array([40, 100, 400]), jnp.array([0, 0, 0])
    found = ceiling(jnp.asarray(truth), jnp.asarray(n), dataset, 1)
    baseline = np.asarray(total_variation_distance(jnp.asarray(truth), jnp.ones((3, 3)))).mean()
    for i in range(3):
        shares = random.multinomial(n[i], truth[i], size=4000) / n[i]
        scores = 100 * (1 - np.abs(shares - truth[i]).sum(1) / 2 / baseline)
        # Three Monte Carlo errors of the mean are below 0.8; the normal approximation errs by less.
        chex.assert_trees_all_close(float(found[i]), scores.mean(), atol=0.8)
    assert (jnp.diff(found) > 0).all()


def test_entropy_of_known_distributions(dtype):
    p = jnp.asarray([[0.25] * 4, [1.0, 0.0, 0.0, 0.0], [0.5, 0.5, 0.0, 0.0]], dtype)
    found, slope = jax.jit(jax.value_and_grad(lambda v: normalised_entropy(v).sum()))(p)
    chex.assert_trees_all_close(found, jnp.asarray(1.5, dtype), rtol=4 * float(jnp.finfo(dtype).eps))
    assert jnp.isfinite(slope).all()
    two = normalised_entropy(p, where=jnp.arange(4)[None, :] < jnp.array([2, 1, 2])[:, None])
    chex.assert_trees_all_close(two[::2], jnp.ones(2, dtype), rtol=1e-6)
    assert jnp.isnan(two[1])
    assert jnp.isnan(normalised_entropy(jnp.zeros(3)))


def test_strata_are_means_of_bins(x64):
    random = np.random.default_rng(2)
    entropy, values = random.uniform(size=40), random.normal(size=(2, 40))
    entropy[:3] = (0.0, 0.25, 1.0)
    where = random.uniform(size=40) < 0.9
    where[:3] = True
    found = strata(
        jnp.asarray(np.where(where, values, np.nan)), jnp.asarray(entropy), n_strata=4, where=jnp.asarray(where)
    )
    for k in range(4):
        inside = where & (entropy >= k / 4) & ((entropy < (k + 1) / 4) | (k == 3))
        chex.assert_trees_all_close(np.asarray(found.mean[:, k]), values[:, inside].mean(1), rtol=1e-10)
        expected = values[:, inside].std(1, ddof=1) / np.sqrt(inside.sum())
        chex.assert_trees_all_close(np.asarray(found.std_error[:, k]), expected, rtol=1e-10)
    slope, intercept = np.polyfit(entropy[where], values[:, where].T, 1)
    chex.assert_trees_all_close(np.asarray(found.line.slope), slope, rtol=1e-9)
    chex.assert_trees_all_close(np.asarray(found.line.intercept), intercept, rtol=1e-9)


def test_empty_strata_and_bad_numbers():
    found = strata(jnp.array([1.0, 2.0]), jnp.array([0.1, 0.9]), n_strata=3)
    chex.assert_trees_all_equal(jnp.isnan(found.mean), jnp.array([False, True, False]))
    assert jnp.isnan(found.std_error).all()
    with pytest.raises(ValueError, match="n_strata must be at least 1"):
        stratify(jnp.ones(2), jnp.ones(2), n_strata=0)


def test_line_is_scipys(x64):
    from scipy import stats

    random = np.random.default_rng(4)
    size, value = 10 ** random.uniform(0, 3, 12), random.normal(size=12)
    expected = stats.linregress(np.log10(size), value)
    found = line(jnp.asarray(size), jnp.asarray(value))
    got = (found.slope, found.intercept, found.r_squared, found.slope_std_error, found.intercept_std_error)
    want = (expected.slope, expected.intercept, expected.rvalue**2, expected.stderr, expected.intercept_stderr)
    chex.assert_trees_all_close(np.asarray(got), np.array(want), rtol=1e-10)
    reach = stats.t.ppf(0.95, 10) * expected.stderr
    chex.assert_trees_all_close(
        np.asarray(found.slope_interval(0.9)), np.array([expected.slope - reach, expected.slope + reach]), rtol=1e-9
    )
    # At the mean of x the line is known best, to the residual deviation over the root of n.
    lower, upper = found.interval(found.x_mean)
    width = stats.t.ppf(0.975, 10) * float(found.residual_std)
    chex.assert_trees_all_close(float(upper - lower), 2 * width / np.sqrt(12), rtol=1e-9)
    lower, upper = found.interval(found.x_mean, prediction=True)
    chex.assert_trees_all_close(float(upper - lower), 2 * width * np.sqrt(1 + 1 / 12), rtol=1e-9)


def test_masked_and_batched_lines(dtype):
    random = np.random.default_rng(5)
    size, value = (jnp.asarray(random.uniform(1, 9, (2, 6)), dtype) for _ in range(2))
    where = jnp.asarray(np.arange(6) < np.array([[6], [4]]))
    found = line(size.at[1, 4].set(-1.0), value.at[1, 5].set(jnp.nan), where=where)
    alone = line(size[1, :4], value[1, :4])
    chex.assert_trees_all_close(jax.tree.map(lambda v: v[1], found), alone, rtol=1000 * float(jnp.finfo(dtype).eps))
    slope = jax.grad(lambda v: log_linear_fit(size[1], v, where=where[1]).slope)(value[1])
    assert (slope[4:] == 0).all()


def test_lines_that_nothing_determines():
    two = line(jnp.array([1.0, 10.0]), jnp.array([3.0, 5.0]))
    chex.assert_trees_all_close(two.slope, jnp.asarray(2.0), rtol=1e-6)
    assert jnp.isnan(two.slope_std_error)
    assert jnp.isnan(jnp.asarray(two.slope_interval())).all()
    assert jnp.isnan(line(jnp.full(4, 7.3), jnp.arange(4.0)).slope)
    assert jnp.isnan(line(jnp.array([1.0, 0.0, 3.0]), jnp.arange(3.0)).slope)
    assert jnp.isnan(line(jnp.array([1.0, 2.0, 3.0]), jnp.ones(3)).r_squared)
