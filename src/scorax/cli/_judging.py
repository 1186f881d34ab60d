"""What `scorax judge` computes: labels from a file, candidates' scores and judges' accuracy from labels."""

import dataclasses
import functools
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import numpyro
from jaxtyping import Array, Float

from scorax.choice import Leaderboard, LeaderboardRow
from scorax.cli._chains import draw
from scorax.cli._judge import Method, Monotone
from scorax.cli._judge_sensitivity import SensitivityRow, rows_of, sensitivity_of
from scorax.cli._judge_sensitivity import show as show_sensitivity
from scorax.cli._options import Format
from scorax.cli._output import print_table, save_figure, to_csv
from scorax.cli._reading import read_file
from scorax.cli._sampling import Sampling
from scorax.cli._session import note
from scorax.data import Annotations, AnnotationVocabulary
from scorax.inference import Fit, Newton, Posterior, fit
from scorax.judges import ConstancyPrior, Sensitivity, SimplexJudge, SimplexPrior
from scorax.stats import rank_summary

# Draws from the normal approximation of a mode: enough for two digits of a probability.
_DRAWS_OF_A_MODE = 10_000
_MOST_TRIANGLES = 12
_LEAST_CONCENTRATION = 1.5
_ACCURACY = 0.6


class Settings(NamedTuple):
    """The choices of the command line."""

    method: Method
    monotone: Monotone
    candidate_sd: float
    """How far a judge's log-odds vary from candidate to candidate; 0 under strong constancy."""
    sensitivity: bool
    level: float
    sampling: Sampling


class Ratings(NamedTuple):
    """What was read."""

    data: Annotations
    names: AnnotationVocabulary


class Scored(NamedTuple):
    """What was inferred, from which ratings."""

    result: Fit[SimplexJudge] | Posterior[Any]
    ratings: Ratings
    ended: str = "done"
    sensitivity: Sensitivity | None = None


@dataclasses.dataclass(frozen=True)
class JudgeRow:
    """One judge."""

    judge: str
    accuracy: float
    """How often it gives the true level, on the mix of levels in these data."""
    std_error: float
    lower: float
    upper: float
    labels: float


class Report(NamedTuple):
    """All that is printed and written."""

    board: Leaderboard
    judges: tuple[JudgeRow, ...]
    sensitivity: tuple[SensitivityRow, ...] | None


class Uncertain(NamedTuple):
    """Numbers with their uncertainty."""

    value: np.ndarray
    std_error: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    draws: np.ndarray


class ScoresAndAccuracies(eqx.Module):
    """Expected scores of all candidates, then accuracies of all judges."""

    share: Float[Array, " k"]
    """Of the items, by candidate."""

    def __call__(self, model: Any) -> Float[Array, " q"]:
        """All of them, end to end."""
        share = self.share.astype(model.prevalence.dtype)
        right = jnp.diagonal(model.confusion, axis1=-2, axis2=-1)
        by_candidate = jnp.broadcast_to(right, (share.size, *right.shape[-2:]))
        accuracy = jnp.einsum("k,km,kjm->j", share, model.prevalence, by_candidate)
        return jnp.concatenate([model.expected_score(), accuracy])

    def bounds(self, model: Any) -> tuple[np.ndarray, np.ndarray]:
        """Least and largest value of each of them."""
        k, j = model.prevalence.shape[0], model.confusion.shape[-3]
        lowest, highest = model.values[0], model.values[-1]
        return np.repeat([lowest, 0.0], [k, j]), np.repeat([highest, 1.0], [k, j])


def load(file: str, levels: str | None, columns: Mapping[str, str | None]) -> Ratings:
    """Ratings from a file; `columns` are those that the user named."""
    named = {role: column for role, column in columns.items() if column is not None}
    listed = None if levels is None else [level.strip() for level in levels.split(",")]
    return Ratings(*Annotations.from_frame(read_file(file), levels=listed, **named))


def infer(ratings: Ratings, settings: Settings) -> Scored:
    """Prevalences and confusions by the chosen method, from the vote of the majority."""
    data, names = ratings
    k, j, m = len(names.candidates), len(names.judges), len(names.levels)
    model = SimplexJudge.from_majority_vote(data, k, j, m, values=names.values)
    with_mode = _prior_with_mode(model, settings) if settings.method == Method.MAP else None
    sizes = ((k, "candidate"), (len(names.items), "item"), (j, "judge"), (m, "level"))
    counted = ", ".join(f"{n:,} {word}{'s' * (n != 1)}" for n, word in sizes)
    note(f"{counted}: {settings.sampling.method}", quiet=settings.sampling.quiet)
    if with_mode is not None:
        # Parameters are few, and Newton's steps certify the mode where a quasi-Newton search stops short of it.
        return Scored(fit(model, data, prior=with_mode, solver=Newton()), ratings)
    judges = SimplexPrior(model, monotone=settings.monotone.value)
    drawn_model: Any = model
    prior: Any = judges
    if settings.candidate_sd > 0:
        drawn_model = model.per_candidate()
        prior = ConstancyPrior(drawn_model, judges=judges, candidate_sd=settings.candidate_sd)
    start = functools.partial(_start, model)
    posterior, ended = draw(drawn_model, data, settings.sampling, prior=prior, initial=start(prior))
    found = None
    if settings.sensitivity:
        found = sensitivity_of(
            model,
            data,
            monotone=settings.monotone.value,
            candidate_sd=settings.candidate_sd,
            start=start,
            sampling=settings.sampling,
            level=settings.level,
        )
    return Scored(posterior, ratings, ended, found)


