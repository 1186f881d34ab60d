"""HodgeRank against least squares and projections written out with edge and triangle matrices."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.choice._estimators import hodge_decompose, hodge_rank
from scorax.data import PairCounts


def some_flow(k, density, seed, spread=1.0):
    rng = np.random.default_rng(seed)
    flow, met = np.triu(rng.normal(size=(k, k)), 1), np.triu(rng.random((k, k)) < density, 1)
    weight = met * np.exp(spread * rng.normal(size=(k, k)))
    return jnp.asarray(flow - flow.T), jnp.asarray(weight + weight.T)


def by_matrices(flow, weight):
    """The three parts on the edges, by pseudo-inverses of the edge and triangle matrices."""
    a, b = np.nonzero(np.triu(weight))
    k, number = len(weight), {pair: e for e, pair in enumerate(zip(a.tolist(), b.tolist(), strict=True))}
    d0 = np.zeros((len(a), k))
    d0[np.arange(len(a)), a], d0[np.arange(len(a)), b] = 1, -1
    rows = []
    for i, j, m in itertools.combinations(range(k), 3):
        if {(i, j), (j, m), (i, m)} <= number.keys():
            row = np.zeros(len(a))
            row[[number[i, j], number[j, m], number[i, m]]] = 1, 1, -1
            rows.append(row)
    d1 = np.array(rows).reshape(-1, len(a))
    c, y = np.diag(weight[a, b]), np.asarray(flow)[a, b]
    gradient = d0 @ np.linalg.pinv(d0.T @ c @ d0) @ d0.T @ c @ y
    around = np.linalg.pinv(d1 @ np.linalg.inv(c) @ d1.T) @ d1 @ (y - gradient)
    curl = np.linalg.inv(c) @ d1.T @ around
    return a, b, gradient, curl, y - gradient - curl


@pytest.mark.parametrize(("k", "density"), [(5, 1.0), (9, 0.6), (12, 0.35), (14, 0.2)])
def test_as_written_out(k, density, x64):
    flow, weight = some_flow(k, density, seed=k)
    parts = hodge_decompose(flow, weight)
    a, b, *expected = by_matrices(np.asarray(flow), np.asarray(weight))
    for found, part in zip((parts.gradient, parts.curl, parts.harmonic), expected, strict=True):
        np.testing.assert_allclose(found[a, b], part, atol=1e-9)
        np.testing.assert_allclose(found, -found.T, atol=0)


@pytest.mark.parametrize("spread", [0.0, 4.0])
def test_parts_add_up_and_are_orthogonal(spread, x64):
    flow, weight = some_flow(20, 0.3, 1, spread)
    parts = hodge_decompose(flow, weight)
    three = [parts.gradient, parts.curl, parts.harmonic]
    np.testing.assert_allclose(sum(three), jnp.where(weight > 0, flow, 0), atol=1e-12)
    size = [float(jnp.sqrt((weight * part**2).sum())) for part in three]
    assert min(size) > 0.01
    for i, j in itertools.combinations(range(3), 2):
        assert abs(float((weight * three[i] * three[j]).sum())) < 1e-11 * size[i] * size[j]
    np.testing.assert_allclose(parts.cyclicity, (size[1] ** 2 + size[2] ** 2) / sum(x**2 for x in size), rtol=1e-10)
    np.testing.assert_allclose(parts.local, size[1] ** 2 / sum(x**2 for x in size), rtol=1e-10)


def test_a_gradient_has_no_cycles(dtype):
    strength = jnp.asarray([0.4, -1.0, 0.1, 0.5], dtype)
    _, weight = some_flow(4, 1.0, 0)
    parts = hodge_decompose(strength[:, None] - strength[None, :], weight)
    assert parts.strength.dtype == dtype
    np.testing.assert_allclose(parts.strength, strength, atol=1e-6)
    np.testing.assert_allclose(parts.cyclicity, 0, atol=1e-12)


def test_a_longer_cycle_is_harmonic_until_it_is_filled(x64):
    around = np.roll(np.eye(4), 1, axis=1)
    flow = jnp.asarray(around - around.T)
    square = hodge_decompose(flow, jnp.asarray(around + around.T))
    np.testing.assert_allclose(square.harmonic, flow, atol=1e-12)
    np.testing.assert_allclose([square.cyclicity, square.local], [1, 0], atol=1e-12)
    filled = hodge_decompose(flow, jnp.ones((4, 4)))
    np.testing.assert_allclose(filled.harmonic, 0, atol=1e-12)
    np.testing.assert_allclose([filled.cyclicity, filled.local], [1, 1], atol=1e-12)


def test_many_items_of_a_complete_design(x64):
    flow, weight = some_flow(60, 1.0, 2, spread=3.0)
    parts = hodge_decompose(flow, weight)
    assert (parts.harmonic == 0).all()
    np.testing.assert_allclose((weight * (flow - parts.gradient)).sum(1), 0, atol=1e-8 * float(weight.max()))


def test_flows_of_counts(x64):
    counts = PairCounts.from_arrays([[0, 3, 1], [1, 0, 0], [2, 4, 0]], ties=[[0, 2, 0], [2, 0, 0], [0, 0, 0]])
    won = np.array([[0, 4, 1], [2, 0, 0], [2, 4, 0]])
    met = won + won.T
    for name, flow in {
        "log_odds": np.log((won + 0.5) / (won.T + 0.5)),
        "win_rate": won / np.where(met > 0, met, 1) - 0.5 * (met > 0),
    }.items():
        found, expected = hodge_rank(counts, flow=name), hodge_decompose(jnp.asarray(flow), jnp.asarray(met, float))
        np.testing.assert_allclose(found.strength, expected.strength, atol=1e-12)
        np.testing.assert_allclose(found.cyclicity, expected.cyclicity, atol=1e-12)


def test_what_is_not_determined_is_nan(x64):
    apart = jnp.asarray(np.kron(np.eye(2), np.ones((2, 2))))
    flow = jnp.asarray([[0, 1.0, 7, 7], [-1, 0, 7, 7], [-7, -7, 0, 2], [-7, -7, -2, 0]])
    parts = hodge_decompose(flow, apart)
    assert jnp.isnan(parts.strength).all()
    np.testing.assert_allclose(parts.gradient, jnp.where(apart > 0, flow, 0), atol=1e-12)
    assert jnp.isnan(hodge_decompose(jnp.zeros((3, 3)), jnp.ones((3, 3))).cyclicity)


ONES, SKEW = jnp.ones((2, 2)), jnp.asarray([[0.0, 1.0], [-1.0, 0.0]])
BAD = {
    "skew": (lambda: hodge_decompose(ONES, ONES), "flow must be skew"),
    "symmetric": (lambda: hodge_decompose(SKEW, jnp.asarray([[0, 1.0], [2.0, 0]])), "weight must be symmetric"),
    "negative": (lambda: hodge_decompose(SKEW, -ONES), "weight must be symmetric, finite and at least 0"),
    "nothing": (lambda: hodge_decompose(SKEW, jnp.zeros((2, 2))), "every weight is 0"),
    "infinite": (lambda: hodge_decompose(SKEW * jnp.inf, ONES), "flow is not finite"),
    "shapes": (lambda: hodge_decompose(jnp.zeros((2, 2)), jnp.ones((3, 3))), "k"),
    "flow": (lambda: hodge_rank(PairCounts.from_arrays([[0, 1], [1, 0]]), flow="odds"), "flow must be 'log_odds'"),
    "zero": (lambda: hodge_rank(PairCounts.from_arrays([[0, 1], [0, 0]]), pseudo=0), "won by one side only"),
    "traced": (lambda: jax.jit(lambda w: hodge_decompose(SKEW, w).cyclicity)(ONES), "works on the host"),
}


@pytest.mark.parametrize(("call", "message"), BAD.values(), ids=BAD)
def test_bad_input(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call()
