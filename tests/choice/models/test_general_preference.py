import dataclasses
import json
import pathlib

import chex
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.scipy.linalg as jsl
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from jax.test_util import check_grads
from scipy import stats

from scorax.choice._models import BradleyTerry, bradley_terry_log_prob
from scorax.choice._models._general_preference import (
    GeneralPreference,
    general_preference_log_prob,
    general_preference_score,
)
from scorax.choice._models._orbit_newton import log_likelihood_derivatives
from scorax.choice._models._skew_symmetric import embed_skew_symmetric, orbit_directions
from scorax.data import Comparisons, PairCounts
from scorax.inference import fit, iid_prior, log_likelihood, sample

ORACLE = pathlib.Path(__file__).parents[2] / "oracles" / "choice" / "gpm.json"
CASES = json.loads(ORACLE.read_text())["cases"]
ROCK_PAPER_SCISSORS = [[0, 90, 10], [10, 0, 90], [90, 10, 0]]

score = jax.jit(general_preference_score)
log_prob = jax.jit(general_preference_log_prob)


def eps(dtype, factor):
    return factor * float(jnp.finfo(dtype).eps)


def embeddings(dtype, k=6, blocks=2, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=(k, 2 * blocks)), dtype)


def win_table(scores, games):
    """Wins exactly as expected, so that the maximum is known."""
    wins = games / (1 + np.exp(-np.asarray(scores, np.float64)))
    np.fill_diagonal(wins, 0)
    return PairCounts.from_arrays(wins)


def start(k, blocks, **options):
    return GeneralPreference.init(k, blocks, key=jax.random.key(0), **options)


@eqx.filter_jit
def scores_of(model):
    return model.score_matrix()


@eqx.filter_jit
def total(model, data):
    return log_likelihood(model, data)


# One program for every scale, and so one compilation.
def normal_prior(model, scale):
    return iid_prior(model, {"embedding": dist.Normal(jnp.zeros(()), jnp.asarray(scale))})


def of_flat(flat, table):
    return GeneralPreference(flat.reshape(7, 4)).total_log_prob(table)


gradient_of = jax.jit(jax.grad(of_flat))
curvature_of = jax.jit(jax.hessian(of_flat))
embed = jax.jit(embed_skew_symmetric, static_argnums=1)


# The kernel


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"width {len(case['chosen'][0])}")
def test_losses_and_gradients_as_the_reference_implementation(case, x64):
    chosen, rejected = jnp.asarray(case["chosen"]), jnp.asarray(case["rejected"])
    margin = np.asarray(case["margin"])
    s = np.asarray(score(chosen, rejected))
    for tau, name in ((0.1, "hd_tau0_1"), (1.0, "hd_tau1")):

        def loss(chosen, tau=tau):
            return -general_preference_log_prob(chosen, rejected, temperature=tau).mean()

        value, gradient = jax.jit(jax.value_and_grad(loss))(chosen)
        np.testing.assert_allclose(value, case[name]["loss"], rtol=1e-9)
        np.testing.assert_allclose(jnp.exp(log_prob(chosen, rejected, temperature=tau)).mean(), case[name]["mean_prob"])
        np.testing.assert_allclose(gradient, case[name]["grad_chosen"], atol=1e-9)
        with_margin = np.log1p(np.exp(-(s - margin) / tau)).mean()
        np.testing.assert_allclose(with_margin, case[f"{name}_margin"]["loss"], rtol=1e-9)
    regression = 0.5 * (s / 0.1 - 10) ** 2, 0.5 * ((s - margin) / 0.1) ** 2
    names = "hd_regression_tau0_1_target10", "hd_regression_tau0_1_target10_margin"
    for loss, name in zip(regression, names, strict=True):
        np.testing.assert_allclose(loss.mean(), case[name]["loss"], rtol=1e-9)


def test_swapping_the_items_changes_the_sign_and_the_outcome(dtype):
    v, w = embeddings(dtype), embeddings(dtype, seed=1)
    # Fused multiplication leaves a rounding error of one product.
    np.testing.assert_allclose(score(v, w), -score(w, v), atol=eps(dtype, 8))
    np.testing.assert_allclose(score(v, v), 0, atol=eps(dtype, 8))
    total = jnp.exp(log_prob(v, w)) + jnp.exp(log_prob(w, v))
    np.testing.assert_allclose(total, 1, rtol=eps(dtype, 8))
    won, lost = jnp.ones(6, dtype), jnp.zeros(6, dtype)
    np.testing.assert_allclose(log_prob(v, w, won), log_prob(v, w), rtol=eps(dtype, 4))
    np.testing.assert_allclose(log_prob(v, w, lost), log_prob(w, v), rtol=eps(dtype, 4))
    halves = (log_prob(v, w) + log_prob(w, v)) / 2
    np.testing.assert_allclose(log_prob(v, w, jnp.full(6, 0.5, dtype)), halves, rtol=eps(dtype, 8))


