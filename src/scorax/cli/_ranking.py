"""What `scorax rank` computes: votes from a file, strengths from votes, a leaderboard from strengths."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import numpyro
from jaxtyping import Array, Float

from scorax.choice import BradleyTerry, Davidson, Leaderboard, PlackettLuce, RaoKupper, leaderboard
from scorax.cli._chains import draw
from scorax.cli._options import Format
from scorax.cli._output import print_table, save_figure
from scorax.cli._rank import Method, Model, OnDisconnected, Scale, Ties
from scorax.cli._reading import read_file
from scorax.cli._sampling import Sampling
from scorax.cli._session import note
from scorax.data import (
    Comparisons,
    ConnectivityReport,
    Rankings,
    Vocabulary,
    connectivity,
    ghost,
    largest_component,
)
from scorax.inference import AbstractModel, Fit, Posterior, fit

_PAIR_MODELS = {Ties.HALF: BradleyTerry, Ties.DAVIDSON: Davidson, Ties.RAO_KUPPER: RaoKupper}
_OF_COMPARISONS = ("item_a", "item_b", "outcome", "weight")
_OF_RANKINGS = ("ranking", "item", "rank", "weight")


class Settings(NamedTuple):
    """The choices of the command line."""

    method: Method
    ties: Ties | None
    precision: float
    on_disconnected: OnDisconnected
    sampling: Sampling

    @property
    def quiet(self) -> bool:
        """Whether to say nothing but errors."""
        return self.sampling.quiet


class Votes(NamedTuple):
    """What was read."""

    data: Comparisons | Rankings
    items: Vocabulary


class Ranked(NamedTuple):
    """What was inferred, from which votes (a policy may have changed them)."""

    result: Fit[Any] | Posterior[Any]
    votes: Votes
    ended: str = "done"


class PinnedScale(eqx.Module):
    """The default prior with the scale of strengths given, so that it has a mode. A new scale compiles nothing."""

    model: Any
    scale: Float[Array, ""]

    def __call__(self) -> Any:
        """A program that draws a model."""
        with numpyro.handlers.condition(data={"scale": self.scale}):
            return self.model.prior()


def load(file: str, model: Model | None, columns: Mapping[str, str | None], outcome_values: Sequence[str]) -> Votes:
    """Votes from a file, as comparisons or as rankings; `columns` are those that the user named."""
    named: dict[str, Any] = {role: column for role, column in columns.items() if column is not None}
    meanings = dict(map(_meaning, outcome_values))
    frame = read_file(file)
    model = _model_of_columns(frame.columns, named) if model is None else model
    known = _OF_COMPARISONS if model == Model.BRADLEY_TERRY else _OF_RANKINGS
    foreign = [role for role in named if role not in known]
    if foreign:
        raise ValueError(f"--{foreign[0].replace('_', '-')}-column does not belong to --model {model}")
    if model == Model.PLACKETT_LUCE:
        return Votes(*Rankings.from_frame(frame, **named))
    return Votes(*Comparisons.from_frame(frame, **named, outcomes=meanings))


def _meaning(text: str) -> tuple[str, float]:
    word, _, number = text.rpartition("=")
    try:
        return word, float(number)
    except ValueError:
        raise ValueError(f"--outcome-value is WORD=NUMBER, such as DRAW=0.5, not {text!r}") from None


def _model_of_columns(present: list[str], named: Mapping[str, Any]) -> Model:
    """Rankings if the user named their columns, or the file has them; comparisons if not."""
    own = ("ranking", "item", "rank")
    if set(named) & set(own) or set(own) <= set(present):
        return Model.PLACKETT_LUCE
    return Model.BRADLEY_TERRY


def infer(votes: Votes, settings: Settings) -> Ranked:
    """Strengths by the chosen method."""
    report = connectivity(votes.data, len(votes.items))
    _refuse_never_compared(votes, report)
    if settings.method == Method.MLE and not report.strong:
        votes = _with_finite_maximum(votes, report, settings)
    model = _model(votes, settings)
    model.check(votes.data)
    note(f"{_describe(votes)}: {type(model).__name__}, {settings.sampling.method}", quiet=settings.quiet)
    if not report.weak and settings.method != Method.MLE:
        note("some groups of items never met: only the prior orders one group against another", quiet=settings.quiet)
    if settings.method == Method.MLE:
        return Ranked(fit(model, votes.data), votes)
    if settings.method == Method.MAP:
        prior = PinnedScale(model, jnp.asarray(settings.precision**-0.5))
        return Ranked(fit(model, votes.data, prior=prior), votes)
    posterior, ended = draw(model, votes.data, settings.sampling)
    return Ranked(posterior, votes, ended)


def _model(votes: Votes, settings: Settings) -> AbstractModel[Any]:
    if isinstance(votes.data, Rankings):
        if settings.ties is not None:
            raise ValueError("--ties is for comparisons; rankings have no ties")
        return PlackettLuce.init(len(votes.items))
    outcome = np.asarray(votes.data.outcome)
    tied, hard = bool((outcome == 0.5).any()), bool(np.isin(outcome, (0.0, 0.5, 1.0)).all())
    ties = settings.ties or (Ties.DAVIDSON if tied and hard else Ties.HALF)
    if ties != Ties.HALF and not tied and settings.method == Method.MLE:
        raise ValueError(f"there are no ties, so --ties {ties} has nothing to estimate: use --ties half")
    return _PAIR_MODELS[ties].init(len(votes.items))


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
        return Votes(ghost(data, len(votes.items)), votes.items)
    if settings.on_disconnected == OnDisconnected.LARGEST_COMPONENT:
        kept = Votes(*largest_component(data, votes.items))
        note(
            f"ranking the {len(kept.items)} of {len(votes.items)} items that have finite ratings", quiet=settings.quiet
        )
        return kept
    reason, *_ = report.describe(votes.items).splitlines()
    raise ValueError(
        f"{reason}\nUse --method nuts (a prior keeps them finite), --prior-precision 0.1, or --on-disconnected ghost."
    )


def _describe(votes: Votes) -> str:
    data, k = votes.data, len(votes.items)
    count = np.asarray(data.count)
    if isinstance(data, Rankings):
        return f"{k} items, {count.sum():,.0f} rankings"
    tied = count[np.asarray(data.outcome) == 0.5].sum() / count.sum()
    return f"{k} items, {count.sum():,.0f} comparisons" + (f" ({100 * tied:.0f} % ties)" if tied else "")


def leaderboard_of(ranked: Ranked, *, scale: Scale, level: float) -> Leaderboard:
    """The leaderboard of what was inferred."""
    return leaderboard(ranked.result, ranked.votes.data, names=ranked.votes.items, scale=str(scale), level=level)


def write(folder: Path, board: Leaderboard, result: Fit[Any] | Posterior[Any], *, draw: bool) -> list[str]:
    """Write everything that was found into `folder`; returns the names of the files."""
    (folder / "leaderboard.json").write_text(board.to_json() + "\n", encoding="utf-8")
    (folder / "leaderboard.csv").write_text(board.to_csv(), encoding="utf-8")
    if draw:
        from scorax.plot import plot_leaderboard

        save_figure(plot_leaderboard(board), folder / "leaderboard.png")
    if isinstance(result, Posterior):
        result.save(folder / "posterior.npz")
    return sorted(path.name for path in folder.iterdir())


def show(board: Leaderboard, format: Format) -> None:
    """Print the leaderboard to standard output."""
    if format == Format.JSON:
        print(board.to_json())
    elif format == Format.CSV:
        print(board.to_csv(), end="")
    else:
        print_table(*board.cells())
