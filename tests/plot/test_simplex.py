import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest

from scorax.judges import iso_score_direction
from scorax.numerics import to_ternary
from scorax.plot import plot_simplex

JUDGE = jnp.array([[0.80, 0.15, 0.05], [0.05, 0.55, 0.40], [0.00, 0.10, 0.90]])
SEEN = jnp.array([[0.15, 0.475, 0.375], [0.3175, 0.215, 0.4675]])


def drawn(ax):
    ax.figure.canvas.draw()
    return ax


def test_points_sit_where_the_judge_sees_the_candidates_and_the_best_is_listed_first():
    ax = drawn(plot_simplex(JUDGE, SEEN, names=["a", "b"]))
    points = {line.get_label(): line.get_xydata()[0] for line in ax.get_lines() if line.get_marker() == "o"}
    np.testing.assert_allclose(points["a   1.91"], to_ternary(SEEN[0]), atol=1e-6)
    np.testing.assert_allclose(points["b   2.02"], to_ternary(SEEN[1]), atol=1e-6)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["b   2.02", "a   1.91"]


@pytest.mark.parametrize("values", [None, (0.0, 1.0, 5.0)])
def test_lines_of_equal_score_follow_the_iso_score_direction(values):
    ax = plot_simplex(JUDGE, values=values)
    lines = [line.get_xydata() for line in ax.get_lines() if line.get_linestyle() == "--"]
    assert len(lines) == 7
    direction = np.asarray(to_ternary(iso_score_direction(JUDGE, values)))
    for start, end in lines:
        step = end - start
        assert abs(step[0] * direction[1] - step[1] * direction[0]) < 1e-6


def test_nothing_is_clipped_or_on_top_of_the_legend():
    names = [f"a rather long name of a model {i}" for i in range(8)]
    seen = jnp.asarray(np.random.default_rng(0).dirichlet(np.ones(3), 8)) @ JUDGE
    draws = jnp.broadcast_to(JUDGE, (400, 3, 3))
    ax = drawn(plot_simplex(JUDGE, seen, draws=draws, names=names, levels=["poor", "fair", "good"], title="A judge"))
    page = ax.figure.bbox
    boxes = [text.get_window_extent() for text in (*ax.texts, ax.title, ax.get_legend())]
    for box in boxes:
        assert box.x0 >= page.x0
        assert box.x1 <= page.x1
        assert box.y0 >= page.y0
        assert box.y1 <= page.y1
    legend = boxes[-1]
    assert not any(legend.overlaps(box) for box in boxes[:-1])
    corners = ax.transData.transform(np.asarray(to_ternary(jnp.eye(3))))
    assert not any(legend.contains(*corner) for corner in corners)
    assert len(ax.patches) <= 150 + 4


def test_many_candidates_have_colours_of_their_own():
    seen = jnp.asarray(np.random.default_rng(0).dirichlet(np.ones(3), 12)) @ JUDGE
    ax = plot_simplex(JUDGE, seen)
    colours = {tuple(np.ravel(line.get_color())) for line in ax.get_lines() if line.get_marker() == "o"}
    assert len(colours) == 12


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"confusion": jnp.eye(4)}, r"for 3 levels and one judge at a time, not for a confusion of shape \(4, 4\)"),
        ({"confusion": jnp.eye(3)[None]}, r"pick one with confusion\[j\]"),
        (
            {"confusion": JUDGE, "observed": SEEN, "names": ["a"]},
            r"1 names for observed distributions of shape \(2, 3\)",
        ),
        ({"confusion": JUDGE, "levels": ["bad", "good"]}, "2 names for 3 levels"),
    ],
)
def test_what_cannot_be_drawn_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        plot_simplex(**arguments)


def test_matplotlib_loads_when_the_first_figure_is_drawn():
    code = "import sys, scorax.plot; scorax.plot.plot_simplex; print('matplotlib' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"