def test_a_strength_beside_a_one_is_bradley_terry(dtype):
    strength = jnp.asarray([0.3, -1.2, 2.0], dtype)
    item = jnp.stack([strength, jnp.ones_like(strength)], axis=-1)
    difference = strength - jnp.roll(strength, 1)
    np.testing.assert_array_equal(score(item, jnp.roll(item, 1, axis=0)), difference)
    outcome = jnp.asarray([1.0, 0.5, 0.0], dtype)
    expected = bradley_terry_log_prob(difference / 2, outcome)
    value = log_prob(item, jnp.roll(item, 1, axis=0), outcome, temperature=2.0)
    np.testing.assert_allclose(value, expected, rtol=eps(dtype, 4))


def test_blades_and_chests_are_the_same_form(x64):
    blade, chest = embeddings("float64", blocks=1), embeddings("float64", blocks=1, seed=1)
    item = jnp.stack([blade, chest], axis=-1).reshape(6, 4)
    forwards = (blade[0] * chest[1]).sum() - (blade[1] * chest[0]).sum()
    np.testing.assert_allclose(score(item[0], item[1]), forwards, rtol=1e-14)


def test_a_circle_scores_the_sine_of_its_angle(dtype):
    angle = 2 * np.pi * np.arange(3) / 3
    hand = jnp.asarray(np.stack([np.cos(angle), np.sin(angle)], axis=1), dtype)
    np.testing.assert_allclose(score(hand, jnp.roll(hand, -1, axis=0)), np.sqrt(3) / 2, rtol=eps(dtype, 8))


def test_a_gate_weighs_the_blocks(dtype):
    v, w = embeddings(dtype), embeddings(dtype, seed=1)
    gate = jnp.broadcast_to(jnp.asarray([2.0, -0.5], dtype), (6, 2))
    blocks = score(v[:, :2], w[:, :2]), score(v[:, 2:], w[:, 2:])
    np.testing.assert_allclose(score(v, w, gate), 2 * blocks[0] - blocks[1] / 2, rtol=1e-5, atol=eps(dtype, 16))
    np.testing.assert_array_equal(score(v, w, jnp.ones_like(gate)), score(v, w))


def test_symplectic_maps_change_no_score(x64):
    item = embeddings("float64")
    free = jnp.asarray(np.random.default_rng(3).normal(size=(4, 4))) / 4
    # The algebra: a symmetric matrix times the form.
    form = jnp.kron(jnp.eye(2), jnp.array([[0.0, 1.0], [-1.0, 0.0]]))
    spun = item @ jsl.expm((free + free.T) @ form)
    assert jnp.abs(spun - item).max() > 0.1
    chex.assert_trees_all_close(scores_of(GeneralPreference(spun)), scores_of(GeneralPreference(item)), atol=1e-12)


def test_values_and_gradients_stay_finite_far_out(dtype):
    v = jnp.asarray([[3e3, 1.0], [-3e3, 1.0], [0.0, 0.0]], dtype)
    w = jnp.asarray([[0.0, 1.0]] * 3, dtype)
    value, gradient = jax.jit(jax.value_and_grad(lambda v: general_preference_log_prob(v, w).sum()))(v)
    np.testing.assert_allclose(value, -3e3 - np.log(2), rtol=eps(dtype, 4))
    np.testing.assert_allclose(gradient, [[0, 0], [1, 0], [0.5, 0]], atol=1e-6)


def test_wrong_widths_are_refused():
    odd, even = jnp.zeros((2, 3)), jnp.zeros((2, 4))
    with pytest.raises(ValueError, match="an even number; not 3"):
        general_preference_score(odd, odd)
    with pytest.raises(ValueError, match="gate has 3 factors for 2 blocks"):
        general_preference_score(even, even, jnp.ones((2, 3)))


# Matrices as embeddings


@pytest.mark.parametrize(("k", "blocks"), [(5, 2), (6, 3)])
def test_a_matrix_of_low_rank_comes_back(k, blocks, x64):
    matrix = scores_of(GeneralPreference(embeddings("float64", k, blocks)))
    np.testing.assert_allclose(scores_of(GeneralPreference(embed(matrix, blocks))), matrix, atol=1e-13)


