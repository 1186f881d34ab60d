"""What `scorax agree` computes: coefficients of agreement, judges in pairs and judges one by one."""

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from scorax.cli._agree import Metric, Repeats
from scorax.cli._options import Format
from scorax.cli._output import print_table, to_csv
from scorax.cli._reading import read_file, require
from scorax.cli._session import note
from scorax.data import Annotations, AnnotationVocabulary
from scorax.stats import (
    ICC_FORMS,
    Agreement,
    Interval,
    IntraclassCorrelation,
    PairwiseAgreement,
    agreement_credit,
    brennan_prediger,
    conger_kappa,
    fleiss_kappa,
    gwet_ac,
    intraclass_correlation,
    krippendorff_alpha,
    krippendorff_bootstrap,
    pairwise_agreement,
    percent_agreement,
    percentile_interval,
    tally_ratings,
)

_NO_JUDGES = ("item", "question", "task", "candidate", "model", "gold", "weight")
_MOST_PAIRS = 30
_TITLES = {
    "krippendorff_alpha": "Krippendorff's alpha",
    "gwet_ac": "Gwet's AC1",
    "fleiss_kappa": "Fleiss' kappa",
    "conger_kappa": "Conger's kappa",
    "brennan_prediger": "Brennan-Prediger",
    "agreement": "agreement of two labels",
    "icc_1_1": "ICC(1,1), each item with raters of its own",
    "icc_2_1": "ICC(2,1), agreement of one rating",
    "icc_3_1": "ICC(3,1), consistency of one rating",
    "icc_1_k": "ICC(1,k), of the mean rating",
    "icc_2_k": "ICC(2,k), agreement of the mean",
    "icc_3_k": "ICC(3,k), consistency of the mean",
}
_OF_TWO_JUDGES = {"fleiss_kappa": "Scott's pi", "conger_kappa": "Cohen's kappa"}


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


@dataclasses.dataclass(frozen=True)
class Coefficient:
    """One coefficient."""

    coefficient: str
    value: float
    std_error: float
    lower: float
    upper: float
    observed: float
    expected: float
    items: float
    degenerate: bool
    """Whether the value is 0/0."""


@dataclasses.dataclass(frozen=True)
class Pair:
    """Two judges."""

    judge_a: str
    judge_b: str
    items: float
    agreement: float
    kappa: float


@dataclasses.dataclass(frozen=True)
class Judge:
    """One judge."""

    judge: str
    labels: float
    agreement: float
    """Mean agreement with the others, over the items that both labelled."""
    shares: dict[str, float]
    """How often it gives each level."""


class Report(NamedTuple):
    """All that is printed."""

    metric: Metric
    level: float
    items: float
    levels: tuple[str, ...]
    coefficients: tuple[Coefficient, ...]
    pairs: tuple[Pair, ...]
    judges: tuple[Judge, ...]


def load(source: Source) -> Table:
    """Labels from a file, one by each judge of each item."""
    frame = read_file(source.file)
    listed = None if source.levels is None else [level.strip() for level in source.levels.split(",")]
    named = {role: column for role, column in source.columns.items() if column is not None}
    if source.wide:
        frame, named = _melted(frame, source, named), {}
    elif source.judges is not None:
        raise ValueError("--judges names columns of a table with a column for each judge: add --wide")
    try:
        data, names = Annotations.from_frame(frame, levels=listed, **named)
    except ValueError as error:
        if "there is no column for" not in str(error):
            raise
        raise ValueError(f"{error}. With a column for each judge, add --wide.") from error
    return _table(data, names, source.repeats)


def _melted(frame: Any, source: Source, named: Mapping[str, str]) -> dict[str, list[Any]]:
    """A long table of one with a row for each item and a column for each judge."""
    if wrong := [role for role in ("judge", "label") if role in named]:
        raise ValueError(f"--{wrong[0]}-column is for a table with one label a row: drop it, or --wide")
    for role, column in named.items():
        require(frame, column, role)
    if source.judges is None:
        beside = {*named.values(), *_NO_JUDGES}
        columns = [name for name in frame.columns if name not in beside]
    else:
        columns = [name.strip() for name in source.judges.split(",")]
        for name in columns:
            require(frame, name, "a judge")
    if len(columns) < 2:
        found = ", ".join(map(repr, columns)) or "none"
        raise ValueError(f"--wide wants columns of two judges or more; found {found}. Name them with --judges.")
    weight = named.get("weight", "weight" if "weight" in frame.columns else None)
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
    numbers = tuple(_as_number(level) for level in names.levels)
    return None if any(map(math.isnan, numbers)) else numbers


def _as_number(level: str) -> float:
    try:
        return float(level)
    except ValueError:
        return math.nan


