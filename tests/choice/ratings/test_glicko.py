import dataclasses
import functools
import json
import math
import pathlib

import chex
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
import scipy.stats
from jax.test_util import check_grads

from scorax.choice import Glicko, Glicko2, Glicko2State, GlickoState, rating_periods
from scorax.choice._ratings._volatility import _residual, log_variance
from scorax.data import Comparisons
from tests.inference.compilations import compilations

ORACLE = json.loads((pathlib.Path(__file__).parents[2] / "oracles" / "choice" / "glicko2.json").read_text())
K, N = 7, 60
SYSTEMS = pytest.mark.parametrize("system", [Glicko(), Glicko2()], ids=["glicko", "glicko2"])


def games(seed=0, periods=(3, 4, 8, 9), **columns):
    """Games in periods of uneven length, in no order, with a gap of three idle periods."""
    generator = np.random.default_rng(seed)
    a = generator.integers(K, size=N)
    b = (a + generator.integers(1, K, size=N)) % K
    time = generator.choice(periods, N, p=[0.6, 0.05, 0.15, 0.2])
    return Comparisons.from_arrays(a, b, generator.choice([0.0, 0.5, 1.0], N), time=time, **columns)


def one_against(ratings, deviations, scores, volatility=0.06, shape=5):
    """A player's games of one period, padded to one shape for all tests: the state, and the games."""
    m, idle = len(scores), shape - len(scores)
    rating, deviation = np.append(ratings, np.full(idle, 1500.0)), np.append(deviations, np.full(idle, 350.0))
    state = Glicko2State(jnp.asarray(rating, float), jnp.asarray(deviation, float), jnp.full(shape + 1, volatility))
    return state, Comparisons.from_arrays(np.zeros(m, int), np.arange(1, m + 1), np.asarray(scores)).pad(shape)


EXAMPLE = ([1500.0, 1400.0, 1550.0, 1700.0], [200.0, 30.0, 100.0, 300.0], [1.0, 0.0, 0.0])


def test_worked_example_of_glicko(dtype):
    state, period = one_against(*EXAMPLE)
    after = Glicko(growth=0.0).update(GlickoState(state.rating, state.deviation), period)
    assert after.rating.dtype == dtype
    np.testing.assert_allclose([after.rating[0], after.deviation[0]], [1464.11, 151.40], atol=5e-3)


def test_worked_example_of_glicko2(dtype):
    after = Glicko2(tau=0.5).update(*one_against(*EXAMPLE))
    assert after.rating.dtype == dtype
    digits = 1e-8 if dtype == jnp.float64 else 1e-5
    np.testing.assert_allclose([after.rating[0], after.deviation[0]], [1464.05067, 151.51652], atol=5e-6, rtol=digits)
    np.testing.assert_allclose(after.volatility[0], 0.05999598, atol=5e-9 if dtype == jnp.float64 else 1e-7)


@pytest.mark.parametrize("case", ORACLE["cases"], ids=lambda case: f"{len(case['games_opp_rating_rd_score'])} games")
def test_as_the_package_glicko2(case, x64):
    rating, deviation, score = np.asarray(case["games_opp_rating_rd_score"], float).T
    state, period = one_against([case["rating"], *rating], [case["rd"], *deviation], score, case["vol"])
    after = Glicko2(tau=0.5).update(state, period)
    # The package stops its search for the volatility early.
    np.testing.assert_allclose([after.rating[0], after.deviation[0]], case["out"][:2], atol=3e-4)
    np.testing.assert_allclose(after.volatility[0], case["out"][2], atol=3e-5)


def test_volatility_is_the_root(x64):
    generator = np.random.default_rng(0)
    before = np.log(generator.uniform(0.01, 0.3, 50) ** 2)
    noise, change = generator.uniform(0.02, 5, 50), generator.exponential(3, 50) * generator.choice([0.01, 1, 10], 50)
    tau = generator.uniform(0.2, 1.2, 50)
    columns = tuple(map(jnp.asarray, (before, noise, change, tau)))
    found = jax.jit(jax.vmap(log_variance))(*columns)
    residual = jax.jit(_residual)
    for row, given in enumerate(zip(*columns, strict=True)):
        root = scipy.optimize.brentq(lambda x, given=given: float(residual(x, *given)), -40, 40, xtol=1e-12)
        # The bracket is narrower than 1e-6 in the end.
        np.testing.assert_allclose(found[row], root, atol=1e-6)


def test_derivative_of_the_volatility(x64):
    for change in (0.1, 4.0):
        arguments = tuple(map(jnp.asarray, (math.log(0.01), 0.8, change, 0.6)))
        # The root itself is good to 1e-6, the step of the differences is 1e-2.
        check_grads(jax.jit(log_variance), arguments, order=1, modes=("fwd", "rev"), eps=1e-2, atol=1e-3, rtol=1e-3)


def test_no_prior_change_keeps_the_volatility(dtype):
    after = Glicko2(tau=0.0).update(*one_against(*EXAMPLE))
    np.testing.assert_allclose(after.volatility, 0.06, rtol=1e-6)