def _start(model: SimplexJudge, prior: Any) -> dict[str, Array]:
    """What the majority says of those parameters that the prior draws: so chains agree which level is which."""
    drawn = numpyro.handlers.trace(numpyro.handlers.seed(prior, 0)).get_trace()
    common = {name: name.removeprefix("common.") for name in drawn}
    return {site: getattr(model, name) for site, name in common.items() if name in ("prevalence", "confusion")}


def _prior_with_mode(model: SimplexJudge, settings: Settings) -> SimplexPrior:
    """Dirichlet priors of 1.5 and more: with any number below 1 the density is unbounded where a probability is 0."""
    if settings.monotone != Monotone.NONE:
        raise ValueError(
            f"--monotone {settings.monotone} has no mode worth reporting: use --method nuts, or --monotone none"
        )
    if settings.candidate_sd > 0 or settings.sensitivity:
        raise ValueError("--constancy random and --sensitivity are for posteriors: use --method nuts")
    errors = model.n_levels - 1
    return SimplexPrior(
        model,
        strength=_LEAST_CONCENTRATION * errors / (1 - _ACCURACY),
        accuracy=_ACCURACY,
        reach=math.inf,
        prevalence="dirichlet",
        concentration=_LEAST_CONCENTRATION,
    )


def report_of(scored: Scored, *, level: float) -> Report:
    """Candidates from best to worst, judges from the most to the least accurate."""
    data, names = scored.ratings
    k = len(names.candidates)
    count = np.asarray(data.count, np.float64)
    candidate = np.asarray(data.candidate)
    share = np.bincount(candidate, count, k) / count.sum()
    both = _uncertain(scored.result, ScoresAndAccuracies(jnp.asarray(share)), level)
    scores, accuracies = (Uncertain(*(x[..., part] for x in both)) for part in (slice(k), slice(k, None)))
    given = count[:, None] * np.asarray(data.where)
    by_judge = np.bincount(np.asarray(data.judge).ravel(), given.ravel(), len(names.judges))
    board = _board(scores, tuple(names.candidates), np.bincount(candidate, given.sum(1), k), level)
    found = scored.sensitivity
    rows = None if found is None else tuple(rows_of(found, tuple(names.candidates)))
    return Report(board, _judge_rows(accuracies, tuple(names.judges), by_judge), rows)


def _board(scores: Uncertain, names: tuple[str, ...], labels: np.ndarray, level: float) -> Leaderboard:
    ranks = rank_summary(jnp.asarray(scores.draws), level=level)
    rows = tuple(
        LeaderboardRow(
            item=names[i],
            rating=float(scores.value[i]),
            # A score is no log-odds: this model has no such number.
            theta=math.nan,
            std_error=float(scores.std_error[i]),
            lower=float(scores.lower[i]),
            upper=float(scores.upper[i]),
            rank=place + 1,
            rank_lower=int(ranks.lower[i]),
            rank_upper=int(ranks.upper[i]),
            p_best=float(ranks.p_best[i]),
            comparisons=float(labels[i]),
        )
        for place, i in enumerate(np.argsort(-scores.value, kind="stable"))
    )
    return Leaderboard(rows, level, "score")


def _judge_rows(accuracies: Uncertain, names: tuple[str, ...], labels: np.ndarray) -> tuple[JudgeRow, ...]:
    columns = (accuracies.value, accuracies.std_error, accuracies.lower, accuracies.upper, labels)
    best_first = np.argsort(-accuracies.value, kind="stable")
    return tuple(JudgeRow(names[i], *(float(column[i]) for column in columns)) for i in best_first)


