"""Sums that decay along the first axis, by whichever scan the platform is fast at."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def decayed_sum(
    x: Float[Array, "l *b"],
    decay: Float[Array, "l *b"],
    *,
    start: Float[Array, "*b"] | None = None,
    reverse: bool = False,
) -> Float[Array, "l *b"]:
    r"""The recurrence `out[j] = x[j] + decay[j] * out[j - 1]` along the first axis.

    One row after the other on a CPU, a tree of partial sums elsewhere.

    Args:
        x: What each row adds.
        decay: What each row keeps of the sum so far.
        start: The sum before the first row, 0 if None.
        reverse: From the last row to the first.

    Example:
        >>> decayed_sum(jnp.ones(3), jnp.full(3, 0.5))
        Array([1.  , 1.5 , 1.75], dtype=float32)
    """
    by_place, by_tree = (lambda *of, scan=scan: scan(*of, reverse) for scan in (_by_place, _by_tree))
    before = jnp.zeros_like(x[0]) if start is None else start
    return jax.lax.platform_dependent(x, decay, before, cpu=by_place, default=by_tree)


def _by_place(
    x: Float[Array, "l *b"], decay: Float[Array, "l *b"], start: Float[Array, "*b"], reverse: bool
) -> Float[Array, "l *b"]:
    def add(total: Float[Array, "*b"], place: tuple[Array, Array]) -> tuple[Float[Array, "*b"], Float[Array, "*b"]]:
        total = place[0] + place[1] * total
        return total, total

    return jax.lax.scan(add, start, (x, decay), reverse=reverse)[1]


def _by_tree(
    x: Float[Array, "l *b"], decay: Float[Array, "l *b"], start: Float[Array, "*b"], reverse: bool
) -> Float[Array, "l *b"]:
    def join(before: tuple[Array, Array], after: tuple[Array, Array]) -> tuple[Array, Array]:
        return after[0] + after[1] * before[0], after[1] * before[1]

    first = -1 if reverse else 0
    return jax.lax.associative_scan(join, (x.at[first].add(decay[first] * start), decay), reverse=reverse)[0]
