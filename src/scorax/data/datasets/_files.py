"""Where the files are, and how they are read without any data-frame library."""

import csv
from pathlib import Path

FOLDER = Path(__file__).parent


def read_columns(name: str) -> dict[str, list[str]]:
    """The columns of a CSV file of this folder, as text."""
    with (FOLDER / name).open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    return dict(zip(header, map(list, zip(*rows, strict=True)), strict=True))
