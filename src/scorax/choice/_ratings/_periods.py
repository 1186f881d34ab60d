"""Rating periods: games of one period count at once, and periods follow one another."""

import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int

from scorax.choice._ratings._system import largest_id
from scorax.data import Comparisons, refuse


class Periods(eqx.Module):
    """Comparisons in blocks of equal length, each from a single period: what Glicko's systems scan over.

    Made on the host by `rating_periods`. There are at most three times as many places as rows, however uneven the
    periods are, and the shapes depend on the numbers of rows and periods alone.
    """

    rows: Comparisons
    """Every column `[n, l]`, a block a row."""
    where: Bool[Array, "n l"]
    elapsed: Float[Array, " n"]
    """Periods since the one before, at the first block of a period; 0 at its others."""
    last: Bool[Array, " n"]
    """The block that ends its period."""
    place: Int[Array, " m"]
    """Where each row of the comparisons went, counted through all blocks."""


def rating_periods(data: Comparisons) -> Periods:
    """Group comparisons by their whole-numbered `time`. Rows may stand in any order.

    `Glicko` and `Glicko2` do this by themselves where the values are known. Under `jit`, group before and pass the
    result instead of the comparisons.

    Raises:
        ValueError: there is no time, it is not whole, or values are not known yet.

    Example:
        >>> games = sx.data.Comparisons.from_arrays([0, 1, 0], [1, 2, 2], [1.0, 0.5, 1.0], time=[7, 7, 9])
        >>> periods = rating_periods(games)
        >>> periods.elapsed, periods.last
        (Array([1., 2., 0.], dtype=float32), Array([ True,  True, False], dtype=bool))
    """
    if data.time is None:
        raise ValueError(
            "Glicko works in periods, but the data have no time: Comparisons.from_arrays(..., time=...) with whole "
            "numbers. For a single period: system.update(state, data)"
        )
    if isinstance(data.time, Tracer):
        raise ValueError("periods are not known under jit: group before, rating_periods(data), and pass the result")
    time = np.asarray(data.time)
    refuse(time != np.round(time), "time is no whole number", "Number the periods: np.floor(time / length).")
    period, group, size = np.unique(time.astype(np.int64), return_inverse=True, return_counts=True)
    length = 2 ** int(np.ceil(np.log2(len(time) / len(period))))
    blocks = -(-size // length)
    ends = np.cumsum(blocks)
    # As many as any division of the rows could need, so that shapes do not depend on it.
    n_blocks = len(period) + len(time) // length
    order = np.argsort(group, kind="stable")
    within = np.arange(len(time)) - np.repeat(np.cumsum(size) - size, size)
    place = np.empty(len(time), np.int64)
    place[order] = np.repeat((ends - blocks) * length, size) + within
    row, where = np.zeros(n_blocks * length, np.int64), np.zeros(n_blocks * length, bool)
    row[place], where[place] = np.arange(len(time)), True
    elapsed, last = np.zeros(n_blocks), np.zeros(n_blocks, bool)
    elapsed[ends - blocks] = np.diff(period, prepend=period[0] - 1)
    last[ends - 1] = True
    return Periods(
        rows=data.take(jnp.asarray(row.reshape(n_blocks, length))),
        where=jnp.asarray(where.reshape(n_blocks, length)),
        elapsed=jnp.asarray(elapsed, float),
        last=jnp.asarray(last),
        place=jnp.asarray(place, jnp.int32),
    )


@largest_id.register
def _(data: Periods) -> int | None:
    return largest_id(data.rows)


@functools.singledispatch
def as_periods(data: Any) -> Periods:
    """The data grouped by period."""
    raise TypeError(f"no games in {type(data).__name__}")


@as_periods.register
def _(data: Comparisons) -> Periods:
    return rating_periods(data)


@as_periods.register
def _(data: Periods) -> Periods:
    return data


class Evidence(eqx.Module):
    """What the games of a period say about each player, in natural units."""

    information: Float[Array, " k"]
    """Sum of g^2 E (1 - E) over a player's games: the inverse of Glickman's v."""
    surprise: Float[Array, " k"]
    """Sum of g (score - E)."""

    @classmethod
    def none(cls, n_items: int, dtype: Any) -> "Evidence":
        """Before any game."""
        return cls(jnp.zeros(n_items, dtype), jnp.zeros(n_items, dtype))

    def add(
        self, mean: Float[Array, " k"], spread: Float[Array, " k"], rows: Comparisons, where: Bool[Array, " l"]
    ) -> "Evidence":
        """With some more games, each for both of its players.

        Args:
            mean: Ratings before the period, in log-odds.
            spread: Their standard deviations.
            rows: Games; one of weight w counts as w games.
            where: Which of them are there.
        """
        a, b, damping = rows.a, rows.b, attenuation(spread)
        weight = jnp.where(where, rows.weight, jnp.zeros_like(rows.weight)).astype(mean.dtype)
        outcome = rows.outcome.astype(mean.dtype)
        difference = mean[a] - mean[b]
        # A player's expectation is damped by the uncertainty about the opponent.
        by_b, by_a = damping[b], damping[a]
        of_a, of_b = jax.nn.sigmoid(by_b * difference), jax.nn.sigmoid(-by_a * difference)
        information = self.information.at[a].add(weight * by_b**2 * of_a * (1 - of_a))
        surprise = self.surprise.at[a].add(weight * by_b * (outcome - of_a))
        return Evidence(
            information.at[b].add(weight * by_a**2 * of_b * (1 - of_b)),
            surprise.at[b].add(weight * by_a * (1 - outcome - of_b)),
        )


def attenuation(spread: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """Glickman's g: how far uncertainty about an opponent draws the expectation towards one half."""
    return 1 / jnp.sqrt(1 + 3 * spread**2 / jnp.pi**2)


def expected_score(
    mean: Float[Array, " k"], spread: Float[Array, " k"], a: Int[Array, "*s"], b: Int[Array, "*s"]
) -> Float[Array, "*s"]:
    """Probability that `a` wins, with the uncertainty of both."""
    together = jnp.sqrt(spread[a] ** 2 + spread[b] ** 2)
    return jax.nn.sigmoid(attenuation(together) * (mean[a] - mean[b]))
