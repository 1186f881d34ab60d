"""Estimators from comparisons and rankings: each other, other packages, and what must not matter."""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize
from scipy.special import expit

from scorax.choice import BradleyTerry, PlackettLuce
from scorax.choice._estimators import ilsr, lsr, mm, newman, rank_centrality
from scorax.choice._estimators._stages import half_wins, stage_rates, stage_sums, stages_won
from scorax.data import Comparisons, PairCounts, Rankings
from scorax.inference import fit, log_likelihood

FOLDER = pathlib.Path(__file__).parents[2] / "oracles" / "choice"
CLIMBERS = pytest.mark.parametrize("climb", [mm, newman, ilsr], ids=lambda f: f.__name__)


def oracle(name):
    return json.loads((FOLDER / f"{name}.json").read_text())["cases"]


def cases(name):
    """The first of the cases always, the larger ones where there is time."""
    first, *others = oracle(name)
    marked = [first, *(pytest.param(case, marks=pytest.mark.slow) for case in others)]
    return pytest.mark.parametrize("case", marked, ids=lambda case: f"{case['n']} items")


def pairs_of(case):
    pairs = np.array(case["winner_loser"])
    return Comparisons.from_arrays(pairs[:, 0], pairs[:, 1], np.ones(len(pairs))).table(case["n"])


def some_counts(k=6, seed=0, ties=True):
    rng = np.random.default_rng(seed)
    wins = rng.poisson(2, (k, k)) + 1.0
    np.fill_diagonal(wins, 0)
    return PairCounts.from_arrays(wins, np.triu(rng.poisson(1.5, (k, k)), 1) if ties else None)


def some_rankings(n=40, k=6, seed=0, unlisted="absent"):
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(k)[: rng.integers(1, 5)].tolist() for _ in range(n)]
    return Rankings.from_orders(orders, n_items=k, unlisted=unlisted, weight=rng.uniform(0.5, 2, n))


DATA = {
    "pairs": some_counts,
    "rankings": some_rankings,
    "tops": lambda seed=0: some_rankings(seed=seed, unlisted="last"),
}
EVERY = pytest.mark.parametrize("make", DATA.values(), ids=DATA)


@cases("bt_choix")
def test_pairs_as_choix(case, x64):
    counts = pairs_of(case)
    for climb in (mm, newman, ilsr):
        # choix stops its own iteration at 1e-8.
        np.testing.assert_allclose(climb(counts).strength, case["ml"], atol=1e-7)
    np.testing.assert_allclose(ilsr(counts, alpha=0.2).strength, case["ilsr_alpha0.2"], atol=1e-7)
    np.testing.assert_allclose(mm(counts, alpha=0.3).strength, case["mm_gamma_alpha0.3"], atol=1e-7)
    np.testing.assert_allclose(lsr(counts), case["lsr"], atol=1e-10)
    np.testing.assert_allclose(lsr(counts, alpha=0.5), case["lsr_alpha0.5"], atol=1e-10)
    np.testing.assert_allclose(rank_centrality(counts), case["rank_centrality"], atol=1e-10)


@cases("pl_choix")
def test_rankings_as_choix(case, x64):
    n = case["n"]
    rankings = Rankings.from_orders(case["rankings"], n_items=n)
    for climb in (mm, newman, ilsr):
        np.testing.assert_allclose(climb(rankings, n_items=n).strength, case["ml"], atol=1e-7)
    np.testing.assert_allclose(mm(rankings, alpha=0.2, n_items=n).strength, case["mm_alpha0_2"], atol=1e-7)
    np.testing.assert_allclose(lsr(rankings, n_items=n), case["lsr"], atol=1e-10)


@cases("pl_choix")
def test_single_choices_as_choix(case, x64):
    rest = np.zeros((len(case["rankings"]), case["n"]), bool)
    for row, ranking in zip(rest, case["rankings"], strict=True):
        row[ranking[1:]] = True
    choices = Rankings.from_arrays(np.array([ranking[:1] for ranking in case["rankings"]]), rest=rest)
    np.testing.assert_allclose(mm(choices, alpha=0.2).strength, case["top1_mm_alpha0_2"], atol=1e-7)
    np.testing.assert_allclose(lsr(choices, alpha=0.1), case["top1_lsr_alpha0_1"], atol=1e-10)


