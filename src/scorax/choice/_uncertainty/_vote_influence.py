"""What a single vote does: the change of any number of the leaderboard were the vote not there."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int

from scorax.choice._models._pairs import AbstractPairModel
from scorax.choice._uncertainty._pair_vectors import (
    dot,
    linear_design,
    pull_to_parameters,
    push_to_reduced,
    seen_by,
    times_covariance,
)
from scorax.data import AbstractRows
from scorax.inference import AbstractModel, Fit

Target = Callable[[Any], Float[Array, ""]]
Kept = TypeVar("Kept", bound=AbstractModel[Any])
# Rows differentiated at a time where a model has no closed form.
_ROWS_AT_A_TIME = 1024


class Gap(eqx.Module):
    """Strength of one item minus that of another: a function of a model. Other items compile nothing anew."""

    first: Int[Array, ""]
    second: Int[Array, ""]

    def __call__(self, model: Any) -> Float[Array, ""]:
        """The difference of strengths."""
        return model.strength[self.first] - model.strength[self.second]

    @classmethod
    def of(cls, first: int, second: int) -> "Gap":
        """Between two items given by id."""
        return cls(jnp.asarray(first, jnp.int32), jnp.asarray(second, jnp.int32))

    @classmethod
    def of_leaders(cls, result: Fit[Any]) -> "Gap":
        """Between the best and the second best."""
        order = np.argsort(-np.asarray(result.model.strength), kind="stable")
        return cls.of(int(order[0]), int(order[1]))


class VoteInfluence(eqx.Module):
    """One entry a row (or cell) of the data, for one of its observations."""

    change: Float[Array, "..."]
    """How much the target rises when one observation of the row is taken out; 0 for rows without observations."""
    leverage: Float[Array, "..."]
    """Share of the information in the direction of the row that this one observation holds, in [0, 1)."""
    value: Float[Array, ""]
    """The target at the estimate."""

    def strongest(self, n: int) -> tuple[np.ndarray, ...]:
        """Places of the `n` rows whose observations hold the target up most, as an index into the data's arrays."""
        flat = np.asarray(self.change).ravel()
        order = np.argsort(flat, kind="stable")[:n]
        places = np.unravel_index(order[flat[order] < 0], self.change.shape)
        return tuple(np.asarray(place) for place in places)


def vote_influence(result: Fit[Any], *, target: Target | None = None) -> VoteInfluence:
    r"""The change of a target when one observation of a row is taken out, for every row, without a refit.

    With \(H\) minus the Hessian of the log density, \(g\) the gradient of one observation of the row and \(w\) its
    weight (the row's `weight / count`), the parameters move by \(-w H^{-1} g / (1 - h)\): one Newton step along that
    line from the estimate with the observation to the one without. The leverage
    \(h = w \, v^T H_r v / v^T g\), with \(v = H^{-1} g\) and \(H_r\) the observation's own information, is
    \(w \, p (1 - p) R_{ab}\) for Bradley-Terry. The target then changes by its derivative in that direction.

    Models of paired comparisons need a few numbers a row: a million rows of a thousand items are one pass. Any other
    model is differentiated row by row, at the cost of a matrix-vector product a row.

    Args:
        result: Of `fit`, by maximum likelihood or under a prior.
        target: A differentiable function of the model with one number as its result; name it once if you call it
            often. The strength of the leader minus that of the runner-up by default.

    Returns:
        `VoteInfluence` in the shape of `data.weight`; NaN where the fit failed or lies at a boundary.

    Example:
        >>> battles = sx.data.Comparisons.from_arrays([0] * 9, [1] * 9, [1.0] * 6 + [0.0] * 3)
        >>> result = sx.inference.fit(sx.choice.BradleyTerry.init(2), battles)
        >>> found = vote_influence(result)  # without one of its six wins the gap is log(5/3), not log(6/3)
        >>> found.change[0].round(3), round(float(np.log(5 / 3) - np.log(6 / 3)), 3)
        (Array(-0.188, dtype=float32), -0.182)

    Source: Cook and Weisberg (1982), "Residuals and Influence in Regression"; Pregibon (1981),
        doi:10.1214/aos/1176345513 (one step, with leverage).
    """
    chosen = Gap.of_leaders(result) if target is None else target
    plain = model_based(result)
    return _influence(plain.model, plain.data, plain.map(flat_parameters).covariance, chosen)


