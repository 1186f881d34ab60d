"""Closed-form derivatives of the Plackett-Luce likelihood.

A stage is a softmax over the items left, so minus the Hessian is a sum of softmax covariances: the Laplacian of a graph
in which the items of a ranking are linked, two of them by the sum of the products of their probabilities over the
stages in which both were left. That sum is a prefix sum, so a ranking costs the square of its length, and never a
derivative for each item of the model.

Arrays are places by rankings, not rankings by places: sums along the places then run over whole rows.
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
from scorax.numerics import decayed_sum, graph_laplacian, masked_where, suffixes

# Values of pairs of places that exist at a time: enough to be worth a step, and few enough to stay in the cache.
_AT_A_TIME = 2**16


class _Places(NamedTuple):
    """Rankings, places first."""

    order: Int[Array, "l n"]
    where: Bool[Array, "l n"]
    weight: Float[Array, "1 n"]


class _Stages(NamedTuple):
    """What the derivatives of a ranking are made of."""

    strength: Float[Array, "l n"]
    """In ranked order."""
    log_total: Float[Array, "l n"]
    """Log of the worth that was left at each stage."""
    chance: Float[Array, "l n"]
    """Probability of each place's item at its own stage."""
    once: Float[Array, "l n"]
    """Sum over the stages up to each place of the ratio of its total to theirs, at least 1."""
    twice: Float[Array, "l n"]
    """The same of the ratios' squares."""

    @property
    def last_log_total(self) -> Float[Array, "1 n"]:
        """Of the last stage: places that are not filled have infinite totals."""
        return self.log_total.min(axis=0, keepdims=True)


def ranking_derivatives(model: Any, data: Rankings) -> Callable[[Any], Derivatives]:
    """Value, gradient and Hessian of the log-likelihood in the strengths, as a function of the model."""
    places = _places(data, model.strength.dtype)

    def derivatives(model: Any) -> Derivatives:
        strength = model.strength
        stages = _stages(strength, places, log_rest(strength, data))
        choices = masked_where(places.where, stages.strength - stages.log_total, 0.0).sum(0)
        gradient = _to_items(_place_scores(stages, places) * places.weight, places.order, strength.size)
        if data.rest is not None:
            gradient = gradient + places.weight[0] @ _rest_scores(strength, stages, data.rest)
        links = _links(strength, stages, places, data.rest)
        return Derivatives(jnp.vdot(places.weight[0], choices), gradient, -graph_laplacian(links))

    return derivatives


def ranking_approach(model: Any, data: Rankings) -> Any:
    """See `approach`: a step costs a twelfth of one with the links of all pairs.

    In worths, not their logs: ten steps of at most 2 from equal strengths keep them within a factor of exp(40), the
    square of which single precision still holds.
    """
    order, where, weight = _places(data, model.strength.dtype)

    def slopes(strength: Float[Array, " k"]) -> Slopes:
        worth = jnp.exp(strength - strength.max())
        placed = jnp.where(where, worth[order], 0)
        left = jax.lax.cumsum(placed, axis=0, reverse=True)
        behind = None if data.rest is None else jnp.where(data.rest, worth[None, :], 0)
        if behind is not None:
            left = left + behind.sum(1)[None, :]
        share, all_of_it = jnp.where(where, 1 / jnp.where(where, left, 1), 0), jnp.ones_like(left)
        # Not `cumsum`, which the compiler forms anew for each of the sums over items below.
        once, twice = decayed_sum(share, all_of_it), decayed_sum(share**2, all_of_it)
        expected = placed * once
        gradient = _to_items(weight * jnp.where(where, 1 - expected, 0), order, strength.size)
        information = _to_items(weight * (expected - placed**2 * twice), order, strength.size)
        if behind is not None:
            expected = behind * once[-1][:, None]
            gradient = gradient - weight[0] @ expected
            information = information + weight[0] @ (expected - behind**2 * twice[-1][:, None])
        return Slopes(gradient, information)

    return approach(model, slopes)


def ranking_meat(model: Any, data: Rankings) -> Float[Array, "k k"]:
    """`sum weight^2/count g g^T` over rankings."""
    strength = model.strength
    places, count = _places(data, strength.dtype), data.count.astype(strength.dtype)[None, :]
    each = jnp.where(count > 0, places.weight**2 / jnp.where(count > 0, count, 1), 0)
    stages = _stages(strength, places, log_rest(strength, data))
    score = _place_scores(stages, places)
    if data.rest is not None:
        rows = jnp.arange(score.shape[1])[None, :]
        everyone = _rest_scores(strength, stages, data.rest).at[rows, places.order].add(score)
        return everyone.T @ (each.T * everyone)
    off_diagonal = _sum_of_pairs(places.order, strength.size, lambda first, second: each * score[first] * score[second])
    return off_diagonal + off_diagonal.T + jnp.diag(_to_items(each * score**2, places.order, strength.size))