@pytest.mark.parametrize("case", oracle("evalica"), ids=["plain", "weighted"])
def test_ties_as_evalica(case, x64):
    counts = Comparisons.from_arrays(case["a"], case["b"], np.asarray(case["outcome"]), weight=case["weights"]).table(
        case["n"]
    )
    # evalica stops at a change of 1e-6.
    worth = np.exp(newman(counts).strength)
    np.testing.assert_allclose(worth, case["bradley_terry"], rtol=1e-5)
    tied = newman(counts, ties="davidson")
    scores = np.asarray(case["newman"]["scores"])
    np.testing.assert_allclose(np.exp(tied.strength), scores / np.exp(np.log(scores).mean()), rtol=1e-5)
    np.testing.assert_allclose(np.exp(tied.log_tie) / 2, case["newman"]["nu"], rtol=1e-5)


def test_pairs_as_newton(x64):
    counts = some_counts()
    reference = fit(BradleyTerry.init(6), counts).model.strength
    for climb in (mm, newman, ilsr):
        result = climb(counts)
        assert result.converged
        np.testing.assert_allclose(result.strength, reference, atol=1e-7)
        np.testing.assert_allclose(result.strength.sum(), 0, atol=1e-14)


@pytest.mark.slow
def test_rankings_as_newton(x64):
    rankings = some_rankings(unlisted="last")
    reference = fit(PlackettLuce.init(6), rankings).model.strength
    for climb in (mm, newman, ilsr):
        np.testing.assert_allclose(climb(rankings, n_items=6).strength, reference, atol=1e-7)


@pytest.mark.parametrize("make", [DATA["pairs"], DATA["tops"]], ids=["pairs", "tops"])
def test_in_single_precision(make):
    single = newman(make()).strength, lsr(make())
    with jax.enable_x64(True):
        double = newman(make()).strength, lsr(make())
    for x, y in zip(single, double, strict=True):
        assert x.dtype == jnp.float32
        # The square root of single precision.
        np.testing.assert_allclose(x, y, atol=3.5e-4)


def test_davidson_without_a_tie_is_bradley_terry(x64):
    counts = some_counts(ties=False)
    result = newman(counts, ties="davidson")
    assert result.log_tie == -np.inf
    np.testing.assert_allclose(result.strength, newman(counts).strength, atol=1e-7)


@EVERY
def test_stage_sums_are_the_gradient(make, x64):
    data = make()
    strength = jnp.asarray(np.random.default_rng(3).normal(size=6))
    model = BradleyTerry if isinstance(data, PairCounts) else PlackettLuce
    gradient = jax.jit(jax.grad(lambda s: log_likelihood(model(s), data)))(strength)
    worth = jnp.exp(strength)
    sums, rates, won = jax.jit(lambda w: (stage_sums(data, w), stage_rates(data, w), stages_won(data, 6)))(worth)
    np.testing.assert_allclose(sums.gained - worth * sums.missed, gradient, atol=1e-10)
    np.testing.assert_allclose(won - worth * (sums.shared + sums.missed), gradient, atol=1e-10)
    flow = worth[:, None] * rates
    np.testing.assert_allclose(flow.sum(0) - flow.sum(1), gradient, atol=1e-10)
    np.testing.assert_allclose(rates.sum(1), sums.missed, rtol=1e-12)


def test_gamma_prior_is_the_posterior_mode(x64):
    counts, alpha = some_counts(), 0.7
    strength = mm(counts, alpha=alpha).strength
    # Off by a constant, which the prior fixes at a mean worth of 1.
    strength = strength - jax.nn.logsumexp(strength) + np.log(6)
    objective = jax.grad(lambda s: log_likelihood(BradleyTerry(s), counts) + alpha * (s - jnp.exp(s)).sum())
    slope = jax.jit(objective)(strength)
    np.testing.assert_allclose(slope, 0, atol=1e-6)


def test_a_ghost_is_an_item_of_strength_zero(x64):
    counts = some_counts()
    alone = newman(counts, prior_wins=0.5).strength
    slope = jax.jit(
        jax.grad(lambda s: log_likelihood(BradleyTerry(s), counts) + 0.5 * (s - 2 * jax.nn.softplus(s)).sum())
    )
    # The level is the one at which the ghost wins half its games.
    level = optimize.brentq(lambda c: float(slope(alone + c).sum()), -3, 3, xtol=1e-12)
    np.testing.assert_allclose(slope(alone + level), 0, atol=1e-6)
    separated = PairCounts.from_arrays([[0, 3], [0, 0]])
    won, tied = newman(separated, prior_wins=1.0), newman(separated, prior_wins=1.0, ties="davidson")
    assert won.strength[0] > won.strength[1]
    np.testing.assert_allclose(won.strength, tied.strength, atol=1e-7)


