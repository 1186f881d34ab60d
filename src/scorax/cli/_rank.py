"""`scorax rank`: from a file of comparisons or rankings to a leaderboard."""

from enum import StrEnum
from typing import Annotated

import typer

from scorax.cli import _options as options
from scorax.cli._options import COLUMNS, choice, column
from scorax.cli._sampling import sampling


class Model(StrEnum):
    """What a file holds, and so what is fitted to it."""

    BRADLEY_TERRY = "bradley-terry"
    PLACKETT_LUCE = "plackett-luce"


class Method(StrEnum):
    """How strengths are inferred."""

    MLE = "mle"
    MAP = "map"
    LAPLACE = "laplace"
    PATHFINDER = "pathfinder"
    SVI = "svi"
    NUTS = "nuts"


class Ties(StrEnum):
    """What a tie is."""

    HALF = "half"
    DAVIDSON = "davidson"
    RAO_KUPPER = "rao-kupper"


class Scale(StrEnum):
    """The unit of ratings."""

    ELO = "elo"
    LOG = "log"


class OnDisconnected(StrEnum):
    """What to do where there is no finite maximum of the likelihood."""

    RAISE = "raise"
    GHOST = "ghost"
    LARGEST_COMPONENT = "largest-component"


def rank(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="CSV, TSV, JSONL or Parquet: a comparison a row, or an item of a ranking a row. - reads CSV or JSONL "
            "from standard input.",
            show_default=False,
        ),
    ],
    model: Annotated[
        Model | None,
        choice("bradley-terry, for comparisons; plackett-luce, for rankings.", "MODEL", "what the columns say"),
    ] = None,
    method: Annotated[
        Method | None,
        choice(
            "nuts: a posterior under a hierarchical prior, by Markov chains (--kernel says which). laplace, pathfinder "
            "or svi: an approximation to it, quick, with a check of its fit. map: its mode, under a prior of fixed "
            "scale. mle: maximum likelihood, without a prior.",
            "METHOD",
            "nuts",
        ),
    ] = None,
    ties: Annotated[
        Ties | None,
        choice(
            "davidson or rao-kupper give ties a probability of their own; half makes a tie half a win for each side, "
            "and errors too large.",
            "RULE",
            "davidson if there are ties, else half",
        ),
    ] = None,
    prior_precision: Annotated[
        float | None,
        choice("Of map: inverse variance of strengths under the prior. With mle it makes a map.", "X", "1"),
    ] = None,
    on_disconnected: Annotated[
        OnDisconnected,
        choice(
            "Of mle, where an item won or lost everything, or groups never met. raise: an error. ghost: every item "
            "wins and loses half a comparison more, spread over all others. largest-component: rank only the largest "
            "group that has finite ratings.",
            "POLICY",
        ),
    ] = OnDisconnected.RAISE,
    item_a_column: Annotated[str | None, column("One item of the comparison.", "model_a")] = None,
    item_b_column: Annotated[str | None, column("The other item.", "model_b")] = None,
    outcome_column: Annotated[
        str | None,
        column("model_a, model_b, tie, the winner's name, or a number from 0 (b wins) to 1 (a wins).", "winner"),
    ] = None,
    outcome_value: Annotated[
        list[str] | None,
        typer.Option(
            help="What another word in that column means, as in DRAW=0.5. Repeat it for more words.",
            metavar="WORD=X",
            rich_help_panel=COLUMNS,
            show_default=False,
        ),
    ] = None,
    weight_column: Annotated[str | None, column("How much the row counts.", "1 for every row")] = None,
    ranking_column: Annotated[str | None, column("Which ranking the row belongs to.", "ranking")] = None,
    item_column: Annotated[str | None, column("The item ranked.", "item")] = None,
    rank_column: Annotated[str | None, column("Its place, 1 is best.", "rank")] = None,
    kernel: options.Chosen = None,
    draws: options.Draws = None,
    warmup: options.Warmup = 500,
    chains: options.Chains = 4,
    seed: options.Seed = 0,
    target_ess: options.TargetEss = None,
    time_limit: options.TimeLimit = None,
    resume: options.Resume = None,
    devices: options.Devices = None,
    scale: Annotated[
        Scale,
        typer.Option(
            help="elo: 1000 on average, 400 points for odds of 10 to 1. log: natural-log worth, 0 on average.",
            metavar="UNIT",
            rich_help_panel=options.OUTPUT,
        ),
    ] = Scale.ELO,
    level: options.Level = 0.95,
    format: options.Output = options.Format.TABLE,
    out: options.Out = None,
    plot: options.Plot = None,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> int:
    """Rank items by comparisons or rankings, every number with its uncertainty.

    Prints a leaderboard: rating and interval, interval of the rank, probability of being the best, number of
    comparisons. With --out DIR also writes leaderboard.json, leaderboard.csv, leaderboard.png and, but for map and
    mle, posterior.npz.

    \b
    [bold]Examples[/bold]
      scorax rank battles.csv                  columns model_a, model_b, winner
      scorax rank battles.csv --out results    files and a figure, too
      scorax rank games.csv --item-a-column home --item-b-column away
      scorax rank orders.csv                   columns ranking, item, rank
      scorax rank battles.csv --method mle --format json | jq '.[0]'
      scorax rank battles.csv --target-ess 1000 --time-limit 2h --resume run.npz
      zcat battles.csv.gz | scorax rank - --quiet
    """
    options.check_level(level)
    draw = options.plot_wanted(plot, out)
    chosen, precision = _settle(method, prior_precision)
    asked = sampling(
        None if method is None and chosen == Method.NUTS else chosen,
        asked_by=None if method == chosen else "the map that --prior-precision asks for",
        kernel=kernel,
        draws=draws,
        warmup=warmup,
        chains=chains,
        seed=seed,
        target_ess=target_ess,
        time_limit=time_limit,
        resume=resume,
        devices=devices,
        out=out,
        quiet=quiet,
    )
    from scorax.cli._output import staged
    from scorax.cli._session import computing, note, verdict

    columns = {
        "item_a": item_a_column,
        "item_b": item_b_column,
        "outcome": outcome_column,
        "weight": weight_column,
        "ranking": ranking_column,
        "item": item_column,
        "rank": rank_column,
    }
    with computing(quiet=quiet, devices=asked.devices), staged(out) as folder:
        from scorax.cli import _ranking

        settings = _ranking.Settings(chosen, ties, precision, on_disconnected, asked)
        votes = _ranking.load(file, model, columns, outcome_value or [])
        ranked = _ranking.infer(votes, settings)
        board = _ranking.leaderboard_of(ranked, scale=scale, level=level)
        status = verdict(ranked.result, ranked.ended, names=ranked.votes.items, quiet=quiet)
        written = _ranking.write(folder, board, ranked.result, draw=draw) if folder is not None else []
    _ranking.show(board, format)
    if out is not None:
        note(f"wrote {', '.join(written)} to {out}", quiet=quiet)
    return status


def _settle(method: Method | None, prior_precision: float | None) -> tuple[Method, float]:
    """The method, and the precision of the prior of `map`, which only `map` has: giving it asks for `map`."""
    if prior_precision is None:
        return method or Method.NUTS, 1.0
    if not 0 < prior_precision < float("inf"):
        raise ValueError(f"--prior-precision must be a positive number, not {prior_precision:g}")
    if method not in (None, Method.MLE, Method.MAP):
        raise ValueError(
            f"--prior-precision belongs to --method map: {method} infers the scale from the data. Drop one."
        )
    return Method.MAP, prior_precision
