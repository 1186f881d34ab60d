"""Votes from a file: comparisons, rankings, scores of the same samples, a matrix of ranks, or PrefLib's orders."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
import numpy as np

from scorax.cli._reading import numbers, read_file, require
from scorax.data import Comparisons, Rankings, Responses, Vocabulary, contrast_features, refuse

Kind = Literal["comparisons", "rankings", "scores", "ranks"]
_PREFLIB = (".soc", ".soi", ".toc", ".toi")
# Columns that name the rows of a matrix where the user names none.
_USUAL = ("id", "sample", "question", "task", "ranking")


class Source(NamedTuple):
    """A file, and what the command line says of it."""

    file: str
    columns: Mapping[str, str | None]
    """By role, those that the user named."""
    outcome_values: Sequence[str] = ()
    features: Sequence[str] = ()
    lower_is_better: bool = False
    unlisted: str | None = None
    """What becomes of items that a ranking leaves out, as `Rankings.from_orders` says; `None` is `absent`."""


class Feature(NamedTuple):
    """A feature of comparisons."""

    name: str
    scale: float
    """What differences of the sides were divided by; 1 for a column that was taken as it is."""


class Votes(NamedTuple):
    """What was read."""

    data: Comparisons | Rankings
    items: Vocabulary
    row: np.ndarray
    """Of each row of `data`, the row (the ranking, the sample) that it comes from, counted from 0."""
    features: tuple[Feature, ...] = ()
    of_samples: bool = False
    """Whether comparisons are of scores, so that those of one sample are not independent."""

    def with_outcome(self, outcome: np.ndarray) -> "Votes":
        """The same comparisons with other outcomes."""
        return self._replace(data=dataclasses.replace(self.data, outcome=jnp.asarray(outcome)))


class _Reader(NamedTuple):
    """One kind of file: what users call it, its columns, and how they become votes."""

    called: str
    roles: tuple[str, ...]
    read: Callable[[Any, dict[str, str], Source], Votes]


def load(source: Source, kind: Kind | None) -> Votes:
    """Votes from a file, by default of the kind that its columns say: comparisons or rankings.

    PrefLib's files hold rankings and have no columns.

    Raises:
        ValueError: The file cannot be read as votes of this kind; options contradict it.
    """
    named = {role: column for role, column in source.columns.items() if column is not None}
    if Path(source.file).suffix.lower() in _PREFLIB:
        return _preflib(named, source, kind)
    frame = read_file(source.file)
    kind = _kind_of_columns(frame.columns, named) if kind is None else kind
    reader = _READERS[kind]
    foreign = [_option(role) for role in named if role not in reader.roles]
    if source.features and "order" not in reader.roles:
        foreign.append("--features")
    if source.unlisted is not None and kind not in ("rankings", "ranks"):
        foreign.append("--unlisted")
    if foreign:
        raise ValueError(f"{foreign[0]} does not belong to {reader.called}")
    return reader.read(frame, named, source)


def _kind_of_columns(present: list[str], named: Mapping[str, str]) -> Kind:
    """Rankings if the user named their columns, or the file has them; comparisons if not."""
    own = ("ranking", "item", "rank")
    return "rankings" if set(named) & set(own) or set(own) <= set(present) else "comparisons"


def _option(role: str) -> str:
    return "--cluster" if role == "cluster" else f"--{role.replace('_', '-')}-column"


def _comparisons(frame: Any, named: dict[str, str], source: Source) -> Votes:
    columns: dict[str, Any] = dict(named)
    meanings = dict(map(_meaning, source.outcome_values))
    values, features = _features(frame, source.features)
    data, items = Comparisons.from_frame(frame, **columns, outcomes=meanings)
    if values is not None:
        data = dataclasses.replace(data, features=jnp.asarray(values))
    if data.order is not None and not np.asarray(data.order).any():
        raise ValueError(f"column {named['order']!r} is 0 in every row: nothing came first. Drop --order-column.")
    return Votes(data, items, np.arange(len(data.weight)), features)


def _meaning(text: str) -> tuple[str, float]:
    word, _, number = text.rpartition("=")
    try:
        return word, float(number)
    except ValueError:
        raise ValueError(f"--outcome-value is WORD=NUMBER, such as DRAW=0.5, not {text!r}") from None


def _features(frame: Any, names: Sequence[str]) -> tuple[np.ndarray | None, tuple[Feature, ...]]:
    """A column a feature, and how each was scaled."""
    if len(set(names)) < len(names):
        raise ValueError(f"--features {','.join(names)} names one twice: drop it")
    read = [_feature(frame, name) for name in names]
    if not read:
        return None, ()
    return np.stack([values for values, _ in read], axis=1), tuple(feature for _, feature in read)


def _feature(frame: Any, name: str) -> tuple[np.ndarray, Feature]:
    sides = (f"{name}_a", f"{name}_b")
    if set(sides) <= set(frame.columns):
        of_a, of_b = (numbers(frame, side) for side in sides)
        if (of_a == of_b).all():
            raise ValueError(f"the sides never differ in feature {name!r}: leave it out of --features")
        values, scale = contrast_features(of_a, of_b)
        return values[:, 0], Feature(name, float(scale[0]))
    if name not in frame.columns:
        raise ValueError(
            f"there is no column {name!r} for --features, nor both of {sides[0]!r} and {sides[1]!r}; the columns are "
            f"{', '.join(map(repr, frame.columns))}"
        )
    values = numbers(frame, name)
    if (values == values[0]).all():
        raise ValueError(
            f"feature {name!r} is {values[0]:g} in every row, and so says nothing of either side: leave it out of "
            "--features. (What coming first is worth: --order-column.)"
        )
    return values, Feature(name, 1.0)


def _rankings(frame: Any, named: dict[str, str], source: Source) -> Votes:
    columns: dict[str, Any] = dict(named)
    data, items = Rankings.from_frame(frame, **columns, unlisted=source.unlisted or "absent")
    return Votes(data, items, np.arange(len(data.weight)))


def _preflib(named: Mapping[str, str], source: Source, kind: Kind | None) -> Votes:
    if kind not in (None, "rankings"):
        called = _READERS[kind].called
        mend = f"drop {called}" if called.startswith("--") else f"not {called}"
        raise ValueError(f"{source.file} is a PrefLib file of rankings: {mend}")
    foreign = [*map(_option, named), *["--outcome-value"] * bool(source.outcome_values)]
    foreign += ["--features"] * bool(source.features)
    if foreign:
        raise ValueError(f"{foreign[0]} does not belong to a PrefLib file, which has no columns")
    data, items = Rankings.from_preflib(source.file, unlisted=source.unlisted or "absent")
    return Votes(data, items, np.arange(len(data.weight)))


def _matrix(frame: Any, named: dict[str, str], row: str, direction: float) -> tuple[Responses, Vocabulary]:
    """A wide table; `row` is the role of the column that names its rows."""
    others = dict(named)
    usual = next((name for name in _USUAL if name in frame.columns), None)
    own = others.pop(row, usual if usual not in others.values() else None)
    for role, name in {**others, **({row: own} if own else {})}.items():
        require(frame, name, _option(role))
    systems = [name for name in frame.columns if name not in (own, *others.values())]
    if len(systems) < 2:
        raise ValueError(f"a matrix has two columns or more to compare; here there are {len(systems)}")
    mend = f"If it names the rows, say so with {_option(row)} {{}}; drop other columns of text."
    table: dict[str, Any] = {name: numbers(frame, name, gaps=True, mend=mend.format(name)) for name in systems}
    if "weight" in others:
        table[others["weight"]] = numbers(frame, others["weight"])
    if "cluster" in others:
        table[others["cluster"]] = frame[others["cluster"]].to_list()
    return Responses.from_wide_frame(table, systems=systems, direction=direction, **others)


def _scores(frame: Any, named: dict[str, str], source: Source) -> Votes:
    """Every two systems compared on every sample that has both; those of one sample are a cluster.

    A table of counts would say as much to a likelihood, but no longer which comparisons belong together.
    """
    responses, systems = _matrix(frame, named, "sample", -1.0 if source.lower_is_better else 1.0)
    value = np.asarray(responses.value) * np.asarray(responses.direction)[:, None]
    there = np.asarray(responses.where)
    a, b = np.triu_indices(len(systems), 1)
    sample, pair = np.nonzero(there[:, a] & there[:, b])
    if not len(sample):
        raise ValueError("no sample has scores of two systems: there is nothing to compare")
    difference = value[sample, a[pair]] - value[sample, b[pair]]
    cluster = np.arange(len(value)) if responses.cluster is None else np.asarray(responses.cluster)
    data = Comparisons.from_arrays(
        a[pair],
        b[pair],
        (np.sign(difference) + 1) / 2,
        weight=np.asarray(responses.weight)[sample],
        cluster=cluster[sample],
        n_items=len(systems),
    )
    return Votes(data, systems, sample, of_samples=True)


def _ranks(frame: Any, named: dict[str, str], source: Source) -> Votes:
    responses, items = _matrix(frame, named, "ranking", -1.0)
    there, ranks = np.asarray(responses.where), np.asarray(responses.value)
    refuse((there & (ranks < 0)).any(1), "a rank is negative", "1 is best; 0 or an empty cell is unranked.")
    data = Rankings.from_rank_matrix(
        np.where(there, ranks, np.nan), weight=np.asarray(responses.weight), unlisted=source.unlisted or "absent"
    )
    return Votes(data, items, np.arange(len(ranks)))


_READERS: dict[Kind, _Reader] = {
    "comparisons": _Reader(
        "comparisons", ("item_a", "item_b", "outcome", "weight", "order", "cluster", "time"), _comparisons
    ),
    "rankings": _Reader("rankings", ("ranking", "item", "rank", "weight", "cluster"), _rankings),
    "scores": _Reader("--scores", ("sample", "weight", "cluster"), _scores),
    "ranks": _Reader("--ranks", ("ranking", "weight"), _ranks),
}
