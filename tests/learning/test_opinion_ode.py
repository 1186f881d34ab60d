import dataclasses

import chex
import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.stats

from scorax.learning import InteractionField, NeuralField, OpinionODE

TIME = np.linspace(0.0, 2.0, 5)


class Linear(eqx.Module):
    """A field that a matrix gives; what comes from outside is added."""

    matrix: jax.Array

    def __call__(self, state, forcing):
        return self.matrix @ state + (forcing if forcing.size else jnp.zeros_like(state))


class Pulse(eqx.Module):
    """A forcing that a module computes, so that scenarios batch."""

    size: jax.Array

    def __call__(self, t):
        return self.size * jnp.exp(-t)


@eqx.filter_jit
def solve(model, initial, time, forcing=None):
    return model.solve(initial, time, forcing=forcing)


def neural(dtype, shares=False, n_forcing=0):
    field = NeuralField.init(3, n_forcing=n_forcing, width=8, key=jax.random.key(0))
    cast = jax.tree.map(lambda leaf: leaf.astype(dtype) if eqx.is_inexact_array(leaf) else leaf, field)
    return OpinionODE(cast, shares=shares)


def test_nothing_moves_without_a_field(dtype):
    shares = dtype == jnp.float64
    initial = jnp.asarray([0.2, 0.5, 0.3], dtype)
    states = solve(OpinionODE(Linear(jnp.zeros((3, 3), dtype)), shares=shares), initial, jnp.asarray(TIME, dtype))
    assert states.dtype == dtype
    chex.assert_trees_all_close(
        states, jnp.broadcast_to(initial[None, :], (5, 3)), rtol=4 * float(jnp.finfo(dtype).eps)
    )


def test_linear_fields_are_exponentials_of_a_matrix(x64):
    matrix = jnp.array([[-0.5, 1.0, 0.0], [-1.0, -0.2, 0.3], [0.0, 0.4, -0.8]])
    initial = jnp.array([1.0, -0.5, 2.0])
    states = solve(OpinionODE(Linear(matrix), rtol=1e-7, atol=1e-9), initial, jnp.asarray(TIME))
    expected = jnp.stack([jax.scipy.linalg.expm(matrix * t) @ initial for t in TIME])
    # A hundred times the tolerance of a step.
    np.testing.assert_allclose(states, expected, atol=1e-5)


def test_forcing_by_a_path_and_by_a_module(x64):
    model = OpinionODE(Linear(-jnp.eye(1)), rtol=1e-7, atol=1e-9)
    time, start = jnp.asarray(TIME), jnp.zeros(1)
    ramp = diffrax.LinearInterpolation(ts=jnp.array([0.0, 2.0]), ys=jnp.array([[0.0], [2.0]]))
    # x' = -x + t from 0, and x' = -x + c e^-t from 0.
    np.testing.assert_allclose(solve(model, start, time, ramp)[:, 0], TIME - 1 + np.exp(-TIME), atol=1e-6)
    sizes = jnp.array([[0.0], [1.0], [-2.0]])
    scenarios = eqx.filter_jit(jax.vmap(lambda size: model.solve(start, time, forcing=Pulse(size))))(sizes)
    expected = np.asarray(sizes)[:, 0, None] * (TIME * np.exp(-TIME))[None]
    np.testing.assert_allclose(scenarios[..., 0], expected, atol=1e-6)


def test_shares_stay_shares():
    initial = jnp.array([0.7, 0.3, 0.0])
    states = solve(neural(jnp.float32, shares=True), initial, jnp.asarray(20 * TIME, jnp.float32))
    np.testing.assert_allclose(states.sum(-1), 1, rtol=8 * float(jnp.finfo(jnp.float32).eps))
    assert (states >= 0).all()
    # A camp without members has no one to grow from.
    assert (states[:, 2] == 0).all()
    assert not jnp.allclose(states[0], states[-1], atol=0.01)


def test_constant_growth_rates_are_logistic_shares(x64):
    rates, initial = jnp.array([0.3, -0.2, 1.0]), jnp.array([0.6, 0.3, 0.1])
    model = OpinionODE(InteractionField(jnp.zeros((3, 3)), rates, jnp.zeros((3, 0)), jnp.ones(())), shares=True)
    expected = jax.nn.softmax(jnp.log(initial)[None, :] + rates[None, :] * jnp.asarray(TIME)[:, None])
    np.testing.assert_allclose(solve(model, initial, jnp.asarray(TIME)), expected, atol=1e-5)


def test_pulls_keep_the_mean_and_stop_beyond_the_radius(x64):
    start = jnp.array([0.0, 0.4, 9.0, 9.2])
    model = OpinionODE(InteractionField.init(4, radius=1.0))
    states = solve(model, start, jnp.asarray([0.0, 5.0, 60.0]))
    np.testing.assert_allclose(states.mean(-1), float(start.mean()), atol=1e-5)
    # Two camps, each of one mind, that do not see each other: nine radii are e^-40.
    np.testing.assert_allclose(states[-1], [0.2, 0.2, 9.1, 9.1], atol=1e-4)


