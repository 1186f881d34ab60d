"""One door to committees: rankings in, the best committee out, with quotas for groups."""

import math
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from scorax.choice._committees._quotas import Quotas, quotas
from scorax.choice._committees._rules import CommitteeRule, as_rule, points_of
from scorax.choice._committees._solvers import brute_force, described, greedy, swap, trimmed

_MOST_SETS = 2_000_000
# Sets times voters times members that `auto` spends on certainty: about ten seconds.
_WORTH_TRYING = 10**9


class Committee(eqx.Module):
    """A committee and what is known about it."""

    members: Bool[Array, " m"]
    """True for the members."""
    score: Float[Array, ""]
    """Its worth, summed over voters."""
    exact: bool = eqx.field(static=True)
    """Whether no committee within the quotas is worth more, for sure."""


def select_committee(
    positions: Any,
    size: int,
    rule: CommitteeRule | str,
    *,
    groups: Any = None,
    lower: Any = None,
    upper: Any = None,
    weight: Any = None,
    solver: str = "auto",
) -> Committee:
    """The committee that is worth most to all voters together.

    Where every member counts by itself (SNTV, Bloc, Borda, Dowdall), picking the best item time and again is exact,
    with quotas too. Elsewhere greedy committees are worth at least 1 - 1/e of the best one, and 1/2 with quotas.

    Args:
        positions: `[v, m]`, position of every item in each voter's ranking, from 1 (best) to m. See `positions_of`.
        size: How many members.
        rule: A `CommitteeRule`, or the name of one of `COMMITTEE_RULES`.
        groups: `[m]`, the group of each item, counted from 0.
        lower: How many members each group has at least.
        upper: How many members each group has at most.
        weight: `[v]`, what each voter counts, at least 0; one by default.
        solver: `"exact"` tries all sets, at most two million, unless members count by themselves. `"greedy"` adds the
            item that gains most (among equals the one with the most points from all voters, then by id), and `"swap"`
            then exchanges members as long as that gains. `"auto"` is exact where that takes seconds, and swaps
            elsewhere.

    Returns:
        A `Committee`.

    Raises:
        ValueError: positions are no permutations of 1..m, the quotas contradict each other or the size, a weight is
            negative, there are too many sets for `"exact"`, or the solver is unknown.

    Example:
        >>> positions = [[1, 2, 3, 4], [1, 2, 3, 4], [4, 3, 2, 1]]
        >>> select_committee(positions, 2, "cc").members
        Array([ True, False, False,  True], dtype=bool)
        >>> select_committee(positions, 2, "k_borda", groups=[0, 0, 1, 1], lower=[0, 1]).members
        Array([ True, False,  True, False], dtype=bool)

    Source: Elkind, Faliszewski, Skowron, Slinko (2017), doi:10.1007/s00355-017-1026-z; Nemhauser, Wolsey, Fisher
    (1978), doi:10.1007/BF01588971 (greedy); Boehmer, Celis, Huang, Mehrotra, Vishnoi (2023), arXiv:2306.09835 (quotas).
    """
    if solver not in ("auto", "exact", "greedy", "swap"):
        raise ValueError(f"solver must be 'auto', 'exact', 'greedy' or 'swap', not {solver!r}")
    rule = as_rule(rule)
    places = _checked(positions)
    v, m = places.shape
    bounds = quotas(m, size, groups, lower, upper)
    dtype = jnp.zeros((), float).dtype
    points = points_of(jnp.asarray(places, jnp.int32), rule, size, dtype)
    voter = jnp.asarray(_voters(weight, v), dtype)
    order_weights = trimmed(rule.weights(size))
    separable = len(order_weights) == size and (order_weights == order_weights[0]).all()
    chosen, exact = _solve(points, order_weights, voter, bounds, size, solver, bool(separable))
    members, score = described(chosen, points, jnp.asarray(order_weights, dtype), voter)
    return Committee(members, score, exact)


def _solve(
    points: Array, order_weights: np.ndarray, voter: Array, bounds: Quotas, size: int, solver: str, separable: bool
) -> tuple[Array, bool]:
    m = points.shape[1]
    if separable:
        # Voters' points add up beforehand: one voter, whose every member counts the same.
        total = (order_weights[0] * (voter @ points))[None, :]
        alike = jnp.ones(size, points.dtype)
        return greedy(total, alike, jnp.ones(1, points.dtype), bounds, size), True
    weights = jnp.asarray(order_weights, points.dtype)
    sets = math.comb(m, size)
    if solver == "exact" and sets > _MOST_SETS:
        raise ValueError(
            f"there are {sets} committees of {size} among {m} items, more than {_MOST_SETS}: use solver='swap', which "
            "does not promise the best one"
        )
    if solver == "exact" or (solver == "auto" and sets <= _MOST_SETS and sets * size * len(points) <= _WORTH_TRYING):
        return brute_force(points, weights, voter, bounds, size), True
    chosen = greedy(points, weights, voter, bounds, size)
    return (chosen if solver == "greedy" else swap(chosen, points, weights, voter, bounds)), False


def _checked(positions: Any) -> np.ndarray:
    places = np.asarray(positions)
    if places.ndim != 2 or not places.size or places.dtype.kind not in "iu":
        raise ValueError(
            f"positions must be whole numbers [v, m], not {places.dtype} of shape {places.shape}. positions_of(ranks) "
            "makes them from ranks or utilities; Rankings list items, whose places are jnp.argsort(order) + 1."
        )
    bad = np.flatnonzero((np.sort(places, axis=1) != np.arange(1, places.shape[1] + 1)).any(1))
    if bad.size:
        raise ValueError(
            f"{bad.size} voters' positions are no permutation of 1..{places.shape[1]} (first rows: "
            f"{bad[:3].tolist()}). positions_of(ranks) breaks ties and counts from 1."
        )
    return places


def _voters(weight: Any, v: int) -> np.ndarray:
    weights = np.ones(v) if weight is None else np.asarray(weight, np.float64)
    if weights.shape != (v,) or not (weights >= 0).all() or not weights.any():
        raise ValueError(f"weight must hold one number of at least 0 for each of the {v} voters, not all of them 0")
    return weights