@EVERY
def test_minorising_never_loses(make, x64):
    data = make()
    model = BradleyTerry if isinstance(data, PairCounts) else PlackettLuce
    value = jax.jit(lambda strength: log_likelihood(model(strength), data))
    # A tolerance that is met at once gives the iterate itself.
    iterates = [mm(data, n_items=6, max_steps=steps, tol=1e9).strength for steps in (2, 3, 4, 8, 16)]
    assert np.diff([float(value(strength)) for strength in iterates]).min() >= -1e-9


@pytest.mark.parametrize("make", [DATA["pairs"], DATA["tops"]], ids=["pairs", "tops"])
def test_one_pass_is_the_first_step(make, x64):
    data = make()
    first = ilsr(data, n_items=6, max_steps=1, tol=1e9, throw=False)
    assert not first.converged
    assert np.isnan(first.strength).all()
    second = ilsr(data, n_items=6, max_steps=2, tol=1e9)
    start = np.asarray(lsr(data, n_items=6))
    # The second step starts from the one pass: its chain, by the null space of its generator.
    rates = np.array(jax.jit(stage_rates)(data, jnp.exp(start)))
    np.fill_diagonal(rates, 0)
    stationary = np.linalg.svd((rates - np.diag(rates.sum(1))).T)[2][-1]
    expected = np.log(stationary / stationary[0])
    np.testing.assert_allclose(second.strength, expected - expected.mean(), atol=1e-9)


def test_where_simultaneous_moves_swing(x64):
    # Taken alone, simultaneous moves of two items, or of two groups that only meet each other, never settle.
    two = newman(PairCounts.from_arrays([[0, 3], [1, 0]]))
    np.testing.assert_allclose(two.strength, [np.log(3) / 2, -np.log(3) / 2], atol=1e-8)
    wins = np.zeros((6, 6))
    wins[:3, 3:], wins[3:, :3] = np.random.default_rng(0).integers(1, 6, (2, 3, 3))
    result = newman(PairCounts.from_arrays(wins))
    assert result.steps < 30
    met, p = wins + wins.T, expit(np.subtract.outer(result.strength, result.strength))
    np.testing.assert_allclose((wins - met * p).sum(1), 0, atol=1e-6)


def test_a_slow_iteration_is_not_taken_for_a_finished_one(x64):
    k = 30
    wins = np.diag(np.full(k - 1, 3.0), 1) + np.diag(np.full(k - 1, 2.0), -1)
    chain = PairCounts.from_arrays(wins)
    expected = np.log(1.5) * (k - 1 - 2 * np.arange(k)) / 2
    for climb in (mm, newman):
        result = climb(chain, max_steps=20_000)
        # The tolerance, and as much again for the estimate of what is left to go.
        np.testing.assert_allclose(result.strength, expected, atol=3e-8)
    with pytest.raises(ValueError, match="stopped after 100 steps before the strengths settled"):
        mm(chain, max_steps=100)


@EVERY
@CLIMBERS
def test_permuted_items(climb, make, x64):
    data = make()
    order = np.array([3, 0, 5, 1, 4, 2])
    place = jnp.asarray(np.argsort(order))
    if isinstance(data, PairCounts):
        full = half_wins(data)
        moved = PairCounts.from_arrays(full[order][:, order])
    else:
        rest = None if data.rest is None else data.rest[:, order]
        moved = Rankings(place[data.order].astype(jnp.int32), data.where, data.weight, data.count, rest)
    straight, turned = (climb(x, n_items=6).strength for x in (data, moved))
    np.testing.assert_allclose(turned, straight[order], atol=1e-7)


def test_weight_zero_is_removal_and_equal_rows_are_a_weight(x64):
    rankings = some_rankings()
    kept = np.arange(40) % 4 != 0
    blank = rankings.reweight(np.asarray(rankings.weight) * kept)
    np.testing.assert_allclose(lsr(blank, n_items=6), lsr(rankings.take(kept), n_items=6), atol=1e-12)
    np.testing.assert_allclose(lsr(rankings.pad(50), n_items=6), lsr(rankings, n_items=6), atol=1e-12)
    for estimate in (newman, mm):
        thrice = estimate(rankings.reweight(3 * rankings.weight), n_items=6)
        np.testing.assert_allclose(thrice.strength, estimate(rankings, n_items=6).strength, atol=1e-7)


def test_rankings_of_two_are_pairs(x64):
    rng = np.random.default_rng(5)
    pairs = np.array([rng.permutation(6)[:2] for _ in range(200)])
    rankings = Rankings.from_orders(pairs.tolist(), n_items=6)
    counts = Comparisons.from_arrays(pairs[:, 0], pairs[:, 1], np.ones(200)).table(6)
    np.testing.assert_allclose(lsr(rankings, n_items=6), lsr(counts), atol=1e-12)
    np.testing.assert_allclose(newman(rankings, n_items=6).strength, newman(counts).strength, atol=1e-8)


