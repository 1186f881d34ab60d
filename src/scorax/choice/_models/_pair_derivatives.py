"""Closed-form second derivatives of models of paired comparisons.

Each row depends on the strengths through one difference only, so the Hessian in the strengths is a graph Laplacian
whose edges carry the second derivatives of the rows. It is assembled from derivatives in (difference, shared
parameters), a handful of numbers a row, and never by differentiating through the gather.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from scorax.data import Comparisons, PairCounts
from scorax.inference import Derivatives
from scorax.numerics import graph_laplacian

if TYPE_CHECKING:
    from scorax.choice._models._pairs import AbstractPairModel

# Whole matrices of intermediate results take three times longer than blocks that stay in the cache.
_ENTRIES_AT_A_TIME = 2**13


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
    if isinstance(data, PairCounts) and not model.has_ties:
        return _without_ties(data)

    def derivatives(model: "AbstractPairModel") -> Derivatives:
        row = _row_derivatives(model, data)
        weight = data.weight.astype(row.value.dtype)
        value, first, second = (_weigh(weight, part) for part in row)
        return Derivatives(value.sum(), _total(model, data, first), _assemble(model, data, second))

    return derivatives


def _without_ties(table: PairCounts) -> Callable[["AbstractPairModel"], Derivatives]:
    """Bradley-Terry on a table, where a tie is half a win each way: one sigmoid and one logarithm a pair.

    With `met` the weight of comparisons of a pair, everything but the number of wins is symmetric, so no step of the
    search transposes a matrix.
    """
    won, met = _wins_and_meetings(table)

    def derivatives(model: "AbstractPairModel") -> Derivatives:
        strength = model.strength
        of_won, of_met, items = won.astype(strength.dtype), met.astype(strength.dtype), jnp.arange(strength.size)

        def of_item(at: tuple[Array, ...]) -> tuple[Array, ...]:
            """Twice the item's share of the value, its expected wins, and its row of the Hessian."""
            met, own, item = at
            p = jax.nn.sigmoid(own - strength)
            log_total = jnp.maximum(own, strength) - jnp.log(jnp.maximum(p, 1 - p))
            edge = met * p * (1 - p)
            return (met * log_total).sum(), (met * p).sum(), jnp.where(items == item, edge - edge.sum(), edge)

        total, expected, hessian = _by_item(of_item, (of_met, strength, items))
        return Derivatives(jnp.vdot(of_won, strength) - total.sum() / 2, of_won - expected, hessian)

    return derivatives


def pair_approach(model: "AbstractPairModel", data: Comparisons | PairCounts) -> "AbstractPairModel":
    """A start near the maximum: every strength by its own Newton step, all at once (Jacobi), as long as that pays.

    Where items met many others, what such a step neglects is small: it costs a fifth of a step with a factorisation,
    and gains a digit in every two. Elsewhere it stops at once. A start that tells items apart is left as it is.
    """
    if not isinstance(data, PairCounts) or model.has_ties:
        return model
    won, met = (x.astype(model.strength.dtype) for x in _wins_and_meetings(data))

    def step(search: _Search) -> _Search:
        strength = search.strength

        def of_item(at: tuple[Array, ...]) -> tuple[Array, ...]:
            met, own = at
            p = jax.nn.sigmoid(own - strength)
            return (met * p).sum(), (met * p * (1 - p)).sum()

        expected, information = _by_item(of_item, (met, strength))
        gradient = won - expected
        move = jnp.clip(gradient / jnp.where(information == 0, 1, information), -2, 2)
        return _Search(strength + move, jnp.abs(gradient).max(), search.slope, search.steps + 1)

    def pays(search: _Search) -> Bool[Array, ""]:
        return unknowing & (search.steps < 10) & ((search.steps < 2) | (search.slope < search.before / 2))

    unknowing = (model.strength == model.strength[0]).all()
    infinite = jnp.full((), jnp.inf, model.strength.dtype)
    search = _Search(model.strength, infinite, infinite, jnp.asarray(0, jnp.int32))
    return eqx.tree_at(lambda model: model.strength, model, jax.lax.while_loop(pays, step, search).strength)


class _Search(NamedTuple):
    strength: Float[Array, " k"]
    slope: Float[Array, ""]
    """Steepest coordinate where the last step started."""
    before: Float[Array, ""]
    """The same of the step before."""
    steps: Int[Array, ""]


def _by_item(of_item: Callable[[tuple[Array, ...]], tuple[Array, ...]], at: tuple[Array, ...]) -> tuple[Array, ...]:
    """Map a function of one item's row of the table over all items, some rows at a time."""
    k = at[0].shape[0]
    return jax.lax.map(of_item, at, batch_size=max(_ENTRIES_AT_A_TIME // k, 1))


def _wins_and_meetings(table: PairCounts) -> tuple[Float[Array, " k"], Float[Array, "k k"]]:
    """Wins of every item and comparisons of every pair, ties half a win each way.

    Settled here, because XLA would otherwise redo the transposed sum inside each loop that reads it.
    """
    wins = table.weight[0] + (table.weight[1] + table.weight[1].T) / 2
    return jax.lax.optimization_barrier((wins.sum(1), _symmetric_sum(wins)))


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
    return _symmetric_sum(ordered)


def _symmetric_sum(x: Float[Array, "k k"]) -> Float[Array, "k k"]:
    """`x + x.T`, doubled and halved: XLA for the CPU compiles the bare sum into a strided loop, ten times slower."""
    doubled = 2 * x
    return (doubled + doubled.T) / 2


def _row_derivatives(model: "AbstractPairModel", data: Comparisons | PairCounts) -> OutcomeDerivatives:
    difference = model.difference(data)
    return model.outcome_derivatives(difference, data.outcome.astype(difference.dtype))


def kernel_derivatives(
    kernel: Callable[[Array, Array, Array], Array],
    difference: Float[Array, "*s"],
    outcome: Float[Array, "*s"],
    own: Float[Array, ""],
) -> OutcomeDerivatives:
    """By automatic differentiation of a kernel `(difference, outcome, own parameter)`, a few numbers a row."""

    def log_prob(at: Float[Array, "2"], outcome: Float[Array, ""]) -> Float[Array, ""]:
        return kernel(at[0], outcome, at[1])

    def derivatives(difference: Float[Array, ""], outcome: Float[Array, ""]) -> OutcomeDerivatives:
        at = jnp.stack([difference, own.astype(difference.dtype)])
        value, first = jax.value_and_grad(log_prob)(at, outcome)
        return OutcomeDerivatives(value, first, jax.hessian(log_prob)(at, outcome))

    flat = jax.vmap(derivatives)(difference.reshape(-1), outcome.reshape(-1))
    return OutcomeDerivatives(*(part.reshape(difference.shape + part.shape[1:]) for part in flat))
