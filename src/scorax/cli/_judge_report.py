"""`report.html` of `scorax judge`: what was found, how to read it, what speaks against it, and how it was made."""

from collections.abc import Sequence
from pathlib import Path

from scorax import __version__
from scorax.cli._html import bullets, figure, heading, page, paragraph, table
from scorax.cli._judge_assumptions import Method
from scorax.cli._judge_tables import Report, candidate_cells, family_cells, judge_cells, stratum_cells
from scorax.cli._judging import Scored, sizes
from scorax.inference import Posterior

_TRUSTED = "No check of the draws found fault with them: chains agree, and draws are enough."
_MODE = "The search ended at a mode. Its intervals are from a normal approximation, which no check covers."


def page_of(report: Report, scored: Scored, *, file: str, doubts: Sequence[str], figures: Path) -> str:
    """The whole page.

    Args:
        report: What was found.
        scored: Where it comes from.
        file: What was read.
        doubts: What is to be said against it.
        figures: Where figures lie; those that are there are taken in.
    """
    parts = [
        paragraph(f"{sizes(scored.ratings)}, read from {'standard input' if file == '-' else file}.", quiet=True),
        paragraph(_answer(report)),
        heading("Can it be believed?"),
        bullets(doubts) if doubts else paragraph(_MODE if scored.settings.method == Method.MAP else _TRUSTED),
        heading("Candidates"),
        table(*candidate_cells(report)),
        *_picture(figures, "leaderboard.png", "Scores with intervals, best on top; blue: may be the best."),
        *_strata(report),
        heading("Judges"),
        table(*judge_cells(report), left=(0,)),
        *_picture(figures, "simplex.png", "What each judge makes of the levels, and where it sees the candidates."),
        *_families(report),
        *_sensitivity(scored, figures),
        heading("How to read this"),
        bullets(_how_to_read(report)),
        heading("Settings"),
        table(["setting", "value"], [list(row) for row in _settings(scored, file)], left=(0, 1)),
        paragraph(f"Made by scorax {__version__}.", quiet=True),
    ]
    return page("Candidates and judges", parts)


def _answer(report: Report) -> str:
    best = report.board[0]
    score = f"with a score of {best.rating:.2f} ({best.lower:.2f} to {best.upper:.2f})"
    if len(report.board) == 1:
        return f"{best.item} is the only candidate, {score}."
    likeliest = max(report.board, key=lambda row: row.p_best)
    said = (
        f"{best.item} comes first, {score}. It is the best of {len(report.board)} with probability {best.p_best:.2f}."
    )
    if likeliest.item != best.item:
        said += f" The likeliest to be best is {likeliest.item}, with probability {likeliest.p_best:.2f}."
    return said


def _how_to_read(report: Report) -> list[str]:
    percent = f"{100 * report.board.level:g}%"
    return [
        "A score is the mean true level of a candidate's work. True levels are not seen; they are inferred from labels "
        "by judges who err, each in a way of its own.",
        f"An interval holds the truth with probability {percent}, if what is assumed of the judges holds. Where two "
        "intervals overlap, look at the ranks before you say who is better.",
        "P(best) is the probability that a candidate is better than all others.",
        "The accuracy of a judge is how often it gives the true level, on the mix of levels in these data. It is as "
        "much inferred as the scores are.",
        "Judges who err alike look right: no label says that all of them are wrong together. A few gold labels do.",
    ]


def _strata(report: Report) -> list[str]:
    if report.strata is None:
        return []
    said = "The score of a candidate is the mean over strata, each as large as its share of all items."
    return [heading("Candidates by stratum"), paragraph(said), table(*stratum_cells(report), left=(0, 1))]


def _families(report: Report) -> list[str]:
    if report.families is None:
        return []
    said = (
        "Lenience is how much higher a judge's labels are on work of its own family than it would give for the same "
        "work by others: a difference of scores. Scores of candidates are corrected for it."
    )
    return [heading("Judges and their own families"), paragraph(said), table(*family_cells(report), left=(0, 1))]


def _sensitivity(scored: Scored, figures: Path) -> list[str]:
    found = scored.sensitivity
    if found is None:
        return []
    headings, body = found.cells(tuple(scored.ratings.names.candidates))
    said = (
        "Each row changes one assumption. tau is 1 where the order stays; pairs turned are those that change places. "
        "A larger elpd predicts labels better; differences of a few units are noise. Where R-hat is well above 1.01, "
        "draws are too few to say. What survives every row that you find credible is what the labels support."
    )
    return [
        heading("Under other assumptions"),
        paragraph(said),
        table(headings, body, left=(0, 1)),
        *_picture(figures, "sensitivity.png", "Ranks under every set of assumptions."),
    ]


def _picture(folder: Path, name: str, caption: str) -> list[str]:
    return [figure(folder / name, caption)] if (folder / name).exists() else []


def _settings(scored: Scored, file: str) -> list[tuple[str, str]]:
    settings, names = scored.settings, scored.ratings.names
    sampling = settings.sampling
    rows = [("file", file), ("levels, from lowest to highest", ", ".join(names.levels)), ("method", sampling.method)]
    if settings.method == Method.MAP:
        # Its prior is one of its own, with a mode, that no option changes.
        rows.append(("priors", "Dirichlet, worth at least half a label for every possible error"))
    else:
        rows += [*settings.assumptions.words(), ("prevalence of levels", scored.prevalence)]
        if isinstance(scored.result, Posterior):
            result = scored.result
            chains = f"{result.num_chains} of {result.num_draws} draws, after {sampling.warmup} steps of warm-up"
            rows += [("chains", chains), ("seed", str(sampling.seed))]
    if scored.ratings.strata is not None:
        strata = scored.ratings.strata
        shares = ", ".join(f"{name} {share:.0%}" for name, share in zip(strata.names, strata.share, strict=True))
        rows.append(("strata", shares))
    if scored.ratings.own_family is not None:
        rows.append(("own family", ", ".join(_pairs(scored))))
    rows.append(("level of intervals", f"{100 * settings.level:g}%"))
    return rows


def _pairs(scored: Scored) -> list[str]:
    names, own = scored.ratings.names, scored.ratings.own_family
    assert own is not None
    return [f"{names.judges[int(j)]} and {names.candidates[int(k)]}" for k, j in zip(*own.nonzero(), strict=True)]
