"""Paired comparisons, as rows and as a table of pairs."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from scorax.data._base import AbstractData, AbstractRows
from scorax.data._comparisons_frame import comparisons_columns
from scorax.data._lists import listed_ids, to_lists
from scorax.data._pair_table import host_table, traced_table
from scorax.data._validate import (
    count_rows,
    is_concrete,
    refuse,
    refuse_empty,
    to_array,
    to_clusters,
    to_float_array,
    to_ids,
    to_int_array,
    to_numbers,
    to_weights,
)
from scorax.data._vocabulary import Vocabulary


class Comparisons(AbstractRows):
    """Comparisons of two items, one or several equal ones a row.

    `outcome` is 1 where `a` won, 1/2 for a tie, 0 where `b` won, or a probability. `order` is +1 where `a` stood first
    or played at home, -1 where `b` did, 0 on neutral ground. `features` are covariates of the comparison that change
    sign when `a` and `b` are swapped. Rows of one `cluster` (voter, prompt) are not independent. `time` says when,
    for rating systems and for skills that change.
    """

    a: Int[Array, " n"]
    b: Int[Array, " n"]
    outcome: Float[Array, " n"]
    weight: Float[Array, " n"]
    count: Float[Array, " n"]
    order: Float[Array, " n"] | None = None
    features: Float[Array, "n d"] | None = None
    cluster: Int[Array, " n"] | None = None
    time: Float[Array, " n"] | None = None

    @classmethod
    def from_arrays(
        cls,
        a: Any,
        b: Any,
        outcome: Any,
        *,
        weight: Any = None,
        count: Any = None,
        order: Any = None,
        features: Any = None,
        cluster: Any = None,
        time: Any = None,
        n_items: int | None = None,
    ) -> "Comparisons":
        """Check and build from arrays, one entry a row.

        Args:
            a: Ids of the first items, counted from 0.
            b: Ids of the second items.
            outcome: 1 where `a` won, 1/2 for a tie, 0 where `b` won; anything between is a soft label.
            weight: What a row adds to the likelihood, at least 0; `count` by default.
            count: How many observations a row stands for; 1 by default.
            order: +1 where `a` was first, -1 where `b` was, 0 for neither.
            features: `[n, d]`, or `[n]` for a single one; they change sign when `a` and `b` are swapped.
            cluster: Id of the voter or prompt of each row.
            time: When each comparison took place, in any unit; rating systems want whole periods.
            n_items: Number of items, where it is known: ids are checked against it.

        Raises:
            ValueError: no rows, lengths that differ, ids that are no ids, an item compared with itself, an outcome
                outside [0, 1], a missing, infinite or negative value.

        Example:
            >>> battles = Comparisons.from_arrays([0, 0], [1, 2], [1.0, 0.5])
            >>> battles.difference(jnp.array([0.3, 0.0, -0.3]))
            Array([0.3, 0.6], dtype=float32)
        """
        n = count_rows("a", a)
        refuse_empty(n, "comparisons")
        first, second = to_ids("a", a, n, n_items), to_ids("b", b, n, n_items)
        itself = first == second
        if itself.any():
            refuse(itself, "an item is compared with itself", "Drop these rows.")
        won = to_numbers("outcome", outcome, (n,), lower=0.0, upper=1.0)
        weights, counts = to_weights(weight, count, n)
        return cls(
            a=to_int_array(first),
            b=to_int_array(second),
            outcome=to_float_array(won),
            weight=weights,
            count=counts,
            order=None if order is None else to_float_array(_order(order, n)),
            features=None if features is None else to_float_array(_features(features, n)),
            cluster=to_clusters(cluster, n),
            time=None if time is None else to_float_array(to_numbers("time", time, (n,))),
        )

    @classmethod
    def from_tuples(
        cls,
        pairs: Iterable[Any],
        *,
        vocabulary: Vocabulary | None = None,
        weight: Any = None,
        count: Any = None,
        cluster: Any = None,
        time: Any = None,
        n_items: int | None = None,
    ) -> "Comparisons":
        """From pairs of winner and loser: choix' comparisons. Ties take `from_arrays` or `from_frame`.

        Args:
            pairs: `[(winner, loser), ...]`, ids, or names where a vocabulary is given; or an array `[n, 2]`.
            vocabulary: What names mean; `Vocabulary.of(name for pair in pairs for name in pair)` collects them.
            weight: As in `from_arrays`.
            count: As in `from_arrays`.
            cluster: As in `from_arrays`.
            time: As in `from_arrays`.
            n_items: As in `from_arrays`; the vocabulary's length, where one is given.

        Raises:
            ValueError: as in `from_arrays`, a row that is no pair, names without a vocabulary, or a name that is
                unknown.

        Example:
            >>> models = Vocabulary.of(["gpt", "llama", "phi"])
            >>> battles = Comparisons.from_tuples([("phi", "gpt"), ("gpt", "llama")], vocabulary=models)
            >>> battles.a, battles.b, battles.outcome
            (Array([2, 0], dtype=int32), Array([0, 1], dtype=int32), Array([1., 1.], dtype=float32))

        Source: the data format of choix, https://choix.lum.li.
        """
        mend = "Write [(2, 0), (0, 1)]: the winner, and the loser."
        rows = to_lists(pairs, "comparisons", "a comparison", mend)
        refuse([len(pair) != 2 for pair in rows], "a comparison is no pair", mend)
        ids = listed_ids("pairs", [item for pair in rows for item in pair], vocabulary).reshape(-1, 2)
        return cls.from_arrays(
            ids[:, 0],
            ids[:, 1],
            np.ones(len(ids)),
            weight=weight,
            count=count,
            cluster=cluster,
            time=time,
            n_items=n_items if vocabulary is None else len(vocabulary),
        )

    @classmethod
    def from_frame(
        cls,
        frame: Any,
        *,
        item_a: str | None = None,
        item_b: str | None = None,
        outcome: str | float | int | None = None,
        weight: str | None = None,
        count: str | None = None,
        order: str | None = None,
        features: Sequence[str] | None = None,
        cluster: str | None = None,
        time: str | None = None,
        outcomes: Mapping[Any, float | int] | None = None,
        vocabulary: Vocabulary | None = None,
    ) -> tuple["Comparisons", Vocabulary]:
        """From a table with one comparison a row.

        Args:
            frame: A pandas or polars data frame, a pyarrow table, or a mapping from names to columns.
            item_a: Column of the first item. By default `model_a`, `item_a`, `a` or `left`, with its partner for
                the second item; a table with `winner` and `loser` says who won without an outcome.
            item_b: Column of the second item.
            outcome: Column of the outcome (by default `winner` or `outcome`), or one number for all rows: 1.0 where
                `item_a` holds the winners.
            weight: Column of weights; by default the counts.
            count: Column of how many equal comparisons a row stands for; by default one.
            order: Column of +1, -1 or 0, see `Comparisons`.
            features: Columns of covariates that change sign when the items are swapped.
            cluster: Column that names the voter or the prompt.
            time: Column of numbers that say when, see `from_arrays`.
            outcomes: What words of the outcome column mean, beyond those that are understood: the name of the winner's
                column (`model_a`), `a` or `A`, the name of the winner itself, `tie`, `tie (bothbad)`, `both_bad`,
                `bothbad`, and numbers in [0, 1].
            vocabulary: The items, where they are known; the sorted distinct names by default.

        Returns:
            The comparisons and the names of their items.

        Raises:
            ValueError: a column is not there, a value is missing, an outcome is not understood or has two meanings,
                an item is compared with itself, a number is out of range.

        Example:
            >>> battles, models = Comparisons.from_frame(
            ...     {"model_a": ["gpt", "llama"], "model_b": ["llama", "phi"], "winner": ["model_a", "tie"]}
            ... )
            >>> battles.outcome, models.names
            (Array([1. , 0.5], dtype=float32), ('gpt', 'llama', 'phi'))
        """
        columns, names = comparisons_columns(
            frame, item_a, item_b, outcome, weight, count, order, features, cluster, time, outcomes, vocabulary
        )
        return cls.from_arrays(**columns, n_items=len(names)), names

    def difference(self, strength: Float[Array, " k"]) -> Float[Array, " n"]:
        """Strength of `a` minus strength of `b`, for every row."""
        return strength[self.a] - strength[self.b]

    def swap(self, rows: Any) -> "Comparisons":
        """The same comparisons with the sides of some rows exchanged: the same votes, written the other way round.

        Outcome, order and features change with the sides. No fit may depend on it.

        Args:
            rows: `[n]`, one truth value a row.

        Example:
            >>> battles = Comparisons.from_arrays([0, 1], [1, 2], [1.0, 0.5]).swap(np.array([True, False]))
            >>> battles.a, battles.outcome
            (Array([1, 1], dtype=int32), Array([0. , 0.5], dtype=float32))
        """
        chosen = jnp.asarray(rows)
        if chosen.shape != self.a.shape or chosen.dtype != bool:
            raise ValueError(f"rows must hold {self.a.size} truth values, not {chosen.dtype} of shape {chosen.shape}")
        return dataclasses.replace(
            self,
            a=jnp.where(chosen, self.b, self.a),
            b=jnp.where(chosen, self.a, self.b),
            outcome=jnp.where(chosen, 1 - self.outcome, self.outcome),
            order=None if self.order is None else jnp.where(chosen, -self.order, self.order),
            features=None if self.features is None else jnp.where(chosen[:, None], -self.features, self.features),
        )

    def table(self, n_items: int) -> "PairCounts":
        """Count by pair and outcome.

        A soft label y counts as y wins and 1 - y losses. The likelihood of a model without order and features is the
        same, and so is the sandwich as long as the observations of a cell weigh the same and labels are not soft
        (`aggregate` keeps it in general). Clusters are lost. Where values are known it counts in 64 bits on the host;
        under `jit`, `vmap` or `grad` it adds in the weight's dtype, is differentiable in weight and outcome, and drops
        ids that are out of range.

        Args:
            n_items: Number of items.

        Raises:
            ValueError: the data have features or an order, which a table cannot hold, or ids of `n_items` or more.

        Example:
            >>> Comparisons.from_arrays([0, 1, 0], [1, 0, 1], [1.0, 1.0, 0.5]).table(2).weight
            Array([[[0., 1.],
                    [1., 0.]],
                   [[0., 1.],
                    [0., 0.]]], dtype=float32)
        """
        for name in ("order", "features"):
            if getattr(self, name) is not None:
                raise ValueError(
                    f"a table of pairs has no place for {name!r}: use aggregate(), or drop the column with "
                    f"dataclasses.replace(data, {name}=None)"
                )
        same = self.weight is self.count
        if not is_concrete(self.a, self.b, self.outcome, self.weight, self.count):
            sums = [traced_table(self.a, self.b, self.outcome, w, n_items) for w in (self.weight, self.count)[same:]]
            return PairCounts(sums[0], sums[-1])
        a, b, outcome, weight, count = map(np.asarray, (self.a, self.b, self.outcome, self.weight, self.count))
        largest = max(a.max(), b.max())
        if largest >= n_items:
            refuse((a >= n_items) | (b >= n_items), f"an item id is {n_items} or more", f"The largest is {largest}.")
        same = same or (weight.dtype == count.dtype and np.array_equal(weight, count))
        sums = [jnp.asarray(host_table(a, b, outcome, w, n_items), self.weight.dtype) for w in (weight, count)[same:]]
        return PairCounts(sums[0], sums[-1])


class PairCounts(AbstractData):
    """Comparisons counted by pair and outcome: a cell is a row.

    `weight[0, i, j]` is what the wins of item i over item j add to the likelihood, `weight[1, i, j]` with i < j what
    their ties add: a tie stays one observation and stands in one cell. All other cells are 0. `count` has the numbers
    of observations in the same places.
    """

    weight: Float[Array, "2 k k"]
    count: Float[Array, "2 k k"]

    @classmethod
    def from_arrays(cls, wins: Any, ties: Any = None) -> "PairCounts":
        """Check and build from matrices of counts.

        Args:
            wins: `[k, k]`, how often the row's item beat the column's.
            ties: `[k, k]`, how often the two tied: a symmetric matrix, or one triangle of it.

        Raises:
            ValueError: not square, negative, missing, something on the diagonal, nothing at all, or two
                triangles of ties that disagree.

        Example:
            >>> PairCounts.from_arrays([[0, 3], [1, 0]], [[0, 2], [2, 0]]).weight[1]
            Array([[0., 2.],
                   [0., 0.]], dtype=float32)
        """
        square = to_array("wins", wins)
        if square.ndim != 2 or square.shape[0] != square.shape[1]:
            raise ValueError(f"wins has shape {square.shape}; expected [k, k]: a row and a column an item")
        k = len(square)
        won = to_numbers("wins", wins, (k, k), lower=0.0)
        tied = to_numbers("ties", np.zeros((k, k)) if ties is None else ties, (k, k), lower=0.0)
        for name, matrix in (("wins", won), ("ties", tied)):
            refuse(np.diagonal(matrix) != 0, f"{name} has an item compared with itself", "The diagonal must be 0.")
        upper, lower = np.triu(tied), np.tril(tied).T
        if upper.any() and lower.any() and (upper != lower).any():
            raise ValueError("ties is neither symmetric nor one triangle: the number of ties of a pair is ambiguous")
        counts = np.stack([won, np.maximum(upper, lower)])
        if not counts.any():
            raise ValueError("there are no comparisons: all counts are 0")
        table = to_float_array(counts)
        return cls(table, table)

    @property
    def outcome(self) -> Float[Array, "2 k k"]:
        """Outcome of each cell from the side of its row: 1 for wins, 1/2 for ties."""
        layers = jnp.asarray([1.0, 0.5], self.weight.dtype)
        return jnp.broadcast_to(layers[:, None, None], self.weight.shape)

    @property
    def order(self) -> None:
        """A table has no order of presentation."""

    @property
    def features(self) -> None:
        """A table has no features."""

    @property
    def cluster(self) -> None:
        """A table has no clusters."""

    def difference(self, strength: Float[Array, " k"]) -> Float[Array, "2 k k"]:
        """Strength of the row's item minus that of the column's, for every cell."""
        return jnp.broadcast_to((strength[:, None] - strength[None, :])[None], self.weight.shape)

    def aggregate(self) -> "PairCounts":
        """Itself: every pair and outcome already has one cell."""
        return self

    def expand(self) -> "Comparisons":
        """One comparison a row.

        Raises:
            ValueError: a count is not a whole number, or all are 0.

        Example:
            >>> PairCounts.from_arrays([[0, 2], [0, 0]]).expand().a
            Array([0, 0], dtype=int32)
        """
        return self.rows().expand()

    def rows(self) -> "Comparisons":
        """The cells that hold something, as aggregated comparisons.

        Example:
            >>> PairCounts.from_arrays([[0, 2], [1, 0]]).rows().weight
            Array([2., 1.], dtype=float32)
        """
        weight, count = np.asarray(self.weight, np.float64), np.asarray(self.count, np.float64)
        cells = np.nonzero(count)
        outcome = np.where(cells[0] == 1, 0.5, 1.0)
        return Comparisons.from_arrays(cells[1], cells[2], outcome, weight=weight[cells], count=count[cells])


def _order(order: Any, n: int) -> np.ndarray:
    values = to_numbers("order", order, (n,))
    unknown = ~np.isin(values, (-1, 0, 1))
    refuse(unknown, "order is not +1, -1 or 0", "It says who was first: a (+1), b (-1), neither (0).")
    return values


def _features(features: Any, n: int) -> np.ndarray:
    values = to_array("features", features)
    columns = values[:, None] if values.ndim == 1 else values
    if columns.ndim != 2 or len(columns) != n:
        raise ValueError(f"features has shape {values.shape}; expected [{n}, d]: one row of numbers a comparison")
    return to_numbers("features", columns, columns.shape)
