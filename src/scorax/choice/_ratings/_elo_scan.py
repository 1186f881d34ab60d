"""The loop of Elo, and its derivative: a few nanoseconds a match, because nothing but two ratings moves."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


@jax.custom_jvp
def play_in_order(
    rating: Float[Array, " k"],
    slope: Float[Array, ""],
    points: Float[Array, " n"],
    outcome: Float[Array, " n"],
    pair: Int[Array, "n 2"],
) -> tuple[Float[Array, " k"], Float[Array, " n"]]:
    """Ratings after all matches, and what was expected of the first of each pair.

    Args:
        rating: Before the first match.
        slope: Log-odds of a point.
        points: What each match is about.
        outcome: 1 where the first of the pair won, 0 where the second did.
        pair: Who played.
    """

    # XLA makes one function of this loop (10 ns a match on a CPU core) as long as what leaves a step went through the
    # exponential: cheaper results it would rather compute twice, and copy all ratings for that (700 ns).
    def play(rating: Float[Array, " k"], match: tuple[Array, ...]) -> tuple[Float[Array, " k"], Float[Array, ""]]:
        points, outcome, a, b = match
        expected = jax.nn.sigmoid(slope * (rating[a] - rating[b]))
        gain = points * (outcome - expected)
        return rating.at[a].add(gain).at[b].add(-gain), expected

    return jax.lax.scan(play, rating, (points, outcome, pair[:, 0], pair[:, 1]))


@play_in_order.defjvp
def _play_in_order_jvp(primals: tuple[Array, ...], tangents: tuple[Array, ...]) -> tuple[tuple, tuple]:
    """The ratings' tangent goes through the same matches; what each adds to it is known beforehand for all rows."""
    rating, slope, points, outcome, pair = primals
    rating_dot, slope_dot, points_dot, outcome_dot, _ = tangents
    out, expected = play_in_order(rating, slope, points, outcome, pair)
    steepness = expected * (1 - expected)
    by_slope = steepness * _log_odds(expected) * (slope_dot / slope)
    direct = points_dot * (outcome - expected) + points * (outcome_dot - by_slope)

    # Here the arithmetic is cheap, so both ratings are read at once and written at once (65 ns).
    def play(rating_dot: Float[Array, " k"], match: tuple[Array, ...]) -> tuple[Float[Array, " k"], Float[Array, ""]]:
        pair, pull, direct = match
        two = rating_dot[pair]
        difference_dot = two[0] - two[1]
        gain = direct - pull * difference_dot
        return rating_dot.at[pair].add(jnp.stack([gain, -gain])), difference_dot

    out_dot, difference_dot = jax.lax.scan(play, rating_dot, (pair, slope * points * steepness, direct))
    return (out, expected), (out_dot, slope * steepness * difference_dot + by_slope)


def _log_odds(p: Float[Array, " n"]) -> Float[Array, " n"]:
    """0 at the ends, where the factor that goes with it is 0 and wins."""
    inside = (p > 0) & (p < 1)
    safe = jnp.where(inside, p, jnp.full_like(p, 0.5))
    return jnp.log(safe) - jnp.log1p(-safe)
