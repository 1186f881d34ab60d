"""Closed-form derivatives of the Plackett-Luce likelihood.

A stage is a softmax over the items left, so minus the Hessian is a sum of softmax covariances: the Laplacian of a graph
in which the items of a ranking are linked, two of them by the sum of the products of their probabilities over the
stages in which both were left. That sum is a prefix sum, so a ranking costs the square of its length, and never a
derivative for each item of the model.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from scorax.choice._models._approach import Slopes, approach
from scorax.choice._models._rankings import log_rest
from scorax.data import Rankings
from scorax.inference import Derivatives
from scorax.numerics import decayed_sum, graph_laplacian, masked_where, suffix_logsumexp

# Pairs of places whose values exist at a time: some 30 MB.
_PAIRS_AT_A_TIME = 2**22


class _Stages(NamedTuple):
    """What the derivatives of a ranking are made of."""

    strength: Float[Array, "n l"]
    """In ranked order."""
    log_total: Float[Array, "n l"]
    """Log of the worth that was left at each stage."""
    once: Float[Array, "n l"]
    """Sum over the stages up to each place of the ratio of its total to theirs, at least 1."""
    twice: Float[Array, "n l"]
    """The same of the ratios' squares."""

    @property
    def chance(self) -> Float[Array, "n l"]:
        """Probability of each place's item at its own stage."""
        return jnp.exp(self.strength - self.log_total)

    @property
    def last_log_total(self) -> Float[Array, "n 1"]:
        """Of the last stage: places that are not filled have infinite totals."""
        return self.log_total.min(axis=1, keepdims=True)


def ranking_derivatives(model: Any, data: Rankings) -> Callable[[Any], Derivatives]:
    """Value, gradient and Hessian of the log-likelihood in the strengths, as a function of the model."""

    def derivatives(model: Any) -> Derivatives:
        strength = model.strength
        weight = data.weight.astype(strength.dtype)
        stages = _stages(strength, data)
        choices = masked_where(data.where, stages.strength - stages.log_total, 0.0).sum(1)
        gradient = _to_items(_place_scores(stages, data) * weight[:, None], data.order, strength.size)
        if data.rest is not None:
            gradient = gradient + weight @ _rest_scores(strength, stages, data.rest)
        links = _links(strength, stages, weight, data)
        return Derivatives(jnp.vdot(weight, choices), gradient, -graph_laplacian(links))

    return derivatives


def ranking_approach(model: Any, data: Rankings) -> Any:
    """See `approach`: a step costs a twelfth of one with the links of all pairs.

    In worths, not their logs: ten steps of at most 2 from equal strengths keep them within a factor of exp(40), the
    square of which single precision still holds.
    """
    weight = data.weight.astype(model.strength.dtype)[:, None]

    def slopes(strength: Float[Array, " k"]) -> Slopes:
        worth = jnp.exp(strength - strength.max())
        placed = jnp.where(data.where, worth[data.order], 0)
        left = jax.lax.cumsum(placed, axis=1, reverse=True)
        behind = None if data.rest is None else jnp.where(data.rest, worth[None, :], 0)
        if behind is not None:
            left = left + behind.sum(1, keepdims=True)
        share = jnp.where(data.where, 1 / jnp.where(data.where, left, 1), 0)
        once, twice = jnp.cumsum(share, axis=1), jnp.cumsum(share**2, axis=1)
        expected = placed * once
        gradient = _to_items(weight * jnp.where(data.where, 1 - expected, 0), data.order, strength.size)
        information = _to_items(weight * (expected - placed**2 * twice), data.order, strength.size)
        if behind is not None:
            expected = behind * once[:, -1:]
            gradient = gradient - weight[:, 0] @ expected
            information = information + weight[:, 0] @ (expected - behind**2 * twice[:, -1:])
        return Slopes(gradient, information)

    return approach(model, slopes)


def ranking_meat(model: Any, data: Rankings) -> Float[Array, "k k"]:
    """`sum weight^2/count g g^T` over rankings."""
    strength = model.strength
    weight, count = data.weight.astype(strength.dtype), data.count.astype(strength.dtype)
    each = jnp.where(count > 0, weight**2 / jnp.where(count > 0, count, 1), 0)
    stages = _stages(strength, data)
    score = _place_scores(stages, data)
    if data.rest is not None:
        rows = jnp.arange(score.shape[0])[:, None]
        everyone = _rest_scores(strength, stages, data.rest).at[rows, data.order].add(score)
        return everyone.T @ (each[:, None] * everyone)
    off_diagonal = _sum_of_pairs(
        data,
        strength.size,
        lambda part, first, second: part[1][:, None] * part[0][:, first] * part[0][:, second],
        (score, each),
    )
    return off_diagonal + off_diagonal.T + jnp.diag(_to_items(each[:, None] * score**2, data.order, strength.size))


