import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

from scorax.choice import BradleyTerry, RaoKupper
from scorax.choice._uncertainty import vote_influence
from scorax.choice._uncertainty._vote_influence import Gap, row_influence
from scorax.inference import AbstractModel, fit, iid_prior

from .conftest import simulated

GAP = Gap.of(0, 3)


def win_probability(model):
    return jax.nn.sigmoid(GAP(model))


def without_one(result, rows, target=GAP):
    """The change of the target in exact refits without one observation of each of the rows."""
    data = result.data
    each = data.weight / jnp.maximum(data.count, 1)
    changes = []
    for row in rows:
        count = data.count.at[row].add(-1)
        refit = fit(result.model, dataclasses.replace(data, weight=each * count, count=count))
        changes.append(float(target(refit.model) - target(result.model)))
    return np.array(changes)


def test_one_step_is_close_to_an_exact_refit(result):
    found = vote_influence(result, target=GAP)
    change, exact = np.asarray(found.change), without_one(result, range(60))
    # The error of one step is of second order: at 60 votes of five items, changes of up to 0.3 err by a few percent.
    assert np.abs(change - exact).max() < 0.06 * np.abs(exact).max()
    # Without the leverage it is several times larger.
    plain = change * (1 - np.asarray(found.leverage))
    assert np.abs(plain - exact).max() > 3 * np.abs(change - exact).max()


def test_leverages_add_up_to_the_number_of_free_strengths(result):
    found = vote_influence(result)
    np.testing.assert_allclose((result.data.count * found.leverage).sum(), 4, rtol=1e-9)


def test_to_first_order_it_is_the_derivative_of_the_fit(tied):
    found = vote_influence(tied, target=GAP)
    slope = -np.asarray(found.change * (1 - found.leverage))
    for row in (0, 7, 23, 41):
        ends = [GAP(fit(tied.model, tied.data.reweight(tied.data.weight.at[row].add(h))).model) for h in (1e-4, -1e-4)]
        np.testing.assert_allclose(slope[row], float(ends[0] - ends[1]) / 2e-4, rtol=1e-6, atol=1e-9)


def test_closed_forms_are_the_general_formula():
    # A model with a parameter of its own, an order effect and features; any covariance will do.
    data = simulated(
        seed=2,
        ties=True,
        order=lambda generator, n: generator.choice([-1.0, 1.0], n),
        features=lambda generator, n: generator.normal(size=(n, 2)),
    )
    generator = np.random.default_rng(0)
    strength, coefficient = (jnp.asarray(generator.normal(size=size)) for size in (5, 2))
    model = RaoKupper(strength, jnp.asarray(0.4), jnp.asarray(0.3), coefficient)
    root = generator.normal(size=(9, 9))
    covariance, direction = jnp.asarray(root @ root.T), jnp.asarray(generator.normal(size=9))
    both = [
        jax.jit(rule)(model, data, covariance, direction)
        for rule in (row_influence, row_influence.dispatch(AbstractModel))
    ]
    for closed, reference in zip(*both, strict=True):
        np.testing.assert_allclose(closed, reference, rtol=1e-8, atol=1e-12)


def test_any_function_of_the_model_can_be_the_target(result):
    gap, win = (vote_influence(result, target=target) for target in (GAP, win_probability))
    p = float(win.value)
    np.testing.assert_allclose(win.change, p * (1 - p) * np.asarray(gap.change), rtol=1e-9)
    np.testing.assert_array_equal(win.leverage, gap.leverage)


def test_rankings_by_the_general_formula(ranked):
    change = np.asarray(vote_influence(ranked, target=GAP).change)[:10]
    exact = without_one(ranked, range(10))
    assert np.abs(change - exact).max() < 0.1 * np.abs(exact).max()


