"""Closed-form second derivatives of models of paired comparisons.

Each row depends on the strengths through one difference only, so the Hessian in the strengths is a graph Laplacian
whose edges carry the second derivatives of the rows. It is assembled from derivatives in (difference, shared
parameters), a handful of numbers a row, and never by differentiating through the gather.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from scorax.data import Comparisons, PairCounts
from scorax.inference import Derivatives
from scorax.numerics import graph_laplacian

if TYPE_CHECKING:
    from scorax.choice._models._pairs import AbstractPairModel


class OutcomeDerivatives(NamedTuple):
    """Derivatives of the rows' log-probability in `g` numbers: the difference, then the outcome's own parameters."""

    value: Float[Array, "..."]
    first: Float[Array, "... g"]
    second: Float[Array, "... g g"]


def pair_derivatives(
    model: "AbstractPairModel", data: Comparisons | PairCounts
) -> Callable[["AbstractPairModel"], Derivatives]:
    """Value, gradient and Hessian of the log-likelihood in all parameters, end to end, as a function of the model.

    What depends on the data alone is computed here, once for all steps of a search.
    """

    def derivatives(model: "AbstractPairModel") -> Derivatives:
        row = _row_derivatives(model, data)
        weight = data.weight.astype(row.value.dtype)
        value, first, second = (_weigh(weight, part) for part in row)
        return Derivatives(value.sum(), _total(model, data, first), _assemble(model, data, second))

    return derivatives


def pair_meat(model: "AbstractPairModel", data: Comparisons | PairCounts) -> Float[Array, "p p"]:
    """`sum weight^2/count g g^T` over rows: assembled as the Hessian is, from outer products of first derivatives."""
    _, first, _ = _row_derivatives(model, data)
    weight, count = data.weight.astype(first.dtype), data.count.astype(first.dtype)
    each = jnp.where(count > 0, weight**2 / jnp.where(count > 0, count, 1), 0)
    return _assemble(model, data, _weigh(each, first[..., :, None] * first[..., None, :]))


def _total(
    model: "AbstractPairModel", data: Comparisons | PairCounts, first: Float[Array, "... g"]
) -> Float[Array, " p"]:
    """Gradient in all parameters from weighted first derivatives of the rows."""
    (to_strength,) = _transposed(model, data)(first[..., 0])
    shared = _chain(first[..., 1:], first[..., 0], _design(model, data, first.dtype))
    return jnp.concatenate([to_strength, shared.sum(range(shared.ndim - 1))])


def _assemble(
    model: "AbstractPairModel", data: Comparisons | PairCounts, second: Float[Array, "... g g"]
) -> Float[Array, "p p"]:
    """Matrix over all parameters from weighted matrices over (difference, outcome parameters) of the rows.

    With `x = e_a - e_b`, a row's entry `h` adds `h x x^T` to the strengths' block: a graph Laplacian of edges `h`.
    """
    linear = _design(model, data, second.dtype)
    of_strength = graph_laplacian(_edges(data, second[..., 0, 0], model.strength.size))
    n_direct = second.shape[-1] - 1
    if n_direct + linear.shape[-1] == 0:
        return of_strength
    cross_rows = _chain(second[..., 0, 1:], second[..., 0, 0], linear)
    columns = [_transposed(model, data)(cross_rows[..., t])[0] for t in range(cross_rows.shape[-1])]
    cross = jnp.stack(columns, axis=-1)
    rows = tuple(range(data.weight.ndim))
    direct = second[..., 1:, 1:].sum(rows)
    mixed = jnp.tensordot(second[..., 0, 1:], linear, (rows, rows))
    of_linear = jnp.tensordot(linear, second[..., 0, 0][..., None] * linear, (rows, rows))
    shared = jnp.block([[direct, mixed], [mixed.T, of_linear]])
    return jnp.block([[of_strength, cross], [cross.T, shared]])


def _chain(direct: Array, of_difference: Array, linear: Array) -> Float[Array, "... t"]:
    """Derivatives in the shared parameters: the outcome's own directly, order and features through the difference."""
    return jnp.concatenate([direct, of_difference[..., None] * linear], axis=-1)


def _transposed(model: "AbstractPairModel", data: Comparisons | PairCounts) -> Callable[[Array], tuple[Array]]:
    """From values of the rows to sums over items, plus for `a` and minus for `b`."""
    return jax.linear_transpose(data.difference, model.strength)


def _design(model: "AbstractPairModel", data: Comparisons | PairCounts, dtype: jnp.dtype) -> Float[Array, "... t"]:
    """What multiplies the order effect and the coefficients, side by side; no columns for a model without them."""
    columns = [jnp.zeros((*data.weight.shape, 0), dtype)]
    if model.order_effect is not None and data.order is not None:
        columns.append(data.order[..., None].astype(dtype))
    if model.coefficient is not None and data.features is not None:
        columns.append(data.features.astype(dtype))
    return jnp.concatenate(columns, axis=-1)


def _weigh(weight: Float[Array, "..."], part: Float[Array, "..."]) -> Float[Array, "..."]:
    """Weighted rows; what has no weight adds nothing, even where it is infinite."""
    weight = weight.reshape(weight.shape + (1,) * (part.ndim - weight.ndim))
    return jnp.where(weight == 0, 0, weight * jnp.where(weight == 0, 0, part))


def _edges(data: Comparisons | PairCounts, value: Float[Array, "..."], k: int) -> Float[Array, "k k"]:
    """Sum of a value of the rows over each unordered pair."""
    if isinstance(data, Comparisons):
        ordered = jnp.zeros((k, k), value.dtype).at[data.a, data.b].add(value)
    else:
        ordered = value.reshape(-1, k, k).sum(0)
    return symmetric_sum(ordered)


def symmetric_sum(x: Float[Array, "k k"]) -> Float[Array, "k k"]:
    """`x + x.T`, doubled and halved: XLA for the CPU compiles the bare sum into a strided loop, ten times slower."""
    doubled = 2 * x
    return (doubled + doubled.T) / 2


def _row_derivatives(model: "AbstractPairModel", data: Comparisons | PairCounts) -> OutcomeDerivatives:
    difference = model.difference(data)
    return model.outcome_derivatives(difference, data.outcome.astype(difference.dtype))


def kernel_derivatives(
    kernel: Callable[..., Array], difference: Float[Array, "*s"], outcome: Float[Array, "*s"], *own: Float[Array, "..."]
) -> OutcomeDerivatives:
    """By automatic differentiation of a kernel `(difference, outcome, *own parameters)`, a few numbers a row."""
    flat_own, unflatten = ravel_pytree([leaf.astype(difference.dtype) for leaf in own])

    def log_prob(at: Float[Array, " g"], outcome: Float[Array, ""]) -> Float[Array, ""]:
        return kernel(at[0], outcome, *unflatten(at[1:]))

    def derivatives(difference: Float[Array, ""], outcome: Float[Array, ""]) -> OutcomeDerivatives:
        at = jnp.concatenate([difference[None], flat_own.astype(difference.dtype)])
        value, first = jax.value_and_grad(log_prob)(at, outcome)
        return OutcomeDerivatives(value, first, jax.hessian(log_prob)(at, outcome))

    flat = jax.vmap(derivatives)(difference.reshape(-1), outcome.reshape(-1))
    return OutcomeDerivatives(*(part.reshape(difference.shape + part.shape[1:]) for part in flat))