def _places(data: Rankings, dtype: Any) -> _Places:
    return _Places(data.order.T, data.where.T, data.weight.astype(dtype)[None, :])


def _stages(strength: Float[Array, " k"], places: _Places, rest: Float[Array, " n"] | None) -> _Stages:
    placed = masked_where(places.where, strength[places.order], 0.0)
    total, own, kept = suffixes(placed, where=places.where, rest=rest)
    # Places that are not filled change no sum: the last row holds those over all stages.
    filled = places.where.astype(placed.dtype)
    ratio = masked_where(places.where, jnp.concatenate([jnp.ones_like(kept[:1]), kept[:-1]]), 1.0)
    return _Stages(
        placed,
        masked_where(places.where, total, jnp.inf),
        masked_where(places.where, own, 0.0),
        decayed_sum(filled, ratio),
        decayed_sum(filled, ratio**2),
    )


def _place_scores(stages: _Stages, places: _Places) -> Float[Array, "l n"]:
    """Gradient of a ranking's log-probability at each of its places: chosen once, less the times it was expected."""
    return masked_where(places.where, 1 - stages.chance * stages.once, 0.0)


def _rest_scores(strength: Float[Array, " k"], stages: _Stages, rest: Bool[Array, "n k"]) -> Float[Array, "n k"]:
    """The same at the items that were there and not listed, 0 elsewhere: expected at every stage and never chosen."""
    return -_rest_chance(strength, stages, rest) * stages.once[-1][:, None]


def _rest_chance(strength: Float[Array, " k"], stages: _Stages, rest: Bool[Array, "n k"]) -> Float[Array, "n k"]:
    """Probability at the last stage of the items that were there and not listed."""
    return masked_where(rest, jnp.exp(strength[None, :] - stages.last_log_total.T), 0.0)


def _links(
    strength: Float[Array, " k"], stages: _Stages, places: _Places, rest: Bool[Array, "n k"] | None
) -> Float[Array, "k k"]:
    """Of every two items, the weighted sum over stages of the product of their probabilities."""

    own = places.weight * stages.chance * stages.twice

    def products(first: Int[Array, " p"], second: Int[Array, " p"]) -> Float[Array, "p n"]:
        chance = jnp.exp(stages.strength[second] - stages.log_total[first])
        return jnp.where(places.where[second], own[first] * chance, 0)

    one_way = _sum_of_pairs(places.order, strength.size, products)
    listed = one_way + one_way.T
    if rest is None:
        return listed
    # Both factors of a product are relative to the last stage's total, so that neither overflows.
    root, spread_of_rest = jnp.sqrt(places.weight), jnp.sqrt(stages.twice[-1:])
    behind = (root * spread_of_rest).T * _rest_chance(strength, stages, rest)
    shrink = jnp.exp(stages.last_log_total - stages.log_total)
    ahead = root * stages.chance * stages.twice * shrink / spread_of_rest
    rows = jnp.arange(ahead.shape[1])[None, :]
    spread = jnp.zeros_like(behind).at[rows, places.order].add(ahead)
    across = spread.T @ behind
    return listed + across + across.T + behind.T @ behind


def _sum_of_pairs(
    order: Int[Array, "l n"], k: int, values: Callable[[Int[Array, " p"], Int[Array, " p"]], Float[Array, "p n"]]
) -> Float[Array, "k k"]:
    """Sum over items, earlier by later, of a value of every two places, a few of these pairs at a time."""
    length, n = order.shape
    pairs = np.stack(np.triu_indices(length, 1))
    few = max(1, min(pairs.shape[1], _AT_A_TIME // max(n, 1)))
    # One pair that is none where rankings are of one item.
    missing = -pairs.shape[1] % few if length > 1 else 1
    padded = np.pad(pairs, ((0, 0), (0, missing)), constant_values=-1).reshape(2, -1, few)

    def add(total: Array, pair: Int[Array, "2 p"]) -> tuple[Array, None]:
        first, second = pair
        value = jnp.where(first[:, None] < 0, 0, values(first, second))
        return total.at[order[first], order[second]].add(value), None

    zero = jnp.zeros((k, k), jax.eval_shape(values, *padded[:, 0]).dtype)
    return jax.lax.scan(add, zero, jnp.moveaxis(jnp.asarray(padded, jnp.int32), 0, 1))[0]


def _to_items(value: Float[Array, "l n"], order: Int[Array, "l n"], k: int) -> Float[Array, " k"]:
    return jnp.zeros(k, value.dtype).at[order].add(value)
