"""Where results go: to standard output as a table, JSON or CSV, and into a folder all together or not at all."""

import contextlib
import csv
import io
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

# A pipe has no width: lines are as long as they need to be.
_NO_WIDTH = 10_000
_SHORTEST_NAME = 8


def print_table(
    headings: Sequence[str], body: Sequence[Sequence[str]], *, left: Sequence[int] = (1,), wrap: Sequence[int] = ()
) -> None:
    """Print a table for people.

    Columns are set to the right, but for those numbered in `left`. Where a terminal is too narrow, those in `wrap` take
    several lines, and the widest other column of `left` is cut.
    """
    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else _NO_WIDTH, highlight=False)
    widths = [max(cell_len(line[j]) for line in [headings, *body]) for j in range(len(headings))]
    excess = sum(widths) + 2 * (len(widths) - 1) - console.width
    names = [j for j in left if j not in wrap]
    if names and excess > 0 and not wrap:
        widest = max(names, key=lambda j: widths[j])
        widths[widest] = max(widths[widest] - excess, _SHORTEST_NAME)
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False, header_style="bold")
    for j, heading in enumerate(headings):
        justify = "left" if j in left else "right"
        if j in wrap:
            table.add_column(heading, justify=justify)
        else:
            table.add_column(heading, justify=justify, width=widths[j], no_wrap=True, overflow="ellipsis")
    for line in body:
        table.add_row(*map(Text, line))
    with console.capture() as capture:
        console.print(table)
    # No blanks at the ends of lines, for the sake of those who read them with a program.
    sys.stdout.write("\n".join(line.rstrip() for line in capture.get().splitlines()) + "\n")


def to_csv(records: Sequence[Mapping[str, Any]]) -> str:
    """Records with the same keys as comma-separated text with a header line; None is an empty field."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue()


def save_figure(axes: Any, path: Path) -> None:
    """Write the figure that `axes` belong to."""
    axes.figure.savefig(path, dpi=150)


@contextlib.contextmanager
def staged(folder: Path | None) -> Iterator[Path | None]:
    """A hidden place inside `folder` to write files to, which move into `folder` when all has gone well.

    Entering creates `folder` and so shows that it can be written, before any long work. When something fails, nothing
    is left: neither files nor folders that were not there before.

    Raises:
        ValueError: `folder` cannot be created or written.
    """
    if folder is None:
        yield None
        return
    created = _missing(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stage = Path(tempfile.mkdtemp(prefix=".scorax-", dir=folder))
    except OSError as error:
        _remove_empty(created)
        reason = error.strerror or str(error)
        raise ValueError(
            f"cannot write to the output folder {str(folder)!r}: {reason}. Name another with --out."
        ) from error
    try:
        yield stage
        for file in sorted(stage.iterdir()):
            os.replace(file, folder / file.name)
        stage.rmdir()
    except BaseException:
        shutil.rmtree(stage, ignore_errors=True)
        _remove_empty(created)
        raise


def _missing(folder: Path) -> list[Path]:
    """`folder` and those above it that do not exist, deepest first."""
    return [path for path in (folder, *folder.parents) if not os.path.lexists(path)]


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.rmdir()
