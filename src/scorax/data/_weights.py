"""Data put together, and weights that make up for how they came about."""

from collections.abc import Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from scorax.data._base import AbstractRows
from scorax.data._comparisons import Comparisons
from scorax.data._distinct import distinct_rows

Rows = TypeVar("Rows", bound=AbstractRows)


def concatenate(parts: Sequence[Rows], *, share: Sequence[float] | None = None) -> Rows:
    r"""Several data sets about the same items as one.

    Args:
        parts: Containers of one class with the same columns; lists of different lengths must be padded alike.
        share: What each part counts in the likelihood, whatever its number of rows (a composite likelihood:
            \(\sum_p s_p L_p / N_p\) up to a factor). The total weight stays what it is. None: every row counts alike.

    Raises:
        ValueError: no part, parts of different kinds or columns, or shares that are not positive.

    Example:
        >>> crowd = sx.data.Comparisons.from_arrays([0, 0, 1], [1, 1, 0], [1.0, 1.0, 0.0])
        >>> expert = sx.data.Comparisons.from_arrays([1], [0], [1.0])
        >>> sx.data.concatenate([crowd, expert], share=[0.5, 0.5]).weight.round(3)
        Array([0.667, 0.667, 0.667, 2.   ], dtype=float32)

    Source: Lindsay (1988), "Composite likelihood methods", doi:10.1090/conm/080/999014.
    """
    if not parts:
        raise ValueError("there is nothing to put together")
    shapes = [jax.tree.map(lambda x: x.shape[1:], part) for part in parts]
    for number, (part, shape) in enumerate(zip(parts, shapes, strict=True)):
        if jax.tree.structure(part) != jax.tree.structure(parts[0]) or shape != shapes[0]:
            raise ValueError(f"part {number} has other columns, or longer lists, than part 0")
    if share is not None:
        parts = _shared(parts, share)
    return jax.tree.map(lambda *columns: jnp.concatenate(columns), *parts)


def _shared(parts: Sequence[Rows], share: Sequence[float]) -> list[Rows]:
    if len(share) != len(parts) or not all(0 < one < np.inf for one in share):
        raise ValueError(f"share must hold one positive number for each of the {len(parts)} parts, not {share}")
    held = np.array([float(np.asarray(part.weight, np.float64).sum()) for part in parts])
    factor = np.asarray(share) / np.sum(share) * held.sum() / held
    return [part.reweight(part.weight * float(by)) for part, by in zip(parts, factor, strict=True)]


def inverse_propensity(data: Comparisons, *, floor: float = 50.0) -> Float[Array, " n"]:
    """Weights that let every pair of items count alike, however often it was shown.

    The reciprocal of the number of comparisons of the row's pair, in either order, but of `floor` for rarer pairs, so
    that none of them gets a large weight. Pass them to `data.reweight`.

    Args:
        data: Comparisons.
        floor: Smallest number to divide by, above 0.

    Example:
        >>> battles = sx.data.Comparisons.from_arrays([0, 1, 0], [1, 0, 2], [1.0, 0.5, 0.0])
        >>> sx.data.inverse_propensity(battles, floor=1.0)
        Array([0.5, 0.5, 1. ], dtype=float32)

    Source: Horvitz & Thompson (1952), doi:10.1080/01621459.1952.10483446; the floor of 50 is arena-rank's (LMArena).
    """
    if not 0 < floor < np.inf:
        raise ValueError(f"floor must be above 0, not {floor}")
    a, b, count = np.asarray(data.a), np.asarray(data.b), np.asarray(data.count, np.float64)
    _, pair = distinct_rows([np.minimum(a, b), np.maximum(a, b)])
    met: Any = np.bincount(pair, count)[pair]
    return jnp.asarray(count / np.maximum(met, floor), data.weight.dtype)
