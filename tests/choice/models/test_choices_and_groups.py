"""Single choices, groups of rankers, rankers of different care."""

import itertools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.choice import (
    AdherencePrior,
    AdherentPlackettLuce,
    LuceChoice,
    PlackettLuce,
    PlackettLuceMixture,
    fit_plackett_luce_mixture,
    luce_choice_log_prob,
    plackett_luce_log_prob,
)
from scorax.data import Choices, Rankings
from scorax.inference import fit, log_likelihood

K = 5
ORDERS = np.array(list(itertools.permutations(range(4))))


def test_a_choice_is_the_first_place_of_a_ranking(dtype):
    strength = jnp.asarray([0.3, -1.0, 2.0, jnp.nan], dtype)
    where = jnp.arange(4) < 3
    value, gradient = jax.jit(jax.value_and_grad(luce_choice_log_prob))(strength, where=where)
    rest = jnp.log(jnp.exp(strength[1:3]).sum())
    expected = plackett_luce_log_prob(strength[:1], rest=rest)
    np.testing.assert_allclose(value, expected, rtol=8 * float(jnp.finfo(dtype).eps))
    assert gradient[3] == 0
    np.testing.assert_allclose(gradient[:3].sum(), 0.0, atol=8 * float(jnp.finfo(dtype).eps))


@pytest.fixture(scope="module")
def choices():
    generator = np.random.default_rng(0)
    sets = [generator.permutation(K)[: generator.integers(2, K + 1)].tolist() for _ in range(60)]
    return Choices.from_lists([items[0] for items in sets], [items[1:] for items in sets], n_items=K)


def test_choices_and_rankings_of_one_item_are_the_same_data(choices, x64):
    one = fit(LuceChoice.init(K), choices)
    other = fit(PlackettLuce.init(K), choices.rankings(K))
    np.testing.assert_allclose(one.model.strength, other.model.strength, atol=1e-10)
    np.testing.assert_allclose(one.log_likelihood, other.log_likelihood, rtol=1e-12)


def test_simulated_choices_have_the_probabilities_of_the_model(x64):
    model = LuceChoice(jnp.asarray([0.5, -0.5, 0.0]))
    design = Choices.from_arrays(np.tile([0, 1, 2], (20_000, 1)))
    drawn = jax.jit(lambda key: model.simulate(design, key=key))(jax.random.key(0))
    assert (np.sort(drawn.offered, axis=1) == np.arange(3)).all()
    share = jnp.bincount(drawn.offered[:, 0], length=3) / 20_000
    # Four standard deviations of a share near 1/3.
    np.testing.assert_allclose(share, jax.nn.softmax(model.strength), atol=4 * 0.0034)


BAD = {
    "alone": (lambda: Choices.from_lists([0], [[]]), "there was only one item to choose from in 1 row"),
    "twice": (lambda: Choices.from_lists([0, 1], [[1], [0, 0]]), "an item is listed twice in 1 row (row 1)"),
    "unknown": (lambda: Choices.from_arrays([[0, 3]], n_items=3), "offered is no id from 0 to 2"),
}


@pytest.mark.parametrize(("act", "message"), BAD.values(), ids=BAD)
def test_bad_choices_are_refused(act, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        act()


def two_groups(n, generator):
    """Rankings of four items by two groups, three to two, who think quite differently."""
    strength = np.array([[2.0, 0.7, -0.7, -2.0], [-1.5, 1.5, -1.5, 1.5]])
    group = (generator.random(n) < 0.4).astype(int)
    order = np.argsort(-(strength[group] + generator.gumbel(size=(n, 4))), axis=1)
    return strength, Rankings.from_arrays(order)


@pytest.mark.slow
def test_a_mixture_of_equal_groups_is_one_group(x64):
    strength = jnp.asarray([0.5, 0.2, -0.7, 0.0])
    mixture = PlackettLuceMixture(jnp.asarray([0.3, 0.7]), jnp.stack([strength, strength]))
    data = Rankings.from_arrays(ORDERS)
    np.testing.assert_allclose(mixture.log_prob(data), PlackettLuce(strength).log_prob(data), rtol=1e-13)
    np.testing.assert_allclose(jnp.exp(mixture.log_prob(data)).sum(), 1.0, rtol=1e-13)
    share = jax.nn.softmax(mixture.log_joint(data), axis=1)
    np.testing.assert_allclose(share, np.tile([0.3, 0.7], (24, 1)), rtol=1e-12)


@pytest.mark.slow
def test_groups_are_found_from_random_starts(x64):
    truth, data = two_groups(1500, np.random.default_rng(0))
    result = fit_plackett_luce_mixture(data.aggregate(), 4, 2, key=jax.random.key(1), n_starts=4)
    assert result.diagnostics.converged
    error = result.std_error
    # Within four standard errors of the truth, largest group first.
    assert (abs(result.model.strength - truth) < 4 * error.strength).all()
    assert (abs(result.model.weight - jnp.asarray([0.6, 0.4])) < 4 * error.weight).all()
    single = fit(PlackettLuce.init(4), data)
    # Far beyond chance: twice the gain is chi-square with four degrees of freedom if there is one group.
    assert 2 * (result.log_likelihood - single.log_likelihood) > 100


def test_an_adherence_multiplies_the_strengths(x64):
    strength = jnp.asarray([0.5, 0.2, -0.7, 0.0])
    model = AdherentPlackettLuce(strength, jnp.asarray([1.0, 2.5]))
    data = Rankings.from_orders([[0, 2], [3, 1]], cluster=[0, 1], unlisted="last", n_items=4)
    plain = [PlackettLuce(scale * strength).log_prob(data)[row] for row, scale in enumerate((1.0, 2.5))]
    np.testing.assert_allclose(model.log_prob(data), jnp.stack(plain), rtol=1e-13)


@pytest.mark.slow
def test_careful_and_careless_rankers_are_told_apart(x64):
    generator = np.random.default_rng(0)
    truth = AdherentPlackettLuce(jnp.asarray([1.5, 0.5, -0.5, -1.5]), jnp.asarray([0.3, 1.7]))
    design = Rankings.from_arrays(np.tile(np.arange(4), (600, 1)), cluster=generator.integers(0, 2, 600))
    data = truth.simulate(design, key=jax.random.key(0))
    start = AdherentPlackettLuce.init(4, 2)
    found = fit(start, data, prior=AdherencePrior(start))
    assert found.diagnostics.converged
    assert found.model.adherence[1] / found.model.adherence[0] > 2
    assert log_likelihood(found.model, data) > log_likelihood(
        AdherentPlackettLuce(found.model.strength, jnp.ones(2)), data
    )
    with pytest.raises(ValueError, match="asks who ranked"):
        fit(start, Rankings.from_arrays(ORDERS), prior=AdherencePrior(start))
