"""Single choices, each from a set of items."""

from collections.abc import Iterable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from scorax.data._base import AbstractRows
from scorax.data._lists import is_group, listed_ids, to_lists, to_places
from scorax.data._ragged import padded
from scorax.data._rankings import Rankings
from scorax.data._validate import is_concrete, refuse, to_clusters, to_int_array, to_weights
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
        ids, filled = to_places("offered", offered, where, n_items, what="choices", one="a choice")
        refuse(filled.sum(1) < 2, "there was only one item to choose from", "Drop these rows.")
        weights, counts = to_weights(weight, count, len(ids))
        return cls(to_int_array(ids), jnp.asarray(filled), weights, counts, to_clusters(cluster, len(ids)))

    @classmethod
    def from_lists(
        cls,
        chosen: Iterable[Any],
        others: Iterable[Any],
        *,
        vocabulary: Vocabulary | None = None,
        weight: Any = None,
        count: Any = None,
        cluster: Any = None,
        n_items: int | None = None,
    ) -> "Choices":
        """From the chosen items and the lists of those that were not. For choix' top-1 data: `from_tuples`.

        Args:
            chosen: Ids, or names where a vocabulary is given.
            others: For each choice the items that were there and not chosen.
            vocabulary: What names mean.
            weight: As in `from_arrays`.
            count: As in `from_arrays`.
            cluster: As in `from_arrays`.
            n_items: As in `from_arrays`; the vocabulary's length, where one is given.

        Raises:
            ValueError: as in `from_arrays`, not one list for every chosen item, a list that is none (a text, a set),
                names without a vocabulary, or a name that is unknown.

        Example:
            >>> Choices.from_lists([2, 0], [[0, 1], [1]]).offered
            Array([[2, 0, 1],
                   [0, 1, 0]], dtype=int32)
        """
        mend = "Write [[1, 2], [0]]: for each choice the list of the others."
        first, behind = list(chosen), to_lists(others, "choices", "what was not chosen", mend)
        if len(first) != len(behind):
            raise ValueError(f"there are {len(first)} chosen items and {len(behind)} lists of others: give one of each")
        rows = [[one, *rest] for one, rest in zip(first, behind, strict=True)]
        grouped = [any(is_group(item) for item in row) for row in rows]
        refuse(grouped, "a group of items stands for one", "A choice is of one item; ties are for Rankings.")
        ids = listed_ids("offered", [item for row in rows for item in row], vocabulary)
        offered, where = padded(ids, np.array([len(row) for row in rows]))
        known = n_items if vocabulary is None else len(vocabulary)
        return cls.from_arrays(offered, where=where, weight=weight, count=count, cluster=cluster, n_items=known)

    @classmethod
    def from_tuples(
        cls,
        choices: Iterable[Any],
        *,
        vocabulary: Vocabulary | None = None,
        weight: Any = None,
        count: Any = None,
        cluster: Any = None,
        n_items: int | None = None,
    ) -> "Choices":
        """From pairs of the chosen item and the list of the others: choix' top-1 data.

        Args:
            choices: `[(chosen, [other, ...]), ...]`, ids, or names where a vocabulary is given.
            vocabulary: What names mean.
            weight: As in `from_arrays`.
            count: As in `from_arrays`.
            cluster: As in `from_arrays`.
            n_items: As in `from_lists`.

        Raises:
            ValueError: as in `from_lists`, or a row that is no pair.

        Example:
            >>> Choices.from_tuples([(2, [0, 1]), (0, [1])]).offered
            Array([[2, 0, 1],
                   [0, 1, 0]], dtype=int32)

        Source: the data format of choix, https://choix.lum.li.
        """
        mend = "Write [(2, [0, 1]), (0, [1])]: the chosen item, and the list of the others."
        pairs = to_lists(choices, "choices", "a choice", mend)
        refuse([len(pair) != 2 for pair in pairs], "a choice is no pair", mend)
        chosen, others = zip(*pairs, strict=True)
        return cls.from_lists(
            chosen, others, vocabulary=vocabulary, weight=weight, count=count, cluster=cluster, n_items=n_items
        )

    def rankings(self, n_items: int) -> Rankings:
        """The same as rankings of one item each, all others that were there behind it: for what takes rankings.

        Raises:
            ValueError: an id is `n_items` or more (checked where the values are known).

        Example:
            >>> Choices.from_lists([2, 0], [[0, 1], [1]]).rankings(3).rest
            Array([[ True,  True, False],
                   [False,  True, False]], dtype=bool)
        """
        if is_concrete(self.offered, self.where):
            beyond = np.asarray(self.where & (self.offered >= n_items))
            refuse(beyond.any(1), f"an item id is {n_items} or more", "n_items is too small.")
        rows = jnp.arange(self.offered.shape[0])[:, None]
        rest = jnp.zeros((rows.shape[0], n_items), bool).at[rows, self.offered[:, 1:]].max(self.where[:, 1:])
        first = self.offered[:, :1]
        return Rankings(first, jnp.ones(first.shape, bool), self.weight, self.count, rest=rest, cluster=self.cluster)