def _stages(strength: Float[Array, " k"], data: Rankings) -> _Stages:
    placed = masked_where(data.where, strength[data.order], 0.0)
    total = suffix_logsumexp(placed, where=data.where, rest=log_rest(strength, data))
    before = jnp.concatenate([total[:, :1], total[:, :-1]], axis=1)
    # Places that are not filled change no sum: the last column holds those over all stages.
    filled = data.where.astype(placed.dtype)
    ratio = masked_where(data.where, jnp.exp(total - before), 1.0)
    endless = masked_where(data.where, total, jnp.inf)
    return _Stages(placed, endless, decayed_sum(filled, ratio), decayed_sum(filled, ratio**2))


def _place_scores(stages: _Stages, data: Rankings) -> Float[Array, "n l"]:
    """Gradient of a ranking's log-probability at each of its places: chosen once, less the times it was expected."""
    return masked_where(data.where, 1 - stages.chance * stages.once, 0.0)


def _rest_scores(strength: Float[Array, " k"], stages: _Stages, rest: Bool[Array, "n k"]) -> Float[Array, "n k"]:
    """The same at the items that were there and not listed, 0 elsewhere: expected at every stage and never chosen."""
    return -_rest_chance(strength, stages, rest) * stages.once[:, -1:]


def _rest_chance(strength: Float[Array, " k"], stages: _Stages, rest: Bool[Array, "n k"]) -> Float[Array, "n k"]:
    """Probability at the last stage of the items that were there and not listed."""
    return masked_where(rest, jnp.exp(strength[None, :] - stages.last_log_total), 0.0)


def _links(
    strength: Float[Array, " k"], stages: _Stages, weight: Float[Array, " n"], data: Rankings
) -> Float[Array, "k k"]:
    """Of every two items, the weighted sum over stages of the product of their probabilities."""

    def products(part: tuple[Array, ...], first: Array, second: Array) -> Float[Array, "b p"]:
        placed, total, own, where = part
        return jnp.where(where[:, second], own[:, first] * jnp.exp(placed[:, second] - total[:, first]), 0)

    own = weight[:, None] * masked_where(data.where, stages.chance * stages.twice, 0.0)
    one_way = _sum_of_pairs(data, strength.size, products, (stages.strength, stages.log_total, own, data.where))
    listed = one_way + one_way.T
    if data.rest is None:
        return listed
    # Both factors of a product are relative to the last stage's total, so that neither overflows.
    root = jnp.sqrt(weight)[:, None]
    spread_of_rest = jnp.sqrt(stages.twice[:, -1:])
    behind = root * _rest_chance(strength, stages, data.rest) * spread_of_rest
    shrink = jnp.exp(stages.last_log_total - stages.log_total)
    ahead = root * masked_where(data.where, stages.chance * stages.twice * shrink / spread_of_rest, 0.0)
    rows = jnp.arange(ahead.shape[0])[:, None]
    spread = jnp.zeros_like(behind).at[rows, data.order].add(ahead)
    across = spread.T @ behind
    return listed + across + across.T + behind.T @ behind


def _sum_of_pairs(
    data: Rankings, k: int, values: Callable[[tuple[Array, ...], Array, Array], Array], parts: tuple[Array, ...]
) -> Float[Array, "k k"]:
    """Sum over items, earlier by later, of a value of every two places, some rankings at a time."""
    n, length = data.order.shape
    first, second = (jnp.asarray(places) for places in np.triu_indices(length, 1))
    block = max(1, min(n, _PAIRS_AT_A_TIME // max(first.size, 1)))
    blocks = -(-n // block)

    def blocked(x: Array) -> Array:
        padded = jnp.concatenate([x, jnp.zeros((blocks * block - n, *x.shape[1:]), x.dtype)])
        return padded.reshape(blocks, block, *x.shape[1:])

    def add(total: Array, part: tuple[Array, tuple[Array, ...]]) -> tuple[Array, None]:
        order, rest = part
        return total.at[order[:, first], order[:, second]].add(values(rest, first, second)), None

    zero = jnp.zeros((k, k), parts[0].dtype)
    return jax.lax.scan(add, zero, (blocked(data.order), tuple(blocked(x) for x in parts)))[0]


def _to_items(value: Float[Array, "n l"], order: Int[Array, "n l"], k: int) -> Float[Array, " k"]:
    return jnp.zeros(k, value.dtype).at[order].add(value)
