import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.choice import DavidsonLuce, davidson_log_prob, davidson_luce_log_prob, plackett_luce_log_prob
from scorax.data import Rankings
from scorax.inference import fit, log_likelihood

STRENGTH = np.array([0.3, -1.2, 2.0, 0.1, -0.5, 0.9])
LOG_TIE = np.array([-0.4, 0.2])

value_and_grad = jax.jit(jax.value_and_grad(davidson_luce_log_prob, argnums=(0, 2)))


def weak_orders(items, largest):
    """All rankings of the items into groups of at most `largest`."""
    if not items:
        yield ()
    for size in range(1, min(largest, len(items)) + 1):
        for group in itertools.combinations(items, size):
            for rest in weak_orders([i for i in items if i not in group], largest):
                yield (group, *rest)


def by_subsets(order, strength, log_tie, rest=()):
    """The definition: every stage sums over all sets that could have been chosen."""
    log_tie = [0.0, *log_tie]

    def weight(group):
        return np.exp(log_tie[len(group) - 1] + np.mean([strength[i] for i in group]))

    total, left = 0.0, [i for group in order for i in group] + list(rest)
    for group in order:
        sets = (s for size in range(1, len(log_tie) + 1) for s in itertools.combinations(left, size))
        total += np.log(weight(group)) - np.log(sum(map(weight, sets)))
        left = [i for i in left if i not in group]
    return total


def laid_out(orders, length):
    """Ids, levels and filled places of rankings of groups."""
    ids, level, where = (np.zeros((len(orders), length), t) for t in (int, int, bool))
    for row, order in enumerate(orders):
        flat = [(i, at) for at, group in enumerate(order) for i in group]
        ids[row, : len(flat)], level[row, : len(flat)] = np.transpose(flat)
        where[row, : len(flat)] = True
    return ids, level, where


@pytest.fixture(scope="module")
def every_order():
    """All 511 weak orders of five items in groups of at most three, and some shorter ones."""
    orders = list(weak_orders(range(5), 3))
    return orders, [order[:-1] for order in orders if len(order) > 2][::7]


def kernel(orders, length, log_tie=LOG_TIE, dtype="float64", **extra):
    ids, level, where = laid_out(orders, length)
    strength = jnp.asarray(np.where(where, STRENGTH[ids], np.nan), dtype)
    run = jax.jit(davidson_luce_log_prob)
    return run(strength, jnp.asarray(level), jnp.asarray(log_tie, dtype), where=jnp.asarray(where), **extra)


def test_probabilities_equal_the_sums_over_subsets_and_add_up(every_order, x64):
    whole, shorter = every_order
    each = kernel(whole, 5)
    np.testing.assert_allclose(jnp.exp(each).sum(), 1.0, rtol=1e-13)
    np.testing.assert_allclose(each[::5], [by_subsets(order, STRENGTH, LOG_TIE) for order in whole[::5]], rtol=1e-12)
    np.testing.assert_allclose(kernel(shorter, 5), [by_subsets(o, STRENGTH, LOG_TIE) for o in shorter], rtol=1e-12)


def test_items_that_are_not_ranked_lose(every_order, x64):
    _, shorter = every_order
    rest = [[i for i in range(6) if i not in {i for group in order for i in group}] for order in shorter]
    behind = np.zeros((len(shorter), 6), bool)
    for row, items in enumerate(rest):
        behind[row, items] = True
    got = kernel(
        shorter,
        5,
        rest=jnp.broadcast_to(jnp.asarray(STRENGTH), behind.shape),
        rest_where=jnp.asarray(behind),
    )
    expected = [by_subsets(o, STRENGTH, LOG_TIE, others) for o, others in zip(shorter, rest, strict=True)]
    np.testing.assert_allclose(got, expected, rtol=1e-12)


def test_single_precision_is_close(every_order):
    whole, _ = every_order
    with jax.enable_x64(True):
        exact = np.asarray(kernel(whole, 5))
    np.testing.assert_allclose(kernel(whole, 5, dtype="float32"), exact, rtol=2e-6)


def test_without_ties_it_is_plackett_luce(dtype):
    strength = jnp.asarray(STRENGTH, dtype)
    level = jnp.arange(6)
    expected = plackett_luce_log_prob(strength)
    tolerance = 8 * float(jnp.finfo(dtype).eps)
    got = davidson_luce_log_prob(strength, level, jnp.zeros(0, dtype))
    np.testing.assert_allclose(got, expected, rtol=tolerance)
    impossible = davidson_luce_log_prob(strength, level, jnp.full(2, -jnp.inf, dtype))
    np.testing.assert_allclose(impossible, expected, rtol=tolerance)


