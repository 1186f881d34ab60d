"""Rankings as choices, place after place, and the truncated geometric law that Mallows' models give each choice."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from scorax.numerics import log1mexp

# log((1 - e^-x)/x) = -x/2 + x^2/24 - ..., and its derivative: Bernoulli numbers over factorials.
_LOG_SERIES = (1 / 24, -1 / 2880, 1 / 181440, -1 / 9676800, 1 / 479001600, -691 / 15692092416000)
_SMALL = 0.5


def insertion_vector(order: Int[Array, "*b k"], reference: Int[Array, " k"]) -> Int[Array, "*b k"]:
    """How far each choice of a ranking departs from a reference order.

    Args:
        order: Complete rankings, item ids, best first.
        reference: The reference, likewise.

    Returns:
        Entry j: how many of the items still left when place j is filled the reference prefers to the one chosen, from
        0 to k - 1 - j. Their sum is the Kendall distance.

    Example:
        >>> insertion_vector(jnp.array([2, 0, 1]), jnp.array([0, 1, 2]))
        Array([2, 0, 0], dtype=int32)

    Source: Fligner & Verducci (1986), doi:10.1111/j.2517-6161.1986.tb01420.x.
    """
    place = jnp.argsort(reference)[order]
    later = jnp.triu(jnp.ones((reference.size, reference.size), bool), 1)
    before = place[..., None, :] < place[..., :, None]
    return (before & jnp.broadcast_to(later, before.shape)).sum(-1, dtype=jnp.int32)


def orders_of(insertions: Int[Array, "n k"], reference: Int[Array, " k"]) -> Int[Array, "n k"]:
    """Rankings from their insertion vectors: each place takes the item that many places down among those left."""
    n, k = insertions.shape

    def choose(left: Array, skip: Int[Array, " n"]) -> tuple[Array, Int[Array, " n"]]:
        passed = jnp.cumsum(left, axis=1, dtype=jnp.int32) - 1
        chosen = left & (passed == skip[:, None])
        return left & ~chosen, chosen.argmax(1)

    places = jax.lax.scan(choose, jnp.ones((n, k), bool), insertions.T)[1]
    return reference[places.T]


def truncated_geometric(key: PRNGKeyArray, dispersion: Float[Array, " k"], n: int) -> Int[Array, "n k"]:
    r"""Draws of insertion vectors: \(P(V_j = v) \propto e^{-\lambda_j v}\), v from 0 to k - 1 - j."""
    k = dispersion.size
    skip = jnp.arange(k, dtype=dispersion.dtype)
    # Infinity times zero is zero.
    cost = jnp.where(skip[None, :] == 0, 0, dispersion[:, None] * jnp.maximum(skip, 1)[None, :])
    possible = skip[None, :] <= skip[::-1][:, None]
    upto = jnp.cumsum(jax.nn.softmax(jnp.where(possible, -cost, -jnp.inf), axis=1), axis=1)

    def draw(_: None, stage: tuple[Array, Array, Array]) -> tuple[None, Int[Array, " n"]]:
        u, upto, last = stage
        return None, jnp.minimum((u[:, None] >= upto[None, :]).sum(1, dtype=jnp.int32), last)

    u = jax.random.uniform(key, (k, n), dispersion.dtype)
    last = jnp.arange(k - 1, -1, -1, dtype=jnp.int32)
    return jax.lax.scan(draw, None, (u, upto, last))[1].T


def log_stages(dispersion: Float[Array, " k"], choices: Float[Array, " k"]) -> Float[Array, " k"]:
    r"""Log normaliser of each choice, \(\log \sum_{v < c} e^{-\lambda v}\); `log c` at 0, 0 at infinity."""
    small = dispersion < _SMALL
    near = jnp.where(small, dispersion, _SMALL)
    far = jnp.where(small, _SMALL, dispersion)
    by_series = jnp.log(choices) + _log_ratio(choices * near) - _log_ratio(near)
    return jnp.where(small, by_series, log1mexp(choices * far) - log1mexp(far))


def mean_stages(dispersion: Float[Array, " k"], choices: Float[Array, " k"]) -> Float[Array, " k"]:
    """Mean of each choice, `(c - 1)/2` at 0, 0 at infinity."""
    small = dispersion < _SMALL
    near = jnp.where(small, dispersion, _SMALL)
    far = jnp.where(small, _SMALL, dispersion)
    by_series = _log_ratio_slope(near) - choices * _log_ratio_slope(choices * near)
    return jnp.where(small, by_series, _inverse_expm1(far) - choices * _inverse_expm1(choices * far))


def _log_ratio(x: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """`log((1 - exp(-x))/x)` for x >= 0, smooth through 0."""
    small = x < _SMALL
    near, far = jnp.where(small, x, 0), jnp.where(small, _SMALL, x)
    square, series = near**2, jnp.zeros_like(x)
    for term in _LOG_SERIES[::-1]:
        series = (series + term) * square
    return jnp.where(small, series - near / 2, log1mexp(far) - jnp.log(far))


def _log_ratio_slope(x: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """Its derivative, `1/(exp(x) - 1) - 1/x`."""
    small = x < _SMALL
    near, far = jnp.where(small, x, 0), jnp.where(small, _SMALL, x)
    series = jnp.zeros_like(x)
    for power, term in reversed(list(enumerate(_LOG_SERIES, start=1))):
        series = series * near**2 + 2 * power * term
    return jnp.where(small, series * near - 0.5, _inverse_expm1(far) - 1 / far)


def _inverse_expm1(x: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """`1/(exp(x) - 1)` for x > 0, without overflow, whose gradient would be NaN."""
    return jnp.exp(-x) / -jnp.expm1(-x)
