import itertools
import json
import math
import pathlib

import chex
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from scorax.choice import Elo, EloState, bradley_terry_log_prob, elo_permuted
from scorax.choice._ratings._elo import random_order
from scorax.choice._ratings._elo_scan import play_in_order
from scorax.data import Comparisons
from tests.inference.compilations import compilations

ORACLES = pathlib.Path(__file__).parents[2] / "oracles" / "choice"
K, N = 6, 40


def battles(seed=0, **columns):
    generator = np.random.default_rng(seed)
    a = generator.integers(K, size=N)
    b = (a + generator.integers(1, K, size=N)) % K
    return Comparisons.from_arrays(a, b, generator.choice([0.0, 0.5, 1.0, 0.3], N), **columns)


def weighted():
    return battles(weight=np.resize([1.0, 2.0, 0.25], N))


def by_the_book(data, k=4.0, scale=400.0, base=10.0, initial=1000.0):
    """Ratings in the form of the textbooks, in double precision, and the expectation of each row."""
    rating, expected = np.full(K, initial), []
    for a, b, y, w in zip(*(np.asarray(x).tolist() for x in (data.a, data.b, data.outcome, data.weight)), strict=True):
        expected.append(1 / (1 + base ** ((rating[b] - rating[a]) / scale)))
        gain = k * w * (y - expected[-1])
        rating[a] += gain
        rating[b] -= gain
    return rating, np.array(expected)


def log_loss(elo, data):
    _, p = elo.trace(data, elo.init(K, dtype=data.outcome.dtype))
    return -(data.outcome * jnp.log(p) + (1 - data.outcome) * jnp.log1p(-p)).mean()


def test_as_evalica(x64):
    case = json.loads((ORACLES / "evalica.json").read_text())["cases"][0]
    data = Comparisons.from_arrays(case["a"], case["b"], np.asarray(case["outcome"]))
    np.testing.assert_allclose(Elo(k=case["elo_params"]["k"]).rate(data).rating, case["elo"], atol=1e-8)


def test_as_the_textbook(dtype):
    data = weighted()
    state, expected = Elo(k=32.0, scale=300.0, base=2.0, initial=1500.0).trace(data)
    rating, forecast = by_the_book(data, 32.0, 300.0, 2.0, 1500.0)
    assert state.rating.dtype == expected.dtype == dtype
    # A few hundred roundings of numbers near 1500.
    np.testing.assert_allclose(state.rating, rating, rtol=100 * float(jnp.finfo(dtype).eps))
    np.testing.assert_allclose(expected, forecast, atol=1000 * float(jnp.finfo(dtype).eps))


def test_the_sum_of_ratings_never_changes(dtype):
    state = Elo(k=60.0).rate(weighted())
    np.testing.assert_allclose(state.rating.sum(), 1000.0 * K, rtol=10 * float(jnp.finfo(dtype).eps))


def test_rate_is_one_update_after_the_other(x64):
    elo, data = Elo(k=20.0), weighted()
    state, expected = elo.trace(data)
    update, forecast = elo.update, eqx.filter_jit(elo.win_probability)
    one = elo.init(K)
    for row in range(N):
        match = data.take(row)
        np.testing.assert_allclose(forecast(one, match.a, match.b), expected[row], rtol=1e-12)
        one = update(one, match)
    np.testing.assert_allclose(one.rating, state.rating, rtol=1e-13)
    chex.assert_trees_all_equal(elo.rate(data), state)


def test_a_match_is_a_gradient_step_on_bradley_terry(x64):
    elo, match = Elo(k=24.0), battles().take(3)
    before = EloState(jnp.array([900.0, 1210.0, 1000.0, 1100.0, 870.0, 1040.0]))
    after = elo.update(before, match)

    def log_prob(strength):
        return bradley_terry_log_prob(strength[match.a] - strength[match.b], match.outcome)

    rate = 24.0 * math.log(10) / 400
    step = rate * jax.grad(log_prob)(elo.strength(before))
    np.testing.assert_allclose(elo.strength(after) - elo.strength(before), step, atol=1e-13)


def test_strengths_are_log_odds_of_mean_zero(dtype):
    elo = Elo(scale=200.0)
    state = EloState(jnp.asarray([1000.0, 1200.0, 1150.0]))
    strength = elo.strength(state)
    # Ratings near 1000 are rounded to 6e-5 in single precision.
    np.testing.assert_allclose(strength.sum(), 0, atol=1e-5)
    p = elo.win_probability(state, jnp.array([1]), jnp.array([0]))
    np.testing.assert_allclose(jax.nn.sigmoid(strength[1] - strength[0]), p[0], rtol=1e-6)
    np.testing.assert_allclose(p, 10 / 11, rtol=1e-6)


def test_padding_does_nothing():
    data = weighted()
    chex.assert_trees_all_equal(Elo().rate(data.pad(N + 9)), Elo().rate(data))


def test_ratings_far_apart_overflow_nothing(dtype):
    # 10^(R/400) overflows single precision at 15 400 points.
    state = EloState(jnp.asarray([1e6, -1e6]))
    data = Comparisons.from_arrays([0, 1], [1, 0], [0.0, 0.0])

    def total(elo, rating):
        after, p = elo.trace(data, EloState(rating))
        return after.rating[0] + p.sum()

    np.testing.assert_allclose(Elo().rate(data, state).rating, [1e6 - 4, -1e6 + 4])
    gradient = jax.grad(total, (0, 1))(Elo(), state.rating)
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


