"""`scorax debias`: judges' means and a few gold labels."""

import csv
import io
import json

import numpy as np
import pytest

KEYS = ["judge", "candidate", "method", "estimate", "std_error", "lower", "upper", "power", "items", "gold"]


def table(generator, *, judges=("ann",), items=200, gold=40, words=("0", "1")):
    """Two candidates on the same items; judges are right nine times in ten and otherwise lenient."""
    lines = ["item,candidate,judge,label,gold"]
    for candidate, share in (("fair", 0.3), ("good", 0.6)):
        for n in range(items):
            truth = generator.random() < share
            for judge in judges:
                label = truth if generator.random() < 0.9 else True
                known = words[truth] if n < gold else ""
                lines.append(f"q{n},{candidate},{judge},{words[label]},{known}")
    return "\n".join(lines) + "\n"


@pytest.fixture
def debiased(scorax, tmp_path):
    """The report on a file of this text."""

    def run(text, *options):
        (tmp_path / "verdicts.csv").write_text(text)
        status, out, err = scorax("debias", tmp_path / "verdicts.csv", "--format", "json", "--quiet", *options)
        assert (status, err) == (0, "")
        return json.loads(out)

    return run


def by_method(report, candidate, judge="ann"):
    return {
        row["method"]: row for row in report["candidates"] if (row["candidate"], row["judge"]) == (candidate, judge)
    }


def test_estimates_by_hand(debiased):
    text = table(np.random.default_rng(0))
    report = debiased(text)
    rows = [line for line in csv.DictReader(io.StringIO(text)) if line["candidate"] == "fair"]
    label = np.array([float(row["label"]) for row in rows])
    gold = np.array([float(row["gold"]) for row in rows[:40]])
    found = by_method(report, "fair")
    assert list(found) == ["judge", "human", "ppi", "rogan-gladen"]
    assert all(list(row) == KEYS for row in report["candidates"])
    assert {(row["items"], row["gold"]) for row in found.values()} == {(200, 40)}
    assert found["judge"]["estimate"] == pytest.approx(label.mean())
    assert found["human"]["estimate"] == pytest.approx(gold.mean())
    assert found["human"]["std_error"] == pytest.approx(gold.std() / 40**0.5)
    power = found["ppi"]["power"]
    assert 0 < power < 1
    corrected = power * label[40:].mean() + (gold - power * label[:40]).mean()
    assert found["ppi"]["estimate"] == pytest.approx(corrected)
    se, sp = label[:40][gold == 1].mean(), 1 - label[:40][gold == 0].mean()
    assert found["rogan-gladen"]["estimate"] == pytest.approx((label[40:].mean() + sp - 1) / (se + sp - 1))
    assert found["ppi"]["std_error"] < found["human"]["std_error"]
    assert all(row["lower"] < row["estimate"] < row["upper"] for row in found.values())
    # The better candidate comes first, and differences are of the better one less the worse.
    assert report["candidates"][0]["candidate"] == "good"
    human, ppi = report["contrasts"]
    assert (ppi["candidate_a"], ppi["candidate_b"], ppi["method"], ppi["paired"]) == ("good", "fair", "ppi", True)
    assert human["estimate"] == pytest.approx(
        by_method(report, "good")["human"]["estimate"] - found["human"]["estimate"]
    )
    assert ppi["lower"] < 0.3 < ppi["upper"]


def test_power_level_and_words(debiased):
    numbers = debiased(table(np.random.default_rng(0)), "--power", "1", "--level", "0.5")
    assert by_method(numbers, "fair")["ppi"]["power"] == 1
    words = table(np.random.default_rng(0), words=("fail", "pass"))
    assert debiased(words, "--levels", "fail,pass", "--power", "1", "--level", "0.5") == numbers
    # Other numbers for the same two kinds: means stretch with them, and Rogan and Gladen's, too.
    twos = debiased(table(np.random.default_rng(0), words=("1", "3")), "--power", "1", "--level", "0.5")
    for method, row in by_method(twos, "good").items():
        expected = by_method(numbers, "good")[method]
        assert row["estimate"] == pytest.approx(1 + 2 * expected["estimate"])
        assert row["upper"] == pytest.approx(1 + 2 * expected["upper"])


def test_each_judge_by_itself(debiased):
    report = debiased(table(np.random.default_rng(0), judges=("ann", "bob")))
    assert {row["judge"] for row in report["candidates"]} == {"ann", "bob"}
    assert {(row["judge"], row["paired"]) for row in report["contrasts"]} == {("ann", True), ("bob", True)}
    # Gold labels are of items, so that all judges have the same human estimate.
    human = {judge: by_method(report, "good", judge)["human"]["estimate"] for judge in ("ann", "bob")}
    assert human["ann"] == human["bob"]


