"""What `scorax rank` computes: strengths from votes, a leaderboard and reports from strengths."""

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from jaxtyping import Array, Float

from scorax.choice import BradleyTerry, FirthFit, Leaderboard, firth, leaderboard
from scorax.cli import _effects, _influence
from scorax.cli._chains import draw
from scorax.cli._effects import Effect
from scorax.cli._influence import Influence
from scorax.cli._models import graded_levels, kind_of, model_of
from scorax.cli._options import Format
from scorax.cli._output import print_table, save_figure
from scorax.cli._rank import Method, Model, OnDisconnected, Scale, Ties
from scorax.cli._sampling import Sampling
from scorax.cli._session import note
from scorax.cli._votes import Votes
from scorax.data import ConnectivityReport, Rankings, connectivity, ghost, largest_component
from scorax.inference import AbstractModel, Bootstrap, Fit, Posterior, bootstrap, fit

__all__ = ["Ranked", "Reports", "Settings", "effects_of", "infer", "kind_of", "leaderboard_of", "show", "write"]


class Settings(NamedTuple):
    """The choices of the command line."""

    method: Method
    model: Model | None
    ties: Ties | None
    precision: float
    on_disconnected: OnDisconnected
    bootstrap: int | None
    """Number of resamples."""
    influence: bool
    sampling: Sampling

    @property
    def quiet(self) -> bool:
        """Whether to say nothing but errors."""
        return self.sampling.quiet


class Ranked(NamedTuple):
    """What was inferred, from which votes (a policy may have changed them)."""

    result: Fit[Any] | Posterior[Any] | Bootstrap[Any] | FirthFit
    votes: Votes
    ended: str = "done"
    fit: Fit[Any] | None = None
    """The maximum, also where intervals are those of a bootstrap."""


class Reports(NamedTuple):
    """All that is printed and written."""

    board: Leaderboard
    effects: tuple[Effect, ...]
    influence: Influence | None


class PinnedScale(eqx.Module):
    """The default prior with the scale of strengths given, so that it has a mode. A new scale compiles nothing."""

    model: Any
    scale: Float[Array, ""]

    def __call__(self) -> Any:
        """A program that draws a model."""
        with numpyro.handlers.condition(data={"scale": self.scale}):
            return self.model.prior()


def infer(votes: Votes, settings: Settings) -> Ranked:
    """Strengths by the chosen method."""
    votes = graded_levels(votes, settings.model)
    report = connectivity(votes.data, len(votes.items))
    _refuse_never_compared(votes, report)
    if settings.method == Method.MLE and not report.strong:
        if settings.on_disconnected == OnDisconnected.FIRTH:
            return _penalised(votes, report, settings)
        votes = _with_finite_maximum(votes, report, settings)
    model = model_of(votes, settings.model, settings.ties, settings.method)
    model.check(votes.data)
    note(f"{_describe(votes)}: {type(model).__name__}, {settings.sampling.method}", quiet=settings.quiet)
    if not report.weak and settings.method != Method.MLE:
        note("some groups of items never met: only the prior orders one group against another", quiet=settings.quiet)
    if settings.method in (Method.MLE, Method.MAP):
        return _fitted(model, votes, settings)
    if votes.of_samples:
        text = "comparisons of one sample are taken as independent: --method mle takes each sample as a cluster"
        note(text, quiet=settings.quiet)
    posterior, ended = draw(model, votes.data, settings.sampling)
    return Ranked(posterior, votes, ended)


def _fitted(model: AbstractModel[Any], votes: Votes, settings: Settings) -> Ranked:
    """The maximum, or refits to redrawn votes beside it; errors by the sandwich where there are clusters."""
    prior = None
    if settings.method == Method.MAP:
        prior = PinnedScale(model, jnp.asarray(settings.precision**-0.5))
    found, cluster = fit(model, votes.data, prior=prior), votes.data.cluster
    if settings.bootstrap is None:
        found = found if cluster is None else found.robust(cluster)
        return Ranked(found, votes, fit=found)
    key = jax.random.key(settings.sampling.seed)
    draws = bootstrap(found.model, votes.data, key=key, n_resamples=settings.bootstrap, cluster=cluster)
    if draws.failed:
        note(
            f"{draws.failed} of {settings.bootstrap} resamples have no finite ratings and are left out, which makes "
            "intervals too narrow if they are many",
            quiet=settings.quiet,
        )
    return Ranked(draws, votes, fit=found)


def _penalised(votes: Votes, report: ConnectivityReport, settings: Settings) -> Ranked:
    """By Firth's penalty, where it applies."""
    data: Any = votes.data
    model = model_of(votes, settings.model, settings.ties, settings.method)
    if not isinstance(model, BradleyTerry) or data.order is not None or data.features is not None:
        raise ValueError(
            "--on-disconnected firth is for --model bradley-terry with --ties half, without features and order. Use "
            "these, or --on-disconnected ghost."
        )
    if not report.weak:
        raise ValueError(
            "the items fall into groups that never met, which no penalty compares: use --method nuts, or "
            "--on-disconnected ghost or largest-component"
        )
    if settings.bootstrap is not None or settings.influence or data.cluster is not None:
        raise ValueError(
            "--on-disconnected firth has model-based errors only: drop --bootstrap, --cluster, --influence and "
            "--scores, or use --prior-precision 1 instead"
        )
    note(f"{_describe(votes)}: {type(model).__name__}, Firth's penalty", quiet=settings.quiet)
    return Ranked(firth(data, len(votes.items)), votes)


