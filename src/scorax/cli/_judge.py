"""`scorax judge`: from judges' labels to candidates' scores and judges' accuracy."""

from enum import StrEnum
from typing import Annotated

import typer

from scorax.cli import _options as options
from scorax.cli._options import choice, column
from scorax.cli._sampling import sampling


class Method(StrEnum):
    """How scores are inferred."""

    MAP = "map"
    NUTS = "nuts"


class Monotone(StrEnum):
    """What is assumed of a judge's errors."""

    NONE = "none"
    LOWEST = "lowest"
    STOCHASTIC = "stochastic"


class Constancy(StrEnum):
    """Whether a judge errs alike for every candidate."""

    STRONG = "strong"
    RANDOM = "random"


def judge(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="CSV, TSV, JSONL or Parquet: one label by one judge of one item a row. - reads CSV or JSONL from "
            "standard input.",
            show_default=False,
        ),
    ],
    method: Annotated[
        Method | None,
        choice(
            "nuts: a posterior by Markov chains (--kernel says which). map: the mode, under priors worth at least half "
            "a label for every possible error; quick and rough, and with --monotone none only.",
            "METHOD",
            "nuts",
        ),
    ] = None,
    monotone: Annotated[
        Monotone,
        choice(
            "What orders the levels. lowest: the better the work, the rarer the lowest label. stochastic: the better "
            "the work, the higher the labels. none: only that judges are expected to be right more often than wrong.",
            "RULE",
        ),
    ] = Monotone.NONE,
    constancy: Annotated[
        Constancy,
        choice(
            "Whether a judge errs alike for every candidate. strong: it does. random: its log-odds vary from candidate "
            "to candidate, with standard deviation --candidate-sd. Intervals are wider, and honest where it is so.",
            "RULE",
        ),
    ] = Constancy.STRONG,
    candidate_sd: Annotated[
        float | None,
        choice("How far log-odds vary under --constancy random; labels alone say little of it.", "SD", "0.25"),
    ] = None,
    sensitivity: Annotated[
        bool,
        typer.Option(
            "--sensitivity",
            help="Also draw posteriors under other assumptions, one changed at a time, and print what each does to the "
            "ranking. Takes seven times as long.",
            show_default=False,
            rich_help_panel=options.MODEL,
        ),
    ] = False,
    levels: Annotated[
        str | None,
        choice("All levels from lowest to highest, as in 1,2,3.", "LIST", "the labels found, sorted"),
    ] = None,
    item_column: Annotated[str | None, column("What was judged.", "item")] = None,
    judge_column: Annotated[str | None, column("Who judged it.", "judge or rater")] = None,
    label_column: Annotated[str | None, column("The label given.", "label or rating")] = None,
    candidate_column: Annotated[str | None, column("Whose work the item is.", "candidate or model, if there")] = None,
    gold_column: Annotated[str | None, column("The true label, empty where unknown.", "gold, if there")] = None,
    kernel: options.Chosen = None,
    draws: options.Draws = None,
    warmup: options.Warmup = 500,
    chains: options.Chains = 4,
    seed: options.Seed = 0,
    target_ess: options.TargetEss = None,
    time_limit: options.TimeLimit = None,
    resume: options.Resume = None,
    devices: options.Devices = None,
    level: options.Level = 0.95,
    format: options.Output = options.Format.TABLE,
    out: options.Out = None,
    plot: options.Plot = None,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> int:
    """Score candidates by judges who err, and judges by how often they are right.

    True levels are latent: a judge confuses them in a way of its own, the same for every candidate. Prints each
    candidate's expected score with interval, interval of the rank and probability of being the best, then each judge's
    accuracy. With --out DIR also writes leaderboard.json, leaderboard.csv, judges.csv, a figure (leaderboard.png; with
    three levels simplex.png, too) and, from nuts, posterior.npz. CSV on standard output holds the
    candidates only.

    \b
    [bold]Examples[/bold]
      scorax judge ratings.csv        columns item, judge, label; candidate, gold
      scorax judge ratings.csv --monotone stochastic --out results
      scorax judge ratings.csv --constancy random --sensitivity --out results
      scorax judge grades.csv --label-column grade --levels fail,pass,good
      scorax judge ratings.jsonl --format json | jq '.judges'
      scorax judge ratings.csv --target-ess 1000 --time-limit 2h --resume run.npz
    """
    options.check_level(level)
    draw = options.plot_wanted(plot, out)
    asked = sampling(
        method,
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
        "item": item_column,
        "judge": judge_column,
        "label": label_column,
        "candidate": candidate_column,
        "gold": gold_column,
    }
    with computing(quiet=quiet, devices=asked.devices), staged(out) as folder:
        from scorax.cli import _judging

        spread = _spread(constancy, candidate_sd)
        settings = _judging.Settings(method or Method.NUTS, monotone, spread, sensitivity, level, asked)
        ratings = _judging.load(file, levels, columns)
        scored = _judging.infer(ratings, settings)
        report = _judging.report_of(scored, level=level)
        status = verdict(scored.result, scored.ended, quiet=quiet)
        written = _judging.write(folder, report, scored, draw=draw) if folder is not None else []
    _judging.show(report, scored, format)
    if out is not None:
        note(f"wrote {', '.join(written)} to {out}", quiet=quiet)
    return status


def _spread(constancy: Constancy, candidate_sd: float | None) -> float:
    """Standard deviation of log-odds between candidates."""
    if constancy == Constancy.STRONG:
        if candidate_sd is not None:
            raise ValueError("--candidate-sd is for --constancy random: add that, or drop it")
        return 0.0
    spread = 0.25 if candidate_sd is None else candidate_sd
    if not 0 < spread < float("inf"):
        raise ValueError(f"--candidate-sd must be above 0, not {spread}")
    return spread
