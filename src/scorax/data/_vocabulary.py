"""Names of ids. They live beside the arrays, never inside a compiled function."""

import dataclasses
import functools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, overload

import numpy as np


@dataclasses.dataclass(frozen=True)
class Vocabulary(Sequence[str]):
    """The names of ids 0, 1, ...: a read-only sequence that also looks names up.

    Example:
        >>> models = Vocabulary.of(["gpt", "llama", "gpt"])
        >>> len(models), models[1], models.index("llama")
        (2, 'llama', 1)
        >>> models.encode(["llama", "gpt"])
        array([1, 0], dtype=int32)
    """

    names: tuple[str, ...]

    def __post_init__(self):
        if isinstance(self.names, str) or not all(isinstance(name, str) for name in self.names):
            raise ValueError("names are a tuple of texts; Vocabulary.of(values) makes one of any values")
        if len(self._position) != len(self.names):
            twice = next(name for name in self.names if self.names.count(name) > 1)
            raise ValueError(f"the name {twice!r} appears twice; each id has its own name")

    @classmethod
    def of(cls, values: Iterable[Any]) -> "Vocabulary":
        """Distinct values in sorted order, numbers by size; the order of rows does not matter.

        Example:
            >>> list(Vocabulary.of([10, 9, 10]))
            ['9', '10']

        Raises:
            ValueError: a value is missing (`None` or NaN).
        """
        distinct = set(values)
        if any(value is None or (isinstance(value, float) and value != value) for value in distinct):
            raise ValueError("a name is missing (None or NaN): drop these values or name them")
        try:
            ordered = sorted(distinct)
        except TypeError:
            ordered = sorted(distinct, key=str)
        return cls(tuple(str(value) for value in ordered))

    @functools.cached_property
    def _position(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.names)}

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __contains__(self, name: object) -> bool:
        return name in self._position

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[str, ...]: ...
    def __getitem__(self, index):
        """The name of an id, or the names of a slice."""
        return self.names[index]

    def index(self, value: str, start: int = 0, stop: int | None = None) -> int:
        """The id of a name.

        Raises:
            ValueError: there is no such name.
        """
        found = self._position.get(value, -1)
        if found < start or (stop is not None and found >= stop):
            raise ValueError(f"{value!r} is not among the {len(self)} names ({_some(self.names)})")
        return found

    def encode(self, values: Iterable[Any]) -> np.ndarray:
        """Ids (int32) of names; whatever is no string is looked up by its `str`.

        Raises:
            ValueError: some names are unknown; it lists them.
        """
        raw = values if isinstance(values, list) else list(values)
        try:
            return np.fromiter(map(self._position.__getitem__, raw), np.int32, len(raw))
        except (KeyError, TypeError):
            names = [str(value) for value in raw]
        try:
            return np.fromiter(map(self._position.__getitem__, names), np.int32, len(names))
        except KeyError:
            unknown = sorted(set(names) - set(self.names))
            raise ValueError(
                f"{len(unknown)} names are unknown: {_some(unknown)}. Known are {_some(self.names)}."
            ) from None


def _some(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:5])) + (", ..." if len(names) > 5 else "")
