"""Bars to compare by eye: how long they are, and what their colours say."""

import jax.numpy as jnp
import numpy as np
import pytest

from scorax.choice import QuasiVariances
from scorax.plot import plot_comparison_intervals

NAMES = ["a", "b", "c"]


def quasi(*std_error, error=0.0):
    k = len(std_error)
    return QuasiVariances(jnp.array(std_error) ** 2, jnp.full((k, k), error), jnp.asarray(True))


def bars(ax):
    return [line for line in ax.lines if line.get_marker() == "|"]


def test_two_bars_touch_where_the_difference_is_just_significant():
    # 1.96 standard errors of a difference of two independent estimates of standard error 0.1.
    gap = 1.959964 * 0.1 * np.sqrt(2)
    ax = plot_comparison_intervals(jnp.array([0.0, gap, -1.0]), quasi(0.1, 0.1, 0.1), NAMES)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["b", "a", "c"]
    best, second, _ = (line.get_xdata() for line in bars(ax))
    assert best[0] == pytest.approx(second[1], abs=1e-6)


def test_blue_only_while_the_bar_reaches_that_of_the_best():
    ax = plot_comparison_intervals(jnp.array([0.0, 0.2, -1.0]), quasi(0.1, 0.1, 0.1), NAMES)
    first, second, third = (line.get_color() for line in bars(ax))
    assert first == second != third


def test_top_and_level_and_the_words_below():
    ax = plot_comparison_intervals(
        jnp.array([0.0, 0.2, -1.0]), quasi(0.1, 0.1, 0.1, error=-0.04), NAMES, top=1, level=0.9
    )
    (best,) = bars(ax)
    assert np.ptp(best.get_xdata()) == pytest.approx(2 * 1.644854 * 0.1 / np.sqrt(2), rel=1e-5)
    assert "differ at 90 %" in ax.get_xlabel()
    assert "off by −4 to −4 %" in ax.get_xlabel()


@pytest.mark.parametrize(
    ("strength", "variances", "arguments", "words"),
    [
        ([0.0, 1.0, jnp.nan], quasi(1.0, 1.0, 1.0), {}, "strength is missing or infinite in 1 of 3"),
        ([0.0, 1.0, 2.0], quasi(1.0, jnp.nan, 1.0), {}, "quasi.variance is missing or infinite in 1 of 3"),
        ([0.0, 1.0, 2.0], quasi(1.0, 1.0), {}, "quasi-variances of 2 items for 3"),
        ([0.0, 1.0, 2.0], quasi(1.0, 1.0, 1.0), {"level": 1.0}, "level must be between 0 and 1"),
        ([0.0, 1.0, 2.0], quasi(1.0, 1.0, 1.0), {"top": 0}, "top must be at least 1"),
        ([0.0, 1.0], quasi(1.0, 1.0), {}, "3 names for 2 items"),
    ],
)
def test_what_cannot_be_drawn_is_refused(strength, variances, arguments, words):
    with pytest.raises(ValueError, match=words):
        plot_comparison_intervals(jnp.array(strength), variances, NAMES, **arguments)
