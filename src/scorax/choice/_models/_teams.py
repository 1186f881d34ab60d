"""Teams of players: what a team is worth follows from its members, and teams compare as items do."""

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

from scorax.choice._models._davidson_luce import (
    check_tie_parameters,
    davidson_luce_log_prob,
    draw_log_tie,
    log_tie_by_order,
)
from scorax.choice._models._weak_order import draw_weak_order
from scorax.data import Matches, refuse
from scorax.inference import AbstractModel, AbstractSolver, Newton, parameter
from scorax.numerics import available_dtype, masked_logsumexp, masked_where

_POOLING = ("sum", "worth")


def team_strength(
    strength: Float[Array, "*b p"], *, where: Bool[Array, "*b p"] | None = None, pooling: str = "sum"
) -> Float[Array, "*b"]:
    r"""Strength of a team: the sum of its members', or the log of the sum of their worths.

    Args:
        strength: Natural-log worths of the members.
        where: Which places are filled. A team without members has 0 (`"sum"`), or the most negative finite number.
        pooling: `"sum"`: \(\sum \theta_i\), everyone's help multiplies the odds. `"worth"`: \(\log \sum
            e^{\theta_i}\), the team does what any of its members does.

    Example:
        >>> team_strength(jnp.zeros(3), pooling="worth")  # log 3
        Array(1.0986123, dtype=float32)

    Source: Huang, Weng & Lin (2006), "Generalized Bradley-Terry models and multi-class probability estimates", JMLR 7.
    """
    if pooling not in _POOLING:
        raise ValueError(f"pooling must be 'sum' or 'worth', not {pooling!r}")
    if pooling == "worth":
        return masked_logsumexp(strength, where=where)
    return masked_where(where, strength, 0.0).sum(-1)


class TeamRanking(AbstractModel[Matches]):
    """Players have a strength, teams the strength of their members; matches rank teams as Plackett and Luce's model.

    Two teams are Bradley-Terry on the teams' strengths; draws are Davidson's, and ties of several teams Davidson-Luce.

    Attributes:
        strength: One number a player, natural-log worth, summing to zero. With sums over teams of different sizes this
            is more than a convention: a player of strength 0 adds nothing.
        log_tie: Log of the tie parameter of each of `orders`, or None where there are none.
        orders: How many teams can draw, ascending; empty where draws cannot happen.
        pooling: See `team_strength`.

    Example:
        >>> lists = 2 * [[[0, 1], [2, 3]], [[0, 2], [1, 3]]] + [[[2, 3], [0, 1]], [[1, 3], [0, 2]]]
        >>> games = sx.data.Matches.from_lists([*lists, [[0, 3], [1, 2]], [[1, 2], [0, 3]]])
        >>> abs(sx.inference.fit(TeamRanking.init(4), games).model.strength).round(3)  # half of log 2 at both ends
        Array([0.347, 0.   , 0.   , 0.347], dtype=float32)

    Source: Huang, Weng & Lin (2006), "Generalized Bradley-Terry models and multi-class probability estimates", JMLR 7.
    """

    strength: Float[Array, " k"] = parameter(constraints.zero_sum(1))
    log_tie: Float[Array, " h"] | None = parameter(constraints.real, default=None)
    orders: tuple[int, ...] = eqx.field(static=True, default=())
    pooling: str = eqx.field(static=True, default="sum")

    solver: ClassVar[AbstractSolver] = Newton()

    def __check_init__(self):
        if self.pooling not in _POOLING:
            raise ValueError(f"pooling must be 'sum' or 'worth', not {self.pooling!r}")
        check_tie_parameters(self.log_tie, self.orders)

    @classmethod
    def init(
        cls, n_players: int, *, orders: Sequence[int] = (), pooling: str = "sum", dtype: Any = float
    ) -> "TeamRanking":
        """All strengths equal: where `fit` and `sample` start."""
        dtype = available_dtype(dtype)
        log_tie = jnp.zeros(len(orders), dtype) if orders else None
        return cls(jnp.zeros(n_players, dtype), log_tie, tuple(orders), pooling)

    def team_strengths(self, data: Matches) -> Float[Array, "n t"]:
        """Strength of every team of every match."""
        return team_strength(self.strength[data.members], where=data.where, pooling=self.pooling)

    def log_prob(self, data: Matches) -> Float[Array, " n"]:
        """Log-probability of how each match ended."""
        present = data.where.any(-1)
        last = jnp.asarray(jnp.iinfo(data.rank.dtype).max, data.rank.dtype)
        level = jnp.where(present, data.rank, last)
        places = jnp.argsort(level, axis=1)
        ordered = (jnp.take_along_axis(x, places, axis=1) for x in (self.team_strengths(data), level, present))
        strength, level, filled = ordered
        of_order = log_tie_by_order(self.log_tie, self.orders, self.strength)
        return davidson_luce_log_prob(strength, level, of_order, where=filled)

    def prior(self) -> "TeamRanking":
        """Exchangeable players on an unknown scale, `HalfNormal(1)`; `log_tie ~ Normal(0, 1.5)`."""
        scale = numpyro.sample("scale", dist.HalfNormal(1.0))
        strength = numpyro.sample("strength", dist.ZeroSumNormal(scale, self.strength.shape))
        return TeamRanking(jnp.asarray(strength), draw_log_tie(self.orders), self.orders, self.pooling)

    def simulate(self, data: Matches, *, key: PRNGKeyArray) -> Matches:
        """New results of the same matches."""
        present, of_order = data.where.any(-1), log_tie_by_order(self.log_tie, self.orders, self.strength)
        keys = jax.random.split(key, present.shape[0])

        def rank(key: PRNGKeyArray, strength: Array, present: Array) -> Int[Array, " t"]:
            order, level = draw_weak_order(key, strength, present, of_order, strength.size)
            # Absent teams are drawn by nobody, whatever stands in the last places.
            placed = jnp.arange(strength.size) < present.sum()
            ranks = jnp.where(placed, level + 1, 0).astype(data.rank.dtype)
            return jnp.zeros(strength.size, data.rank.dtype).at[order].max(ranks)

        return dataclasses.replace(data, rank=jax.vmap(rank)(keys, self.team_strengths(data), present))

    def check(self, data: Matches) -> None:
        """Raise `ValueError` where matches hold players or draws that this model has not."""
        k = self.strength.size
        refuse(
            ((np.asarray(data.members) >= k) & np.asarray(data.where)).any((1, 2)),
            f"a player id is {k} or more, but the model has {k} players,",
            "Make it with TeamRanking.init(n_players).",
        )
        sizes = _draw_sizes(np.asarray(data.rank), np.asarray(data.where.any(-1)))
        refuse(
            (~np.isin(sizes, (0, 1, *self.orders))).any(1),
            f"a draw of a number of teams other than {', '.join(map(str, self.orders)) or 'none'}",
            "Make the model with orders=(2,), or the numbers that occur.",
        )


def _draw_sizes(rank: Int[np.ndarray, "n t"], present: Bool[np.ndarray, "n t"]) -> Int[np.ndarray, "n t"]:
    """How many teams share each team's rank, 0 where no team is."""
    same = (rank[:, :, None] == rank[:, None, :]) & present[:, None, :]
    return np.where(present, same.sum(-1), 0)
