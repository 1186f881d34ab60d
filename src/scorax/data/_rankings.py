"""Rankings padded to a common length, of all items or of some, complete or cut off at the top."""

import dataclasses
import os
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from scorax.data._base import AbstractRows
from scorax.data._lists import listed_ids, to_places
from scorax.data._preflib import read_preflib
from scorax.data._ragged import padded
from scorax.data._rankings_frame import matrix_of_ranks, orders_of_matrix, rankings_columns
from scorax.data._read import Readable
from scorax.data._tie_levels import dense_levels, flatten_orders, levels_of_ties
from scorax.data._validate import refuse, to_array, to_clusters, to_int_array, to_truths, to_weights
from scorax.data._vocabulary import Vocabulary


class Rankings(AbstractRows):
    """Rankings, one or several equal ones a row.

    `order` holds item ids, best first, any valid id where `where` is false. `rest` marks items that could have been
    listed and were not: they lose to all that are (a top-k of a known choice set). Without `rest` only the listed items
    were there to choose from. `tie_level` never falls along a ranking, and items of one level are tied; without it
    nothing is. Rows of one `cluster` are not independent.
    """

    order: Int[Array, "n l"]
    where: Bool[Array, "n l"]
    weight: Float[Array, " n"]
    count: Float[Array, " n"]
    rest: Bool[Array, "n k"] | None = None
    tie_level: Int[Array, "n l"] | None = None
    cluster: Int[Array, " n"] | None = None

    @classmethod
    def from_arrays(
        cls,
        order: Any,
        *,
        where: Any = None,
        weight: Any = None,
        count: Any = None,
        rest: Any = None,
        tie_level: Any = None,
        cluster: Any = None,
        n_items: int | None = None,
    ) -> "Rankings":
        """Check and build from arrays.

        Args:
            order: `[n, l]` item ids, best first.
            where: `[n, l]`, which places are filled; all by default. A ranking fills its first places.
            weight: What a row adds to the likelihood; `count` by default.
            count: How many observations a row stands for; 1 by default.
            rest: `[n, k]`, the items that lose to all listed ones.
            tie_level: `[n, l]` integers that never fall along a ranking; items of one level are tied.
            cluster: Id of the voter of each row.
            n_items: Number of items, where it is known.

        Raises:
            ValueError: no rows, shapes that differ, ids that are no ids, an item listed twice or both listed and in
                `rest`, a gap in a ranking, an empty ranking, tie levels that fall, a bad weight.

        Example:
            >>> Rankings.from_arrays([[2, 0, 1], [0, 1, 0]], where=[[True, True, True], [True, True, False]]).where
            Array([[ True,  True,  True],
                   [ True,  True, False]], dtype=bool)
        """
        ids, filled = to_places("order", order, where, n_items, what="rankings", one="a ranking")
        if rest is not None:
            rest = _checked_rest(to_array("rest", rest), ids, filled, n_items)
        levels = None if tie_level is None else dense_levels(to_array("tie_level", tie_level), filled)
        weights, counts = to_weights(weight, count, len(ids))
        return cls(
            order=to_int_array(ids),
            where=jnp.asarray(filled),
            weight=weights,
            count=counts,
            rest=None if rest is None else jnp.asarray(rest),
            tie_level=None if levels is None else to_int_array(levels),
            cluster=to_clusters(cluster, len(ids)),
        )

    @classmethod
    def from_orders(
        cls,
        orders: Iterable[Any],
        *,
        vocabulary: Vocabulary | None = None,
        unlisted: str = "absent",
        n_items: int | None = None,
        weight: Any = None,
        count: Any = None,
        cluster: Any = None,
    ) -> "Rankings":
        """From lists of items, best first, of any lengths: choix' rankings, too.

        Args:
            orders: Ids, or names where a vocabulary is given. Items that are tied stand together in a tuple, list or
                set: `[2, (0, 1)]`.
            vocabulary: What names mean; `Vocabulary.of(name for order in orders for name in order)` collects them.
            unlisted: `"absent"`: only the listed items were there to choose from. `"last"`: all items were, and those
                that are not listed lose to all that are.
            n_items: Number of items; the vocabulary's, or one more than the largest id.
            weight: As in `from_arrays`.
            count: As in `from_arrays`.
            cluster: As in `from_arrays`.

        Raises:
            ValueError: as in `from_arrays`, a ranking that is no list (a text, a set), names without a vocabulary, or
                a name that is unknown.

        Example:
            >>> fruit = Vocabulary.of(["apple", "banana", "cherry"])
            >>> top = Rankings.from_orders([["cherry", "apple"], ["banana"]], vocabulary=fruit, unlisted="last")
            >>> top.rest
            Array([[False,  True, False],
                   [ True, False,  True]], dtype=bool)
        """
        flat, level, lengths = flatten_orders(orders)
        ids = listed_ids("order", flat, vocabulary)
        n_items = len(vocabulary) if vocabulary is not None else n_items
        order, where = padded(ids, lengths)
        return cls.from_arrays(
            order,
            where=where,
            tie_level=levels_of_ties(padded(level, lengths)[0], where),
            weight=weight,
            count=count,
            rest=unlisted_rest(order, where, unlisted, n_items),
            cluster=cluster,
            n_items=n_items,
        )

    @classmethod
    def from_rank_matrix(
        cls,
        ranks: Any,
        *,
        unlisted: str = "absent",
        weight: Any = None,
        count: Any = None,
        cluster: Any = None,
    ) -> "Rankings":
        """From rows of ranks, one column an item: 1 is best, 0 or NaN is unranked.

        Args:
            ranks: `[n, k]`. Only their order matters; items that share a rank are tied.
            unlisted: As in `from_orders`.
            weight: As in `from_arrays`.
            count: As in `from_arrays`.
            cluster: As in `from_arrays`.

        Raises:
            ValueError: a rank is negative, infinite or no number, or a row ranks nothing.

        Example:
            >>> rankings = Rankings.from_rank_matrix([[2, 1, 2], [1, 0, 2]])
            >>> rankings.order
            Array([[1, 0, 2],
                   [0, 2, 0]], dtype=int32)
            >>> rankings.tie_level
            Array([[0, 1, 1],
                   [0, 1, 0]], dtype=int32)
        """
        numbers = matrix_of_ranks(ranks)
        order, where, level = orders_of_matrix(numbers)
        k = numbers.shape[1]
        return cls.from_arrays(
            order,
            where=where,
            weight=weight,
            count=count,
            rest=unlisted_rest(order, where, unlisted, k),
            tie_level=levels_of_ties(level, where),
            cluster=cluster,
            n_items=k,
        )

    @classmethod
    def from_frame(
        cls,
        frame: Any,
        *,
        ranking: str = "ranking",
        item: str = "item",
        rank: str = "rank",
        weight: str | None = None,
        count: str | None = None,
        cluster: str | None = None,
        unlisted: str = "absent",
        vocabulary: Vocabulary | None = None,
    ) -> tuple["Rankings", Vocabulary]:
        """From a long table: each row says which rank one item has in one ranking.

        Args:
            frame: A pandas or polars data frame, a pyarrow table, or a mapping from names to columns.
            ranking: Column that names the ranking.
            item: Column that names the item.
            rank: Column of ranks, 1 is best; only their order matters, and items that share one are tied.
            weight: Column of weights, the same in all rows of a ranking; by default the counts.
            count: Column of how often the ranking was given, the same in all its rows; by default once.
            cluster: Column that names the voter, the same in all rows of a ranking.
            unlisted: As in `from_orders`.
            vocabulary: The items, where they are known; the sorted distinct names by default.

        Returns:
            The rankings, in order of appearance, and the names of their items.

        Raises:
            ValueError: a column is not there, a value is missing, a rank is 0 or below, an item appears twice in a
                ranking.

        Example:
            >>> rankings, items = Rankings.from_frame(
            ...     {"ranking": [1, 1, 2, 2], "item": ["x", "y", "x", "y"], "rank": [1, 2, 2, 1]}
            ... )
            >>> rankings.order
            Array([[0, 1],
                   [1, 0]], dtype=int32)
        """
        read = rankings_columns(frame, ranking, item, rank, weight, count, cluster, vocabulary)
        order, where = padded(read.ids, read.lengths)
        rankings = cls.from_arrays(
            order,
            where=where,
            rest=unlisted_rest(order, where, unlisted, len(read.items)),
            tie_level=levels_of_ties(padded(read.ranks, read.lengths)[0], where),
            n_items=len(read.items),
            **read.columns,
        )
        return rankings, read.items

    @classmethod
    def from_preflib(
        cls,
        source: str | os.PathLike[str] | Readable,
        *,
        format: str | None = None,
        unlisted: str = "absent",
    ) -> tuple["Rankings", Vocabulary]:
        """From a file of PrefLib: `.soc`, `.soi`, `.toc` or `.toi`, as it is today or was before 2022.

        The four hold strict orders (s) or orders with ties (t), complete (c) or incomplete (i). A row is a distinct
        order, `count` how many voters gave it.

        Args:
            source: A path, or a stream of bytes.
            format: `"soc"`, `"soi"`, `"toc"` or `"toi"`; by default told by the name's ending and the file's header.
            unlisted: As in `from_orders`, for orders that leave alternatives out.

        Returns:
            The rankings, and the names of all alternatives in the file's order: its number 1 is id 0.

        Raises:
            ValueError: the file cannot be read or is of another kind, a line is no order, an order lists an alternative
                twice or one that there is not, has ties or leaves alternatives out where the kind forbids it, or the
                header does not agree with the orders (numbers of alternatives, voters, orders).

        Example:
            >>> import io
            >>> header = ["# NUMBER ALTERNATIVES: 2", "# ALTERNATIVE NAME 1: tea", "# ALTERNATIVE NAME 2: coffee"]
            >>> stream = io.BytesIO("\\n".join([*header, "7: 2,1"]).encode())
            >>> votes, drinks = Rankings.from_preflib(stream, format="soc")
            >>> votes.order, votes.count, drinks.names
            (Array([[1, 0]], dtype=int32), Array([7.], dtype=float32), ('tea', 'coffee'))

        Source: Mattei, Walsh (2013), "PrefLib: a library for preferences", doi:10.1007/978-3-642-41575-3_20; the
        specification in the repository PrefLib/PrefLib-Data.
        """
        read = read_preflib(source, format)
        rankings = cls.from_orders(read.orders, unlisted=unlisted, n_items=len(read.names), count=read.counts)
        return rankings, Vocabulary(read.names)

    def canonical(self) -> "Rankings":
        """The same rankings with id 0 in all places that are not filled, tied items in the order of their ids."""
        if self.tie_level is None:
            return dataclasses.replace(self, order=jnp.where(self.where, self.order, 0))
        where, level = np.asarray(self.where), np.asarray(self.tie_level)
        last = np.where(where, level, level.max(initial=0) + 1)
        places = np.lexsort((np.asarray(self.order), last), axis=1)
        order = np.where(where, np.take_along_axis(np.asarray(self.order), places, axis=1), 0)
        return dataclasses.replace(self, order=jnp.asarray(order), tie_level=jnp.asarray(np.where(where, level, 0)))

    def break_ties(self, *, key: PRNGKeyArray) -> "Rankings":
        """The same rankings with tied items in random order: for models that know no ties.

        What was tied then counts as decided, so standard errors are too small; average over several keys, or use
        a model with ties.

        Example:
            >>> rankings = Rankings.from_orders([[0, (1, 2)]])
            >>> rankings.break_ties(key=jax.random.key(0)).tie_level is None
            True
        """
        if self.tie_level is None:
            return self
        level = jnp.where(self.where, self.tie_level, jnp.iinfo(self.tie_level.dtype).max)
        at_random = jax.random.uniform(key, level.shape)
        places = jnp.lexsort((at_random, level), axis=-1)
        return dataclasses.replace(self, order=jnp.take_along_axis(self.order, places, axis=-1), tie_level=None)


