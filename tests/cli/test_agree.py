"""`scorax agree`: coefficients, judges in pairs and one by one, from long and wide tables."""

import csv
import io
import json
import pathlib

import pytest

from scorax.data import datasets

ORACLE = json.loads((pathlib.Path(__file__).parents[1] / "oracles/judges/agreement_cases.json").read_text())
CANONICAL = ORACLE[0]["ratings_items_by_raters"]
WIDE = "unit,ann,bob,cid,dan\n" + "".join(
    f"{i},{','.join('' if x is None else str(x) for x in row)}\n" for i, row in enumerate(CANONICAL)
)
LONG = "item,judge,label\n" + "".join(
    f"{i},{judge},{x}\n"
    for i, row in enumerate(CANONICAL)
    for judge, x in zip(("ann", "bob", "cid", "dan"), row, strict=True)
    if x is not None
)
DRAWS = ["--bootstrap", "200"]


@pytest.fixture
def agree(scorax, tmp_path):
    """What the command prints as JSON for a file of this text, and what it says beside."""

    def run(text, *options):
        (tmp_path / "file.csv").write_text(text)
        done = scorax("agree", tmp_path / "file.csv", "--format", "json", *DRAWS, *options)
        assert done.status == 0, done.err
        return json.loads(done.out), done.err

    return run


def row_of(report, name):
    return next(row for row in report["coefficients"] if row["coefficient"] == name)


def test_a_long_and_a_wide_table_say_the_same(agree):
    long, said = agree(LONG)
    wide, _ = agree(WIDE, "--wide", "--item-column", "unit")
    assert long == wide
    assert "12 items, 4 judges, 5 levels: nominal" in said
    assert "no intraclass correlations: 4 of 12 items lack the label of a judge" in said
    # Of a judge's second label of an item, nothing is left.
    assert agree(LONG + "0,ann,5\n", "--repeats", "first")[0] == long
    expected = ORACLE[0]["irrCAC_0.4.4"]["identity"]
    names = {"gwet_ac": "gwet", "fleiss_kappa": "fleiss", "conger_kappa": "conger", "brennan_prediger": "bp"}
    for name, peer in names.items():
        row = row_of(long, name)
        assert row["value"] == pytest.approx(expected[peer]["coefficient"], abs=1e-11)
        assert [row["lower"], row["upper"]] == pytest.approx(expected[peer]["ci"], abs=1e-8)
    alpha = row_of(long, "krippendorff_alpha")
    assert alpha["value"] == pytest.approx(0.743421052631579, abs=1e-12)
    assert alpha["lower"] < alpha["value"] < alpha["upper"]
    assert row_of(long, "agreement")["expected"] is None
    assert long["coefficients"][0] == alpha
    assert len(long["pairs"]) == 6
    pair = long["pairs"][0]
    assert (pair["judge_a"], pair["judge_b"], pair["items"]) == ("ann", "bob", 9)
    judge = long["judges"][0]
    assert (judge["judge"], judge["labels"]) == ("ann", 9)
    assert judge["shares"]["3"] == pytest.approx(2 / 9)


@pytest.mark.parametrize("metric", ["ordinal", "interval", "ratio"])
def test_levels_of_measurement(agree, metric):
    report, _ = agree(LONG, "--metric", metric)
    value = row_of(report, "krippendorff_alpha")["value"]
    assert value == pytest.approx(ORACLE[0]["krippendorff_0.9.0"][metric], abs=1e-12)
    weights = {"ordinal": "ordinal", "interval": "quadratic"}.get(metric)
    if weights is not None:
        expected = ORACLE[0]["irrCAC_0.4.4"][weights]["gwet"]["coefficient"]
        assert row_of(report, "gwet_ac")["value"] == pytest.approx(expected, abs=1e-11)


