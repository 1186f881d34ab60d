"""What `scorax judge` reports: rows of candidates, strata, judges and assumptions, printed and as JSON or CSV."""

import dataclasses
import json
import math
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from scorax.choice import Leaderboard, LeaderboardRow
from scorax.cli._judge_quantities import CandidateScores, Lenience, ScoresAndAccuracies, Uncertain, uncertain
from scorax.cli._judge_sensitivity import SensitivityRow, rows_of
from scorax.cli._judge_sensitivity import show as show_sensitivity
from scorax.cli._judging import Scored, disorder
from scorax.cli._options import Format
from scorax.cli._output import print_table, to_csv
from scorax.stats import rank_summary


@dataclasses.dataclass(frozen=True)
class JudgeRow:
    """One judge."""

    judge: str
    accuracy: float
    """How often it gives the true level, on the mix of levels in these data."""
    std_error: float
    lower: float
    upper: float
    labels: float


@dataclasses.dataclass(frozen=True)
class StratumRow:
    """One candidate in one stratum."""

    candidate: str
    stratum: str
    score: float
    std_error: float
    lower: float
    upper: float
    items: float


@dataclasses.dataclass(frozen=True)
class FamilyRow:
    """One judge and its own family."""

    judge: str
    own_family: list[str]
    lenience: float
    """How much higher its labels are there than it would give for the same work by others; a difference of scores."""
    std_error: float
    lower: float
    upper: float


class Report(NamedTuple):
    """All that is printed and written."""

    board: Leaderboard
    judges: tuple[JudgeRow, ...]
    strata: tuple[StratumRow, ...] | None
    families: tuple[FamilyRow, ...] | None
    sensitivity: tuple[SensitivityRow, ...] | None
    disorder: float | None
    """Probability that the only judge has the levels in another order; None where that is no question."""


def report_of(scored: Scored, *, level: float) -> Report:
    """Candidates from best to worst, judges from the most to the least accurate."""
    ratings = scored.ratings
    data, names, strata = ratings.data, ratings.names, ratings.strata
    k, j = len(names.candidates), len(names.judges)
    count = np.asarray(data.count, np.float64)
    items = np.bincount(np.asarray(data.candidate), count, ratings.n_cells)
    scores = CandidateScores(None if strata is None else strata.share)
    found = uncertain(scored.result, ScoresAndAccuracies(jnp.asarray(items / count.sum()), scores), level)
    score, accuracy, cell = (_part(found, part) for part in (slice(k), slice(k, k + j), slice(k + j, None)))
    given = count[:, None] * np.asarray(data.where)
    by_judge = np.bincount(np.asarray(data.judge).ravel(), given.ravel(), j)
    board = _board(score, tuple(names.candidates), np.bincount(ratings.candidate, given.sum(1), k), level)
    return Report(
        board,
        _judge_rows(accuracy, tuple(names.judges), by_judge),
        None if strata is None else _stratum_rows(cell, [row.item for row in board], scored, items),
        None if ratings.own_family is None else _family_rows(scored, items / count.sum(), level),
        None if scored.sensitivity is None else tuple(rows_of(scored.sensitivity, tuple(names.candidates))),
        disorder(scored),
    )


def _part(found: Uncertain, part: slice) -> Uncertain:
    return Uncertain(*(x[..., part] for x in found))


def _board(scores: Uncertain, names: tuple[str, ...], labels: np.ndarray, level: float) -> Leaderboard:
    ranks = rank_summary(jnp.asarray(scores.draws), level=level)
    rows = tuple(
        LeaderboardRow(
            item=names[i],
            rating=float(scores.value[i]),
            # A score is no log-odds: this model has no such number.
            theta=math.nan,
            std_error=float(scores.std_error[i]),
            lower=float(scores.lower[i]),
            upper=float(scores.upper[i]),
            rank=place + 1,
            rank_lower=int(ranks.lower[i]),
            rank_upper=int(ranks.upper[i]),
            p_best=float(ranks.p_best[i]),
            comparisons=float(labels[i]),
        )
        for place, i in enumerate(np.argsort(-scores.value, kind="stable"))
    )
    return Leaderboard(rows, level, "score")


def _judge_rows(accuracies: Uncertain, names: tuple[str, ...], labels: np.ndarray) -> tuple[JudgeRow, ...]:
    columns = (accuracies.value, accuracies.std_error, accuracies.lower, accuracies.upper, labels)
    best_first = np.argsort(-accuracies.value, kind="stable")
    return tuple(JudgeRow(names[i], *(float(column[i]) for column in columns)) for i in best_first)


