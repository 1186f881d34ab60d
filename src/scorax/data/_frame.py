"""One view of every kind of table: named columns of NumPy values, and errors that name the column and the rows."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import narwhals as nw
import numpy as np

from scorax.data._validate import refuse, refuse_empty, to_array, to_numbers
from scorax.data._vocabulary import Vocabulary


class Words(NamedTuple):
    """A column of text as its distinct words, which are few: whatever is done to a word is done once."""

    distinct: list[str]
    """In no particular order."""
    place: np.ndarray
    """Of each row among the distinct words."""

    @property
    def rows(self) -> np.ndarray:
        """The word of each row (objects)."""
        words = np.empty(len(self.distinct), object)
        words[:] = self.distinct
        return words[self.place]

    def ids(self, names: Vocabulary) -> np.ndarray:
        """Ids (int32) of each row's name."""
        return names.encode(self.distinct)[self.place]


class Table:
    """The columns of a pandas or polars data frame, a pyarrow table, or a mapping from names to columns."""

    names: tuple[str, ...]

    def __init__(self, frame: Any):
        if isinstance(frame, Mapping):
            self._columns: Any = {str(name): to_array(f"column {name!r}", column) for name, column in frame.items()}
            for name, column in self._columns.items():
                if column.ndim != 1:
                    raise ValueError(f"column {name!r} has shape {column.shape}; expected a list of single values")
            self.names = tuple(self._columns)
            lengths = {len(column) for column in self._columns.values()}
            if len(lengths) > 1:
                raise ValueError(f"the columns have different lengths: {sorted(lengths)}")
        else:
            try:
                self._columns = nw.from_native(frame, eager_only=True)
                columns = self._columns.columns
            except nw.exceptions.DuplicateError as error:
                twice = " ".join(str(error).split())
                raise ValueError(f"the table has several columns of one name ({twice}): rename them") from None
            except TypeError:
                raise ValueError(
                    f"cannot read a {type(frame).__name__} as a table; pass a pandas or polars data frame, a pyarrow "
                    "table, or a mapping from names to columns (a lazy frame: collect it first)"
                ) from None
            self.names = tuple(columns)
        if not self.names:
            raise ValueError("the table has no columns: the data are empty")
        refuse_empty(len(self), "rows")

    def __len__(self) -> int:
        return len(self._columns[self.names[0]])

    def require(self, name: str, role: str) -> str:
        """The name, if there is such a column."""
        if name not in self.names:
            raise ValueError(f"there is no column {name!r} for {role}; the columns are {self._present()}")
        return name

    def require_all(self, names: Sequence[str], role: str) -> list[str]:
        """The names of several columns, all of which are there."""
        if isinstance(names, str):
            raise ValueError(f"{role} is a list of columns: {role}=[{names!r}]")
        if not len(names):
            raise ValueError(f"{role} is an empty list: name columns, or leave it out")
        return [self.require(name, role) for name in names]

    def find(self, name: str | None, role: str, usual: Sequence[str]) -> str:
        """The column that was named, or else the first one with a usual name."""
        if name is not None:
            return self.require(name, role)
        for guess in usual:
            if guess in self.names:
                return guess
        tried = ", ".join(map(repr, usual))
        raise ValueError(
            f"there is no column for {role} (tried {tried}); the columns are {self._present()}. Name it with {role}=..."
        )

    def find_optional(self, name: str | None, role: str, usual: Sequence[str]) -> str | None:
        """As `find`, but `None` where nothing was named and nothing is there."""
        return self.find(name, role, usual) if name is not None or any(guess in self.names for guess in usual) else None

    def _present(self) -> str:
        return ", ".join(map(repr, self.names))

    def values(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """The column as numbers (float64) or as text (objects), and which rows are missing."""
        column = self._columns[name]
        if isinstance(column, np.ndarray):
            return _from_array(column)
        if column.dtype.is_nested():
            raise ValueError(f"column {name!r} holds a {column.dtype} in each row; expected single values")
        missing = column.is_null().to_numpy().astype(bool)
        if column.dtype.is_numeric() or column.dtype == nw.Boolean:
            plain = not missing.any() and column.dtype != nw.Boolean
            numbers = column.to_numpy() if plain else [np.nan if value is None else value for value in column.to_list()]
            numbers = np.asarray(numbers, np.float64)
            return numbers, missing | np.isnan(numbers)
        text = np.empty(len(column), object)
        raw = column.to_list()
        if column.dtype != nw.String or missing.any():
            raw = [None if gone else str(value) for value, gone in zip(raw, missing, strict=True)]
        text[:] = raw
        return text, missing | (text == "")

    def scores(self, name: str, mend: str) -> np.ndarray:
        """The column as numbers, NaN where a value is missing; text that is no number is refused."""
        values, missing = self.values(name)
        if values.dtype == object:
            parsed = np.array([as_number(value) for value in values])
            missing = missing | np.array([str(value).strip().lower() == "nan" for value in values])
            self._refuse_words(name, values, np.isnan(parsed) & ~missing, mend)
            values = parsed
        return np.where(missing, np.nan, values)

    def _refuse_words(self, name: str, values: np.ndarray, wrong: np.ndarray, mend: str = "") -> None:
        examples = sorted({repr(value) for value in values[wrong]})[:3]
        refuse(wrong, f"column {name!r} holds text that is no number, such as {', '.join(examples)},", mend)

    def complete(self, name: str) -> np.ndarray:
        """The column, all of whose values must be there."""
        values, missing = self.values(name)
        refuse(missing, f"column {name!r} is missing", "Drop these rows or fill them in.")
        return values

    def numbers(self, name: str, *, lower: float = -np.inf, upper: float = np.inf) -> np.ndarray:
        """The column as finite numbers between two bounds."""
        values = self.complete(name)
        if values.dtype == object:
            parsed = np.array([as_number(value) for value in values])
            self._refuse_words(name, values, np.isnan(parsed))
            values = parsed
        return to_numbers(f"column {name!r}", values, (len(self),), lower=lower, upper=upper)

    def text(self, name: str) -> np.ndarray:
        """The column as text; whole numbers are written without a point."""
        return self.words(name).rows

    def words(self, name: str) -> Words:
        """The column as text, all of whose values must be there; whole numbers are written without a point."""
        column = self._columns[name]
        native = None if isinstance(column, np.ndarray) else column.to_native()
        if native is not None and column.dtype == nw.String and hasattr(native, "factorize"):
            place, distinct = native.factorize()  # as pandas does: without a Python object for every row
            words = distinct.tolist()
            if place.min() >= 0 and "" not in words:
                return Words(words, place)
        values = self.complete(name)
        if values.dtype == object:
            raw = values.tolist()
            position = {word: i for i, word in enumerate(dict.fromkeys(raw))}
            return Words(list(position), np.fromiter(map(position.__getitem__, raw), np.int64, len(raw)))
        distinct, place = np.unique(values, return_inverse=True)
        return Words([as_name(value) for value in distinct.tolist()], place)

    def groups(self, name: str) -> np.ndarray:
        """Ids of the distinct values of the column, sorted by name."""
        words = self.words(name)
        return words.ids(Vocabulary.of(natural(words.distinct)))


def _from_array(column: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if column.dtype.kind in "fiub":
        numbers = column.astype(np.float64)
        return numbers, np.isnan(numbers)
    raw = column.tolist()
    missing = np.array([value is None or value != value or value == "" for value in raw], bool)
    if all(gone or isinstance(value, int | float) for value, gone in zip(raw, missing, strict=True)):
        return np.array(
            [np.nan if gone else value for value, gone in zip(raw, missing, strict=True)], np.float64
        ), missing
    text = np.empty(len(raw), object)
    text[:] = [None if gone else as_name(value) for value, gone in zip(raw, missing, strict=True)]
    return text, missing


def as_number(value: Any) -> float:
    """The number that a text stands for, NaN if it is none."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")


def as_name(value: Any) -> str:
    """How a value is called: whole numbers are written without a point."""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def as_text(values: np.ndarray) -> np.ndarray:
    """Names of all values."""
    if values.dtype == object:
        return values
    text = np.empty(len(values), object)
    text[:] = [as_name(value) for value in values.tolist()]
    return text


def natural(text: Iterable[str]) -> Iterable[Any]:
    """Distinct names, as numbers where all of them are whole numbers, so that 9 sorts before 10."""
    distinct = set(text)
    if all(name.isascii() and name.isdigit() and str(int(name)) == name for name in distinct):
        return [int(name) for name in distinct]
    return distinct


def encode(text: np.ndarray, names: Vocabulary) -> np.ndarray:
    """Ids (int32) of names."""
    return names.encode(text.tolist())
