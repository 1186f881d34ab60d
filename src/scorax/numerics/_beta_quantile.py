"""Quantiles of the beta, F and t distributions: the incomplete beta function, inverted on the scale of its log-odds."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jax.scipy.special import betainc, betaln
from jaxtyping import Array, Float

Number = Float[Array, "..."] | float


def beta_quantile(q: Number, a: Number, b: Number) -> Float[Array, "..."]:
    r"""The value below which a beta variate lies with probability q: \(I_x(a, b) = q\) solved for x.

    Bisection on the log-odds of x, so that both ends of (0, 1) keep their digits.

    Args:
        q: Probability, in [0, 1].
        a: First parameter, above 0, not necessarily whole. Arguments broadcast.
        b: Second parameter, above 0.

    Returns:
        In [0, 1]; NaN where an argument is out of its range. It has a derivative with respect to `q` only: that with
        respect to a parameter is an error that says so.

    Example:
        >>> beta_quantile(0.5, 2.0, 2.0), beta_quantile(jnp.array([0.25, 0.9]), 1.0, 1.0)
        (Array(0.500, dtype=float32), Array([0.250, 0.900], dtype=float32))

    Source: Majumder and Bhattacharjee (1973), doi:10.2307/2346798, for the problem.
    """
    return jax.nn.sigmoid(_log_odds_quantile(q, a, b))


def f_quantile(q: Number, numerator: Number, denominator: Number) -> Float[Array, "..."]:
    """A quantile of the F distribution.

    Args:
        q: Probability, in [0, 1].
        numerator: Degrees of freedom above 0, not necessarily whole. Arguments broadcast.
        denominator: Degrees of freedom above 0.

    Returns:
        At least 0; NaN where an argument is out of its range. It has no derivative with respect to degrees of freedom.

    Example:
        >>> f_quantile(0.95, 5.0, 10.0), f_quantile(0.5, 2.5, 2.5)
        (Array(3.3258, dtype=float32), Array(1., dtype=float32))

    Source: Abramowitz and Stegun (1964), 26.6.2.
    """
    log_odds = _log_odds_quantile(q, numerator / 2, denominator / 2)
    return jnp.asarray(denominator, log_odds.dtype) / jnp.asarray(numerator, log_odds.dtype) * jnp.exp(log_odds)


def t_quantile(q: Number, degrees: Number) -> Float[Array, "..."]:
    """A quantile of Student's t distribution.

    Args:
        q: Probability, in [0, 1].
        degrees: Degrees of freedom above 0, not necessarily whole. Arguments broadcast.

    Returns:
        Any real number; NaN where an argument is out of its range. It has no derivative with respect to degrees of
        freedom.

    Example:
        >>> t_quantile(0.975, 10.0), t_quantile(0.025, 10.0)
        (Array(2.2281, dtype=float32), Array(-2.2281, dtype=float32))

    Source: Abramowitz and Stegun (1964), 26.7.1.
    """
    dtype = jnp.result_type(q, degrees, float)
    q, degrees = jnp.asarray(q, dtype), jnp.asarray(degrees, dtype)
    # The smaller tail keeps its digits; t^2 / degrees is the odds against a beta variate.
    tail = jnp.minimum(q, 1 - q)
    size = jnp.sqrt(degrees) * jnp.exp(-_log_odds_quantile(2 * tail, degrees / 2, 0.5) / 2)
    return jnp.where(q < 0.5, -size, size)


def f_tail(statistic: Float[Array, "..."], numerator: Number, denominator: Number) -> Float[Array, "..."]:
    """The probability that an F variate exceeds a statistic.

    Args:
        statistic: At least 0; infinite is allowed.
        numerator: Degrees of freedom above 0. Arguments broadcast.
        denominator: Degrees of freedom above 0.

    Returns:
        In [0, 1], exact in the far tail.

    Example:
        >>> f_tail(jnp.array(3.3258), 5.0, 10.0)
        Array(0.05, dtype=float32)

    Source: Abramowitz and Stegun (1964), 26.6.2.
    """
    first, second = (jnp.asarray(x, statistic.dtype) for x in (numerator, denominator))
    first, second, statistic = jnp.broadcast_arrays(first, second, statistic)
    return betainc(second / 2, first / 2, 1 / (1 + first / second * statistic))


def _log_odds_quantile(q: Number, a: Number, b: Number) -> Float[Array, "..."]:
    """Log-odds of the quantile of a beta variate, -inf and inf at probabilities 0 and 1."""
    dtype = jnp.result_type(q, a, b, float)
    return _solved(*jnp.broadcast_arrays(*(jnp.asarray(x, dtype) for x in (q, a, b))))


# Compiled once for all who call it, for loops that run op by op are compiled anew at each call.
@jax.custom_jvp
@jax.jit
def _solved(q: Array, a: Array, b: Array) -> Array:
    dtype = q.dtype
    known = (q >= 0) & (q <= 1) & (a > 0) & (b > 0)
    inside = known & (q > 0) & (q < 1)
    outside = jnp.where(known, jnp.where(q < 0.5, -jnp.inf, jnp.inf), jnp.nan)
    q, a, b = (jnp.where(inside, x, jnp.asarray(fill, dtype)) for x, fill in ((q, 0.5), (a, 1.0), (b, 1.0)))
    edge = -math.log(float(jnp.finfo(dtype).tiny))
    # As many halvings as it takes from the widest bracket to the last bit of log-odds of order one.
    steps = math.ceil(math.log2(2 * edge)) - int(math.log2(float(jnp.finfo(dtype).eps)))

    def halve(_: Array, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        lower, upper = ends
        middle = (lower + upper) / 2
        short = _excess(middle, q, a, b) < 0
        return jnp.where(short, middle, lower), jnp.where(short, upper, middle)

    lower, upper = jax.lax.fori_loop(0, steps, halve, (jnp.full_like(q, -edge), jnp.full_like(q, edge)))
    return jnp.where(inside, (lower + upper) / 2, outside)


@functools.partial(_solved.defjvp, symbolic_zeros=True)
def _solved_jvp(primals: tuple[Any, Any, Any], tangents: tuple[Any, Any, Any]) -> tuple[Array, Any]:
    if not all(isinstance(tangent, SymbolicZero) for tangent in tangents[1:]):
        raise ValueError(
            "a quantile has no derivative with respect to degrees of freedom, nor to the parameters of a beta "
            "distribution: hold them constant with jax.lax.stop_gradient"
        )
    log_odds, (_, a, b) = _solved(*primals), primals
    log_slope = a * jax.nn.log_sigmoid(log_odds) + b * jax.nn.log_sigmoid(-log_odds) - betaln(a, b)
    slope = tangents[0]
    return log_odds, slope if isinstance(slope, SymbolicZero) else slope * jnp.exp(-log_slope)


def _excess(log_odds: Array, q: Array, a: Array, b: Array) -> Array:
    """How much probability lies below beyond `q`, from that side of the variate that is small."""
    left = log_odds < 0
    one, other = jnp.where(left, a, b), jnp.where(left, b, a)
    side = betainc(one, other, jax.nn.sigmoid(-jnp.abs(log_odds)))
    return jnp.where(left, side - q, (1 - q) - side)
