"""What a ranking says about the performances behind it: expectation propagation along the chain of teams."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from scorax.choice._ratings._truncated import correction


class Message(NamedTuple):
    """A Gaussian factor by its precision and its precision times mean, so that factors multiply by addition."""

    precision: Float[Array, "*s"]
    shift: Float[Array, "*s"]


class Result(NamedTuple):
    """What is known of two teams that came in next to each other."""

    drawn: Bool[Array, "*s"]
    margin: Float[Array, "*s"]
    """Of performances that count as equal."""
    there: Bool[Array, "*s"]
    """False where there is no second team."""


def posterior_performances(
    mean: Float[Array, " t"], variance: Float[Array, " t"], result: Result, sweeps: int
) -> tuple[Float[Array, " t"], Float[Array, " t"]]:
    """Means and variances of the teams' performances, given the order in which they came in.

    Each pair of neighbours is one factor. Two teams have a single one, and the answer is exact up to its moments; more
    teams need `sweeps` down the chain and back.

    Args:
        mean: Before the match, best team first.
        variance: Likewise, positive.
        result: Of neighbours, `[t - 1]`.
        sweeps: Each gains about two digits.

    Source: Minka (2001), "A family of algorithms for approximate Bayesian inference"; Herbrich, Minka & Graepel (2007).
    """
    prior = Message(1 / variance, mean / variance)
    upper, lower = (jax.tree.map(lambda x, part=part: x[part], prior) for part in (slice(-1), slice(1, None)))
    nothing = Message(jnp.zeros_like(mean[1:]), jnp.zeros_like(mean[1:]))

    def down(above: Message, pair: tuple[Message, Message, Message, Result]) -> tuple[Message, tuple[Message, Message]]:
        better, worse, below, result = pair
        up, onward = _learn(_product(better, above), _product(worse, below), result)
        return onward, (up, onward)

    def back(below: Message, pair: tuple[Message, Message, Message, Result]) -> tuple[Message, tuple[Message, Message]]:
        better, worse, above, result = pair
        up, onward = _learn(_product(better, above), _product(worse, below), result)
        return up, (up, onward)

    def sweep(messages: tuple[Message, Message], turn: None) -> tuple[tuple[Message, Message], None]:
        ups, downs = messages
        end = jax.tree.map(lambda x: x[0] * 0, ups)
        _, (ups, downs) = jax.lax.scan(down, end, (upper, lower, _shifted(ups, -1), result))
        _, messages = jax.lax.scan(back, end, (upper, lower, _shifted(downs, 1), result), reverse=True)
        return messages, None

    if mean.shape[0] == 2:
        ups, downs = _learn(upper, lower, result)
    else:
        (ups, downs), _ = jax.lax.scan(sweep, (nothing, nothing), None, length=sweeps)
    zero = jnp.zeros_like(mean[:1])
    precision = prior.precision + jnp.append(ups.precision, zero) + jnp.append(zero, downs.precision)
    shift = prior.shift + jnp.append(ups.shift, zero) + jnp.append(zero, downs.shift)
    return shift / precision, 1 / precision


def _learn(better: Message, worse: Message, result: Result) -> tuple[Message, Message]:
    """What a result tells the better and the worse of two teams, each through the other.

    The factor of the difference is never formed: its precision is infinite where nothing of the variance remains.
    """
    (m1, v1), (m2, v2) = ((x.shift / x.precision, 1 / x.precision) for x in (better, worse))
    variance = v1 + v2
    scale = jnp.sqrt(variance)
    v, w = correction((m1 - m2) / scale, result.margin / scale, result.drawn)
    kept = (1 - w) * variance

    def told(shift: Float[Array, "*s"], others: Float[Array, "*s"]) -> Message:
        total = kept + w * others
        none = jnp.zeros_like(w)
        return Message(*(jnp.where(result.there, x / total, none) for x in (w, shift)))

    return told(w * m1 + scale * v, v2), told(w * m2 - scale * v, v1)


def _product(one: Message, other: Message) -> Message:
    return Message(one.precision + other.precision, one.shift + other.shift)


def _shifted(message: Message, by: int) -> Message:
    """Message of the neighbour `by` places up the chain, nothing at its end."""

    def shift(x: Float[Array, " r"]) -> Float[Array, " r"]:
        zero = jnp.zeros_like(x[:1])
        return jnp.append(zero, x[:-1]) if by > 0 else jnp.append(x[1:], zero)

    return jax.tree.map(shift, message)
