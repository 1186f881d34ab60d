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
        ["outcome is none of those that Davidson knows (0, 0.5, 1)", "use --ties half for soft labels"],
    ),
    "outcome value without a number": (HEAD + FINE, ["--outcome-value", "tie"], ["WORD=NUMBER"]),
    "column of the other model": (HEAD + FINE, ["--model", "bradley-terry", "--rank-column", "r"], ["--rank-column"]),
    "ties of rankings": (
        "ranking,item,rank\n1,ant,1\n1,bee,2\n",
        ["--ties", "half"],
        ["--ties is for comparisons"],
    ),
    "ties of rankings in a model without": (
        "ranking,item,rank\n1,ant,1\n1,bee,1\n2,bee,1\n2,ant,2\n",
        ["--method", "map", "--model", "plackett-luce"],
        ["the rankings have ties", "use --model davidson-luce"],
    ),
    "a rule of another model": (
        HEAD + FINE,
        ["--model", "thurstone", "--ties", "davidson", "--method", "mle"],
        ["--ties davidson is no rule of --model thurstone", "half or glenn-david"],
    ),
    "glenn-david of logistic noise": (
        HEAD + FINE,
        ["--model", "bradley-terry", "--ties", "glenn-david", "--method", "mle"],
        ["--ties glenn-david is no rule of --model bradley-terry"],
    ),
    "ties of a graded scale": (HEAD + FINE, ["--model", "graded", "--ties", "half"], ["level in the middle"]),
    "no graded scale": (
        HEAD + "ant,bee,0.5\nant,bee,0.13\nbee,ant,0.92\nbee,ant,0.27\n",
        ["--model", "graded"],
        ["evenly from 0 to 1", "0.13, 0.27"],
    ),
    "wins only on a graded scale": (HEAD + FINE.replace("tie", "model_b"), ["--model", "graded"], ["bradley-terry"]),
    "a level that never occurs": (
        HEAD + "ant,bee,1\nbee,ant,0.75\nbee,ant,0.75\n",
        ["--model", "graded", "--method", "mle"],
        ["outcome 0.5, one of 5 levels", "--method nuts or map"],
    ),
    "no such feature": (
        HEAD + FINE,
        ["--features", "length"],
        ["no column 'length' for --features", "'length_a'", "'winner'"],
    ),
    "one side of a feature": (
        "model_a,model_b,winner,length_a\nant,bee,tie,3\n",
        ["--features", "length"],
        ["'length_a' and 'length_b'"],
    ),
    "a feature that never differs": (
        "model_a,model_b,winner,n_a,n_b\nant,bee,tie,3,3\nant,bee,model_a,1,1\n",
        ["--features", "n"],
        ["the sides never differ in feature 'n'", "leave it out"],
    ),
    "a constant feature": (
        "model_a,model_b,winner,n\nant,bee,tie,1\nant,bee,model_a,1\n",
        ["--features", "n"],
        ["feature 'n' is 1 in every row", "--order-column"],
    ),
    "a feature of words": (
        "model_a,model_b,winner,n\nant,bee,tie,long\nant,bee,model_a,1\n",
        ["--features", "n"],
        ["column 'n' holds text that is no number, such as 'long', in 1 row (row 0)"],
    ),
    "a feature with gaps": (
        "model_a,model_b,winner,n\nant,bee,tie,\nant,bee,model_a,1\n",
        ["--features", "n"],
        ["column 'n' is missing in 1 row (row 0)"],
    ),
    "a feature twice": (HEAD + FINE, ["--features", "n,n"], ["names one twice"]),
    "features of rankings": (
        "ranking,item,rank\n1,ant,1\n1,bee,2\n",
        ["--features", "n"],
        ["--features does not belong to rankings"],
    ),
    "an order without a first": (
        "model_a,model_b,winner,home\nant,bee,tie,0\nant,bee,model_a,0\n",
        ["--order-column", "home"],
        ["column 'home' is 0 in every row", "Drop --order-column"],
    ),
    "an order that is none": (
        "model_a,model_b,winner,home\nant,bee,tie,0.5\n",
        ["--order-column", "home"],
        ["order is not +1, -1 or 0", "row 0"],
    ),
    "no such cluster": (HEAD + FINE, ["--cluster", "judge", "--method", "mle"], ["no column 'judge'", "'winner'"]),
    "firth with ties of their own": (
        HEAD + "ant,bee,tie\nant,bee,model_a\nant,cow,model_a\n",
        ["--method", "mle", "--on-disconnected", "firth"],
        ["with --ties half", "--on-disconnected ghost"],
    ),
    "firth of groups that never met": (
        HEAD + "ant,bee,model_a\ncow,dog,model_a\n",
        ["--method", "mle", "--on-disconnected", "firth"],
        ["groups that never met", "--method nuts"],
    ),
    "firth of redrawn votes": (
        HEAD + "ant,bee,model_a\nbee,cow,model_a\n",
        ["--bootstrap", "10", "--on-disconnected", "firth"],
        ["drop --bootstrap"],
    ),
    "ghosts of redrawn votes": (
        HEAD + "ant,bee,model_a\nbee,cow,model_a\n",
        ["--bootstrap", "10", "--on-disconnected", "ghost"],
        ["Drop --bootstrap"],
    ),
    "scores that are words": (
        "name,m1,m2\nq1,1,2\nq2,1,good\n",
        ["--scores"],
        ["column 'name' holds text that is no number, such as 'q1',", "--sample-column name"],
    ),
    "scores of one system": ("id,m1\nq1,1\n", ["--scores"], ["two columns or more", "there are 1"]),
    "scores that never meet": ("id,m1,m2\nq1,1,\nq2,,2\n", ["--scores"], ["nothing to compare"]),
    "a sample without a score": ("id,m1,m2\nq1,1,2\nq2,,\n", ["--scores"], ["a sample has no score", "row 1"]),
    "columns of comparisons of scores": (
        "id,m1,m2\nq1,1,2\n",
        ["--scores", "--outcome-column", "m1"],
        ["--outcome-column does not belong to --scores"],
    ),
    "a model of rankings of scores": (
        "id,m1,m2\nq1,1,2\n",
        ["--scores", "--model", "plackett-luce"],
        ["--model plackett-luce is for rankings"],
    ),
    "no column of samples": ("id,m1,m2\nq1,1,2\n", ["--scores", "--sample-column", "q"], ["no column 'q'", "'m1'"]),
}


