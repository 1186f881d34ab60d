"""`scorax data`."""

import pytest

from scorax.data import datasets


def test_list_names_every_data_set_with_its_licence(scorax):
    status, out, err = scorax("data", "list")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert len(lines) == 2 + len(datasets.catalogue())
    for entry in datasets.catalogue():
        line = next(line for line in lines if line.split()[0] == entry.name)
        assert f"{entry.rows:,}" in line
        assert entry.licence in line


def test_show_prints_the_first_rows(scorax):
    name = datasets.catalogue()[0].name
    status, out, err = scorax("data", "show", name)
    assert status == 0
    assert len(out.splitlines()) == 2 + 10
    assert datasets.catalogue()[0].licence in err


def test_export_copies_to_a_file_a_folder_or_standard_output(scorax, tmp_path):
    entry = datasets.catalogue()[0]
    text = entry.path.read_text()
    assert scorax("data", "export", entry.name, tmp_path / "copy.csv").status == 0
    assert (tmp_path / "copy.csv").read_text() == text
    assert scorax("data", "export", entry.name, tmp_path).status == 0
    assert (tmp_path / entry.path.name).read_text() == text
    assert scorax("data", "export", entry.name, "-").out == text


def test_export_replaces_a_file_only_by_force(scorax, tmp_path):
    entry = datasets.catalogue()[0]
    target = tmp_path / "mine.csv"
    target.write_text("precious")
    status, _, err = scorax("data", "export", entry.name, target)
    assert status == 2
    assert "--force" in err
    assert target.read_text() == "precious"
    assert scorax("data", "export", entry.name, target, "--force").status == 0
    assert target.read_text() != "precious"


@pytest.mark.parametrize("command", [("show",), ("export",)])
def test_unknown_name(scorax, tmp_path, command):
    arguments = [*command, "nothing"] + ([tmp_path / "x"] if command == ("export",) else [])
    status, out, err = scorax("data", *arguments)
    assert (status, out) == (2, "")
    assert err.startswith("scorax: there is no data set 'nothing'; there are ")


def test_export_into_a_folder_that_is_not_there(scorax, tmp_path):
    entry = datasets.catalogue()[0]
    status, _, err = scorax("data", "export", entry.name, tmp_path / "none" / "x.csv")
    assert status == 2
    assert "cannot write" in err
    assert list(tmp_path.iterdir()) == []
