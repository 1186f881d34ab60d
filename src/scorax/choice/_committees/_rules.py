"""Committee rules: what a committee is worth to a voter, from the places of its members in the voter's ranking."""

from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

Points = Callable[[Float[Array, "*b m"], int, int | Array], Float[Array, "*b m"]]
"""From positions (1 is best), the number of items and the size of the committee to points, none negative."""


class CommitteeRule(eqx.Module):
    r"""An ordered weighted average: points for the members' positions, weighted by their order within the committee.

    $$F_v(S) = \sum_{i=1}^{|S|} \lambda_i \, s\big(\mathrm{pos}_v^{(i)}(S)\big)$$

    where \(\mathrm{pos}_v^{(i)}(S)\) is the position of voter v's i-th best member. With points that are not negative
    and do not increase with the position, and weights that are not negative and do not increase, it is monotone and
    submodular: a greedy committee is worth at least 1 - 1/e of the best one.

    Attributes:
        name: For messages.
        points: \(s\), see `Points`.
        weights: From n to \(\lambda_1, \ldots, \lambda_n\), the first of which serve a smaller committee.

    Source: Skowron, Faliszewski, Lang (2016), doi:10.1016/j.artint.2016.09.003; Elkind, Faliszewski, Skowron, Slinko
    (2017), doi:10.1007/s00355-017-1026-z.
    """

    name: str = eqx.field(static=True)
    points: Points = eqx.field(static=True)
    weights: Callable[[int], Float[np.ndarray, " n"]] = eqx.field(static=True)


def _first(position: Array, m: int, size: int | Array) -> Array:
    return _within(position, 1)


def _approved(position: Array, m: int, size: int | Array) -> Array:
    return _within(position, size)


def _borda(position: Array, m: int, size: int | Array) -> Array:
    return m - position


def _harmonic_points(position: Array, m: int, size: int | Array) -> Array:
    return 1 / position


def _within(position: Array, last: int | Array) -> Array:
    return (position <= jnp.asarray(last, position.dtype)).astype(position.dtype)


def _all_alike(n: int) -> np.ndarray:
    return np.ones(n)


def _best_only(n: int) -> np.ndarray:
    return np.eye(n)[0]


def _harmonic(n: int) -> np.ndarray:
    return 1 / np.arange(1, n + 1)


COMMITTEE_RULES: dict[str, CommitteeRule] = {
    rule.name: rule
    for rule in (
        CommitteeRule("sntv", _first, _all_alike),
        CommitteeRule("bloc", _approved, _all_alike),
        CommitteeRule("k_borda", _borda, _all_alike),
        CommitteeRule("dowdall", _harmonic_points, _all_alike),
        CommitteeRule("cc", _borda, _best_only),
        CommitteeRule("alpha_cc", _approved, _best_only),
        CommitteeRule("alpha_pav", _approved, _harmonic),
    )
}
"""The rules that go by a name.

- `"sntv"`: members that are first (single non-transferable vote).
- `"bloc"`: members among the first k, where k is the size of the committee.
- `"k_borda"`: Borda points of all members.
- `"dowdall"`: one over the position, of all members.
- `"cc"`: Borda points of the best member (Chamberlin-Courant).
- `"alpha_cc"`: whether any member is among the first k.
- `"alpha_pav"`: 1 + 1/2 + ... + 1/j for j members among the first k (proportional approval).
"""


def as_rule(rule: CommitteeRule | str) -> CommitteeRule:
    """A rule by its name; a rule itself unchanged."""
    if not isinstance(rule, str):
        return rule
    if rule not in COMMITTEE_RULES:
        raise ValueError(f"unknown rule {rule!r}; one of {', '.join(COMMITTEE_RULES)}, or a CommitteeRule")
    return COMMITTEE_RULES[rule]


def positions_of(ranks: Float[Array, "*b m"]) -> Int[Array, "*b m"]:
    """Positions from 1 of items in each row, smallest value first; equal values by id.

    Example:
        >>> positions_of(-jnp.array([[0.2, 0.9, 0.5]]))  # by utility
        Array([[3, 1, 2]], dtype=int32)
    """
    return (jnp.argsort(jnp.argsort(ranks, axis=-1, stable=True), axis=-1) + 1).astype(jnp.int32)


def points_of(
    positions: Int[Array, "v m"], rule: CommitteeRule, size: int | Array, dtype: jnp.dtype
) -> Float[Array, "v m"]:
    """What each item would earn with each voter, were it the only member."""
    return rule.points(positions.astype(dtype), positions.shape[-1], size)
