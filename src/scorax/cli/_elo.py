"""`scorax elo`: from matches in their order to ratings that follow it."""

from enum import StrEnum
from typing import Annotated

import typer

from scorax.cli import _options as options
from scorax.cli._options import MODEL, choice, column


class System(StrEnum):
    """How a match changes ratings."""

    ELO = "elo"
    GLICKO = "glicko"
    GLICKO2 = "glicko2"
    TRUESKILL = "trueskill"
    WENG_LIN = "weng-lin"


_K = 4.0


def elo(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="CSV, TSV, JSONL or Parquet: a match a row, the first one first. - reads CSV or JSONL from standard "
            "input.",
            show_default=False,
        ),
    ],
    system: Annotated[
        System,
        choice(
            "elo: points pass from loser to winner. glicko, glicko2: with a deviation, which shrinks with matches and "
            "grows with time; the matches of a period count at once. trueskill, weng-lin: Gaussian skills, 25 with a "
            "deviation of 8.3 for newcomers.",
            "SYSTEM",
        ),
    ] = System.ELO,
    k: Annotated[
        float | None,
        typer.Option(
            "--k",
            metavar="X",
            help="Of elo: points at stake in a match, twice what equals exchange. 16 or 32 in chess.",
            show_default="4",
            rich_help_panel=MODEL,
        ),
    ] = None,
    permutations: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Of elo: the mean over N random orders of the matches, and the interval that holds --level of them: "
            "how much of a rating is order. It says nothing about sampling errors, as scorax rank does.",
            show_default=False,
            rich_help_panel=MODEL,
        ),
    ] = None,
    item_a_column: options.ItemA = None,
    item_b_column: options.ItemB = None,
    outcome_column: options.Outcome = None,
    outcome_value: options.OutcomeValue = None,
    weight_column: options.Weight = None,
    time_column: Annotated[
        str | None,
        column(
            "Numbers that say when. Of glicko and glicko2 the number of the period, without it all is one period; of "
            "others what orders the matches.",
            "the order of rows",
        ),
    ] = None,
    seed: options.Seed = 0,
    level: options.Level = 0.95,
    format: options.Output = options.Format.TABLE,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Rate items match by match, as chess and games do.

    Prints a table: rating, its deviation where the system has one, its interval over orders where --permutations asks
    for it, and the number of matches. Such ratings follow who gets better; where nobody does, scorax rank uses the
    votes better.

    \b
    [bold]Examples[/bold]
      scorax elo games.csv --k 32              columns model_a, model_b, winner
      scorax elo battles.csv --permutations 1000
      scorax elo games.csv --system glicko2 --time-column month
      scorax elo games.csv --system trueskill --format json
    """
    options.check_level(level)
    if system != System.ELO:
        given = [name for name, value in (("--k", k), ("--permutations", permutations)) if value is not None]
        if given:
            raise ValueError(f"{given[0]} belongs to --system elo, not {system}. Drop one.")
    if k is not None and not 0 < k < float("inf"):
        raise ValueError(f"--k must be a positive number, not {k:g}")
    if permutations is not None and time_column is not None:
        raise ValueError("--permutations forgets the order that --time-column gives. Drop one.")
    from scorax.cli._session import computing

    columns = {
        "item_a": item_a_column,
        "item_b": item_b_column,
        "outcome": outcome_column,
        "weight": weight_column,
        "time": time_column,
    }
    with computing(quiet=quiet):
        from scorax.cli import _rating, _votes

        votes = _votes.load(_votes.Source(file, columns, outcome_value or []), "comparisons")
        wanted = _rating.Wanted(system, _K if k is None else k, permutations, seed, level, quiet)
        rows = _rating.rate(votes, wanted)
    _rating.show(rows, format, level)
