import chex
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from scorax.score_matching import (
    exponential_moving_average,
    implicit_score_matching_loss,
    make_step,
    power_function_decay,
    power_function_gamma,
    power_function_width,
    sliced_score_matching_loss,
)

KEY = jax.random.key(0)


class Model(eqx.Module):
    """A score with leaves of every kind; only the weights may move."""

    weight: jax.Array
    order: jax.Array
    activation: object
    name: str

    def __call__(self, x):
        return self.activation(x[self.order] @ self.weight)


def model(dtype=jnp.float32):
    return Model(jnp.asarray([[0.5, -0.2], [0.1, -0.7]], dtype), jnp.asarray([1, 0]), jnp.tanh, "net")


def batch(dtype=jnp.float32):
    return jnp.asarray(np.random.default_rng(0).normal(size=(8, 2)), dtype)


def loss(model, x, *, key):
    return sliced_score_matching_loss(model, x, key=key)


def test_a_step_is_one_of_gradient_descent_by_hand(dtype):
    # The precision of a normal on {-1, 0, 2}: loss 5/6 p² - p, slope 5/3 p - 1.
    def of_precision(model, x, *, key):
        return implicit_score_matching_loss(lambda x: -model["precision"] * x, x)

    step = make_step(of_precision, optax.sgd(0.1), ema=0.75)
    state = step.init({"precision": jnp.ones((), dtype)}, key=KEY)
    state, value = step(state, jnp.asarray([[-1.0], [0.0], [2.0]], dtype))
    np.testing.assert_allclose(value, -1 / 6, rtol=1e-6)
    moved = 1 - 0.1 * 2 / 3
    np.testing.assert_allclose(state.model["precision"], moved, rtol=1e-6)
    np.testing.assert_allclose(state.average["precision"], 0.75 + 0.25 * moved, rtol=1e-6)
    assert state.model["precision"].dtype == state.average["precision"].dtype == dtype
    assert state.step == 1


@pytest.mark.engine
def test_training_resumes_bit_by_bit(tmp_path):
    step = make_step(loss, optax.adam(1e-2), ema=power_function_decay(3.0))
    whole = half = step.init(model(), key=KEY)
    for i in range(6):
        whole, _ = step(whole, batch())
        half = whole if i == 2 else half
    eqx.tree_serialise_leaves(tmp_path / "half.eqx", half)

    fresh = make_step(loss, optax.adam(1e-2), ema=power_function_decay(3.0))
    like = fresh.init(Model(jnp.zeros((2, 2)), jnp.zeros(2, jnp.int32), jnp.tanh, "net"), key=jax.random.key(5))
    resumed = eqx.tree_deserialise_leaves(tmp_path / "half.eqx", like)
    for _ in range(3):
        resumed, _ = fresh(resumed, batch())
    leaves = [eqx.filter(state, eqx.is_array) for state in (resumed, whole)]
    chex.assert_trees_all_equal(*leaves)
    assert resumed.step == 6


@pytest.mark.engine
def test_only_the_floating_arrays_move():
    step = make_step(loss, optax.adam(1e-2))
    start = step.init(model(), key=KEY)
    state, _ = step(start, batch())
    for moved in (state.model, state.average):
        assert moved.activation is jnp.tanh
        assert moved.name == "net"
        np.testing.assert_array_equal(moved.order, [1, 0])
        assert (moved.weight != start.model.weight).all()


def test_each_step_draws_anew_and_the_same_key_draws_the_same():
    # Without movement, the loss differs by its probes only.
    step = make_step(loss, optax.sgd(0.0))
    state = step.init(model(), key=KEY)
    state, first = step(state, batch())
    state, second = step(state, batch())
    assert first != second
    _, again = step(step.init(model(), key=KEY), batch())
    _, other = step(step.init(model(), key=jax.random.key(1)), batch())
    assert first == again != other


def test_other_kinds_of_keys_will_do():
    step = make_step(loss, optax.sgd(0.0))
    _, value = step(step.init(model(), key=jax.random.key(0, impl="rbg")), batch())
    assert jnp.isfinite(value)


def test_a_step_is_compiled_once():
    count = 0

    def counted(model, x, *, key):
        nonlocal count
        count += 1
        return loss(model, x, key=key)

    step = make_step(counted, optax.sgd(0.1), ema=power_function_decay(2.0))
    state = step.init(model(), key=KEY)
    for _ in range(3):
        state, _ = step(state, batch())
    assert count == 1


def test_the_exponential_average_forgets_geometrically(dtype):
    tree, decay = {"w": jnp.zeros(2, dtype), "n": jnp.asarray(3), "f": jnp.tanh}, 0.9
    for value in (1.0, 2.0, 3.0):
        tree = exponential_moving_average(tree, {**tree, "w": jnp.full(2, value, dtype), "n": jnp.asarray(4)}, decay)
    np.testing.assert_allclose(tree["w"], 0.1 * (0.81 + 0.9 * 2 + 3), rtol=8 * float(jnp.finfo(dtype).eps))
    assert tree["w"].dtype == dtype
    assert tree["n"] == 3
    assert tree["f"] is jnp.tanh


@pytest.mark.parametrize("gamma", [0.0, 6.94])
def test_the_power_average_has_the_weights_of_its_power(gamma, x64):
    # The weight of step i after n steps is (i/n)^gamma up to discretisation: exact for gamma 0, the plain mean.
    n, decay = 4000, power_function_decay(gamma)
    decays = np.asarray(jax.jit(jax.vmap(decay))(jnp.arange(1, n + 1, dtype=jnp.int32)))
    weights = (1 - decays) * np.append(np.cumprod(decays[:0:-1])[::-1], 1.0)
    np.testing.assert_allclose(weights.sum(), 1, rtol=1e-12)
    times = np.arange(1, n + 1) / n
    if gamma == 0:
        np.testing.assert_allclose(weights, 1 / n, rtol=1e-10)
    mean = weights @ times
    # The discretisation error is of the order gamma² / n.
    np.testing.assert_allclose(mean, (gamma + 1) / (gamma + 2), rtol=0.01)
    np.testing.assert_allclose((weights @ (times - mean) ** 2) ** 0.5, power_function_width(gamma), rtol=0.02)


def test_the_first_step_replaces_the_average():
    assert power_function_decay(2.0)(jnp.asarray(1, jnp.int32)) == 0
    slope = jax.grad(lambda x: power_function_decay(2.0)(jnp.asarray(1, jnp.int32)) * x)(1.0)
    assert slope == 0


def test_width_and_power_are_inverse():
    for gamma in (-0.35, 0.0, 1.0, 6.94, 16.97, 300.0):
        np.testing.assert_allclose(power_function_gamma(power_function_width(gamma)), gamma, rtol=1e-8, atol=1e-8)
    # The widths 0.05 and 0.10 of the paper have the powers 16.97 and 6.94.
    np.testing.assert_allclose([power_function_gamma(s) for s in (0.05, 0.1)], [16.97, 6.94], atol=0.005)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="ema must be a decay from 0 to 1"):
        make_step(loss, optax.sgd(0.1), ema=1.5)
    with pytest.raises(ValueError, match="gamma must be above -1"):
        power_function_decay(-1.0)
    with pytest.raises(ValueError, match="gamma must be above -1"):
        power_function_width(-2.0)
    for width in (0.0, 0.31):
        with pytest.raises(ValueError, match=r"sigma_rel must be above 0 and at most 0.3003"):
            power_function_gamma(width)
