"""`scorax judge`: candidates and judges from labels."""

import csv
import io
import json

import numpy as np
import pytest

from scorax.inference import Posterior
from scorax.judges import SimplexJudge

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


def test_table_csv_and_a_page_without_figures(scorax, ratings, tmp_path):
    out = tmp_path / "out"
    run = scorax("judge", ratings, "--method", "map", "--level", "0.8", "--out", out, "--no-plot")
    tables = ["judges.csv", "leaderboard.csv", "leaderboard.json"]
    assert sorted(path.name for path in out.iterdir()) == [*tables, "report.html"]
    page = (out / "report.html").read_text()
    assert "The search ended at a mode." in page
    assert "<img" not in page
    candidates, judges = run.out.split("\n\n")
    heading = "rank candidate score 80% interval 80% ranks P(best) labels"
    assert " ".join(candidates.split("\n")[0].split()) == heading
    assert judges.splitlines()[0].split() == ["judge", "accuracy", "80%", "interval", "labels"]
    assert "2 candidates, 40 items, 3 judges, 3 levels: map" in run.err
    table = csv.DictReader(io.StringIO((out / "leaderboard.csv").read_text()))
    assert [row["item"] for row in table] == ["good", "fair"]
    # The same labels without a column of candidates.
    ratings.write_text(ratings.read_text().replace("candidate", "author"))
    single = scorax("judge", ratings, "--method", "map", "--format", "csv", "--quiet").out
    assert [(row["item"], row["rank"]) for row in csv.DictReader(io.StringIO(single))] == [("all", "1")]


def test_one_judge_of_a_family_and_columns_and_levels_of_other_names(scorax, tmp_path):
    lines = [f"q{n},x,{('bad', 'fair', 'good')[n % 3]},{'ab'[n % 2]}" for n in range(24)]
    (tmp_path / "r.csv").write_text("\n".join(["q,who,says,whose", *lines]) + "\n")
    columns = ["--item-column", "q", "--judge-column", "who", "--label-column", "says", "--candidate-column", "whose"]
    run = scorax(
        "judge", tmp_path / "r.csv", *columns, "--levels", "bad,fair,good", "--out", tmp_path / "out", "--no-plot",
        "--constancy", "own-family", "--own-family", "x=a", *NUTS[:-1],
    )  # fmt: skip
    assert run.status == 0
    report = json.loads((tmp_path / "out" / "leaderboard.json").read_text())
    assert [row["judge"] for row in report["judges"]] == ["x"]
    like = SimplexJudge.init(2, 1, 3, dtype=np.float32).per_candidate()
    drawn = Posterior.load(tmp_path / "out" / "posterior.npz", like=like).model
    confusion, prevalence = np.asarray(drawn.confusion)[:, :, :, 0], np.asarray(drawn.prevalence)
    # The order of levels is the prior's, and how often draws have another one is counted by hand.
    share = (np.linalg.det(confusion.mean(2)) < 0).mean()
    assert report["p_levels_disordered"] == pytest.approx(share, abs=1e-12)
    said = "with one judge and three or more levels, labels do not identify the order of the candidates"
    page = (tmp_path / "out" / "report.html").read_text()
    assert said in run.err
    assert said in page
    assert f"has the levels in another order with probability {share:.2f}." in run.err
    # Without other deviations the difference between both candidates' confusions is that of the family.
    higher = (prevalence[:, :, 0] * ((confusion[:, :, 0] - confusion[:, :, 1]) @ [1.0, 2.0, 3.0])).sum(-1)
    (family,) = report["own_family"]
    assert (family["judge"], family["own_family"]) == ("x", ["a"])
    # Draws are kept in single precision where they are loaded so.
    assert family["lenience"] == pytest.approx(higher.mean(), abs=1e-6)
    assert family["upper"] == pytest.approx(np.quantile(higher, 0.975), abs=1e-6)
    assert f"{family['lenience']:+.2f}" in run.out.split("\n\n")[2]
    assert "Judges and their own families" in page


@pytest.mark.slow
def test_families_and_a_common_judge_under_other_assumptions(scorax, ratings, tmp_path):
    out = tmp_path / "out"
    family = ["--constancy", "own-family", "--own-family", "ann=good"]
    run = scorax("judge", ratings, *family, "--judges", "hierarchical", "--sensitivity", "--out", out, *NUTS)
    assert run.status == 0
    table = run.out.split("\n\n")[3]
    assert table.split()[:3] == ["assumptions", "best", "(probability)"]
    report = json.loads((out / "leaderboard.json").read_text())
    rows = {row["assumptions"]: row for row in report["sensitivity"]}
    assert next(iter(rows)) == "as asked"
    assert {"hierarchical prevalence", "item effects", "independent judges, monotone diagonal"} < set(rows)
    assert rows["as asked"]["tau"] == pytest.approx(1.0)
    assert {row["best"] for row in rows.values()} == {"good"}
    assert (out / "sensitivity.png").stat().st_size > 10_000
    page = (out / "report.html").read_text()
    assert [name for name in rows if name not in page] == []
    assert page.count("data:image/png;base64,") == 3
    assert "ann and good" in page
