"""What `scorax judge` computes: a posterior, or a mode, of candidates' levels and judges' errors."""

from typing import Any, NamedTuple

import numpy as np

from scorax.cli._chains import draw
from scorax.cli._judge_assumptions import Assumptions, Judges, Method
from scorax.cli._judge_prior import prior_with_mode, programme
from scorax.cli._judge_quantities import average_confusion
from scorax.cli._judge_ratings import Ratings
from scorax.cli._judge_sensitivity import sensitivity_of
from scorax.cli._sampling import Sampling
from scorax.cli._session import note
from scorax.inference import Fit, Newton, Posterior, fit
from scorax.judges import Sensitivity, SimplexJudge, simplex_volume


class Settings(NamedTuple):
    """The choices of the command line."""

    method: Method
    assumptions: Assumptions
    sensitivity: bool
    level: float
    sampling: Sampling


class Scored(NamedTuple):
    """What was inferred, from which ratings."""

    result: Fit[SimplexJudge] | Posterior[Any]
    ratings: Ratings
    settings: Settings
    ended: str = "done"
    sensitivity: Sensitivity | None = None
    prevalence: str = "dirichlet"
    """Whether candidates were drawn each by itself, or about a common profile."""


def infer(ratings: Ratings, settings: Settings) -> Scored:
    """Prevalences and confusions by the chosen method, from the vote of the majority.

    Raises:
        ValueError: The assumptions are about several judges, and there is one; or as `fit` and `sample`.
    """
    names, sampling = ratings.names, settings.sampling
    j, m = len(names.judges), len(names.levels)
    _refuse_for_one_judge(settings.assumptions, j)
    majority = SimplexJudge.from_majority_vote(ratings.data, ratings.n_cells, j, m, values=names.values)
    note(f"{sizes(ratings)}: {sampling.method}", quiet=sampling.quiet)
    if settings.method == Method.MAP:
        # Parameters are few, and Newton's steps certify the mode where a quasi-Newton search stops short of it.
        found = fit(majority, ratings.data, prior=prior_with_mode(majority), solver=Newton())
        return Scored(found, ratings, settings)
    asked = programme(settings.assumptions, ratings, majority)
    posterior, ended = draw(asked.model, ratings.data, sampling, prior=asked.prior, initial=asked.initial)
    varied = None
    if settings.sensitivity:
        varied = sensitivity_of(settings.assumptions, ratings, majority, sampling=sampling, level=settings.level)
    return Scored(posterior, ratings, settings, ended, varied, asked.prevalence)


def sizes(ratings: Ratings) -> str:
    """How many there are of everything."""
    names, strata = ratings.names, ratings.strata
    counts = [(len(names.candidates), "candidate"), (len(names.items), "item"), (len(names.judges), "judge")]
    counts += [(len(names.levels), "level")] + ([] if strata is None else [(len(strata.names), "stratum")])
    plural = {"stratum": "strata"}
    return ", ".join(f"{n:,} {word if n == 1 else plural.get(word, word + 's')}" for n, word in counts)


def disorder(scored: Scored) -> float | None:
    """Probability that the only judge has the levels in another order than they are.

    None where it does not matter: with several judges, two levels, or a gold label of every level, labels say more
    than the prior. NaN where there is no posterior.
    """
    data, names = scored.ratings.data, scored.ratings.names
    known = np.unique(np.asarray(data.gold)[np.asarray(data.has_gold)])
    if len(names.judges) > 1 or len(names.levels) < 3 or len(known) == len(names.levels):
        return None
    if not isinstance(scored.result, Posterior):
        return float("nan")
    return float((np.asarray(scored.result.map(_signed_volume)) < 0).mean())


def order_in_doubt(chance: float) -> str:
    """What there is to say about the order of candidates, with one judge."""
    said = ""
    if not np.isnan(chance):
        said = f" Under what is assumed, the judge has the levels in another order with probability {chance:.2f}."
    return (
        "with one judge and three or more levels, labels do not identify the order of the candidates, however many "
        f"there are: the prior decides.{said} Compare assumptions (--sensitivity), or add a judge or gold labels."
    )


def _signed_volume(model: Any) -> Any:
    return simplex_volume(average_confusion(model), signed=True)


def _refuse_for_one_judge(asked: Assumptions, n_judges: int) -> None:
    options = {"--item-effects": asked.item_effects, "--judges hierarchical": asked.judges == Judges.HIERARCHICAL}
    given = [option for option, there in options.items() if there]
    if n_judges == 1 and given:
        raise ValueError(f"{given[0]} is about what judges have in common, and there is one judge only: drop it")
