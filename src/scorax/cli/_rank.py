"""`scorax rank`: from a file of comparisons or rankings to a leaderboard."""

from enum import StrEnum
from typing import Annotated

import typer

from scorax.cli import _options as options
from scorax.cli._options import MODEL, choice, column
from scorax.cli._sampling import sampling


class Model(StrEnum):
    """What is fitted: three models of comparisons, two of rankings."""

    BRADLEY_TERRY = "bradley-terry"
    THURSTONE = "thurstone"
    GRADED = "graded"
    PLACKETT_LUCE = "plackett-luce"
    DAVIDSON_LUCE = "davidson-luce"


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
    GLENN_DAVID = "glenn-david"


class Scale(StrEnum):
    """The unit of ratings."""

    ELO = "elo"
    LOG = "log"


class OnDisconnected(StrEnum):
    """What to do where there is no finite maximum of the likelihood."""

    RAISE = "raise"
    GHOST = "ghost"
    FIRTH = "firth"
    LARGEST_COMPONENT = "largest-component"


def rank(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="CSV, TSV, JSONL or Parquet: a comparison a row, an item of a ranking a row, or with --scores a "
            "sample a row; or a PrefLib file of orders (.soc, .soi, .toc, .toi). - reads CSV or JSONL from standard "
            "input.",
            show_default=False,
        ),
    ],
    model: Annotated[
        Model | None,
        choice(
            "Of comparisons: bradley-terry, with logistic noise; thurstone, with normal noise; graded, where outcomes "
            "are three or more levels evenly from 0 (b much better) to 1 (a much better). Of rankings: plackett-luce, "
            "without ties; davidson-luce, with ties.",
            "MODEL",
            "bradley-terry, or for rankings plackett-luce or davidson-luce",
        ),
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
            "davidson or rao-kupper, and for thurstone glenn-david, give ties a probability of their own; half makes "
            "a tie half a win for each side, and errors too large.",
            "RULE",
            "half without ties, else davidson or glenn-david",
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
            "wins and loses half a comparison more, spread over all others. firth: Firth's penalty, which takes out "
            "the bias of first order; for bradley-terry with --ties half, where all are linked. largest-component: "
            "rank only the largest group that has finite ratings.",
            "POLICY",
        ),
    ] = OnDisconnected.RAISE,
    features: Annotated[
        str | None,
        choice(
            "Features of comparisons, such as length,lists: of each, columns length_a and length_b hold what the two "
            "sides have, and their difference is used, over its root mean square; or one column that changes sign "
            "when the sides are swapped. Their worth is said on standard error and written to effects.json.",
            "LIST",
            False,
        ),
    ] = None,
    bootstrap: Annotated[
        int | None,
        typer.Option(
            min=2,
            metavar="N",
            help="Intervals from N refits to redrawn rows, or with --cluster to redrawn clusters. Asks for --method "
            "mle.",
            show_default=False,
            rich_help_panel=MODEL,
        ),
    ] = None,
    influence: Annotated[
        bool,
        typer.Option(
            "--influence",
            help="Also find the fewest votes that change the leader, and the votes that hold it up most; written to "
            "influence.json, too. Of mle and map; asks for --method mle.",
            rich_help_panel=MODEL,
        ),
    ] = False,
    scores: Annotated[
        bool,
        typer.Option(
            "--scores",
            help="FILE is a matrix of scores: a row a sample, a column a system; an empty cell is a missing score. "
            "Every two systems are compared on every sample, whose comparisons are one cluster.",
            rich_help_panel=MODEL,
        ),
    ] = False,
    lower_is_better: Annotated[
        bool,
        typer.Option("--lower-is-better", help="Of --scores: they are losses or error rates.", rich_help_panel=MODEL),
    ] = False,
    unlisted: options.Leaving = None,
    item_a_column: options.ItemA = None,
    item_b_column: options.ItemB = None,
    outcome_column: options.Outcome = None,
    outcome_value: options.OutcomeValue = None,
    weight_column: options.Weight = None,
    order_column: Annotated[
        str | None,
        column(
            "1 where a came first or played at home, -1 where b did, 0 for neither: what that is worth is estimated, "
            "and reported as features are.",
            False,
        ),
    ] = None,
    cluster: Annotated[
        str | None,
        column(
            "The judge, voter, prompt or document of the row: rows of one are not independent, so errors are those of "
            "a clustered sandwich, or with --bootstrap of redrawn clusters. Of mle and map; asks for --method mle.",
            False,
            "--cluster",
            "--judge-column",
        ),
    ] = None,
    ranking_column: options.Ranking = None,
    item_column: options.Item = None,
    rank_column: options.Rank = None,
    sample_column: Annotated[
        str | None,
        column("Of --scores: names the sample, and is no system.", "id, sample, question or task, if there is one"),
    ] = None,
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
            help="elo: 1000 on average, 400 points for odds of 10 to 1. log: strengths, 0 on average: natural-log "
            "worth, or for thurstone standard deviations of the noise.",
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
    mle, posterior.npz; effects.json of --features and --order-column, influence.json of --influence.

    \b
    [bold]Examples[/bold]
      scorax rank battles.csv                  columns model_a, model_b, winner
      scorax rank battles.csv --out results    files and a figure, too
      scorax rank games.csv --item-a-column home --item-b-column away
      scorax rank orders.csv                   columns ranking, item, rank
      scorax rank election.toc                 a PrefLib file
      scorax rank scores.csv --scores --method mle
      scorax rank battles.csv --features length --cluster judge --bootstrap 1000
      scorax rank battles.csv --influence      how few votes hold up the leader?
      scorax rank battles.csv --method mle --format json | jq '.[0]'
      scorax rank battles.csv --target-ess 1000 --time-limit 2h --resume run.npz
      zcat battles.csv.gz | scorax rank - --quiet
    """
    options.check_level(level)
    draw = options.plot_wanted(plot, out)
    chosen, precision, asked_by = _settle(
        method, prior_precision, {"--bootstrap": bootstrap, "--cluster": cluster, "--influence": influence or None}
    )
    if lower_is_better and not scores:
        raise ValueError("--lower-is-better says how to read --scores: add that, or drop it")
    asked = sampling(
        None if method is None and chosen == Method.NUTS else chosen,
        asked_by=asked_by,
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
        "order": order_column,
        "cluster": cluster,
        "ranking": ranking_column,
        "item": item_column,
        "rank": rank_column,
        "sample": sample_column,
    }
    with computing(quiet=quiet, devices=asked.devices), staged(out) as folder:
        from scorax.cli import _influence, _ranking, _votes

        settings = _ranking.Settings(chosen, model, ties, precision, on_disconnected, bootstrap, influence, asked)
        votes = _votes.load(
            _votes.Source(file, columns, outcome_value or [], _listed(features), lower_is_better, unlisted),
            "scores" if scores else _ranking.kind_of(model),
        )
        ranked = _ranking.infer(votes, settings)
        board = _ranking.leaderboard_of(ranked, scale=scale, level=level)
        effects = _ranking.effects_of(ranked, level=level, quiet=quiet)
        found = _influence.influence_of(ranked.fit, ranked.votes) if influence and ranked.fit is not None else None
        status = verdict(ranked.result, ranked.ended, names=ranked.votes.items, quiet=quiet)
        reports = _ranking.Reports(board, effects, found)
        written = _ranking.write(folder, reports, ranked.result, draw=draw) if folder is not None else []
    _ranking.show(reports, format, quiet=quiet)
    if out is not None:
        note(f"wrote {', '.join(written)} to {out}", quiet=quiet)
    return status


def _listed(names: str | None) -> tuple[str, ...]:
    """The names in a list with commas."""
    return () if names is None else tuple(name.strip() for name in names.split(",") if name.strip())


def _settle(
    method: Method | None, prior_precision: float | None, asking: dict[str, object]
) -> tuple[Method, float, str | None]:
    """The method, the precision of the prior of `map`, and what asked for the method where `--method` did not.

    Only `map` has a precision, and giving it asks for `map`; `asking`, options of `mle` and `map`, ask for `mle`.
    """
    given = [name for name, value in asking.items() if value is not None]
    chosen, asked_by = method, None
    if prior_precision is not None:
        chosen = _map_of(method, prior_precision)
        asked_by = None if method == chosen else "the map that --prior-precision asks for"
    elif method is None and given:
        chosen, asked_by = Method.MLE, f"the mle that {given[0]} asks for"
    if given and chosen not in (Method.MLE, Method.MAP):
        raise ValueError(f"{given[0]} belongs to --method mle or map, not {chosen}. Drop one.")
    if "--bootstrap" in given and chosen != Method.MLE:
        raise ValueError(f"--bootstrap belongs to --method mle, not {chosen}. Drop one.")
    return chosen or Method.NUTS, 1.0 if prior_precision is None else prior_precision, asked_by


def _map_of(method: Method | None, prior_precision: float) -> Method:
    """`map`, if the method leaves room for it and the precision is one."""
    if not 0 < prior_precision < float("inf"):
        raise ValueError(f"--prior-precision must be a positive number, not {prior_precision:g}")
    if method not in (None, Method.MLE, Method.MAP):
        raise ValueError(
            f"--prior-precision belongs to --method map: {method} infers the scale from the data. Drop one."
        )
    return Method.MAP
