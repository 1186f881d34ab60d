"""Predicted against observed: points, bars cut at 0 and 1, counts, colours."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from scorax.choice import CalibrationTable
from scorax.plot import plot_calibration

# The second bin is empty; the third misses the line; the bar of the last would pass 1.
TABLE = CalibrationTable(
    lower=jnp.array([0.5, 0.625, 0.75, 0.875]),
    upper=jnp.array([0.625, 0.75, 0.875, 1.0]),
    count=jnp.array([400.0, 0.0, 100.0, 10.0]),
    predicted=jnp.array([0.55, jnp.nan, 0.8, 0.9]),
    observed=jnp.array([0.56, jnp.nan, 0.6, 0.95]),
    std_error=jnp.array([0.025, jnp.nan, 0.04, 0.1]),
)


def bars(ax):
    """Intervals without the diagonal, which comes first."""
    return [line for line in ax.lines[1:] if line.get_marker() == "None"]


def test_points_and_intervals_of_bins_that_hold_something():
    ax = plot_calibration(TABLE)
    points = [line.get_xydata()[0] for line in ax.lines if line.get_marker() == "o"]
    np.testing.assert_allclose(points, [[0.55, 0.56], [0.8, 0.6], [0.9, 0.95]], rtol=1e-6)
    reach = 1.959964 * np.array([0.025, 0.04])
    for line, middle, half in zip(bars(ax), (0.56, 0.6), reach, strict=False):
        np.testing.assert_allclose(line.get_ydata(), [middle - half, middle + half], rtol=1e-5)
    assert bars(ax)[2].get_ydata()[1] == 1
    np.testing.assert_array_equal(ax.lines[0].get_xydata(), [[0.5, 0.5], [1, 1]])


def test_bins_that_miss_the_line_have_their_own_colour():
    first, third, last = (line.get_color() for line in bars(plot_calibration(TABLE)))
    assert first == last != third
    # A wider interval reaches it.
    assert len({line.get_color() for line in bars(plot_calibration(TABLE, level=1 - 1e-7))}) == 1


def test_counts_are_said_where_there_is_room():
    ax = plot_calibration(TABLE)
    assert [text.get_text() for text in ax.texts] == ["400", "100", "10"]
    assert ax.get_xlabel() == "predicted score of the favourite; 510 comparisons, 95 % intervals"
    edges = jnp.linspace(0.5, 1, 41)
    middle = (edges[1:] + edges[:-1]) / 2
    fine = CalibrationTable(edges[:-1], edges[1:], jnp.full(40, 5.0), middle, middle, jnp.full(40, 0.1))
    assert not plot_calibration(fine).texts


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ValueError, match="every bin is empty"):
        plot_calibration(dataclasses.replace(TABLE, count=jnp.zeros(4)))
    with pytest.raises(ValueError, match="level must be between 0 and 1"):
        plot_calibration(TABLE, level=0.0)
