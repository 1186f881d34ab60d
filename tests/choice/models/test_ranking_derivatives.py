"""Closed-form derivatives of rankings against automatic ones."""

import equinox as eqx
import jax
import numpy as np
import pytest

from scorax.choice import PlackettLuce
from scorax.choice._models import _ranking_derivatives
from scorax.choice._models._ranking_derivatives import ranking_derivatives, ranking_meat
from scorax.data import Rankings
from scorax.inference import fit, log_likelihood

K = 7


def rankings(unlisted, n=40):
    generator = np.random.default_rng(1)
    shortest = 1 if unlisted == "last" else 2
    orders = [generator.permutation(K)[: generator.integers(shortest, 6)].tolist() for _ in range(n)]
    weight = generator.uniform(0.5, 2, n)
    return Rankings.from_orders(orders, unlisted=unlisted, n_items=K, weight=weight).pad(n + 3)


@pytest.fixture(params=["absent", "last"])
def data(request, x64):
    return rankings(request.param)


@pytest.mark.parametrize("spread", [1.0, 40.0])
def test_value_gradient_and_hessian(data, spread):
    model = PlackettLuce(spread * jax.random.normal(jax.random.key(0), (K,)))

    def total(strength):
        return log_likelihood(PlackettLuce(strength), data)

    got = eqx.filter_jit(lambda model, data: ranking_derivatives(model, data)(model))(model, data)
    np.testing.assert_allclose(got.value, total(model.strength), rtol=1e-13)
    np.testing.assert_allclose(got.gradient, jax.jit(jax.grad(total))(model.strength), atol=1e-12)
    np.testing.assert_allclose(got.hessian, jax.jit(jax.hessian(total))(model.strength), atol=1e-12)


def test_meat(data):
    model = PlackettLuce(jax.random.normal(jax.random.key(0), (K,)))
    scores = jax.jit(jax.jacobian(lambda strength: PlackettLuce(strength).log_prob(data)))(model.strength)
    each = np.where(data.count > 0, data.weight**2 / np.maximum(data.count, 1), 0)
    np.testing.assert_allclose(ranking_meat(model, data), scores.T @ (each[:, None] * scores), atol=1e-12)


def test_some_rankings_at_a_time_are_all_of_them(data, monkeypatch):
    model = PlackettLuce(jax.random.normal(jax.random.key(0), (K,)))
    whole = ranking_derivatives(model, data)(model)
    monkeypatch.setattr(_ranking_derivatives, "_AT_A_TIME", 60)
    np.testing.assert_allclose(ranking_derivatives(model, data)(model).hessian, whole.hessian, atol=1e-12)


@pytest.mark.slow
def test_a_fit_of_rankings_of_one_item_each_and_the_rest(x64):
    # First choices alone: strengths are log frequencies.
    counts = np.array([5.0, 3.0, 2.0])
    data = Rankings.from_orders([[0], [1], [2]], unlisted="last", n_items=3, count=counts)
    strength = fit(PlackettLuce.init(3), data).model.strength
    np.testing.assert_allclose(strength, np.log(counts) - np.log(counts).mean(), atol=1e-12)
