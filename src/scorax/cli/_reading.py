"""Files and standard input as data frames."""

import sys
from typing import Any

import narwhals as nw

from scorax.data import read_table


def read_file(file: str) -> Any:
    """The table in a file, or on standard input if `file` is `-`, as a narwhals data frame."""
    frame = read_table(sys.stdin.buffer if file == "-" else file)
    return nw.from_native(frame, eager_only=True)
