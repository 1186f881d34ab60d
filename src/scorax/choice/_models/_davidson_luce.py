"""Rankings with ties of any order: Plackett and Luce's choices, from all sets of items that could have tied.

The stage of a tie chooses a set among all sets of up to `D` of the items left. Their total weight is a sum of
elementary symmetric polynomials, one for each order, which grow item by item from the back of the ranking: `D^2`
operations a place, where listing the sets would take as many as there are.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray
from numpyro.distributions import constraints

from scorax.choice._models._rankings import check_rankings, choice_set
from scorax.choice._models._symmetric_polynomials import grow, no_items
from scorax.choice._models._weak_order import draw_weak_order
from scorax.data import Rankings, refuse
from scorax.inference import AbstractModel, AbstractSolver, Newton, parameter
from scorax.numerics import available_dtype, masked_where, most_negative


def davidson_luce_log_prob(
    strength: Float[Array, "*b l"],
    tie_level: Int[Array, "*b l"],
    log_tie: Float[Array, " h"],
    *,
    where: Bool[Array, "*b l"] | None = None,
    rest: Float[Array, "*b r"] | None = None,
    rest_where: Bool[Array, "*b r"] | None = None,
) -> Float[Array, "*b"]:
    r"""Log-probability of rankings with ties.

    A set \(S\) of items has the weight \(f(S) = \delta_{|S|} \big(\prod_{i \in S} \pi_i\big)^{1/|S|}\), \(\delta_1 =
    1\). The ranking \(C_1 > \dots > C_J\) of groups of tied items has probability \(\prod_j f(C_j) / \sum_S f(S)\), the
    sum over all sets \(S\) of at most \(D\) of the items in \(C_j, \dots, C_J\).

    Args:
        strength: Natural-log worths in ranked order, best first; only differences matter.
        tie_level: Never falls along a ranking; equal levels are tied.
        log_tie: \(\log \delta_2, \dots, \log \delta_D\); `-inf` for an order that never occurs. Empty: no ties.
        where: Which places are filled, from the front.
        rest: Natural-log worths of items that were available and are not ranked, so lose to all that are.
        rest_where: Which of these take part.

    Returns:
        Natural-log probability of each ranking, at most 0; `-inf` where a group is larger than `D`.

    Example:
        >>> level = jnp.array([0, 1, 1])  # one item before a tie of the other two
        >>> davidson_luce_log_prob(jnp.zeros(3), level, jnp.zeros(1))  # 1/6 * 1/3
        Array(-2.8903718, dtype=float32)

    Source: Turner, van Etten, Firth & Kosmidis (2020), doi:10.1007/s00180-020-00959-3; Davidson (1970) for pairs.
    """
    highest = log_tie.shape[0] + 1
    lowest = jnp.asarray(most_negative(strength.dtype), strength.dtype)
    of_order = jnp.maximum(jnp.concatenate([jnp.zeros(1, strength.dtype), log_tie.astype(strength.dtype)]), lowest)
    filled = jnp.ones(strength.shape, bool) if where is None else where
    first, size = _groups(tie_level, filled)
    # Of the last stage's items, those that are not ranked come in first.
    empty = no_items(strength.shape[:-1], highest, strength.dtype)
    if rest is not None:
        empty, _ = grow(empty, rest, jnp.ones(rest.shape, bool) if rest_where is None else rest_where)
    _, polynomial = grow(empty, strength, filled)
    total = jax.nn.logsumexp(polynomial + jnp.broadcast_to(of_order, polynomial.shape), axis=-1)
    known = jnp.minimum(size, highest) - 1
    own = masked_where(filled, strength, 0.0) / size.astype(strength.dtype)
    chosen = masked_where(filled, own, 0.0).sum(-1)
    stages = masked_where(first & filled, of_order[known] - total, 0.0).sum(-1)
    impossible = ((size > highest) & filled).any(-1)
    return jnp.where(impossible, jnp.asarray(-jnp.inf, strength.dtype), chosen + stages)


def _groups(level: Int[Array, "*b l"], filled: Bool[Array, "*b l"]) -> tuple[Bool[Array, "*b l"], Int[Array, "*b l"]]:
    """Which places begin a group of tied items, and how large each place's group is."""
    axis, place = level.ndim - 1, jnp.broadcast_to(jnp.arange(level.shape[-1], dtype=level.dtype), level.shape)
    before = jnp.concatenate([level[..., :1] - 1, level[..., :-1]], axis=-1)
    first = (level != before) | ~filled
    after_last = jnp.concatenate([first[..., 1:], jnp.ones_like(first[..., :1])], axis=-1)
    start = jax.lax.cummax(jnp.where(first, place, 0), axis=axis)
    end = jax.lax.cummin(jnp.where(after_last, place, level.shape[-1]), axis=axis, reverse=True)
    return first, end - start + 1


def check_tie_parameters(log_tie: Float[Array, "*b h"] | None, orders: tuple[int, ...]) -> None:
    """Raise `ValueError` where orders of ties are none, or there is not one parameter for each."""
    if any(order < 2 for order in orders) or tuple(sorted(set(orders))) != orders:
        raise ValueError(f"orders must be 2 or more, ascending and distinct, not {orders}")
    given = 0 if log_tie is None else log_tie.shape[-1]
    if given != len(orders):
        raise ValueError(f"there are {given} tie parameters for the orders {orders}")


def draw_log_tie(orders: tuple[int, ...]) -> Float[Array, " h"] | None:
    """The default prior, `Normal(0, 1.5)`: two equal items tie 3 to 90 % of the time."""
    if not orders:
        return None
    return jnp.asarray(numpyro.sample("log_tie", dist.Normal(0.0, 1.5).expand((len(orders),)).to_event(1)))


