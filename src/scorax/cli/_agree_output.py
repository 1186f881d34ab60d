"""How `scorax agree` reports: coefficients, pairs and judges as tables, JSON or CSV."""

import dataclasses
import json
import math
from typing import Any

from scorax.cli._agree import Metric
from scorax.cli._agreeing import TITLES, Report
from scorax.cli._options import Format
from scorax.cli._output import print_table, to_csv

_MOST_PAIRS = 30
_OF_TWO_JUDGES = {"fleiss_kappa": "Scott's pi", "conger_kappa": "Cohen's kappa"}


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
    title = TITLES[coefficient]
    if coefficient == "gwet_ac" and found.metric != Metric.NOMINAL:
        return "Gwet's AC2"
    return _OF_TWO_JUDGES.get(coefficient, title) if len(found.judges) == 2 else title


def _known(row: dict[str, Any]) -> dict[str, Any]:
    """Without NaN, which JSON does not have."""
    return {key: None if isinstance(x, float) and not math.isfinite(x) else x for key, x in row.items()}


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.3f}"