def test_one_game_between_equals_is_symmetric(dtype):
    state, period = one_against([1500.0, 1500.0], [200.0, 200.0], [1.0])
    after = Glicko2().update(state, period)
    np.testing.assert_allclose(after.rating[0] - 1500, 1500 - after.rating[1], rtol=1e-4)
    np.testing.assert_allclose(after.deviation[0], after.deviation[1], rtol=1e-6)
    np.testing.assert_allclose(after.volatility[0], after.volatility[1], rtol=1e-6)


def test_results_without_surprise_lower_the_volatility_a_little(dtype):
    after = Glicko2().update(*one_against([1500.0, 1500.0], [200.0, 200.0], [0.5]))
    np.testing.assert_allclose(after.rating, 1500.0)
    assert 0.06 * (1 - 1e-3) < float(after.volatility[0]) < 0.06


def test_deviations_shrink_by_games_and_grow_without(dtype):
    before, period = one_against([1500.0, 1500.0, 1500.0], [200.0, 60.0, 100.0], [1.0, 0.0])
    period = period.reweight(jnp.asarray([1.0, 0.0, 0.0, 0.0, 0.0]))
    after = Glicko2().update(before, period)
    grown = jnp.sqrt(before.deviation**2 + (after.volatility * 400 / math.log(10)) ** 2)
    assert (after.deviation[:2] < grown[:2]).all()
    # Player 2 did not play.
    np.testing.assert_allclose(after.deviation[2], grown[2], rtol=1e-6)
    assert after.rating[2] == 1500
    assert after.volatility[2] == before.volatility[2]
    glicko = Glicko(growth=40.0).update(GlickoState(before.rating, before.deviation), period)
    np.testing.assert_allclose(glicko.deviation[2], math.hypot(100, 40), rtol=1e-6)


def test_no_deviation_of_glicko_exceeds_a_newcomers():
    state = GlickoState(jnp.full(3, 1500.0), jnp.asarray([349.0, 50.0, 50.0]))
    after = Glicko(growth=60.0).begin(state, jnp.asarray(1.0))
    np.testing.assert_allclose(after.deviation, [350.0, math.hypot(50, 60), math.hypot(50, 60)], rtol=1e-6)


@SYSTEMS
def test_rate_is_one_update_a_period_with_idle_ones_between(system, x64):
    data = games()
    state, expected = system.trace(data)
    update, begin, forecast = system.update, eqx.filter_jit(system.begin), eqx.filter_jit(system.win_probability)
    one = system.init(K)
    for period in range(3, 10):
        rows = np.asarray(data.time) == period
        # Expected of the ratings before the period, of which Glicko's are as uncertain as they are at its start.
        p = forecast(begin(one, jnp.ones(())), data.a, data.b)
        np.testing.assert_allclose(np.asarray(p)[rows], np.asarray(expected)[rows], rtol=1e-12)
        # Rows of weight 0 are no games: all periods have one shape.
        one = update(one, data.reweight(rows.astype(float)))
    chex.assert_trees_all_close(one, state, rtol=1e-11)


@SYSTEMS
def test_the_order_of_rows_does_not_matter(system, x64):
    data = games()
    shuffled = np.random.default_rng(1).permutation(N)
    state, expected = system.trace(data)
    other, forecast = system.trace(data.take(shuffled))
    chex.assert_trees_all_close(other, state, rtol=1e-11)
    np.testing.assert_allclose(forecast, expected[shuffled], rtol=1e-12)


def test_weights_are_repetitions(x64):
    system = Glicko2()
    data = games(count=np.arange(N) % 3 + 1)
    chex.assert_trees_all_close(system.rate(data), system.rate(data.expand()), rtol=1e-11)


@SYSTEMS
def test_single_precision_is_close_to_double(system):
    single = system.rate(games())
    with jax.enable_x64(True):
        double = system.rate(games(), system.init(K))
    # Ratings near 1500 are rounded to 1e-4, a few times.
    for x, y in zip(jax.tree.leaves(single), jax.tree.leaves(double), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5)


@SYSTEMS
def test_strengths_and_forecasts(system, x64):
    state = system.rate(games())
    strength = system.strength(state)
    np.testing.assert_allclose(strength.sum(), 0, atol=1e-12)
    certain = dataclasses.replace(state, deviation=jnp.full(K, 1e-9))
    p = system.win_probability(certain, jnp.array([0]), jnp.array([1]))
    np.testing.assert_allclose(p, jax.nn.sigmoid(strength[0] - strength[1]), rtol=1e-9)
    unsure = system.win_probability(state, jnp.array([0]), jnp.array([1]))
    assert abs(float(unsure[0]) - 0.5) < abs(float(p[0]) - 0.5)


@eqx.filter_jit
@functools.partial(jax.value_and_grad, has_aux=True)
def log_loss(system, head_start, periods, outcome):
    newcomers = system.init(K)
    start = dataclasses.replace(newcomers, rating=newcomers.rating + head_start)
    after, p = system.play(start, periods)
    p = jnp.clip(p, 1e-9, 1 - 1e-9)
    return -(outcome * jnp.log(p) + (1 - outcome) * jnp.log1p(-p)).mean(), after


