"""A table of posterior summaries: one row for every number drawn."""

import dataclasses
import html
import itertools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from scorax.inference._diagnostics import effective_sample_size, mcse_mean, rhat


@dataclasses.dataclass(frozen=True)
class SummaryRow:
    """One number's posterior."""

    name: str
    mean: float
    sd: float
    lower: float
    median: float
    upper: float
    rhat: float
    ess_bulk: float
    ess_tail: float
    mcse_mean: float


@dataclasses.dataclass(frozen=True)
class Summary:
    """Rows in the order of the sites. Print it, iterate over it, or hand `to_dict()` to a data frame."""

    rows: tuple[SummaryRow, ...]
    level: float

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self):
        return iter(self.rows)

    def __getitem__(self, name: str) -> SummaryRow:
        """The row of this name, such as `"scale"` or `"strength[gpt-4]"`."""
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(name)

    def to_dict(self) -> dict[str, list[Any]]:
        """Columns, ready for `pandas.DataFrame` or `polars.DataFrame`."""
        fields = [field.name for field in dataclasses.fields(SummaryRow)]
        return {field: [getattr(row, field) for row in self.rows] for field in fields}

    def cells(self) -> tuple[list[str], list[list[str]]]:
        """Headings and text of a table for people."""
        tail = 50 * (1 - self.level)
        headings = ["", "mean", "sd", f"{tail:g}%", "50%", f"{100 - tail:g}%", "R-hat", "ESS bulk", "ESS tail", "MCSE"]
        body = [
            [
                row.name,
                *(f"{x:.3f}" for x in (row.mean, row.sd, row.lower, row.median, row.upper)),
                f"{row.rhat:.3f}",
                f"{row.ess_bulk:.0f}",
                f"{row.ess_tail:.0f}",
                f"{row.mcse_mean:.1g}",
            ]
            for row in self.rows
        ]
        return headings, body

    def __str__(self) -> str:
        headings, body = self.cells()
        widths = [max(map(len, column)) for column in zip(headings, *body, strict=True)]
        return "\n".join(
            "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]) for line in [headings, *body]
        )

    def _repr_html_(self) -> str:
        headings, body = self.cells()
        head = "".join(f"<th>{cell}</th>" for cell in headings)
        lines = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in line) + "</tr>" for line in body)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>"


def summarise(draws: dict[str, Array], names: Sequence[str] | None, level: float) -> Summary:
    """Summaries of every entry of every array of draws `[chain, draw, ...]`; see `Posterior.summary`."""
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, not {level}")
    labels = [label for name, value in draws.items() for label in _labels(name, value.shape[2:], names)]
    if names is not None and not any(len(names) in value.shape[2:] for value in draws.values()):
        shapes = {name: value.shape[2:] for name, value in draws.items()}
        raise ValueError(f"there are {len(names)} names, but nothing drawn has an axis of that length: {shapes}")
    flat = np.concatenate([np.asarray(x, _default_float()).reshape(*x.shape[:2], -1) for x in draws.values()], axis=2)
    columns = jax.tree.map(np.asarray, _statistics(jnp.asarray(flat), jnp.asarray(level, flat.dtype)))
    return Summary(
        tuple(
            SummaryRow(label, **{name: float(column[i]) for name, column in columns.items()})
            for i, label in enumerate(labels)
        ),
        level,
    )


@jax.jit
def _statistics(x: Float[Array, "c r q"], level: Float[Array, ""]) -> dict[str, Float[Array, " q"]]:
    tail = (1 - level) / 2
    flat = x.reshape(-1, x.shape[2])
    lower, median, upper = jnp.quantile(flat, jnp.stack([tail, jnp.full_like(tail, 0.5), 1 - tail]), axis=0)
    return {
        "mean": flat.mean(0),
        "sd": flat.std(0, ddof=1),
        "lower": lower,
        "median": median,
        "upper": upper,
        "rhat": rhat(x),
        "ess_bulk": effective_sample_size(x, kind="bulk"),
        "ess_tail": effective_sample_size(x, kind="tail"),
        "mcse_mean": mcse_mean(x),
    }


def _labels(name: str, shape: tuple[int, ...], names: Sequence[str] | None) -> list[str]:
    axes = [list(map(str, range(size))) for size in shape]
    if names is not None and len(names) in shape:
        axes[shape.index(len(names))] = [str(item) for item in names]
    return [f"{name}[{', '.join(index)}]" if index else name for index in itertools.product(*axes)]


def _default_float() -> np.dtype:
    return np.dtype(jnp.result_type(float))
