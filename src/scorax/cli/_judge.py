"""`scorax judge`: from judges' labels to candidates' scores and judges' accuracy."""

from typing import Annotated

import typer

from scorax.cli import _options as options
from scorax.cli._judge_assumptions import Assumptions, Constancy, Judges, Method, Monotone, checked
from scorax.cli._options import choice, column
from scorax.cli._sampling import sampling


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
            "the work, the higher the labels. proportional: so, and by cuts between labels and one place for each "
            "level, which is few numbers a judge. diagonal: no wrong label is as frequent as the right one. none: only "
            "that judges are expected to be right more often than wrong.",
            "RULE",
        ),
    ] = Monotone.NONE,
    judges: Annotated[
        Judges,
        choice(
            "Whether one judge says something about another. independent: nothing. hierarchical: they scatter about a "
            "common judge, so that one with few labels borrows from the others; with --monotone none only.",
            "RULE",
        ),
    ] = Judges.INDEPENDENT,
    item_effects: Annotated[
        bool,
        typer.Option(
            "--item-effects",
            help="Judges may err together: an item may earn leniency, or none, from all of them. Without it their "
            "errors are independent given the true level, and what they have in common passes for truth.",
            show_default=False,
            rich_help_panel=options.MODEL,
        ),
    ] = False,
    constancy: Annotated[
        Constancy,
        choice(
            "Whether a judge errs alike for every candidate. strong: it does. random: its log-odds vary from candidate "
            "to candidate, with standard deviation --candidate-sd. Intervals are wider, and honest where it is so. "
            "strata: they vary between the strata of --stratum-column, and scores are means over these. own-family: "
            "a judge errs in another way on work of its --own-family; how far, the labels say, and so does a table.",
            "RULE",
        ),
    ] = Constancy.STRONG,
    candidate_sd: Annotated[
        float | None,
        choice(
            "How far log-odds vary from candidate to candidate; labels alone say little of it.",
            "SD",
            "0.25 under --constancy random, else 0",
        ),
    ] = None,
    own_family: Annotated[
        list[str] | None,
        typer.Option(
            help="A judge and a candidate of one family, as in gpt-4=gpt-4-mini. Repeat it for more pairs.",
            metavar="JUDGE=CANDIDATE",
            rich_help_panel=options.MODEL,
            show_default=False,
        ),
    ] = None,
    sensitivity: Annotated[
        bool,
        typer.Option(
            "--sensitivity",
            help="Also draw posteriors under other assumptions, one changed at a time, and print what each does to the "
            "ranking. Takes about a dozen times as long.",
            show_default=False,
            rich_help_panel=options.MODEL,
        ),
    ] = False,
    levels: options.Levels = None,
    item_column: options.JudgedItem = None,
    judge_column: options.Judge = None,
    label_column: options.Label = None,
    candidate_column: options.Candidate = None,
    gold_column: options.Gold = None,
    stratum_column: Annotated[
        str | None, column("Of --constancy strata: which kind of item it is, such as a topic.", False)
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
    level: options.Level = 0.95,
    format: options.Output = options.Format.TABLE,
    out: options.Out = None,
    plot: options.Plot = None,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> int:
    """Score candidates by judges who err, and judges by how often they are right.

    True levels are latent: a judge confuses them in a way of its own, the same for every candidate unless --constancy
    says otherwise. Prints each candidate's expected score with interval, interval of the rank and probability of being
    the best, then each judge's accuracy. With --out DIR also writes report.html (one page with everything, to read and
    to pass on), leaderboard.json, leaderboard.csv, judges.csv, with strata strata.csv, figures (leaderboard.png; with
    two or three levels simplex.png; with --sensitivity sensitivity.png) and, from nuts, posterior.npz. CSV on standard
    output holds the candidates only.

    \b
    [bold]Examples[/bold]
      scorax judge ratings.csv        columns item, judge, label; candidate, gold
      scorax judge ratings.csv --monotone stochastic --out results
      scorax judge ratings.csv --constancy random --sensitivity --out results
      scorax judge ratings.csv --constancy strata --stratum-column topic --out results
      scorax judge ratings.csv --constancy own-family --own-family gpt-4=gpt-4-mini
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
    assumed = checked(
        Assumptions(monotone, judges, constancy, item_effects=item_effects),
        method=method,
        candidate_sd=candidate_sd,
        stratum_column=stratum_column,
        own_family=own_family,
        sensitivity=sensitivity,
    )
    from scorax.cli._output import staged
    from scorax.cli._session import computing, doubts, note, status_of

    columns = {
        "item": item_column,
        "judge": judge_column,
        "label": label_column,
        "candidate": candidate_column,
        "gold": gold_column,
    }
    with computing(quiet=quiet, devices=asked.devices), staged(out) as folder:
        from scorax.cli import _judge_files, _judge_ratings, _judge_tables, _judging

        ratings = _judge_ratings.load(file, levels, columns, stratum_column=stratum_column, own_family=own_family)
        settings = _judging.Settings(method or Method.NUTS, assumed, sensitivity, level, asked)
        scored = _judging.infer(ratings, settings)
        report = _judge_tables.report_of(scored, level=level)
        doubtful = doubts(scored.result, scored.ended)
        if report.disorder is not None:
            doubtful.append(_judging.order_in_doubt(report.disorder))
        for doubt in doubtful:
            note(f"scorax: {doubt}", quiet=quiet)
        written = []
        if folder is not None:
            written = _judge_files.write(folder, file, report, scored, doubts=doubtful, draw=draw)
    _judge_tables.show(report, scored, format)
    if out is not None:
        note(f"wrote {', '.join(written)} to {out}", quiet=quiet)
    return status_of(scored.result, scored.ended)