def test_scores_without_candidates_and_candidates_without_common_items(debiased):
    scores = "question,score,gold\n" + "".join(f"q{n},{n % 7},{n % 5 if n % 3 == 0 else ''}\n" for n in range(60))
    report = debiased(scores)
    assert [row["method"] for row in report["candidates"]] == ["judge", "human", "ppi"]
    assert {row["candidate"] for row in report["candidates"]} == {"all"}
    assert report["contrasts"] == []
    apart = "item,model,label,gold\n" + "".join(
        f"{model}{n},{model},{(n + k) % 4},{n % 4 if n < 20 else ''}\n"
        for k, model in enumerate("xy")
        for n in range(50)
    )
    report = debiased(apart)
    rows = {row["candidate"]: row for row in report["candidates"] if row["method"] == "ppi"}
    contrast = report["contrasts"][1]
    assert not contrast["paired"]
    assert contrast["std_error"] == pytest.approx(np.hypot(rows["x"]["std_error"], rows["y"]["std_error"]))


def test_table_csv_and_warnings(scorax, tmp_path):
    file = tmp_path / "verdicts.csv"
    file.write_text(table(np.random.default_rng(0), gold=10) + "q0,poor,ann,1,\n")
    run = scorax("debias", file, "--level", "0.8")
    candidates, contrasts = run.out.split("\n\n")
    heading = ["candidate", "by", "mean", "80%", "interval", "power", "items", "gold"]
    assert candidates.splitlines()[0].split() == heading
    assert contrasts.splitlines()[0].split() == ["difference", "by", "mean", "80%", "interval", "power", "in", "pairs"]
    assert "good - fair" in contrasts
    assert "3 candidates, 1 judge, 200 items, 10 with a gold label" in run.err
    assert "fewer than 2 gold labels, so no estimate, of 'poor'" in run.err
    assert "fewer than 30 gold labels of 'good', 'fair'" in run.err or "of 'fair', 'good'" in run.err
    text = scorax("debias", file, "--format", "csv", "--quiet").out
    rows = list(csv.DictReader(io.StringIO(text)))
    assert list(rows[0]) == KEYS
    poor = {row["method"]: row["estimate"] for row in rows if row["candidate"] == "poor"}
    assert poor == {"judge": "1.0", "human": "", "ppi": "", "rogan-gladen": ""}


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("item,label\nq,1\n", [], ["no column for gold", "'item', 'label'", "--gold-column"]),
        ("item,label,gold\nq,1,\nr,0,\n", [], ["column 'gold' is empty", "random sample"]),
        ("item,label,gold\nq,1,1\nr,0,\n", [], ["no candidate has two gold labels"]),
        ("item,label,gold\nq,good,good\n", [], ["no number", "'good'", "--levels fail,pass"]),
        ("item,label,gold\nq,good,bad\n", ["--levels", "fail,pass"], ["no level ('good')", "fail, pass"]),
        ("item,label,gold\nq,1,1\nq,1,0\n", [], ["changes within an item", "row 0"]),
        ("item,label,gold\nq,inf,1\n", [], ["column 'label' is infinite", "row 0"]),
        ("item,label,gold\nq,,1\n", [], ["column 'label' is missing", "row 0"]),
        ("item,label,gold\nq,1,1\n", ["--levels", "1"], ["--levels lists at least two"]),
        ("item,label,gold\nq,1,1\n", ["--power", "2"], ["--power must lie between 0 and 1, not 2"]),
        ("item,label,gold\nq,1,1\n", ["--level", "95"], ["--level must lie between 0 and 1"]),
        ("item,label,gold\nq,1,1\n", ["--judge-column", "who"], ["no column 'who' for judge"]),
        ("", [], ["empty"]),
    ],
)
def test_bad_input(scorax, tmp_path, text, options, words):
    (tmp_path / "verdicts.csv").write_text(text)
    status, out, err = scorax("debias", tmp_path / "verdicts.csv", *options)
    assert (status, out) == (2, "")
    assert err.startswith("scorax: ")
    assert [word for word in words if word not in err] == []


def test_standard_input_and_manual(scorax, monkeypatch):
    monkeypatch.setenv("COLUMNS", "1000")
    status, out, _ = scorax("debias", "-", "--quiet", "--format", "csv", stdin=table(np.random.default_rng(0)))
    assert (status, out.count("\n")) == (0, 9)
    manual = scorax("debias", "--help").out
    options = ["--levels", "--power", "--item-column", "--label-column", "--gold-column", "--candidate-column"]
    words = [*options, "--judge-column", "--level", "--format", "--quiet", "--debug", "Examples", "Exit status"]
    assert [word for word in words if word not in manual] == []