def test_gradients_are_finite_differences(x64):
    model = dataclasses.replace(neural(jnp.float64, shares=True), rtol=1e-10, atol=1e-12)
    time, observed = jnp.asarray(TIME), jnp.asarray(np.random.default_rng(0).normal(size=(5, 3)))
    arrays, rest = eqx.partition((model, jnp.array([0.5, 0.2, 0.3])), eqx.is_inexact_array)

    def loss(arrays):
        model, start = eqx.combine(arrays, rest)
        return -model.log_prob(observed, time, initial=jax.nn.softmax(start), noise=0.7).mean()

    rng = np.random.default_rng(1)
    direction = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape)), arrays)
    h = 1e-5
    ends = jax.jit(jax.vmap(lambda s: loss(jax.tree.map(lambda x, d: x + s * d, arrays, direction))))(
        jnp.array([h, -h])
    )
    gradient = jax.jit(jax.grad(loss))(arrays)
    inner = sum(jnp.vdot(*pair) for pair in zip(*map(jax.tree.leaves, (gradient, direction)), strict=True))
    # Central differences err by h^2 and by the solver's tolerance over h.
    np.testing.assert_allclose(inner, (ends[0] - ends[1]) / (2 * h), rtol=1e-5)


def test_log_density_of_what_was_seen(x64):
    matrix, initial = -jnp.eye(2), jnp.array([1.0, 2.0])
    model, time = OpinionODE(Linear(matrix)), jnp.asarray(TIME)
    noise = jnp.array([0.1, 0.5])
    observed = model.simulate(initial, time, noise=noise, key=jax.random.key(0))
    where = jnp.ones((5, 2), bool).at[2, 1].set(False)

    @jax.jit
    def density(observed):
        return model.log_prob(observed, time, initial=initial, noise=noise, where=where)

    states = np.exp(-TIME)[:, None] * np.array([1.0, 2.0])
    each = scipy.stats.norm.logpdf(np.asarray(observed), states, np.asarray(noise))
    # The states are good to 1e-5 of themselves, a ten-thousandth of the noise.
    np.testing.assert_allclose(density(observed), np.where(where, each, 0).sum(-1), atol=1e-3)
    blank = jnp.where(where, observed, jnp.nan)
    chex.assert_trees_all_equal(density(blank), density(observed))
    assert jnp.isfinite(jax.grad(lambda y: density(y).sum())(blank)).all()


def test_solvers_that_give_up_say_nan():
    def explode(state, forcing):
        return state**2  # infinite at time 1

    states = solve(OpinionODE(explode, max_steps=256), jnp.ones(1), jnp.array([0.0, 0.5, 2.0]))
    assert jnp.isnan(states).all()


@pytest.mark.slow  # five hundred steps of training
@pytest.mark.engine
def test_logistic_growth_is_learnt_from_forty_points():
    time, steps = jnp.linspace(0.0, 8.0, 40), 500
    truth = 1 / (1 + 9 * jnp.exp(-time))  # x' = x (1 - x) from a tenth
    observed = truth[:, None] + 0.01 * jax.random.normal(jax.random.key(1), (40, 1))
    model = OpinionODE(NeuralField.init(1, key=jax.random.key(0)), rtol=1e-4, atol=1e-5)
    optimiser = optax.adam(optax.cosine_decay_schedule(1e-2, steps))
    arrays, rest = eqx.partition(model, eqx.is_inexact_array)

    def loss(arrays, step):
        # The early points first: what comes late depends on all before it.
        where = (time < 1 + 16 * step / steps)[:, None]
        whole = eqx.combine(arrays, rest)
        return -whole.log_prob(observed, time, initial=truth[:1], noise=0.01, where=where).mean()

    def step(carry, number):
        arrays, state = carry
        updates, state = optimiser.update(jax.grad(loss)(arrays, number), state)
        return (optax.apply_updates(arrays, updates), state), None

    run = jax.jit(lambda start: jax.lax.scan(step, start, jnp.arange(steps))[0][0])
    learnt = eqx.combine(run((arrays, optimiser.init(arrays))), rest)
    away = solve(learnt, truth[:1], time)[:, 0] - truth
    # Three other starts and data gave 0.004 to 0.009.
    assert float(jnp.sqrt((away**2).mean())) < 0.02


def test_bad_input():
    model = OpinionODE(Linear(jnp.zeros((2, 2))))
    shares = dataclasses.replace(model, shares=True)
    start, time = jnp.array([0.5, 0.5]), jnp.array([0.0, 1.0])
    with pytest.raises(ValueError, match=r"smaller than the one before in 1 row \(row 1\)\. Sort"):
        model.solve(start, time[::-1])
    with pytest.raises(ValueError, match="time holds 1 value"):
        model.solve(start, time[:1])
    with pytest.raises(ValueError, match="all times are equal"):
        model.solve(start, jnp.zeros(2))
    with pytest.raises(ValueError, match="sum to 2, not to 1"):
        shares.solve(2 * start, time)
    with pytest.raises(ValueError, match=r"a share is negative in 1 row \(row 0\)"):
        shares.solve(jnp.array([-0.5, 1.5]), time)
    with pytest.raises(
        ValueError, match=r"field returns shape \(0,\) for states of shape \(1,\) and a forcing of shape"
    ):
        OpinionODE(lambda state, forcing: state + forcing).solve(jnp.ones(1), time)
