"""Votes by influence: the curve, and the names at its ends."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from scorax.choice import VoteInfluence
from scorax.data import Comparisons, PairCounts
from scorax.plot import plot_vote_influence

NAMES = ["a", "b", "c"]
# Two equal votes, a tie, a soft label, and fillers without influence.
VOTES = Comparisons.from_arrays([0, 0, 1, 0] + [1] * 16, [1, 1, 2, 2] + [2] * 16, [1.0, 1.0, 0.5, 0.25] + [0.0] * 16)
CHANGE = jnp.array([-0.2, -0.2, 0.031, 0.4] + [0.0] * 16)


def of(change, value=1.25):
    return VoteInfluence(change, jnp.zeros_like(change), jnp.asarray(value))


def texts(ax):
    return [text.get_text() for text in ax.texts]


def test_both_ends_are_named_equal_votes_once():
    ax = plot_vote_influence(of(CHANGE), VOTES, NAMES)
    assert texts(ax) == ["a beat b (2 votes)  −0.20", "a against c: 0.25  +0.40", "b and c tied  +0.031"]
    assert ax.get_ylabel() == "change of the lead (now +1.2) without the vote"
    below, above = ax.patches
    np.testing.assert_allclose(below.get_data().values[:2], -0.2, rtol=1e-6)
    assert above.get_data().values[-1] == pytest.approx(0.4)
    np.testing.assert_array_equal(above.get_data().edges, np.arange(21))


def test_names_stand_on_the_empty_side_of_zero():
    for text in plot_vote_influence(of(CHANGE), VOTES, NAMES).texts:
        assert (text.xyann[0] > 0) == (text.xy[1] > 0) == ("a beat b" in text.get_text())


def test_only_so_many_are_named_and_the_target_by_its_name():
    ax = plot_vote_influence(of(CHANGE), VOTES, NAMES, named=1, target="rating of a")
    assert texts(ax) == ["a beat b (2 votes)  −0.20", "a against c: 0.25  +0.40"]
    assert "hold the rating of a up most" in ax.get_xlabel()
    assert not plot_vote_influence(of(CHANGE), VOTES, NAMES, named=0).texts


def test_aggregated_rows_are_as_wide_as_their_votes_and_empty_ones_are_not_there():
    votes = Comparisons.from_arrays([0, 1, 2], [1, 2, 0], [1.0, 1.0, 1.0], count=[7.0, 3.0, 0.0])
    ax = plot_vote_influence(of(jnp.array([0.5, -0.5, jnp.nan])), votes, NAMES)
    np.testing.assert_array_equal(ax.patches[0].get_data().edges, [0, 3, 10])
    assert texts(ax) == ["b beat c (3 votes)  −0.50"]


def test_tables_of_pairs_have_a_vote_a_cell():
    table = PairCounts.from_arrays([[0, 9], [1, 0]], ties=[[0, 2], [0, 0]])
    change = jnp.zeros((2, 2, 2)).at[0, 1, 0].set(-0.1).at[1, 0, 1].set(0.3)
    ax = plot_vote_influence(of(change), table, ["a", "b"])
    assert texts(ax) == ["b beat a  −0.10", "a and b tied (2 votes)  +0.30"]


def test_all_of_one_sign_name_one_end():
    ax = plot_vote_influence(of(jnp.abs(CHANGE) + 0.01), VOTES, NAMES)
    assert all("+" in text for text in texts(ax))


@pytest.mark.parametrize(
    ("change", "names", "named", "words"),
    [
        (CHANGE[:3], NAMES, 1, r"shape \(3,\) for votes of shape \(20,\)"),
        (CHANGE.at[3].set(jnp.nan), NAMES, 1, "missing or infinite in 1 of 20"),
        (CHANGE, ["a", "b"], 1, "2 names for ids up to 2"),
        (CHANGE, NAMES, -1, "named must be at least 0"),
    ],
)
def test_what_cannot_be_drawn_is_refused(change, names, named, words):
    with pytest.raises(ValueError, match=words):
        plot_vote_influence(of(change), VOTES, names, named=named)


def test_nothing_to_draw():
    votes = dataclasses.replace(VOTES, count=jnp.zeros(20))
    with pytest.raises(ValueError, match="there are no votes"):
        plot_vote_influence(of(CHANGE), votes, NAMES)