@pytest.mark.parametrize("outcome", [1.0, 0.5])
def test_two_items_are_davidsons_model(dtype, outcome):
    strength, log_tie = jnp.asarray([0.8, -0.4], dtype), jnp.asarray([0.3], dtype)
    level = jnp.asarray([0, 1 if outcome == 1 else 0])
    expected = davidson_log_prob(strength[0] - strength[1], jnp.asarray(outcome, dtype), log_tie[0])
    got = davidson_luce_log_prob(strength, level, log_tie)
    np.testing.assert_allclose(got, expected, rtol=8 * float(jnp.finfo(dtype).eps))


def test_a_group_larger_than_the_highest_order_is_impossible(dtype):
    got = davidson_luce_log_prob(jnp.zeros(4, dtype), jnp.zeros(4, int), jnp.zeros(1, dtype))
    assert got == -jnp.inf


def test_padding_adds_nothing_to_value_or_gradient(dtype):
    level = jnp.asarray([0, 1, 1, 2, 2])
    log_tie = jnp.asarray(LOG_TIE, dtype)
    short = jnp.asarray(STRENGTH[:3], dtype)
    value, gradients = value_and_grad(short, level[:3], log_tie, where=jnp.ones(3, bool))
    padded = jnp.concatenate([short, jnp.asarray([1e30, jnp.nan], dtype)])
    same, padded_gradients = value_and_grad(padded, level, log_tie, where=jnp.arange(5) < 3)
    tolerance = {"rtol": 16 * float(jnp.finfo(dtype).eps), "atol": 8 * float(jnp.finfo(dtype).eps)}
    np.testing.assert_allclose(same, value, **tolerance)
    np.testing.assert_allclose(padded_gradients[0][:3], gradients[0], **tolerance)
    np.testing.assert_array_equal(padded_gradients[0][3:], 0)
    np.testing.assert_allclose(padded_gradients[1], gradients[1], **tolerance)


def test_long_rankings_with_ties_of_three_over_a_wide_range():
    """Two hundred items: listing the sets of a first stage would take 1.3 million."""
    generator = np.random.default_rng(0)
    strength = np.sort(generator.uniform(-80, 80, 200))[::-1]
    level = np.cumsum(generator.random(200) < 0.7)
    level = np.sort(level)
    keep = np.concatenate([[True] * 3, level[3:] != level[:-3]])
    strength, level = strength[keep], level[keep]
    with jax.enable_x64(True):
        found = value_and_grad(jnp.asarray(strength.copy()), jnp.asarray(level), jnp.asarray(LOG_TIE))
        exact, slopes = jax.tree.map(np.asarray, found)
    single, gradient = value_and_grad(
        jnp.asarray(strength, jnp.float32), jnp.asarray(level), jnp.asarray(LOG_TIE, jnp.float32)
    )
    np.testing.assert_allclose(single, exact, rtol=1e-5)
    np.testing.assert_allclose(gradient[0], slopes[0], atol=2e-4)
    # Only differences matter.
    np.testing.assert_allclose(slopes[0].sum(), 0.0, atol=1e-9)


@pytest.mark.slow
def test_simulated_rankings_have_the_probabilities_of_the_model(x64):
    model = DavidsonLuce(jnp.asarray(STRENGTH[:3]), jnp.asarray(LOG_TIE), (2, 3))
    n = 20_000
    design = Rankings.from_arrays(np.tile([0, 1, 2], (n, 1)))
    drawn = jax.jit(lambda key: model.simulate(design, key=key))(jax.random.key(0)).aggregate()
    expected = n * np.exp(np.asarray(model.log_prob(drawn)))
    # All 13 weak orders of three items occur: Pearson's statistic has 12 degrees of freedom, 40 is its 1e-4 tail.
    assert drawn.weight.size == 13
    assert ((drawn.count - expected) ** 2 / expected).sum() < 40


@pytest.mark.slow
def test_only_orders_that_occur_are_parameters(x64):
    rankings = Rankings.from_orders([[(0, 1, 2), 3], [3, 2, 1, 0], [2, (0, 1, 3)], [1, 0, 3, 2], [3, 0, 1, 2]])
    model = DavidsonLuce.of(rankings, 4)
    assert model.orders == (3,)
    result = fit(model, rankings)
    assert result.diagnostics.converged
    at_two = DavidsonLuce(result.model.strength, jnp.asarray([-jnp.inf, result.model.log_tie[0]]), (2, 3))
    np.testing.assert_allclose(log_likelihood(at_two, rankings), result.log_likelihood, rtol=1e-12)
    with pytest.raises(ValueError, match="a tie of an order other than 2 in 2 rows"):
        fit(DavidsonLuce.init(4), rankings)


def test_orders_must_be_orders():
    with pytest.raises(ValueError, match="orders must be 2 or more"):
        DavidsonLuce.init(3, (3, 2))
