"""`scorax rank`: options, formats and files, on small data and mostly without sampling."""

import csv
import io
import json

import numpy as np
import pytest

from scorax.choice import PlackettLuce
from scorax.inference import Posterior

KEYS = ["item", "rating", "theta", "std_error", "lower", "upper", "rank", "rank_lower", "rank_upper", "p_best",
        "comparisons"]  # fmt: skip


def rows(run):
    assert (run.status, run.err) == (0, "")
    return json.loads(run.out)


@pytest.fixture
def mle(scorax, battles):
    """The rows of the likelihood's maximum, with these options."""
    return lambda *options: rows(scorax("rank", battles, "--method", "mle", "--format", "json", "--quiet", *options))


def test_json_rows_carry_exactly_the_keys(mle):
    board = mle()
    assert [list(row) for row in board] == [KEYS] * 4
    assert [row["rank"] for row in board] == [1, 2, 3, 4]
    assert sum(row["comparisons"] for row in board) == 2 * 6 * 13
    assert sum(row["p_best"] for row in board) == pytest.approx(1)
    # Mean zero to double precision: the command computes in 64 bits.
    assert abs(sum(row["theta"] for row in board)) < 1e-12


def test_csv_and_json_agree(scorax, battles, mle):
    run = scorax("rank", battles, "--method", "mle", "--format", "csv", "--quiet")
    table = list(csv.DictReader(io.StringIO(run.out)))
    assert list(table[0]) == KEYS
    assert [{key: str(value) for key, value in row.items()} for row in mle()] == table


def test_table_in_a_pipe_is_as_wide_as_it_needs_and_the_rest_is_on_standard_error(scorax, battles):
    status, out, err = scorax("rank", battles, "--method", "mle", "--level", "0.9")
    heading, rule, *body = out.splitlines()
    assert status == 0
    assert heading.split() == ["rank", "item", "rating", "90%", "interval", "90%", "ranks", "P(best)", "comparisons"]
    assert set(rule) == {"─"}
    assert len(body) == 4
    assert max(map(len, body)) <= 80
    assert err == "4 items, 78 comparisons (" + err.split("(")[1]
    assert "Davidson, mle" in err


def test_scales(mle):
    elo, log = mle(), mle("--scale", "log")
    for a, b in zip(elo, log, strict=True):
        assert a["theta"] == b["theta"] == b["rating"]
        assert a["rating"] == pytest.approx(1000 + 400 / np.log(10) * b["rating"])
        assert a["std_error"] == pytest.approx(400 / np.log(10) * b["std_error"])


def test_level_widens_intervals(mle):
    narrow, wide = mle("--level", "0.5"), mle("--level", "0.99")
    assert all(a["lower"] > b["lower"] and a["upper"] < b["upper"] for a, b in zip(narrow, wide, strict=True))


def test_ties_default_to_davidson(mle):
    assert mle() == mle("--ties", "davidson")


def test_half_wins_overstate_errors(mle):
    davidson, half, rao_kupper = (mle("--ties", ties)[0] for ties in ("davidson", "half", "rao-kupper"))
    significance = [row["theta"] * 400 / np.log(10) / row["std_error"] for row in (davidson, half, rao_kupper)]
    assert significance[1] < 0.95 * significance[0]
    assert significance[1] < 0.95 * significance[2]


def test_without_ties_the_default_is_half(scorax, tmp_path):
    (tmp_path / "b.csv").write_text("a,b,winner\nx,y,x\nx,y,y\ny,z,y\ny,z,z\nx,z,x\n")
    run = scorax("rank", tmp_path / "b.csv", "--method", "mle")
    assert "BradleyTerry, mle" in run.err


def test_prior_precision_makes_a_map_and_shrinks(mle, scorax, battles):
    half = ["--ties", "half"]
    free = mle(*half)
    weak, strong = (mle(*half, "--prior-precision", precision) for precision in ("1e-8", "100"))
    # The prior's pull is its precision over the information of a dozen comparisons.
    assert weak[0]["theta"] == pytest.approx(free[0]["theta"], rel=1e-7)
    assert 0 < strong[0]["theta"] < 0.5 * free[0]["theta"]
    plain = rows(scorax("rank", battles, "--method", "map", "--format", "json", "--quiet", *half))
    assert plain == mle(*half, "--prior-precision", "1")


