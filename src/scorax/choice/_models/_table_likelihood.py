"""Log-likelihood of a table of pair counts with its gradient in closed form: what a sampler evaluates at every step.

With worths `e = exp(strength)` and tie parameter `v`, a comparison of `i` and `j` ends in favour of `i` with
probability `e_i / D_ij`, in a tie with `v sqrt(e_i e_j) / D_ij`, where `D_ij = e_i + e_j + v sqrt(e_i e_j)`.
Exponentials are of items, not of pairs: one logarithm and one division a pair are all that is left.
"""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Float

from scorax.data import PairCounts


def table_log_likelihood(
    strength: Float[Array, " k"], log_tie: Float[Array, ""] | None, table: PairCounts
) -> Float[Array, ""]:
    """Weighted log-likelihood of all cells: Davidson's, or without `log_tie` Bradley-Terry's, ties being half wins.

    Strengths that lie further apart than the logarithm of the largest number (79 in single precision) count as if they
    lay so far.
    """
    weight = table.weight.astype(strength.dtype)
    if log_tie is None:
        return _half_wins(strength, weight)
    return _davidson(strength, log_tie.astype(strength.dtype), weight)


@functools.partial(jax.custom_jvp)
def _half_wins(strength: Float[Array, " k"], weight: Float[Array, "2 k k"]) -> Float[Array, ""]:
    return jnp.vdot(_won(weight), strength) - (weight.sum(0) * _log_totals(strength, None)).sum()


@functools.partial(_half_wins.defjvp, symbolic_zeros=True)
def _half_wins_jvp(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Array, Array]:
    strength, weight = primals
    of_strength, of_weight = tangents
    total, worth = _totals(strength, None), _worth(strength)
    met = weight.sum(0)
    share = met / total
    value = jnp.vdot(_won(weight), strength) - (met * (jnp.log(total) + jnp.max(strength))).sum()
    gradient = _won(weight) - worth * (share.sum(1) + share.sum(0))
    tangent = _dot(gradient, of_strength)
    if not isinstance(of_weight, SymbolicZero):
        tangent = tangent + _half_wins(strength, of_weight)
    return value, tangent


@functools.partial(jax.custom_jvp)
def _davidson(
    strength: Float[Array, " k"], log_tie: Float[Array, ""], weight: Float[Array, "2 k k"]
) -> Float[Array, ""]:
    decided = jnp.vdot(_won(weight), strength) - (weight.sum(0) * _log_totals(strength, log_tie)).sum()
    return decided + weight[1].sum() * log_tie


@functools.partial(_davidson.defjvp, symbolic_zeros=True)
def _davidson_jvp(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Array, Array]:
    strength, log_tie, weight = primals
    of_strength, of_tie, of_weight = tangents
    total, worth = _totals(strength, log_tie), _worth(strength)
    root = jnp.sqrt(worth)
    met, tied = weight.sum(0), weight[1].sum()
    share = met / total
    value = jnp.vdot(_won(weight), strength) - (met * (jnp.log(total) + jnp.max(strength))).sum() + tied * log_tie
    # Expected ties of every item, in two halves: as first and as second of the pair.
    ties = jnp.exp(log_tie) * root * (share @ root), jnp.exp(log_tie) * root * (root @ share)
    gradient = _won(weight) - worth * (share.sum(1) + share.sum(0)) - (ties[0] + ties[1]) / 2
    tangent = _dot(gradient, of_strength) + _dot(tied - ties[0].sum(), of_tie)
    if not isinstance(of_weight, SymbolicZero):
        tangent = tangent + _davidson(strength, log_tie, of_weight)
    return value, tangent


def _dot(gradient: Float[Array, "*s"], tangent: Any) -> Float[Array, ""]:
    if isinstance(tangent, SymbolicZero):
        return jnp.zeros((), gradient.dtype)
    return jnp.vdot(gradient, tangent)


def _won(weight: Float[Array, "2 k k"]) -> Float[Array, " k"]:
    """Wins of every item, ties as halves."""
    return weight[0].sum(1) + (weight[1].sum(1) + weight[1].sum(0)) / 2


def _worth(strength: Float[Array, " k"]) -> Float[Array, " k"]:
    """Relative to the largest, and never zero."""
    lowest = -0.9 * math.log(float(jnp.finfo(strength.dtype).max))
    return jnp.exp(jnp.maximum(strength - jnp.max(strength), lowest))


def _totals(strength: Float[Array, " k"], log_tie: Float[Array, ""] | None) -> Float[Array, "k k"]:
    worth = _worth(strength)
    both = worth[:, None] + worth[None, :]
    if log_tie is None:
        return both
    root = jnp.sqrt(worth)
    return both + jnp.exp(log_tie) * root[:, None] * root[None, :]


def _log_totals(strength: Float[Array, " k"], log_tie: Float[Array, ""] | None) -> Float[Array, "k k"]:
    return jnp.log(_totals(strength, log_tie)) + jnp.max(strength)
