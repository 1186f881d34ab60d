"""Candidates seen in several strata of questions: every pair of them is a cell, and has a score of its own."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def cells(candidate: Any, stratum: Any, n_candidates: int, n_strata: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the cells of candidates and strata, for items; and the stratum of every cell, for `ConstancyPrior`.

    Args:
        candidate: `[n]` ids.
        stratum: `[n]` ids.
        n_candidates: Number of candidates.
        n_strata: Number of strata.

    Returns:
        `candidate * n_strata + stratum` of every item, `[n]`; and `[n_candidates * n_strata]` strata of the cells.

    Raises:
        ValueError: An id is out of range, shapes differ, or a cell has no items.

    Example:
        >>> cell, stratum = cells([0, 0, 1, 1], [0, 1, 0, 1], 2, 2)
        >>> cell.tolist(), stratum.tolist()
        ([0, 1, 2, 3], [0, 1, 0, 1])
    """
    whose, where = np.asarray(candidate), np.asarray(stratum)
    if whose.shape != where.shape or whose.ndim != 1:
        raise ValueError(f"candidate has shape {whose.shape}, stratum {where.shape}; expected [n] for both")
    for name, ids, n in (("candidate", whose, n_candidates), ("stratum", where, n_strata)):
        if ids.dtype.kind not in "iu" or ids.min() < 0 or ids.max() >= n:
            raise ValueError(f"{name} must hold ids from 0 to {n - 1}")
    cell = whose * n_strata + where
    empty = np.flatnonzero(np.bincount(cell, minlength=n_candidates * n_strata) == 0)
    if empty.size:
        first = [(int(c) // n_strata, int(c) % n_strata) for c in empty[:3]]
        raise ValueError(
            f"{empty.size} cells have no items (first, as candidate and stratum: {first}): their prevalence is the "
            "prior's alone. Merge strata, or leave the candidates out."
        )
    return cell, np.tile(np.arange(n_strata), n_candidates)


def over_strata(score: Float[Array, " c"], share: Any) -> Float[Array, " k"]:
    """Scores of candidates from those of their cells: the mean over strata.

    Args:
        score: Of every cell, in the order of :func:`cells`; `model.expected_score()` for one.
        share: `[z]`, how large each stratum is, of the questions that are to be asked; they sum to one.

    Raises:
        ValueError: Shares are negative or do not sum to one, or the cells are no multiple of the strata.

    Example:
        >>> over_strata(jnp.array([1.0, 2.0, 1.5, 1.5]), [0.25, 0.75])
        Array([1.75, 1.5 ], dtype=float32)
    """
    weight = np.asarray(share, np.float64)
    if weight.ndim != 1 or not (weight >= 0).all() or abs(weight.sum() - 1) > 1e-5:
        raise ValueError(f"share must hold one number from 0 for each stratum, with sum 1, not {share}")
    if score.size % weight.size:
        raise ValueError(f"{score.size} cells are no multiple of {weight.size} strata")
    return score.reshape(-1, weight.size) @ jnp.asarray(weight, score.dtype)