def _stratum_rows(cells: Uncertain, order: list[str], scored: Scored, items: np.ndarray) -> tuple[StratumRow, ...]:
    strata, names = scored.ratings.strata, scored.ratings.names
    assert strata is not None
    columns = (cells.value, cells.std_error, cells.lower, cells.upper, items)
    return tuple(
        StratumRow(
            name, stratum, *(float(column[names.candidates.index(name) * len(strata.names) + z]) for column in columns)
        )
        for name in order
        for z, stratum in enumerate(strata.names)
    )


def _family_rows(scored: Scored, share: np.ndarray, level: float) -> tuple[FamilyRow, ...]:
    own, names = scored.ratings.own_family, scored.ratings.names
    assert own is not None
    found = uncertain(scored.result, Lenience(jnp.asarray(own), jnp.asarray(share)), level)
    columns = (found.value, found.std_error, found.lower, found.upper)
    return tuple(
        FamilyRow(
            names.judges[j],
            [names.candidates[int(k)] for k in np.flatnonzero(own[:, j])],
            *(float(column[j]) for column in columns),
        )
        for j in range(len(names.judges))
        if own[:, j].any()
    )


def to_json(report: Report) -> str:
    """An object with the rows of candidates, those of judges, and what else there is."""
    content: dict[str, Any] = {
        "candidates": json.loads(report.board.to_json()),
        "judges": [dataclasses.asdict(row) for row in report.judges],
    }
    if report.strata is not None:
        content["strata"] = [dataclasses.asdict(row) for row in report.strata]
    if report.families is not None:
        rows = [dataclasses.asdict(row) for row in report.families]
        content["own_family"] = [{key: None if value != value else value for key, value in row.items()} for row in rows]
    if report.disorder is not None:
        content["p_levels_disordered"] = None if math.isnan(report.disorder) else report.disorder
    if report.sensitivity is not None:
        content["sensitivity"] = [dataclasses.asdict(row) for row in report.sensitivity]
    return json.dumps(content, indent=1, ensure_ascii=False)


def rows_csv(rows: tuple[JudgeRow, ...] | tuple[StratumRow, ...]) -> str:
    """Rows as comma-separated text with a header line."""
    return to_csv([dataclasses.asdict(row) for row in rows])


def show(report: Report, scored: Scored, format: Format) -> None:
    """Print the report to standard output; as CSV, the candidates only."""
    if format == Format.JSON:
        print(to_json(report))
    elif format == Format.CSV:
        print(report.board.to_csv(), end="")
    else:
        print_table(*candidate_cells(report))
        print()
        if report.strata is not None:
            print_table(*stratum_cells(report), left=(0, 1))
            print()
        print_table(*judge_cells(report), left=(0,))
        if report.families is not None:
            print()
            print_table(*family_cells(report), left=(0, 1))
        if scored.sensitivity is not None:
            show_sensitivity(scored.sensitivity, tuple(scored.ratings.names.candidates))


def candidate_cells(report: Report) -> tuple[list[str], list[list[str]]]:
    """Headings and text of the table of candidates."""
    headings, body = report.board.cells()
    return ["rank", "candidate", "score", *headings[3:-1], "labels"], body


def judge_cells(report: Report) -> tuple[list[str], list[list[str]]]:
    """Headings and text of the table of judges."""
    body = [
        [row.judge, f"{row.accuracy:.2f}", f"{row.lower:.2f} to {row.upper:.2f}", f"{row.labels:g}"]
        for row in report.judges
    ]
    return ["judge", "accuracy", _interval(report), "labels"], body


def stratum_cells(report: Report) -> tuple[list[str], list[list[str]]]:
    """Headings and text of the table of candidates in strata."""
    body = [
        [row.candidate, row.stratum, f"{row.score:.2f}", f"{row.lower:.2f} to {row.upper:.2f}", f"{row.items:g}"]
        for row in report.strata or ()
    ]
    return ["candidate", "stratum", "score", _interval(report), "items"], body


def family_cells(report: Report) -> tuple[list[str], list[list[str]]]:
    """Headings and text of the table of judges and their own families."""
    body = [
        [row.judge, ", ".join(row.own_family), *(["", ""] if math.isnan(row.lenience) else _signed(row))]
        for row in report.families or ()
    ]
    return ["judge", "own family", "lenience", _interval(report)], body


def _signed(row: FamilyRow) -> list[str]:
    return [f"{row.lenience:+.2f}", f"{row.lower:+.2f} to {row.upper:+.2f}"]


def _interval(report: Report) -> str:
    return f"{100 * report.board.level:g}% interval"