def test_the_derivative_of_the_loop(x64):
    data = weighted()
    rating = jax.random.normal(jax.random.key(0), (K,))
    pair = jnp.stack([data.a, data.b], axis=1)

    def play(rating, slope, points, outcome):
        return play_in_order(rating, slope, points, outcome, pair)

    arguments = (rating, jnp.asarray(0.8), 0.3 * data.weight, data.outcome)
    check_grads(jax.jit(play), arguments, order=1, modes=("fwd", "rev"), atol=1e-6, rtol=1e-6)


def test_the_gradient_of_the_log_loss_is_that_of_finite_differences(x64):
    data = weighted()
    value = jax.jit(log_loss)
    gradient = jax.jit(jax.grad(log_loss))(Elo(k=30.0), data)
    # Central differences with a step h = 1e-3: curvature leaves h^2, rounding 1e-16 / h.
    by_k = (value(Elo(k=30.001), data) - value(Elo(k=29.999), data)) / 0.002
    by_scale = (value(Elo(k=30.0, scale=400.001), data) - value(Elo(k=30.0, scale=399.999), data)) / 0.002
    np.testing.assert_allclose(gradient.k, by_k, rtol=1e-6)
    np.testing.assert_allclose(gradient.scale, by_scale, rtol=1e-6)


def test_many_step_sizes_at_once(dtype):
    data = weighted()

    def ratings(k):
        return Elo(k=k).rate(data, Elo().init(K)).rating

    steps = jnp.asarray([4.0, 16.0, 64.0])
    expected = jnp.stack([ratings(k) for k in steps])
    np.testing.assert_allclose(jax.vmap(ratings)(steps), expected, rtol=20 * float(jnp.finfo(dtype).eps))


def test_a_second_call_of_equal_shapes_compiles_nothing():
    elo, start = Elo(), Elo().init(K)
    first, second = battles(), battles(1)
    jax.block_until_ready((elo.rate(first, start), elo.trace(first, start)))
    with compilations() as count:
        jax.block_until_ready((Elo(k=7.0).rate(second, start), elo.trace(second, start)))
    assert count[0] == 0


def test_jit_of_the_callers_needs_a_state():
    data, start = battles(), Elo().init(K)
    inside = jax.jit(lambda data, start: Elo().rate(data, start))(data, start)
    chex.assert_trees_all_close(inside, Elo().rate(data), rtol=1e-6)
    with pytest.raises(ValueError, match="pass state=system"):
        jax.jit(lambda data: Elo().rate(data))(data)


def test_an_order_in_a_row_of_the_permuted_ratings(x64):
    data = Comparisons.from_arrays([0, 1, 2], [1, 2, 0], [1.0, 0.5, 0.0])
    elo = Elo(k=100.0)
    all_orders = [elo.rate(data.take(np.array(p)), elo.init(K)).rating for p in itertools.permutations(range(3))]
    found = elo_permuted(data, 50, key=jax.random.key(0), elo=elo, n_items=K)
    distance = jnp.abs(found[:, None, :] - jnp.stack(all_orders)[None]).max(-1)
    np.testing.assert_allclose(distance.min(1), 0, atol=1e-9)
    assert len(set(np.asarray(distance.argmin(1)).tolist())) == 6


def test_mean_of_permuted_ratings(x64):
    data, elo = weighted().take(np.arange(4)), Elo(k=100.0)
    orders = jnp.asarray(list(itertools.permutations(range(4))))
    every = jax.jit(jax.vmap(lambda order: elo.play(elo.init(K), data.take(order))[0].rating))(orders)
    found = elo_permuted(data, 4000, key=jax.random.key(1), elo=elo, n_items=K)
    # Five standard errors of a mean of 4000.
    np.testing.assert_array_less(jnp.abs(found.mean(0) - every.mean(0)), 5 * every.std(0) / math.sqrt(4000) + 1e-9)


def test_first_orders_stay_and_time_is_no_matter():
    data = battles(time=np.arange(N)[::-1])
    few, many = (elo_permuted(data, r, key=jax.random.key(2)) for r in (3, 5))
    chex.assert_trees_all_equal(few, many[:3])
    assert few.shape == (3, K)


def test_all_orders_are_equally_likely():
    keys = jax.random.split(jax.random.key(3), 6000)
    found = np.asarray(jax.jit(jax.vmap(lambda key: random_order(key, 3)))(keys))
    _, times = np.unique(found, axis=0, return_counts=True)
    # Chi-squared with 5 degrees of freedom exceeds 25 once in 7000 seeds.
    assert len(times) == 6
    assert ((times - 1000) ** 2 / 1000).sum() < 25


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (lambda: battles(count=np.full(N, 2)), "a row stands for several matches in 40 rows .* data.expand()"),
        (lambda: battles(time=np.arange(N) % 7), "Elo goes through rows in their order, but time runs backwards in 5"),
        (lambda: Comparisons.from_arrays([0], [K], [1.0]), "the largest id in the data is 6, but the state is of 6"),
    ],
)
def test_bad_data(data, message):
    with pytest.raises(ValueError, match=message):
        Elo().rate(data(), Elo().init(K))


def test_bad_calls():
    with pytest.raises(TypeError, match="Elo rates Comparisons, not list"):
        Elo().rate([1, 2])
    with pytest.raises(ValueError, match="update takes one row"):
        Elo().update(Elo().init(K), battles())
    with pytest.raises(ValueError, match="n_permutations must be at least 1"):
        elo_permuted(battles(), 0, key=jax.random.key(0))
