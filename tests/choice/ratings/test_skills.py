import dataclasses
import functools

import chex
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from scorax.choice import SkillState, TrueSkill, WengLin
from scorax.choice._ratings._performances import Result, posterior_performances
from scorax.choice._ratings._truncated import correction
from scorax.data import Comparisons, Matches
from tests.inference.compilations import compilations

SYSTEMS = {"trueskill": TrueSkill(), "plackett_luce": WengLin()}
EVERY = pytest.mark.parametrize("system", SYSTEMS.values(), ids=SYSTEMS)
K, N = 7, 30


def tournament(seed=0, **columns):
    """Matches of two or three teams of one or two players."""
    generator = np.random.default_rng(seed)
    lists, ranks = [], []
    for _ in range(N):
        order = generator.permutation(K).tolist()
        sizes = generator.integers(1, 3, generator.integers(2, 4))
        lists.append([[order.pop() for _ in range(size)] for size in sizes])
        ranks.append(generator.integers(0, 3, len(sizes)).tolist())
    lists[0], ranks[0] = [[0, 1], [2, 3], [4]], [1, 0, 2]
    return Matches.from_lists(lists, ranks, **columns)


def battles(seed=0, **columns):
    generator = np.random.default_rng(seed)
    a = generator.integers(K, size=N)
    b = (a + generator.integers(1, K, size=N)) % K
    return Comparisons.from_arrays(a, b, generator.choice([0.0, 0.5, 1.0], N), **columns)


def start(seed=0):
    generator = np.random.default_rng(seed)
    return SkillState(jnp.asarray(generator.normal(25, 6, K)), jnp.asarray(generator.uniform(1, 8, K)))


corrected = jax.jit(correction)


def moments(t, margin, drawn):
    return map(float, corrected(jnp.asarray(t), jnp.asarray(margin), jnp.asarray(drawn)))


def two_players(state, a, b, outcome, system):
    """TrueSkill of two players as it is printed in the literature."""
    mu, sigma = np.array(state.mu), np.array(state.sigma)
    variance = sigma[[a, b]] ** 2 + float(system.tau) ** 2
    beta = float(system.beta)
    c = np.sqrt(2 * beta**2 + variance.sum())
    margin = scipy.stats.norm.ppf((float(system.draw_probability) + 1) / 2) * np.sqrt(2) * beta / c
    side = 1 if outcome >= 0.5 else -1
    v, w = moments(side * (mu[a] - mu[b]) / c, margin, outcome == 0.5)
    mu[[a, b]] += np.array([side, -side]) * variance / c * v
    sigma[[a, b]] = np.sqrt(variance * (1 - variance / c**2 * w))
    return SkillState(jnp.asarray(mu), jnp.asarray(sigma))


def test_trueskill_of_two_players_in_closed_form(x64):
    system, data, expected = TrueSkill(), battles(), start()
    rows = zip(*(np.asarray(x).tolist() for x in (data.a, data.b, data.outcome)), strict=True)
    for a, b, outcome in rows:
        expected = two_players(expected, a, b, outcome, system)
    chex.assert_trees_all_close(system.trace(data, start())[0], expected, rtol=1e-10)


def dense_propagation(mean, variance, rank, system, sweeps=200):
    """The same sites on the joint Gaussian of all teams: matrices instead of messages along the chain."""
    t = len(mean)
    order = np.argsort(rank, kind="stable")
    tau, nu = np.zeros(t - 1), np.zeros(t - 1)
    contrast = np.eye(t)[order][:-1] - np.eye(t)[order][1:]
    margin = scipy.stats.norm.ppf((float(system.draw_probability) + 1) / 2) * np.sqrt(2) * float(system.beta)
    for _ in range(sweeps):
        for r, e in enumerate(contrast):
            covariance = np.linalg.inv(np.diag(1 / variance) + contrast.T @ np.diag(tau) @ contrast)
            centre = covariance @ (mean / variance + contrast.T @ nu)
            v, m = e @ covariance @ e, e @ centre
            cavity = 1 / (1 / v - tau[r])
            shift = cavity * (m / v - nu[r])
            drawn = rank[order[r]] == rank[order[r + 1]]
            gain, loss = moments(shift / np.sqrt(cavity), margin / np.sqrt(cavity), drawn)
            tilted, kept = shift + np.sqrt(cavity) * gain, cavity * (1 - loss)
            tau[r], nu[r] = 1 / kept - 1 / cavity, tilted / kept - shift / cavity
    covariance = np.linalg.inv(np.diag(1 / variance) + contrast.T @ np.diag(tau) @ contrast)
    return covariance @ (mean / variance + contrast.T @ nu), np.diag(covariance)


