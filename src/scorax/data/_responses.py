"""Score matrices: several systems measured on the same samples, whatever each sample's scores mean."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from scorax.data._base import AbstractRows
from scorax.data._comparisons import PairCounts
from scorax.data._frame import Table, natural
from scorax.data._ragged import appearance
from scorax.data._rankings import Rankings
from scorax.data._tie_levels import levels_of_ties
from scorax.data._validate import (
    is_concrete,
    refuse,
    refuse_empty,
    to_array,
    to_clusters,
    to_float_array,
    to_numbers,
    to_weights,
    to_where,
)
from scorax.data._vocabulary import Vocabulary

TIES = ("full", "half", "keep")


class Responses(AbstractRows):
    """Scores of systems, a row a sample, a column a system; comparable within a row only.

    `value[i, j]` is what system j scored on sample i, any number where `where` is false. `direction` is +1 where larger
    scores are better, -1 where smaller ones are. `weight` is what a sample adds, `count` how many equal samples it
    stands for. Samples of one `cluster` (task, document) are not independent.

    Source: Ghosh, Dziadzio, Prabhu, Udandarao, Albanie, Bethge (2025), arXiv:2412.06745 (comparing within samples).
    """

    value: Float[Array, "n k"]
    where: Bool[Array, "n k"]
    direction: Float[Array, " n"]
    weight: Float[Array, " n"]
    count: Float[Array, " n"]
    cluster: Int[Array, " n"] | None = None

    @classmethod
    def from_arrays(
        cls,
        value: Any,
        *,
        where: Any = None,
        direction: Any = 1.0,
        weight: Any = None,
        count: Any = None,
        cluster: Any = None,
    ) -> "Responses":
        """Check and build from arrays.

        Args:
            value: `[n, k]` scores, a row a sample, a column a system. NaN is a missing score.
            where: `[n, k]`, which scores are there; all that are not NaN by default.
            direction: +1 where larger is better, -1 where smaller is; one a sample, or one for all.
            weight: What a sample adds to the likelihood; `count` by default.
            count: How many samples a row stands for; 1 by default.
            cluster: Id of the task of each sample.

        Raises:
            ValueError: no rows, shapes that differ, a sample or a system without any score, an infinite score, a
                direction that is neither, a bad weight.

        Example:
            >>> Responses.from_arrays([[0.2, 0.9], [1.0, np.nan]]).where
            Array([[ True,  True],
                   [ True, False]], dtype=bool)
        """
        raw = to_array("value", value)
        if raw.ndim != 2:
            raise ValueError(f"value has shape {raw.shape}; expected [n, k]: a row a sample, a column a system")
        refuse_empty(raw.size, "scores")
        if raw.dtype.kind not in "fiub":
            raise ValueError(f"value holds {raw.dtype} values, not numbers; a missing score is NaN")
        raw = raw.astype(np.float64)
        there = ~np.isnan(raw) if where is None else to_where("where", where, raw.shape, "value")
        refuse(~there.any(1), "a sample has no score", "Drop these rows.")
        idle = np.flatnonzero(~there.any(0))
        if idle.size:
            raise ValueError(
                f"{idle.size} of {raw.shape[1]} systems have no score (columns {idle[:3].tolist()}): leave them out"
            )
        n = len(raw)
        signs = to_numbers("direction", direction, (n,))
        refuse(np.abs(signs) != 1, "direction is not +1 or -1", "It says whether larger or smaller scores are better.")
        weights, counts = to_weights(weight, count, n)
        return cls(
            value=to_float_array(to_numbers("value", np.where(there, raw, 0.0), raw.shape)),
            where=jnp.asarray(there),
            direction=to_float_array(signs),
            weight=weights,
            count=counts,
            cluster=to_clusters(cluster, n),
        )

    @classmethod
    def from_frame(
        cls,
        frame: Any,
        *,
        sample: str | None = None,
        system: str | None = None,
        score: str | None = None,
        direction: str | float | int = 1.0,
        weight: str | None = None,
        count: str | None = None,
        cluster: str | None = None,
        vocabulary: Vocabulary | None = None,
    ) -> tuple["Responses", Vocabulary]:
        """From a long table: each row says what one system scored on one sample.

        Args:
            frame: A pandas or polars data frame, a pyarrow table, or a mapping from names to columns.
            sample: Column that names the sample; by default `sample`, `item`, `question` or `task`.
            system: Column that names the system; by default `system`, `model` or `candidate`.
            score: Column of scores; by default `score`, `value` or `metric`.
            direction: +1 or -1 for all, or a column of these, the same in all rows of a sample.
            weight: Column of weights, the same in all rows of a sample; by default the counts.
            count: Column of counts, the same in all rows of a sample.
            cluster: Column that names the task, the same in all rows of a sample.
            vocabulary: The systems, where they are known; the sorted distinct names by default.

        Returns:
            The scores, samples in order of appearance, and the names of the systems.

        Raises:
            ValueError: a column is not there, a value is missing, a system has two scores on a sample.

        Example:
            >>> scores, systems = Responses.from_frame(
            ...     {"sample": ["q1", "q1", "q2"], "model": ["gpt", "llama", "gpt"], "score": [0.5, 0.7, 1.0]}
            ... )
            >>> scores.value.shape, scores.where.sum(), systems.names
            ((2, 2), Array(3, dtype=int32), ('gpt', 'llama'))
        """
        table = Table(frame)
        of_sample = table.words(table.find(sample, "sample", ("sample", "item", "question", "task")))
        of_system = table.words(table.find(system, "system", ("system", "model", "candidate")))
        numbers = table.numbers(table.find(score, "score", ("score", "value", "metric")))
        names = Vocabulary.of(natural(of_system.distinct)) if vocabulary is None else vocabulary
        column = of_system.ids(names)
        first, row = appearance(of_sample.place)
        cell = row * len(names) + column
        again = np.ones(len(cell), bool)
        again[np.unique(cell, return_index=True)[1]] = False
        refuse(again, "a system has another score on the same sample", "Keep one of them, or their mean.")
        value = np.full((len(first), len(names)), np.nan)
        value[row, column] = numbers
        _refuse_idle(value, names)
        others = _columns(table, direction, weight, count, cluster, first, row)
        return cls.from_arrays(value, **others), names

    @classmethod
    def from_wide_frame(
        cls,
        frame: Any,
        *,
        systems: Sequence[str] | None = None,
        sample: str | None = None,
        direction: str | float | int = 1.0,
        weight: str | None = None,
        count: str | None = None,
        cluster: str | None = None,
    ) -> tuple["Responses", Vocabulary]:
        """From a wide table: a row a sample, a column a system; an empty cell is a missing score.

        Args:
            frame: As in `from_frame`.
            systems: Columns of scores, as numbers or as text; by default all that have no other role.
            sample: Column that names the sample. It is not read, but it is no system.
            direction: +1 or -1 for all, or a column of these.
            weight: Column of weights; by default the counts.
            count: Column of counts.
            cluster: Column that names the task.

        Returns:
            The scores, and the names of the systems in the order of their columns.

        Raises:
            ValueError: a column is not there or holds text, a sample or a system has no score.

        Example:
            >>> scores, systems = Responses.from_wide_frame(
            ...     {"id": [7, 8], "gpt": [0.5, 1.0], "llama": [0.7, np.nan]}, sample="id"
            ... )
            >>> scores.where.sum(), systems.names
            (Array(3, dtype=int32), ('gpt', 'llama'))
        """
        table = Table(frame)
        roles = {name for name in (sample, direction, weight, count, cluster) if isinstance(name, str)}
        for name in roles:
            table.require(name, "a role of its own")
        left = [name for name in table.names if name not in roles]
        if not left:
            raise ValueError("no column is left for the systems")
        chosen = left if systems is None else table.require_all(systems, "systems")
        for name in roles & set(chosen):
            raise ValueError(f"column {name!r} is named as a system and in a role of its own: leave it out of one")
        mend = "If it names the samples, pass sample={!r}; if not, name the columns of scores with systems=[...]."
        value = np.stack([table.scores(name, mend.format(name)) for name in chosen], axis=1)
        _refuse_idle(value, chosen)
        rows = np.arange(len(table))
        others = _columns(table, direction, weight, count, cluster, rows, rows)
        return cls.from_arrays(value, **others), Vocabulary(tuple(chosen))

    def canonical(self) -> "Responses":
        """The same scores with 0 where there is none."""
        return Responses(
            jnp.where(self.where, self.value, 0), self.where, self.direction, self.weight, self.count, self.cluster
        )

    def table(self, ties: str = "half") -> PairCounts:
        """Count, for each two systems, on how many samples the one scored better than the other.

        Only scores of one sample are compared, so any increasing transform of a sample's scores changes nothing. The
        sums of weights and counts are the samples'; on the host in 64 bits where values are known, and under `jit`,
        `vmap` or `grad` in the weight's dtype and differentiable in the weight.

        Args:
            ties: Of equal scores: `"half"` adds half a win to each side, `"full"` a whole one (a tie is then two
                games), `"keep"` counts the tie as such, for a model of ties.

        Raises:
            ValueError: `ties` is unknown.

        Example:
            >>> Responses.from_arrays([[0.2, 0.9], [1.0, 1.0]]).table().weight[0]
            Array([[0. , 0.5],
                   [1.5, 0. ]], dtype=float32)

        Source: Ghosh, Dziadzio, Prabhu, Udandarao, Albanie, Bethge (2025), "ONEBench to test them all",
        arXiv:2412.06745.
        """
        if ties not in TIES:
            raise ValueError(f"ties must be one of {TIES}, not {ties!r}")
        known = is_concrete(self.value, self.where, self.direction, self.weight, self.count)
        sums = _host_sums(self) if known else _traced_sums(self)
        tables = []
        for better, equal in sums:
            if ties == "keep":
                tables.append(jnp.stack([better, jnp.triu(equal)]))
            else:
                share = equal if ties == "full" else equal / 2
                tables.append(jnp.stack([better + share, jnp.zeros_like(better)]))
        return PairCounts(*tables)

    def rankings(self) -> Rankings:
        """Each sample as a ranking of the systems that it scored, best first, equal scores tied.

        Samples of a single score become rankings of one, which say nothing. On the host.

        Example:
            >>> rankings = Responses.from_arrays([[0.2, 0.9, 0.5], [1.0, np.nan, 1.0]], direction=[1, -1]).rankings()
            >>> rankings.order, rankings.tie_level
            (Array([[1, 2, 0],
                   [0, 2, 0]], dtype=int32), Array([[0, 1, 2],
                   [0, 0, 0]], dtype=int32))
        """
        where = np.asarray(self.where)
        better = np.where(where, np.asarray(self.value) * np.asarray(self.direction)[:, None], -np.inf)
        order = np.argsort(-better, axis=1, kind="stable")
        along = np.take_along_axis(better, order, axis=1)
        level = np.zeros(order.shape, int)
        level[:, 1:] = (along[:, 1:] != along[:, :-1]).cumsum(1)
        filled = np.arange(where.shape[1])[None, :] < where.sum(1)[:, None]
        longest = int(where.sum(1).max())
        return Rankings.from_arrays(
            np.where(filled, order, 0)[:, :longest],
            where=filled[:, :longest],
            tie_level=levels_of_ties(level[:, :longest], filled[:, :longest]),
            weight=np.asarray(self.weight),
            count=np.asarray(self.count),
            cluster=None if self.cluster is None else np.asarray(self.cluster),
            n_items=where.shape[1],
        )

    def mean_differences(self) -> tuple[Float[Array, "k k"], Float[Array, "k k"]]:
        """Weighted mean of the row's score minus the column's over the samples that have both, and their total weight.

        What `scorax.choice.hodge_decompose` takes, where scores of different samples are on one scale. The mean is 0
        where no sample has both. Differentiable.

        Example:
            >>> difference, weight = Responses.from_arrays([[0.0, 1.0], [0.0, 2.0], [np.nan, 9.0]]).mean_differences()
            >>> difference[1, 0], weight[1, 0]
            (Array(1.5, dtype=float32), Array(2., dtype=float32))
        """
        there = self.where.astype(self.value.dtype)
        weighted = there * self.weight.astype(self.value.dtype)[:, None]
        total = weighted.T @ there
        better = jnp.where(self.where, self.value * self.direction[:, None], 0)
        sums = (better * weighted).T @ there
        met = total > 0
        return jnp.where(met, (sums - sums.T) / jnp.where(met, total, 1), 0), total


def _columns(
    table: Table,
    direction: str | float | int,
    weight: str | None,
    count: str | None,
    cluster: str | None,
    first: np.ndarray,
    row: np.ndarray,
) -> dict[str, Any]:
    """The samples' other columns, which must not change within a sample."""
    columns: dict[str, Any] = {} if isinstance(direction, str) else {"direction": direction}
    named = {"direction": direction if isinstance(direction, str) else None, "weight": weight, "count": count}
    for role, name in {**named, "cluster": cluster}.items():
        if name is not None:
            table.require(name, role)
            lower = -np.inf if role == "direction" else 0.0
            values = table.groups(name) if role == "cluster" else table.numbers(name, lower=lower)
            refuse(values != values[first][row], f"column {name!r} changes within a sample")
            columns[role] = values[first]
    return columns