def test_a_matrix_of_low_rank_comes_back_in_single_precision():
    matrix = scores_of(GeneralPreference(embeddings("float32", 6, 2)))
    np.testing.assert_allclose(scores_of(GeneralPreference(embed(matrix, 2))), matrix, atol=1e-5)


def test_fewer_blocks_leave_the_smallest_residual(x64):
    matrix = scores_of(GeneralPreference(embeddings("float64", 6, 3)))
    size = np.linalg.svd(np.asarray(matrix), compute_uv=False)
    residual = matrix - scores_of(GeneralPreference(embed(matrix, 1)))
    np.testing.assert_allclose(np.linalg.norm(residual), np.linalg.norm(size[2:]), rtol=1e-10)


def test_embeddings_differentiate_though_many_eigenvalues_vanish(x64):
    # Rank 4 of 8: four zeros coincide.
    matrix = scores_of(GeneralPreference(embeddings("float64", 8, 2)))

    def leading(matrix):
        return scores_of(GeneralPreference(embed_skew_symmetric(matrix, 1)))

    check_grads(jax.jit(leading), (matrix,), 1, modes=("fwd", "rev"), atol=1e-6, rtol=1e-6)


def test_the_number_of_blocks_has_bounds():
    for blocks in (0, 3):
        with pytest.raises(ValueError, match=f"5 items need from 1 to 2 blocks.*; not {blocks}"):
            embed_skew_symmetric(jnp.zeros((5, 5)), blocks)
        with pytest.raises(ValueError, match="5 items need from 1 to 2 blocks"):
            start(5, blocks)
    with pytest.raises(ValueError, match="temperature must be positive"):
        start(4, 1, temperature=0.0)


# The model


@pytest.fixture(scope="module")
def noisy():
    """Counts of seven items with ties, and a fit of two blocks."""
    with jax.enable_x64(True):
        rng = np.random.default_rng(5)
        truth = scores_of(GeneralPreference(embeddings("float64", 7, 2)))
        wins = np.triu(rng.binomial(60, jax.nn.sigmoid(truth)), 1)
        table = PairCounts.from_arrays(
            wins + np.triu(60 - wins, 1).T, np.triu(rng.poisson(3.0, (7, 7)), 1).astype(float)
        )
        return table, fit(start(7, 2), table)


def test_rows_and_table_are_the_same_data(noisy, x64):
    table, result = noisy
    rows = table.rows()
    np.testing.assert_allclose(total(result.model, rows), result.log_likelihood, rtol=1e-12)
    np.testing.assert_allclose(total(result.model, table), result.log_likelihood, rtol=1e-12)
    each = eqx.filter_jit(lambda model, data: model.log_prob(data))
    for data in (rows, table):
        values = each(result.model, data)
        assert values.shape == data.weight.shape
        np.testing.assert_allclose((np.asarray(data.weight) * values).sum(), result.log_likelihood, rtol=1e-12)
    np.testing.assert_allclose(fit(start(7, 2), rows).log_likelihood, result.log_likelihood, rtol=1e-12)


def test_closed_forms_are_the_derivatives(noisy, x64):
    table, _ = noisy
    item = embeddings("float64", 7, 2, seed=8)

    @jax.jit
    def closed(item, table, stiffness):
        model = GeneralPreference(item)
        return log_likelihood_derivatives(model, table, stiffness=stiffness)(model)

    at = closed(item, table, jnp.ones(()))
    np.testing.assert_allclose(at.value, total(GeneralPreference(item), table), rtol=1e-13)
    np.testing.assert_allclose(at.gradient, gradient_of(item.reshape(-1), table), rtol=1e-10, atol=1e-10)
    # Without stiffness it is the Hessian; scores do not change along the orbit, so the gradient has no part there.
    plain = closed(item, table, jnp.zeros(())).hessian
    np.testing.assert_allclose(plain, curvature_of(item.reshape(-1), table), atol=1e-9)
    orbit = np.asarray(orbit_directions(item))
    np.testing.assert_allclose(orbit @ np.asarray(at.gradient), 0, atol=1e-10)
    added = plain - at.hessian
    across = np.eye(item.size) - np.linalg.pinv(orbit) @ orbit
    np.testing.assert_allclose(across @ np.asarray(added), 0, atol=1e-9)
    assert np.linalg.eigvalsh(added)[-orbit.shape[0] :].min() > 1e-3


def test_enough_blocks_reproduce_the_log_odds_and_their_errors(x64):
    wins = np.array([[1, 30, 12], [10, 1, 25], [18, 5, 1]])
    saturated = fit(start(3, 1), PairCounts.from_arrays(wins - np.eye(3)))
    pairs = np.triu_indices(3, 1)
    assert saturated.model.n_free == len(pairs[0])
    estimate = saturated.map(scores_of)
    np.testing.assert_allclose(estimate.value[pairs], np.log(wins / wins.T)[pairs], atol=1e-9)
    np.testing.assert_allclose(estimate.std_error[pairs], np.sqrt(1 / wins + 1 / wins.T)[pairs], rtol=1e-8)


