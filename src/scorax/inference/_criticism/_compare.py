"""Models side by side: differences of their predictive densities, with the error of the difference."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from scorax.inference._criticism._leave_one_out import LeaveOneOut, deviation_of_sum
from scorax.inference._criticism._stacking import stacking_weights


@dataclasses.dataclass(frozen=True)
class ComparedModel:
    """One model beside the best."""

    name: str
    elpd: float
    """Expected log predictive density."""
    difference: float
    """`elpd` minus that of the best model, at most 0."""
    std_error: float
    """Of the difference: what observations have in common drops out."""
    p_loo: float
    weight: float
    """In the mixture of all these models that predicts best."""
    num_bad: int
    """Observations whose value cannot be trusted."""


@dataclasses.dataclass(frozen=True)
class ModelComparison:
    """Models from the best to the worst. Print it, iterate over it, or hand `to_dict()` to a data frame."""

    rows: tuple[ComparedModel, ...]
    notes: tuple[str, ...]
    """What to keep in mind."""

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[ComparedModel]:
        return iter(self.rows)

    def __getitem__(self, name: str) -> ComparedModel:
        """The row of this model."""
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(name)

    def to_dict(self) -> dict[str, list[Any]]:
        """Columns, ready for `pandas.DataFrame` or `polars.DataFrame`."""
        fields = [field.name for field in dataclasses.fields(ComparedModel)]
        return {field: [getattr(row, field) for row in self.rows] for field in fields}

    def __str__(self) -> str:
        """A table, and the notes below it."""
        lines = [["", "elpd", "difference", "its error", "p_loo", "weight"]]
        for row in self.rows:
            numbers = (row.elpd, row.difference, row.std_error, row.p_loo)
            lines.append([row.name, *(f"{x:.1f}" for x in numbers), f"{row.weight:.2f}"])
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        body = ["  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]) for line in lines]
        return "\n".join([*body, *self.notes])


def compare(models: Mapping[str, LeaveOneOut]) -> ModelComparison:
    """Order models by how well they predict what they have not seen.

    Args:
        models: Results of `loo` by name, all from the same rows: pass one container to all, also where a model leaves
            some columns alone.

    Raises:
        ValueError: Fewer than two models, or values from different data.

    Example:
        >>> from numpyro.distributions import Normal
        >>> battles = sx.data.Comparisons.from_arrays([0, 0, 1, 0], [1, 1, 0, 1], [1.0, 1.0, 1.0, 0.5])
        >>> model = sx.choice.BradleyTerry.init(2)
        >>> results = {}
        >>> for name, scale in [("apart", 1.0), ("alike", 0.01)]:
        ...     prior = sx.inference.iid_prior(model, {"strength": Normal(0.0, scale)})
        ...     posterior = sx.inference.sample(
        ...         model, battles, key=jax.random.key(0), method="laplace", prior=prior, progress=False
        ...     )
        ...     results[name] = sx.inference.loo(posterior, battles)
        >>> compare(results).rows[0].name
        'alike'

    Source: Vehtari, Gelman & Gabry (2017), arXiv:1507.04544; Yao, Vehtari, Simpson & Gelman (2018), arXiv:1704.02030
        (weights); Sivula, Magnusson, Matamoros & Vehtari (2020), arXiv:2008.10296 (when errors are too small).
    """
    if len(models) < 2:
        raise ValueError(f"a comparison needs at least two models, not {len(models)}")
    names = sorted(models, key=lambda name: -np.nan_to_num(models[name].elpd, nan=-np.inf))
    best = models[names[0]]
    other = next((name for name in names if models[name].fingerprint != best.fingerprint), None)
    if other is not None:
        raise ValueError(
            f"{names[0]!r} and {other!r} come from different data ({_size(best)} and {_size(models[other])}): "
            "predictions of different observations cannot be compared. Pass the very same container to loo for all "
            "models."
        )
    count = np.asarray(best.count, np.float64)
    values = np.stack([np.asarray(models[name].pointwise, np.float64) for name in names], axis=1)
    finite = bool(np.isfinite(values[count > 0]).all())
    weight = stacking_weights(values, count) if finite else np.full(len(names), np.nan)
    with np.errstate(invalid="ignore"):
        apart = values - values[:, :1]
    rows = tuple(
        ComparedModel(
            name=name,
            elpd=models[name].elpd,
            difference=models[name].elpd - best.elpd,
            std_error=deviation_of_sum(apart[:, i], count),
            p_loo=models[name].p_loo,
            weight=float(weight[i]),
            num_bad=models[name].num_bad,
        )
        for i, name in enumerate(names)
    )
    return ModelComparison(rows, tuple(_notes(rows, float(count.sum()), finite)))


def _size(result: LeaveOneOut) -> str:
    return f"{result.count.size} rows of {float(np.asarray(result.count, np.float64).sum()):g} observations"


def _notes(rows: tuple[ComparedModel, ...], observations: float, finite: bool) -> Iterator[str]:
    if not finite:
        yield "Some predictive densities are not finite: a model held an observation to be impossible."
    bad = [f"{row.name} ({row.num_bad})" for row in rows if row.num_bad]
    if bad:
        yield f"Not to be trusted, for observations with a large Pareto k: {', '.join(bad)}."
    if any(row.difference > -4 for row in rows[1:]):
        yield "A difference below 4 is small: the models predict alike, and its error is not to be trusted."
    if observations < 100:
        yield f"With {observations:g} observations the errors are too small: do not read them as certainty."
