"""The matrix of wins: order, cells, colours around one half, and what is no probability."""

import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from scorax.plot import plot_win_probability

# Item 2 beats all, item 0 beats item 1.
WIN = jnp.array([[0.5, 0.7, 0.2], [0.3, 0.5, 0.1], [0.8, 0.9, 0.5]])


def cells(ax):
    return np.ma.filled(ax.collections[0].get_array(), np.nan)


def test_best_on_top_and_the_diagonal_empty():
    ax = plot_win_probability(WIN, ["a", "b", "c"])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["1  c", "2  a", "3  b"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["1", "2", "3"]
    np.testing.assert_allclose(cells(ax), [[np.nan, 0.8, 0.9], [0.2, np.nan, 0.7], [0.1, 0.3, np.nan]], rtol=1e-6)
    said = {text.get_position(): text.get_text() for text in ax.texts}
    assert said == {(1, 0): "80", (2, 0): "90", (0, 1): "20", (2, 1): "70", (0, 2): "10", (1, 2): "30"}


def test_blue_above_one_half_orange_below_and_pale_between():
    colours = plot_win_probability(WIN, ["a", "b", "c"]).collections[0].get_cmap()
    (low_red, _, low_blue), (high_red, _, high_blue) = colours(0.1)[:3], colours(0.9)[:3]
    assert low_red > low_blue
    assert high_blue > high_red
    assert min(colours(0.5)[:3]) > min(to_rgb("#eeeeee"))


def test_pairs_that_never_met_are_empty_and_do_not_count():
    ax = plot_win_probability(WIN.at[0, 2].set(jnp.nan).at[2, 0].set(jnp.nan), ["a", "b", "c"], top=2)
    # Means over the others known: 0.9, 0.7, 0.2.
    assert [label.get_text() for label in ax.get_yticklabels()] == ["1  c", "2  a"]
    assert np.isnan(cells(ax)).all()


@pytest.mark.parametrize(
    ("win_prob", "names", "top", "words"),
    [
        (WIN[:2], ["a", "b", "c"], None, r"shape \(2, 3\)"),
        (WIN[:1, :1], ["a"], None, "at least two items"),
        (WIN, ["a"], None, "1 names for 3 items"),
        (WIN, ["a", "b", "c"], 0, "top must be at least 1"),
        (WIN.at[1, 2].set(1.5), ["a", "b", "c"], None, r"win_prob\[1, 2\] is 1.5"),
        (WIN.at[1, 2].set(jnp.inf), ["a", "b", "c"], None, r"win_prob\[1, 2\] is inf"),
        (WIN.at[1].set(jnp.nan), ["a", "b", "c"], None, "nothing of 'b'"),
    ],
)
def test_what_cannot_be_drawn_is_refused(win_prob, names, top, words):
    # The annotation asks for a square matrix too, and would speak first.
    function = getattr(plot_win_probability, "__wrapped__", plot_win_probability)
    with pytest.raises(ValueError, match=words):
        function(win_prob, names, top=top)
