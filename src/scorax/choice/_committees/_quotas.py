"""Quotas: at least so many, at most so many members of each group."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int


class Quotas(NamedTuple):
    """Groups of items, and bounds on how many of each a committee holds."""

    group: Int[Array, " m"]
    lower: Int[Array, " g"]
    upper: Int[Array, " g"]


def quotas(m: int, size: int, groups: Any, lower: Any, upper: Any) -> Quotas:
    """Check and complete. Without groups everyone is in one, without bounds."""
    if not isinstance(size, int | np.integer) or not 1 <= size <= m:
        raise ValueError(f"size must be between 1 and the {m} items, a whole number, not {size}")
    if groups is None:
        if lower is not None or upper is not None:
            raise ValueError("lower and upper bound members of groups: pass groups, the group of each item")
        groups = np.zeros(m, int)
    group = np.asarray(groups)
    if group.shape != (m,) or group.dtype.kind not in "iub" or group.min() < 0:
        raise ValueError(
            f"groups must hold one id from 0 for each of the {m} items, not {group.dtype} of shape {group.shape}. "
            "Names become ids by np.unique(names, return_inverse=True)."
        )
    counts = np.bincount(group)
    low = _bounds("lower", lower, 0, len(counts))
    high = np.minimum(_bounds("upper", upper, m, len(counts)), counts)
    if (low > counts).any():
        g = int(np.argmax(low > counts))
        raise ValueError(f"lower[{g}] asks for {low[g]} members, but group {g} has {counts[g]} items")
    if (low > high).any():
        g = int(np.argmax(low > high))
        raise ValueError(f"lower[{g}] = {low[g]} is above upper[{g}] = {high[g]}")
    if low.sum() > size:
        raise ValueError(f"the lower bounds add up to {low.sum()}, more than the {size} members")
    if high.sum() < size:
        raise ValueError(f"the groups may give {high.sum()} members in all, fewer than the {size} to choose")
    return Quotas(*(jnp.asarray(x, jnp.int32) for x in (group, low, high)))


def _bounds(name: str, values: Any, default: int, n: int) -> np.ndarray:
    bounds = np.full(n, default) if values is None else np.asarray(values)
    if bounds.shape != (n,) or bounds.dtype.kind not in "iu" or bounds.min() < 0:
        raise ValueError(f"{name} must hold one whole number for each of the {n} groups, not {values!r}")
    return bounds


def may_join(inside: Int[Array, " g"], bounds: Quotas, size: int) -> Bool[Array, " m"]:
    """Items whose group has room, such that all lower bounds can still be met afterwards.

    Sets that can be completed to a committee within the quotas form a matroid, so greedy choices never get stuck, and
    are optimal where every member counts by itself.
    """
    room = inside < bounds.upper
    # Places left once every lower bound is provided for; a group below its own takes one of those provided.
    free = size - jnp.maximum(inside, bounds.lower).sum()
    return (room & ((inside < bounds.lower) | (free > 0)))[bounds.group]


def count_members(members: Int[Array, " s"], taken: Bool[Array, " s"], bounds: Quotas) -> Int[Array, " g"]:
    """How many of the taken members are in each group."""
    return jnp.zeros_like(bounds.lower).at[bounds.group[members]].add(taken.astype(bounds.lower.dtype))


def within(sets: np.ndarray, bounds: Quotas) -> np.ndarray:
    """Which sets of ids `[c, s]` respect the quotas, on the host."""
    group, lower, upper = map(np.asarray, bounds)
    inside = np.stack([(group[sets] == g).sum(1) for g in range(len(lower))], axis=1)
    return np.all((inside >= lower) & (inside <= upper), axis=1)
