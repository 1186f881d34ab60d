"""`scorax aggregate`: one order from many rankings, without a model of who ranks how."""

from enum import StrEnum
from typing import Annotated

import typer

from scorax.cli import _options as options
from scorax.cli._options import MODEL, choice


class Rule(StrEnum):
    """How many orders become one."""

    BORDA = "borda"
    KEMENY = "kemeny"
    COPELAND = "copeland"
    SCHULZE = "schulze"
    RANKED_PAIRS = "ranked-pairs"
    MINIMAX = "minimax"
    MEAN_RANK = "mean-rank"
    DOWDALL = "dowdall"
    PLURALITY = "plurality"
    VETO = "veto"
    COUNTING = "counting"
    AVERAGE_WIN_RATE = "average-win-rate"
    EIGENVECTOR = "eigenvector"
    MC4 = "mc4"
    PAGERANK = "pagerank"


def aggregate(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="CSV, TSV, JSONL or Parquet: an item of a ranking a row, a comparison a row, or with --ranks a "
            "ranking a row; or a PrefLib file of orders (.soc, .soi, .toc, .toi). - reads CSV or JSONL from standard "
            "input.",
            show_default=False,
        ),
    ],
    method: Annotated[
        Rule | None,
        choice(
            "Of ranks: borda, mean-rank, dowdall, plurality, veto. Of pairs, which rankings become, too: copeland, "
            "schulze, ranked-pairs and minimax elect whom majorities prefer; kemeny finds the order that contradicts "
            "the fewest votes, and says whether for sure; counting, average-win-rate, eigenvector, mc4, pagerank.",
            "RULE",
            "borda; of comparisons counting, which is Borda's on pairs",
        ),
    ] = None,
    ranks: Annotated[
        bool,
        typer.Option(
            "--ranks",
            help="FILE is a matrix of ranks: a row a ranking, a column an item; 1 is best, equal ranks are ties, an "
            "empty cell or 0 is unranked.",
            rich_help_panel=MODEL,
        ),
    ] = False,
    unlisted: options.Leaving = None,
    ranking_column: options.Ranking = None,
    item_column: options.Item = None,
    rank_column: options.Rank = None,
    item_a_column: options.ItemA = None,
    item_b_column: options.ItemB = None,
    outcome_column: options.Outcome = None,
    outcome_value: options.OutcomeValue = None,
    weight_column: options.Weight = None,
    format: options.Output = options.Format.TABLE,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Make one order of many rankings or comparisons by a rule of voting.

    Prints a table: the order, and the score of each item under the rule (the larger, the better; kemeny scores none).
    Items of equal scores share a rank. No rule says how sure its order is: scorax rank does.

    \b
    [bold]Examples[/bold]
      scorax aggregate orders.csv              columns ranking, item, rank
      scorax aggregate orders.csv --method kemeny
      scorax aggregate ranks.csv --ranks --method schulze
      scorax aggregate election.soi --unlisted last
      scorax aggregate battles.csv --method ranked-pairs --format json
    """
    from scorax.cli._session import computing

    columns = {
        "ranking": ranking_column,
        "item": item_column,
        "rank": rank_column,
        "item_a": item_a_column,
        "item_b": item_b_column,
        "outcome": outcome_column,
        "weight": weight_column,
    }
    with computing(quiet=quiet):
        from scorax.cli import _aggregating, _votes

        source = _votes.Source(file, columns, outcome_value or [], unlisted=unlisted)
        votes = _votes.load(source, "ranks" if ranks else None)
        found = _aggregating.order_of(votes, method, quiet=quiet)
    _aggregating.show(found, format)
