import itertools
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.stats import (
    ahead_and_level,
    average_rank,
    cayley_distance,
    footrule,
    kendall_distance,
    kendall_tau,
    rank_biased_overlap,
    soft_kendall,
    spearman_rho,
    top_k_overlap,
    weighted_tau,
)

ORACLE = json.loads((pathlib.Path(__file__).parents[1] / "oracles/choice/social_choice.json").read_text())
MEASURES = {
    "tau_x": lambda x, y, **kw: kendall_tau(x, y, variant="x", **kw),
    "weighted_tau": weighted_tau,
    "rho": spearman_rho,
    "soft": lambda x, y, **kw: soft_kendall(x, y, 0.5, **kw),
    "kendall": kendall_distance,
    "footrule": footrule,
    "cayley": cayley_distance,
    "top": lambda x, y, **kw: top_k_overlap(x, y, 3, **kw),
    "rbo": lambda x, y, **kw: rank_biased_overlap(x, y, 0.8, **kw),
}
everything = jax.jit(lambda x, y, where: {name: measure(x, y, where=where) for name, measure in MEASURES.items()})
rank = jax.jit(average_rank, static_argnames="descending")
ROWS, WIDTH = 20, 12


def measure(name, x, y):
    """Of one pair or of a batch, embedded in one shape: the rest takes no part, and holds NaN."""
    one, other = (np.atleast_2d(np.asarray(v)) for v in (x, y))
    n, k = one.shape
    where = np.zeros((ROWS, WIDTH), bool)
    where[:n, :k] = True
    padded = [np.full((ROWS, WIDTH), np.nan, one.dtype) for _ in range(2)]
    padded[0][:n, :k], padded[1][:n, :k] = one, other
    found = np.asarray(everything(*map(jnp.asarray, (*padded, where)))[name])[:n]
    return found if np.ndim(x) == 2 else found[0]


def eps(dtype, factor):
    return factor * float(jnp.finfo(dtype).eps)


def tied(seed, dtype, shape=(8,)):
    """Two vectors of whole numbers with many ties."""
    return np.random.default_rng(seed).integers(0, 4, (2, *shape)).astype(dtype)


@pytest.mark.parametrize("case", ORACLE["correlations"], ids=range(len(ORACLE["correlations"])))
def test_agrees_with_scipy(dtype, case):
    x, y = jnp.asarray(case["x"], dtype), jnp.asarray(case["y"], dtype)
    # The oracle has 12 digits; sums of 12 ranks or weights round a few times.
    rtol = max(1e-11, eps(dtype, 32))
    np.testing.assert_allclose(measure("rho", x, y), case["spearman"], rtol=rtol)
    np.testing.assert_allclose(measure("weighted_tau", x, y), case["weightedtau"], rtol=max(1e-8, rtol))


def test_average_rank_against_counting(dtype):
    x = np.asarray(tied(0, dtype)[0])
    part = np.array([1, 1, 0, 1, 1, 1, 0, 1], bool)
    for sign, descending in ((1, False), (-1, True)):
        expected = [
            sum(sign * x[j] < sign * x[i] for j in np.flatnonzero(part))
            + (sum(x[j] == x[i] for j in np.flatnonzero(part)) + 1) / 2
            if part[i]
            else np.nan
            for i in range(8)
        ]
        np.testing.assert_array_equal(
            rank(jnp.asarray(x), where=jnp.asarray(part), descending=descending), np.array(expected)
        )


def test_infinite_values_are_values_and_nan_is_none(dtype):
    x = jnp.asarray([jnp.inf, 1.0, -jnp.inf, jnp.nan, jnp.inf], dtype)
    np.testing.assert_array_equal(rank(x), [3.5, 2.0, 1.0, np.nan, 3.5])
    assert jax.jit(ahead_and_level)(x)[1][3] == 0


def test_without_a_mask_everyone_takes_part(x64):
    x, y = jax.random.normal(jax.random.key(1), (2, 3, 8)).round(1)
    whole = jax.jit(lambda x, y: {name: f(x, y) for name, f in MEASURES.items()})(x, y)
    for name, values in whole.items():
        np.testing.assert_allclose(values, [measure(name, a, b) for a, b in zip(x, y, strict=True)], rtol=1e-14)