def test_columns_words_and_weights(scorax, tmp_path, mle):
    (tmp_path / "games.csv").write_text("home,away,points,w\nx,y,H,2\nx,y,A,1\nx,y,D,0\n")
    run = scorax(
        "rank", tmp_path / "games.csv", "--method", "mle", "--format", "json", "--quiet", "--scale", "log",
        "--ties", "half", "--item-a-column", "home", "--item-b-column", "away", "--outcome-column", "points",
        "--weight-column", "w",
        *("--outcome-value", "H=1", "--outcome-value", "A=0", "--outcome-value", "D=0.5"),
    )  # fmt: skip
    best, worst = rows(run)
    assert best["item"] == "x"
    assert best["rating"] - worst["rating"] == pytest.approx(np.log(2))


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_standard_input_is_recognised(scorax, battles, mle, form):
    text = battles.read_text()
    if form == "jsonl":
        text = "".join(json.dumps(row) + "\n" for row in csv.DictReader(io.StringIO(text)))
    assert rows(scorax("rank", "-", "--method", "mle", "--format", "json", "--quiet", stdin=text)) == mle()


def test_policies_where_there_is_no_maximum(scorax, tmp_path):
    path = tmp_path / "b.csv"
    path.write_text("a,b,winner\nx,y,x\nx,y,y\ny,z,y\ny,z,z\nz,x,x\nw,x,w\nw,y,w\n")
    options = ["rank", path, "--method", "mle", "--format", "json", "--quiet", "--on-disconnected"]
    assert scorax(*options, "raise").status == 2
    ghost = rows(scorax(*options, "ghost"))
    assert ghost[0]["item"] == "w"
    assert all(np.isfinite(row["theta"]) for row in ghost)
    kept = rows(scorax(*options, "largest-component"))
    assert sorted(row["item"] for row in kept) == ["x", "y", "z"]


def test_rankings_are_recognised_by_their_columns(scorax, tmp_path):
    orders = ["abc", "acb", "bac", "cab", "abc"]
    lines = [f"{i},{item},{place}" for i, order in enumerate(orders) for place, item in enumerate(order, 1)]
    (tmp_path / "orders.csv").write_text("\n".join(["ranking,item,rank", *lines]) + "\n")
    run = scorax("rank", tmp_path / "orders.csv", "--method", "mle")
    assert "3 items, 5 rankings: PlackettLuce, mle" in run.err
    assert run.out.splitlines()[2].split()[:2] == ["1", "a"]


def test_files_are_written_together(scorax, battles, tmp_path, mle):
    out = tmp_path / "deep" / "out"
    status, _, err = scorax("rank", battles, "--method", "mle", "--out", out)
    assert status == 0
    assert sorted(path.name for path in out.iterdir()) == ["leaderboard.csv", "leaderboard.json", "leaderboard.png"]
    assert json.loads((out / "leaderboard.json").read_text()) == mle()
    assert (out / "leaderboard.png").read_bytes().startswith(b"\x89PNG")
    assert f"wrote leaderboard.csv, leaderboard.json, leaderboard.png to {out}" in err


def test_no_plot(scorax, battles, tmp_path):
    scorax("rank", battles, "--method", "mle", "--out", tmp_path / "out", "--no-plot")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["leaderboard.csv", "leaderboard.json"]


@pytest.mark.engine
@pytest.mark.parametrize(
    "method", ["laplace", *(pytest.param(x, marks=pytest.mark.slow) for x in ("pathfinder", "svi"))]
)
def test_approximations_keep_their_posterior(scorax, battles, tmp_path, method):
    options = ["--method", method, "--draws", "100", "--format", "json", "--quiet"]
    first = rows(
        scorax("rank", battles, "--ties", "half", "--out", tmp_path / "out", "--no-plot", "--seed", "3", *options)
    )
    again = rows(scorax("rank", battles, "--ties", "half", "--seed", "3", *options))
    other = rows(scorax("rank", battles, "--ties", "half", "--seed", "4", *options))
    assert first == again != other
    # The ladder is steep: the top and the bottom are never in doubt.
    assert (first[0]["item"], first[-1]["item"]) == ("dog", "ant")
    assert (tmp_path / "out" / "posterior.npz").exists()


@pytest.mark.engine
def test_nuts_posterior_can_be_read_back(scorax, tmp_path, x64):
    lines = [f"{i},{item},{place}" for i in range(6) for place, item in enumerate(("abc", "acb", "bca")[i % 3], 1)]
    (tmp_path / "orders.csv").write_text("\n".join(["ranking,item,rank", *lines]) + "\n")
    run = scorax("rank", tmp_path / "orders.csv", "--draws", "40", "--warmup", "40", "--chains", "2", "--out", tmp_path,
                 "--no-plot", "--format", "json", "--quiet")  # fmt: skip
    posterior = Posterior.load(tmp_path / "posterior.npz", like=PlackettLuce.init(3))
    assert posterior.model.strength.shape == (2, 40, 3)
    expected = {row["item"]: row["theta"] for row in rows(run)}
    found = np.asarray(posterior.model.strength).mean((0, 1))
    np.testing.assert_allclose([expected[item] for item in "abc"], found, rtol=1e-12)