def model_based(result: Fit[Kept]) -> Fit[Kept]:
    """The fit without its sandwich: its covariance is the inverse of the curvature again."""
    return eqx.tree_at(lambda fit: fit.meat, result, None, is_leaf=lambda x: x is None)


def flat_parameters(model: Any) -> Float[Array, " p"]:
    """All parameters end to end."""
    return ravel_pytree(eqx.filter(model, eqx.is_inexact_array))[0]


@eqx.filter_jit
def _influence(model: Any, data: Any, covariance: Float[Array, "p p"], target: Target) -> VoteInfluence:
    parameters, still = eqx.partition(model, eqx.is_inexact_array)
    flat, unravel = ravel_pytree(parameters)
    value, slope = jax.value_and_grad(lambda flat: target(eqx.combine(unravel(flat), still)))(flat)
    each = weight_of_one(data, flat.dtype)
    change, leverage = row_influence(model, data, covariance, covariance @ slope)
    leverage = each * leverage
    moved = jnp.where(each > 0, -each * change / (1 - leverage), 0)
    return VoteInfluence(moved, jnp.where(each > 0, leverage, 0), value)


def weight_of_one(data: Any, dtype: jnp.dtype) -> Float[Array, "..."]:
    """Weight of one observation of each row, 0 where there is none."""
    held = data.count > 0
    return jnp.where(held, data.weight / jnp.where(held, data.count, 1), 0).astype(dtype)


@functools.singledispatch
def row_influence(
    model: Any, data: Any, covariance: Float[Array, "p p"], direction: Float[Array, " p"]
) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    """For one observation of unit weight of every row: `direction . g`, and its leverage."""
    raise TypeError(f"expected a fitted model, not {type(model).__name__}")


@row_influence.register(AbstractPairModel)
def _(
    model: AbstractPairModel, data: Any, covariance: Float[Array, "p p"], direction: Float[Array, " p"]
) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    k = model.strength.size
    difference = model.difference(data)
    _, first, second = model.outcome_derivatives(difference, data.outcome.astype(difference.dtype))
    design = linear_design(model, data)
    gradient = pull_to_parameters(design, first)
    # A leverage has no scale, and squares of a small gradient would round to zero.
    size = jnp.abs(first).max(-1, keepdims=True)
    unit = pull_to_parameters(design, first / jnp.where(size > 0, size, 1))
    step = times_covariance(covariance, k, data, unit)
    reduced = push_to_reduced(design, step)
    curvature = -(reduced[..., :, None] * second * reduced[..., None, :]).sum((-2, -1))
    return dot(gradient, seen_by(data, k, direction)), _ratio(curvature, dot(unit, step))


@row_influence.register(AbstractModel)
def _(
    model: AbstractModel[Any], data: Any, covariance: Float[Array, "p p"], direction: Float[Array, " p"]
) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    """By differentiating the log-probability of each row, some rows at a time."""
    if not isinstance(data, AbstractRows):
        raise TypeError(f"rows of {type(data).__name__} cannot be taken one by one: fit rows, not a table")
    parameters, still = eqx.partition(model, eqx.is_inexact_array)
    flat, unravel = ravel_pytree(parameters)

    def one_row(row: Int[Array, ""]) -> tuple[Float[Array, ""], Float[Array, ""]]:
        one = data.take(row[None])

        def log_prob(flat: Float[Array, " p"]) -> Float[Array, ""]:
            return eqx.combine(unravel(flat), still).log_prob(one)[0]

        gradient = jax.grad(log_prob)(flat)
        size = jnp.abs(gradient).max()
        unit = gradient / jnp.where(size > 0, size, 1)
        step = covariance @ unit
        _, bent = jax.jvp(jax.grad(log_prob), (flat,), (step,))
        return direction @ gradient, _ratio(-(step @ bent), unit @ step)

    rows = jnp.arange(data.weight.shape[0], dtype=jnp.int32)
    return jax.lax.map(one_row, rows, batch_size=_ROWS_AT_A_TIME)


def _ratio(top: Float[Array, "*s"], bottom: Float[Array, "*s"]) -> Float[Array, "*s"]:
    some = bottom > 0
    # NaN stays NaN: where there is no covariance there is no leverage.
    return jnp.where(bottom == 0, 0, top / jnp.where(some | jnp.isnan(bottom), bottom, 1))