@pytest.mark.parametrize("case", BATTLES)
def test_rank(scorax, tmp_path, case):
    text, options, words = BATTLES[case]
    file = tmp_path / "battles.csv"
    file.write_text(text)
    refused(scorax("rank", file, "--out", tmp_path / "new" / "out", *options), words)
    assert [path.name for path in tmp_path.iterdir()] == ["battles.csv"]


ELO = {
    "periods that are none": (
        "a,b,winner,t\nant,bee,tie,0.5\n",
        ["--system", "glicko", "--time-column", "t"],
        ["time is no whole number", "such as days"],
    ),
    "time of words": ("a,b,winner,t\nant,bee,tie,may\n", ["--time-column", "t"], ["column 't'", "'may'"]),
    "weights of skills": (
        "a,b,winner,w\nant,bee,tie,2\n",
        ["--system", "trueskill", "--weight-column", "w"],
        ["weight is neither 0 nor 1"],
    ),
    "rankings": ("ranking,item,rank\n1,ant,1\n", [], ["--item-a-column"]),
    "points of another system": ("", ["--system", "glicko", "--k", "8"], ["--k belongs to --system elo, not glicko"]),
    "orders of another system": ("", ["--system", "trueskill", "--permutations", "9"], ["--permutations belongs to"]),
    "no points": ("", ["--k", "0"], ["--k must be a positive number, not 0"]),
    "orders and time": ("", ["--permutations", "9", "--time-column", "t"], ["--permutations forgets the order"]),
}


@pytest.mark.parametrize("case", ELO)
def test_elo(scorax, tmp_path, case):
    text, options, words = ELO[case]
    (tmp_path / "games.csv").write_text(text)
    refused(scorax("elo", tmp_path / "games.csv", *options), words)


AGGREGATE = {
    "ranks of comparisons": ("a,b,winner\nant,bee,tie\n", ["--method", "veto"], ["a method of pairs"]),
    "negative rank": ("id,ant,bee\nr1,1,-2\n", ["--ranks"], ["a rank is negative", "row 0"]),
    "ranks that are words": ("who,ant,bee\nr1,1,2\n", ["--ranks"], ["'r1'", "--ranking-column who"]),
    "columns of a long table": (
        "id,ant,bee\nr1,1,2\n",
        ["--ranks", "--item-column", "ant"],
        ["--item-column does not belong to --ranks"],
    ),
    "empty file": ("", [], ["empty"]),
}


@pytest.mark.parametrize("case", AGGREGATE)
def test_aggregate(scorax, tmp_path, case):
    text, options, words = AGGREGATE[case]
    (tmp_path / "file.csv").write_text(text)
    refused(scorax("aggregate", tmp_path / "file.csv", *options), words)


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
