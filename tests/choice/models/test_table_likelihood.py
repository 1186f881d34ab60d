"""The closed form of a table says what its rows say, in value and in all derivatives."""

import chex
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.choice import BradleyTerry, Davidson
from scorax.data import Comparisons
from scorax.inference import log_likelihood, weighted_total

K = 7


def table(width):
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, K, 200), rng.integers(0, K, 200)
    a, b = a[a != b], b[a != b]
    data = Comparisons.from_arrays(a, b, rng.choice([0.0, 0.5, 1.0], a.size).astype(width), n_items=K)
    counts = data.table(K)
    return eqx.tree_at(lambda t: t.weight, counts, counts.weight.astype(width) * 1.5)


def models(strength):
    return BradleyTerry(strength), Davidson(strength, jnp.asarray(-0.3, strength.dtype))


@eqx.filter_jit
def by_rows(model, data):
    return weighted_total(model.log_prob(data), data)


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("spread", [0.0, 1.0, 8.0])
def test_value_and_gradients_of_rows(which, spread, dtype):
    strength = spread * jax.random.normal(jax.random.key(1), (K,), dtype)
    model, data = models(strength)[which], table(dtype)
    # Sums of some 200 terms of size up to the spread.
    tolerance = {"rtol": 300 * float(jnp.finfo(dtype).eps), "atol": 2000 * float(jnp.finfo(dtype).eps)}
    both = [eqx.filter_jit(eqx.filter_value_and_grad(f))(model, data) for f in (log_likelihood, by_rows)]
    chex.assert_trees_all_close(*both, **tolerance)
    of_weight = [
        jax.jit(jax.grad(lambda w, f=f: f(model, eqx.tree_at(lambda t: t.weight, data, w))))(data.weight)
        for f in (log_likelihood, by_rows)
    ]
    # By rows, a cell without weight is padding, and has no derivative.
    chex.assert_trees_all_close(*(jnp.where(data.weight > 0, x, 0) for x in of_weight), **tolerance)


@pytest.mark.parametrize("which", [0, 1])
def test_second_derivatives_of_rows(which, x64):
    model, data = models(jax.random.normal(jax.random.key(1), (K,)))[which], table("float64")
    arrays, rest = eqx.partition(model, eqx.is_array)
    hessians = [
        jax.jit(jax.hessian(lambda arrays, f=f: f(eqx.combine(arrays, rest), data)))(arrays)
        for f in (log_likelihood, by_rows)
    ]
    chex.assert_trees_all_close(*hessians, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("which", [0, 1])
def test_far_apart(which, dtype):
    """Finite to the ends of the range, and exact until there."""
    data = table(dtype)
    far = 0.4 * np.log(float(jnp.finfo(dtype).max))
    strength = jnp.linspace(-far, far, K, dtype=dtype)
    model = models(strength)[which]
    value, gradient = eqx.filter_jit(eqx.filter_value_and_grad(log_likelihood))(model, data)
    np.testing.assert_allclose(value, by_rows(model, data), rtol=1e-5)
    chex.assert_tree_all_finite(gradient)
    beyond = models(100 * strength)[which]
    chex.assert_tree_all_finite(eqx.filter_jit(eqx.filter_value_and_grad(log_likelihood))(beyond, data))
