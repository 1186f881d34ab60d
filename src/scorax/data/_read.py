"""Reading files and streams: CSV, TSV, JSONL and Parquet, with one clear error for each way a file can be bad."""

import csv
import importlib
import io
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

_FORMATS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}
# PrefLib's orders, which are no tables, and what else PrefLib has.
PREFLIB = ("soc", "soi", "toc", "toi")
_OTHER_PREFLIB = {"cat": "categories", "wmd": "a graph for matching"}
_PREFLIB_HEADER = re.compile(rb"#\s*(FILE NAME|TITLE|DATA TYPE|NUMBER ALTERNATIVES)\s*:")
_DELIMITERS = {"csv": ",", "tsv": "\t"}
_PARQUET = b"PAR1"
_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "zip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
}


@runtime_checkable
class Readable(Protocol):
    """A stream of bytes."""

    def read(self) -> bytes:
        """All that is left."""
        ...


def read_table(source: str | os.PathLike[str] | Readable, *, format: str | None = None) -> Any:
    """Read a table from a file or a binary stream.

    Columns of CSV and TSV come as text, as they stand in the file (`007` stays `007`); the `from_frame` methods read
    numbers where they need them. An empty field is a missing value.

    Args:
        source: A path, or a stream of bytes such as `sys.stdin.buffer`.
        format: `"csv"`, `"tsv"`, `"jsonl"` (an object a line) or `"parquet"`; by default told by the name's ending,
            or else by the first bytes.

    Returns:
        A polars data frame; without polars a pyarrow table, without pyarrow a pandas data frame.

    Raises:
        ValueError: there is no such file or it cannot be read; it is empty, binary, compressed, truncated, not UTF-8,
            or ragged (a line has more or fewer fields than the header); the format is unknown; it is a file of
            PrefLib, whose orders `Rankings.from_preflib` reads.
        ImportError: none of the three libraries is installed.

    Example:
        >>> import io
        >>> read_table(io.BytesIO(b"model_a,model_b,winner\\ngpt,llama,tie\\n")).shape
        (1, 3)
    """
    name, content = read_bytes(source)
    if format not in (None, "csv", "tsv", "jsonl", "parquet"):
        raise ValueError(f"format must be 'csv', 'tsv', 'jsonl' or 'parquet', not {format!r}")
    if not content.strip():
        raise ValueError(f"{name} is empty")
    if format is None:
        _refuse_preflib(name, content)
    kind = format or _FORMATS.get(Path(name).suffix.lower()) or _guess(content)
    if kind == "parquet":
        _check_parquet(name, content)
    else:
        content = checked_text(name, content)
    if kind in _DELIMITERS:
        _check_fields(name, content, _DELIMITERS[kind])
    library, readers = _library()
    try:
        return readers[kind](library, content)
    except Exception as error:
        raise ValueError(f"{name} cannot be read as {kind}: {_why(kind, content, error)}") from error


def read_bytes(source: str | os.PathLike[str] | Readable) -> tuple[str, bytes]:
    """What to call the source, and all that is in it."""
    if not isinstance(source, str | os.PathLike):
        return str(getattr(source, "name", "the stream")), source.read()
    path = Path(source)
    if not path.exists():
        raise ValueError(f"there is no file {str(path)!r}")
    try:
        return str(path), path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error


def ending(name: str) -> str:
    """What stands behind the last point of a file's name, in small letters."""
    return Path(name).suffix.lower().removeprefix(".")


def _refuse_preflib(name: str, content: bytes) -> None:
    kind = ending(name)
    if kind in _OTHER_PREFLIB:
        raise ValueError(
            f"{name} holds {_OTHER_PREFLIB[kind]} (PrefLib's .{kind}), which is not read; the files of orders are: "
            ".soc, .soi, .toc, .toi"
        )
    if kind in PREFLIB or _PREFLIB_HEADER.match(content.removeprefix(b"\xef\xbb\xbf")):
        raise ValueError(f"{name} is a PrefLib file of orders, not a table: Rankings.from_preflib reads it")


def _guess(content: bytes) -> str:
    """The format, from the first bytes."""
    if content.startswith(_PARQUET):
        return "parquet"
    first = content.lstrip(b"\xef\xbb\xbf \r\n").split(b"\n", 1)[0]
    if first.startswith(b"{"):
        return "jsonl"
    return "tsv" if first.count(b"\t") > first.count(b",") else "csv"


def _check_parquet(name: str, content: bytes) -> None:
    if not content.startswith(_PARQUET):
        raise ValueError(f"{name} is no Parquet file: its first bytes are not those of one")
    if len(content) < 12 or not content.endswith(_PARQUET):
        raise ValueError(f"{name} is a truncated Parquet file: its end is missing")


def checked_text(name: str, content: bytes) -> bytes:
    """The text without a byte-order mark and without lines at the end that are empty."""
    for magic, tool in _COMPRESSED.items():
        if content.startswith(magic):
            raise ValueError(f"{name} is compressed with {tool}: unpack it first")
    if content.startswith(_PARQUET):
        raise ValueError(f"{name} is a Parquet file: pass format='parquet'")
    if b"\x00" in content[: 2**20]:
        raise ValueError(f"{name} is a binary file, not a table of text")
    content = content.removeprefix(b"\xef\xbb\xbf").rstrip(b"\r\n") + b"\n"
    try:
        content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{name} is not UTF-8 text (line {line}): save it with the encoding UTF-8") from None
    return content


