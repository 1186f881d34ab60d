"""What to do with data that determine no finite strengths: rate fewer items, or add a little to the data."""

import dataclasses
import functools
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from scorax.data._comparisons import Comparisons, PairCounts
from scorax.data._connectivity import connectivity
from scorax.data._ragged import padded
from scorax.data._rankings import Rankings
from scorax.data._tie_levels import levels_of_ties
from scorax.data._vocabulary import Vocabulary

Choices = TypeVar("Choices", Comparisons, PairCounts, Rankings)


def largest_component(data: Choices, vocabulary: Vocabulary) -> tuple[Choices, Vocabulary]:
    """The largest group of items whose strengths the data determine, and the comparisons among them.

    Others leave the data: their comparisons go, and they are taken out of rankings (which leaves Plackett-Luce
    likelihoods of the others' relative order). Of groups of one size the better one stays.

    Args:
        data: Paired comparisons or rankings.
        vocabulary: Names of the items.

    Returns:
        The data with items numbered anew, and their names.

    Raises:
        ValueError: no two items can be rated against each other.

    Example:
        >>> battles = sx.data.Comparisons.from_arrays([0, 1], [1, 2], [1.0, 0.5])
        >>> kept, names = largest_component(battles, sx.data.Vocabulary(("gpt", "llama", "phi")))
        >>> kept.a, names.names
        (Array([0], dtype=int32), ('llama', 'phi'))
    """
    component = connectivity(data, len(vocabulary)).component
    sizes = np.bincount(component)
    if sizes.max() < 2:
        raise ValueError("no two items each beat or tied the other, directly or through others: nothing can be rated")
    kept = component == sizes.argmax()
    names = Vocabulary(tuple(name for name, stays in zip(vocabulary, kept, strict=True) if stays))
    return _restrict(data, kept), names


@functools.singledispatch
def _restrict(data: Any, kept: np.ndarray) -> Any:
    """Only the items that are kept, numbered anew."""
    raise TypeError(f"no comparisons in {type(data).__name__}")


@_restrict.register
def _(data: Comparisons, kept: np.ndarray) -> Comparisons:
    number = jnp.asarray(np.cumsum(kept) - 1, jnp.int32)
    inside = data.take(np.flatnonzero(kept[np.asarray(data.a)] & kept[np.asarray(data.b)]))
    return dataclasses.replace(inside, a=number[inside.a], b=number[inside.b])


@_restrict.register
def _(data: PairCounts, kept: np.ndarray) -> PairCounts:
    items = np.flatnonzero(kept)
    return PairCounts(data.weight[:, items][:, :, items], data.count[:, items][:, :, items])


@_restrict.register
def _(data: Rankings, kept: np.ndarray) -> Rankings:
    order, where = np.asarray(data.order), np.asarray(data.where)
    stays = where & kept[np.where(where, order, 0)]
    rest = None if data.rest is None else np.asarray(data.rest)[:, kept]
    length = stays.sum(1)
    # A ranking says something where an item is left that others follow.
    rows = np.flatnonzero((length > 0) & (length + (0 if rest is None else rest.sum(1)) > 1))
    number = np.cumsum(kept) - 1
    chosen = data.take(rows)
    level = None if data.tie_level is None else padded(np.asarray(data.tie_level)[rows][stays[rows]], length[rows])[0]
    order, where = padded(number[order[rows][stays[rows]]], length[rows])
    return Rankings.from_arrays(
        order,
        where=where,
        weight=chosen.weight,
        count=chosen.count,
        rest=None if rest is None else rest[rows],
        tie_level=None if level is None else levels_of_ties(level, where),
        cluster=chosen.cluster,
        n_items=int(kept.sum()),
    )


