import dataclasses

import pytest

from docs import methods as table
from docs.methods import Method

GOOD = Method(
    name="Bradley-Terry",
    names=("choice.BradleyTerry",),
    tests=("tests/test_methods.py",),
    state="done",
    paper="Bradley, Terry",
    year=1952,
    id="doi:10.2307/2334029",
)


def found(**changes):
    return list(table.problems([dataclasses.replace(GOOD, **changes)]))


def test_every_entry_is_true():
    assert list(table.problems(table.load())) == []


def test_a_sound_entry_has_no_problems():
    assert found() == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"names": ("choice.BradleyTerri",)}, "scorax.choice.BradleyTerri does not exist"),
        ({"names": ("nowhere.BradleyTerry",)}, "scorax.nowhere.BradleyTerry does not exist"),
        ({"names": ("choice._ties",)}, "scorax.choice._ties does not exist"),
        ({"names": ("inference.leaf_names",)}, "the docstring of scorax.inference.leaf_names has no 'Source:' line"),
        ({"names": ()}, "has no public name"),
        ({"tests": ("tests/absent.py",)}, "tests/absent.py does not exist"),
        ({"tests": ()}, "is done without a test"),
        ({"example": "notebooks/absent.ipynb"}, "notebooks/absent.ipynb does not exist"),
        ({"state": "nearly"}, "state is 'nearly'"),
        ({"state": "partial"}, "is partial without a note"),
        ({"year": None}, "needs paper and year, or neither"),
        ({"id": "10.2307/2334029"}, "id is '10.2307/2334029'"),
    ],
)
def test_every_kind_of_problem_names_its_entry(changes, message):
    (problem,) = found(**changes)
    assert problem.startswith("Bradley-Terry: ")
    assert message in problem


def test_a_name_without_a_paper_needs_no_source():
    assert found(names=("inference.leaf_names",), paper=None, year=None, id=None) == []


def test_an_entry_listed_twice_is_found():
    assert list(table.problems([GOOD, GOOD])) == ["Bradley-Terry: listed twice"]


def test_table_links_the_paper_and_the_example():
    line = table.table([GOOD]).splitlines()[2]
    assert "`choice.BradleyTerry`" in line
    assert "[Bradley, Terry (1952)](https://doi.org/10.2307/2334029)" in line
    assert "[test_methods](tests/test_methods.py)" in line


def test_table_goes_between_the_markers_and_nowhere_else():
    readme = f"before\n{table.START}\nold\n{table.END}\nafter\n"
    once = table.insert(readme, "new")
    assert once == f"before\n{table.START}\nnew\n{table.END}\nafter\n"
    assert table.insert(once, "new") == once


@pytest.mark.parametrize("readme", ["no markers", f"{table.END}\n{table.START}\n", f"{table.START}\n"])
def test_missing_markers_are_an_error(readme):
    with pytest.raises(ValueError, match="must hold the line"):
        table.insert(readme, "new")


@pytest.fixture
def repository(tmp_path, monkeypatch):
    (tmp_path / "README.md").write_text(f"# scorax\n{table.START}\n{table.END}\n")
    monkeypatch.setattr(table, "ROOT", tmp_path)
    monkeypatch.setattr(table, "load", lambda: [GOOD])
    monkeypatch.setattr(table, "problems", lambda methods: iter(()))
    return tmp_path


def test_a_stale_table_fails_the_check_until_it_is_written(repository, capsys):
    assert table.main(["--check"]) == 1
    assert "stale" in capsys.readouterr().err
    assert table.main([]) == 0
    assert table.main(["--check"]) == 0


def test_an_unknown_field_is_an_error(tmp_path):
    file = tmp_path / "methods.toml"
    file.write_text('[[method]]\nname = "x"\nnames = []\ntests = []\nstate = "done"\nauthor = "y"\n')
    with pytest.raises(ValueError, match=r"x: unknown fields \['author'\]"):
        table.load(file)