def _check_fields(name: str, content: bytes, delimiter: str) -> None:
    """Raise unless there is a header with distinct names, a line below it, and as many fields in every line."""
    header = next(csv.reader([content.split(b"\n", 1)[0].decode().rstrip("\r")], delimiter=delimiter))
    if len(set(header)) < len(header):
        twice = next(column for column in header if header.count(column) > 1)
        raise ValueError(f"{name} has two columns called {twice!r}")
    lines, fields = _fields(name, content, delimiter)
    if len(fields) < 2:
        raise ValueError(f"{name} has a header and no rows: the data are empty")
    bad = np.flatnonzero(fields != len(header))
    if bad.size:
        first = bad[0]
        last = " The last line may be truncated." if bad.size == 1 and first == len(fields) - 1 else ""
        raise ValueError(
            f"{name} is ragged: the header has {len(header)} fields, line {lines[first]} has {fields[first]} "
            f"({bad.size} such line{'s' * (bad.size > 1)}).{last}"
        )


def _fields(name: str, content: bytes, delimiter: str) -> tuple[np.ndarray, np.ndarray]:
    """Where every record ends (line numbers from 1), and how many fields it has."""
    if b'"' not in content:
        # Without quotes a field ends at each delimiter: count bytes, a thousand times faster than parsing.
        characters = np.frombuffer(content, np.uint8)
        ends = np.flatnonzero(characters == ord("\n"))
        upto = np.searchsorted(np.flatnonzero(characters == ord(delimiter)), ends)
        return np.arange(1, len(ends) + 1), np.diff(upto, prepend=0) + 1
    reader = csv.reader(io.StringIO(content.decode(), newline=""), delimiter=delimiter, strict=True)
    records = []
    try:
        records = [(reader.line_num, len(record)) for record in reader]
    except csv.Error as error:
        raise ValueError(f"{name} breaks off or has a stray quote (line {reader.line_num}): {error}") from error
    lines, fields = np.array(records).T
    return lines, fields


def _why(kind: str, content: bytes, error: Exception) -> str:
    """Which line is at fault, where that can be told."""
    if kind == "jsonl":
        for number, line in enumerate(content.splitlines(), 1):
            try:
                if not isinstance(json.loads(line), dict):
                    return f"line {number} is no JSON object"
            except json.JSONDecodeError as fault:
                return f"line {number} is no JSON ({fault.msg}); the file may be truncated"
    return str(error).strip().split("\n", 1)[0]


Reader = Callable[[Any, bytes], Any]


def _library() -> tuple[Any, dict[str, Reader]]:
    """The first library that is there, and how it reads each format."""
    for name, readers in (("polars", _POLARS), ("pyarrow", _PYARROW), ("pandas", _PANDAS)):
        try:
            return importlib.import_module(name), readers
        except ImportError:
            continue
    raise ImportError(
        "reading files takes polars, pyarrow or pandas, and none is installed: pip install 'scorax[cli]' brings polars"
    )


def _polars_text(delimiter: str) -> Reader:
    return lambda pl, content: pl.read_csv(io.BytesIO(content), separator=delimiter, infer_schema=False)


def _pyarrow_text(delimiter: str) -> Reader:
    def read(pa: Any, content: bytes) -> Any:
        reader = importlib.import_module("pyarrow.csv")
        header = next(csv.reader([content.split(b"\n", 1)[0].decode().rstrip("\r")], delimiter=delimiter))
        return reader.read_csv(
            io.BytesIO(content),
            parse_options=reader.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            convert_options=reader.ConvertOptions(
                column_types=dict.fromkeys(header, pa.string()), null_values=[""], strings_can_be_null=True
            ),
        )

    return read


def _pandas_text(delimiter: str) -> Reader:
    return lambda pd, content: pd.read_csv(
        io.BytesIO(content), sep=delimiter, dtype=str, keep_default_na=False, na_values=[""]
    )


_POLARS: dict[str, Reader] = {
    "csv": _polars_text(","),
    "tsv": _polars_text("\t"),
    "jsonl": lambda pl, content: pl.read_ndjson(io.BytesIO(content), infer_schema_length=None),
    "parquet": lambda pl, content: pl.read_parquet(io.BytesIO(content)),
}
_PYARROW: dict[str, Reader] = {
    "csv": _pyarrow_text(","),
    "tsv": _pyarrow_text("\t"),
    "jsonl": lambda pa, content: importlib.import_module("pyarrow.json").read_json(io.BytesIO(content)),
    "parquet": lambda pa, content: importlib.import_module("pyarrow.parquet").read_table(io.BytesIO(content)),
}
_PANDAS: dict[str, Reader] = {
    "csv": _pandas_text(","),
    "tsv": _pandas_text("\t"),
    "jsonl": lambda pd, content: pd.read_json(io.BytesIO(content), lines=True),
    "parquet": lambda pd, content: pd.read_parquet(io.BytesIO(content)),
}