@pytest.mark.parametrize("name", MEASURES)
def test_entries_have_no_order(dtype, name):
    x, y = tied(2, dtype, (3, 8))
    shuffled = np.random.default_rng(0).permutation(8)
    values = measure(name, x, y)
    np.testing.assert_allclose(measure(name, x[:, shuffled], y[:, shuffled]), values, rtol=eps(dtype, 32))


@pytest.mark.parametrize("name", MEASURES)
def test_nan_gives_nan(dtype, name):
    x = np.arange(8, dtype=dtype)
    spoilt = np.where(np.arange(8) == 3, np.nan, x).astype(dtype)
    assert np.isnan(measure(name, spoilt, x))
    assert np.isnan(measure(name, x, spoilt))


@pytest.mark.parametrize("name", ["weighted_tau", "rho"])
def test_a_constant_has_no_correlation(dtype, name):
    assert np.isnan(measure(name, np.arange(8, dtype=dtype), np.ones(8, dtype)))


@pytest.mark.parametrize("name", ["tau_x", "weighted_tau", "rho", "top", "rbo"])
def test_equal_orders_agree_fully_and_reversed_ones_least(dtype, name):
    x = np.random.default_rng(3).normal(size=8).astype(dtype)
    np.testing.assert_allclose(measure(name, x, np.exp(x)), 1.0, rtol=eps(dtype, 8))
    reversed_value = measure(name, x, -x)
    if name not in ("top", "rbo"):
        np.testing.assert_allclose(reversed_value, -1.0, rtol=eps(dtype, 8))
    shuffled = np.stack([np.random.default_rng(seed).permutation(x) for seed in range(20)])
    assert (measure(name, np.tile(x, (20, 1)), shuffled) >= reversed_value - eps(dtype, 8)).all()


def test_tau_x_counts_a_tie_as_a_statement(dtype):
    x, y = tied(4, dtype)
    one, other = (np.where(np.subtract.outer(v, v) >= 0, 1, -1) for v in map(np.asarray, (x, y)))
    expected = ((one * other).sum() - 8) / 56
    np.testing.assert_allclose(measure("tau_x", x, y), expected, rtol=eps(dtype, 4))
    # The same in ranks as in scores, and 1 for equal orders with ties, where tau_a stays below.
    assert measure("tau_x", -x, -y) == measure("tau_x", x, y)
    assert measure("tau_x", x, x) == 1


def test_tau_x_is_linear_in_kemeny_and_snells_distance(dtype):
    x, y = tied(5, dtype)
    signs = [np.sign(np.subtract.outer(v, v)) for v in map(np.asarray, (x, y))]
    distance = np.abs(signs[0] - signs[1]).sum() / 2
    np.testing.assert_allclose(measure("tau_x", x, y), 1 - 2 * distance / 56, rtol=eps(dtype, 8))


def test_weighted_tau_with_equal_weights_is_tau_b(dtype):
    x, y = map(jnp.asarray, tied(6, dtype))
    flat, tau = jax.jit(lambda x, y: (weighted_tau(x, y, weigher=jnp.ones_like), kendall_tau(x, y)))(x, y)
    np.testing.assert_allclose(flat, tau, rtol=eps(dtype, 8))


def test_soft_kendall_tends_to_tau_and_has_the_gradient_of_its_definition(x64):
    x, y = jax.random.normal(jax.random.key(7), (2, 6))
    soft = jax.jit(lambda x, y, t, where=None: soft_kendall(x, y, t, where=where))
    np.testing.assert_allclose(soft(x, y, 1e-6), jax.jit(lambda x, y: kendall_tau(x, y, variant="a"))(x, y), rtol=1e-12)
    pairs = list(itertools.combinations(range(6), 2))
    sigma = [1 / (1 + np.exp(-(x[i] - x[j]) * (y[i] - y[j]) / 0.7)) for i, j in pairs]
    np.testing.assert_allclose(soft(x, y, 0.7), 2 * np.mean(sigma) - 1, rtol=1e-12)
    where = jnp.arange(6) < 5
    slope = jax.jit(jax.grad(soft_kendall))(x.at[5].set(jnp.nan), y, 0.7, where=where)
    step = 1e-6
    for i in range(5):
        ends = [soft(x.at[i].add(h), y, 0.7, where=where) for h in (step, -step)]
        np.testing.assert_allclose(slope[i], (ends[0] - ends[1]) / (2 * step), rtol=1e-7, atol=1e-9)
    assert slope[5] == 0