def test_trueskill_of_many_teams_is_expectation_propagation(x64):
    system, before = TrueSkill(), start()
    rank = np.array([3, 1, 1, 0, 2, 5, 5])
    after = system.rate(Matches.from_arrays(np.arange(K)[None], rank[None]), before)
    skill = np.asarray(before.sigma) ** 2 + float(system.tau) ** 2
    spread = skill + float(system.beta) ** 2
    mean, variance = dense_propagation(np.asarray(before.mu), spread, rank, system, sweeps=30)
    np.testing.assert_allclose(after.mu, before.mu + skill / spread * (mean - before.mu), rtol=1e-9)
    expected = skill - skill**2 / spread * (1 - variance / spread)
    np.testing.assert_allclose(after.sigma**2, expected, rtol=1e-9)


def neighbours(mean, variance, rank, system):
    """Weng and Lin's partial Bradley-Terry in plain loops, single players."""
    order = np.argsort(rank, kind="stable")
    new_mean, new_variance = mean.copy(), variance.copy()
    for i, one in enumerate(order):
        gain = loss = number = 0
        for q, other in enumerate(order):
            if q == i or abs(q - i) > 4:
                continue
            c = np.sqrt(variance[one] + variance[other] + 2 * float(system.beta) ** 2)
            p = 1 / (1 + np.exp((mean[other] - mean[one]) / c))
            y = 1.0 if rank[one] < rank[other] else 0.5 if rank[one] == rank[other] else 0.0
            gain += variance[one] / c * (y - p)
            loss += np.sqrt(variance[one]) / c * variance[one] / c**2 * p * (1 - p)
            number += 1
        new_mean[one] += gain / number
        new_variance[one] *= max(1 - loss / number, float(system.kappa))
    return new_mean, np.sqrt(new_variance)


def test_partial_pairings_reach_four_places(x64):
    system, before, rank = WengLin(model="bradley_terry_part"), start(), np.array([6, 1, 2, 2, 3, 5, 4])
    after = system.rate(Matches.from_arrays(np.arange(K)[None], rank[None]), before)
    variance = np.asarray(before.sigma) ** 2 + float(system.tau) ** 2
    mean, sigma = neighbours(np.asarray(before.mu), variance, rank, system)
    np.testing.assert_allclose(after.mu, mean, rtol=1e-12)
    np.testing.assert_allclose(after.sigma, sigma, rtol=1e-12)


def test_weng_lin_is_a_gradient_step(x64):
    system, before = WengLin(model="bradley_terry_full", tau=0.0), start()
    after = system.rate(Comparisons.from_arrays([2], [5], [1.0]), before)
    c = jnp.sqrt(before.sigma[2] ** 2 + before.sigma[5] ** 2 + 2 * system.beta**2)
    gradient = jax.grad(lambda mu: jax.nn.log_sigmoid((mu[2] - mu[5]) / c))(before.mu)
    np.testing.assert_allclose(after.mu - before.mu, before.sigma**2 * gradient, atol=1e-12)


@EVERY
def test_comparisons_are_matches_of_two(system, x64):
    state, expected = system.trace(battles(), start())
    other, share = system.trace(Matches.from_comparisons(battles()), start())
    chex.assert_trees_all_equal(state, other)
    assert expected.shape == (N,)
    np.testing.assert_array_equal(expected, share[:, 0])
    np.testing.assert_allclose(share.sum(1), 1.0, rtol=1e-6)


@EVERY
def test_rate_is_one_update_after_the_other(system, x64):
    data, state = tournament(), start()
    final, share = system.trace(data, state)
    for row in range(N):
        state = system.update(state, data.take(row))
    chex.assert_trees_all_close(state, final, rtol=1e-11)
    teams = np.asarray(data.where).any(2).sum(1)
    np.testing.assert_allclose(share.sum(1), teams / 2, rtol=1e-12)


@EVERY
def test_teams_and_players_may_stand_in_any_order(system, x64):
    data = tournament()
    # Draws are resolved along the chain of teams, so TrueSkill of three tied teams depends on how they stand.
    data = dataclasses.replace(data, rank=jnp.where(data.rank > 0, jnp.arange(1, 4)[None, :], 0))
    turned = Matches(
        members=data.members[:, ::-1, ::-1],
        where=data.where[:, ::-1, ::-1],
        rank=data.rank[:, ::-1],
        weight=data.weight,
        count=data.count,
    )
    (state, share), (other, turned_share) = system.trace(data, start()), system.trace(turned, start())
    chex.assert_trees_all_close(other, state, rtol=1e-10)
    np.testing.assert_allclose(turned_share[:, ::-1], share, rtol=1e-10, atol=1e-12)


