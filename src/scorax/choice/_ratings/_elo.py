"""Elo ratings: after every match the winner takes points from the loser, the more the less that was expected."""

import dataclasses
import math
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from scorax.choice._ratings._elo_scan import play_in_order
from scorax.choice._ratings._system import AbstractRatingSystem, check_order, like, one_row, to_float
from scorax.data import Comparisons

# Orders that are drawn and played at a time on accelerators, where they run side by side.
_ORDERS_AT_A_TIME = 256


class EloState(eqx.Module):
    """Ratings in points, higher is better."""

    rating: Float[Array, " k"]


class Elo(AbstractRatingSystem[EloState]):
    r"""Elo: a gradient step on the Bradley-Terry log-likelihood of one match at a time.

    With \(E_a = 1 / (1 + \text{base}^{(R_b - R_a) / \text{scale}})\) the rating of `a` gains, and that of `b` loses,
    `k * weight * (outcome - E_a)`. The sum of ratings never changes. Outcomes may be soft labels; a row of weight 0
    does nothing. The result depends on the order of rows: see `elo_permuted`. Order of presentation and features are
    not read.

    Attributes:
        k: Points at stake in a match, twice what equals exchange: 4 where votes are many, 16 or 32 in chess.
        scale: Difference of ratings at which the odds are `base` to 1.
        base: Of the odds, above 1.
        initial: Rating of a newcomer.

    Raises:
        ValueError: (in `rate`, `trace`) a row stands for several matches, or time runs backwards.

    Example:
        >>> battles = sx.data.Comparisons.from_arrays([0, 1, 0], [1, 2, 2], [1.0, 0.5, 1.0])
        >>> elo = Elo(k=32.0)
        >>> state, expected = elo.trace(battles)
        >>> state.rating.round(0)
        Array([1031.,  985.,  984.], dtype=float32)
        >>> expected.round(2)
        Array([0.5 , 0.48, 0.52], dtype=float32)
        >>> elo.update(elo.init(3), battles.take(0)).rating
        Array([1016.,  984., 1000.], dtype=float32)

        The best K of these data, by gradient:

        >>> def log_loss(elo):
        ...     _, p = elo.trace(battles)
        ...     return -(battles.outcome * jnp.log(p) + (1 - battles.outcome) * jnp.log1p(-p)).mean()
        >>> bool(jax.grad(log_loss)(elo).k < 0)  # larger steps would have done better
        True

    Source: Elo (1978), "The Rating of Chessplayers, Past and Present".
    """

    k: Float[Array, ""] = eqx.field(converter=to_float, default=4.0)
    scale: Float[Array, ""] = eqx.field(converter=to_float, default=400.0)
    base: float = eqx.field(static=True, default=10.0)
    initial: float = eqx.field(static=True, default=1000.0)

    takes: ClassVar[tuple[type, ...]] = (Comparisons,)

    def init(self, n_items: int, *, dtype: Any = float) -> EloState:
        """All at the initial rating."""
        return EloState(jnp.full(n_items, self.initial, dtype))

    def step(self, state: EloState, match: Comparisons) -> EloState:
        """The state after one more match, a single row."""
        return self.play(state, one_row(match))[0]

    def win_probability(self, state: EloState, a: Int[Array, "*s"], b: Int[Array, "*s"]) -> Float[Array, "*s"]:
        """Expected score of `a` against `b`.

        Example:
            >>> Elo().win_probability(EloState(jnp.array([1400.0, 1000.0])), jnp.array(0), jnp.array(1))
            Array(0.90909, dtype=float32)
        """
        return jax.nn.sigmoid(self._slope(state) * (state.rating[a] - state.rating[b]))

    def strength(self, state: EloState) -> Float[Array, " k"]:
        """Natural-log worths with mean zero: differences are log-odds."""
        return self._slope(state) * (state.rating - state.rating.mean())

    def prepare(self, data: Comparisons) -> Comparisons:
        """The data themselves, checked."""
        check_order(data, "Elo")
        return data

    def play(self, state: EloState, data: Comparisons) -> tuple[EloState, Float[Array, " n"]]:
        """One scan over the rows."""
        dtype, slope = state.rating.dtype, self._slope(state)
        points = like(self.k, state.rating) * data.weight.astype(dtype)
        rating, expected = play_in_order(
            state.rating, slope, points, data.outcome.astype(dtype), jnp.stack([data.a, data.b], axis=1)
        )
        return EloState(rating), expected

    def _slope(self, state: EloState) -> Float[Array, ""]:
        """Log-odds of a point."""
        return math.log(self.base) / like(self.scale, state.rating)