def report_of(table: Table, metric: Metric, *, level: float, draws: int, seed: int, quiet: bool) -> Report:
    """Everything, for one level of measurement."""
    values = jnp.asarray(_values_for(table, metric))
    items = float(table.count.sum())
    sizes = f"{items:,g} items, {len(table.judges):,} judges, {len(table.levels)} levels"
    note(f"{sizes}: {metric}", quiet=quiet)
    credit = _credit(metric, values)
    kappas, pairs, tally = _kappas(table.ratings, table.where, table.count, credit)
    coefficients = [
        _alpha(table, tally, metric, values, level=level, draws=draws, seed=seed),
        *(_row(name, found, found.interval(level)) for name, found in kappas.items()),
        *_icc_rows(table, level, quiet=quiet),
    ]
    # What a compiled function returns is sorted by name.
    coefficients.sort(key=lambda row: list(_TITLES).index(row.coefficient))
    odd = [_TITLES[row.coefficient] for row in coefficients if row.degenerate]
    if odd:
        note(f"scorax: 0/0 where all labels are of one level, and so without a value: {', '.join(odd)}", quiet=quiet)
    observed, kappa, shared = (np.asarray(x) for x in pairs)
    return Report(
        metric=metric,
        level=level,
        items=items,
        levels=table.levels,
        coefficients=tuple(coefficients),
        pairs=tuple(
            Pair(a, b, float(shared[i, k]), float(observed[i, k]), float(kappa[i, k]))
            for i, a in enumerate(table.judges)
            for k, b in enumerate(table.judges[i + 1 :], i + 1)
        ),
        judges=_judges(table, observed, shared),
    )


def _values_for(table: Table, metric: Metric) -> tuple[float, ...]:
    """What levels are worth; their places where that does not matter."""
    if table.values is not None:
        if metric == Metric.RATIO and min(table.values) < 0:
            raise ValueError(f"--metric ratio wants labels of 0 or more; here is {min(table.values):g}")
        return table.values
    if metric in (Metric.INTERVAL, Metric.RATIO):
        words = ", ".join([repr(level) for level in table.levels if math.isnan(_as_number(level))][:3])
        raise ValueError(f"--metric {metric} wants labels that are numbers, not {words}: use --metric ordinal")
    return tuple(float(i) for i in range(len(table.levels)))


def _credit(metric: Metric, values: Float[Array, " m"]) -> Float[Array, "m m"]:
    """What two levels still agree, on the scale of the metric; Gwet's for ordinal levels."""
    if metric in (Metric.NOMINAL, Metric.ORDINAL, Metric.INTERVAL):
        kinds = {Metric.NOMINAL: "identity", Metric.ORDINAL: "ordinal", Metric.INTERVAL: "quadratic"}
        return agreement_credit(kinds[metric], values)
    m = values.shape[0]
    if metric == Metric.CIRCULAR:
        place = jnp.arange(m, dtype=values.dtype)
        apart = jnp.sin(jnp.pi / m * (place[:, None] - place[None, :])) ** 2
    else:
        both = values[:, None] + values[None, :]
        apart = ((values[:, None] - values[None, :]) / jnp.where(both == 0, 1, both)) ** 2
    return 1 - apart / apart.max()


def _alpha(
    table: Table, tally: Array, metric: Metric, values: Array, *, level: float, draws: int, seed: int
) -> Coefficient:
    worth = None if metric == Metric.CIRCULAR else values
    found = eqx.filter_jit(krippendorff_alpha)(tally, metric=metric.value, values=worth, count=table.count)
    if bool(found.degenerate):
        return _row("krippendorff_alpha", found, found.interval(level))
    redrawn = krippendorff_bootstrap(
        jax.random.key(seed), tally, draws, metric=metric.value, values=worth, count=table.count, smooth=True
    )
    return _row("krippendorff_alpha", found, percentile_interval(redrawn, level=level))


@eqx.filter_jit
def _kappas(
    ratings: Array, where: Array, count: Array, credit: Array
) -> tuple[dict[str, Agreement], PairwiseAgreement, Array]:
    """Coefficients with standard errors, judges in pairs, and how often each item got each level."""
    m = credit.shape[0]
    tally = tally_ratings(ratings, m, where=where)
    settings: dict[str, Any] = {"credit": credit, "count": count}
    found = {
        "gwet_ac": gwet_ac(tally, **settings),
        "fleiss_kappa": fleiss_kappa(tally, **settings),
        "conger_kappa": conger_kappa(ratings, m, where=where, **settings),
        "brennan_prediger": brennan_prediger(tally, **settings),
        "agreement": percent_agreement(tally, **settings),
    }
    return found, pairwise_agreement(ratings, m, where=where, **settings), tally