def widened(data, n_teams, n_players, stranger):
    """The same matches with places that nobody fills, and rows of padding."""
    more = ((0, 0), (0, n_teams), (0, n_players))
    return dataclasses.replace(
        data,
        members=jnp.pad(data.members, more, constant_values=stranger),
        where=jnp.pad(data.where, more),
        rank=jnp.pad(data.rank, more[:2]),
    ).pad(len(data.weight) + 4)


@EVERY
def test_what_is_not_there_changes_nothing(system, x64):
    # Places that nobody fills point to one more player, of whom nothing is known.
    longer = jax.tree.map(lambda x: jnp.append(x, jnp.nan), start())
    after, share = system.trace(widened(tournament(), 2, 1, K), longer)
    plain, plain_share = system.trace(tournament(), start())
    chex.assert_trees_all_close(jax.tree.map(lambda x: x[:K], after), plain, rtol=1e-10)
    np.testing.assert_allclose(share[:N, :3], plain_share, rtol=1e-10)


def test_the_derivative_along_the_chain_of_teams(x64):
    # Four places, in the last of which there is no team.
    mean, variance = jnp.asarray([26.0, 31.0, 24.0, 0.0]), jnp.asarray([20.0, 70.0, 40.0, 1.0])
    result = Result(jnp.asarray([False, True, True]), jnp.ones(3), jnp.asarray([True, True, False]))

    def second(mean, variance):
        return posterior_performances(mean, variance, result, 8)[0][1]

    value_and_grad = jax.jit(jax.value_and_grad(second, (0, 1)))
    _, slopes = value_and_grad(mean, variance)
    for argument, slope in enumerate(slopes):
        for place in range(4):
            h = jnp.zeros(4).at[place].set(1e-4)
            ends = [
                value_and_grad(*((mean, variance + s * h) if argument else (mean + s * h, variance))) for s in (-1, 1)
            ]
            np.testing.assert_allclose(slope[place], (ends[1][0] - ends[0][0]) / 2e-4, rtol=1e-6, atol=1e-10)
        assert slope[3] == 0


@EVERY
def test_single_precision_is_close_to_double(system):
    single, share = system.trace(tournament(), start())
    assert single.mu.dtype == share.dtype == jnp.float32
    with jax.enable_x64(True):
        double, _ = system.trace(tournament(), start())
    for x, y in zip(jax.tree.leaves(single), jax.tree.leaves(double), strict=True):
        np.testing.assert_allclose(x, y, rtol=2e-4)


def test_weights_of_weng_lin_multiply_the_step(x64):
    before, match = start(), tournament().take(np.arange(1))
    system = WengLin(tau=0.0)
    once, thrice = (system.rate(match.reweight(np.array([w])), before) for w in (1.0, 3.0))
    np.testing.assert_allclose(thrice.mu - before.mu, 3 * (once.mu - before.mu), atol=1e-12)


@eqx.filter_jit
@functools.partial(jax.value_and_grad, has_aux=True)
def scored(pair, data, outcome):
    """Mean squared error of the forecasts."""
    system, state = pair
    after, share = system.play(state, data)
    return ((outcome - share[:N, 0]) ** 2).mean(), after


def error_and_grad(system, state):
    """Of duels with places that nobody fills: they point to one more player, of whom nothing is known."""
    longer = jax.tree.map(lambda x: jnp.append(x, jnp.nan), state)
    duels = widened(Matches.from_comparisons(battles()), 0, 1, K)
    (value, after), gradient = scored((system, longer), duels, battles().outcome)
    return value, jax.tree.map(lambda x: x[:K], after), gradient


@pytest.mark.parametrize(
    ("make", "names"),
    [
        pytest.param(TrueSkill, ("sigma", "beta", "tau", "draw_probability"), marks=pytest.mark.slow),
        (WengLin, ("sigma", "beta", "tau")),
    ],
    ids=["trueskill", "plackett_luce"],
)
def test_gradients_are_those_of_finite_differences(make, names, x64):
    value, _, (of_system, of_state) = error_and_grad(make(), start())
    _, p = make().trace(battles(), start())
    np.testing.assert_allclose(value, ((battles().outcome - p) ** 2).mean(), rtol=1e-12)
    h = 1e-4
    for name in names:
        at = float(getattr(make(), name))
        low, high = (error_and_grad(make(**{name: at + s * h}), start())[0] for s in (-1, 1))
        np.testing.assert_allclose(getattr(of_system, name), (high - low) / (2 * h), rtol=1e-5, atol=1e-10)
    for name in ("mu", "sigma"):
        column = np.asarray(getattr(start(), name))
        nudged = [dataclasses.replace(start(), **{name: jnp.asarray(column + s * h * np.eye(K)[2])}) for s in (-1, 1)]
        low, high = (error_and_grad(make(), state)[0] for state in nudged)
        np.testing.assert_allclose(getattr(of_state, name)[2], (high - low) / (2 * h), rtol=1e-5)
        assert getattr(of_state, name)[K] == 0
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves((of_system, of_state)))


