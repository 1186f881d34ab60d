"""Run notebooks in this interpreter's Python and keep what they show.

    python -m notebooks.execute                 # all, in place
    python -m notebooks.execute 01 03           # those whose names begin so
    python -m notebooks.execute --check         # run, fail on an error, write nothing

A run leaves nothing behind that differs from run to run by itself: no times, no kernel, no random cell ids.
"""

import argparse
import pathlib
import sys
import time
from typing import Any

import nbformat
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

FOLDER = pathlib.Path(__file__).resolve().parent
_KERNEL = "python3"


class _ThisPython(KernelSpecManager):
    """The one kernel there is: this interpreter, whatever is installed on the machine."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        # That a machine lacks widgets is nothing that readers of the notebook need to know.
        quiet = ["-W", "ignore:IProgress not found", "-m", "ipykernel_launcher", "--log-level=ERROR"]
        arguments = [*quiet, "-f", "{connection_file}", "--HistoryManager.enabled=False"]
        return KernelSpec(argv=[sys.executable, *arguments], display_name="Python 3", language="python")


class _Kernel(AsyncKernelManager):
    def __init__(self, **settings: Any):
        super().__init__(**{**settings, "kernel_spec_manager": _ThisPython()})


def paths(names: list[str] | None = None, folder: pathlib.Path = FOLDER) -> list[pathlib.Path]:
    """The notebooks whose names begin with one of `names`, all without any; `ValueError` for a name without one."""
    found = sorted(folder.glob("*.ipynb"))
    if not names:
        return found
    for name in names:
        if not any(path.name.startswith(name) for path in found):
            raise ValueError(f"no notebook begins with {name!r}; there are {[path.stem for path in found]}")
    return [path for path in found if path.name.startswith(tuple(names))]


def execute(path: pathlib.Path, *, timeout: int = 600) -> Any:
    """The notebook with fresh outputs; `CellExecutionError` where a cell fails."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook,
        kernel_name=_KERNEL,
        kernel_manager_class=_Kernel,
        timeout=timeout,
        record_timing=False,
        resources={"metadata": {"path": str(path.parent)}},
    ).execute()
    return clean(notebook)


def clean(notebook: Any) -> Any:
    """Without what differs from run to run, in place."""
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": _KERNEL},
            "language_info": {"name": "python"},
        }
    )
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number:02d}"
        cell.metadata = nbformat.from_dict({"tags": cell.metadata.tags} if "tags" in cell.metadata else {})
        for output in cell.get("outputs", []):
            if "metadata" in output:
                output.metadata = nbformat.from_dict({})
    return notebook


def main(arguments: list[str] | None = None) -> int:
    """Execute, and write or only check; the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m notebooks.execute", description="Run notebooks and keep what they show"
    )
    parser.add_argument("names", nargs="*", help="how the notebooks' names begin (default: all)")
    parser.add_argument("--check", action="store_true", help="write nothing, exit with 1 where a cell fails")
    parser.add_argument("--folder", type=pathlib.Path, default=FOLDER, help="where the notebooks are (default: here)")
    options = parser.parse_args(arguments)
    try:
        chosen = paths(options.names, options.folder)
    except ValueError as error:
        parser.error(str(error))
    failed = 0
    for path in chosen:
        start = time.perf_counter()
        try:
            notebook = execute(path)
        except CellExecutionError as error:
            failed += 1
            print(f"{path.name}: {error}", file=sys.stderr)
            continue
        if not options.check:
            nbformat.write(notebook, path)
        print(f"{path.name}: {time.perf_counter() - start:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
