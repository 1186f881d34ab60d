"""`scorax judge --sensitivity`: the same labels under other assumptions about the judges."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax

from scorax.cli._output import print_table
from scorax.cli._sampling import Sampling
from scorax.cli._session import note
from scorax.judges import ConstancyPrior, Sensitivity, SimplexJudge, SimplexPrior, sensitivity

_MONOTONE = ("none", "lowest", "stochastic")


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


def assumptions(model: SimplexJudge, monotone: str, candidate_sd: float) -> dict[str, Any]:
    """Those asked for, then each with one of them changed."""
    others = [rule for rule in _MONOTONE if rule != monotone]
    loose = [sd for sd in (0.0, 0.25, 0.5) if sd != candidate_sd]

    def prior(constancy: float, rule: str = monotone, **settings: float) -> Any:
        judges = SimplexPrior(model, monotone=rule, **settings)  # pyright: ignore[reportArgumentType]
        if constancy == 0:
            return judges
        wide = model.per_candidate()
        return wide, ConstancyPrior(wide, judges=judges, candidate_sd=constancy)

    found = {"as asked": prior(candidate_sd)}
    found |= {f"monotone {rule}": prior(candidate_sd, rule) for rule in others}
    found |= {"accuracy 0.8": prior(candidate_sd, accuracy=0.8), "strength 20": prior(candidate_sd, strength=20.0)}
    return found | {("strong constancy" if sd == 0 else f"random constancy {sd:g}"): prior(sd) for sd in loose}


def sensitivity_of(
    model: SimplexJudge,
    data: Any,
    *,
    monotone: str,
    candidate_sd: float,
    start: Callable[[Any], dict[str, Any]],
    sampling: Sampling,
    level: float,
) -> Sensitivity:
    """A posterior for every set of assumptions."""
    priors = assumptions(model, monotone, candidate_sd)
    note(f"sensitivity: {len(priors)} posteriors, one for each set of assumptions", quiet=sampling.quiet)
    return sensitivity(
        model,
        data,
        priors,
        key=jax.random.key(sampling.seed),
        level=level,
        initial={name: start(prior[1] if isinstance(prior, tuple) else prior) for name, prior in priors.items()},
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
