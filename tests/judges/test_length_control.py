import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.judges import length_controlled_win_rate, length_feature

controlled = jax.jit(length_controlled_win_rate, static_argnames=("penalty", "strength", "folds"))


def judged(n, merit, length_bias, seed=0):
    """Preferences of a judge, and lengths of answers that are longer than the baseline's by one spread."""
    rng = np.random.default_rng(seed)
    longer = rng.normal(100, 100, n)
    odds = merit + length_bias * np.tanh(longer / longer.std(ddof=1))
    return tuple(jnp.asarray(x, float) for x in (1 / (1 + np.exp(-odds)), 500 + longer, np.full(n, 500.0)))


@pytest.mark.parametrize(("merit", "bias"), [(0.0, 2.0), (0.8, -1.0)])
def test_equal_length_is_what_is_left(x64, merit, bias):
    found = controlled(*judged(300, merit, bias))
    # The penalty is weak beside 300 preferences without noise; what it takes away is of its order, 1 / (300 C).
    chex.assert_trees_all_close(found.value, jax.nn.sigmoid(jnp.asarray(merit)), atol=2e-3)
    chex.assert_trees_all_close(found.coefficient, jnp.array([bias, merit]), atol=2e-2)
    assert abs(float(found.raw) - float(found.value)) > 0.05
    chex.assert_trees_all_close(found.value, found.probability.mean(), rtol=1e-12)


@pytest.mark.parametrize("penalty", ["l1", "l2"])
def test_coefficients_are_optimal(x64, penalty):
    preference, length, baseline = judged(300, 0.4, 1.0)
    difficulty = jnp.asarray(np.random.default_rng(1).normal(size=300))
    strength = 0.1
    found = controlled(preference, length, baseline, difficulty=difficulty, penalty=penalty, strength=strength)
    x = jnp.stack([length_feature(length, baseline), difficulty, jnp.ones(300)], 1)
    slope = strength * x.T @ (jax.nn.sigmoid(x @ found.coefficient) - preference)
    if penalty == "l2":
        chex.assert_trees_all_close(slope, -found.coefficient, atol=1e-9)
    else:
        zero = found.coefficient == 0
        assert zero[1]
        chex.assert_trees_all_close(jnp.where(zero, 0, slope + jnp.sign(found.coefficient)), jnp.zeros(3), atol=1e-9)
        assert (jnp.abs(jnp.where(zero, slope, 0)) <= 1).all()


def test_swapping_the_models_mirrors_the_win_rate(x64):
    preference, length, baseline = judged(300, 0.4, 1.0)
    found, other = controlled(preference, length, baseline), controlled(1 - preference, baseline, length)
    chex.assert_trees_all_close(other.value, 1 - found.value, rtol=1e-8)
    chex.assert_trees_all_close(other.raw, 1 - found.raw, rtol=1e-12)


def test_difficulty_spreads_predictions_and_weights_leave_out(x64):
    preference, length, baseline = judged(300, 0.4, 1.0)
    difficulty = jnp.asarray(np.random.default_rng(1).normal(size=300))
    harder = jax.nn.sigmoid(jnp.log(preference / (1 - preference)) - difficulty)
    found = controlled(harder, length, baseline, difficulty=difficulty, strength=100.0)
    chex.assert_trees_all_close(found.std_error, found.probability.std(ddof=1) / 300**0.5, rtol=1e-9)
    plain = controlled(preference, length, baseline, strength=100.0)
    assert plain.std_error < 1e-9 < found.std_error
    noisy = preference.at[::2].set(0.5)
    half = controlled(noisy, length, baseline, weight=jnp.arange(300.0) % 2, strength=100.0)
    chex.assert_trees_all_close(half.value, plain.value, atol=1e-3)


def test_what_cannot_be():
    one = jnp.ones(3)
    for words, arguments in (
        ("penalty must be", {"penalty": "l3"}),
        ("strength must be positive", {"strength": 0.0}),
        ("3 instructions cannot be split into 5 folds", {}),
    ):
        with pytest.raises(ValueError, match=words):
            length_controlled_win_rate(one, one, one, **arguments)