def test_a_complete_design_orders_by_wins(x64):
    wins = np.triu(np.random.default_rng(1).integers(1, 10, (6, 6)), 1)
    counts = PairCounts.from_arrays(wins + np.tril(10 - wins.T, -1))
    totals = half_wins(counts).sum(1)
    assert len(set(totals.tolist())) == 6
    for climb in (mm, newman, ilsr):
        np.testing.assert_array_equal(np.argsort(climb(counts).strength), np.argsort(totals))


def test_compiled_batched_and_differentiated(x64):
    counts = some_counts()
    weights = counts.weight[None] * jnp.asarray([1.0, 0.5, 2.0])[:, None, None, None]
    weights = weights.at[1, 0, 0, 1].add(4.0)
    for estimate in (lambda w: newman(counts.reweight(w)).strength, lambda w: lsr(counts.reweight(w))):
        together = jax.jit(jax.vmap(estimate))(weights)
        np.testing.assert_allclose(together[1], estimate(weights[1]), atol=1e-8)
    for solve in (lsr, rank_centrality):

        def top(w, solve=solve):
            return solve(counts.reweight(w))[0]

        slope = jax.jit(jax.grad(top))(counts.weight)
        step = 1e-5
        bumped = [top(counts.weight.at[0, 2, 1].add(h)) for h in (step, -step)]
        np.testing.assert_allclose(slope[0, 2, 1], (bumped[0] - bumped[1]) / (2 * step), rtol=1e-6)


def test_rank_centrality_counts_every_pair_once(x64):
    wins = np.array([[0, 3, 2], [1, 0, 2], [2, 4, 0]], float)
    often = wins * np.array([[0, 7, 1], [7, 0, 1], [1, 1, 0]])
    np.testing.assert_allclose(
        rank_centrality(PairCounts.from_arrays(often)), rank_centrality(PairCounts.from_arrays(wins)), atol=1e-12
    )
    assert jnp.isfinite(rank_centrality(PairCounts.from_arrays([[0, 1, 0], [0, 0, 1], [0, 0, 0]]), alpha=0.1)).all()


SEPARATED = PairCounts.from_arrays([[0, 3, 1, 0], [0, 0, 2, 1], [0, 1, 0, 1], [0, 1, 1, 0]])
APART = PairCounts.from_arrays([[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 2], [0, 0, 1, 0]])


@pytest.mark.parametrize("estimate", [mm, newman, ilsr, lsr, rank_centrality], ids=lambda f: f.__name__)
def test_data_that_determine_nothing_are_refused(estimate):
    with pytest.raises(ValueError, match="'item 0' won all of its 4 comparisons"):
        estimate(SEPARATED)
    with pytest.raises(ValueError, match="2 groups that never met"):
        estimate(APART)
    result = estimate(SEPARATED, throw=False)
    assert jnp.isnan(getattr(result, "strength", result)).all()


def test_rankings_that_determine_nothing_are_refused(x64):
    rankings = Rankings.from_orders([[0, 1, 2], [0, 2, 1]], n_items=4)
    with pytest.raises(ValueError, match="'item 0' won all"):
        newman(rankings, n_items=4)
    circle = Rankings.from_orders([[0, 1, 2], [2, 1, 0]])
    with pytest.raises(ValueError, match="'item 3' was never compared"):
        newman(circle, n_items=4)


def test_settings_are_checked():
    counts = some_counts()
    for estimate in (mm, ilsr, lsr, rank_centrality):
        with pytest.raises(ValueError, match="alpha must be at least 0"):
            estimate(counts, alpha=-1)
    with pytest.raises(ValueError, match="prior_wins must be at least 0"):
        newman(counts, prior_wins=-1)
    with pytest.raises(ValueError, match="ties must be 'half' or 'davidson'"):
        newman(counts, ties="full")
    with pytest.raises(ValueError, match="rankings hold no ties"):
        newman(some_rankings(), ties="davidson")
    with pytest.raises(ValueError, match="the data are of 6 items, n_items is 5"):
        mm(counts, n_items=5)


def test_a_second_call_compiles_nothing(x64):
    counts = some_counts()
    newman(counts, prior_wins=0.5)
    ilsr(counts, alpha=0.1)
    with jax.log_compiles(), pytest.MonkeyPatch.context() as patch:
        compiled = []
        patch.setattr("logging.Logger.warning", lambda self, message, *rest, **_: compiled.append(message % rest))
        newman(some_counts(seed=9), prior_wins=0.7, max_steps=99)
        ilsr(some_counts(seed=9), alpha=0.2)
    assert not [line for line in compiled if "_newman" in line or "_ilsr" in line]
