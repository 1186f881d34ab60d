"""`scorax judge --sensitivity`: the same labels under other assumptions about the judges."""

import dataclasses
from collections.abc import Sequence

import jax

from scorax.cli._judge_assumptions import Assumptions, Constancy, Judges, Monotone
from scorax.cli._judge_prior import programme
from scorax.cli._judge_quantities import CandidateScores
from scorax.cli._judge_ratings import Ratings
from scorax.cli._output import print_table
from scorax.cli._sampling import Sampling
from scorax.cli._session import note
from scorax.judges import Sensitivity, SimplexJudge, sensitivity

_ACCURACY, _STRENGTH = 0.8, 20.0
_CANDIDATE_SD = (0.0, 0.25, 0.5)


@dataclasses.dataclass(frozen=True)
class SensitivityRow:
    """What follows from one set of assumptions."""

    assumptions: str
    best: str
    p_best: float
    tau: float
    """Kendall's tau of the scores with those under the assumptions asked for."""
    turned: list[list[str]]
    """Pairs of candidates, the better one first, that the assumptions asked for have the other way round."""
    rank_width: float
    """Mean width of the intervals of ranks."""
    elpd: float
    """Expected log predictive density by leave-one-out."""
    elpd_unreliable_items: int
    rhat: float


def variants(asked: Assumptions, *, n_judges: int, prevalence: str) -> dict[str, Assumptions]:
    """Those asked for, then each with one of them changed.

    Args:
        asked: Those asked for.
        n_judges: One has nothing in common with others.
        prevalence: What `asked` makes of the candidates: `"dirichlet"` or `"hierarchical"`.
    """
    found = {"as asked": asked}
    shared, alone = asked.judges == Judges.HIERARCHICAL, asked._replace(judges=Judges.INDEPENDENT)
    if shared:
        found["independent judges"] = alone
    elif n_judges > 1:
        unordered = "" if asked.monotone == Monotone.NONE else ", monotone none"
        found["hierarchical judges" + unordered] = asked._replace(judges=Judges.HIERARCHICAL, monotone=Monotone.NONE)
    for rule in Monotone:
        if rule != asked.monotone:
            found["independent judges, " * shared + f"monotone {rule}"] = alone._replace(monotone=rule)
    other = "hierarchical" if prevalence == "dirichlet" else "dirichlet"
    found[f"{other} prevalence"] = asked._replace(prevalence=other)
    found[f"accuracy {_ACCURACY:g}"] = asked._replace(accuracy=_ACCURACY)
    if asked.uses_strength:
        found[f"strength {_STRENGTH:g}"] = asked._replace(strength=_STRENGTH)
    for sd in _CANDIDATE_SD:
        rule = Constancy.RANDOM if sd else Constancy.STRONG
        if (rule, sd) != (asked.constancy, asked.candidate_sd):
            name = f"random constancy {sd:g}" if sd else "strong constancy"
            found[name] = asked._replace(constancy=rule, candidate_sd=sd)
    if n_judges > 1:
        name = "no item effects" if asked.item_effects else "item effects"
        found[name] = asked._replace(item_effects=not asked.item_effects)
    return found


def sensitivity_of(
    asked: Assumptions, ratings: Ratings, majority: SimplexJudge, *, sampling: Sampling, level: float
) -> Sensitivity:
    """A posterior for every set of assumptions."""
    prevalence = programme(asked, ratings, majority).prevalence
    sets = variants(asked, n_judges=majority.n_judges, prevalence=prevalence)
    note(f"sensitivity: {len(sets)} posteriors, one for each set of assumptions", quiet=sampling.quiet)
    programmes = {name: programme(each, ratings, majority) for name, each in sets.items()}
    return sensitivity(
        majority,
        ratings.data,
        {name: (each.model, each.prior) for name, each in programmes.items()},
        key=jax.random.key(sampling.seed),
        of=CandidateScores(None if ratings.strata is None else ratings.strata.share),
        level=level,
        initial={name: each.initial for name, each in programmes.items()},
        method=sampling.method.replace("-", "_"),
        num_warmup=sampling.warmup,
        num_samples=sampling.draws,
        num_chains=sampling.chains,
        progress=False,
    )


def rows_of(found: Sensitivity, names: Sequence[str]) -> list[SensitivityRow]:
    """For files and programs."""
    rows = []
    for row in found:
        best = int(row.ranks.p_best.argmax())
        turned = [[names[a], names[b]] for a, b in row.flips]
        chance = float(row.ranks.p_best[best])
        rows.append(
            SensitivityRow(row.name, names[best], chance, row.tau, turned, row.width, row.elpd, row.bad, row.rhat)
        )
    return rows


def show(found: Sensitivity, names: Sequence[str]) -> None:
    """Print the table."""
    headings, body = found.cells(names)
    print()
    print_table(headings, body, left=(0, 1))