def test_repeats_complete_numbers_and_a_table(scorax):
    file = pathlib.Path(datasets.__file__).parent / "anesthesia.csv"
    refused = scorax("agree", file)
    assert refused.status == 2
    assert "labels an item several times, in 45 of 45 items (first: judge '1', item '1')" in refused.err
    assert "--repeats separate" in refused.err
    done = scorax("agree", file, "--repeats", "separate", *DRAWS)
    assert (done.status, "45 items, 7 judges" in done.err) == (0, True)
    coefficients, pairs, judges = done.out.split("\n\n")
    assert coefficients.splitlines()[0].split() == [
        "coefficient",
        "value",
        "95%",
        "interval",
        "observed",
        "by",
        "chance",
    ]
    assert "Gwet's AC1                                  0.652  0.560 to 0.744     0.728      0.218" in coefficients
    assert "ICC(2,1), agreement of one rating           0.797" in coefficients
    # Those who disagree most come first.
    agreements = [float(line.split()[-2]) for line in pairs.splitlines()[2:]]
    assert agreements == sorted(agreements)
    assert judges.splitlines()[0].split() == ["judge", "labels", "agreement", "1", "2", "3", "4"]
    assert judges.splitlines()[2].split()[:3] == ["1", "#1", "45"]
    quiet = scorax("agree", file, "--repeats", "separate", "--format", "csv", "--quiet", *DRAWS)
    rows = list(csv.DictReader(io.StringIO(quiet.out)))
    assert quiet.err == ""
    assert rows[-1]["coefficient"] == "icc_3_k"
    assert float(rows[0]["items"]) == 45


def test_weights_are_repetition_and_two_judges_have_names_of_their_own(agree, scorax, tmp_path):
    text = "x,y,n\nyes,yes,118\nyes,no,5\nno,yes,2\n"
    report, said = agree(text, "--wide", "--weight-column", "n")
    assert "125 items, 2 judges" in said
    values = {row["coefficient"]: row["value"] for row in report["coefficients"]}
    expected = {"gwet_ac": 0.940776, "conger_kappa": -0.023392, "fleiss_kappa": -0.028807, "agreement": 0.944}
    assert {name: values[name] for name in expected} == pytest.approx(expected, abs=5e-7)
    assert values["krippendorff_alpha"] == pytest.approx(-0.024691, abs=5e-7)
    # Words have no intraclass correlation.
    assert "icc_2_1" not in values
    table = scorax("agree", tmp_path / "file.csv", "--wide", "--weight-column", "n", *DRAWS)
    assert "Scott's pi" in table.out
    assert "Cohen's kappa" in table.out


def test_one_level_is_said_to_be_no_evidence(agree):
    report, said = agree("item,judge,label\n1,a,x\n1,b,x\n2,a,x\n2,b,x\n", "--levels", "x,y")
    assert row_of(report, "krippendorff_alpha")["value"] is None
    assert row_of(report, "krippendorff_alpha")["degenerate"] is True
    assert row_of(report, "gwet_ac")["value"] == 1
    assert "0/0 where all labels are of one level, and so without a value: Krippendorff's alpha, " in said


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (WIDE, [], "there is no column for item (tried 'item', 'question', 'task')"),
        (WIDE, [], "With a column for each judge, add --wide."),
        (WIDE, ["--wide", "--judges", "ann,eve"], "there is no column 'eve' for a judge"),
        (WIDE, ["--wide", "--judges", "ann"], "columns of two judges or more; found 'ann'"),
        (WIDE, ["--wide", "--label-column", "ann"], "--label-column is for a table with one label a row"),
        (LONG, ["--judges", "ann,bob"], "add --wide"),
        (LONG, ["--level", "95"], "--level must lie between 0 and 1"),
        (LONG, ["--levels", "1,2,3"], "has a rating outside the levels"),
        (LONG.replace(",1\n", ",low\n"), ["--metric", "interval"], "--metric interval wants labels that are numbers"),
        (LONG.replace(",1\n", ",-1\n"), ["--metric", "ratio"], "--metric ratio wants labels of 0 or more; here is -1"),
        ("item,judge,label\n1,a,x\n2,a,y\n", [], "there is one judge only"),
        ("item,judge,label\n1,a,x\n2,b,y\n", [], "no item has labels of two judges"),
        ("a,b,c\n1,2,\n2,2,\n", ["--wide"], "the judge 'c' has no labels"),
        (LONG, ["--bootstrap", "0"], "--bootstrap must be at least 1"),
    ],
)
def test_bad_input(scorax, tmp_path, text, options, message):
    (tmp_path / "file.csv").write_text(text)
    status, out, err = scorax("agree", tmp_path / "file.csv", *options)
    assert (status, out) == (2, "")
    assert message in err
    assert err.startswith("scorax: ")


def test_the_manual(scorax, monkeypatch):
    monkeypatch.setenv("COLUMNS", "1000")
    shown = scorax("agree", "--help").out
    words = ["--metric", "--repeats", "--wide", "--judges", "--bootstrap", "circular", "Examples", "Exit status"]
    assert [word for word in words if word not in shown] == []
