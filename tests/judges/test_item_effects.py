"""Judges who err together: an item's leniency that all of them share."""

import dataclasses
import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import pytest

from scorax.data import Annotations
from scorax.inference import fit, supports
from scorax.judges import ConstancyPrior, SimplexJudge, SimplexPrior
from tests.judges.conftest import random_model


def together(dtype, effect=0.8, **settings):
    model = random_model(dtype, **settings)
    return dataclasses.replace(model, item_effect=jnp.full(model.n_judges, effect, dtype))


@eqx.filter_jit
def log_prob(model, data):
    return model.log_prob(data)


@pytest.mark.parametrize("varies", [False, True])
def test_without_effect_it_is_the_model_of_independent_judges(ragged, dtype, varies):
    plain, effect = random_model(dtype), together(dtype, 0.0)
    if varies:
        plain, effect = plain.per_candidate(), effect.per_candidate()
    close = {"rtol": 1e2 * jnp.finfo(dtype).eps, "atol": 1e2 * jnp.finfo(dtype).eps}
    np.testing.assert_allclose(log_prob(effect, ragged), log_prob(plain, ragged), **close)
    np.testing.assert_allclose(effect.label_posterior(ragged), plain.label_posterior(ragged), **close)
    np.testing.assert_allclose(effect.observed_distribution(), plain.observed_distribution(), **close)


def test_confusions_alike_for_all_candidates_are_those_of_the_judge(ragged, x64):
    model = together(jnp.dtype("float64"))
    for data in (ragged, model.condense(ragged)):
        np.testing.assert_allclose(log_prob(model.per_candidate(), data), log_prob(model, data), rtol=1e-12)


def test_the_sign_of_all_effects_says_nothing(ragged, x64):
    model = together(jnp.dtype("float64"))
    mirrored = dataclasses.replace(model, item_effect=-model.item_effect)
    np.testing.assert_allclose(log_prob(mirrored, ragged), log_prob(model, ragged), rtol=1e-12)


def every_pattern(n_judges, n_levels):
    labels = np.asarray(list(itertools.product(range(n_levels), repeat=n_judges)))
    return Annotations.from_arrays(labels, np.tile(np.arange(n_judges), (len(labels), 1)))


def test_patterns_have_the_probability_of_their_integral(x64):
    model = together(jnp.dtype("float64"), n_candidates=1)
    patterns = every_pattern(3, 3)
    found = np.exp(log_prob(model, patterns))
    # Exact for any number of nodes: at each node the labels of a judge sum to one.
    assert abs(found.sum() - 1) < 1e-12
    # A Riemann sum over +-8 of a smooth function that vanishes at its ends has no error beyond rounding.
    grid = np.linspace(-8, 8, 801)
    mass = np.exp(-(grid**2) / 2)
    tilt = np.exp(0.8 * grid[:, None] * (np.arange(3) - 1))
    rows = np.asarray(model.confusion)[None] * tilt[:, None, None, :]
    rows /= rows.sum(-1, keepdims=True)
    chosen = rows[:, np.arange(3)[None], :, np.asarray(patterns.label)]  # [pattern, judge, grid, m]
    given = chosen.prod(1)
    expected = np.einsum("m,pgm,g->p", np.asarray(model.prevalence[0]), given, mass / mass.sum())
    # With 31 nodes the error of the rule was 9e-10 at most, over five models and 200 patterns of each.
    np.testing.assert_allclose(found, expected, rtol=1e-7)


def test_simulated_patterns_have_their_probabilities(x64):
    model = together(jnp.dtype("float64"), 1.5, n_candidates=1, n_levels=2)
    patterns = every_pattern(3, 2)
    n = 40_000
    design = Annotations.from_arrays(np.zeros((n, 3), int), np.tile(np.arange(3), (n, 1)))
    labels = np.asarray(model.simulate(design, key=jax.random.key(0)).label)
    found = np.bincount(labels @ [4, 2, 1], minlength=8) / n
    # Four standard errors of the largest share.
    np.testing.assert_allclose(found, np.exp(log_prob(model, patterns)), atol=4 * 0.5 / n**0.5)


def test_gradients_are_those_of_differences_and_finite_at_zeros(ragged, x64):
    model = together(jnp.dtype("float64"))

    @jax.jit
    def total(effect, confusion):
        return dataclasses.replace(model, item_effect=effect, confusion=confusion).log_prob(ragged).sum()

    slope = jax.jit(jax.grad(total, argnums=(0, 1)))
    at = [model.item_effect[None] + sign * 1e-5 * jnp.eye(3) for sign in (1, -1)]
    above, below = (jax.vmap(total, in_axes=(0, None))(effects, model.confusion) for effects in at)
    differences = (above - below) / 2e-5
    np.testing.assert_allclose(slope(model.item_effect, model.confusion)[0], differences, rtol=1e-6, atol=1e-8)
    perfect = model.confusion.at[0].set(jnp.eye(3))
    assert all(jnp.isfinite(part).all() for part in slope(model.item_effect, perfect))


@pytest.mark.slow
def test_a_mode_finds_the_effect_and_what_it_does_to_prevalences(x64):
    rows = 0.8 * jnp.eye(3) + 0.1 * (1 - jnp.eye(3))
    truth = SimplexJudge(
        jnp.array([[0.5, 0.3, 0.2]]), jnp.broadcast_to(rows, (4, 3, 3)), (1.0, 2.0, 3.0), jnp.full(4, 1.2)
    )
    n = 6000
    design = Annotations.from_arrays(np.zeros((n, 4), int), np.tile(np.arange(4), (n, 1)))
    data = truth.simulate(design, key=jax.random.key(1)).aggregate()
    start = SimplexJudge.from_majority_vote(data, 1, 4, 3, item_effects=True)
    apart = dataclasses.replace(start, item_effect=None)
    # Without a prior four judges on three levels leave a ridge: great effects, judges who never err.
    settings = {"strength": 20.0, "accuracy": 0.7, "reach": float("inf"), "concentration": 2.0}
    together = fit(start, data, prior=SimplexPrior(start, **settings))
    without = fit(apart, data, prior=SimplexPrior(apart, **settings))
    effect, error = (np.asarray(result.item_effect) for result in (together.model, together.std_error))
    np.testing.assert_array_less(np.abs(effect - 1.2), 4 * error)
    share, error = (np.asarray(result.prevalence) for result in (together.model, together.std_error))
    np.testing.assert_array_less(np.abs(share - truth.prevalence), 4 * error)
    # Judges taken for independent: the answers seem more alike than they are, and with great confidence.
    missed = np.abs(np.asarray(without.model.prevalence - truth.prevalence) / without.std_error.prevalence)
    assert missed.max() > 6


def test_effects_are_real_numbers_whose_prior_is_half_normal():
    model = SimplexJudge.init(2, 3, 2, item_effects=True)
    assert [str(support) for support in supports(model)][-1] == "Real()"
    drawn = numpyro.handlers.seed(SimplexPrior(model, item_effect_sd=0.1), 0)()
    assert (drawn.item_effect >= 0).all()
    assert drawn.item_effect.max() < 0.6
    assert numpyro.handlers.seed(ConstancyPrior(model.per_candidate()), 0)().item_effect.shape == (3,)


def test_a_prior_without_effects_is_refused_for_judges_who_have_them():
    model = SimplexJudge.init(2, 3, 2, item_effects=True).per_candidate()
    with pytest.raises(ValueError, match="one has item effects, the other has none"):
        ConstancyPrior(model, judges=SimplexPrior(SimplexJudge.init(2, 3, 2)))