def elo_permuted(
    comparisons: Comparisons,
    n_permutations: int,
    *,
    key: PRNGKeyArray,
    elo: Elo | None = None,
    n_items: int | None = None,
) -> Float[Array, "r k"]:
    """Elo ratings of the same matches in every one of many random orders.

    Votes that were cast over weeks have no order that matters, but the last ones weigh most in a rating. The mean over
    orders removes that, and the spread over orders says how much of a rating was order. Neither says how large the
    sampling error is.

    Args:
        comparisons: One match a row.
        n_permutations: Number of orders. The first orders of a larger number are the same.
        key: Draws the orders.
        elo: `Elo()` by default.
        n_items: Number of items; by default one more than the largest id.

    Returns:
        Ratings, an order a row. Means, quantiles and standard deviations are the caller's.

    Raises:
        ValueError: a row stands for several matches, or `n_permutations` is below 1.

    Example:
        >>> battles = sx.data.Comparisons.from_arrays([0, 1, 0], [1, 2, 2], [1.0, 0.5, 1.0])
        >>> elo_permuted(battles, 100, key=jax.random.key(0), elo=Elo(k=32.0)).mean(0).round(0)
        Array([1031.,  985.,  984.], dtype=float32)

    Source: Boubdir, Kim, Ermis, Hooker & Fadaee (2023), arXiv:2311.17295.
    """
    if n_permutations < 1:
        raise ValueError(f"n_permutations must be at least 1, not {n_permutations}")
    elo = Elo() if elo is None else elo
    timeless = dataclasses.replace(comparisons, time=None)
    rows, state = elo.checked(timeless, None if n_items is None else elo.init(n_items))
    return _permuted(elo, state, rows, key, n_permutations)


@eqx.filter_jit
def _permuted(elo: Elo, state: EloState, rows: Comparisons, key: PRNGKeyArray, r: int) -> Float[Array, "r k"]:
    keys = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, jnp.arange(r))

    def ratings(key: PRNGKeyArray) -> Float[Array, " k"]:
        return elo.play(state, rows.take(random_order(key, rows.weight.shape[0])))[0].rating

    # One order after the other is three times faster on a processor core than all side by side.
    return jax.lax.platform_dependent(
        keys,
        cpu=lambda keys: jax.lax.map(ratings, keys),
        default=lambda keys: jax.lax.map(ratings, keys, batch_size=_ORDERS_AT_A_TIME),
    )


def random_order(key: PRNGKeyArray, n: int) -> Int[Array, " n"]:
    """A random order of `n` rows, by Fisher and Yates' exchanges: a quarter of the time of a sort on one core.

    Example:
        >>> jnp.sort(random_order(jax.random.key(0), 5))
        Array([0, 1, 2, 3, 4], dtype=int32)
    """
    place = jnp.arange(n, dtype=jnp.int32)
    other = jax.random.randint(key, (n,), place, n, dtype=jnp.int32)

    def exchange(order: Int[Array, " n"], pair: Int[Array, "2"]) -> tuple[Int[Array, " n"], None]:
        return order.at[pair].set(order[pair[::-1]]), None

    return jax.lax.scan(exchange, place, jnp.stack([place, other], axis=1))[0]
