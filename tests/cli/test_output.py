"""Tables that fit, and files that appear together or not at all."""

import sys

import pytest

from scorax.cli._output import print_table, staged

HEADINGS = ["rank", "item", "rating"]
BODY = [["1", "a name that is far too long for this terminal", "1234"], ["2", "[b]", "56"]]


def test_in_a_pipe_nothing_is_cut_and_lines_end_without_blanks(capsys):
    print_table(HEADINGS, BODY)
    lines = capsys.readouterr().out.splitlines()
    assert lines[2] == "   1  a name that is far too long for this terminal    1234"
    assert [line for line in lines if line != line.rstrip()] == []
    # Square brackets are text, not markup.
    assert "[b]" in lines[3]


def test_in_a_narrow_terminal_names_are_cut_before_numbers(capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "40")
    print_table(HEADINGS, BODY)
    line = capsys.readouterr().out.splitlines()[2]
    assert len(line) == 40
    assert line.endswith("…    1234")


def test_files_replace_old_ones_when_all_has_gone_well(tmp_path):
    (tmp_path / "old").write_text("kept")
    (tmp_path / "a").write_text("before")
    with staged(tmp_path) as stage:
        (stage / "a").write_text("after")
        assert (tmp_path / "a").read_text() == "before"
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a": "after", "old": "kept"}


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt])
def test_nothing_is_left_when_something_fails(tmp_path, failure):
    def write():
        with staged(tmp_path / "b" / "c") as stage:
            (stage / "a").write_text("half")
            raise failure

    with pytest.raises(failure):
        write()
    assert list(tmp_path.iterdir()) == []


def test_without_a_folder_there_is_nowhere_to_write():
    with staged(None) as stage:
        assert stage is None