def unlisted_rest(order: np.ndarray, where: np.ndarray, unlisted: str, n_items: int | None) -> np.ndarray | None:
    """The items that lose to all listed ones, `None` where they were not there."""
    if unlisted not in ("absent", "last"):
        raise ValueError(f"unlisted must be 'absent' or 'last', not {unlisted!r}")
    if unlisted == "absent":
        return None
    listed = np.where(where, order, order[:, :1])
    rest = np.ones((len(order), int(listed.max()) + 1 if n_items is None else n_items), bool)
    refuse((listed >= rest.shape[1]).any(1), f"order is no id from 0 to {rest.shape[1] - 1}", "Ids count from 0.")
    np.put_along_axis(rest, listed, False, axis=1)
    return rest


def _checked_rest(rest: np.ndarray, ids: np.ndarray, filled: np.ndarray, n_items: int | None) -> np.ndarray:
    if rest.ndim != 2 or len(rest) != len(ids) or (n_items is not None and rest.shape[1] != n_items):
        raise ValueError(f"rest has shape {rest.shape}; expected [{len(ids)}, {n_items or 'k'}]")
    rest = to_truths("rest", rest)
    refuse((filled & (ids >= rest.shape[1])).any(1), f"an item id is {rest.shape[1]} or more, the width of rest")
    both = np.take_along_axis(rest, np.where(filled, ids, ids[:, :1]), axis=1)
    refuse(both.any(1), "an item is both listed and in rest", "rest holds only items that are not listed.")
    return rest