def _uncertain(result: Fit[SimplexJudge] | Posterior[Any], quantities: ScoresAndAccuracies, level: float) -> Uncertain:
    tail = (1 - level) / 2
    if isinstance(result, Fit):
        estimate = result.map(quantities)
        value, covariance = np.asarray(estimate.value), np.asarray(estimate.covariance)
        if not np.isfinite(covariance).all():
            raise ValueError(
                "the mode lies at the edge of what is possible (some level never occurs, or some judge never errs), "
                "where it has no intervals: use --method nuts"
            )
        # A fixed seed: the same labels give the same report.
        draws = np.random.default_rng(0).multivariate_normal(value, covariance, _DRAWS_OF_A_MODE, method="eigh")
        # The normal approximation reaches beyond what scores and accuracies can be.
        draws = np.clip(draws, *quantities.bounds(result.model))
    else:
        draws = np.asarray(result.map(quantities))
        draws = draws.reshape(-1, draws.shape[-1])
        value = draws.mean(0)
    lower, upper = np.quantile(draws, [tail, 1 - tail], axis=0)
    return Uncertain(value, draws.std(0, ddof=1), lower, upper, draws)


def to_json(report: Report) -> str:
    """An object with the rows of candidates and those of judges."""
    content = {
        "candidates": json.loads(report.board.to_json()),
        "judges": [dataclasses.asdict(row) for row in report.judges],
    }
    if report.sensitivity is not None:
        content["sensitivity"] = [dataclasses.asdict(row) for row in report.sensitivity]
    return json.dumps(content, indent=1, ensure_ascii=False)


def judges_csv(report: Report) -> str:
    """Judges as comma-separated text with a header line."""
    return to_csv([dataclasses.asdict(row) for row in report.judges])


def write(folder: Path, report: Report, scored: Scored, *, draw: bool) -> list[str]:
    """Write everything that was found into `folder`; returns the names of the files."""
    (folder / "leaderboard.json").write_text(to_json(report) + "\n", encoding="utf-8")
    (folder / "leaderboard.csv").write_text(report.board.to_csv(), encoding="utf-8")
    (folder / "judges.csv").write_text(judges_csv(report), encoding="utf-8")
    if draw:
        _draw(folder, report, scored)
    if isinstance(scored.result, Posterior):
        scored.result.save(folder / "posterior.npz")
    return sorted(path.name for path in folder.iterdir())


def _draw(folder: Path, report: Report, scored: Scored) -> None:
    from scorax.plot import plot_leaderboard, plot_sensitivity

    save_figure(plot_leaderboard(report.board), folder / "leaderboard.png")
    if scored.sensitivity is not None:
        ax = plot_sensitivity(scored.sensitivity, tuple(scored.ratings.names.candidates))
        save_figure(ax, folder / "sensitivity.png")
    if len(scored.ratings.names.levels) == 3:
        _simplexes(report, scored).savefig(folder / "simplex.png", dpi=100)


def _simplexes(report: Report, scored: Scored) -> Any:
    """A triangle for each judge, the most accurate ones first."""
    from matplotlib.figure import Figure

    from scorax.plot import plot_simplex

    names, result = scored.ratings.names, scored.result
    shown = [names.judges.index(row.judge) for row in report.judges[:_MOST_TRIANGLES]]
    columns = min(2, len(shown))
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(8.2 * columns, 6.2 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax in grid[len(shown) :]:
        ax.set_axis_off()
    many = isinstance(result, Posterior)
    # A fit is a single draw.
    confusion, seen = result.map(_confusion_and_seen) if many else _confusion_and_seen(result.model)
    draws = confusion.reshape(-1, *confusion.shape[-3:])
    observed = seen.reshape(-1, *seen.shape[-3:]).mean(0)
    for ax, j in zip(grid, shown, strict=False):
        plot_simplex(
            draws[:, j].mean(0),
            observed[j],
            draws=draws[:, j] if many else None,
            names=tuple(names.candidates),
            levels=tuple(names.levels),
            values=names.values,
            title=names.judges[j],
            ax=ax,
        )
    return figure


def _confusion_and_seen(model: Any) -> tuple[Float[Array, "j m m"], Float[Array, "j k m"]]:
    # Of a judge who varies, what it is like on average.
    confusion = model.confusion.mean(0) if model.confusion.ndim == 4 else model.confusion
    return confusion, model.observed_distribution()


def show(report: Report, scored: Scored, format: Format) -> None:
    """Print the report to standard output; as CSV, the candidates only."""
    found, names = scored.sensitivity, tuple(scored.ratings.names.candidates)
    if format == Format.JSON:
        print(to_json(report))
    elif format == Format.CSV:
        print(report.board.to_csv(), end="")
    else:
        headings, body = report.board.cells()
        print_table(["rank", "candidate", "score", *headings[3:-1], "labels"], body)
        print()
        print_table(
            ["judge", "accuracy", headings[3], "labels"], [_judge_cells(row) for row in report.judges], left=(0,)
        )
        if found is not None:
            show_sensitivity(found, names)


def _judge_cells(row: JudgeRow) -> list[str]:
    return [row.judge, f"{row.accuracy:.2f}", f"{row.lower:.2f} to {row.upper:.2f}", f"{row.labels:g}"]
