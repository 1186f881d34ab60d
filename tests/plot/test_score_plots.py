"""Figures of scores, their flows and their samples: what is drawn where, in which colour, and what is refused."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.figure import Figure

from scorax.plot import plot_flow_trajectories, plot_sample_grid, plot_score_field, plot_score_reliability

SQUARE = (-1.0, 1.0)


def linear(x):
    return jnp.array([[-1.0, 0.0], [0.0, -3.0]]) @ x


# Score fields


def test_an_arrow_has_the_direction_of_the_score_its_middle_at_the_point_and_the_length_as_its_colour():
    (arrows,) = plot_score_field(linear, limits=SQUARE, n=4).collections
    across = np.linspace(-1, 1, 4)
    points = np.stack(np.meshgrid(across, across), -1).reshape(-1, 2)
    exact = points * [-1, -3]
    length = np.hypot(*exact.T)
    np.testing.assert_allclose(arrows.get_offsets(), points, rtol=1e-6)
    assert arrows.pivot == "middle"
    np.testing.assert_allclose(arrows.get_array(), length, rtol=1e-6)
    drawn = np.stack([arrows.U, arrows.V], -1)
    np.testing.assert_allclose(drawn, 0.85 * 2 / 3 * exact / length[:, None], rtol=1e-5)
    np.testing.assert_allclose([arrows.norm.vmin, arrows.norm.vmax], [length.min(), length.max()], rtol=1e-6)


def test_time_is_passed_to_the_score_in_its_own_dtype(dtype):
    seen = []

    def score(x, t):
        seen.append((x.dtype, t.dtype))
        return -x / t

    (arrows,) = plot_score_field(score, 4.0, limits=SQUARE, n=2).collections
    assert seen == [(dtype, dtype)]
    np.testing.assert_allclose(arrows.get_array(), 2**0.5 / 4, rtol=1e-6)


def test_arrows_are_never_longer_than_the_smaller_step_and_directions_are_true():
    ax = plot_score_field(linear, limits=((-3.0, 3.0), (0.0, 1.0)), n=6)
    (arrows,) = ax.collections
    np.testing.assert_allclose(np.hypot(arrows.U, arrows.V), 0.85 / 5, rtol=1e-5)
    assert ax.get_aspect() == 1
    np.testing.assert_allclose(ax.get_xlim(), [-3 - 0.17, 3 + 0.17], rtol=1e-6)  # room for those at the border


def test_where_the_score_is_zero_there_is_no_arrow():
    for score in (linear, lambda x: linear(x) + 1e-8):  # what rounding leaves of it
        (arrows,) = plot_score_field(score, limits=SQUARE, n=3).collections
        assert arrows.N == 8
        np.testing.assert_allclose(arrows.norm.vmin, 1, rtol=1e-6)


def test_colours_can_be_shared_and_samples_lie_behind():
    samples = jnp.array([[0.5, 0.5], [9.0, 0.0]])
    ax = plot_score_field(linear, limits=SQUARE, n=3, samples=samples, lengths=(0.1, 100.0))
    (arrows,) = ax.collections
    assert (arrows.norm.vmin, arrows.norm.vmax) == (0.1, 100.0)
    (dots,) = ax.lines
    np.testing.assert_array_equal(dots.get_xydata(), samples)
    assert dots.zorder < arrows.zorder
    assert ax.get_xlim()[1] < 9  # what is outside does not widen the axes
    (scale,) = ax.child_axes
    ax.figure.draw_without_rendering()
    low, high = scale.get_ylim()
    ticks = [tick.label1.get_text() for tick in scale.yaxis.get_major_ticks() if low <= tick.get_loc() <= high]
    assert ticks == ["0.1", "1", "10", "100"]


@pytest.mark.parametrize(
    ("score", "arguments", "words"),
    [
        (linear, {"limits": (1.0, 1.0)}, "limits must rise and be finite, not go from 1 to 1"),
        (linear, {"limits": (SQUARE, (0.0, float("inf")))}, "limits must rise and be finite"),
        (linear, {"limits": SQUARE, "n": 1}, "n must be at least 2 arrows"),
        (linear, {"limits": SQUARE, "lengths": (2.0, 1.0)}, "lengths must rise"),
        (linear, {"limits": SQUARE, "lengths": (0.0, 1.0)}, "lengths must be positive"),
        (lambda x: x.sum(), {"limits": SQUARE}, r"a sample of shape \(2,\) has shape \(\)"),
        (lambda x: x / 0, {"limits": SQUARE, "n": 2}, "the score is missing or infinite in 8 of 8 places"),
        (lambda x: 0 * x, {"limits": SQUARE, "n": 2}, "the score is zero at all 4 points"),
    ],
)
def test_what_is_no_score_in_the_plane_is_refused(score, arguments, words):
    with pytest.raises(ValueError, match=words):
        plot_score_field(score, **arguments)


# Paths

TIMES = jnp.array([4.0, 1.0, 0.25])
PATHS = jnp.stack([TIMES[:, None] * jnp.array([1.0, -2.0]), jnp.ones((3, 2))], -1)  # [t, n, d]


def strokes(ax):
    """Lines, without the dots at their ends."""
    return [line for line in ax.lines if line.get_marker() == "None"]


def test_paths_of_two_variables_lie_in_their_plane_from_hollow_to_filled_dots():
    ax = plot_flow_trajectories(PATHS)
    for n, line in enumerate(strokes(ax)):
        np.testing.assert_array_equal(line.get_xydata(), PATHS[:, n])
    assert len(strokes(ax)) == 2
    starts, ends = (line for line in ax.lines if line.get_marker() == "o")
    np.testing.assert_array_equal(starts.get_xydata(), PATHS[0])
    np.testing.assert_array_equal(ends.get_xydata(), PATHS[-1])
    assert starts.get_markerfacecolor() == "white" != ends.get_markerfacecolor()
    assert ax.get_aspect() == 1


@pytest.mark.parametrize("log_time", [False, True])
def test_one_variable_runs_against_time_from_left_to_right(log_time):
    for times, paths in ((TIMES, PATHS), (TIMES[::-1], PATHS[::-1])):
        ax = plot_flow_trajectories(paths[..., :1], times, log_time=log_time)
        first, last = ax.transData.transform([(float(times[0]), 0), (float(times[-1]), 0)])[:, 0]
        assert first < last
        left, right = ax.get_xlim()
        low, high = sorted([left, right])
        assert low < 0.25
        assert high > 4
        assert ax.get_xscale() == ("log" if log_time else "linear")
        np.testing.assert_array_equal(strokes(ax)[1].get_xydata(), np.stack([times, paths[:, 1, 0]], -1))


def test_groups_have_colours_of_their_own_and_names():
    ax = plot_flow_trajectories(
        jnp.tile(PATHS, (1, 2, 1)), groups=jnp.array([0, 2, 0, 2]), names=["plain", "none", "late"]
    )
    hues = [line.get_color() for line in strokes(ax)]
    assert len(hues) == 4
    assert hues[0] == hues[1] != hues[2] == hues[3]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["plain", "none", "late"]


@pytest.mark.parametrize(
    ("paths", "times", "arguments", "words"),
    [
        (PATHS[..., :1], None, {}, "pass times"),
        (PATHS[:1], None, {}, r"trajectories of shape \(1, 2, 2\); .* two times or more"),
        (PATHS[:, :0], None, {}, r"trajectories of shape \(3, 0, 2\)"),
        (jnp.ones((3, 2, 3)), None, {}, "draw two of them or two linear combinations"),
        (PATHS.at[0, 0, 0].set(jnp.nan), None, {}, "trajectories is missing or infinite in 1 of 12"),
        (PATHS, TIMES.at[1].set(5.0), {}, "times must rise or fall throughout"),
        (PATHS, TIMES.at[2].set(0.0), {"log_time": True}, "leave out those of zero"),
        (PATHS, TIMES, {"names": ["a"]}, "pass groups, too"),
        (PATHS, TIMES, {"groups": jnp.array([0, -1])}, "from -1; 2 whole numbers from 0"),
        (PATHS, TIMES, {"groups": jnp.array([0, 1]), "names": ["a"]}, "1 names for groups from 0 to 1"),
    ],
)
def test_what_is_no_path_is_refused(paths, times, arguments, words):
    with pytest.raises(ValueError, match=words):
        plot_flow_trajectories(paths, times, **arguments)


# Pictures

IMAGES = jnp.arange(5 * 2 * 3, dtype=jnp.float32).reshape(5, 2, 3)


def test_pictures_lie_row_by_row_with_gaps_and_one_scale():
    ax = plot_sample_grid(IMAGES, n_columns=3)
    (image,) = ax.images
    mosaic = image.get_array()
    assert mosaic.shape == (5, 11)
    for place, (row, column) in enumerate([(0, 0), (0, 4), (0, 8), (3, 0), (3, 4)]):
        np.testing.assert_allclose(mosaic[row : row + 2, column : column + 3], IMAGES[place] / 29, rtol=1e-6)
    assert (mosaic[2] == 0).all()
    assert (mosaic[:, 3] == 0).all()
    assert (mosaic[3:, 8:] == 0).all()
    assert image.cmap(image.norm(0.0))[:3] == (1, 1, 1)
    assert image.cmap(image.norm(1.0))[:3] == (0, 0, 0)


def test_values_beyond_the_limits_are_drawn_as_the_nearer_one():
    mosaic = plot_sample_grid(IMAGES, n_columns=5, limits=(10.0, 20.0)).images[0].get_array()
    np.testing.assert_allclose(mosaic[:, :3], 0)
    np.testing.assert_allclose(mosaic[:, 8:11], np.clip((IMAGES[2] - 10) / 10, 0, 1), rtol=1e-6)
    np.testing.assert_allclose(mosaic[:, 16:], 1)


def test_colours_stay_and_empty_places_are_white():
    colours = jnp.zeros((3, 2, 2, 3)).at[1, :, :, 0].set(1.0)
    mosaic = plot_sample_grid(colours, n_columns=2, limits=(0.0, 1.0)).images[0].get_array()
    assert mosaic.shape == (5, 5, 3)
    np.testing.assert_array_equal(mosaic[0, 3], [1, 0, 0])
    np.testing.assert_array_equal(mosaic[0, 0], [0, 0, 0])
    np.testing.assert_array_equal(mosaic[4, 4], [1, 1, 1])


def test_names_stand_at_the_middle_of_their_row_and_column():
    ax = plot_sample_grid(IMAGES, n_columns=3, rows=["few", "many"], columns=["a", "b", "c"])
    assert [(tick.get_text(), y) for tick, y in zip(ax.get_yticklabels(), ax.get_yticks(), strict=True)] == [
        ("few", 0.5),
        ("many", 3.5),
    ]
    assert [(tick.get_text(), x) for tick, x in zip(ax.get_xticklabels(), ax.get_xticks(), strict=True)] == [
        ("a", 1),
        ("b", 5),
        ("c", 9),
    ]


def test_pictures_of_one_value_are_grey_and_fewer_than_a_row_make_a_short_row():
    mosaic = plot_sample_grid(jnp.ones((2, 4, 4)), n_columns=10).images[0].get_array()
    assert mosaic.shape == (4, 9)
    assert mosaic[0, 0] == 0.5


@pytest.mark.parametrize(
    ("images", "arguments", "words"),
    [
        (IMAGES[:0], {}, "have nothing to show"),
        (IMAGES, {"n_columns": 0}, "n_columns must be at least 1"),
        (IMAGES, {"limits": (1.0, 1.0)}, "limits must rise, not go from 1 to 1"),
        (IMAGES, {"n_columns": 3, "rows": ["a"]}, "1 names for 2 rows of pictures"),
        (IMAGES, {"n_columns": 3, "columns": ["a"]}, "1 names for 3 columns of pictures"),
        (IMAGES.at[0, 0, 0].set(jnp.inf), {}, "images is missing or infinite in 1 of 30"),
    ],
)
def test_what_is_no_picture_is_refused(images, arguments, words):
    with pytest.raises(ValueError, match=words):
        plot_sample_grid(images, **arguments)


# Reliability

LEVELS = jnp.array([1.0, 0.1, 10.0])
ERRORS = jnp.array([[0.5, 0.9, 0.1], [0.8, 2.0, 0.2]])


def curves(ax):
    return {line.get_label(): line.get_xydata() for line in ax.lines if not line.get_label().startswith("_")}


def test_each_method_has_a_line_sorted_by_noise_level():
    ax = plot_score_reliability(LEVELS, ERRORS, ["normal", "mean only"])
    np.testing.assert_allclose(curves(ax)["normal"], [[0.1, 0.9], [1, 0.5], [10, 0.1]], rtol=1e-6)
    np.testing.assert_allclose(curves(ax)["mean only"], [[0.1, 2], [1, 0.8], [10, 0.2]], rtol=1e-6)
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert not ax.collections
    assert ax.get_ylabel() == "relative squared error"
    assert ax.lines[0].get_ydata()[0] == 1  # a score of zero


def test_explained_variance_may_be_negative_and_zero_is_the_score_of_zero():
    ax = plot_score_reliability(LEVELS, 1 - ERRORS, ["normal", "mean only"], kind="explained")
    np.testing.assert_allclose(curves(ax)["mean only"][:, 1], [-1, 0.2, 0.8], rtol=1e-6)
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "linear")
    assert ax.lines[0].get_ydata()[0] == 0


def test_replicates_give_a_mean_and_a_band_of_their_middle():
    # 0.5 times 0.1, 0.2, ..., 2.1 at each place: the middle 80 % go from 0.3 to 1.9 of it.
    factor = jnp.linspace(0.1, 2.1, 21)[:, None, None]
    ax = plot_score_reliability(LEVELS, factor * ERRORS[None, :1], ["normal"], level=0.8)
    np.testing.assert_allclose(curves(ax)["normal"][:, 1], 1.1 * np.array([0.9, 0.5, 0.1]), rtol=1e-5)
    (band,) = ax.collections
    around = band.get_paths()[0].vertices
    for x, middle in ((0.1, 0.9), (1.0, 0.5), (10.0, 0.1)):
        found = around[np.isclose(around[:, 0], x), 1]
        np.testing.assert_allclose([found.min(), found.max()], np.array([0.3, 1.9]) * middle, rtol=1e-5)
    assert ax.get_xlabel() == "noise level; bands: the middle 80 % of 21 replicates"


@pytest.mark.parametrize(
    ("levels", "values", "arguments", "words"),
    [
        (LEVELS[:0], ERRORS[:, :0], {}, "none of them empty"),
        (LEVELS.at[0].set(0.0), ERRORS, {}, "noise levels must be positive on a log axis: 1 are not"),
        (LEVELS, ERRORS.at[0, 0].set(0.0), {}, '1 of 6 are not; .*kind="explained"'),
        (LEVELS, ERRORS, {"kind": "explained"}, '1 of 6 values exceed 1; .*kind="error"'),
        (LEVELS, ERRORS.at[0, 0].set(jnp.nan), {}, "values is missing or infinite in 1 of 6"),
        (LEVELS, ERRORS[:1], {}, "2 names for 1 items"),
        (LEVELS, ERRORS, {"level": 1.0}, "level must be between 0 and 1"),
    ],
)
def test_what_cannot_be_drawn_is_refused(levels, values, arguments, words):
    with pytest.raises(ValueError, match=words):
        plot_score_reliability(levels, values, ["a", "b"], **arguments)


# All

FIGURES = {
    "score_field": lambda ax: plot_score_field(linear, limits=SQUARE, n=5, ax=ax),
    "wide_score_field": lambda ax: plot_score_field(linear, limits=((-3.0, 3.0), SQUARE), n=5, ax=ax),
    "flow_trajectories": lambda ax: plot_flow_trajectories(PATHS, groups=jnp.array([0, 1]), names=["a", "b"], ax=ax),
    "flow_against_time": lambda ax: plot_flow_trajectories(PATHS[..., :1], TIMES, log_time=True, ax=ax),
    "sample_grid": lambda ax: plot_sample_grid(IMAGES, n_columns=3, rows=["a rather long name", "short"], ax=ax),
    "score_reliability": lambda ax: plot_score_reliability(LEVELS, ERRORS, ["a rather long name", "short"], ax=ax),
}
each_figure = pytest.mark.parametrize("figure", FIGURES.values(), ids=FIGURES)


@each_figure
def test_all_is_inside_the_figure(figure):
    ax = figure(None)
    ax.figure.draw_without_rendering()
    box, page = ax.get_tightbbox(), ax.figure.bbox
    assert page.x0 <= box.x0 < box.x1 <= page.x1
    assert page.y0 <= box.y0 < box.y1 <= page.y1


@each_figure
def test_draws_into_given_axes_and_pyplot_knows_nothing_of_it(figure):
    axes = Figure(figsize=(12, 6)).subplots(1, 2)
    assert figure(axes[1]) is axes[1]
    assert axes[1].has_data()
    assert not axes[0].has_data()
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or pyplot.get_fignums() == []


def test_a_sampler_hands_over_its_trajectory_as_it_is():
    from scorax.diffusion import EDM, edm_grid, heun

    x_T, times = jnp.array([[3.0], [-3.0]]), edm_grid(4, 0.01, 3.0)[:-1]
    paths = jax.jit(lambda x: heun(lambda x, t: -x / (1 + t**2), EDM(), x, times, return_trajectory=True))(x_T)
    ax = plot_flow_trajectories(paths, times, log_time=True)
    np.testing.assert_array_equal(strokes(ax)[0].get_ydata(), paths[:, 0, 0])
