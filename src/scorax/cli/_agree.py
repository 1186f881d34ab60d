"""`scorax agree`: how far judges agree, beyond chance."""

from enum import StrEnum
from typing import Annotated

import typer

from scorax.cli import _options as options
from scorax.cli._options import COLUMNS, choice, column


class Metric(StrEnum):
    """The level of measurement of labels."""

    NOMINAL = "nominal"
    ORDINAL = "ordinal"
    INTERVAL = "interval"
    RATIO = "ratio"
    CIRCULAR = "circular"


class Repeats(StrEnum):
    """What becomes of several labels by one judge of one item."""

    SEPARATE = "separate"
    FIRST = "first"


def agree(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="CSV, TSV, JSONL or Parquet: one label by one judge of one item a row, or with --wide an item a row "
            "and a judge a column. - reads CSV or JSONL from standard input.",
            show_default=False,
        ),
    ],
    metric: Annotated[
        Metric,
        choice(
            "What labels measure, and so how much two of them differ. nominal: they are the same or not. ordinal: they "
            "have an order. interval: their differences count. ratio: their ratios do. circular: the last is next to "
            "the first, as with hours. The other coefficients give partial credit to match.",
            "LEVEL",
        ),
    ] = Metric.NOMINAL,
    levels: options.Levels = None,
    repeats: Annotated[
        Repeats | None,
        choice(
            "Where a judge labels an item several times. separate: the first, second, ... label are judges of their "
            "own. first: the others are left out.",
            "RULE",
            "an error",
        ),
    ] = None,
    bootstrap: Annotated[int, choice("Samples of items that make the interval of Krippendorff's alpha.", "N")] = 1000,
    seed: options.Seed = 0,
    wide: Annotated[
        bool,
        typer.Option(
            "--wide",
            help="FILE has a row for each item and a column for each judge; an empty cell is no label.",
            rich_help_panel=COLUMNS,
        ),
    ] = False,
    judges: Annotated[
        str | None,
        column("With --wide, the columns of judges, as in ann,bob.", "all but item, candidate, model, gold and weight"),
    ] = None,
    item_column: options.JudgedItem = None,
    judge_column: options.Judge = None,
    label_column: options.Label = None,
    candidate_column: options.Candidate = None,
    weight_column: Annotated[
        str | None, column("How many such items there are.", "weight, if there; else 1 for every item")
    ] = None,
    level: options.Level = 0.95,
    format: options.Output = options.Format.TABLE,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Say how far judges agree on the same items, beyond what chance would make of it.

    Prints coefficients with intervals: Krippendorff's alpha by the level of measurement, Gwet's AC1 (AC2 with partial
    credit), Fleiss' kappa (Scott's pi of two judges), Conger's (Cohen's kappa of two judges), percent agreement and,
    where every judge rated every item with a number, intraclass correlations. Then every pair of judges with Cohen's
    kappa, and every judge's labels. Where nearly all labels are of one level kappas are low however much judges agree;
    AC1 is not. CSV on standard output holds the coefficients only.

    \b
    [bold]Examples[/bold]
      scorax agree ratings.csv                 columns item, judge, label
      scorax agree ratings.csv --metric ordinal --levels poor,fair,good
      scorax agree scores.csv --wide --item-column question --metric interval
      scorax agree runs.csv --wide --judges run_1,run_2,run_3 --metric interval
      scorax agree ratings.csv --format json | jq '.coefficients'
    """
    options.check_level(level)
    if bootstrap < 1:
        raise ValueError(f"--bootstrap must be at least 1, not {bootstrap}")
    from scorax.cli._session import computing

    columns = {
        "item": item_column,
        "judge": judge_column,
        "label": label_column,
        "candidate": candidate_column,
        "weight": weight_column,
    }
    with computing(quiet=quiet):
        from scorax.cli import _agree_output, _agree_table, _agreeing

        source = _agree_table.Source(file, columns, levels, repeats, wide=wide, judges=judges)
        table = _agree_table.load(source)
        found = _agreeing.report_of(table, metric, level=level, draws=bootstrap, seed=seed, quiet=quiet)
    _agree_output.show(found, format)
