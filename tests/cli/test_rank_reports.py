"""`scorax rank`: features, order, clusters, redrawn votes, and what single votes do."""

import json

import numpy as np
import pytest

HEAD = "model_a,model_b,winner,length_a,length_b,side,judge,first\n"


def lines_of(stretch=1, times=1):
    """Sixty comparisons of three items; longer answers and the first one win more often. A judge a row."""
    generator = np.random.default_rng(3)
    worth = {"ant": 0.0, "bee": 0.5, "cow": 1.0}
    lines = []
    for n in range(60):
        a, b = generator.choice(list(worth), 2, replace=False)
        of_a, of_b = generator.integers(1, 100, 2)
        first = (-1, 1)[n % 2]
        odds = worth[a] - worth[b] + 0.02 * (of_a - of_b) + 0.5 * first
        winner = "model_a" if generator.random() < 1 / (1 + np.exp(-odds)) else "model_b"
        side = 2 * (of_a > 30) - 1
        lines += times * [f"{a},{b},{winner},{stretch * of_a},{stretch * of_b},{side},j{n},{first}"]
    return HEAD + "\n".join(lines) + "\n"


@pytest.fixture
def run(scorax, tmp_path):
    """The leaderboard, the files and the words of a file of this text, by maximum likelihood."""

    def ranked(text, *options):
        (tmp_path / "file.csv").write_text(text)
        out = tmp_path / "out"
        status, board, err = scorax(
            "rank", tmp_path / "file.csv", "--method", "mle", "--format", "json", "--no-plot", "--out", out, *options
        )
        assert status == 0, err
        files = {path.name: json.loads(path.read_text()) for path in out.glob("*.json")}
        return json.loads(board), files, err

    return ranked


EFFECTS = ("--features", "length, side", "--order-column", "first")


def test_effects_are_said_and_written(run):
    _, files, err = run(lines_of(), *EFFECTS)
    order, length, side = files["effects.json"]
    assert [row["effect"] for row in (order, length, side)] == ["order", "feature", "feature"]
    assert (length["name"], side["name"], side["scale"]) == ("length", "side", 1)
    # Both are in the data; errors of about a third.
    assert length["estimate"] > 0
    assert order["estimate"] > 0
    for row in (order, length, side):
        assert row["upper"] - row["estimate"] == pytest.approx(1.959964 * row["std_error"])
    assert f"length, {length['scale']:.3g} more: {length['estimate']:+.3f} in strength" in err
    assert f"coming first: {order['estimate']:+.3f} in strength, standard error {order['std_error']:.3f}" in err
    # Another unit of length changes nothing but the scale.
    _, again, _ = run(lines_of(stretch=10), *EFFECTS)
    assert again["effects.json"][1]["scale"] == pytest.approx(10 * length["scale"])
    assert again["effects.json"][1]["estimate"] == pytest.approx(length["estimate"])


def test_votes_of_one_judge_are_one(run):
    plain, _, _ = run(lines_of(), "--judge-column", "judge")
    twice, _, _ = run(lines_of(times=2), "--cluster", "judge")
    independent, _, _ = run(lines_of(times=2))
    for a, b, c in zip(plain, twice, independent, strict=True):
        # Every vote twice by the same judge says no more; by others it would.
        assert b["std_error"] == pytest.approx(a["std_error"], rel=1e-6)
        assert c["std_error"] < 0.8 * a["std_error"]


@pytest.mark.slow
def test_clusters_are_redrawn(run):
    options = ["--bootstrap", "20", "--cluster", "judge", "--seed"]
    plain, _, _ = run(lines_of(), *options, "1")
    twice, _, _ = run(lines_of(times=2), *options, "1")
    other, _, _ = run(lines_of(), *options, "2")
    # The same judges are drawn, whose votes say the same.
    for a, b in zip(plain, twice, strict=True):
        assert b["lower"] == pytest.approx(a["lower"], rel=1e-6)
        assert b["upper"] == pytest.approx(a["upper"], rel=1e-6)
    assert plain != other


def test_rows_are_redrawn(run):
    few, _, _ = run(lines_of(), "--bootstrap", "20")
    assert few == run(lines_of(), "--bootstrap", "20")[0]
    assert few[0]["lower"] < few[0]["rating"] < few[0]["upper"]


def test_influence_finds_the_votes_that_hold_up_the_leader(scorax, run, tmp_path):
    text = "a,b,winner\n" + 5 * "x,y,x\n" + 4 * "x,y,y\n"
    _, files, err = run(text, "--influence")
    assert set(files) == {"leaderboard.json", "influence.json"}
    found = files["influence.json"]
    assert (found["leader"], found["new_leader"], found["n_removed"], found["votes"]) == ("x", "y", 2, 9)
    assert all(row["vote"] == "x > y" and row["row"] < 5 for row in found["removed"])
    assert {row["row"] for row in found["most_influential"]} == set(range(5))
    # From log(5/4) to log(4/4); one step is exact to second order in the leverage.
    assert found["most_influential"][0]["change"] == pytest.approx(-np.log(5 / 4), rel=0.05)
    assert "Without 2 of 9 votes (22 %) y leads, not x." in err
    table = scorax("rank", tmp_path / "file.csv", "--influence", "--quiet")
    assert (table.status, table.err) == (0, "")
    assert table.out.splitlines()[-6].startswith("Rows that hold x above y most:")