@pytest.mark.parametrize("make", [TrueSkill, WengLin], ids=["trueskill", "plackett_luce"])
def test_skills_far_apart_overflow_nothing(make, x64):
    state = SkillState(jnp.asarray([1e4, -1e4, 0.0, 0.0, 1e3, 30.0, -70.0]), start().sigma)
    value, after, gradient = error_and_grad(make(), state)
    assert (after.sigma > 0).all()
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves((value, after, gradient)))


def test_many_hyperparameters_at_once(x64):
    system = WengLin()
    data, beta = battles(), jnp.asarray([2.0, 4.0, 8.0])

    def rate(beta):
        return dataclasses.replace(system, beta=beta).play(start(), data)[0]

    one = jax.jit(rate)
    expected = jax.tree.map(lambda *leaves: jnp.stack(leaves), *map(one, beta))
    chex.assert_trees_all_close(jax.jit(jax.vmap(rate))(beta), expected, rtol=1e-10)


@EVERY
def test_a_second_call_of_equal_shapes_compiles_nothing(system, x64):
    first, second, before = battles(), battles(1), start()
    other = dataclasses.replace(system, beta=2 * system.beta)
    jax.block_until_ready((system.trace(first, before), Matches.from_comparisons(second)))
    with compilations() as count:
        jax.block_until_ready(other.trace(second, before))
    assert count[0] == 0


def test_quality():
    system = TrueSkill()
    game = Matches.from_lists([[[0], [1]], [[0, 1], [2, 3]], [[0], [1], [2]]])
    certain = SkillState(jnp.full(4, 25.0), jnp.zeros(4))
    np.testing.assert_allclose(system.quality(certain, game), 1.0, rtol=1e-5)
    uneven = system.quality(SkillState(jnp.asarray([25.0, 60.0, 25.0, 60.0]), jnp.full(4, 5.0)), game)
    assert (uneven[0] < 0.01) & (uneven[1] > 0.3)
    duel = system.quality(SkillState(jnp.asarray([20.0, 60.0]), jnp.asarray([5.0, 2.0])), battles_of_two())
    beta = 2 * (25 / 6) ** 2
    np.testing.assert_allclose(duel[0], np.sqrt(beta / (beta + 29)) * np.exp(-(40**2) / (2 * (beta + 29))), rtol=1e-4)


def battles_of_two():
    return Comparisons.from_arrays([0], [1], [0.5])


def test_ordinal_and_win_probability(x64):
    system, state = TrueSkill(), start()
    np.testing.assert_allclose(state.ordinal(2.0), state.mu - 2 * state.sigma)
    p = system.win_probability(state, jnp.array([0, 1]), jnp.array([1, 0]))
    np.testing.assert_allclose(p.sum(), 1.0)
    spread = np.sqrt(float(state.sigma[0]) ** 2 + float(state.sigma[1]) ** 2 + 2 * (25 / 6) ** 2)
    np.testing.assert_allclose(p[0], scipy.stats.norm.cdf(float(state.mu[0] - state.mu[1]) / spread))


def test_bad_calls():
    with pytest.raises(ValueError, match=r"outcome is not 0, 1/2 or 1 in 1 row \(row 0\). A match is won, lost or"):
        TrueSkill().rate(Comparisons.from_arrays([0], [1], [0.3]))
    with pytest.raises(ValueError, match=r"weight is neither 0 nor 1 in 1 row .* TrueSkill knows no weights"):
        TrueSkill().rate(battles(weight=np.r_[2.0, np.ones(N - 1)]))
    with pytest.raises(ValueError, match=r"model must be one of 'bradley_terry_full', .* not 'elo'"):
        WengLin(model="elo")
    with pytest.raises(ValueError, match="WengLin goes through rows in their order, but time runs backwards"):
        WengLin().rate(tournament(time=-np.arange(N)))
    with pytest.raises(ValueError, match="a row stands for several matches"):
        WengLin().rate(tournament(count=np.full(N, 2)))
    with pytest.raises(ValueError, match="update takes one row"):
        WengLin().update(start(), tournament())
    with pytest.raises(ValueError, match="the largest id in the data is 6, but the state is of 3 items"):
        WengLin().rate(tournament(), WengLin().init(3))
    with pytest.raises(TypeError, match="TrueSkill rates Comparisons or Matches, not int"):
        TrueSkill().rate(3)
