import numpy as np
import pytest

from scorax.judges import constancy_conflict


def counts(rates, n, seed):
    return np.random.default_rng(seed).binomial(n, rates), np.full(rates.shape, n)


def test_weak_judges_of_one_mind_are_no_conflict(x64):
    """Under constancy it is found at most once in twenty; forty draws of it, so at most six but once in a hundred."""
    quality = np.linspace(0.3, 0.7, 6)
    rates = np.array([[0.1], [0.4], [0.05]]) + np.array([[0.8], [0.2], [0.5]]) * quality
    found = [bool(constancy_conflict(*counts(rates, 400, seed)).found) for seed in range(40)]
    assert sum(found) <= 6


def test_a_judge_who_favours_its_own_is_found(x64):
    quality = np.linspace(0.3, 0.7, 6)
    rates = np.array([[0.1], [0.2]]) + np.array([[0.8], [0.6]]) * quality
    rates[1, 0] += 0.35
    result = constancy_conflict(*counts(rates, 400, 0))
    assert result.found
    # Its favourite is the worst candidate for the other one: all conflicts are about it.
    pairs = np.argwhere(result.conflict)
    assert (pairs.min(1) == 0).all()
    np.testing.assert_array_equal(result.conflict, np.asarray(result.conflict).T)
    np.testing.assert_allclose(result.p_value, np.asarray(result.p_value).T)
    assert (np.diagonal(result.p_value) == 1).all()


def test_a_judge_who_saw_nobody_says_nothing(x64):
    approved, rated = np.array([[70.0, 50.0], [40.0, 65.0], [0.0, 0.0]]), np.full((3, 2), 100.0)
    rated[2] = 0
    with_idle, without = constancy_conflict(approved, rated), constancy_conflict(approved[:2], rated[:2])
    assert (with_idle.ahead[2] == 0).all()
    # Only the correction for the number of judges is larger.
    np.testing.assert_allclose(with_idle.p_value[0, 1], 1.5 * without.p_value[0, 1])


@pytest.mark.parametrize(
    ("approved", "rated", "words"),
    [
        (np.ones((1, 2)), np.ones((1, 2)), "two judges and two"),
        (np.array([[1.0, 3.0], [0.0, 1.0]]), np.full((2, 2), 2.0), "judge 0 cannot have approved 3 of 2"),
        (np.ones((2, 2)), np.ones((2, 3)), "expected"),
    ],
)
def test_what_makes_no_sense_is_refused(approved, rated, words):
    with pytest.raises(ValueError, match=words):
        constancy_conflict(approved, rated)
