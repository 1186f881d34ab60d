"""`scorax elo`: every system on a few matches, orders, periods and formats."""

import csv
import io
import json

import pytest

GAMES = "a,b,winner,month\nx,y,x,1\ny,z,tie,1\nx,z,x,2\n"


@pytest.fixture
def rated(scorax, tmp_path):
    """The rows by item of a file of this text."""

    def run(text, *options):
        (tmp_path / "games.csv").write_text(text)
        status, out, err = scorax("elo", tmp_path / "games.csv", "--format", "json", "--quiet", *options)
        assert (status, err) == (0, "")
        return {row["item"]: row for row in json.loads(out)}

    return run


def test_elo_by_hand(rated):
    rows = rated(GAMES, "--k", "32")
    # 16 for the first win; then y, 16 behind, draws; then x wins again.
    y = 984 + 32 * (0.5 - 1 / (1 + 10 ** (16 / 400)))
    z = 2000 - 16 - y - 0
    expected = 1 / (1 + 10 ** ((z - 1016) / 400))
    assert rows["y"]["rating"] == pytest.approx(y)
    assert rows["x"]["rating"] == pytest.approx(1016 + 32 * (1 - expected))
    assert [row["rank"] for row in rows.values()] == [1, 2, 3]
    assert {row["matches"] for row in rows.values()} == {2}
    assert rows["x"]["deviation"] is rows["x"]["lower"] is None


def test_time_orders_the_matches(rated):
    lines = GAMES.splitlines()
    backwards = "\n".join([lines[0], lines[3], *lines[1:3]]) + "\n"
    assert rated(backwards, "--time-column", "month") == rated(GAMES)
    assert rated(backwards) != rated(GAMES)


def test_orders(rated):
    rows = rated(GAMES, "--permutations", "40", "--k", "32", "--level", "0.8")
    assert rows == rated(GAMES, "--permutations", "40", "--k", "32", "--level", "0.8")
    assert sum(row["rating"] for row in rows.values()) == pytest.approx(3000)
    assert all(row["lower"] <= row["rating"] <= row["upper"] for row in rows.values())
    assert rows["y"]["lower"] < rows["y"]["upper"]


@pytest.mark.parametrize("system", ["glicko", "glicko2", "trueskill", "weng-lin"])
def test_systems_with_deviations(rated, system):
    rows = rated(GAMES, "--system", system)
    newcomer = {"glicko": 350, "glicko2": 350}.get(system, 25 / 3)
    assert next(iter(rows)) == "x"
    assert all(0 < row["deviation"] < newcomer for row in rows.values())
    if system.startswith("glicko"):
        assert rated(GAMES, "--system", system, "--time-column", "month") != rows


def test_tables(scorax, tmp_path):
    (tmp_path / "games.csv").write_text(GAMES)
    elo = scorax("elo", tmp_path / "games.csv")
    assert elo.out.splitlines()[0].split() == ["rank", "item", "rating", "matches"]
    assert elo.err == "3 items, 3 matches: elo\n"
    skill = scorax("elo", tmp_path / "games.csv", "--system", "trueskill", "--outcome-value", "tie=0.5")
    assert skill.out.splitlines()[0].split() == ["rank", "item", "rating", "deviation", "matches"]
    orders = scorax("elo", tmp_path / "games.csv", "--permutations", "40")
    assert "95% of orders" in orders.out.splitlines()[0]
    text = scorax("elo", tmp_path / "games.csv", "--format", "csv").out
    assert list(next(csv.DictReader(io.StringIO(text)))) == [
        "rank", "item", "rating", "deviation", "lower", "upper", "matches",
    ]  # fmt: skip


def test_glicko_says_that_all_is_one_period(scorax, tmp_path):
    (tmp_path / "games.csv").write_text(GAMES)
    assert "all matches are one period" in scorax("elo", tmp_path / "games.csv", "--system", "glicko").err
