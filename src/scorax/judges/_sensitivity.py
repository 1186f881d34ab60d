"""How far a ranking depends on what is assumed of the judges: one posterior for every set of assumptions."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from scorax.inference import Posterior, loo, rhat, sample
from scorax.stats import RankSummary, kendall_tau, rank_summary


@dataclasses.dataclass(frozen=True)
class Assumption:
    """What follows from one set of assumptions."""

    name: str
    posterior: Posterior[Any]
    score: Float[Array, " k"]
    """Posterior mean of every candidate's score."""
    ranks: RankSummary
    tau: float
    """Kendall's tau-b of the scores with those of the reference."""
    flips: tuple[tuple[int, int], ...]
    """Pairs of candidates, the better one first, that the reference has the other way round."""
    width: float
    """Mean width of the intervals of ranks."""
    elpd: float
    """Expected log predictive density by leave-one-out; its differences say which assumptions predict better."""
    bad: int
    """Rows for which that estimate cannot be trusted (Pareto k)."""
    rhat: float
    """The largest of the scores: above 1.01, draws are too few or chains disagree."""


@dataclasses.dataclass(frozen=True)
class Sensitivity:
    """Rows in the order in which they were asked for; the first is the reference, if no other was named."""

    rows: tuple[Assumption, ...]
    reference: str
    level: float

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Assumption]:
        return iter(self.rows)

    def __getitem__(self, name: str) -> Assumption:
        """The row of that name."""
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(f"{name!r} is none of {', '.join(repr(row.name) for row in self.rows)}")

    def cells(self, names: Sequence[str]) -> tuple[list[str], list[list[str]]]:
        """Headings and text of a table for people.

        Args:
            names: Of the candidates.
        """
        headings = ["assumptions", "best (probability)", "tau", "pairs turned", "width of ranks", "elpd", "R-hat"]
        base = self[self.reference].elpd
        body = []
        for row in self.rows:
            best = int(np.argmax(row.ranks.p_best))
            flag = "" if row.bad == 0 else f" ({row.bad} bad)"
            body.append(
                [
                    row.name + (" (reference)" if row.name == self.reference else ""),
                    f"{names[best]} ({float(row.ranks.p_best[best]):.2f})",
                    f"{row.tau:.2f}",
                    str(len(row.flips)),
                    f"{row.width:.1f}",
                    f"{row.elpd - base:+.1f}{flag}",
                    f"{row.rhat:.3f}",
                ]
            )
        return headings, body

    def __str__(self) -> str:
        headings, body = self.cells([str(i) for i in range(self.rows[0].score.size)])
        widths = [max(len(line[i]) for line in [headings, *body]) for i in range(len(headings))]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in [headings, *body]
        )


def expected_scores(model: Any) -> Float[Array, " k"]:
    """Every candidate's expected score, by one function that compiled code recognises."""
    return model.expected_score()


def sensitivity(
    model: Any,
    data: Any,
    priors: Mapping[str, Any],
    *,
    key: PRNGKeyArray,
    reference: str | None = None,
    of: Callable[[Any], Float[Array, " k"]] = expected_scores,
    level: float = 0.95,
    initial: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Sensitivity:
    """Posteriors under several priors, and how the order of the candidates depends on which.

    Where labels do not identify a ranking (one judge and three or more levels, judges who err together), the prior
    does. A ranking that survives every prior that a reader would grant is one that the labels support. Priors that
    differ in numbers alone (`strength`, `accuracy`, `candidate_sd`) share their compiled programs.

    Args:
        model: Gives shapes, such as `SimplexJudge`. A value of `priors` may also be a pair of another model and a
            prior of it, such as `model.per_candidate()` and a `ConstancyPrior`.
        data: Annotations.
        priors: Programs by name, such as `SimplexPrior(model, accuracy=0.8)` or `ConstancyPrior(...)`.
        key: Of all posteriors: the same, so that they differ by their assumptions alone.
        reference: With which all are compared; the first if None.
        of: The score to rank by, of a model; larger is better.
        level: Of the intervals of ranks.
        initial: Where chains start, by the names of the priors (their sites differ); as in `sample`.
        settings: As in `scorax.inference.sample`: `num_samples`, `method`, ...

    Returns:
        A `Sensitivity`; `scorax.plot.plot_sensitivity` draws it.

    Raises:
        ValueError: There is no prior, `reference` is none of them, or as in `sample`.

    Example:
        >>> data = sx.data.Annotations.from_arrays([[0, 1], [1, 1], [0, 0]], [[0, 1]] * 3, candidate=[0, 1, 1])
        >>> model = sx.judges.SimplexJudge.init(2, 2, 2)
        >>> priors = {str(a): sx.judges.SimplexPrior(model, accuracy=a) for a in (0.6, 0.9)}
        >>> found = sensitivity(model, data, priors, key=jax.random.key(0), num_samples=50, progress=False)
        >>> [row.name for row in found], found["0.6"].tau
        (['0.6', '0.9'], 1.0)

    Source: Vossler et al. (2025), arXiv 2505.21972; Vehtari, Gelman & Gabry (2017), arXiv:1507.04544 (leave-one-out).
    """
    if not priors:
        raise ValueError("there is no prior to compare: pass a mapping from names to programs")
    base = next(iter(priors)) if reference is None else reference
    if base not in priors:
        raise ValueError(f"reference {base!r} is none of {', '.join(map(repr, priors))}")
    starts = initial or {}
    drawn = {
        name: _draw(model, data, prior, key, {**settings, "initial": starts.get(name)})
        for name, prior in priors.items()
    }
    scores = {name: _scores(posterior, of) for name, (posterior, _) in drawn.items()}
    middle = scores[base].mean((0, 1))
    rows = tuple(
        _assumption(name, posterior, condensed, scores[name], middle, level)
        for name, (posterior, condensed) in drawn.items()
    )
    return Sensitivity(rows, base, level)


def _draw(model: Any, data: Any, prior: Any, key: PRNGKeyArray, settings: Mapping[str, Any]) -> tuple[Any, Any]:
    of, program = prior if isinstance(prior, tuple) else (model, prior)
    return sample(of, data, key=key, prior=program, **settings), of.condense(data)


def _scores(posterior: Posterior[Any], of: Callable[[Any], Array]) -> Float[np.ndarray, "c r k"]:
    return np.asarray(posterior.map(of))


def _assumption(
    name: str, posterior: Posterior[Any], data: Any, score: np.ndarray, reference: np.ndarray, level: float
) -> Assumption:
    middle = score.mean((0, 1))
    ranks = rank_summary(jnp.asarray(score.reshape(-1, score.shape[-1])), level=level)
    turned = (middle[:, None] > middle[None, :]) & (reference[:, None] < reference[None, :])
    found = loo(posterior, data)
    return Assumption(
        name=name,
        posterior=posterior,
        score=jnp.asarray(middle),
        ranks=ranks,
        tau=float(kendall_tau(jnp.asarray(middle), jnp.asarray(reference))),
        flips=tuple((int(a), int(b)) for a, b in np.argwhere(turned)),
        width=float((ranks.upper - ranks.lower).mean()),
        elpd=found.elpd,
        bad=found.num_bad,
        rhat=float(np.max(rhat(jnp.asarray(score)))),
    )
