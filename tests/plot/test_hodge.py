"""Flows beside a column of items: heights, arrows, and the share in words."""

import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.patches import FancyArrowPatch

from scorax.choice import hodge_decompose
from scorax.plot import plot_hodge

CYCLE = jnp.array([[0.0, 1.0, -1.0], [-1.0, 0.0, 1.0], [1.0, -1.0, 0.0]])


def of(strength, cycle):
    strength = jnp.array(strength)
    return hodge_decompose(strength[:, None] - strength[None, :] + cycle * CYCLE, jnp.ones((3, 3)))


def arrows(ax):
    """From, to, on which side, and how wide."""
    found = [patch for patch in ax.patches if isinstance(patch, FancyArrowPatch)]
    paths = [patch._path_original.vertices for patch in found]
    return [(v[0, 1], v[2, 1], np.sign(v[1, 0]), p.get_linewidth()) for v, p in zip(paths, found, strict=True)]


def heights(ax):
    return {text.get_text(): float(at) for text, at in zip(ax.get_yticklabels(), ax.get_yticks(), strict=True)}


def test_a_cycle_runs_clockwise_down_on_the_right_and_up_on_the_left():
    ax = plot_hodge(of([2.0, 0.0, -2.0], 0.5), ["a", "b", "c"])
    at = heights(ax)
    assert list(at) == ["a", "b", "c"]
    assert at["a"] > at["b"] > at["c"]
    found = {(start, end): (side, width) for start, end, side, width in arrows(ax)}
    assert {ends: side for ends, (side, _) in found.items()} == {
        (at["a"], at["b"]): 1,
        (at["b"], at["c"]): 1,
        (at["c"], at["a"]): -1,
    }
    assert "follows the strengths" in ax.get_xlabel()
    # Of the flow's square, 3 * 0.25 of 0.75 + 4 + 4 + 16.
    assert ax.get_xlabel().startswith("3 % of the squared flow runs in circles")


def test_heights_are_strengths_unless_too_close():
    ax = plot_hodge(of([1.0, -1.0, 0.0], 0.1), ["a", "b", "c"])
    at = heights(ax)
    assert at["a"] - at["c"] == pytest.approx(at["c"] - at["b"])
    close = heights(plot_hodge(of([1.0, -0.5, -0.5], 0.1), ["a", "b", "c"]))
    gaps = np.diff(sorted(close.values()))
    assert gaps.min() == pytest.approx(1 / 3.2)
    assert [text.get_text() for text in ax.texts][-3:] == ["+1.00", "0.00", "\N{MINUS SIGN}1.00"]


def test_width_follows_size_and_only_the_largest_are_drawn():
    flow = np.random.default_rng(0).normal(size=(5, 5))
    parts = hodge_decompose(jnp.asarray(flow - flow.T, jnp.float32), jnp.ones((5, 5)))
    ax = plot_hodge(parts, list("abcde"), arrows=4)
    at = heights(ax)
    curl = {(at[a], at[b]): float(parts.curl["abcde".index(a), "abcde".index(b)]) for a in at for b in at}
    # The smallest is drawn first.
    largest = sorted(curl, key=curl.__getitem__)[-4:]
    assert [(start, end) for start, end, _, _ in arrows(ax)] == largest
    widths = [width for *_, width in arrows(ax)]
    slope = np.diff(widths) / np.diff([curl[ends] for ends in largest])
    np.testing.assert_allclose(slope, 2.7 / curl[largest[-1]], rtol=1e-4)
    assert ax.get_xlabel().endswith("the 4 largest of 10 flows")
    assert not arrows(plot_hodge(parts, list("abcde"), arrows=0))


def test_what_strengths_explain_has_no_arrows():
    ax = plot_hodge(of([1.0, 0.3, -1.3], 0.0), ["a", "b", "c"])
    assert not arrows(ax)
    assert ax.get_xlabel() == "the strengths explain everything"


def test_cycles_longer_than_three_are_grey_and_said():
    flow = np.zeros((4, 4))
    flow[0, 1] = flow[1, 2] = flow[2, 3] = flow[3, 0] = 1.0
    flow = jnp.asarray(flow - flow.T, jnp.float32)
    ax = plot_hodge(hodge_decompose(flow, jnp.abs(flow)), list("abcd"))
    assert "(100 % around cycles longer than three)" in ax.get_xlabel()
    colours = {patch.get_edgecolor()[:3] for patch in ax.patches}
    assert len(arrows(ax)) == 4
    assert len(colours) == 1


def test_no_flow_at_all():
    ax = plot_hodge(hodge_decompose(jnp.zeros((3, 3)), jnp.ones((3, 3))), ["a", "b", "c"])
    assert "there is no flow" in ax.get_xlabel()
    assert np.diff(list(heights(ax).values())) == pytest.approx(-1 / 3.2)


def test_what_cannot_be_drawn_is_refused():
    apart = jnp.zeros((4, 4)).at[(0, 1, 2, 3), (1, 0, 3, 2)].set(1.0)
    with pytest.raises(ValueError, match="groups of items never met"):
        plot_hodge(hodge_decompose(jnp.zeros((4, 4)), apart), list("abcd"))
    with pytest.raises(ValueError, match="2 names for 3 items"):
        plot_hodge(of([1.0, 0.0, -1.0], 0.1), ["a", "b"])
    with pytest.raises(ValueError, match="arrows must be at least 0"):
        plot_hodge(of([1.0, 0.0, -1.0], 0.1), ["a", "b", "c"], arrows=-1)