@pytest.mark.parametrize(
    ("make", "names"), [(Glicko, ("growth", "deviation")), (Glicko2, ("tau", "deviation", "volatility"))]
)
def test_the_gradient_of_the_log_loss_is_that_of_finite_differences(make, names, x64):
    def loss(system):
        return log_loss(system, jnp.zeros(K), rating_periods(games()), games().outcome)

    _, gradient = loss(make())
    for name in names:
        at = float(getattr(make(), name))
        step = 0.02 * at
        low, high = (loss(dataclasses.replace(make(), **{name: at + s}))[0][0] for s in (-step, step))
        # tau moves the loss little, and the root is good to 1e-6 of the volatility; the rest is curvature.
        np.testing.assert_allclose(getattr(gradient, name), (high - low) / (2 * step), rtol=5e-3, atol=1e-9)


@pytest.mark.parametrize("make", [Glicko, Glicko2])
def test_ratings_far_apart_overflow_nothing(make):
    far = jnp.asarray([1e5, -1e5, 0.0, 1500.0, 1500.0, 3e4, -200.0])
    single = make().rate(games(), dataclasses.replace(make().init(K), rating=far))
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(single))
    with jax.enable_x64(True):
        found = log_loss(make(), far.astype(float), rating_periods(games()), games().outcome)
        assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(found))


def test_difficulty_of_problems():
    # Easy2Hard: a problem is a player that wins where a solver fails. One seed varies by 0.006.
    found = []
    for seed in range(3):
        generator = np.random.default_rng(seed)
        difficulty, ability = 1.5 * generator.normal(size=100), 1.5 * generator.normal(size=200)
        problem, solver = generator.integers(100, size=10_000), generator.integers(200, size=10_000)
        failed = generator.random(10_000) < 1 / (1 + np.exp(ability[solver] - difficulty[problem]))
        period = np.repeat(np.arange(10), 1000)
        data = Comparisons.from_arrays(problem, 100 + solver, failed, time=period)
        rating = np.asarray(Glicko2().rate(data).rating)
        found.append(scipy.stats.spearmanr(rating[:100], difficulty).statistic)
    assert 0.965 < np.mean(found) < 0.985


def test_periods_hold_every_row_once_and_never_mix():
    data = games()
    periods = rating_periods(data)
    assert periods.where.sum() == N
    assert periods.where.size <= 3 * N
    np.testing.assert_array_equal(periods.rows.time.reshape(-1)[periods.place], data.time)
    for rows, where in zip(np.asarray(periods.rows.time), np.asarray(periods.where), strict=True):
        assert len(set(rows[where])) <= 1
    np.testing.assert_array_equal(periods.elapsed[periods.elapsed > 0], [1, 1, 4, 1])
    assert periods.last.sum() == 4


def test_periods_of_any_sizes(x64):
    times = np.r_[np.zeros(4), 3, np.zeros(3), 5]
    a, b = np.arange(9) % 3, (np.arange(9) + 1) % 3
    data = Comparisons.from_arrays(a, b, np.ones(9), time=times)
    system, one = Glicko2(), Glicko2().init(3)
    begin = eqx.filter_jit(system.begin)
    for period in np.unique(times):
        gap = period - max(times[times < period], default=period - 1)
        one = begin(one, jnp.asarray(float(gap)))
        one = system.update(one, data.reweight((times == period).astype(float)))
    chex.assert_trees_all_close(system.rate(data), one, rtol=1e-12)


@SYSTEMS
def test_a_second_call_of_as_many_rows_and_periods_compiles_nothing(system):
    start = system.init(K)
    first, second = (jax.block_until_ready(rating_periods(games(seed))) for seed in (0, 1))
    jax.block_until_ready(system.rate(first, start))
    with compilations() as count:
        jax.block_until_ready(system.rate(second, start))
    assert count[0] == 0


def test_groups_go_through_the_callers_jit():
    system, data = Glicko2(), games()
    inside = jax.jit(lambda periods: system.rate(periods, system.init(K)))(rating_periods(data))
    chex.assert_trees_all_close(inside, system.rate(data), rtol=1e-5)
    with pytest.raises(ValueError, match="periods are not known under jit"):
        jax.jit(lambda data: system.rate(data, system.init(K)))(data)


def test_many_hyperparameters_at_once(x64):
    data, tau = games(), jnp.asarray([0.3, 0.6, 1.2])

    def rating(tau):
        return Glicko2(tau=tau).rate(data, Glicko2().init(K)).volatility

    np.testing.assert_allclose(jax.jit(jax.vmap(rating))(tau), jnp.stack([rating(x) for x in tau]), rtol=1e-9)


@SYSTEMS
def test_bad_data(system):
    with pytest.raises(ValueError, match="the data have no time"):
        system.rate(dataclasses.replace(games(), time=None))
    with pytest.raises(ValueError, match="time is no whole number in 1 row"):
        system.rate(dataclasses.replace(games(), time=jnp.zeros(N).at[4].set(0.5)))
    with pytest.raises(ValueError, match="the largest id in the data is 6, but the state is of 5 items"):
        system.rate(games(), system.init(5))
