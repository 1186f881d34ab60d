import itertools
from functools import partial

import chex
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.score_matching import (
    concrete_score_matching_loss,
    hamming_graph,
    ratio_matching_loss,
    ring_graph,
    score_entropy_loss,
)

KEY = jax.random.key(0)
ratio = eqx.filter_jit(ratio_matching_loss)


def close(dtype, digits=64):
    return {"rtol": digits * float(jnp.finfo(dtype).eps), "atol": digits * float(jnp.finfo(dtype).eps)}


def states(n_states, d):
    return np.array(list(itertools.product(range(n_states), repeat=d)))


def table(size, dtype=jnp.float64, seed=0):
    """Log-probabilities of so many states."""
    return jax.nn.log_softmax(jnp.asarray(np.random.default_rng(seed).normal(size=size), dtype))


def lookup(log_probs, n_states=2):
    d = log_probs.ndim
    return lambda x: log_probs[tuple(x.astype(jnp.int32)[i] for i in range(d))]


def test_ratio_matching_is_its_formula(heavy_dtype):
    dtype = heavy_dtype
    log_probs = table((2, 2, 2), dtype)
    everything = states(2, 3)
    expected = []
    for x in everything:
        flips = [x ^ np.eye(3, dtype=int)[i] for i in range(3)]
        p = np.exp(np.asarray(log_probs, np.float64))
        expected.append(sum((p[tuple(y)] / (p[tuple(y)] + p[tuple(x)])) ** 2 for y in flips))
    for kind in (dtype, jnp.int32, bool):
        value = ratio(lookup(log_probs), jnp.asarray(everything, kind))
        assert value.dtype == dtype
        np.testing.assert_allclose(value, expected, **close(dtype))


def test_the_excess_of_ratio_matching_is_the_error_of_conditionals(x64):
    # By enumeration: E_p[loss(q) - loss(p)] = sum_i E (q(x_i = 1 | rest) - p(x_i = 1 | rest))².
    truth, model, x = table((2, 2, 2)), table((2, 2, 2), seed=1), jnp.asarray(states(2, 3))
    weight = jnp.exp(truth).ravel()

    def conditional(log_probs, i):
        return jnp.moveaxis(jax.nn.softmax(log_probs, axis=i), i, 0)[1]

    excess = weight @ (ratio(lookup(model), x) - ratio(lookup(truth), x))
    error = sum(jnp.sum(jnp.exp(truth).sum(i) * (conditional(model, i) - conditional(truth, i)) ** 2) for i in range(3))
    np.testing.assert_allclose(excess, error, rtol=1e-12)


def test_drawn_coordinates_are_unbiased_and_all_of_them_are_the_loss(x64):
    log_probs, x = table((2, 2, 2, 2)), jnp.broadcast_to(jnp.asarray([1, 0, 1, 1]), (4096, 4))
    where = jnp.asarray([[True, True, False, True]])

    @jax.jit
    def compute(x):
        loss = partial(ratio_matching_loss, lookup(log_probs), key=KEY)
        rows, later = loss(x, n_coordinates=2, where=where), loss(x[2:6], n_coordinates=2, where=where, offset=2)
        return rows, later, loss(x[:1], where=where)[0], loss(x[:4], n_coordinates=4, where=where)

    rows, later, exact, all_drawn = compute(x)
    np.testing.assert_allclose(rows.mean(), exact, atol=5 * float(rows.std()) / 64)
    np.testing.assert_allclose(all_drawn, exact, rtol=1e-12)
    np.testing.assert_allclose(later, rows[2:6], rtol=1e-12)


class Boltzmann(eqx.Module):
    coupling: jax.Array

    def __call__(self, x):
        return x @ self.coupling @ x


def test_excluded_entries_reach_neither_value_nor_gradient(heavy_dtype):
    dtype = heavy_dtype
    rng = np.random.default_rng(4)
    x = jnp.asarray(rng.integers(0, 2, size=(5, 4)), dtype)
    model, where = Boltzmann(jnp.asarray(rng.normal(size=(4, 4)), dtype)), jnp.arange(4)[None] < 3

    @eqx.filter_jit
    def total(model, x, where):
        return eqx.filter_value_and_grad(lambda model: ratio_matching_loss(model, x, where=where).sum())(model)

    value, gradient = total(model, x.at[:, 3].set(jnp.nan), where)
    expected, expected_gradient = total(Boltzmann(model.coupling[:3, :3]), x[:, :3], None)
    np.testing.assert_allclose(value, expected, **close(dtype))
    np.testing.assert_allclose(gradient.coupling[:3, :3], expected_gradient.coupling, **close(dtype))
    np.testing.assert_array_equal(gradient.coupling[3], 0)


