"""Every kind of bad input: one clear message, status 2, and nothing left behind."""

import pytest

HEAD = "model_a,model_b,winner\n"
FINE = "ant,bee,model_a\nbee,cow,model_a\ncow,ant,model_a\nant,bee,tie\n"
RATINGS = "item,judge,label\nq1,ann,1\nq1,bob,2\nq2,ann,3\nq2,bob,3\n"

# What is wrong: the file, the options, and words of the message: what, where, and how to mend it.
BATTLES = {
    "unknown column": (HEAD + FINE, ["--outcome-column", "result"], ["no column 'result'", "'winner'"]),
    "no columns that we know": ("x,y,z\na,b,c\n", [], ["'x', 'y', 'z'", "--item-a-column"]),
    "one column of two": (
        HEAD + FINE,
        ["--item-a-column", "model_a"],
        ["--item-a-column and --item-b-column go together"],
    ),
    "unknown outcome": (
        HEAD + FINE + "ant,cow,DRAW\n",
        [],
        ["column 'winner' holds 1 value that is no outcome: 'DRAW' (row 4)", "--outcome-value 'DRAW=0.5'"],
    ),
    "missing outcome": (HEAD + FINE + "ant,cow,\n", [], ["column 'winner' is missing", "row 4"]),
    "NaN outcome": ("model_a,model_b,winner\nant,bee,1\nbee,ant,NaN\n", [], ["column 'winner'", "row 1"]),
    "negative weight": (
        "model_a,model_b,winner,w\nant,bee,tie,1\nbee,ant,tie,-2\n",
        ["--weight-column", "w"],
        ["column 'w' is negative", "row 1"],
    ),
    "self-comparison": (HEAD + FINE + "ant,ant,tie\n", [], ["compared with itself (ant)", "row 4"]),
    "empty file": ("", [], ["empty"]),
    "only a header": (HEAD, [], ["empty"]),
    "ragged": (HEAD + FINE + "ant,cow,tie,1,2,3\n", [], []),
    "always wins": (
        HEAD + "ant,bee,model_a\nant,cow,model_a\nbee,cow,tie\n",
        ["--method", "mle"],
        ["no finite maximum-likelihood ratings", "'ant' won all of its 2", "--method nuts", "--on-disconnected ghost"],
    ),
    "an item that was never compared": (
        "a,b,winner,w\nant,bee,tie,1\nbee,cow,tie,0\n",
        ["--weight-column", "w"],
        ["1 of 3 items were never compared", "'cow'", "Drop these rows"],
    ),
    "groups that never met": (
        HEAD + "ant,bee,tie\ncow,dog,tie\nant,bee,model_a\ncow,dog,model_a\n",
        ["--method", "mle"],
        ["no finite maximum-likelihood ratings", "--method nuts"],
    ),
    "no tie": (HEAD + FINE.replace("tie", "model_b"), ["--method", "mle", "--ties", "davidson"], ["use --ties half"]),
    "soft labels with ties": (
        HEAD + "ant,bee,0.7\nbee,ant,0.5\n",
        ["--method", "mle", "--ties", "davidson"],
        ["outcomes must be 0, 0.5 or 1"],
    ),
    "outcome value without a number": (HEAD + FINE, ["--outcome-value", "tie"], ["WORD=NUMBER"]),
    "column of the other model": (HEAD + FINE, ["--model", "bradley-terry", "--rank-column", "r"], ["--rank-column"]),
    "ties of rankings": (
        "ranking,item,rank\n1,ant,1\n1,bee,2\n",
        ["--ties", "half"],
        ["--ties is for comparisons"],
    ),
}


@pytest.mark.parametrize("case", BATTLES)
def test_rank(scorax, tmp_path, case):
    text, options, words = BATTLES[case]
    file = tmp_path / "battles.csv"
    file.write_text(text)
    refused(scorax("rank", file, "--out", tmp_path / "new" / "out", *options), words)
    assert [path.name for path in tmp_path.iterdir()] == ["battles.csv"]


JUDGES = {
    "rating outside the levels": (RATINGS, ["--levels", "1,2"], ["3"]),
    "a judge with no ratings": (RATINGS + "q2,eve,\n", [], ["column 'label' is missing", "row 4"]),
    "one level": ("item,judge,label\nq1,ann,1\nq2,ann,1\n", [], ["--levels"]),
    "no mode": (RATINGS, ["--method", "map", "--monotone", "lowest"], ["--method nuts"]),
    "no judges": ("item,label\nq1,1\n", [], ["judge", "'item', 'label'"]),
    "empty file": ("", [], ["empty"]),
}


@pytest.mark.parametrize("case", JUDGES)
def test_judge(scorax, tmp_path, case):
    text, options, words = JUDGES[case]
    file = tmp_path / "ratings.csv"
    file.write_text(text)
    refused(scorax("judge", file, "--out", tmp_path / "out", *options), words)
    assert [path.name for path in tmp_path.iterdir()] == ["ratings.csv"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("battles.csv", bytes(range(256))),
        ("battles.csv", "model_a,model_b,winner\n\xe9,b,a\n".encode("latin-1")),
        ("battles.parquet", b"PAR1 and then nothing"),
        ("battles.jsonl", b'{"model_a": "ant", "model_b": "bee", "winner": "tie"}\n{"model_a": "an'),
    ],
)
def test_files_that_are_no_tables(scorax, tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    refused(scorax("rank", tmp_path / name, "--method", "mle"), [name])


def test_missing_file(scorax, tmp_path):
    refused(scorax("rank", tmp_path / "none.csv"), ["none.csv"])


@pytest.mark.parametrize("command", ["rank", "judge"])
def test_output_folder_that_cannot_be_written(scorax, tmp_path, battles, ratings, command):
    taken = tmp_path / "taken"
    taken.write_text("a file")
    file = battles if command == "rank" else ratings
    for folder in (taken, taken / "below"):
        refused(scorax(command, file, "--out", folder), ["cannot write to the output folder", str(folder), "--out"])
    assert taken.read_text() == "a file"


def test_failure_leaves_an_output_folder_as_it_was(scorax, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "leaderboard.json").write_text("of last week")
    (tmp_path / "battles.csv").write_text(HEAD + "ant,bee,model_a\n")
    refused(scorax("rank", tmp_path / "battles.csv", "--method", "mle", "--out", out), ["no finite"])
    assert [(path.name, path.read_text()) for path in out.iterdir()] == [("leaderboard.json", "of last week")]


def test_debug_shows_the_traceback_and_the_message(scorax, tmp_path):
    status, _, err = scorax("rank", tmp_path / "none.csv", "--debug")
    assert status == 2
    assert err.startswith("Traceback")
    assert err.splitlines()[-1].startswith("scorax: ")


def refused(run, words):
    assert run.status == 2
    assert run.out == ""
    assert run.err.startswith("scorax: ")
    assert "Traceback" not in run.err
    assert [word for word in words if word not in run.err] == []