def test_the_temperature_is_a_scale(noisy, x64):
    table, result = noisy
    cold = GeneralPreference(0.1**0.5 * result.model.embedding, 0.1)
    np.testing.assert_allclose(total(cold, table), result.log_likelihood, rtol=1e-12)


def test_random_starts_find_the_same_maximum(noisy, x64):
    table, result = noisy
    for seed in range(3):
        far = GeneralPreference(embeddings("float64", 7, 2, seed=seed))
        other = fit(far, table, prior=normal_prior(far, 1e6), max_steps=200)
        # A prior this wide moves nothing, and has the search start where it is told to.
        np.testing.assert_allclose(scores_of(other.model), scores_of(result.model), atol=1e-5)


def test_covariance_under_a_prior_is_the_pseudo_inverse_of_the_curvature(noisy, x64):
    table, _ = noisy
    mode = fit(start(7, 2), table, prior=normal_prior(start(7, 2), 0.5), max_steps=200)
    flat = mode.model.embedding.reshape(-1)
    np.testing.assert_allclose(gradient_of(flat, table) - 4 * flat, 0, atol=1e-8)
    slopes = jax.jit(jax.jacobian(lambda flat: GeneralPreference(flat.reshape(7, 4)).score_matrix().reshape(-1)))(flat)
    # Rotations leave the prior as it is: 4 directions of no curvature.
    inverse = np.linalg.pinv(4 * np.eye(28) - curvature_of(flat, table), rcond=1e-8, hermitian=True)
    slopes = np.asarray(slopes)
    chex.assert_trees_all_close(mode.map(scores_of).covariance, slopes @ inverse @ slopes.T, atol=1e-9)


def test_the_default_prior_needs_its_scale_pinned(x64):
    model = start(7, 2)
    drawn = numpyro.handlers.seed(model.prior, 0)()
    chex.assert_trees_all_equal_shapes_and_dtypes(drawn, model)
    with pytest.raises(ValueError, match="draws more numbers than GeneralPreference"):
        fit(model, PairCounts.from_arrays(np.ones((7, 7)) - np.eye(7)), prior=model.prior)


def test_estimates_differentiate_with_respect_to_the_votes(noisy, x64):
    table, _ = noisy
    direction = jnp.asarray(np.random.default_rng(0).random(table.weight.shape) * (np.asarray(table.weight) > 0))

    def first(weight):
        return scores_of(fit(start(7, 2), table.reweight(weight)).model)[0, 1]

    slope = jax.jit(jax.grad(first))(table.weight)
    refits = [first(table.weight + step * direction) for step in (1e-4, -1e-4)]
    np.testing.assert_allclose(jnp.vdot(slope, direction), (refits[0] - refits[1]) / 2e-4, rtol=1e-6)


def test_renaming_the_items_renames_the_scores(noisy, x64):
    table, result = noisy
    new = np.random.default_rng(1).permutation(7)
    rows = table.rows()
    ids = jnp.asarray(new, jnp.int32)
    renamed = fit(start(7, 2), dataclasses.replace(rows, a=ids[rows.a], b=ids[rows.b]))
    np.testing.assert_allclose(scores_of(renamed.model)[np.ix_(new, new)], scores_of(result.model), atol=1e-9)


def test_single_precision_is_close_to_double(noisy):
    table, result = noisy
    single = fit(start(7, 2), PairCounts.from_arrays(*np.asarray(table.weight)))
    assert single.model.embedding.dtype == jnp.float32
    error = single.map(scores_of).std_error
    with jax.enable_x64(True):
        double = result.map(scores_of)
    np.testing.assert_allclose(scores_of(single.model), double.value, atol=1e-4)
    np.testing.assert_allclose(error, double.std_error, rtol=1e-3, atol=1e-3)


def test_a_cycle_needs_a_block(x64):
    circle = PairCounts.from_arrays(ROCK_PAPER_SCISSORS)
    # Equal strengths are the best that Bradley-Terry can do: every prediction is a coin's.
    flat = jax.jit(jax.grad(log_likelihood))(BradleyTerry.init(3), circle)
    np.testing.assert_allclose(flat.strength, 0, atol=1e-12)
    result = fit(start(3, 1), circle)
    # Nine to one around the circle: log 9, and a loss of the entropy of that coin.
    np.testing.assert_allclose(scores_of(result.model)[[0, 1, 2], [1, 2, 0]], np.log(9), rtol=1e-10)
    np.testing.assert_allclose(-result.log_likelihood / 300, 0.3251, atol=1e-4)


