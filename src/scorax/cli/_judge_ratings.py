"""What `scorax judge` reads: labels, and where asked for the strata of items and the families of judges."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from scorax.cli._label_columns import find, find_optional, listed, named
from scorax.cli._reading import read_file, require
from scorax.data import Annotations, AnnotationVocabulary, refuse
from scorax.judges import cells

_SHOWN = 3


class Strata(NamedTuple):
    """Kinds of items; a judge may err otherwise in each."""

    names: tuple[str, ...]
    share: tuple[float, ...]
    """How large each is, of all items."""
    of_cell: np.ndarray
    """`[k * z]`: stratum of every pair of a candidate and a stratum."""


class Ratings(NamedTuple):
    """What was read."""

    data: Annotations
    """Its candidates are cells of candidates and strata, where there are strata."""
    names: AnnotationVocabulary
    strata: Strata | None = None
    own_family: np.ndarray | None = None
    """`[k, j]`: where a judge sees its own family."""

    @property
    def n_cells(self) -> int:
        """Of the candidates, in every stratum."""
        return len(self.names.candidates) * (1 if self.strata is None else len(self.strata.names))

    @property
    def candidate(self) -> np.ndarray:
        """Whose work each row is."""
        cell = np.asarray(self.data.candidate)
        return cell if self.strata is None else cell // len(self.strata.names)


def load(
    file: str,
    levels: str | None,
    columns: Mapping[str, str | None],
    *,
    stratum_column: str | None = None,
    own_family: Sequence[str] | None = None,
) -> Ratings:
    """Ratings from a file.

    Args:
        file: Its name, or `-`.
        levels: As `--levels` lists them.
        columns: By role, those that the user named.
        stratum_column: Which stratum an item belongs to.
        own_family: Texts such as `judge=candidate`.

    Raises:
        ValueError: The table cannot be read as labels, a cell has no items, or a family is of nobody.
    """
    frame = read_file(file)
    data, names = Annotations.from_frame(frame, levels=listed(levels), **named(columns))
    found = Ratings(data, names)
    if stratum_column is not None:
        found = _with_strata(found, _stratum_of_rows(frame, columns, stratum_column), stratum_column)
    if own_family:
        found = found._replace(own_family=_own_family(own_family, found))
    return found


def _stratum_of_rows(frame: Any, columns: Mapping[str, str | None], name: str) -> np.ndarray:
    """The stratum of every item of every candidate, in the order in which they appear, as rows of labels are."""
    require(frame, name, "stratum")
    raw = frame[name].to_list()
    missing = np.array([value is None or value == "" or value != value for value in raw])
    refuse(missing, f"column {name!r} is missing", "Drop these rows or fill them in.")
    item = frame[find(frame, "item", columns["item"])].to_list()
    whose = find_optional(frame, "candidate", columns["candidate"])
    rows = list(zip(item, [None] * len(item) if whose is None else frame[whose].to_list(), strict=True))
    first: dict[Any, Any] = {}
    for row, value in zip(rows, raw, strict=True):
        first.setdefault(row, value)
    changed = np.array([first[row] != value for row, value in zip(rows, raw, strict=True)])
    refuse(changed, f"column {name!r} changes within an item", "An item belongs to one stratum.")
    return np.array([_text(value) for value in first.values()], object)


def _text(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _with_strata(ratings: Ratings, stratum: np.ndarray, column: str) -> Ratings:
    names, ids = np.unique(stratum.astype(str), return_inverse=True)
    if len(names) < 2:
        raise ValueError(
            f"column {column!r} has a single stratum, {str(names[0])!r}: nothing to tell apart. Use --constancy strong."
        )
    data, candidates = ratings.data, ratings.names.candidates
    whose, size = np.asarray(data.candidate), (len(candidates), len(names))
    items = np.bincount(whose * size[1] + ids, minlength=size[0] * size[1]).reshape(size)
    if not items.all():
        empty = np.argwhere(items == 0)
        first = ", ".join(f"{candidates[int(k)]!r} in {str(names[z])!r}" for k, z in empty[:_SHOWN])
        raise ValueError(
            f"{len(empty)} of {items.size} cells of candidates and strata have no items (first: {first}), so nothing "
            f"says how these candidates do there. Merge strata in column {column!r}, or leave the candidates out."
        )
    cell, of_cell = cells(whose, ids, *size)
    count = np.bincount(ids, np.asarray(data.count, np.float64))
    share = tuple(float(x) for x in count / count.sum())
    data = eqx.tree_at(lambda tree: tree.candidate, data, jnp.asarray(cell, data.candidate.dtype))
    return ratings._replace(data=data, strata=Strata(tuple(map(str, names)), share, of_cell))


def _own_family(texts: Sequence[str], ratings: Ratings) -> np.ndarray:
    judges, candidates = tuple(ratings.names.judges), tuple(ratings.names.candidates)
    own = np.zeros((len(candidates), len(judges)), bool)
    for text in texts:
        judge, candidate = _pair(text, judges, candidates)
        own[candidates.index(candidate), judges.index(judge)] = True
    labels = np.zeros(own.shape, int)
    row, place = np.nonzero(np.asarray(ratings.data.where))
    np.add.at(labels, (ratings.candidate[row], np.asarray(ratings.data.judge)[row, place]), 1)
    unseen = np.argwhere(own & (labels == 0))
    if len(unseen):
        first = ", ".join(f"{judges[int(j)]!r} of {candidates[int(k)]!r}" for k, j in unseen[:_SHOWN])
        raise ValueError(f"--own-family names judges who gave no label to that candidate ({first}): leave these out")
    if not labels[~own].any():
        raise ValueError(
            "--own-family covers every label, so nothing says how judges do on others' work: name fewer, or use "
            "--constancy strong"
        )
    return own


def _pair(text: str, judges: Sequence[str], candidates: Sequence[str]) -> tuple[str, str]:
    """A judge and a candidate; names may hold `=` themselves."""
    splits = [(text[:i].strip(), text[i + 1 :].strip()) for i, sign in enumerate(text) if sign == "="]
    if not splits:
        raise ValueError(f"--own-family {text!r} is not of the form JUDGE=CANDIDATE")
    for judge, candidate in splits:
        if judge in judges and candidate in candidates:
            return judge, candidate
    known = [split for split in splits if split[0] in judges or split[1] in candidates]
    judge, candidate = (known or splits)[0]
    role, name, names = ("candidate", candidate, candidates) if judge in judges else ("judge", judge, judges)
    there = ", ".join(map(repr, names[:8])) + (", ..." if len(names) > 8 else "")
    raise ValueError(f"--own-family {text!r} names no {role} ({name!r}); there are {there}")
