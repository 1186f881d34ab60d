"""Comparisons counted by what they compare: the cells that a saturated model gives a probability each."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from scorax.choice._models._pairs import AbstractPairModel
from scorax.choice._uncertainty._pair_vectors import PairVectors, linear_design, pull_to_parameters
from scorax.data import Comparisons, PairCounts


class DesignCells(NamedTuple):
    """One row for every pair with the same order and features, the lower id first."""

    rows: Comparisons
    """`weight` is how often the two met, `outcome` the mean of what came out."""
    counts: Float[Array, "n c"]
    """How often each outcome that the model knows came out, in ascending order."""
    pair: Int[Array, " n"]
    """Which pair, from 0."""
    ends: Int[Array, "2 u"]
    """The two items of each pair."""


@functools.singledispatch
def design_cells(data: Any, model: AbstractPairModel) -> DesignCells:
    """Count on the host, in 64 bits. A soft label y, as a half win, is y wins and 1 - y losses."""
    raise TypeError(f"expected comparisons or a table of them, not {type(data).__name__}")


@design_cells.register
def _(data: PairCounts, model: AbstractPairModel) -> DesignCells:
    return design_cells(data.rows(), model)


@design_cells.register
def _(data: Comparisons, model: AbstractPairModel) -> DesignCells:
    held = np.asarray(data.weight) > 0
    a, b = (np.asarray(x)[held].astype(np.int64) for x in (data.a, data.b))
    outcome, weight = (np.asarray(x, np.float64)[held] for x in (data.outcome, data.weight))
    swapped = a > b
    first, second = np.where(swapped, b, a), np.where(swapped, a, b)
    outcome = np.where(swapped, 1 - outcome, outcome)
    sign = np.where(swapped, -1.0, 1.0)
    order = None if data.order is None else np.asarray(data.order, np.float64)[held] * sign
    features = None if data.features is None else np.asarray(data.features, np.float64)[held] * sign[:, None]
    row, cell = _distinct([first * (int(second.max()) + 1) + second, order, features])
    shares = _shares(outcome, np.asarray(model.outcomes), model.soft_labels)
    counts = np.stack([np.bincount(cell, share * weight) for share in shares], axis=1)
    total = counts.sum(1)
    rows = Comparisons.from_arrays(
        first[row],
        second[row],
        np.clip(counts @ np.asarray(model.outcomes) / total, 0, 1),
        weight=total,
        count=total,
        order=None if order is None else order[row],
        features=None if features is None else features[row],
    )
    ends, pair = np.unique(np.stack([first[row], second[row]]), axis=1, return_inverse=True)
    pair = jnp.asarray(pair.reshape(-1), jnp.int32)
    return DesignCells(rows, jnp.asarray(counts, rows.weight.dtype), pair, jnp.asarray(ends, jnp.int32))


def _shares(outcome: np.ndarray, values: np.ndarray, soft: bool) -> np.ndarray:
    """`[c, n]`: which outcome each row had, or how a soft label is split between loss and win."""
    if soft:
        return np.stack([1 - outcome, outcome])
    nearest = np.abs(outcome[None, :] - values[:, None]).argmin(0)
    return (nearest[None, :] == np.arange(len(values))[:, None]).astype(np.float64)


def _distinct(columns: list[np.ndarray | None]) -> tuple[np.ndarray, np.ndarray]:
    """First row and group of equal rows, by one whole-number code a column."""
    code = columns[0]
    assert code is not None
    for column in columns[1:]:
        if column is not None:
            _, more = np.unique(column.reshape(len(column), -1), axis=0, return_inverse=True)
            _, code = np.unique(code, return_inverse=True)
            code = code * (int(more.max()) + 1) + more.reshape(-1)
    _, row, group = np.unique(code, return_index=True, return_inverse=True)
    return row, group


class ExpectedOutcomes(NamedTuple):
    """What a model says about one comparison of every cell."""

    probability: Float[Array, "n c"]
    """Of each outcome that the model knows."""
    score: Float[Array, " n"]
    """Expected outcome of the first, a tie being half a win."""
    variance: Float[Array, " n"]
    slope: PairVectors
    """Derivative of `score` in all parameters."""


def expected_outcomes(model: AbstractPairModel, rows: Comparisons) -> ExpectedOutcomes:
    """Probabilities of the outcomes, and mean, variance and derivatives of the score."""
    difference = model.difference(rows)
    values = outcome_values(model)
    outcomes = jnp.broadcast_to(values[:, None], (values.size, difference.size))
    each = jax.vmap(lambda y: model.outcome_derivatives(difference, y))(outcomes)
    probability = jnp.exp(each.value)
    score = values @ probability
    variance = (probability * (values[:, None] - score[None, :]) ** 2).sum(0)
    # The derivative of a probability is itself times that of its logarithm.
    reduced = ((values[:, None] * probability)[..., None] * each.first).sum(0)
    slope = pull_to_parameters(linear_design(model, rows), reduced)
    return ExpectedOutcomes(probability.T, score, variance, slope)


def outcome_values(model: AbstractPairModel) -> Float[Array, " c"]:
    """The outcomes that a model gives probabilities to, in ascending order."""
    return jnp.asarray(model.outcomes, model.strength.dtype)