def log_tie_by_order(
    log_tie: Float[Array, " h"] | None, orders: tuple[int, ...], strength: Float[Array, "..."]
) -> Float[Array, " d"]:
    """The parameters of some orders of ties as one for every order from 2 to the highest, `-inf` for the others."""
    absent = jnp.full(max(orders, default=1) - 1, -jnp.inf, strength.dtype)
    return absent if log_tie is None else absent.at[np.asarray(orders, int) - 2].set(log_tie)


class DavidsonLuce(AbstractModel[Rankings]):
    """Plackett-Luce with ties of any order. For pairs it is Davidson's model, without ties Plackett and Luce's.

    Attributes:
        strength: One number an item, natural-log worth, summing to zero.
        log_tie: Log of the tie parameter of each of `orders`, or None where there are none: of equal items, a given
            pair ties `exp(log_tie)` times as often as a given item stands alone.
        orders: How many items can tie, ascending, such as `(2, 3)`. An order that does not occur in the data has no
            finite estimate, so it does not belong here; `DavidsonLuce.of` finds those that occur.

    Example:
        >>> rankings = sx.data.Rankings.from_orders([[0, (1, 2)], [(0, 1), 2], [2, 0, 1], [1, 0, 2], [0, 2, 1]])
        >>> model = DavidsonLuce.of(rankings, 3)
        >>> model.orders, sx.inference.fit(model, rankings).model.log_tie.round(2)
        ((2,), Array([-0.8], dtype=float32))

    Source: Turner, van Etten, Firth & Kosmidis (2020), doi:10.1007/s00180-020-00959-3.
    """

    strength: Float[Array, " k"] = parameter(constraints.zero_sum(1))
    log_tie: Float[Array, " h"] | None = parameter(constraints.real)
    orders: tuple[int, ...] = eqx.field(static=True, default=(2,))

    solver: ClassVar[AbstractSolver] = Newton()

    def __check_init__(self):
        check_tie_parameters(self.log_tie, self.orders)

    @classmethod
    def init(cls, n_items: int, orders: Sequence[int] = (2,), *, dtype: Any = float) -> "DavidsonLuce":
        """All strengths equal, ties as common as choices: where `fit` and `sample` start."""
        dtype = available_dtype(dtype)
        return cls(jnp.zeros(n_items, dtype), jnp.zeros(len(orders), dtype) if orders else None, tuple(orders))

    @classmethod
    def of(cls, rankings: Rankings, n_items: int, *, dtype: Any = float) -> "DavidsonLuce":
        """With the orders of ties that occur in the data."""
        level = np.zeros(rankings.order.shape, int) + np.arange(rankings.order.shape[1])
        if rankings.tie_level is not None:
            level = np.asarray(rankings.tie_level)
        used = np.asarray(rankings.where) & (np.asarray(rankings.weight) > 0)[:, None]
        _, sizes = _groups(jnp.asarray(level), jnp.asarray(used))
        occurring = np.unique(np.asarray(sizes)[used])
        return cls.init(n_items, tuple(int(size) for size in occurring if size > 1), dtype=dtype)

    def log_prob(self, data: Rankings) -> Float[Array, " n"]:
        """Log-probability of one observation of each ranking."""
        level = data.tie_level
        if level is None:
            level = jnp.broadcast_to(jnp.arange(data.order.shape[1], dtype=jnp.int32), data.order.shape)
        rest = None if data.rest is None else jnp.broadcast_to(self.strength, data.rest.shape)
        return davidson_luce_log_prob(
            self.strength[data.order],
            level,
            log_tie_by_order(self.log_tie, self.orders, self.strength),
            where=data.where,
            rest=rest,
            rest_where=data.rest,
        )

    def prior(self) -> "DavidsonLuce":
        """Exchangeable items on an unknown scale, `HalfNormal(1)`; `log_tie ~ Normal(0, 1.5)`."""
        scale = numpyro.sample("scale", dist.HalfNormal(1.0))
        strength = numpyro.sample("strength", dist.ZeroSumNormal(scale, self.strength.shape))
        return DavidsonLuce(jnp.asarray(strength), draw_log_tie(self.orders), self.orders)

    def simulate(self, data: Rankings, *, key: PRNGKeyArray) -> Rankings:
        """New rankings of the same sets of items, as long as the old ones, ties included.

        Places are filled one after the other: each joins the group before it, or begins one, with its exact conditional
        probability.

        Raises:
            ValueError: the data have `rest`: how many items a stage would list is then not part of the model.
        """
        if data.rest is not None:
            raise ValueError("rankings with rest cannot be simulated: a tie could reach beyond the listed places")
        length, of_order = data.order.shape[1], log_tie_by_order(self.log_tie, self.orders, self.strength)
        keys = jax.random.split(key, data.weight.shape[0])
        order, level = jax.vmap(lambda key, items: draw_weak_order(key, self.strength, items, of_order, length))(
            keys, choice_set(data, self.strength.size)
        )
        order, level = (jnp.where(data.where, x, 0).astype(jnp.int32) for x in (order, level))
        return dataclasses.replace(data, order=order, tie_level=level)

    def check(self, data: Rankings) -> None:
        """Raise `ValueError` where rankings hold items or orders of ties that this model has not."""
        check_rankings(self, data)
        if data.tie_level is None:
            return
        filled = np.asarray(data.where)
        sizes = np.asarray(_groups(data.tie_level, data.where)[1])
        refuse(
            (filled & ~np.isin(sizes, (1, *self.orders))).any(1),
            f"a ranking has a tie of an order other than {', '.join(map(str, self.orders)) or 'none'}",
            "Make the model with DavidsonLuce.of(rankings, n_items).",
        )