def test_counted_rows_and_tables_have_the_influence_of_a_single_vote(result, battles):
    raw = vote_influence(result, target=GAP)
    counted = battles.aggregate()
    rows = vote_influence(fit(BradleyTerry.init(5), counted), target=GAP)
    cells = vote_influence(fit(BradleyTerry.init(5), battles.table(5)), target=GAP)
    for row in range(counted.a.size):
        a, b, outcome = (int(x[row]) for x in (counted.a, counted.b, counted.outcome))
        same = (battles.a == a) & (battles.b == b) & (battles.outcome == outcome)
        np.testing.assert_allclose(raw.change[same], rows.change[row], rtol=1e-7)
        cell = (0, a, b) if outcome else (0, b, a)
        np.testing.assert_allclose(cells.change[cell], rows.change[row], rtol=1e-7)
    assert (cells.change[np.asarray(battles.table(5).count) == 0] == 0).all()


def test_padding_has_no_influence(result, battles):
    padded = vote_influence(fit(BradleyTerry.init(5), battles.pad(64)), target=GAP)
    np.testing.assert_allclose(padded.change[:60], vote_influence(result, target=GAP).change, rtol=1e-8)
    assert (padded.change[60:] == 0).all()
    assert (padded.leverage[60:] == 0).all()


def test_the_prior_holds_on_to_the_mode(battles, result):
    mode = fit(
        BradleyTerry.init(5), battles, prior=iid_prior(BradleyTerry.init(5), {"strength": dist.Normal(0.0, 0.3)})
    )
    found = vote_influence(mode, target=GAP)
    towards = np.asarray(mode.covariance)[0] - np.asarray(mode.covariance)[3]
    strength, a, b = (np.asarray(x) for x in (mode.model.strength, battles.a, battles.b))
    residual = np.asarray(battles.outcome) - 1 / (1 + np.exp(strength[b] - strength[a]))
    np.testing.assert_allclose(
        found.change * (1 - found.leverage), -(towards[a] - towards[b]) * residual, rtol=1e-9, atol=1e-12
    )
    assert found.leverage.sum() < 0.8 * vote_influence(result, target=GAP).leverage.sum()


def test_a_robust_fit_has_the_same_influence(result):
    np.testing.assert_array_equal(vote_influence(result.robust()).change, vote_influence(result).change)


def test_single_precision_agrees(result, battles):
    with jax.enable_x64(False):
        single = jax.tree.map(lambda x: x.astype(jnp.float32) if x.dtype == jnp.float64 else x, battles)
        found = vote_influence(fit(BradleyTerry.init(5), single), target=GAP)
        assert found.change.dtype == jnp.float32
    np.testing.assert_allclose(found.change, vote_influence(result, target=GAP).change, rtol=1e-3)


def test_the_default_is_the_lead_of_the_leader(result):
    first, second = np.argsort(-np.asarray(result.model.strength))[:2]
    expected = vote_influence(result, target=Gap.of(int(first), int(second)))
    found = vote_influence(result)
    np.testing.assert_array_equal(found.change, expected.change)
    assert found.value > 0


def test_strongest_votes_come_first_and_hold_the_target_up(result):
    found = vote_influence(result)
    (rows,) = found.strongest(5)
    np.testing.assert_array_equal(found.change[rows], np.sort(found.change)[:5])
    cells = vote_influence(fit(BradleyTerry.init(5), result.data.table(5))).strongest(3)
    assert len(cells) == 3
    assert all(len(place) == 3 for place in cells)
    (all_of_them,) = found.strongest(60)
    assert (found.change[all_of_them] < 0).all()


def test_a_vote_that_says_nothing_new_moves_nothing():
    # Equal strengths and half wins: residuals are exactly zero.
    level = simulated(seed=0)
    level = dataclasses.replace(level, outcome=jnp.full_like(level.outcome, 0.5))
    found = vote_influence(fit(BradleyTerry.init(5), level))
    np.testing.assert_allclose(found.change, 0, atol=1e-12)
    assert jnp.isfinite(found.leverage).all()


def test_a_failed_fit_has_no_influence(battles):
    won = dataclasses.replace(battles, outcome=(battles.a < battles.b).astype(battles.outcome.dtype))
    failed = fit(BradleyTerry.init(5), won, throw=False)
    assert jnp.isnan(vote_influence(failed, target=GAP).change).all()
