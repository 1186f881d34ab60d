"""`scorax aggregate`: rules of voting on rankings, on a matrix of ranks and on comparisons."""

import csv
import io
import json

import pytest

from scorax.choice import AGGREGATION_METHODS
from scorax.cli._aggregate import Rule

# a > b > c, a > c > b, b > a > c.
LONG = "ranking,item,rank\n" + "".join(
    f"{n},{item},{place}\n" for n, order in enumerate(("abc", "acb", "bac")) for place, item in enumerate(order, 1)
)
WIDE = "id,a,b,c\nr1,1,2,3\nr2,1,3,2\nr3,2,1,3\n"
PAIRS = "a,b,winner\n" + "x,y,x\n" * 3 + "x,y,y\ny,z,y\nx,z,tie\n"


@pytest.fixture
def order(scorax, tmp_path):
    """What the command prints as JSON for a file of this text."""

    def run(text, *options):
        (tmp_path / "file.csv").write_text(text)
        status, out, err = scorax("aggregate", tmp_path / "file.csv", "--format", "json", "--quiet", *options)
        assert (status, err) == (0, "")
        return json.loads(out)

    return run


def items(found):
    return [(place["rank"], place["item"], place["score"]) for place in found["items"]]


def test_rules_are_those_of_the_library():
    assert {rule.value.replace("-", "_") for rule in Rule} == set(AGGREGATION_METHODS)


def test_borda_of_a_long_and_of_a_wide_table(order):
    long = order(LONG)
    assert long["method"] == "borda"
    assert items(long) == [(1, "a", 5), (2, "b", 3), (3, "c", 1)]
    assert order(WIDE, "--ranks") == long
    assert order(WIDE.replace("id,", "voter,"), "--ranks", "--ranking-column", "voter") == long


def test_unranked_items_and_weights(order):
    found = order("w,a,b,c\n3,1,2,\n1,2,1,0\n", "--ranks", "--weight-column", "w", "--method", "copeland")
    assert found["items"][0]["item"] == "a"


def test_kemeny_says_what_its_order_costs(scorax, order, tmp_path):
    found = order(LONG, "--method", "kemeny")
    # b before a once, c before b once.
    assert (found["cost"], found["lower_bound"], found["exact"]) == (2, 2, True)
    assert items(found) == [(1, "a", None), (2, "b", None), (3, "c", None)]
    table = scorax("aggregate", tmp_path / "file.csv", "--method", "kemeny")
    assert "contradicts 2 votes on pairs, which no order is below" in table.err
    assert table.out.splitlines()[0].split() == ["rank", "item"]


@pytest.mark.parametrize("rule", ["copeland", "schulze", "ranked-pairs", "minimax", "average-win-rate"])
def test_rules_of_pairs_elect_the_winner_of_all_majorities(order, rule):
    assert order(LONG, "--method", rule)["items"][0]["item"] == "a"
    assert order(PAIRS, "--method", rule)["items"][0]["item"] == "x"


def test_comparisons_are_counted(order):
    found = order(PAIRS)
    assert found["method"] == "counting"
    assert items(found) == [(1, "x", 3.5), (2, "y", 2), (3, "z", 0.5)]


def test_equal_scores_share_a_rank(order):
    assert [place["rank"] for place in order("a,b,c\n1,2,3\n2,1,3\n", "--ranks")["items"]] == [1, 1, 3]


def test_csv(scorax, tmp_path):
    (tmp_path / "file.csv").write_text(LONG)
    text = scorax("aggregate", tmp_path / "file.csv", "--format", "csv").out
    assert [row["item"] for row in csv.DictReader(io.StringIO(text))] == ["a", "b", "c"]