def test_distances_of_permutations_by_searching_all_moves(dtype):
    """Kendall: neighbours swapped; Cayley: any two swapped. Both by breadth-first search over all 24 orders."""
    start = (0, 1, 2, 3)
    moves = {
        "kendall": [(i, i + 1) for i in range(3)],
        "cayley": list(itertools.combinations(range(4), 2)),
    }
    for name, swaps in moves.items():
        steps, frontier = {start: 0}, [start]
        while frontier:
            here = frontier.pop(0)
            for i, j in swaps:
                there = list(here)
                there[i], there[j] = there[j], there[i]
                if tuple(there) not in steps:
                    steps[tuple(there)] = steps[here] + 1
                    frontier.append(tuple(there))
        orders = np.array(list(steps))
        ranks = np.argsort(orders, axis=1).astype(dtype)
        identity = np.tile(np.arange(4, dtype=dtype), (24, 1))
        found = [measure(name, ranks[rows], identity[rows]) for rows in (slice(0, 12), slice(12, 24))]
        np.testing.assert_array_equal(np.concatenate(found), list(steps.values()))


def test_ties_between_distances(dtype):
    x, y = tied(8, dtype)
    by_penalty = jax.jit(lambda x, y: {p: kendall_distance(x, y, tie_penalty=p) for p in (0.0, 0.5, 1.0)})
    value = by_penalty(jnp.asarray(x), jnp.asarray(y))
    signs = [np.sign(np.subtract.outer(v, v)) for v in map(np.asarray, (x, y))]
    product = signs[0] * signs[1]
    one_tied = ((signs[0] == 0) != (signs[1] == 0)).sum() / 2
    assert [value[p] for p in value] == [(product < 0).sum() / 2 + p * one_tied for p in value]
    assert np.isnan(measure("cayley", x, y))


def test_footrule_lies_between_kendall_and_twice_kendall(dtype):
    x, y = np.random.default_rng(9).normal(size=(2, 16, 8)).astype(dtype)
    kendall, moved = measure("kendall", x, y), measure("footrule", x, y)
    assert ((kendall <= moved) & (moved <= 2 * kendall)).all()


def test_overlap_at_ties_is_the_mean_over_ways_to_break_them(x64):
    x, y = jnp.array([2.0, 1.0, 1.0, 1.0, 0.0]), jnp.array([0.0, 3.0, 1.0, 1.0, 2.0])

    def tops(values, k):
        """The first k of all orders that respect the values."""
        values = np.asarray(values)
        fitting = [p for p in itertools.permutations(range(5)) if (np.diff(values[list(p)]) <= 0).all()]
        return [set(p[:k]) for p in fitting]

    def share(k):
        return np.mean([len(a & b) / k for a in tops(x, k) for b in tops(y, k)])

    np.testing.assert_allclose(measure("top", x, y), share(3), rtol=1e-14)
    expected = 0.2 * sum(0.8 ** (d - 1) * share(d) for d in range(1, 6)) + 0.8**5
    np.testing.assert_allclose(measure("rbo", x, y), expected, rtol=1e-14)


def test_the_overlap_of_too_few_is_undefined(dtype):
    x = np.arange(3, dtype=dtype)
    assert np.isnan(measure("top", x[:2], x[:2]))
    assert measure("top", x, x) == 1
    assert np.isnan(measure("rbo", x[:0], x[:0]))
    with pytest.raises(ValueError, match="between 1 and the 4"):
        top_k_overlap(jnp.ones(4), jnp.ones(4), 5)
