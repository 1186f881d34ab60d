"""What `scorax agree` reads: labels by item and judge, from a long table or a wide one."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from scorax.cli._agree import Repeats
from scorax.cli._label_columns import USUAL, listed, named
from scorax.cli._reading import read_file, require
from scorax.data import Annotations, AnnotationVocabulary

_NO_JUDGES = [name for role in ("item", "candidate", "gold", "weight") for name in USUAL[role]]


class Source(NamedTuple):
    """What to read, and how."""

    file: str
    columns: Mapping[str, str | None]
    levels: str | None
    repeats: Repeats | None
    wide: bool = False
    judges: str | None = None


@dataclasses.dataclass(frozen=True)
class Table:
    """A row an item, a column a judge."""

    ratings: Int[Array, "n j"]
    where: Bool[Array, "n j"]
    count: Float[Array, " n"]
    """How many such items there are."""
    judges: tuple[str, ...]
    levels: tuple[str, ...]
    values: tuple[float, ...] | None
    """None where levels are words."""


def load(source: Source) -> Table:
    """Labels from a file, one by each judge of each item."""
    frame = read_file(source.file)
    columns = named(source.columns)
    if source.wide:
        frame, columns = _melted(frame, source, columns), {}
    elif source.judges is not None:
        raise ValueError("--judges names columns of a table with a column for each judge: add --wide")
    try:
        data, names = Annotations.from_frame(frame, levels=listed(source.levels), **columns)
    except ValueError as error:
        if "there is no column for" not in str(error):
            raise
        raise ValueError(f"{error}. With a column for each judge, add --wide.") from error
    return _table(data, names, source.repeats)


def _melted(frame: Any, source: Source, given: Mapping[str, str]) -> dict[str, list[Any]]:
    """A long table of one with a row for each item and a column for each judge."""
    if wrong := [role for role in ("judge", "label") if role in given]:
        raise ValueError(f"--{wrong[0]}-column is for a table with one label a row: drop it, or --wide")
    for role, column in given.items():
        require(frame, column, role)
    if source.judges is None:
        beside = {*given.values(), *_NO_JUDGES}
        columns = [name for name in frame.columns if name not in beside]
    else:
        columns = [name.strip() for name in source.judges.split(",")]
        for name in columns:
            require(frame, name, "a judge")
    if len(columns) < 2:
        found = ", ".join(map(repr, columns)) or "none"
        raise ValueError(f"--wide wants columns of two judges or more; found {found}. Name them with --judges.")
    weight = given.get("weight", "weight" if "weight" in frame.columns else None)
    weights = None if weight is None else frame[weight].to_list()
    long: dict[str, list[Any]] = {"item": [], "judge": [], "label": []} | ({} if weights is None else {"weight": []})
    for name in columns:
        held = [(i, value) for i, value in enumerate(frame[name].to_list()) if not _is_missing(value)]
        if not held:
            raise ValueError(f"the judge {name!r} has no labels: name those that have with --judges")
        long["item"] += [i for i, _ in held]
        long["judge"] += [name] * len(held)
        long["label"] += [value for _, value in held]
        if weights is not None:
            long["weight"] += [weights[i] for i, _ in held]
    return long


def _is_missing(value: Any) -> bool:
    return value is None or value == "" or value != value


def _table(data: Annotations, names: AnnotationVocabulary, repeats: Repeats | None) -> Table:
    label, judge, where = (np.asarray(x) for x in (data.label, data.judge, data.where))
    row, place = np.nonzero(where)
    who, said = judge[row, place], label[row, place]
    n, j = len(label), len(names.judges)
    # How many labels by the same judge of the same item come before.
    cell = row * j + who
    order = np.argsort(cell, kind="stable")
    starts = np.flatnonzero(np.diff(cell[order], prepend=-1))
    turn = np.empty(len(cell), int)
    turn[order] = np.arange(len(cell)) - np.repeat(starts, np.diff(starts, append=len(cell)))
    several = np.zeros(n, bool)
    several[row[turn > 0]] = True
    if several.any() and repeats is None:
        first = int(np.flatnonzero(turn > 0)[0])
        raise ValueError(
            f"a judge labels an item several times, in {several.sum()} of {n} items (first: judge "
            f"{names.judges[int(who[first])]!r}, item {names.items[int(row[first])]!r}). Add --repeats separate, to "
            "take the first, second, ... label for judges of their own, or --repeats first, to leave the others out."
        )
    kept = turn == 0 if repeats == Repeats.FIRST else np.ones(len(turn), bool)
    row, who, said, turn = row[kept], who[kept], said[kept], turn[kept]
    # A column for each judge and turn, in the order of the judges.
    columns, column = np.unique(who * (int(turn.max()) + 1) + turn, return_inverse=True)
    of, at = columns // (int(turn.max()) + 1), columns % (int(turn.max()) + 1)
    repeated = np.isin(of, of[at > 0])
    judges = tuple(names.judges[int(i)] + f" #{t + 1}" * bool(r) for i, t, r in zip(of, at, repeated, strict=True))
    if len(judges) < 2:
        raise ValueError(f"there is one judge only, {', '.join(judges)}: agreement wants two or more")
    ratings, there = np.zeros((n, len(judges)), np.int32), np.zeros((n, len(judges)), bool)
    ratings[row, column], there[row, column] = said, True
    if not (there.sum(1) >= 2).any():
        raise ValueError("no item has labels of two judges: nothing says whether they agree")
    return Table(jnp.asarray(ratings), jnp.asarray(there), data.weight, judges, names.levels.names, _numbers(names))


def _numbers(names: AnnotationVocabulary) -> tuple[float, ...] | None:
    numbers = tuple(as_number(level) for level in names.levels)
    return None if any(map(math.isnan, numbers)) else numbers


def as_number(level: str) -> float:
    """The number that a level is, NaN if it is a word."""
    try:
        return float(level)
    except ValueError:
        return math.nan
