"""How `scorax debias` reports: candidates and their differences as tables, JSON or CSV."""

import dataclasses
import json

from scorax.cli._debiasing import Contrast, Report, Row
from scorax.cli._options import Format
from scorax.cli._output import print_table, to_csv


def to_json(report: Report) -> str:
    """An object with the rows of candidates and those of differences."""
    rows = {
        "candidates": [dataclasses.asdict(row) for row in report.candidates],
        "contrasts": [dataclasses.asdict(row) for row in report.contrasts],
    }
    return json.dumps(rows, indent=1, ensure_ascii=False)


def show(report: Report, format: Format) -> None:
    """Print the report to standard output; as CSV, the candidates only."""
    if format == Format.JSON:
        print(to_json(report))
        return
    if format == Format.CSV:
        print(to_csv([dataclasses.asdict(row) for row in report.candidates]), end="")
        return
    many = len({row.judge for row in report.candidates}) > 1
    interval = f"{100 * report.level:g}% interval"
    # One judge needs no column.
    headings = [*(["judge"] * many), "candidate", "by", "mean", interval, "power", "items", "gold"]
    body = [
        [*([row.judge] * many), row.candidate, row.method, *_cells(row), f"{row.items:,}", f"{row.gold:,}"]
        for row in report.candidates
    ]
    print_table(headings, body, left=range(2 + many))
    if report.contrasts:
        print()
        pairs = [
            [*([row.judge] * many), f"{row.candidate_a} - {row.candidate_b}", row.method, *_cells(row), _paired(row)]
            for row in report.contrasts
        ]
        headings = [*(["judge"] * many), "difference", "by", "mean", interval, "power", "in pairs"]
        print_table(headings, pairs, left=range(2 + many))


def _cells(row: Row | Contrast) -> list[str]:
    value = "" if row.estimate is None else f"{row.estimate:.3f}"
    ends = "" if row.lower is None or row.upper is None else f"{row.lower:.3f} to {row.upper:.3f}"
    return [value, ends, "" if row.power is None else f"{row.power:.2f}"]


def _paired(row: Contrast) -> str:
    return "yes" if row.paired else "no"
