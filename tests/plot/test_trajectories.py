"""Skills over time: lines, bands, and names at the end."""

import jax.numpy as jnp
import numpy as np
import pytest

from scorax.plot import plot_trajectories

TIMES = jnp.array([0.0, 1.0, 3.0])
MEAN = jnp.array([[0.0, 0.5, 1.0], [0.0, -0.5, -1.0], [0.1, 0.0, -0.1]])
STD = jnp.array([[0.1, 0.2, 0.3]] * 3)
NAMES = ["a", "b", "c"]


def test_the_best_at_the_end_are_named_and_have_bands():
    ax = plot_trajectories(TIMES, MEAN, STD, NAMES, top=2, level=0.9)
    assert [text.get_text() for text in ax.texts] == ["a", "c"]
    assert len(ax.collections) == 2
    band = ax.collections[0].get_datalim(ax.transData)
    assert band.y0 == pytest.approx(0 - 1.644854 * 0.1, rel=1e-5)
    assert band.y1 == pytest.approx(1 + 1.644854 * 0.3, rel=1e-5)
    assert ax.get_xlabel() == "time, with 90 % bands; grey: the other 1"


def test_every_line_is_the_mean_and_named_ones_have_colours_of_their_own():
    ax = plot_trajectories(TIMES, MEAN, STD, NAMES)
    drawn = {tuple(line.get_ydata().round(3)): line.get_color() for line in ax.lines}
    assert set(drawn) == {tuple(np.asarray(row, float).round(3)) for row in MEAN}
    assert len(set(drawn.values())) == 3
    assert [text.get_color() for text in ax.texts] == [line.get_color() for line in ax.lines]


def test_names_that_would_meet_are_moved_apart_in_their_order():
    level = jnp.zeros((20, 3)).at[:, 2].set(jnp.linspace(0, 0.01, 20))
    texts = plot_trajectories(TIMES, level, 0.2 + 0 * level, [str(i) for i in range(20)], top=20).texts
    heights = [text.xyann[1] for text in texts]
    assert [text.get_text() for text in texts] == [str(i) for i in reversed(range(20))]
    assert np.ptp(np.diff(heights)) == pytest.approx(0, abs=1e-9)
    assert heights[0] - heights[-1] > 0.1
    assert np.mean(heights) == pytest.approx(0.005, abs=1e-6)


@pytest.mark.parametrize(
    ("times", "mean", "std", "arguments", "words"),
    [
        (TIMES.at[1].set(5.0), MEAN, STD, {}, "times must rise: they do not after place 1"),
        (TIMES[:1], MEAN[:, :1], STD[:, :1], {}, "at least two times"),
        (TIMES, MEAN.at[0, 0].set(jnp.nan), STD, {}, "mean is missing or infinite in 1 of 9"),
        (TIMES, MEAN, -STD, {}, "std is negative in 9 of 9"),
        (TIMES, MEAN, STD, {"top": 0}, "top must be at least 1"),
        (TIMES, MEAN, STD, {"level": 0.0}, "level must be between 0 and 1"),
        (TIMES, MEAN[:2], STD[:2], {}, "3 names for 2 items"),
    ],
)
def test_what_cannot_be_drawn_is_refused(times, mean, std, arguments, words):
    with pytest.raises(ValueError, match=words):
        plot_trajectories(times, mean, std, NAMES, **arguments)