GRAPHS = {
    "hamming": (hamming_graph(3), 3, 2),
    "ring": (ring_graph(4), 4, 2),
    "directed ring": (ring_graph(3, directed=True), 3, 2),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_the_graphs_know_their_own_reverse(name):
    (neighbours, reverse), n_states, d = GRAPHS[name]
    x = jnp.asarray(states(n_states, d))
    forward = np.asarray(jax.vmap(neighbours)(x))
    sources, slots, where = map(np.asarray, jax.vmap(reverse)(x))
    assert where.all()
    assert ((forward >= 0) & (forward < n_states)).all()
    code = lambda x: x @ n_states ** np.arange(d)  # noqa: E731
    edges = {(a, b) for a, row in zip(code(np.asarray(x)), code(forward), strict=True) for b in row}
    assert len(edges) == forward.shape[0] * forward.shape[1]  # no neighbour twice
    assert edges == {(a, b) for b, row in zip(code(np.asarray(x)), code(sources), strict=True) for a in row}
    for i, y in enumerate(np.asarray(x)):
        for source, slot in zip(sources[i], slots[i], strict=True):
            np.testing.assert_array_equal(np.asarray(neighbours(jnp.asarray(source)))[slot], y)


def test_the_neighbours_by_hand():
    np.testing.assert_array_equal(hamming_graph(3)[0](jnp.asarray([0, 2])), [[1, 2], [2, 2], [0, 0], [0, 1]])
    np.testing.assert_array_equal(ring_graph(4)[0](jnp.asarray([0, 3])), [[1, 3], [3, 3], [0, 0], [0, 2]])
    np.testing.assert_array_equal(ring_graph(4, directed=True)[1](jnp.asarray([0, 3]))[0], [[3, 3], [0, 2]])


def star(n=4):
    """A directed graph of unequal degrees: all point at 0, and 0 at 1. Its slots that are no edge are masked."""

    def neighbours(x):
        return jnp.where(x == 0, 1, 0)[None]

    def reverse_neighbours(x):
        sources = jnp.where(x == 0, jnp.arange(1, n), 0)
        where = (x == 0) | ((x == 1) & (jnp.arange(n - 1) == 0))
        return sources, jnp.zeros(n - 1, jnp.int32), where

    return neighbours, reverse_neighbours


@pytest.mark.parametrize("name", [*GRAPHS, "star"])
def test_the_excess_of_concrete_score_matching_is_the_squared_error(name, x64):
    graph, x = (star(), jnp.arange(4)) if name == "star" else (GRAPHS[name][0], jnp.asarray(states(*GRAPHS[name][1:])))
    index = lambda x: x if name == "star" else x @ jnp.asarray([GRAPHS[name][1], 1])  # noqa: E731
    p = jnp.exp(table(len(x)))
    around = jax.vmap(graph[0])(x)
    exact = p[jax.vmap(jax.vmap(index))(around)] / p[:, None] - 1
    model = jnp.asarray(np.random.default_rng(5).normal(size=exact.shape))

    @jax.jit
    def loss(scores):
        return p @ concrete_score_matching_loss(lambda x: scores[index(x)], x, *graph)

    np.testing.assert_allclose(loss(model) - loss(exact), p @ ((model - exact) ** 2).sum(1), rtol=1e-11)
    np.testing.assert_allclose(jax.jit(jax.grad(loss))(exact), 0, atol=1e-12)


def test_score_entropy_by_hand(heavy_dtype):
    dtype = heavy_dtype
    # s = 2, r = 1: 2 - log 2 - 1; s = 3, r = 0: 3; s = r: 0.
    s, r = jnp.asarray([2.0, 3.0, 0.7], dtype), jnp.asarray([1.0, 0.0, 0.7], dtype)
    value, gradient = jax.jit(jax.value_and_grad(score_entropy_loss))(jnp.log(s), r)
    np.testing.assert_allclose(value, 1 - np.log(2) + 3, **close(dtype))
    np.testing.assert_allclose(gradient, s - r, **close(dtype))
    np.testing.assert_allclose(
        jax.jit(lambda s, r: score_entropy_loss(s, r, weight=jnp.asarray([2.0, 0.5, 1.0], dtype)))(jnp.log(s), r),
        2 * (1 - np.log(2)) + 1.5,
        **close(dtype),
    )


def test_score_entropy_is_least_at_the_mean_ratio(x64):
    # The denoising form: with ratios drawn given the clean state, the best score is their mean.
    ratios, p = jnp.asarray([[0.2, 1.5], [3.0, 0.0], [0.9, 4.0]]), jnp.asarray([0.5, 0.2, 0.3])
    best = p @ ratios

    def loss(log_score):
        return p @ score_entropy_loss(jnp.broadcast_to(log_score, (3, 2)), ratios)

    value, slope = jax.jit(jax.value_and_grad(loss))(jnp.log(best))
    np.testing.assert_allclose(slope, 0, atol=1e-14)
    # Its excess is the score entropy of the mean: the constant of the draws cancels.
    other = jnp.asarray([0.3, -0.4])
    np.testing.assert_allclose(loss(other) - value, score_entropy_loss(other, best), rtol=1e-12)


def test_score_entropy_keeps_its_digits_and_never_overflows(dtype):
    near = jnp.asarray([1e-3], dtype)
    value = score_entropy_loss(near, jnp.ones(1, dtype))
    # exp(u) - 1 - u at u = 1e-3, whose terms are 2000 times larger.
    expected = 1e-6 / 2 * (1 + 1e-3 / 3 + 1e-6 / 12 + 1e-9 / 60)
    np.testing.assert_allclose(value, expected, rtol=8000 * float(jnp.finfo(dtype).eps))
    far = jnp.asarray([23.0], dtype), jnp.asarray([1e-30], dtype)
    value, slope = jax.value_and_grad(score_entropy_loss)(*far)
    np.testing.assert_allclose((value, slope[0]), (np.exp(23.0), np.exp(23.0)), rtol=1e-5)


def test_excluded_states_reach_neither_value_nor_gradient(heavy_dtype):
    dtype = heavy_dtype
    s, r = jnp.asarray([0.3, jnp.nan, -0.2], dtype), jnp.asarray([1.0, jnp.nan, 2.0], dtype)
    where, weight = jnp.asarray([True, False, True]), jnp.asarray([1.0, jnp.nan, 3.0], dtype)
    value, slopes = jax.jit(
        jax.value_and_grad(lambda s, r, w: score_entropy_loss(s, r, weight=w, where=where), (0, 1, 2))
    )(s, r, weight)
    expected = score_entropy_loss(s[::2], r[::2], weight=weight[::2])
    np.testing.assert_allclose(value, expected, **close(dtype))
    chex.assert_tree_all_finite(slopes)
    assert all(slope[1] == 0 for slope in slopes)


def test_bad_input_is_refused():
    x = jnp.zeros((3, 2), jnp.int32)
    with pytest.raises(ValueError, match=r"the log-probability of a sample of shape \(2,\) has shape \(2,\)"):
        ratio_matching_loss(lambda x: x.astype(float), x)
    with pytest.raises(ValueError, match="n_coordinates must be from 1 to the 2 entries of a sample, not 3"):
        ratio_matching_loss(jnp.sum, x, n_coordinates=3, key=KEY)
    with pytest.raises(ValueError, match="n_coordinates draws the entries to flip: pass key="):
        ratio_matching_loss(jnp.sum, x, n_coordinates=1)
    with pytest.raises(ValueError, match="the data have no rows"):
        ratio_matching_loss(jnp.sum, x[:0])
    with pytest.raises(ValueError, match="it has 4 neighbours: it must be a vector of 4 numbers"):
        concrete_score_matching_loss(lambda x: x.astype(float), x, *ring_graph(3))
    with pytest.raises(ValueError, match="n_states must be at least 3, not 2"):
        ring_graph(2)
    with pytest.raises(ValueError, match="n_states must be at least 2, not 1"):
        hamming_graph(1)