def ghost(data: Choices, n_items: int, npseudo: float = 0.5) -> Choices:
    """Let every item win and lose `npseudo` more comparisons, so that finite strengths exist.

    The comparisons are spread evenly over all other items, `npseudo / (k - 1)` wins over each. So the number of items
    stays, strengths keep their zero sum, and they shrink towards one another, the less the more data there are. The
    likelihood gains the factor `prod_{i != j} P(i beats j)^(npseudo / (k - 1))`. (R's PlackettLuce lets every item play
    against one additional item instead.) Added rows count as `npseudo / (k - 1)` of an observation and are clusters
    of their own, at the time of the first.

    Args:
        data: Paired comparisons or rankings.
        n_items: Number of items, `k`.
        npseudo: Wins and losses of each item, above 0.

    Example:
        >>> battles = sx.data.Comparisons.from_arrays([0, 1], [1, 2], [1.0, 0.5])
        >>> sx.data.connectivity(ghost(battles, 3), 3).strong
        True

    Source: after the pseudo-rankings of Turner, van Etten, Firth, Kosmidis (2020), doi:10.1007/s00180-020-00959-3.
    """
    if not 0 < npseudo < np.inf:
        raise ValueError(f"npseudo must be above 0, not {npseudo}")
    if n_items < 2:
        raise ValueError(f"a comparison needs two items; n_items is {n_items}")
    return _add_field(data, n_items, npseudo / (n_items - 1))


@functools.singledispatch
def _add_field(data: Any, n_items: int, share: float) -> Any:
    """Add `share` of a win of every item over every other."""
    raise TypeError(f"no comparisons in {type(data).__name__}")


@_add_field.register
def _(data: PairCounts, n_items: int, share: float) -> PairCounts:
    added = jnp.zeros_like(data.weight).at[0].set(share * (1 - jnp.eye(n_items, dtype=data.weight.dtype)))
    return PairCounts(data.weight + added, data.count + added)


@_add_field.register
def _(data: Comparisons, n_items: int, share: float) -> Comparisons:
    winner, loser = _all_pairs(n_items)
    none = np.zeros(len(winner))
    added = Comparisons.from_arrays(
        winner,
        loser,
        np.ones(len(winner)),
        weight=share,
        count=share,
        order=None if data.order is None else none,
        features=None if data.features is None else np.zeros((len(winner), data.features.shape[1])),
        cluster=_own_clusters(data.cluster, len(winner)),
        time=None if data.time is None else np.full(len(winner), data.time.min()),
    )
    return _concatenated(data, added)


@_add_field.register
def _(data: Rankings, n_items: int, share: float) -> Rankings:
    pairs = np.stack(_all_pairs(n_items), axis=1)
    length = max(data.order.shape[1], 2)
    added = Rankings.from_arrays(
        np.pad(pairs, ((0, 0), (0, length - 2))),
        where=np.broadcast_to(np.arange(length) < 2, (len(pairs), length)),
        weight=share,
        count=share,
        rest=None if data.rest is None else np.zeros((len(pairs), n_items), bool),
        tie_level=None if data.tie_level is None else np.broadcast_to(np.arange(length), (len(pairs), length)),
        cluster=_own_clusters(data.cluster, len(pairs)),
    )
    wider = ((0, 0), (0, length - data.order.shape[1]))
    longer = dataclasses.replace(
        data,
        order=jnp.pad(data.order, wider),
        where=jnp.pad(data.where, wider),
        tie_level=None if data.tie_level is None else jnp.pad(data.tie_level, wider),
    )
    return _concatenated(longer, added)


def _all_pairs(n_items: int) -> tuple[np.ndarray, np.ndarray]:
    """All ordered pairs of different items."""
    winner, loser = np.nonzero(~np.eye(n_items, dtype=bool))
    return winner, loser


def _own_clusters(cluster: Any, n: int) -> np.ndarray | None:
    return None if cluster is None else int(np.asarray(cluster).max()) + 1 + np.arange(n)


def _concatenated(one: Any, other: Any) -> Any:
    return jax.tree.map(lambda x, y: jnp.concatenate([x, y.astype(x.dtype)]), one, other)
