"""What holds for each figure of the choice wing: nothing leaves the page or overlaps, and no trace is left."""

import itertools
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.figure import Figure

from scorax import plot
from scorax.choice import CalibrationTable, QuasiVariances, VoteInfluence, hodge_decompose
from scorax.data import Comparisons
from scorax.stats import RankSummary


def names(k):
    return [f"a rather long name of a model {i}" for i in range(k)]


def strength(k):
    # Most of them close together, so that names have to move apart.
    return jnp.asarray(np.random.default_rng(k).standard_t(2, k), jnp.float32)


def ranks(k, ax=None):
    even, rank = jnp.full((k, k), 1 / k), jnp.arange(1.0, k + 1)
    summary = RankSummary(even, rank, rank, rank, rank, even[0], even, even[0], rank)
    return plot.plot_ranks(summary, names(k), ax=ax)


def rank_intervals(k, ax=None):
    even, rank = jnp.full((k, k), 1 / k), jnp.arange(1.0, k + 1)
    summary = RankSummary(
        even, rank, rank, jnp.maximum(rank - 2, 1), jnp.minimum(rank + 2, k), even[0], even, even[0], rank
    )
    return plot.plot_rank_intervals(summary, names(k), ax=ax)


def segment(k, ax=None):
    approved = jnp.linspace(0.3, 0.7, k)
    judge = jnp.array([[0.8, 0.2], [0.2, 0.8]])
    return plot.plot_segment(judge, jnp.stack([1 - approved, approved], axis=1), names=names(k), ax=ax)


def win_probability(k, ax=None):
    return plot.plot_win_probability(jax.nn.sigmoid(strength(k)[:, None] - strength(k)[None, :]), names(k), ax=ax)


def comparison_intervals(k, ax=None):
    quasi = QuasiVariances(jnp.full(k, 0.01), jnp.zeros((k, k)), jnp.asarray(True))
    return plot.plot_comparison_intervals(strength(k), quasi, names(k), ax=ax)


def hodge(k, ax=None):
    flow = np.random.default_rng(0).normal(size=(k, k))
    parts = hodge_decompose(jnp.asarray(flow - flow.T, jnp.float32), jnp.ones((k, k)))
    return plot.plot_hodge(parts, names(k), ax=ax)


def vote_influence(k, ax=None):
    a, b = np.array(list(itertools.combinations(range(k), 2))).T
    change = np.random.default_rng(0).standard_t(2, len(a))
    influence = VoteInfluence(*(jnp.asarray(x, jnp.float32) for x in (change, 0 * change, 1.0)))
    return plot.plot_vote_influence(influence, Comparisons.from_arrays(a, b, np.ones(len(a))), names(k), ax=ax)


def trajectories(k, ax=None):
    times = jnp.linspace(2000, 2010, 5)
    mean = strength(k)[:, None] + jnp.zeros((k, 5))
    return plot.plot_trajectories(times, mean, jnp.full((k, 5), 0.1), names(k), top=20, ax=ax)


def calibration(k, ax=None):
    edges = jnp.linspace(0.5, 1, k + 1)
    middle = (edges[1:] + edges[:-1]) / 2
    return plot.plot_calibration(
        CalibrationTable(edges[:-1], edges[1:], jnp.full(k, 1234.0), middle, middle, jnp.full(k, 0.02)), ax=ax
    )


FIGURES = [
    ranks,
    rank_intervals,
    segment,
    win_probability,
    comparison_intervals,
    hodge,
    vote_influence,
    trajectories,
    calibration,
]
each_figure = pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.__name__)


def written(ax):
    """All texts of a figure that is laid out, with the places that they take."""
    insets = [axes for axes in ax.child_axes if axes.get_visible()]
    texts = [*ax.texts, ax.xaxis.label, ax.yaxis.label]
    for axes in (ax, *insets):
        low, high = sorted(axes.get_ylim())
        texts += [tick.label1 for tick in axes.yaxis.get_major_ticks() if low <= tick.get_loc() <= high]
        low, high = sorted(axes.get_xlim())
        texts += [tick.label1 for tick in axes.xaxis.get_major_ticks() if low <= tick.get_loc() <= high]
    # An annotation's own extent holds its line too.
    renderer = ax.figure.canvas.get_renderer()
    said = [text for text in texts if text.get_text() and text.get_visible()]
    return [(text.get_text(), super(type(text), text).get_window_extent(renderer)) for text in said]


@each_figure
@pytest.mark.parametrize("k", [3, 20, 60])
def test_every_text_is_inside_the_figure_and_none_is_on_another(figure, k):
    ax = figure(k)
    ax.figure.draw_without_rendering()
    found = written(ax)
    page = ax.figure.bbox
    for text, box in found:
        assert page.x0 <= box.x0, text
        assert box.x1 <= page.x1, text
        assert page.y0 <= box.y0, text
        assert box.y1 <= page.y1, text
    # A pixel of two boxes that touch is no letter.
    boxes = np.array([[box.x0 + 1, box.y0 + 1, box.x1 - 1, box.y1 - 1] for _, box in found])
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    clash = np.argwhere(np.triu((low < high).all(-1), 1))
    assert not [(found[i][0], found[j][0]) for i, j in clash]


@each_figure
def test_draws_into_given_axes_and_pyplot_knows_nothing_of_it(figure):
    axes = Figure(figsize=(12, 6)).subplots(1, 2)
    assert figure(4, axes[1]) is axes[1]
    assert axes[1].has_data()
    assert not axes[0].has_data()
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or pyplot.get_fignums() == []


@pytest.mark.parametrize("figure", [ranks, win_probability, comparison_intervals])
def test_figures_of_rows_grow_with_them(figure):
    assert figure(60).figure.get_figheight() > 1.5 * figure(20).figure.get_figheight()