def _refuse_idle(value: np.ndarray, names: Sequence[str]) -> None:
    """Raise where a system has no score on any sample, with its name."""
    idle = [names[int(i)] for i in np.flatnonzero(np.isnan(value).all(0))]
    if idle:
        shown = ", ".join(map(repr, idle[:3])) + (", ..." if len(idle) > 3 else "")
        raise ValueError(f"{len(idle)} of {len(names)} systems have no score: {shown}. Leave them out.")


def _host_sums(data: Responses) -> list[tuple[Array, Array]]:
    """Weights and counts of better and of equal scores, `[k, k]` each."""
    better = np.asarray(data.value, np.float64) * np.asarray(data.direction, np.float64)[:, None]
    # NaN is neither above nor equal to anything.
    better[~np.asarray(data.where)] = np.nan
    columns = [np.asarray(data.weight, np.float64), np.asarray(data.count, np.float64)]
    same = np.array_equal(columns[0], columns[1])
    k = better.shape[1]
    sums = np.zeros((2, len(columns[same:]), k, k))
    chunk = max(1, min(255, 2**22 // k**2))
    for start in range(0, len(better), chunk):
        rows = slice(start, start + chunk)
        x = better[rows]
        for layer, found in enumerate((x[:, :, None] > x[:, None, :], x[:, :, None] == x[:, None, :])):
            for total, column in zip(sums[layer], columns[same:], strict=True):
                total += _weighted(found, column[rows])
    sums[1][:, np.arange(k), np.arange(k)] = 0
    better_sums, equal_sums = (jnp.asarray(layer, data.weight.dtype) for layer in sums)
    return [(better_sums[i], equal_sums[i]) for i in (0, -1)]


def _weighted(found: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Sum over rows; at most 255 of them, so that equal weights are counted in bytes."""
    if (weight == weight[0]).all():
        return weight[0] * np.add.reduce(found.view(np.uint8), axis=0, dtype=np.uint8)
    return np.tensordot(weight, found, axes=1)


def _traced_sums(data: Responses) -> list[tuple[Array, Array]]:
    better = jnp.where(data.where, data.value * data.direction[:, None], jnp.nan)
    zero = jnp.zeros((better.shape[1],) * 2, data.weight.dtype)
    off = ~jnp.eye(better.shape[1], dtype=bool)

    # Recomputed for the gradient: kept, the comparisons of all samples would fill the memory.
    @jax.checkpoint
    def add(sums: tuple[Array, ...], row: tuple[Array, Array, Array]) -> tuple[tuple[Array, ...], None]:
        x, weight, count = row
        above = x[:, None] > x[None, :]
        equal = (x[:, None] == x[None, :]) & off
        parts = [jnp.where(found, w, 0) for w in (weight, count.astype(weight.dtype)) for found in (above, equal)]
        return tuple(s + p for s, p in zip(sums, parts, strict=True)), None

    sums, _ = jax.lax.scan(add, (zero,) * 4, (jax.lax.stop_gradient(better), data.weight, data.count))
    return [(sums[0], sums[1]), (sums[2], sums[3])]
