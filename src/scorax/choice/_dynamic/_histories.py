"""Comparisons from the side of each item: when it took part, and in which rows."""

import functools
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int

from scorax.data import Comparisons, refuse


class Histories(eqx.Module):
    """Comparisons and, for every item, the times at which it took part: what `dynamic_skills` works on.

    Made on the host by `skill_histories`. `m` is the number of comparisons of the busiest item.
    """

    rows: Comparisons
    time: Float[Array, "k m"]
    """Of each item's comparisons, rising; the last one repeats where `where` is false."""
    gap: Float[Array, "k m"]
    """Time since the comparison before, 0 at the first one."""
    where: Bool[Array, "k m"]
    entry: Int[Array, "k m"]
    """Which row stands at each place, plus n where the item is the row's `b`."""
    place: Int[Array, "2 n"]
    """Where each row's `a` and `b` stand, counted through all items."""

    def spread(self, of_sides: Float[Array, "2 n"]) -> Float[Array, "k m"]:
        """From the sides of rows to the items' histories, 0 where nothing is."""
        return jnp.where(self.where, of_sides.reshape(-1)[self.entry], jnp.zeros((), of_sides.dtype))

    def gather(self, of_items: Float[Array, "k m"]) -> Float[Array, "2 n"]:
        """Back from the items' histories to the sides of rows."""
        return of_items.reshape(-1)[self.place]


def skill_histories(data: Comparisons, n_items: int) -> Histories:
    """Sort comparisons by item and time. Rows may stand in any order.

    `dynamic_skills` does this by itself where items and times are known. Under `jit`, sort before and pass the result
    in place of the comparisons: outcomes and weights may then be traced.

    Args:
        data: Comparisons with `time`, in any unit. Measure it from a near origin: single precision knows a second of
            this century's only to a minute or two.
        n_items: Number of items.

    Raises:
        ValueError: there is no time, an item was never compared, ids of `n_items` or more, an order of presentation or
            features, or values that are not known yet.

    Example:
        >>> games = sx.data.Comparisons.from_arrays([0, 0], [1, 2], [1.0, 0.0], time=[5.0, 3.0])
        >>> skill_histories(games, 3).time
        Array([[3., 5.],
               [5., 5.],
               [3., 3.]], dtype=float32)
    """
    _check_columns(data)
    a, b, time = (np.asarray(column) for column in (data.a, data.b, data.time))
    refuse((a >= n_items) | (b >= n_items), f"an item id is {n_items} or more", "Ids count from 0.")
    item = np.concatenate([a, b])
    when = np.tile(time.astype(np.float64), 2)
    _check_compared(item, data.weight, n_items)
    order = np.lexsort((when, item))
    size = np.bincount(item, minlength=n_items)
    longest = size.max()
    first = np.cumsum(size) - size
    place = np.empty(len(item), np.int64)
    place[order] = item[order] * longest + np.arange(len(item)) - np.repeat(first, size)
    # Places behind an item's last comparison repeat it.
    within = np.minimum(np.arange(longest)[None, :], size[:, None] - 1)
    entry = order[first[:, None] + within]
    times = when[entry]
    return Histories(
        rows=data,
        time=jnp.asarray(times, float),
        gap=jnp.asarray(np.diff(times, prepend=times[:, :1]), float),
        where=jnp.asarray(np.arange(longest)[None, :] < size[:, None]),
        entry=jnp.asarray(entry, jnp.int32),
        place=jnp.asarray(place.reshape(2, -1), jnp.int32),
    )


def _check_columns(data: Comparisons) -> None:
    if data.time is None:
        raise ValueError("skills change with time, but the data have none: Comparisons.from_arrays(..., time=...)")
    for name in ("order", "features"):
        if getattr(data, name) is not None:
            raise ValueError(
                f"skills that change with time take no {name!r}: drop it with dataclasses.replace(data, {name}=None)"
            )
    if any(isinstance(column, Tracer) for column in (data.a, data.b, data.time)):
        raise ValueError(
            "items and times are not known under jit: sort before, skill_histories(data, n_items), and pass the result"
        )


def _check_compared(item: np.ndarray, weight: Float[Array, " n"], n_items: int) -> None:
    times = np.bincount(item, minlength=n_items)
    if not isinstance(weight, Tracer):
        times = np.bincount(item, np.tile(np.asarray(weight) > 0, 2), minlength=n_items)
    never = np.flatnonzero(times == 0)
    if never.size:
        first = ", ".join(map(str, never[:3])) + (", ..." if never.size > 3 else "")
        raise ValueError(
            f"{never.size} of {n_items} items were never compared (item {first}): their skills are the prior's. Leave "
            "them out and number the rest anew."
        )


@functools.singledispatch
def as_histories(data: Any, n_items: int) -> Histories:
    """Comparisons sorted by item and time; histories as they are."""
    raise TypeError(f"skills come from Comparisons or Histories, not {type(data).__name__}")


@as_histories.register
def _(data: Comparisons, n_items: int) -> Histories:
    return skill_histories(data, n_items)


@as_histories.register
def _(data: Histories, n_items: int) -> Histories:
    if data.time.shape[0] != n_items:
        raise ValueError(f"the histories are of {data.time.shape[0]} items, not {n_items}")
    return data
