"""A leaderboard: every number with its uncertainty, from a fit, a bootstrap or a posterior."""

import csv
import dataclasses
import functools
import io
import json
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from scorax.data import Comparisons, PairCounts, Rankings
from scorax.inference import Bootstrap, Fit, Posterior
from scorax.stats import rank_summary

_POINTS_PER_LOG_ODDS = 400 / math.log(10)
_CENTRE = 1000.0
# Draws from the normal approximation of a fit: enough for two digits of a probability.
_FIT_DRAWS = 10_000


def rating(strength: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """Strengths (natural-log worths, mean zero) on the Elo scale: 1000 on average, 400 points for odds of 10 to 1.

    Example:
        >>> rating(jnp.array([0.0, 2.302585]))
        Array([1000., 1400.], dtype=float32)

    Source: Elo (1978), "The Rating of Chessplayers, Past and Present".
    """
    return _CENTRE + _POINTS_PER_LOG_ODDS * strength


@dataclasses.dataclass(frozen=True)
class LeaderboardRow:
    """One item of a leaderboard."""

    item: str
    rating: float
    theta: float
    """Strength: natural-log worth, mean zero over items."""
    std_error: float
    """Of the rating (posterior or bootstrap standard deviation, or from the information)."""
    lower: float
    upper: float
    """Interval of the rating."""
    rank: int
    rank_lower: int
    rank_upper: int
    """Interval of the rank; 1 is best."""
    p_best: float
    comparisons: float
    """Observations that this item took part in."""


@dataclasses.dataclass(frozen=True)
class Leaderboard:
    """Rows from best to worst. Print it, iterate over it, or write it as JSON or CSV."""

    rows: tuple[LeaderboardRow, ...]
    level: float
    scale: str

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self):
        return iter(self.rows)

    def __getitem__(self, index: int) -> LeaderboardRow:
        return self.rows[index]

    def to_dicts(self) -> list[dict[str, Any]]:
        """The rows as dictionaries, ready for `pandas.DataFrame` or `polars.DataFrame`."""
        return [dataclasses.asdict(row) for row in self.rows]

    def to_json(self) -> str:
        """A JSON array of the rows; a number that does not exist is null."""
        clean = [{key: _or_null(value) for key, value in row.items()} for row in self.to_dicts()]
        return json.dumps(clean, indent=1, ensure_ascii=False)

    def to_csv(self) -> str:
        """Comma-separated text with a header line; a number that does not exist is empty."""
        text = io.StringIO()
        writer = csv.DictWriter(text, [field.name for field in dataclasses.fields(LeaderboardRow)], lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: _or_null(value) for key, value in row.items()} for row in self.to_dicts())
        return text.getvalue()

    def cells(self) -> tuple[list[str], list[list[str]]]:
        """Headings and text of a table for people, from best to worst."""
        digits = 0 if self.scale == "elo" else 2
        percent = f"{100 * self.level:g}%"
        headings = ["rank", "item", "rating", f"{percent} interval", f"{percent} ranks", "P(best)", "comparisons"]
        body = [
            [
                str(row.rank),
                row.item,
                f"{row.rating:.{digits}f}",
                f"{row.lower:.{digits}f} to {row.upper:.{digits}f}",
                f"{row.rank_lower} to {row.rank_upper}" if row.rank_lower != row.rank_upper else str(row.rank_lower),
                _probability(row.p_best),
                f"{row.comparisons:g}",
            ]
            for row in self.rows
        ]
        return headings, body

    def __str__(self) -> str:
        headings, body = self.cells()
        widths = [max(len(line[j]) for line in [headings, *body]) for j in range(len(headings))]
        # Numbers to the right, the item's name to the left.
        align = [str.ljust if j == 1 else str.rjust for j in range(len(headings))]
        lines = [
            "  ".join(put(cell, width) for put, cell, width in zip(align, line, widths, strict=True)).rstrip()
            for line in [headings, *body]
        ]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        headings, body = self.cells()
        head = "".join(f"<th>{cell}</th>" for cell in headings)
        lines = "".join("<tr>" + "".join(f"<td>{_escape(cell)}</td>" for cell in line) + "</tr>" for line in body)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>"


