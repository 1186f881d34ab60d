"""Counting comparisons into a table `[2, k, k]`: on the host where values are known, traceable where they are not."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

# Rows counted at a time, so that their keys stay in the processor's cache.
_CHUNK = 2**17


def host_table(
    a: np.ndarray, b: np.ndarray, outcome: np.ndarray, weight: np.ndarray, n_items: int
) -> Float[np.ndarray, "2 k k"]:
    """Sum weights into cells, in 64 bits: `[0, i, j]` i beat j, `[1, i, j]` with i < j they tied."""
    level = _levels(outcome) if (weight == 1).all() else None
    sums = _count(a, b, level, n_items) if level is not None else _sum(a, b, outcome, weight, n_items)
    losses, ties, wins = sums.reshape(3, n_items, n_items)
    table = np.zeros((2, n_items, n_items), weight.dtype)
    np.add(wins, losses.T, out=table[0], casting="unsafe")
    if ties.any():
        table[1] = np.triu(ties + ties.T)
    return table


def _levels(outcome: np.ndarray) -> np.ndarray | None:
    """0, 1, 2 for loss, tie, win of a; `None` where there are soft labels."""
    doubled = outcome + outcome
    level = doubled.astype(np.int8)
    return level if (level == doubled).all() else None


def _count(a: np.ndarray, b: np.ndarray, level: np.ndarray, n_items: int) -> np.ndarray:
    """How often each (level, a, b) occurs."""
    cells = 3 * n_items**2
    # Each chunk ends with a pass over the cells, which must not cost more than its rows.
    size = max(_CHUNK, cells)
    buffer = np.empty(min(size, len(a)), np.int64)
    total = np.zeros(0, np.int64)
    for start in range(0, len(a), size):
        rows = slice(start, start + size)
        key = buffer[: len(a[rows])]
        np.multiply(level[rows], n_items, out=key, dtype=np.int64)
        key += a[rows]
        key *= n_items
        key += b[rows]
        part = np.bincount(key, minlength=cells)
        total = np.add(total, part, out=total) if total.size else part
    return total


def _sum(a: np.ndarray, b: np.ndarray, outcome: np.ndarray, weight: np.ndarray, n_items: int) -> np.ndarray:
    """Total weight of each (loss, tie or win, a, b); a soft label is part win, part loss."""
    cell = np.multiply(a, n_items, dtype=np.int64) + b
    tied = outcome == 0.5
    won = np.where(tied, 0.0, outcome * weight)
    lost = np.where(tied, 0.0, weight - won)
    return np.stack([np.bincount(cell, part, n_items**2) for part in (lost, weight * tied, won)])


def traced_table(
    a: Int[Array, " n"], b: Int[Array, " n"], outcome: Float[Array, " n"], weight: Float[Array, " n"], n_items: int
) -> Float[Array, "2 k k"]:
    """The same sums under `jit`, `vmap` and `grad`.

    Linear in the weight. In the outcome the derivative is that of a soft label, at ties too.
    """
    outcome = outcome.astype(weight.dtype)
    tied = outcome == 0.5
    half = jnp.where(tied, 0.5, 0.0).astype(weight.dtype)
    table = jnp.zeros((2, n_items, n_items), weight.dtype)
    table = table.at[0, a, b].add(weight * (outcome - half))
    table = table.at[0, b, a].add(weight * (1 - outcome - half))
    return table.at[1, jnp.minimum(a, b), jnp.maximum(a, b)].add(jnp.where(tied, weight, 0))
