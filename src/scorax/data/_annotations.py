"""Labels that judges gave to items: one layout for dense, sparse and repeated annotations."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from scorax.data._annotations_frame import annotations_columns, dense_columns
from scorax.data._base import AbstractRows
from scorax.data._validate import (
    refuse_empty,
    to_array,
    to_filled_ids,
    to_ids,
    to_int_array,
    to_weights,
    to_where,
)
from scorax.data._vocabulary import Vocabulary


@dataclasses.dataclass(frozen=True)
class AnnotationVocabulary:
    """Names of what annotations hold as ids."""

    items: Vocabulary
    """One a row."""
    judges: Vocabulary
    levels: Vocabulary
    """From lowest to highest."""
    candidates: Vocabulary

    @property
    def values(self) -> tuple[float, ...]:
        """What the levels are worth: their numbers, or 1, 2, ... where they have other names."""
        try:
            return tuple(float(level) for level in self.levels)
        except ValueError:
            return tuple(float(i + 1) for i in range(len(self.levels)))


class Annotations(AbstractRows):
    """Items with the labels that judges gave them; a row is an item.

    `label` and `judge` hold ids, any valid ones where `where` is false; a judge may label an item several times.
    `candidate` is whose work the item is, 0 everywhere where there is only one. `gold` is the true label where
    `has_gold` holds.
    """

    label: Int[Array, "n l"]
    judge: Int[Array, "n l"]
    where: Bool[Array, "n l"]
    weight: Float[Array, " n"]
    count: Float[Array, " n"]
    candidate: Int[Array, " n"]
    gold: Int[Array, " n"]
    has_gold: Bool[Array, " n"]

    @classmethod
    def from_arrays(
        cls,
        label: Any,
        judge: Any,
        *,
        where: Any = None,
        weight: Any = None,
        count: Any = None,
        candidate: Any = None,
        gold: Any = None,
        has_gold: Any = None,
        n_levels: int | None = None,
        n_judges: int | None = None,
        n_candidates: int | None = None,
    ) -> "Annotations":
        """Check and build from arrays.

        Args:
            label: `[n, l]` levels, counted from 0.
            judge: `[n, l]` who gave them.
            where: `[n, l]`, which places are filled; all by default.
            weight: What a row adds to the likelihood; `count` by default.
            count: How many observations a row stands for; 1 by default.
            candidate: Whose work each item is; 0 by default.
            gold: The true level of each item, where `has_gold`.
            has_gold: Where the true level is known; everywhere if `gold` is given, else nowhere.
            n_levels: Number of levels, where it is known.
            n_judges: Number of judges, where it is known: each must have given a label.
            n_candidates: Number of candidates, where it is known.

        Raises:
            ValueError: no rows, shapes that differ, a label outside the levels, a judge or candidate that is no id, a
                judge without labels, a bad weight.

        Example:
            >>> data = Annotations.from_arrays([[0, 1], [1, 1]], [[0, 1], [0, 1]])
            >>> data.tally(2, 2)[0]
            Array([[1., 0.],
                   [0., 1.]], dtype=float32)
        """
        labels, judges = to_array("label", label), to_array("judge", judge)
        if labels.ndim != 2 or labels.shape != judges.shape:
            raise ValueError(f"label has shape {labels.shape}, judge {judges.shape}; expected [n, l] for both")
        refuse_empty(labels.size, "annotations")
        n = len(labels)
        filled = np.ones(labels.shape, bool) if where is None else to_where("where", where, labels.shape, "label")
        labels = to_filled_ids("label", labels, filled, n_levels)
        judges = to_filled_ids("judge", judges, filled, n_judges)
        seen = np.bincount(judges[filled], minlength=n_judges or 0)
        if (seen == 0).any():
            idle = np.flatnonzero(seen == 0)
            raise ValueError(
                f"{len(idle)} of {len(seen)} judges gave no label (first: {idle[:3].tolist()}): nothing can be learned "
                "about them. Leave them out and number the others from 0."
            )
        truth = np.zeros(n, np.int32) if gold is None else np.asarray(gold)
        known = np.full(n, gold is not None) if has_gold is None else np.asarray(has_gold, bool)
        if truth.shape != (n,) or known.shape != (n,):
            raise ValueError(f"gold has shape {truth.shape}, has_gold {known.shape}; expected [{n}]")
        weights, counts = to_weights(weight, count, n)
        return cls(
            label=to_int_array(labels),
            judge=to_int_array(judges),
            where=jnp.asarray(filled),
            weight=weights,
            count=counts,
            candidate=to_int_array(
                to_ids("candidate", np.zeros(n, int) if candidate is None else candidate, n, n_candidates)
            ),
            gold=to_int_array(to_ids("gold", np.where(known, truth, 0), n, n_levels)),
            has_gold=jnp.asarray(known),
        )

    @classmethod
    def from_frame(
        cls,
        frame: Any,
        *,
        item: str | None = None,
        judge: str | None = None,
        label: str | None = None,
        candidate: str | None = None,
        gold: str | None = None,
        weight: str | None = None,
        levels: Sequence[Any] | None = None,
        judges: Sequence[Any] | None = None,
    ) -> tuple["Annotations", AnnotationVocabulary]:
        """From a long table: each row is one label by one judge of one item.

        Args:
            frame: A pandas or polars data frame, a pyarrow table, or a mapping from names to columns.
            item: Column of items; by default `item`, `question` or `task`.
            judge: Column of judges; by default `judge`, `rater`, `annotator`, `worker` or `grader`.
            label: Column of labels; by default `label`, `rating` or `score`.
            candidate: Column that says whose work the item is; by default `candidate` or `model`, if there. An item
                of several candidates makes a row for each.
            gold: Column of true labels, empty where unknown; by default `gold`, if there.
            weight: Column of weights; by default `weight`, if there.
            levels: All levels from lowest to highest; by default the distinct labels, sorted.
            judges: All judges in the order of their ids; by default the distinct ones, sorted.

        Returns:
            The annotations, items in order of appearance, and what their ids stand for.

        Raises:
            ValueError: a column is not there, a value is missing, a rating is outside the levels, a judge has no
                ratings, two rows of an item disagree about gold or weight.

        Example:
            >>> data, names = Annotations.from_frame(
            ...     {"item": ["q1", "q1", "q2"], "judge": ["ann", "bob", "ann"], "label": [1, 3, 2]}
            ... )
            >>> data.label, names.levels.names, names.values
            (Array([[0, 2], [1, 0]], dtype=int32), ('1', '2', '3'), (1.0, 2.0, 3.0))
        """
        columns, names = annotations_columns(frame, item, judge, label, candidate, gold, weight, levels, judges)
        return _build(columns, names)

    @classmethod
    def from_dense(
        cls,
        ratings: Any,
        *,
        items: Sequence[Any] | None = None,
        judges: Sequence[Any] | None = None,
        levels: Sequence[Any] | None = None,
        candidate: Sequence[Any] | None = None,
        gold: Any = None,
        weight: Any = None,
        count: Any = None,
    ) -> tuple["Annotations", AnnotationVocabulary]:
        """From a table of numbers, one row an item and one column a judge; NaN is missing.

        Args:
            ratings: `[n, j]`.
            items: Names of the rows; their numbers by default.
            judges: Names of the columns; their numbers by default.
            levels: All levels from lowest to highest; by default the distinct ratings, sorted.
            candidate: Whose work each item is.
            gold: `[n]` true ratings, NaN where unknown.
            weight: `[n]` weights; by default the counts.
            count: `[n]`, how many equal items a row stands for; by default one.

        Raises:
            ValueError: as in `from_frame`.

        Example:
            >>> data, names = Annotations.from_dense([[1, 2], [2, np.nan]], judges=["ann", "bob"])
            >>> data.where
            Array([[ True,  True],
                   [ True, False]], dtype=bool)
        """
        columns, names = dense_columns(ratings, items, judges, levels, candidate, gold)
        return _build(columns | {"weight": weight, "count": count}, names)

    def tally(self, n_judges: int, n_levels: int) -> Float[Array, "n j m"]:
        """How often each judge gave each level to each item, in one observation of the row."""
        rows = jnp.broadcast_to(jnp.arange(self.label.shape[0])[:, None], self.label.shape)
        empty = jnp.zeros((self.label.shape[0], n_judges, n_levels), self.weight.dtype)
        return empty.at[rows, self.judge, self.label].add(self.where.astype(self.weight.dtype))

    def canonical(self) -> "Annotations":
        """The same annotations, each item's sorted by judge and label, with id 0 in all places that are not filled."""
        label, judge, where = map(np.asarray, (self.label, self.judge, self.where))
        place = np.lexsort((label, judge, ~where), axis=1)
        label, judge, where = (np.take_along_axis(column, place, axis=1) for column in (label, judge, where))
        return dataclasses.replace(
            self,
            label=to_int_array(np.where(where, label, 0)),
            judge=to_int_array(np.where(where, judge, 0)),
            where=jnp.asarray(where),
            gold=jnp.where(self.has_gold, self.gold, 0),
        )


def _build(columns: dict[str, Any], names: dict[str, Vocabulary]) -> tuple[Annotations, AnnotationVocabulary]:
    vocabulary = AnnotationVocabulary(**names)
    data = Annotations.from_arrays(
        **columns,
        n_levels=len(vocabulary.levels),
        n_judges=len(vocabulary.judges),
        n_candidates=len(vocabulary.candidates),
    )
    return data, vocabulary
