"""Finite programs, exactly."""

import itertools

import numpy as np
import pytest

from scorax.inference.validity import enumerate_kernel, enumerate_outcomes

TARGET = np.array([0.2, 0.5, 0.3])
# Steps from each of three states; not symmetric.
PROPOSAL = np.array([[0.1, 0.6, 0.3], [0.3, 0.2, 0.5], [0.5, 0.5, 0.0]])


def law(outcomes):
    total = {}
    for outcome, probability in outcomes:
        total[outcome] = total.get(outcome, 0) + probability
    return total


def test_paths_are_all_there_and_sum_to_one():
    def program(choose):
        first = choose([0.0, 0.25, 0.75])
        return (first, *(choose([0.5, 0.5]) for _ in range(first)))

    found = enumerate_outcomes(program)
    assert sum(p for _, p in found) == pytest.approx(1)
    expected = {(1, i): 0.125 for i in range(2)} | {(2, i, j): 0.1875 for i, j in itertools.product(range(2), repeat=2)}
    assert law(found) == expected
    assert enumerate_outcomes(lambda choose: "no choice") == [("no choice", 1.0)]


def test_sums_of_coins_are_binomial():
    found = law(enumerate_outcomes(lambda choose: sum(choose([0.7, 0.3]) for _ in range(5))))
    expected = [np.prod([(5 - i) / (i + 1) for i in range(k)]) * 0.3**k * 0.7 ** (5 - k) for k in range(6)]
    np.testing.assert_allclose([found[k] for k in range(6)], expected, rtol=1e-12)


@pytest.mark.parametrize("p", [[0.5, 0.6], [1.5, -0.5], [np.nan, 1.0], 1.0])
def test_what_is_no_distribution_is_refused(p):
    with pytest.raises(ValueError, match="probabilities that sum to 1"):
        enumerate_outcomes(lambda choose: choose(p))


def metropolis(choose, state, *, hastings=True):
    new = choose(PROPOSAL[state])
    ratio = TARGET[new] / TARGET[state]
    if hastings:
        ratio *= PROPOSAL[new, state] / PROPOSAL[state, new]
    accept = min(1.0, ratio)
    return new if choose([1 - accept, accept]) else state


def test_metropolis_hastings_leaves_its_target_alone_to_the_last_digit():
    kernel = enumerate_kernel(metropolis, range(3))
    np.testing.assert_allclose(kernel.transition.sum(1), 1, rtol=1e-15)
    assert kernel.error(TARGET) < 1e-15
    np.testing.assert_allclose(kernel.stationary, TARGET, rtol=1e-13)


def test_without_the_hastings_term_it_does_not():
    kernel = enumerate_kernel(lambda choose, state: metropolis(choose, state, hastings=False), range(3))
    assert kernel.error(TARGET) > 0.01


LIKELIHOOD = np.array([[0.2, 1.4], [0.5, 0.7]])
"""Two equally likely estimates of the likelihood of each of two parameters: means 0.8 and 0.6."""


def pseudo_marginal(choose, state, *, keep=True):
    theta, estimate = state
    new = 1 - theta
    proposed, current = choose([0.5, 0.5]), estimate if keep else choose([0.5, 0.5])
    accept = min(1.0, LIKELIHOOD[new, proposed] / LIKELIHOOD[theta, current])
    return (new, proposed) if choose([1 - accept, accept]) else (theta, estimate)


def test_pseudo_marginal_chain_is_exact_and_its_stored_estimate_size_biased():
    states = list(itertools.product(range(2), repeat=2))
    right = enumerate_kernel(pseudo_marginal, states)
    np.testing.assert_allclose(right.stationary, LIKELIHOOD.ravel() / LIKELIHOOD.sum(), rtol=1e-13)
    wrong = enumerate_kernel(lambda choose, state: pseudo_marginal(choose, state, keep=False), states)
    assert abs(wrong.stationary.reshape(2, 2).sum(1)[0] - 0.8 / 1.4) > 0.05


def particle_filter(choose, *, scheme, weigh=True):
    """Estimate of the evidence of a hidden Markov model with two states, three observations, two particles."""
    start, move, emit = np.array([0.6, 0.4]), np.array([[0.7, 0.3], [0.2, 0.8]]), np.array([[0.9, 0.1], [0.3, 0.7]])
    observed = (0, 1, 1)
    weight = np.full(2, 0.5)
    states = [choose(start) for _ in range(2)]
    for t, y in enumerate(observed):
        if t:
            total = weight.sum()
            ancestors = scheme(choose, weight / total)
            states = [choose(move[states[a]]) for a in ancestors]
            weight = np.full(2, (total if weigh else 1.0) / 2)
        weight = weight * emit[states, y]
    return float(weight.sum())


def multinomial(choose, share):
    return [choose(share) for _ in range(2)]


def residual(choose, share):
    copies = np.floor(2 * share + 1e-12).astype(int)
    rest = 2 * share - copies
    left = 2 - copies.sum()
    return [*np.repeat([0, 1], copies), *(choose(rest / rest.sum()) for _ in range(left))]


def exact_evidence():
    start, move, emit = np.array([0.6, 0.4]), np.array([[0.7, 0.3], [0.2, 0.8]]), np.array([[0.9, 0.1], [0.3, 0.7]])
    return float(((start * emit[:, 0]) @ move * emit[:, 1]) @ move @ emit[:, 1])


@pytest.mark.parametrize("scheme", [multinomial, residual])
def test_particle_filter_is_unbiased_over_all_its_paths(scheme):
    outcomes = enumerate_outcomes(lambda choose: particle_filter(choose, scheme=scheme))
    assert sum(z * p for z, p in outcomes) == pytest.approx(exact_evidence(), rel=1e-13)


def test_forgetting_the_weight_of_what_was_resampled_is_not():
    outcomes = enumerate_outcomes(lambda choose: particle_filter(choose, scheme=multinomial, weigh=False))
    assert sum(z * p for z, p in outcomes) / exact_evidence() > 1.5


def test_states_that_do_not_meet_have_no_single_law():
    assert np.isnan(enumerate_kernel(lambda choose, state: state, "ab").stationary).all()


def test_leaving_the_states_is_an_error():
    with pytest.raises(ValueError, match="from 2 to 3, which is none of the 3 states"):
        enumerate_kernel(lambda choose, state: state + 1, range(3))