def leaderboard(
    result: Fit[Any] | Posterior | Bootstrap,
    data: Comparisons | PairCounts | Rankings,
    *,
    names: Sequence[str],
    scale: str = "elo",
    level: float = 0.95,
) -> Leaderboard:
    """Ratings, ranks and their uncertainty, from best to worst.

    Ratings are posterior means (or estimates); intervals are equal-tailed. From a `Fit`, intervals are normal ones, and
    those of ranks come from draws of the normal approximation with its whole covariance.

    Args:
        result: Of a model with a `strength`, as `BradleyTerry` or `PlackettLuce`: from `fit`, `bootstrap` or `sample`.
        data: What was fitted, for the number of comparisons.
        names: Of the items, such as the vocabulary that came with the data.
        scale: `"elo"`, see `rating`, or `"log"` for strengths.
        level: Of all intervals.

    Raises:
        ValueError: `level` is not inside (0, 1), `scale` is unknown, or there are not as many names as strengths.

    Example:
        >>> battles, models = sx.data.datasets.load_food()
        >>> result = sx.inference.fit(sx.choice.BradleyTerry.init(len(models)), battles)
        >>> sx.choice.leaderboard(result, battles, names=models)[0].rank
        1
    """
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, not {level}")
    if scale not in ("elo", "log"):
        raise ValueError(f"scale must be 'elo' or 'log', not {scale!r}")
    theta, std_error, lower, upper, draws = _uncertainty(result, level)
    if len(names) != theta.size:
        raise ValueError(f"there are {len(names)} names for {theta.size} strengths")
    ranks = rank_summary(jnp.asarray(draws), level=level)
    unit = _POINTS_PER_LOG_ODDS if scale == "elo" else 1.0
    centre = _CENTRE if scale == "elo" else 0.0
    counts = appearances(data, theta.size)
    order = np.argsort(-theta, kind="stable")
    rows = tuple(
        LeaderboardRow(
            item=str(names[int(i)]),
            rating=float(centre + unit * theta[i]),
            theta=float(theta[i]),
            std_error=float(unit * std_error[i]),
            lower=float(centre + unit * lower[i]),
            upper=float(centre + unit * upper[i]),
            rank=position + 1,
            rank_lower=int(ranks.lower[i]),
            rank_upper=int(ranks.upper[i]),
            p_best=float(ranks.p_best[i]),
            comparisons=float(counts[i]),
        )
        for position, i in enumerate(order)
    )
    return Leaderboard(rows, level, scale)


def _strength(model: Any) -> Float[Array, "... k"]:
    return model.strength


def _uncertainty(result: Fit[Any] | Posterior | Bootstrap, level: float) -> tuple[np.ndarray, ...]:
    """Estimate, standard error, interval, and draws of the strengths."""
    tail = (1 - level) / 2
    if isinstance(result, Fit):
        estimate = result.map(_strength)
        theta, std_error = np.asarray(estimate.value, np.float64), np.asarray(estimate.std_error, np.float64)
        reach = float(jax.scipy.special.ndtri(1 - tail)) * std_error
        # A fixed seed: the same votes give the same leaderboard.
        generator = np.random.default_rng(0)
        # Singular along the constant, up to rounding: a square root by eigenvalues, where Cholesky's might not exist.
        spread, axes = np.linalg.eigh(np.asarray(estimate.covariance, np.float64))
        root = axes * np.sqrt(np.maximum(spread, 0))
        draws = theta + generator.standard_normal((_FIT_DRAWS, theta.size)) @ root.T
        return theta, std_error, theta - reach, theta + reach, draws
    draws = np.asarray(result.map(_strength), np.float64)
    draws = draws.reshape(-1, draws.shape[-1])
    lower, upper = np.quantile(draws, [tail, 1 - tail], axis=0)
    return draws.mean(0), draws.std(0, ddof=1), lower, upper, draws


@functools.singledispatch
def appearances(data: Any, n_items: int) -> np.ndarray:
    """How many observations each item took part in, weights aside."""
    raise TypeError(f"no items to count in {type(data).__name__}")


@appearances.register
def _(data: Comparisons, n_items: int) -> np.ndarray:
    count = np.asarray(data.count, np.float64)
    sides = (np.asarray(data.a), np.asarray(data.b))
    return np.sum([np.bincount(side, count, n_items) for side in sides], axis=0)


@appearances.register
def _(data: PairCounts, n_items: int) -> np.ndarray:
    count = np.asarray(data.count, np.float64).sum(0)
    return count.sum(0) + count.sum(1)


@appearances.register
def _(data: Rankings, n_items: int) -> np.ndarray:
    count = np.asarray(data.count, np.float64)[:, None] * np.asarray(data.where)
    listed = np.bincount(np.asarray(data.order).ravel(), count.ravel(), n_items)
    return listed if data.rest is None else listed + np.asarray(data.count, np.float64) @ np.asarray(data.rest)


def _or_null(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _probability(p: float) -> str:
    if 0 < p < 0.001:
        return "<0.001"
    return f"{p:.3f}"


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
