"""A leaderboard: every number with its uncertainty, from a fit, a bootstrap or a posterior."""

import csv
import dataclasses
import functools
import io
import json
import math
import statistics
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float

from scorax.choice._estimators import GaussianPosterior
from scorax.choice._models import GlennDavid, PlackettLuceMixture, Structured, Thurstone, UnequalThurstone
from scorax.choice._strengths import StrengthAtFeatures, has_draws, normal_draws, strength_draws, strength_of, strengths
from scorax.choice._uncertainty import FirthFit
from scorax.data import Choices, Comparisons, Matches, PairCounts, Rankings, WithItemFeatures
from scorax.inference import Bootstrap, Fit, Posterior
from scorax.stats import rank_summary

_POINTS = 400.0
"""For odds of 10 to 1."""
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
    return _CENTRE + _POINTS / math.log(10) * strength


@dataclasses.dataclass(frozen=True)
class LeaderboardRow:
    """One item of a leaderboard."""

    item: str
    rating: float
    theta: float
    """Strength, mean zero over items: natural-log worth, or in units of the noise where that is not logistic."""
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
    result: Fit[Any] | FirthFit | GaussianPosterior | Posterior[Any] | Bootstrap[Any],
    data: Comparisons | PairCounts | Rankings | Choices | Matches | WithItemFeatures,
    *,
    names: Sequence[str],
    scale: str = "elo",
    level: float = 0.95,
) -> Leaderboard:
    """Ratings, ranks and their uncertainty, from best to worst.

    Ratings are posterior means (or estimates); intervals are equal-tailed. Without draws (from `fit`, `firth` and
    `ep_pairwise`), intervals are normal ones, and those of ranks come from draws of the normal approximation with its
    whole covariance.

    Args:
        result: Of a model with a `strength`, as `BradleyTerry` or `PlackettLuce`, or of `Structured`: from `fit`,
            `bootstrap` or `sample`; or from `firth` or `ep_pairwise`.
        data: What was fitted, for the number of comparisons, and for the features of items.
        names: Of the items, such as the vocabulary that came with the data.
        scale: `"elo"`: 1000 on average, and 400 points where the odds are 10 to 1, whatever the noise of the model;
            or `"log"` for the strengths as they are.
        level: Of all intervals.

    Raises:
        ValueError: `level` is not inside (0, 1), `scale` is unknown, there are not as many names as strengths, or the
            model has no order of all items.

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
    model = getattr(result, "model", None)
    if not (model is None or isinstance(model, Structured) or hasattr(model, "strength")):
        raise ValueError(f"{type(model).__name__} has no strength to order items by")
    if isinstance(model, PlackettLuceMixture):
        raise ValueError("every group of a mixture has strengths of its own, so there is no one leaderboard")
    if isinstance(model, Structured) and not isinstance(data, WithItemFeatures):
        raise ValueError(f"Structured takes strengths from features: pass WithItemFeatures, not {type(data).__name__}")
    of = StrengthAtFeatures(data) if isinstance(data, WithItemFeatures) else strength_of
    theta, std_error, lower, upper, draws = _uncertainty(result, of, level)
    if len(names) != theta.size:
        raise ValueError(f"there are {len(names)} names for {theta.size} strengths")
    ranks = rank_summary(draws, level=level)
    unit = _POINTS / ten_to_one(model) if scale == "elo" else 1.0
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


class _Uncertainty(NamedTuple):
    """Of the strengths."""

    value: np.ndarray
    std_error: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    draws: Float[Array, "s k"]


def _uncertainty(result: Any, of: Any, level: float) -> _Uncertainty:
    moments, tail = strengths(result, of), (1 - level) / 2
    value, std_error = np.asarray(moments.value), np.sqrt(np.asarray(moments.covariance).diagonal())
    if has_draws(result):
        draws = strength_draws(result, of)
        lower, upper = np.quantile(np.asarray(draws), [tail, 1 - tail], axis=0)
        return _Uncertainty(value, std_error, lower, upper, draws)
    reach = float(jax.scipy.special.ndtri(1 - tail)) * std_error
    # A fixed key: the same votes give the same leaderboard.
    draws = normal_draws(*moments, jax.random.key(0), _FIT_DRAWS)
    return _Uncertainty(value, std_error, value - reach, value + reach, draws)


@functools.singledispatch
def ten_to_one(model: Any) -> float:
    """The difference of strengths at which odds are 10 to 1."""
    return math.log(10)


@ten_to_one.register
def _(model: Thurstone) -> float:
    wins = 10 / 11
    return statistics.NormalDist().inv_cdf(wins) if model.link == "probit" else math.tan(math.pi * (wins - 0.5))


@ten_to_one.register
def _(model: GlennDavid | UnequalThurstone) -> float:
    return statistics.NormalDist().inv_cdf(10 / 11)


@ten_to_one.register
def _(model: Structured) -> float:
    return ten_to_one(model.base)


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
def _(data: WithItemFeatures, n_items: int) -> np.ndarray:
    return appearances(data.rows, n_items)


@appearances.register
def _(data: PairCounts, n_items: int) -> np.ndarray:
    count = np.asarray(data.count, np.float64).sum(0)
    return count.sum(0) + count.sum(1)


@appearances.register
def _(data: Choices, n_items: int) -> np.ndarray:
    return _placed(data.offered, data.where, data.count, n_items)


@appearances.register
def _(data: Matches, n_items: int) -> np.ndarray:
    return _placed(data.members, data.where, data.count, n_items)


@appearances.register
def _(data: Rankings, n_items: int) -> np.ndarray:
    listed = _placed(data.order, data.where, data.count, n_items)
    return listed if data.rest is None else listed + np.asarray(data.count, np.float64) @ np.asarray(data.rest)


def _placed(ids: Any, where: Any, count: Any, n_items: int) -> np.ndarray:
    """Sums of counts over the places that an item fills."""
    filled = np.asarray(where)
    of_place = np.asarray(count, np.float64).reshape(-1, *[1] * (filled.ndim - 1)) * filled
    return np.bincount(np.asarray(ids).ravel(), of_place.ravel(), n_items)


def _or_null(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _probability(p: float) -> str:
    if 0 < p < 0.001:
        return "<0.001"
    return f"{p:.3f}"


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
