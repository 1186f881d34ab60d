import csv
import io
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.choice import (
    BradleyTerry,
    PlackettLuce,
    PlackettLuceMixture,
    Structured,
    Thurstone,
    ep_pairwise,
    firth,
    leaderboard,
    rating,
)
from scorax.choice._leaderboard import appearances
from scorax.data import Choices, Comparisons, Matches, PairCounts, Rankings, WithItemFeatures
from scorax.inference import Bootstrap, bootstrap, fit

KEYS = ["item", "rating", "theta", "std_error", "lower", "upper"]
KEYS += ["rank", "rank_lower", "rank_upper", "p_best", "comparisons"]
NAMES = ("alpha", "<beta>", "gamma")


@pytest.fixture(scope="module")
def battles():
    a, b = np.repeat([0, 0, 1], 40), np.repeat([1, 2, 2], 40)
    won = np.concatenate([np.arange(40) < wins for wins in (28, 33, 26)]).astype(np.float32)
    return Comparisons.from_arrays(a, b, won)


@pytest.fixture(scope="module")
def result(battles):
    with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
        return fit(BradleyTerry.init(3), battles)


def test_four_hundred_points_are_odds_of_ten_to_one(dtype):
    points = rating(jnp.asarray([0.0, np.log(10.0)], dtype))
    np.testing.assert_allclose(points, [1000.0, 1400.0], rtol=4 * jnp.finfo(dtype).eps)


def test_rows_follow_the_strengths_and_count_the_comparisons(result, battles):
    board = leaderboard(result, battles, names=NAMES)
    assert [row.item for row in board] == ["alpha", "<beta>", "gamma"]
    assert [row.rank for row in board] == [1, 2, 3]
    assert [row.comparisons for row in board] == [80, 80, 80]
    np.testing.assert_allclose(sum(row.theta for row in board), 0.0, atol=1e-6)
    assert sum(row.p_best for row in board) == pytest.approx(1.0)
    for row in board:
        assert row.lower < row.rating < row.upper
        assert row.rank_lower <= row.rank <= row.rank_upper


def test_intervals_of_a_fit_are_normal(result, battles):
    row = leaderboard(result, battles, names=NAMES, level=0.9)[0]
    np.testing.assert_allclose((row.upper - row.lower) / 2, 1.6448536 * row.std_error, rtol=1e-5)
    assert row.std_error == pytest.approx(float(result.std_error.strength[0]) * 400 / np.log(10), rel=1e-5)


def test_log_scale_shows_strengths(result, battles):
    row = leaderboard(result, battles, names=NAMES, scale="log")[0]
    assert row.rating == pytest.approx(row.theta)


def test_probability_of_being_best_is_the_one_of_the_normal_approximation(result, battles):
    board = leaderboard(result, battles, names=NAMES)
    covariance = np.asarray(result.covariance, np.float64)
    draws = np.random.default_rng(1).multivariate_normal(np.asarray(result.model.strength), covariance, 200_000)
    expected = np.bincount(draws.argmax(1), minlength=3) / len(draws)
    # 10 000 draws know a probability to 0.005; this asks for six of those.
    np.testing.assert_allclose([row.p_best for row in board], expected, atol=0.03)


def test_a_bootstrap_makes_a_board_too(result, battles):
    draws = bootstrap(result.model, battles, key=jax.random.key(0), n_resamples=60, method="bayesian")
    board = leaderboard(draws, battles, names=NAMES)
    assert board[0].item == "alpha"
    assert 0.5 < board[0].std_error / leaderboard(result, battles, names=NAMES)[0].std_error < 2


def test_rankings_count_the_lists_an_item_was_on():
    lists = Rankings.from_orders([[0, 1], [1, 0], [0, 2], [2, 0], [1, 2], [0, 1, 2]], n_items=3)
    board = leaderboard(fit(PlackettLuce.init(3), lists), lists, names=NAMES)
    assert {row.item: row.comparisons for row in board} == {"alpha": 5, "<beta>": 4, "gamma": 4}


def test_odds_of_ten_to_one_are_four_hundred_points_whatever_the_noise(heavy_dtype):
    table = PairCounts.from_arrays([[0.0, 10.0], [1.0, 0.0]])
    for model in (BradleyTerry.init(2), Thurstone.init(2), Thurstone.init(2, link="cauchit")):
        board = leaderboard(fit(model, table), table, names=("first", "second"))
        np.testing.assert_allclose(board[0].rating - board[1].rating, 400.0, rtol=1e3 * jnp.finfo(heavy_dtype).eps)


