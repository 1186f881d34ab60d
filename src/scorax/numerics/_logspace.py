"""Log-space primitives with exact masks: a masked entry contributes nothing, to the value or to the gradient."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from scorax.numerics._recurrence import decayed_sum


def masked_where(where: Bool[Array, "*#s"] | None, x: Float[Array, "*s"], fill: float) -> Float[Array, "*s"]:
    """`x` where `where` holds, the constant `fill` elsewhere; `x` itself when there is no mask.

    The gradient at a masked entry is exactly zero, even where `x` is NaN, as long as the result is not made
    infinite by `fill`.

    Example:
        >>> masked_where(jnp.array([True, False]), jnp.array([1.0, jnp.nan]), 0.0)
        Array([1., 0.], dtype=float32)
    """
    return x if where is None else jnp.where(where, x, jnp.asarray(fill, x.dtype))


def most_negative(dtype: jnp.dtype | type) -> float:
    """A finite stand-in for `log 0`: a quarter of the most negative number, so that sums of a few stay finite.

    Example:
        >>> most_negative(jnp.float32) < -8e37
        True
    """
    return float(jnp.finfo(dtype).min) / 4


def masked_logsumexp(x: Float[Array, "*b l"], *, where: Bool[Array, "*b l"] | None = None) -> Float[Array, "*b"]:
    r"""Log-sum-exp over the last axis of the entries that take part.

    Args:
        x: Values in log space; entries outside `where` may hold anything, NaN included.
        where: Entries that take part. A row without any yields the most negative finite number of
            :func:`most_negative`, with zero gradient.

    Example:
        >>> masked_logsumexp(jnp.zeros(3), where=jnp.array([True, True, False]))
        Array(0.6931472, dtype=float32)
    """
    filled = masked_where(where, x, most_negative(x.dtype))
    top = jax.lax.stop_gradient(filled.max(-1, keepdims=True))
    total = masked_where(where, jnp.exp(filled - top), 0.0).sum(-1)
    empty = total == 0
    return masked_where(~empty, jnp.log(jnp.where(empty, jnp.ones_like(total), total)), 0.0) + top[..., 0]


class Suffixes(NamedTuple):
    """Sums over suffixes in log space, and what each is made of."""

    total: Float[Array, "l *b"]
    """Log-sum-exp of each suffix."""
    own: Float[Array, "l *b"]
    """The share of a suffix that is its first entry's, in [0, 1]: the first entry's softmax probability."""
    kept: Float[Array, "l *b"]
    """The share that is the next suffix's, in [0, 1]."""


def suffix_logsumexp(
    x: Float[Array, "*b l"],
    *,
    where: Bool[Array, "*b l"] | None = None,
    rest: Float[Array, "*b"] | None = None,
) -> Float[Array, "*b l"]:
    r"""Log-sum-exp over each suffix of the last axis: `out[..., j] = log(exp(rest) + sum_{k >= j} exp(x[..., k]))`.

    Stable for any range of `x`: it never forms `exp(x - max)` for a far tail.

    Args:
        x: Values in log space.
        where: Entries that take part. A suffix without any entry (and no `rest`) yields the most negative finite
            number of :func:`most_negative`, so that gradients stay finite.
        rest: Log-weight of what follows the last entry, such as the unranked items of a top-k ranking.

    Example:
        >>> suffix_logsumexp(jnp.zeros(3))
        Array([1.0986123, 0.6931472, 0.       ], dtype=float32)
    """
    rows = jnp.moveaxis(masked_where(where, x, most_negative(x.dtype)), -1, 0)
    return jnp.moveaxis(suffixes(rows, rest=rest).total, 0, -1)


def suffixes(
    x: Float[Array, "l *b"],
    *,
    where: Bool[Array, "l *b"] | None = None,
    rest: Float[Array, "*b"] | None = None,
) -> Suffixes:
    """`suffix_logsumexp` over the first axis, with the shares: one exponential and one logarithm an entry.

    Each step along the first axis is on contiguous numbers. Shares at entries that do not take part mean nothing.

    Example:
        >>> suffixes(jnp.zeros(3)).own
        Array([0.33333334, 0.5       , 1.        ], dtype=float32)
    """
    lowest = jnp.full(x.shape[1:], most_negative(x.dtype), x.dtype)
    filled = masked_where(where, x, most_negative(x.dtype))
    return Suffixes(*_suffixes(filled, lowest if rest is None else rest))


