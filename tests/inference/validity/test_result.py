import itertools

import numpy as np
import pytest
import scipy.stats

from scorax.inference.validity import TestResult
from scorax.inference.validity._result import holm, mean_test, t_tests, together, undecided


def test_holm_is_bonferroni_of_the_smallest_and_goes_on_from_there():
    p_values = np.array([0.01, 0.04, 0.03, 0.005])
    # 4 · 0.005, 3 · 0.01, 2 · 0.03, and no less than the one before.
    np.testing.assert_allclose(holm(p_values), [0.03, 0.06, 0.06, 0.02])


def test_holm_is_monotone_capped_and_knows_no_order():
    p_values = np.random.default_rng(0).uniform(size=6)
    corrected = holm(p_values)
    assert (corrected >= p_values).all()
    assert corrected.max() == 1
    for order in itertools.islice(itertools.permutations(range(6)), 0, 720, 97):
        np.testing.assert_array_equal(holm(p_values[list(order)]), corrected[list(order)])


def test_what_cannot_be_tested_takes_no_part():
    np.testing.assert_allclose(holm(np.array([np.nan, 0.02, 0.5])), [np.nan, 0.04, 0.5])
    result = together(["a", "b"], np.array([1.0, 2.0]), np.array([np.nan, 0.3]))
    assert (result.p_value, result.statistic, result.details["untested"]) == (0.3, 2.0, ("a",))


def test_t_tests_are_those_of_scipy():
    rows = np.random.default_rng(0).normal(0.3, 1.0, (40, 3))
    expected = np.array([0.0, 0.3, 1.0])
    means = t_tests(rows, expected)
    reference = scipy.stats.ttest_1samp(rows, expected)
    np.testing.assert_allclose(means.t, reference.statistic)
    np.testing.assert_allclose(means.p_value, reference.pvalue)


def test_what_never_varies_is_judged_by_its_value():
    rows = np.full((10, 2), 0.1)
    np.testing.assert_array_equal(t_tests(rows, np.array([0.1, 0.2])).p_value, [np.nan, 0.0])
    np.testing.assert_array_equal(t_tests(rows, np.array([0.1 + 1e-9, 0.2]), rounding=1e-6).p_value, [1.0, 0.0])


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (mean_test(["a"], np.array([[1.0], [np.nan], [np.inf]]), np.zeros(1)), "2 of 3 rows are not finite (first: 1)"),
        (mean_test(["a"], np.zeros((3, 1)), np.zeros(1)), "nothing varied"),
        (undecided("no reason"), "no reason"),
    ],
)
def test_no_answer_is_nan_with_a_reason(result, reason):
    assert np.isnan(result.p_value)
    assert np.isnan(result.statistic)
    assert reason in result.details["reason"]
    assert reason in str(result)
    assert not result.p_value > 0.01


def test_text_is_a_table():
    text = str(together(["level", "scale"], np.array([1.5, -3.0]), np.array([0.2, 0.004])))
    assert text.splitlines()[0] == "p = 0.008 (statistic -3)"
    assert [line.split()[0] for line in text.splitlines()[1:]] == ["level", "scale"]


def test_a_result_is_no_test_class():
    assert not TestResult.__test__
