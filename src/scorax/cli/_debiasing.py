"""What `scorax debias` computes: candidates' means as a judge, people and both together see them."""

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from scorax.cli._gold_labels import Labels
from scorax.cli._session import note
from scorax.judges import PPIEstimate, Prevalence, judge_error_rates, ppi_mean, rogan_gladen

# Differences are computed so many at a time: each holds a label of every item.
_PAIRS_AT_ONCE = 256
_FEW = 30


@dataclasses.dataclass(frozen=True)
class Row:
    """One estimate of one candidate."""

    judge: str
    candidate: str
    method: str
    """`judge`, `human`, `ppi` or `rogan-gladen`."""
    estimate: float | None
    std_error: float | None
    lower: float | None
    upper: float | None
    power: float | None
    """Of ppi alone."""
    items: int
    gold: int


@dataclasses.dataclass(frozen=True)
class Contrast:
    """The mean of one candidate less that of another."""

    judge: str
    candidate_a: str
    candidate_b: str
    method: str
    """`human` or `ppi`."""
    estimate: float | None
    std_error: float | None
    lower: float | None
    upper: float | None
    power: float | None
    paired: bool
    """Whether items were compared one by one, both candidates having the same."""


class Report(NamedTuple):
    """All that is printed."""

    candidates: tuple[Row, ...]
    contrasts: tuple[Contrast, ...]
    level: float


def report_of(labels: Labels, *, power: float | None, level: float, quiet: bool) -> Report:
    """Every estimate of every candidate, judges in the order of the file, candidates from the best down."""
    groups = len(labels.candidates)
    seen, known = ~np.isnan(labels.label), ~np.isnan(labels.gold)
    few = [labels.candidates[g] for g in range(groups) if known[g].sum() < 2]
    if len(few) == groups:
        raise ValueError("no candidate has two gold labels, and it takes two to know of any error: label more items")
    counts = (
        (len(set(labels.candidates)), "candidate"),
        (len(set(labels.judges)), "judge"),
        (labels.label.shape[1], "item"),
        (int(known.any(0).sum()), "with a gold label"),
    )
    said = ", ".join(f"{n:,} {word}{'s' * (n != 1 and ' ' not in word)}" for n, word in counts)
    note(said, quiet=quiet)
    estimates = _estimates(labels, power)
    _warn(labels, estimates["ppi"], few, quiet)
    order = sorted(range(groups), key=lambda g: (labels.judges.index(labels.judges[g]), -_sortable(estimates, g)))
    rows = []
    for g in order:
        for method, estimate in estimates.items():
            found = _numbers(estimate, g, level)
            if method == "rogan-gladen" and labels.kinds is not None:
                found = _stretched(found, labels.kinds)
            trust = _or_none(estimate.power[g]) if method == "ppi" and isinstance(estimate, PPIEstimate) else None
            rows.append(
                Row(
                    judge=labels.judges[g],
                    candidate=labels.candidates[g],
                    method=method,
                    **found._asdict(),
                    power=trust,
                    items=int(seen[g].sum()),
                    gold=int(known[g].sum()),
                )
            )
    return Report(tuple(rows), tuple(_contrasts(labels, estimates, order, power, level)), level)


def _sortable(estimates: Mapping[str, PPIEstimate | Prevalence], g: int) -> float:
    value = float(estimates["ppi"].value[g])
    return float(estimates["judge"].value[g]) if math.isnan(value) else value


def _estimates(labels: Labels, power: float | None) -> dict[str, PPIEstimate | Prevalence]:
    """By method, all groups at once."""
    seen, known = ~np.isnan(labels.label), ~np.isnan(labels.gold)
    label, gold = (np.nan_to_num(x) for x in (labels.label, labels.gold))
    human, ppi = _human_and_ppi(gold, label, known, seen & ~known, power)
    found: dict[str, PPIEstimate | Prevalence] = {"judge": _judge(label, seen), "human": human, "ppi": ppi}
    if labels.kinds is not None:
        low, high = labels.kinds
        shares = (jnp.asarray((x - low) / (high - low)) for x in (label, gold))
        found["rogan-gladen"] = _shares(*shares, *(jnp.asarray(x, float) for x in (known, seen & ~known)))
    return found


def _judge(label: np.ndarray, seen: np.ndarray) -> PPIEstimate:
    """Means of what the judge says."""
    n = seen.sum(1)
    value = (label * seen).sum(1) / n
    variance = ((label - value[:, None]) ** 2 * seen).sum(1) / n**2
    return PPIEstimate(jnp.asarray(value), jnp.asarray(variance), jnp.zeros(len(n)), jnp.asarray(n < 2))


def _human_and_ppi(
    gold: np.ndarray, label: np.ndarray, labelled: np.ndarray, others: np.ndarray, power: float | None
) -> tuple[PPIEstimate, PPIEstimate]:
    """Means by the gold labels alone and with the judge, a row each."""
    rows = len(gold)
    # Candidates and their differences mostly come in the same shape then, and compile once.
    more = ((0, max(4, 1 << (rows - 1).bit_length()) - rows), (0, 0))
    found = _both(*(jnp.asarray(np.pad(x, more), float) for x in (gold, label, labelled, others)), power)
    return jax.tree.map(lambda x: x[:rows], found)


