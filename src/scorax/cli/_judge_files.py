"""What `scorax judge --out` writes: tables, figures, the posterior, and one page with all of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from scorax.cli._judge_quantities import average_confusion
from scorax.cli._judge_report import page_of
from scorax.cli._judge_tables import Report, rows_csv, to_json
from scorax.cli._judging import Scored
from scorax.cli._output import save_figure
from scorax.inference import Posterior

_MOST_TRIANGLES = 12


def write(folder: Path, file: str, report: Report, scored: Scored, *, doubts: Sequence[str], draw: bool) -> list[str]:
    """Write everything that was found into `folder`; returns the names of the files.

    Args:
        folder: That is there.
        file: What was read.
        report: What to write.
        scored: Where it comes from.
        doubts: What is to be said against it.
        draw: Whether figures are wanted.
    """
    (folder / "leaderboard.json").write_text(to_json(report) + "\n", encoding="utf-8")
    (folder / "leaderboard.csv").write_text(report.board.to_csv(), encoding="utf-8")
    (folder / "judges.csv").write_text(rows_csv(report.judges), encoding="utf-8")
    if report.strata is not None:
        (folder / "strata.csv").write_text(rows_csv(report.strata), encoding="utf-8")
    if draw:
        _draw(folder, report, scored)
    page = page_of(report, scored, file=file, doubts=doubts, figures=folder)
    (folder / "report.html").write_text(page, encoding="utf-8")
    if isinstance(scored.result, Posterior):
        scored.result.save(folder / "posterior.npz")
    return sorted(path.name for path in folder.iterdir())


def _draw(folder: Path, report: Report, scored: Scored) -> None:
    from scorax.plot import plot_leaderboard, plot_sensitivity

    save_figure(plot_leaderboard(report.board), folder / "leaderboard.png")
    if scored.sensitivity is not None:
        ax = plot_sensitivity(scored.sensitivity, tuple(scored.ratings.names.candidates))
        save_figure(ax, folder / "sensitivity.png")
    if len(scored.ratings.names.levels) <= 3:
        figure = _simplexes(report, scored)
        if figure is not None:
            figure.savefig(folder / "simplex.png", dpi=100)


def _simplexes(report: Report, scored: Scored) -> Any:
    """A triangle, or with two levels a segment, for each judge, the most accurate ones first; None if there is none."""
    from matplotlib.figure import Figure

    from scorax.plot import plot_segment, plot_simplex

    names, result = scored.ratings.names, scored.result
    two = len(names.levels) == 2
    many = isinstance(result, Posterior)
    # A fit is a single draw.
    confusion, seen = result.map(_confusion_and_seen) if many else _confusion_and_seen(result.model)
    # On the host: a compiled program for each small step would take longer than all the drawing.
    draws, observed = (np.asarray(x).reshape(-1, *x.shape[-3:]) for x in (confusion, seen))
    middle, observed = draws.mean(0), _over_strata(observed.mean(0), scored)
    shown = [names.judges.index(row.judge) for row in report.judges[:_MOST_TRIANGLES]]
    # A judge who is wrong more often than right has no segment.
    shown = [j for j in shown if not two or middle[j, 0, 1] < middle[j, 1, 1]]
    if not shown:
        return None
    columns = 1 if two else min(2, len(shown))
    rows = -(-len(shown) // columns)
    height = 1.6 + 0.23 * len(names.candidates) if two else 6.2
    figure = Figure(figsize=(8.2 * columns, height * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax in grid[len(shown) :]:
        ax.set_axis_off()
    for ax, j in zip(grid, shown, strict=False):
        judge, where_seen = jnp.asarray(middle[j]), jnp.asarray(observed[j])
        words: dict[str, Any] = {"names": tuple(names.candidates), "title": names.judges[j], "ax": ax}
        words["levels"] = tuple(names.levels)
        if two:
            plot_segment(judge, where_seen, **words)
        else:
            cloud = jnp.asarray(draws[:, j]) if many else None
            plot_simplex(judge, where_seen, draws=cloud, values=names.values, **words)
    return figure


def _confusion_and_seen(model: Any) -> tuple[Float[Array, "j m m"], Float[Array, "j k m"]]:
    return average_confusion(model), model.observed_distribution()


def _over_strata(seen: np.ndarray, scored: Scored) -> np.ndarray:
    """What each judge sees of the candidates in all strata together: `[j, k, m]` of `[j, k * z, m]`."""
    strata = scored.ratings.strata
    if strata is None:
        return seen
    by_stratum = seen.reshape(seen.shape[0], -1, len(strata.names), seen.shape[-1])
    return np.einsum("jkzm,z->jkm", by_stratum, np.asarray(strata.share))
