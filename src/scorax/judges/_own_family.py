"""Judges and candidates of one family."""

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np

from scorax.data import Annotations


def without_own_family(data: Annotations, own_family: Any) -> Annotations:
    """Annotations without the labels that judges gave to candidates of their own family.

    The blunt answer to self-preference; `ConstancyPrior(own_family=...)` keeps the labels and learns the difference.

    Args:
        data: Annotations.
        own_family: `[k, j]`, where judge `j` and candidate `k` are of one family.

    Raises:
        ValueError: `own_family` does not hold truth values, or has no place for some candidate or judge.

    Example:
        >>> data = sx.data.Annotations.from_arrays([[0, 1], [1, 1]], [[0, 1]] * 2, candidate=[0, 1])
        >>> without_own_family(data, [[True, False], [False, False]]).where.tolist()
        [[False, True], [True, True]]

    Source: Vossler et al. (2025), arXiv 2505.21972.
    """
    own = np.asarray(own_family)
    most = int(np.asarray(data.candidate).max(initial=0)), int(np.asarray(data.judge).max(initial=0))
    if own.dtype != bool or own.ndim != 2 or own.shape[0] <= most[0] or own.shape[1] <= most[1]:
        raise ValueError(
            f"own_family must hold truth values for at least {most[0] + 1} candidates and {most[1] + 1} judges, not "
            f"{own.dtype} of shape {own.shape}"
        )
    other = ~jnp.asarray(own)[data.candidate[:, None], data.judge]
    return dataclasses.replace(data, where=data.where & other)
