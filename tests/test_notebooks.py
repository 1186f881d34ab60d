"""The notebooks run as they stand, and what is committed shows what they show."""

import copy
import subprocess
import sys

import nbformat
import pytest

from notebooks import execute

NOTEBOOKS = execute.paths()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_committed_notebook_has_its_outputs_and_a_figure(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    assert any("image/png" in output.get("data", {}) for output in outputs)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_committed_notebook_is_clean(path):
    notebook = nbformat.read(path, as_version=4)
    assert execute.clean(copy.deepcopy(notebook)) == notebook


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path):
    """Through the command line, in a process without this one's strict settings."""
    before = path.read_bytes()
    command = [sys.executable, "-m", "notebooks.execute", "--check", path.stem]
    run = subprocess.run(command, cwd=execute.FOLDER.parent, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert path.read_bytes() == before


def written(folder, *sources):
    path = folder / "01_small.ipynb"
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def small_run(folder, *arguments):
    command = [sys.executable, "-m", "notebooks.execute", "--folder", str(folder), *arguments]
    return subprocess.run(command, cwd=execute.FOLDER.parent, capture_output=True, text=True)


def test_a_run_writes_outputs_of_this_interpreter_and_is_repeatable(tmp_path):
    path = written(tmp_path, "import sys\nprint(sys.executable)")
    assert small_run(tmp_path).returncode == 0
    (cell,) = nbformat.read(path, as_version=4).cells
    assert cell.outputs[0].text.strip() == sys.executable
    first = path.read_bytes()
    assert small_run(tmp_path).returncode == 0
    assert path.read_bytes() == first


def test_a_failing_cell_fails_the_check_and_writes_nothing(tmp_path):
    path = written(tmp_path, "1 / 0")
    before = path.read_bytes()
    run = small_run(tmp_path, "--check")
    assert run.returncode == 1
    assert "ZeroDivisionError" in run.stderr
    assert path.read_bytes() == before


def test_a_name_that_no_notebook_has_is_an_error(tmp_path):
    written(tmp_path, "1")
    with pytest.raises(ValueError, match="no notebook begins with '99'"):
        execute.paths(["99"], tmp_path)
