"""Rankings broken into the pairs that they imply."""

import jax.numpy as jnp
import numpy as np

from scorax.data._comparisons import Comparisons
from scorax.data._rankings import Rankings
from scorax.data._validate import to_float_array, to_int_array


def rank_breaking(rankings: Rankings) -> Comparisons:
    """Every pair of items of a ranking as a comparison that the upper one won, or a tie; on the host.

    Pairs of one ranking hang together: `cluster` numbers the rankings, or is what the rankings have. Standard errors
    that take them as independent are several times too small; `fit(...).robust(pairs.cluster)` gives right ones. All
    listed items beat those in `rest`. A pair carries weight and count of its ranking.

    Args:
        rankings: Complete or partial, with ties or without.

    Raises:
        ValueError: every ranking holds a single item.

    Example:
        >>> pairs = rank_breaking(Rankings.from_orders([[2, (0, 1)]]))
        >>> list(zip(pairs.a.tolist(), pairs.b.tolist(), pairs.outcome.tolist()))
        [(2, 0, 1.0), (2, 1, 1.0), (0, 1, 0.5)]

    Source: Azari Soufiani, Parkes & Xia (2014), "Computing parametric ranking models via rank-breaking", ICML.
    """
    order, where = np.asarray(rankings.order), np.asarray(rankings.where)
    upper, lower = np.triu_indices(order.shape[1], 1)
    row, pair = np.nonzero(where[:, upper] & where[:, lower])
    a, b = order[row, upper[pair]], order[row, lower[pair]]
    outcome = np.ones(row.size)
    if rankings.tie_level is not None:
        level = np.asarray(rankings.tie_level)
        outcome[level[row, upper[pair]] == level[row, lower[pair]]] = 0.5
    if rankings.rest is not None:
        behind, place, beaten = np.nonzero(where[:, :, None] & np.asarray(rankings.rest)[:, None, :])
        row, a, b = (np.concatenate(both) for both in ((row, behind), (a, order[behind, place]), (b, beaten)))
        outcome = np.concatenate([outcome, np.ones(behind.size)])
    if not row.size:
        raise ValueError("every ranking holds a single item: there is no pair to compare")
    sizes = (np.asarray(x)[row] for x in (rankings.weight, rankings.count))
    return Comparisons(
        to_int_array(a),
        to_int_array(b),
        to_float_array(outcome),
        *(to_float_array(x) for x in sizes),
        cluster=jnp.asarray(row, jnp.int32) if rankings.cluster is None else rankings.cluster[row],
    )