def _refuse_never_compared(votes: Votes, report: ConnectivityReport) -> None:
    if report.never_compared:
        names = ", ".join(repr(votes.items[i]) for i in report.never_compared[:3])
        raise ValueError(
            f"{len(report.never_compared)} of {len(votes.items)} items were never compared: their rows have weight 0 "
            f"or nobody beside them (first: {names}). Drop these rows."
        )


def _with_finite_maximum(votes: Votes, report: ConnectivityReport, settings: Settings) -> Votes:
    """The votes changed by the chosen policy so that the likelihood has a finite maximum."""
    # One policy for both containers, which a type checker cannot follow through a union.
    data: Any = votes.data
    if settings.on_disconnected == OnDisconnected.GHOST:
        if settings.bootstrap is not None:
            raise ValueError(
                "--bootstrap redraws votes, and those that --on-disconnected ghost adds are none. Drop --bootstrap, or "
                "use --on-disconnected largest-component."
            )
        return votes._replace(data=ghost(data, len(votes.items)))
    if settings.on_disconnected == OnDisconnected.LARGEST_COMPONENT:
        kept = _largest(votes)
        note(
            f"ranking the {len(kept.items)} of {len(votes.items)} items that have finite ratings", quiet=settings.quiet
        )
        return kept
    reason, *_ = report.describe(votes.items).splitlines()
    raise ValueError(
        f"{reason}\nUse --method nuts (a prior keeps them finite), --prior-precision 0.1, or --on-disconnected ghost."
    )


def _largest(votes: Votes) -> Votes:
    """The largest group that has finite ratings."""
    data: Any = votes.data
    # Clusters stay with their rows, and so tell which rows stayed.
    numbered = dataclasses.replace(data, cluster=jnp.arange(len(votes.row), dtype=jnp.int32))
    kept, items = largest_component(numbered, votes.items)
    rows = np.asarray(kept.cluster)
    cluster = None if data.cluster is None else data.cluster[rows]
    return votes._replace(data=dataclasses.replace(kept, cluster=cluster), items=items, row=votes.row[rows])


def _describe(votes: Votes) -> str:
    data, k = votes.data, len(votes.items)
    count = np.asarray(data.count)
    if isinstance(data, Rankings):
        return f"{k} items, {count.sum():,.0f} rankings"
    tied = count[np.asarray(data.outcome) == 0.5].sum() / count.sum()
    return f"{k} items, {count.sum():,.0f} comparisons" + (f" ({100 * tied:.0f} % ties)" if tied else "")


def leaderboard_of(ranked: Ranked, *, scale: Scale, level: float) -> Leaderboard:
    """The leaderboard of what was inferred."""
    votes = ranked.votes
    return leaderboard(ranked.result, votes.data, names=votes.items, scale=str(scale), level=level)


def effects_of(ranked: Ranked, *, level: float, quiet: bool) -> tuple[Effect, ...]:
    """What features and coming first are worth; also said beside the results."""
    if isinstance(ranked.result, FirthFit):
        return ()
    effects = _effects.effects_of(ranked.result, ranked.votes.features, level=level)
    for line in _effects.describe(effects, level):
        note(line, quiet=quiet)
    return effects


def write(folder: Path, reports: Reports, result: Any, *, draw: bool) -> list[str]:
    """Write everything that was found into `folder`; returns the names of the files."""
    board = reports.board
    (folder / "leaderboard.json").write_text(board.to_json() + "\n", encoding="utf-8")
    (folder / "leaderboard.csv").write_text(board.to_csv(), encoding="utf-8")
    if reports.effects:
        (folder / "effects.json").write_text(_effects.to_json(reports.effects) + "\n", encoding="utf-8")
    if reports.influence is not None:
        (folder / "influence.json").write_text(_influence.to_json(reports.influence) + "\n", encoding="utf-8")
    if draw:
        from scorax.plot import plot_leaderboard

        save_figure(plot_leaderboard(board), folder / "leaderboard.png")
    if isinstance(result, Posterior):
        result.save(folder / "posterior.npz")
    return sorted(path.name for path in folder.iterdir())


def show(reports: Reports, format: Format, *, quiet: bool) -> None:
    """Print the leaderboard to standard output, and what holds it up below a table, else beside the results."""
    lines = [] if reports.influence is None else _influence.describe(reports.influence)
    if format == Format.JSON:
        print(reports.board.to_json())
    elif format == Format.CSV:
        print(reports.board.to_csv(), end="")
    else:
        print_table(*reports.board.cells())
        print(*lines and ["", *lines], sep="\n", end="\n" if lines else "")
        return
    for line in lines:
        note(line, quiet=quiet)
