"""Which model a word of `--model` stands for, given the votes."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from scorax.choice import (
    BradleyTerry,
    Davidson,
    DavidsonLuce,
    GlennDavid,
    GradedComparison,
    PlackettLuce,
    RaoKupper,
    Thurstone,
)
from scorax.cli._rank import Method, Model, Ties
from scorax.cli._votes import Kind, Votes
from scorax.data import Comparisons, Rankings
from scorax.inference import AbstractModel

_MOST_LEVELS = 11
# Half a unit of the second digit: 0.33 is a third.
_ROUNDING = 0.005


class _Options(NamedTuple):
    """What else the command line says of the model."""

    ties: Ties | None
    method: Method
    effects: dict[str, Any]
    """Arguments of `init`: order effect and number of features."""


_Maker = Callable[[Votes, _Options], AbstractModel[Any]]


class _Word(NamedTuple):
    """What a word takes, and how its model is made."""

    kind: Kind
    make: _Maker


def kind_of(model: Model | None) -> Kind | None:
    """What the file must hold; None where its columns say it."""
    return None if model is None else _MODELS[model].kind


def model_of(votes: Votes, model: Model | None, ties: Ties | None, method: Method) -> AbstractModel[Any]:
    """The model of these votes, all items equal.

    Raises:
        ValueError: The model cannot be fitted to such votes, or `ties` is none of its rules.
    """
    chosen = _default(votes, ties) if model is None else model
    options = _Options(ties, method, _effects(votes))
    if isinstance(votes.data, Rankings) != (_MODELS[chosen].kind == "rankings"):
        raise ValueError(f"--model {chosen} is for {_MODELS[chosen].kind}, which these are not")
    return _MODELS[chosen].make(votes, options)


def graded_levels(votes: Votes, model: Model | None) -> Votes:
    """The votes with outcomes on the levels of the scale, where a file rounds them."""
    if model != Model.GRADED:
        return votes
    assert isinstance(votes.data, Comparisons)
    outcome = np.asarray(votes.data.outcome)
    levels = _levels(outcome)
    return votes.with_outcome(np.round(outcome * (levels - 1)) / (levels - 1))


def _default(votes: Votes, ties: Ties | None) -> Model:
    if isinstance(votes.data, Rankings):
        return Model.PLACKETT_LUCE if votes.data.tie_level is None else Model.DAVIDSON_LUCE
    return Model.THURSTONE if ties == Ties.GLENN_DAVID else Model.BRADLEY_TERRY


def _effects(votes: Votes) -> dict[str, Any]:
    if isinstance(votes.data, Rankings):
        return {}
    features = votes.data.features
    return {"order_effect": votes.data.order is not None, "n_features": 0 if features is None else features.shape[1]}


def _by_rule(name: Model, rules: Mapping[Ties, Any], usual: Ties) -> _Maker:
    """A model that has another form for each rule of ties; `usual` is for those that occur."""

    def make(votes: Votes, options: _Options) -> AbstractModel[Any]:
        outcome = np.asarray(votes.data.outcome) if isinstance(votes.data, Comparisons) else np.zeros(0)
        tied, hard = bool((outcome == 0.5).any()), bool(np.isin(outcome, (0.0, 0.5, 1.0)).all())
        ties = options.ties or (usual if tied and hard else Ties.HALF)
        if ties not in rules:
            raise ValueError(f"--ties {ties} is no rule of --model {name}: use {' or '.join(map(str, rules))}")
        if ties != Ties.HALF and not tied and options.method == Method.MLE:
            raise ValueError(f"there are no ties, so --ties {ties} has nothing to estimate: use --ties half")
        return rules[ties].init(len(votes.items), **options.effects)

    return make


def _graded(votes: Votes, options: _Options) -> AbstractModel[Any]:
    if options.ties is not None:
        raise ValueError("--ties is not for --model graded, where a tie is the level in the middle: drop it")
    assert isinstance(votes.data, Comparisons)
    outcome = np.asarray(votes.data.outcome)
    levels = _levels(outcome)
    # The scale is symmetric, so that a level occurs if its mirror image does.
    found = np.round(outcome * (levels - 1)).astype(int)
    missing = sorted(set(range((levels + 1) // 2)) - set(np.minimum(found, levels - 1 - found).tolist()))
    if missing and options.method == Method.MLE:
        raise ValueError(
            f"outcome {missing[0] / (levels - 1):.3g}, one of {levels} levels evenly from 0 to 1, never occurs, nor "
            "its mirror image: its width has no estimate. Use --method nuts or map, or number the levels without it."
        )
    return GradedComparison.init(len(votes.items), levels, **options.effects)


def _levels(outcome: np.ndarray) -> int:
    """The smallest number of levels, evenly from 0 to 1, that holds all outcomes up to rounding."""
    found = np.unique(outcome)
    if np.isin(found, (0.0, 1.0)).all():
        raise ValueError("outcomes are wins and losses only, which are no graded scale: use --model bradley-terry")
    for levels in range(3, _MOST_LEVELS + 1):
        if (np.abs(found - np.round(found * (levels - 1)) / (levels - 1)) <= _ROUNDING).all():
            return levels
    shown = ", ".join(f"{y:g}" for y in found[:6]) + ", ..." * (len(found) > 6)
    raise ValueError(
        f"--model graded wants outcomes of at most {_MOST_LEVELS} levels evenly from 0 to 1, such as 0, 0.25, 0.5, "
        f"0.75 and 1; here they are {shown}. Round them, or use --model bradley-terry for soft labels."
    )


def _of_rankings(make: Callable[[Any, int], AbstractModel[Any]]) -> _Maker:
    def of(votes: Votes, options: _Options) -> AbstractModel[Any]:
        if options.ties is not None:
            raise ValueError("--ties is for comparisons; rankings with ties have --model davidson-luce")
        return make(votes.data, len(votes.items))

    return of


_MODELS: dict[Model, _Word] = {
    Model.BRADLEY_TERRY: _Word(
        "comparisons",
        _by_rule(
            Model.BRADLEY_TERRY,
            {Ties.HALF: BradleyTerry, Ties.DAVIDSON: Davidson, Ties.RAO_KUPPER: RaoKupper},
            Ties.DAVIDSON,
        ),
    ),
    Model.THURSTONE: _Word(
        "comparisons",
        _by_rule(Model.THURSTONE, {Ties.HALF: Thurstone, Ties.GLENN_DAVID: GlennDavid}, Ties.GLENN_DAVID),
    ),
    Model.GRADED: _Word("comparisons", _graded),
    Model.PLACKETT_LUCE: _Word("rankings", _of_rankings(lambda rankings, k: PlackettLuce.init(k))),
    Model.DAVIDSON_LUCE: _Word("rankings", _of_rankings(DavidsonLuce.of)),
}
