"""What `scorax agree` computes: coefficients of agreement, judges in pairs and judges one by one."""

import dataclasses
import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from scorax.cli._agree import Metric
from scorax.cli._agree_table import Table, as_number
from scorax.cli._session import note
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

# Coefficients in the order in which they are reported.
TITLES = {
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
    coefficients.sort(key=lambda row: list(TITLES).index(row.coefficient))
    odd = [TITLES[row.coefficient] for row in coefficients if row.degenerate]
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
        words = ", ".join([repr(level) for level in table.levels if math.isnan(as_number(level))][:3])
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