def test_penalised_and_gaussian_results_make_boards(battles):
    table = battles.table(3)
    for found in (firth(table), ep_pairwise(table, prior_precision=1e-2)):
        board = leaderboard(found, table, names=NAMES)
        assert [row.item for row in board] == ["alpha", "<beta>", "gamma"]
        # Half a vote to every pair, or a weak prior, moves 40 votes a pair by less than a tenth of an error.
        usual = leaderboard(fit(BradleyTerry.init(3), table), table, names=NAMES)
        np.testing.assert_allclose([r.std_error for r in board], [r.std_error for r in usual], rtol=0.1)
        np.testing.assert_allclose(sum(row.theta for row in board), 0.0, atol=1e-5)


def test_items_are_ordered_by_what_their_features_say(battles):
    data = WithItemFeatures.from_arrays(battles, [3.0, 1.0, 0.0])
    result = fit(Structured.init(BradleyTerry.init(3), 1), data)
    board = leaderboard(result, data, names=NAMES, scale="log")
    slope = float(result.model.coefficient[0])
    np.testing.assert_allclose([row.theta for row in board], slope * np.array([5 / 3, -1 / 3, -4 / 3]), rtol=1e-5)
    # All that is uncertain is the slope.
    errors = float(result.std_error.coefficient[0]) * np.array([5 / 3, 1 / 3, 4 / 3])
    np.testing.assert_allclose([row.std_error for row in board], errors, rtol=1e-4)
    with pytest.raises(ValueError, match="pass WithItemFeatures, not Comparisons"):
        leaderboard(result, battles, names=NAMES)


def test_choices_and_matches_count_what_was_there():
    choices = Choices.from_arrays([[0, 1, 2], [1, 0, 0]], where=[[True] * 3, [True, True, False]], count=[2, 1])
    matches = Matches.from_lists([[[0, 1], [2]], [[2], [1]]])
    np.testing.assert_array_equal(appearances(choices, 3), [3, 3, 2])
    np.testing.assert_array_equal(appearances(matches, 3), [1, 2, 2])


def test_a_mixture_has_no_one_leaderboard():
    model = PlackettLuceMixture.init(3, 2, key=jax.random.key(0))
    draws = Bootstrap(jax.tree.map(lambda x: x[None], model), 0)
    with pytest.raises(ValueError, match="strengths of its own"):
        leaderboard(draws, Rankings.from_orders([[0, 1, 2]]), names=NAMES)


def test_writes_json_csv_text_and_html_that_read_back(result, battles):
    board = leaderboard(result, battles, names=NAMES)
    read = json.loads(board.to_json())
    assert list(read[0]) == KEYS
    assert read == board.to_dicts()
    table = list(csv.DictReader(io.StringIO(board.to_csv())))
    assert [float(row["rating"]) for row in table] == [row.rating for row in board]
    assert "<beta>" in str(board)
    assert "&lt;beta&gt;" in board._repr_html_()


def test_a_number_that_does_not_exist_is_null_or_empty(result, battles):
    board = leaderboard(result, battles, names=NAMES)
    broken = type(board)((board[0].__class__(**{**board.to_dicts()[0], "std_error": float("nan")}),), 0.95, "elo")
    assert json.loads(broken.to_json())[0]["std_error"] is None
    assert next(csv.DictReader(io.StringIO(broken.to_csv())))["std_error"] == ""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"level": 1.0}, "level must be between 0 and 1"),
        ({"scale": "points"}, "'elo' or 'log'"),
        ({"names": NAMES[:2]}, "2 names for 3 strengths"),
    ],
)
def test_what_makes_no_sense_is_refused(result, battles, change, message):
    with pytest.raises(ValueError, match=message):
        leaderboard(result, battles, **({"names": NAMES} | change))


def test_an_item_that_always_wins_has_no_finite_rating(battles):
    won = Comparisons.from_arrays([0, 0, 1], [1, 2, 2], np.ones(3, np.float32))
    with pytest.raises(ValueError, match=r"no finite maximum: strength.*connectivity.*prior"):
        fit(BradleyTerry.init(3), won)
    flagged = fit(BradleyTerry.init(3), won, throw=False)
    assert flagged.diagnostics.separated
    assert jnp.isnan(flagged.model.strength).all()