def test_rank_four_needs_two_blocks(x64):
    matrix = scores_of(GeneralPreference(embeddings("float64", 7, 2)))
    table = win_table(matrix, 100.0)
    enough, less = fit(start(7, 2), table), fit(start(7, 1), table)
    np.testing.assert_allclose(scores_of(enough.model), matrix, atol=1e-6)
    assert jnp.abs(scores_of(less.model) - matrix).max() > 0.5
    assert enough.log_likelihood > less.log_likelihood + 10


@pytest.mark.slow
def test_transitive_data_gain_a_chi_square_of_n_minus_two(x64):
    k, replicates = 6, 200
    truth = BradleyTerry(jnp.linspace(-1.0, 1.0, k))
    a, b = (np.repeat(ids, 60) for ids in np.triu_indices(k, 1))
    design = Comparisons.from_arrays(a, b, np.ones(a.size))
    nested = GeneralPreference(jnp.stack([truth.strength, jnp.ones(k)], axis=1))
    np.testing.assert_allclose(total(nested, design), total(truth, design), rtol=1e-12)

    def gain(key):
        table = truth.simulate(design, key=key).table(k)
        both = fit(start(k, 1), table), fit(BradleyTerry.init(k), table)
        return 2 * (both[0].log_likelihood - both[1].log_likelihood)

    gains = jax.jit(jax.vmap(gain))(jax.random.split(jax.random.key(1), replicates))
    assert (gains > -1e-9).all()
    assert nested.n_free - (k - 1) == k - 2
    # Uniform p-values; the seed is fixed.
    assert stats.kstest(np.asarray(gains), stats.chi2(k - 2).cdf).pvalue > 0.01


def test_what_has_no_finite_maximum_is_refused(x64):
    separated = PairCounts.from_arrays(5 * np.triu(np.ones((7, 7)), 1))
    with pytest.raises(ValueError, match="no finite maximum: embedding runs to infinity"):
        fit(start(7, 2), separated)
    ring = np.roll(np.eye(7), 1, axis=1)
    with pytest.raises(ValueError, match="prior"):
        fit(start(7, 2), PairCounts.from_arrays(ring + ring.T))
    finite = fit(start(7, 2), separated, prior=normal_prior(start(7, 2), 1.0), max_steps=200)
    assert jnp.isfinite(scores_of(finite.model)).all()


def test_data_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"an item id is 3 or more, but the model has 3 items, in 1 row \(row 1\)"):
        fit(start(3, 1), Comparisons.from_arrays([0, 3], [1, 0], [1, 0]))
    with pytest.raises(ValueError, match="the table is of 3 items, the model of 4"):
        fit(start(4, 1), PairCounts.from_arrays(ROCK_PAPER_SCISSORS))
    with pytest.raises(ValueError, match="outcomes are simulated for rows"):
        start(3, 1).simulate(PairCounts.from_arrays(ROCK_PAPER_SCISSORS), key=jax.random.key(0))


def test_simulated_outcomes_have_their_probabilities():
    model = GeneralPreference(embeddings("float32", 3, 1))
    design = Comparisons.from_arrays(np.resize([0, 0, 1], 6000), np.resize([1, 2, 2], 6000), np.ones(6000))
    drawn = jax.jit(lambda key: model.simulate(design, key=key))(jax.random.key(0))
    chex.assert_trees_all_equal_shapes_and_dtypes(drawn, design)
    won = drawn.outcome.reshape(2000, 3).mean(0)
    # Four standard errors of a share of 2000.
    expected = jax.nn.sigmoid(scores_of(model)[np.array([0, 0, 1]), np.array([1, 2, 2])])
    np.testing.assert_allclose(won, expected, atol=4 * np.sqrt(0.25 / 2000))


@pytest.mark.slow
@pytest.mark.engine
def test_the_posterior_of_scores_is_near_the_fit():
    table = PairCounts.from_arrays(ROCK_PAPER_SCISSORS)
    posterior = sample(start(3, 1), table, key=jax.random.key(0), num_warmup=200, num_samples=200)
    draws = posterior.map(lambda model: model.score_matrix()[0, 1])
    error = np.sqrt(1 / 90 + 1 / 10)
    # The prior draws inwards; Monte Carlo noise is a tenth of an error.
    np.testing.assert_allclose(draws.mean(), np.log(9), atol=error)
    np.testing.assert_allclose(draws.std(), error, rtol=0.3)
