"""`scorax debias`: what judges' means are worth, given a few gold labels."""

from typing import Annotated

import typer

from scorax.cli import _options as options
from scorax.cli._options import choice, column


def debias(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="CSV, TSV, JSONL or Parquet: one label by one judge of one item a row, with the true label where it "
            "is known. - reads CSV or JSONL from standard input.",
            show_default=False,
        ),
    ],
    levels: Annotated[
        str | None,
        choice(
            "All levels from lowest to highest, where labels are words, as in fail,pass. They count 1, 2, ...; two of "
            "them 0 and 1, so that means are shares.",
            "LIST",
            "labels are numbers",
        ),
    ] = None,
    power: Annotated[
        float | None,
        choice(
            "How much PPI trusts the judge, from 0 (not at all) to 1 (as the first version of the method did).",
            "X",
            "tuned for the least variance",
        ),
    ] = None,
    item_column: options.JudgedItem = None,
    label_column: options.Label = None,
    gold_column: Annotated[str | None, column("The true label, empty where unknown.", "gold")] = None,
    candidate_column: options.Candidate = None,
    judge_column: Annotated[
        str | None, column("Who judged it; each judge is corrected by itself.", "judge or rater, if there")
    ] = None,
    level: options.Level = 0.95,
    format: options.Output = options.Format.TABLE,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Correct a judge's means with a few gold labels.

    Items with a gold label must be a random sample of each candidate's items. Prints for every candidate: judge, the
    mean of the judge's labels, whose interval knows nothing of its errors; human, the mean of the gold labels alone;
    ppi, prediction-powered inference, the judge's mean corrected by its mean error, right for any judge; and
    where labels are of two kinds rogan-gladen, the share corrected by how often the judge errs on either kind. Then
    differences between candidates by human and ppi, in pairs where both have the same items. CSV on standard output
    holds the candidates only.

    \b
    [bold]Examples[/bold]
      scorax debias verdicts.csv        columns item, label, gold; candidate, judge
      scorax debias grades.csv --label-column grade --levels fail,pass
      scorax debias scores.jsonl --format json | jq '.contrasts'
      scorax debias verdicts.csv --power 1 --level 0.9
    """
    options.check_level(level)
    if power is not None and not 0 <= power <= 1:
        raise ValueError(f"--power must lie between 0 and 1, not {power:g}")
    from scorax.cli._session import computing

    columns = {
        "item": item_column,
        "label": label_column,
        "gold": gold_column,
        "candidate": candidate_column,
        "judge": judge_column,
    }
    with computing(quiet=quiet):
        from scorax.cli import _debias_output, _debiasing, _gold_labels

        labels = _gold_labels.load(file, levels, columns)
        report = _debiasing.report_of(labels, power=power, level=level, quiet=quiet)
    _debias_output.show(report, format)