@jax.jit
def _both(
    gold: Float[Array, "g n"],
    label: Float[Array, "g n"],
    labelled: Float[Array, "g n"],
    others: Float[Array, "g n"],
    power: Any,
) -> tuple[PPIEstimate, PPIEstimate]:
    def one(y: Array, f: Array, weight: Array, others_weight: Array) -> tuple[PPIEstimate, PPIEstimate]:
        human, ppi = (
            ppi_mean(y, f, f, power=trust, weight=weight, unlabeled_weight=others_weight) for trust in (0.0, power)
        )
        return human, ppi

    return jax.vmap(one)(gold, label, labelled, others)


@jax.jit
def _shares(
    label: Float[Array, "g n"], gold: Float[Array, "g n"], labelled: Float[Array, "g n"], others: Float[Array, "g n"]
) -> Prevalence:
    def one(f: Array, y: Array, weight: Array, others_weight: Array) -> Prevalence:
        rates = judge_error_rates(y, f, weight=weight)
        n = others_weight.sum()
        # Without other items the judge's share among those with a gold label is all there is.
        alone = n == 0
        used = jnp.where(alone, weight, others_weight)
        size = jnp.where(alone, weight.sum(), n)
        share = used @ f / size
        counts = (size, rates.n_positive, rates.n_negative)
        return rogan_gladen(share, rates.sensitivity, rates.specificity, counts=counts)

    return jax.vmap(one)(label, gold, labelled, others)


def _contrasts(
    labels: Labels,
    estimates: Mapping[str, PPIEstimate | Prevalence],
    order: Sequence[int],
    power: float | None,
    level: float,
) -> list[Contrast]:
    """Differences of the candidates of each judge, the better one first."""
    pairs = [(a, b) for a, b in itertools.combinations(order, 2) if labels.judges[a] == labels.judges[b]]
    seen, known = ~np.isnan(labels.label), ~np.isnan(labels.gold)
    rows = []
    for start in range(0, len(pairs), _PAIRS_AT_ONCE):
        part = pairs[start : start + _PAIRS_AT_ONCE]
        a, b = np.array(part).T
        both = known[a] & known[b]
        paired = (seen[a] == seen[b]).all(1) & (both.sum(1) >= 2)
        f, y = (np.nan_to_num(x[a] - x[b]) for x in (labels.label, labels.gold))
        others = seen[a] & seen[b] & ~both
        together = _human_and_ppi(y, f, both, others, power)
        for method, difference in zip(("human", "ppi"), together, strict=True):
            apart = estimates[method]
            assert isinstance(apart, PPIEstimate)
            for i, (first, second) in enumerate(part):
                one = _row(difference, i) if paired[i] else _row(apart, first).minus(_row(apart, second))
                rows.append(
                    Contrast(
                        judge=labels.judges[first],
                        candidate_a=labels.candidates[first],
                        candidate_b=labels.candidates[second],
                        method=method,
                        **_numbers(one, (), level)._asdict(),
                        power=_or_none(one.power) if method == "ppi" else None,
                        paired=bool(paired[i]),
                    )
                )
    return rows


def _row(estimates: PPIEstimate, i: int) -> PPIEstimate:
    return jax.tree.map(lambda x: x[i], estimates)


class _Numbers(NamedTuple):
    """An estimate and its uncertainty; None where there is no such number."""

    estimate: float | None
    std_error: float | None
    lower: float | None
    upper: float | None


def _numbers(estimate: PPIEstimate | Prevalence, at: Any, level: float) -> _Numbers:
    ends = estimate.interval(level)
    return _Numbers(*(_or_none(x[at]) for x in (estimate.value, estimate.std_error, ends.lower, ends.upper)))


def _or_none(x: Any) -> float | None:
    value = float(x)
    return value if math.isfinite(value) else None


def _stretched(share: _Numbers, kinds: tuple[float, float]) -> _Numbers:
    """A share of the higher kind as a mean of both."""
    low, high = kinds
    moved = [None if x is None else low + (high - low) * x for x in share]
    spread = None if share.std_error is None else (high - low) * share.std_error
    return _Numbers(*moved)._replace(std_error=spread)


def _warn(labels: Labels, ppi: PPIEstimate | Prevalence, few: Sequence[str], quiet: bool) -> None:
    """Say where intervals cannot be trusted."""
    counts = (~np.isnan(labels.gold)).sum(1)
    if few:
        note(f"scorax: fewer than 2 gold labels, so no estimate, of {_listed(few)}. Label more items.", quiet=quiet)
    sure = [
        name
        for name, n, flag in zip(labels.candidates, counts, np.asarray(ppi.degenerate), strict=True)
        if flag and n >= 2
    ]
    if sure:
        note(
            f"scorax: the error is the same for all gold labels of {_listed(sure)}: intervals take it as known, "
            "and are too narrow. Label more items.",
            quiet=quiet,
        )
    small = [name for name, n in zip(labels.candidates, counts, strict=True) if 2 <= n < _FEW]
    if small:
        note(
            f"scorax: fewer than {_FEW} gold labels of {_listed(small)}: intervals hold the truth less often than they "
            "say.",
            quiet=quiet,
        )


def _listed(names: Sequence[str]) -> str:
    distinct = list(dict.fromkeys(names))
    return ", ".join(map(repr, distinct[:3])) + (", ..." if len(distinct) > 3 else "")
