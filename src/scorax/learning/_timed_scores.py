"""Scores over time: what was scored, when, and by which source."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from scorax.data import AbstractRows, Vocabulary, refuse
from scorax.learning._dates import to_years
from scorax.learning._score_table import score_columns


class TimedScores(AbstractRows):
    """Scores over time, one or several equal ones a row.

    `time` is in any unit, years where it came from dates (see `to_years`); single precision keeps these to an hour.
    `group` is the id of the source: a newspaper, a judge, a country. `weight` is what a row adds to the likelihood,
    `count` how many equal scores it stands for.

    Example:
        >>> scores = TimedScores.from_arrays([2021.0, 2022.0, 2023.0], [6.0, 5.0, 5.5])
        >>> scores.group
        Array([0, 0, 0], dtype=int32)
    """

    time: Float[Array, " n"]
    score: Float[Array, " n"]
    group: Int[Array, " n"]
    weight: Float[Array, " n"]
    count: Float[Array, " n"]

    @classmethod
    def from_arrays(
        cls,
        time: Any,
        score: Any,
        *,
        group: Any = None,
        weight: Any = None,
        count: Any = None,
        n_groups: int | None = None,
    ) -> "TimedScores":
        """Check and build from arrays, one entry a row.

        Args:
            time: Numbers in any unit, or dates, which become years.
            score: Finite numbers.
            group: Id of the source of each score, counted from 0; one source by default.
            weight: What a row adds to the likelihood, at least 0; `count` by default.
            count: How many equal scores a row stands for; 1 by default.
            n_groups: Number of sources, where it is known: ids are checked against it.

        Raises:
            ValueError: no rows, lengths that differ, a missing or infinite value, an id that is none, a bad weight.

        Example:
            >>> TimedScores.from_arrays(["2024-01-01", "2024-07-01"], [7, 6]).time.round(2)
            Array([2024. , 2024.5], dtype=float32)
        """
        scores = _numbers("score", score)
        n = len(scores)
        if n == 0:
            raise ValueError("there are no scores: the data are empty")
        raw = np.asarray(time)
        times = _numbers("time", raw if raw.dtype.kind in "fiub" else to_years(time), n)
        counts = np.ones(n) if count is None else _numbers("count", count, n, lower=0.0)
        weights = counts if weight is None else _numbers("weight", weight, n, lower=0.0)
        refuse((counts == 0) & (weights != 0), "weight is not 0 although count is 0", "A row of padding has both 0.")
        if not weights.max() > 0:
            raise ValueError("every weight is 0: nothing is left to learn from")
        ids = np.zeros(n, np.int32) if group is None else _ids(group, n, n_groups)
        time, score, weight, count = (jnp.asarray(column, float) for column in (times, scores, weights, counts))
        return cls(time=time, score=score, group=jnp.asarray(ids, jnp.int32), weight=weight, count=count)

    @classmethod
    def from_frame(
        cls,
        frame: Any,
        *,
        time: str | None = None,
        score: str | None = None,
        group: str | None = None,
        weight: str | None = None,
        count: str | None = None,
        vocabulary: Vocabulary | None = None,
    ) -> tuple["TimedScores", Vocabulary]:
        """From a table with one score a row.

        Args:
            frame: A pandas or polars data frame, a pyarrow table, or a mapping from names to columns.
            time: Column of numbers or dates; by default `time`, `date`, `timestamp` or `year`. Dates, also as text in
                ISO 8601, become years (see `to_years`).
            score: Column of scores; by default `score`, `value`, `rating` or `opinion`.
            group: Column that names the source; one source by default.
            weight: Column of weights; by default the counts.
            count: Column of counts; by default one.
            vocabulary: The sources, where they are known; the sorted distinct names by default.

        Returns:
            The scores, and the names of their sources (`all` where there is one).

        Raises:
            ValueError: a column is not there, a value is missing or is no number, a name is unknown.

        Example:
            >>> scores, papers = TimedScores.from_frame(
            ...     {"date": ["2024-01-01", "2024-07-01"], "score": [7, 6], "paper": ["Post", "Mail"]}, group="paper"
            ... )
            >>> papers.names, scores.group
            (('Mail', 'Post'), Array([1, 0], dtype=int32))
        """
        columns, names = score_columns(frame, time, score, group, weight, count, vocabulary)
        return cls.from_arrays(columns.pop("time"), columns.pop("score"), **columns), names


def _numbers(name: str, values: Any, n: int | None = None, *, lower: float = -np.inf) -> np.ndarray:
    """Finite numbers, one a row."""
    raw = np.asarray(values)
    if raw.dtype.kind not in "fiub":
        raise ValueError(f"{name} holds {raw.dtype} values, not numbers")
    if raw.ndim != 1 or (n is not None and len(raw) != n):
        raise ValueError(f"{name} has shape {raw.shape}; expected one number a row" + (f" ({n})" if n else ""))
    found = raw.astype(np.float64)
    refuse(np.isnan(found), f"{name} is missing (NaN)", "Drop these rows or fill them in.")
    refuse(np.isinf(found), f"{name} is infinite", "Drop these rows or mend them.")
    refuse(found < lower, f"{name} is negative", "It must be at least 0.")
    return found


def _ids(group: Any, n: int, n_groups: int | None) -> np.ndarray:
    raw = np.asarray(group)
    if raw.dtype.kind not in "iu":
        raise ValueError(
            f"group holds {raw.dtype} values, not integer ids. Names become ids with "
            "Vocabulary.of(names).encode(names), or use from_frame."
        )
    if raw.shape != (n,):
        raise ValueError(f"group has shape {raw.shape}; expected one id for each of the {n} rows")
    limit = 2**31 if n_groups is None else n_groups
    refuse((raw < 0) | (raw >= limit), f"group is no id from 0 to {limit - 1}", "Ids count from 0.")
    return raw
