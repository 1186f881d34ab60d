"""Single choices, each from a set of items."""

from collections.abc import Iterable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from scorax.data._base import AbstractRows
from scorax.data._rankings import Rankings
from scorax.data._validate import refuse, to_clusters, to_weights
from scorax.data._vocabulary import Vocabulary


class Choices(AbstractRows):
    """Choices of one item from several, one or several equal ones a row.

    `offered` holds the ids of all items that were there, any valid id where `where` is false; the first one was chosen.
    Rows of one `cluster` are not independent.
    """

    offered: Int[Array, "n l"]
    where: Bool[Array, "n l"]
    weight: Float[Array, " n"]
    count: Float[Array, " n"]
    cluster: Int[Array, " n"] | None = None

    @classmethod
    def from_arrays(
        cls,
        offered: Any,
        *,
        where: Any = None,
        weight: Any = None,
        count: Any = None,
        cluster: Any = None,
        n_items: int | None = None,
    ) -> "Choices":
        """Check and build from arrays.

        Args:
            offered: `[n, l]` item ids, the chosen one first.
            where: `[n, l]`, which places are filled; all by default. A row fills its first places.
            weight: What a row adds to the likelihood; `count` by default.
            count: How many equal choices a row stands for; 1 by default.
            cluster: Id of who chose.
            n_items: Number of items, where it is known.

        Raises:
            ValueError: as `Rankings.from_arrays`, or nothing was there besides the chosen item.

        Example:
            >>> Choices.from_arrays([[2, 0, 1], [0, 1, 0]], where=[[True, True, True], [True, True, False]]).where
            Array([[ True,  True,  True],
                   [ True,  True, False]], dtype=bool)
        """
        rows = Rankings.from_arrays(offered, where=where, n_items=n_items)
        refuse(np.asarray(rows.where).sum(1) < 2, "there was only one item to choose from", "Drop these rows.")
        weights, counts = to_weights(weight, count, len(rows.order))
        return cls(rows.order, rows.where, weights, counts, to_clusters(cluster, len(rows.order)))

    @classmethod
    def from_lists(
        cls,
        chosen: Iterable[Any],
        others: Iterable[Sequence[Any]],
        *,
        vocabulary: Vocabulary | None = None,
        weight: Any = None,
        count: Any = None,
        cluster: Any = None,
        n_items: int | None = None,
    ) -> "Choices":
        """From the chosen items and the lists of those that were not, in the manner of choix' top-1 data.

        Args:
            chosen: Ids, or names where a vocabulary is given.
            others: For each choice the items that were there and not chosen.
            vocabulary: What names mean.
            weight: As in `from_arrays`.
            count: As in `from_arrays`.
            cluster: As in `from_arrays`.
            n_items: As in `from_arrays`.

        Example:
            >>> Choices.from_lists([2, 0], [[0, 1], [1]]).offered
            Array([[2, 0, 1],
                   [0, 1, 0]], dtype=int32)
        """
        lists = [[first, *rest] for first, rest in zip(chosen, others, strict=True)]
        rows = Rankings.from_orders(lists, vocabulary=vocabulary, n_items=n_items)
        return cls.from_arrays(
            rows.order, where=rows.where, weight=weight, count=count, cluster=cluster, n_items=n_items
        )

    def rankings(self, n_items: int) -> Rankings:
        """The same as rankings of one item each, all others that were there behind it: for what takes rankings.

        Example:
            >>> Choices.from_lists([2, 0], [[0, 1], [1]]).rankings(3).rest
            Array([[ True,  True, False],
                   [False,  True, False]], dtype=bool)
        """
        rows = jnp.arange(self.offered.shape[0])[:, None]
        rest = jnp.zeros((rows.shape[0], n_items), bool).at[rows, self.offered[:, 1:]].max(self.where[:, 1:])
        first = self.offered[:, :1]
        return Rankings(first, jnp.ones(first.shape, bool), self.weight, self.count, rest=rest, cluster=self.cluster)
