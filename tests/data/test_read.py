"""Files of every format, and every way in which a file can be bad."""

import gzip
import io
import re
import sys

import pandas
import polars as pl
import pytest

from scorax.data import Comparisons, read_table

FRAME = pl.DataFrame({"model_a": ["gpt", "007"], "model_b": ["llama", "gpt"], "winner": ["model_a", "tie"]})
QUOTED = b'model_a,model_b,winner\n"gpt, large","line\nbreak",tie\n'


def parquet(frame=FRAME):
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


CONTENTS = {
    "csv": FRAME.write_csv().encode(),
    "tsv": FRAME.write_csv(separator="\t").encode(),
    "jsonl": FRAME.write_ndjson().encode(),
    "parquet": parquet(),
}
# Which libraries are hidden, so that the next one has to read.
HIDDEN = {"polars": (), "pyarrow": ("polars",), "pandas": ("polars", "pyarrow")}


@pytest.fixture(params=HIDDEN)
def library(request, monkeypatch):
    for name in HIDDEN[request.param]:
        monkeypatch.setitem(sys.modules, name, None)
    # What pandas does where there is no pyarrow, which it has met already.
    with pandas.option_context("mode.string_storage", "python" if request.param == "pandas" else "auto"):
        yield request.param


@pytest.mark.parametrize("format", CONTENTS)
def test_every_library_reads_every_format(format, library, tmp_path):
    if (format, library) == ("parquet", "pandas"):
        pytest.skip("pandas reads Parquet through pyarrow")
    path = tmp_path / f"battles.{format}"
    path.write_bytes(CONTENTS[format])
    table = read_table(path)
    assert type(table).__module__.split(".")[0] == library
    battles, models = Comparisons.from_frame(table)
    assert models.names == ("007", "gpt", "llama")
    assert battles.outcome.tolist() == [1.0, 0.5]


def test_quotes_and_empty_fields(library):
    battles, models = Comparisons.from_frame(read_table(io.BytesIO(QUOTED)))
    assert models.names == ("gpt, large", "line\nbreak")
    with pytest.raises(ValueError, match="column 'winner' is missing in 1 row"):
        Comparisons.from_frame(read_table(io.BytesIO(b"a,b,winner\nx,y,\nx,z,tie\n")))
    assert battles.a.shape == (1,)


@pytest.mark.parametrize("format", CONTENTS)
def test_the_format_of_a_stream_is_told_by_its_first_bytes(format):
    assert read_table(io.BytesIO(CONTENTS[format])).equals(FRAME)


def test_byte_order_mark_and_line_ends():
    content = b"\xef\xbb\xbf" + CONTENTS["csv"].replace(b"\n", b"\r\n") + b"\r\n\r\n"
    assert read_table(io.BytesIO(content)).equals(FRAME)


BAD = {
    "empty": (b"", "is empty"),
    "blank": (b" \n\n", "is empty"),
    "header only": (b"a,b,winner\n", "has a header and no rows"),
    "binary": (b"a,b\n\x00\x01\x02\n", "is a binary file, not a table of text"),
    "compressed": (gzip.compress(CONTENTS["csv"]), "is compressed with gzip: unpack it first"),
    "not UTF-8": (b"a,b\nx,y\nx,caf\xe9\n", "is not UTF-8 text (line 3)"),
    "ragged": (b"a,b\n1,2\n1\n1,2,3\n1,2\n", "is ragged: the header has 2 fields, line 3 has 1 (2 such lines)."),
    "truncated": (b"a,b,winner\nx,y,a\nx,y", "line 3 has 2 (1 such line). The last line may be truncated."),
    "open quote": (b'a,b\n1,2\n"x,2\n', "breaks off or has a stray quote"),
    "columns twice": (b"a,a\n1,2\n", "has two columns called 'a'"),
    "truncated JSON": (b'{"a": 1, "b": 2}\n{"a": 1, "b"', "line 2 is no JSON"),
    "no JSON object": (b'{"a": 1}\n[1, 2]\n', "line 2 is no JSON object"),
    "truncated Parquet": (CONTENTS["parquet"][:-30], "is a truncated Parquet file"),
    "broken Parquet": (b"PAR1" + b"\x07" * 40 + b"PAR1", "cannot be read as parquet"),
}


@pytest.mark.parametrize(("content", "message"), BAD.values(), ids=BAD)
def test_bad_files(content, message, tmp_path):
    path = tmp_path / "battles"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        read_table(path)
    assert str(path) in str(caught.value)


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(ValueError, match="there is no file"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(ValueError, match="cannot be read: Is a directory"):
        read_table(tmp_path)


def test_wrong_formats(tmp_path):
    with pytest.raises(ValueError, match="format must be"):
        read_table(io.BytesIO(b"a"), format="xlsx")
    with pytest.raises(ValueError, match="is no Parquet file"):
        read_table(io.BytesIO(CONTENTS["csv"]), format="parquet")
    path = tmp_path / "battles.csv"
    path.write_bytes(CONTENTS["parquet"])
    with pytest.raises(ValueError, match="pass format='parquet'"):
        read_table(path)


def test_without_any_library(monkeypatch):
    for name in ("polars", "pyarrow", "pandas"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=re.escape("pip install 'scorax[cli]'")):
        read_table(io.BytesIO(CONTENTS["csv"]))