@jax.custom_jvp
def _suffixes(x: Float[Array, "l *b"], rest: Float[Array, "*b"]) -> tuple[Array, Array, Array]:
    """One place after the other on a CPU, three times faster there than a tree of partial sums; the tree elsewhere."""
    return jax.lax.platform_dependent(x, rest, cpu=_suffixes_by_place, default=_suffixes_by_tree)


@_suffixes.defjvp
def _suffixes_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Any, Any]:
    """The tangent of a suffix is its first entry's and the next suffix's, in proportion to their shares."""
    (x, rest), (x_dot, rest_dot) = primals, tangents
    total, own, kept = _suffixes(x, rest)
    total_dot = decayed_sum(own * x_dot, kept, start=rest_dot, reverse=True)
    next_dot = jnp.concatenate([total_dot[1:], rest_dot[None]])
    return (total, own, kept), (total_dot, own * (x_dot - total_dot), kept * (next_dot - total_dot))


def _suffixes_by_place(x: Float[Array, "l *b"], rest: Float[Array, "*b"]) -> tuple[Array, Array, Array]:
    """Sums relative to the largest entry so far."""

    def add(
        state: tuple[Array, Array], place: Float[Array, "*b"]
    ) -> tuple[tuple[Array, Array], tuple[Array, Array, Array]]:
        top, following = state
        smaller, highest = jnp.exp(-jnp.abs(place - top)), place > top
        own, kept = jnp.where(highest, 1, smaller), following * jnp.where(highest, smaller, 1)
        top, total = jnp.maximum(place, top), own + kept
        return (top, total), (top + jnp.log(total), own / total, kept / total)

    return jax.lax.scan(add, (rest, jnp.ones_like(rest)), x, reverse=True)[1]


def _suffixes_by_tree(x: Float[Array, "l *b"], rest: Float[Array, "*b"]) -> tuple[Array, Array, Array]:
    total = jax.lax.cumlogsumexp(jnp.concatenate([x, rest[None]]), axis=0, reverse=True)
    return total[:-1], jnp.exp(x - total[:-1]), jnp.exp(total[1:] - total[:-1])


def log1mexp(x: Float[Array, "*s"]) -> Float[Array, "*s"]:
    r"""`log(1 - exp(-x))` for `x > 0`, accurate at both ends.

    At 0 the value is `-inf`, with the gradient that goes with it; below 0 it is NaN.

    Example:
        >>> log1mexp(jnp.log(jnp.array([2.0, 4.0])))  # log(1 - 1/2), log(1 - 1/4)
        Array([-0.6931472 , -0.28768206], dtype=float32)

    Source: Maechler (2012), "Accurately computing log(1 - exp(-|a|))", R package Rmpfr.
    """
    near = x < jnp.asarray(0.6931472, x.dtype)
    # Each branch sees a harmless argument where the other one is taken, so that its gradient is finite there.
    small = jnp.log(-jnp.expm1(-jnp.where(near, x, jnp.ones_like(x))))
    large = jnp.log1p(-jnp.exp(-jnp.where(near, jnp.ones_like(x), x)))
    return jnp.where(near, small, large)


def log_sigmoid_interval(lower: Float[Array, "*s"], upper: Float[Array, "*s"]) -> Float[Array, "*s"]:
    r"""`log(sigmoid(upper) - sigmoid(lower))` for `lower < upper`: the log-probability of an ordinal level.

    Written without a subtraction of probabilities, so that it is exact in both tails:
    `log_sigmoid(upper) + log_sigmoid(-lower) + log1mexp(upper - lower)`. Equal bounds give `-inf`.

    Example:
        >>> log_sigmoid_interval(jnp.array([-1.0]), jnp.array([1.0]))  # log(0.7310586 - 0.2689414)
        Array([-0.7719368], dtype=float32)
    """
    return jax.nn.log_sigmoid(upper) + jax.nn.log_sigmoid(-lower) + log1mexp(upper - lower)
