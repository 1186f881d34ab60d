"""`scorax data`: the data sets that are shipped with the package."""

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from scorax.data.datasets import Dataset
else:
    Dataset = Any

_EXIT_STATUS = (
    "[bold]Exit status[/bold]: 0 on success; 2 for a name that there is not, or a file that cannot be written."
)
_ROWS_SHOWN = 10

data_app = typer.Typer(
    help="List, show and export the data sets that come with scorax.",
    rich_markup_mode="rich",
    no_args_is_help=True,
    epilog=_EXIT_STATUS,
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="As in scorax data list.", show_default=False)]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


@data_app.command("list", epilog=_EXIT_STATUS)
def list_(debug: Debug = False) -> None:
    """Name every data set: how many rows, under which licence, and what it is."""
    from scorax.cli._output import print_table

    body = [[entry.name, f"{entry.rows:,}", entry.licence, entry.description] for entry in _catalogue()]
    print_table(["name", "rows", "licence", "description"], body, left=(0, 2, 3), wrap=(2, 3))


@data_app.command(epilog=_EXIT_STATUS)
def show(name: Name, debug: Debug = False) -> None:
    """Print the first rows of a data set."""
    from scorax.cli._output import print_table
    from scorax.cli._reading import read_file
    from scorax.cli._session import note

    entry = _entry(name)
    note(f"{entry.description} ({entry.rows:,} rows, {entry.licence})", quiet=False)
    if entry.path.suffix == ".npz":
        print_table(["array", "shape", "type"], _arrays(entry.path), left=(0, 1, 2))
        return
    head = read_file(str(entry.path)).head(_ROWS_SHOWN)
    text = [["" if value is None else str(value) for value in row] for row in head.iter_rows()]
    print_table(head.columns, text, left=range(len(head.columns)))


def _arrays(path: Path) -> list[list[str]]:
    import numpy as np

    with np.load(path) as archive:
        return [[name, " x ".join(map(str, archive[name].shape)), str(archive[name].dtype)] for name in archive.files]


@data_app.command(epilog=_EXIT_STATUS)
def export(
    name: Name,
    path: Annotated[
        str,
        typer.Argument(metavar="PATH", help="File or folder to copy to; - is standard output.", show_default=False),
    ],
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    debug: Debug = False,
) -> None:
    """Copy a data set to a file."""
    source = _entry(name).path
    if path == "-":
        sys.stdout.buffer.write(source.read_bytes())
        return
    target = Path(path)
    if target.is_dir():
        target = target / source.name
    if target.exists() and not force:
        raise ValueError(f"{str(target)!r} is there already: name another file, or replace it with --force")
    try:
        _copy(source, target)
    except OSError as error:
        raise ValueError(f"cannot write {str(target)!r}: {error.strerror or error}") from error


def _copy(source: Path, target: Path) -> None:
    """Copy, all of it or nothing."""
    handle, partial = tempfile.mkstemp(prefix=".scorax-", dir=target.parent)
    os.close(handle)
    try:
        shutil.copyfile(source, partial)
        # A file made by `mkstemp` is its owner's alone; a copy has the permissions of its source.
        shutil.copymode(source, partial)
        os.replace(partial, target)
    except BaseException:
        os.unlink(partial)
        raise


def _catalogue() -> tuple[Dataset, ...]:
    from scorax.data import datasets

    return datasets.catalogue()


def _entry(name: str) -> Dataset:
    entries = {entry.name: entry for entry in _catalogue()}
    if name not in entries:
        raise ValueError(f"there is no data set {name!r}; there are {', '.join(sorted(entries))}")
    return entries[name]