def _icc_rows(table: Table, level: float, *, quiet: bool) -> list[Coefficient]:
    """Intraclass correlations, where the table is complete and of numbers."""
    missing = int((~np.asarray(table.where).all(1)).sum())
    if table.values is None or len(table.ratings) < 2:
        return []
    if missing:
        n = len(table.ratings)
        note(f"no intraclass correlations: {missing:,} of {n:,} items lack the label of a judge", quiet=quiet)
        return []
    rows = []
    for form, found in _iccs(jnp.asarray(table.values)[table.ratings], table.count).items():
        numbers = (found.value, math.nan, *found.interval(level), math.nan, math.nan, found.n_items)
        rows.append(
            Coefficient(f"icc_{form.replace(',', '_')}", *map(float, numbers), degenerate=bool(found.degenerate))
        )
    return rows


@eqx.filter_jit
def _iccs(ratings: Array, count: Array) -> dict[str, IntraclassCorrelation]:
    return {form: intraclass_correlation(ratings, form=form, count=count) for form in ICC_FORMS}


def _row(name: str, found: Agreement, ends: Interval) -> Coefficient:
    expected = math.nan if name == "agreement" else found.expected
    numbers = (found.value, found.std_error, *ends, found.observed, expected, found.n_items)
    return Coefficient(name, *map(float, numbers), degenerate=bool(found.degenerate))


def _judges(table: Table, observed: np.ndarray, shared: np.ndarray) -> tuple[Judge, ...]:
    where, ratings, count = (np.asarray(x) for x in (table.where, table.ratings, table.count))
    rows = []
    for i, name in enumerate(table.judges):
        counts = np.bincount(ratings[where[:, i], i], count[where[:, i]], len(table.levels))
        met = (shared[i] > 0) & (np.arange(len(table.judges)) != i)
        agreement = float(np.average(observed[i, met], weights=shared[i, met])) if met.any() else math.nan
        shares = dict(zip(table.levels, (counts / counts.sum()).tolist(), strict=True))
        rows.append(Judge(name, float(counts.sum()), agreement, shares))
    return tuple(rows)


def show(found: Report, format: Format) -> None:
    """Print the report to standard output; as CSV, the coefficients only."""
    coefficients = [_known(dataclasses.asdict(row)) for row in found.coefficients]
    if format == Format.JSON:
        whole = {
            "metric": found.metric.value,
            "level": found.level,
            "items": found.items,
            "levels": list(found.levels),
            "coefficients": coefficients,
            "pairs": [_known(dataclasses.asdict(row)) for row in found.pairs],
            "judges": [_known(dataclasses.asdict(row)) for row in found.judges],
        }
        print(json.dumps(whole, indent=1, ensure_ascii=False))
    elif format == Format.CSV:
        print(to_csv(coefficients), end="")
    else:
        _print_tables(found)


def _print_tables(found: Report) -> None:
    interval = f"{100 * found.level:g}% interval"
    body = [
        [
            _title(row.coefficient, found),
            _number(row.value),
            "" if math.isnan(row.lower) else f"{row.lower:.3f} to {row.upper:.3f}",
            _number(row.observed),
            _number(row.expected),
        ]
        for row in found.coefficients
    ]
    print_table(["coefficient", "value", interval, "observed", "by chance"], body, left=(0,))
    print()
    worst = sorted(found.pairs, key=lambda pair: (math.isnan(pair.agreement), pair.agreement))
    pairs = [
        [pair.judge_a, pair.judge_b, f"{pair.items:,g}", _number(pair.agreement), _number(pair.kappa)]
        for pair in worst[:_MOST_PAIRS]
    ]
    print_table(["judge", "and", "items", "agreement", "Cohen's kappa"], pairs, left=(0, 1))
    if len(worst) > _MOST_PAIRS:
        print(f"... and {len(worst) - _MOST_PAIRS:,} pairs that agree more; --format json has all of them")
    print()
    judges = [
        [row.judge, f"{row.labels:,g}", _number(row.agreement), *(f"{100 * s:.0f}%" for s in row.shares.values())]
        for row in found.judges
    ]
    print_table(["judge", "labels", "agreement", *found.levels], judges, left=(0,))


def _title(coefficient: str, found: Report) -> str:
    title = _TITLES[coefficient]
    if coefficient == "gwet_ac" and found.metric != Metric.NOMINAL:
        return "Gwet's AC2"
    return _OF_TWO_JUDGES.get(coefficient, title) if len(found.judges) == 2 else title


def _known(row: dict[str, Any]) -> dict[str, Any]:
    """Without NaN, which JSON does not have."""
    return {key: None if isinstance(x, float) and not math.isfinite(x) else x for key, x in row.items()}


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.3f}"
