"""The heat map of ranks: order, cells, numbers."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from scorax.plot import plot_ranks
from scorax.stats import RankSummary, rank_summary

# Item 1 is the best in three of four draws, item 2 in the other; item 0 is always last.
SUMMARY = rank_summary(jnp.array([[0.0, 2.0, 1.0]] * 3 + [[0.0, 1.0, 2.0]]))


def cells(ax):
    return np.ma.filled(ax.collections[0].get_array(), np.nan)


def rows(ax):
    return [label.get_text() for label in ax.get_yticklabels()]


def test_best_expected_rank_on_top_and_per_cents_in_the_cells():
    ax = plot_ranks(SUMMARY, ["a", "b", "c"])
    assert rows(ax) == ["b", "c", "a"]
    np.testing.assert_allclose(cells(ax), [[0.75, 0.25, 0], [0.25, 0.75, 0], [0, 0, 1]])
    said = {text.get_position(): text.get_text() for text in ax.texts}
    # Nothing is written where it would read 0.
    assert said == {(0, 0): "75", (1, 0): "25", (0, 1): "25", (1, 1): "75", (2, 2): "100"}
    assert ax.yaxis_inverted()


def test_top_leaves_out_ranks_that_nobody_drawn_has():
    ax = plot_ranks(SUMMARY, ["a", "b", "c"], top=2)
    assert rows(ax) == ["b", "c"]
    assert cells(ax).shape == (2, 2)


def test_numbers_only_where_they_fit():
    even, rank = jnp.full((60, 60), 1 / 60), jnp.arange(1.0, 61)
    summary = RankSummary(even, rank, rank, rank, rank, even[0], even, even[0], rank)
    assert not plot_ranks(summary, [str(i) for i in range(60)]).texts


def test_items_that_take_no_part_are_left_out():
    where = jnp.array([True, True, False])
    summary = rank_summary(jnp.array([[0.0, 2.0, 1.0]]), where=where)
    assert rows(plot_ranks(summary, ["a", "b", "c"])) == ["b", "a"]
    with pytest.raises(ValueError, match="no item takes part"):
        plot_ranks(dataclasses.replace(summary, expected_rank=jnp.full(3, jnp.nan)), ["a", "b", "c"])


@pytest.mark.parametrize(
    ("names", "top", "words"),
    [(["a", "b"], None, "2 names for 3 items"), (["a", "b", "c"], 0, "top must be at least 1")],
)
def test_what_cannot_be_drawn_is_refused(names, top, words):
    with pytest.raises(ValueError, match=words):
        plot_ranks(SUMMARY, names, top=top)
