"""`scorax judge`: candidates and judges from labels."""

import csv
import io
import json

import pytest

# NumPyro's transform of simplices broadcasts ranks.
pytestmark = pytest.mark.engine
NUTS = ["--draws", "60", "--warmup", "60", "--chains", "2", "--quiet"]


def test_map_scores_candidates_and_judges(scorax, ratings):
    status, out, err = scorax("judge", ratings, "--method", "map", "--format", "json", "--quiet")
    assert (status, err) == (0, "")
    report = json.loads(out)
    good, fair = report["candidates"]
    assert (good["item"], fair["item"]) == ("good", "fair")
    assert 1 < fair["rating"] < good["rating"] < 3
    assert good["lower"] < good["rating"] < good["upper"]
    # A score is no log-odds.
    assert good["theta"] is None
    assert good["comparisons"] == 60
    assert good["p_best"] > 0.9
    assert {row["judge"] for row in report["judges"]} == {"ann", "bob", "eve"}
    # Right 0.8 + 0.2 / 3 of the time; four standard errors of a share of 40.
    for row in report["judges"]:
        assert row["accuracy"] == pytest.approx(0.87, abs=4 * (0.87 * 0.13 / 40) ** 0.5)
        assert row["labels"] == 40


def test_table_and_csv(scorax, ratings):
    run = scorax("judge", ratings, "--method", "map", "--level", "0.8")
    candidates, judges = run.out.split("\n\n")
    heading = "rank candidate score 80% interval 80% ranks P(best) labels"
    assert " ".join(candidates.split("\n")[0].split()) == heading
    assert judges.splitlines()[0].split() == ["judge", "accuracy", "80%", "interval", "labels"]
    assert "2 candidates, 40 items, 3 judges, 3 levels: map" in run.err
    table = csv.DictReader(io.StringIO(scorax("judge", ratings, "--method", "map", "--format", "csv", "--quiet").out))
    assert [row["item"] for row in table] == ["good", "fair"]


def test_nuts_writes_all_files(scorax, ratings, tmp_path):
    out = tmp_path / "out"
    kept = ["--resume", tmp_path / "run.npz"]
    status, _, err = scorax("judge", ratings, "--monotone", "stochastic", "--out", out, *kept, *NUTS)
    assert (status, err) == (0, "")
    names = ["judges.csv", "leaderboard.csv", "leaderboard.json", "leaderboard.png", "posterior.npz", "simplex.png"]
    assert sorted(path.name for path in out.iterdir()) == names
    # The run is in its file: the same command reports the same, and another rule is another run.
    again = scorax("judge", ratings, "--monotone", "stochastic", "--format", "json", *kept, *NUTS)
    assert json.loads(again.out) == json.loads((out / "leaderboard.json").read_text())
    other = scorax("judge", ratings, "--monotone", "lowest", *kept, *NUTS)
    assert (other.status, other.out) == (2, "")
    assert "holds a run that this call does not continue: it differs in model and prior." in other.err


def test_columns_levels_and_a_single_candidate(scorax, tmp_path):
    wrong = {"x": range(0), "y": range(4), "z": range(10, 15)}
    lines = [f"q{n},{judge},{('bad', 'good')[(n + (n in wrong[judge])) % 2]}" for n in range(20) for judge in wrong]
    lines.insert(0, "q,who,says")
    (tmp_path / "r.csv").write_text("\n".join(lines) + "\n")
    run = scorax(
        "judge", tmp_path / "r.csv", "--item-column", "q", "--judge-column", "who", "--label-column", "says",
        "--levels", "bad,good", "--format", "json", *NUTS,
    )  # fmt: skip
    assert (run.status, run.err) == (0, "")
    report = json.loads(run.out)
    assert [row["rank"] for row in report["candidates"]] == [1]
    assert report["judges"][0]["judge"] == "x"


@pytest.mark.slow
def test_constancy_may_be_random_and_assumptions_be_varied(scorax, ratings, tmp_path):
    out = tmp_path / "out"
    run = scorax("judge", ratings, "--constancy", "random", "--sensitivity", "--out", out, *NUTS)
    assert run.status == 0
    table = run.out.split("\n\n")[2]
    assert table.split()[:3] == ["assumptions", "best", "(probability)"]
    report = json.loads((out / "leaderboard.json").read_text())
    rows = {row["assumptions"]: row for row in report["sensitivity"]}
    assert next(iter(rows)) == "as asked"
    assert set(rows) == {
        "as asked", "monotone lowest", "monotone stochastic", "accuracy 0.8", "strength 20", "strong constancy",
        "random constancy 0.5",
    }  # fmt: skip
    assert rows["as asked"]["tau"] == pytest.approx(1.0)
    assert {row["best"] for row in rows.values()} == {"good"}
    assert (out / "sensitivity.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--candidate-sd", "0.5"], "--candidate-sd is for --constancy random"),
        (["--constancy", "random", "--candidate-sd", "0"], "--candidate-sd must be above 0"),
        (["--method", "map", "--constancy", "random"], "are for posteriors"),
        (["--method", "map", "--sensitivity"], "are for posteriors"),
    ],
)
def test_assumptions_that_contradict_each_other_are_refused(scorax, ratings, options, words):
    run = scorax("judge", ratings, *options)
    assert (run.status, run.out) == (2, "")
    assert words in run.err
