"""PrefLib's files at the command line: rankings without columns."""

import json

import pytest

# a > b > c, a > c > b, b > a > c, as in the tests of `aggregate`.
STRICT = """# FILE NAME: three.soc
# DATA TYPE: soc
# NUMBER ALTERNATIVES: 3
# NUMBER VOTERS: 3
# NUMBER UNIQUE ORDERS: 3
# ALTERNATIVE NAME 1: a
# ALTERNATIVE NAME 2: b
# ALTERNATIVE NAME 3: c
1: 1,2,3
1: 1,3,2
1: 2,1,3
"""
# The rankings of `test_rank_models`, whose compiled program this test shares.
TIED = "3\n1,x\n2,y\n3,z\n4,4,4\n1,1,{2,3}\n1,2,1,3\n1,{3,1},2\n1,1,3,2\n"
SAME = "ranking,item,rank\n1,x,1\n1,y,2\n1,z,2\n2,y,1\n2,x,2\n2,z,3\n3,z,1\n3,x,1\n3,y,2\n4,x,1\n4,z,2\n4,y,3\n"
TOP = "3\n1,x\n2,y\n3,z\n6,6,2\n4,1\n2,3,2\n"


def written(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    return tmp_path / name


def test_aggregate_counts_voters_and_names_alternatives(scorax, tmp_path):
    run = scorax("aggregate", written(tmp_path, "three.soc", STRICT), "--format", "json")
    assert run.status == 0
    assert "3 items, 3 rankings: borda" in run.err
    assert [(place["item"], place["score"]) for place in json.loads(run.out)["items"]] == [("a", 5), ("b", 3), ("c", 1)]


def test_rank_takes_orders_with_ties(scorax, tmp_path):
    options = ["--method", "mle", "--format", "json"]
    run = scorax("rank", written(tmp_path, "tied.toc", TIED), "--model", "davidson-luce", *options)
    assert run.status == 0, run.err
    assert "3 items, 4 rankings: DavidsonLuce, mle" in run.err
    assert json.loads(run.out) == json.loads(scorax("rank", written(tmp_path, "tied.csv", SAME), *options).out)


@pytest.mark.parametrize("unlisted", ["absent", "last"])
def test_unlisted_alternatives_are_absent_or_last(scorax, tmp_path, unlisted):
    tables = {
        "top.soi": (TOP, []),
        "top.csv": (
            "ranking,item,rank,w\n" + "1,x,1,4\n2,z,1,2\n2,y,2,2\n",
            ["--weight-column", "w"],
        ),
        "ranks.csv": ("id,x,y,z,w\n1,1,0,,4\n2,,2,1,2\n", ["--ranks", "--weight-column", "w"]),
    }
    found = []
    for name, (text, options) in tables.items():
        asked = ["--unlisted", unlisted, "--format", "json", "--method", "copeland", *options]
        run = scorax("aggregate", written(tmp_path, name, text), *asked)
        assert run.status == 0, run.err
        found.append(json.loads(run.out))
    assert found[0] == found[1] == found[2]
    # x is above both others four times if they were there, and above nobody if not.
    assert found[0]["items"][0]["item"] == ("x" if unlisted == "last" else "z")


BAD = {
    "truncated": ("rank", "x.soc", STRICT.replace("1: 2,1,3\n", ""), [], ["3 distinct orders", "hold 2", "truncated"]),
    "incomplete": ("aggregate", "x.toc", TOP, [], ["fewer than the 3 alternatives", "(lines 6, 7)", "Call it .toi"]),
    "comparisons": ("rank", "x.soc", STRICT, ["--model", "thurstone"], ["PrefLib file of rankings: not comparisons"]),
    "scores": ("rank", "x.soc", STRICT, ["--scores"], ["PrefLib file of rankings: drop --scores"]),
    "ranks": ("aggregate", "x.soc", STRICT, ["--ranks"], ["drop --ranks"]),
    "columns": ("aggregate", "x.soc", STRICT, ["--item-column", "a"], ["--item-column does not belong to a PrefLib"]),
    "features": ("rank", "x.soc", STRICT, ["--features", "a"], ["--features does not belong to a PrefLib file"]),
    "words": ("rank", "x.soc", STRICT, ["--outcome-value", "a=1"], ["--outcome-value does not belong to a PrefLib"]),
    "elo": ("elo", "x.soc", STRICT, [], ["PrefLib file of rankings: not comparisons"]),
    "judge": ("judge", "x.soc", STRICT, [], ["PrefLib file of orders", "ends in .soc, .soi, .toc or .toi"]),
    "another ending": ("rank", "x.txt", STRICT, [], ["PrefLib file of orders", "ends in .soc, .soi, .toc or .toi"]),
    "categories": ("rank", "x.cat", STRICT, [], ["x.cat holds categories"]),
    "unlisted comparisons": ("rank", "x.csv", "a,b,winner\nx,y,tie\n", ["--unlisted", "last"], ["--unlisted does not"]),
    "unlisted word": ("rank", "x.soc", STRICT, ["--unlisted", "worst"], ["'worst' is not one of 'absent', 'last'"]),
    "rank 0": ("rank", "x.csv", "ranking,item,rank\n1,x,0\n1,y,1\n", [], ["column 'rank' is 0", "count from 1"]),
}


@pytest.mark.parametrize(("command", "name", "text", "options", "words"), BAD.values(), ids=BAD)
def test_bad_use_is_one_message_and_status_2(scorax, tmp_path, command, name, text, options, words):
    run = scorax(command, written(tmp_path, name, text), *options)
    assert (run.status, run.out) == (2, "")
    assert [word for word in words if word not in run.err] == []


@pytest.mark.parametrize("command", ["rank", "aggregate"])
def test_the_manual_names_the_files_and_the_option(scorax, monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "1000")
    out = scorax(command, "--help").out
    assert [
        word for word in ("PrefLib", ".soc, .soi, .toc, .toi", "--unlisted", "absent", "last") if word not in out
    ] == []


def test_standard_input_has_no_ending(scorax):
    run = scorax("aggregate", "-", stdin=STRICT)
    assert run.status == 2
    assert "which is read where its name ends in .soc, .soi, .toc or .toi" in run.err
