"""The forest plot: what it shows, and that it leaves no trace in pyplot."""

import sys

import numpy as np
import pytest

from scorax.choice import Leaderboard, LeaderboardRow
from scorax.plot import plot_leaderboard


def board(n, scale="elo"):
    rows = [
        LeaderboardRow(
            f"item {i}",
            1000.0 - 10 * i,
            0.0,
            5.0,
            990.0 - 10 * i,
            1010.0 - 10 * i,
            i + 1,
            max(i, 1),
            min(i + 2, n),
            p,
            9.0,
        )
        for i, p in enumerate([0.9, 0.0999, *[0.0001] * (n - 2)])
    ]
    return Leaderboard(tuple(rows), 0.9, scale)


def texts(ax):
    return [text.get_text() for text in ax.texts]


def test_rows_intervals_and_columns():
    ax = plot_leaderboard(board(4))
    assert [label.get_text() for label in ax.get_yticklabels()] == [f"{i + 1}  item {i}" for i in range(4)]
    # Best on top.
    assert ax.yaxis_inverted()
    intervals = [line for line in ax.lines if line.get_linestyle() == "-"]
    np.testing.assert_array_equal(
        [line.get_xdata() for line in intervals], [[990 - 10 * i, 1010 - 10 * i] for i in range(4)]
    )
    assert texts(ax) == ["ranks", "1–2", "1–3", "2–4", "3–4", "P(best)", "90 %", "10 %", "", ""]
    assert "90 % intervals" in ax.get_xlabel()


def test_items_that_may_be_the_best_have_their_own_colour():
    ax = plot_leaderboard(board(4))
    intervals = [line.get_color() for line in ax.lines if line.get_linestyle() == "-"]
    assert intervals[0] == intervals[1]
    assert intervals[2] == intervals[3] != intervals[0]


def test_top_keeps_the_first_rows_and_height_follows_rows():
    small, large = plot_leaderboard(board(59), top=5), plot_leaderboard(board(59))
    assert len(small.get_yticklabels()) == 5
    assert large.figure.get_figheight() > 5 * small.figure.get_figheight()


def test_everything_is_inside_the_figure():
    ax = plot_leaderboard(board(59))
    ax.figure.draw_without_rendering()
    width, height = ax.figure.get_size_inches() * ax.figure.dpi
    for text in [*ax.texts, *ax.get_yticklabels(), ax.xaxis.label]:
        box = text.get_window_extent()
        assert box.x0 >= 0
        assert box.x1 <= width
        assert box.y0 >= 0
        assert box.y1 <= height


def test_draws_into_given_axes():
    from matplotlib.figure import Figure

    axes = Figure().subplots(1, 2)
    assert plot_leaderboard(board(3, "log"), ax=axes[1]) is axes[1]
    assert not axes[0].lines
    assert "natural-log worth" in axes[1].get_xlabel()


def test_pyplot_knows_nothing_of_it():
    plot_leaderboard(board(3))
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or pyplot.get_fignums() == []


@pytest.mark.parametrize(("n", "top", "words"), [(3, 0, "top must be at least 1"), (0, None, "no rows")])
def test_nothing_to_draw(n, top, words):
    nothing = Leaderboard(board(3).rows[:n], 0.95, "elo")
    with pytest.raises(ValueError, match=words):
        plot_leaderboard(nothing, top=top)
