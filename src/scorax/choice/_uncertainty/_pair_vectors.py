"""Vectors over all parameters that a comparison makes: a multiple of `e_a - e_b`, and a few shared entries.

Gradients of rows are such vectors, and so are sums over the rows of one pair. Products with a covariance matrix then
need a handful of its entries a row, and never a matrix of rows times items.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from scorax.choice._models._pairs import AbstractPairModel
from scorax.data import Comparisons, PairCounts

Rows = Comparisons | PairCounts


class PairVectors(NamedTuple):
    """One vector a row: `along (e_a - e_b)` over the strengths, then the shared parameters as they stand."""

    along: Float[Array, "..."]
    shared: Float[Array, "... t"]


def linear_design(model: AbstractPairModel, data: Rows) -> Float[Array, "... t"]:
    """What multiplies the order effect and the coefficients, side by side; no columns for a model without them."""
    dtype = model.strength.dtype
    columns = [jnp.zeros((*data.weight.shape, 0), dtype)]
    if model.order_effect is not None and data.order is not None:
        columns.append(data.order[..., None].astype(dtype))
    if model.coefficient is not None and data.features is not None:
        columns.append(data.features.astype(dtype))
    return jnp.concatenate(columns, axis=-1)


def pull_to_parameters(design: Float[Array, "... l"], reduced: Float[Array, "... g"]) -> PairVectors:
    """From derivatives in (difference, own parameters of the outcome) to derivatives in all parameters."""
    shared = jnp.concatenate([reduced[..., 1:], reduced[..., :1] * design], axis=-1)
    return PairVectors(reduced[..., 0], shared)


def push_to_reduced(design: Float[Array, "... l"], across: PairVectors) -> Float[Array, "... g"]:
    """From a change of all parameters to that of (difference, own parameters): the transpose of the above."""
    n_own = across.shared.shape[-1] - design.shape[-1]
    difference = across.along + (design * across.shared[..., n_own:]).sum(-1)
    return jnp.concatenate([difference[..., None], across.shared[..., :n_own]], axis=-1)


def times_covariance(covariance: Float[Array, "p p"], n_items: int, data: Rows, vectors: PairVectors) -> PairVectors:
    """`C v` for every row's `v`, seen by the row itself: its entry at `a` minus that at `b`, and the shared entries."""
    among = covariance[:n_items, :n_items]
    # [t, ...] to [..., t]: how each row's difference of strengths varies with each shared parameter.
    crossed = jnp.moveaxis(jax.vmap(data.difference)(covariance[n_items:, :n_items]), 0, -1)
    shared = covariance[n_items:, n_items:]
    along = vectors.along * resistance(data, among) + (crossed * vectors.shared).sum(-1)
    return PairVectors(along, vectors.along[..., None] * crossed + vectors.shared @ shared)


def dot(one: PairVectors, other: PairVectors) -> Float[Array, "..."]:
    """Inner products, row by row, of vectors with what `times_covariance` or `seen_by` made."""
    return one.along * other.along + (one.shared * other.shared).sum(-1)


def seen_by(data: Rows, n_items: int, vector: Float[Array, " p"]) -> PairVectors:
    """One vector of all parameters as every row sees it."""
    along = data.difference(vector[:n_items])
    return PairVectors(along, jnp.broadcast_to(vector[n_items:], (*along.shape, vector.size - n_items)))


@functools.singledispatch
def resistance(data: Any, covariance: Float[Array, "k k"]) -> Float[Array, "..."]:
    """Variance of the difference of strengths of every row's two items."""
    raise TypeError(f"no pairs in {type(data).__name__}")


@resistance.register
def _(data: Comparisons, covariance: Float[Array, "k k"]) -> Float[Array, " n"]:
    own = jnp.diagonal(covariance)
    return own[data.a] + own[data.b] - 2 * covariance[data.a, data.b]


@resistance.register
def _(data: PairCounts, covariance: Float[Array, "k k"]) -> Float[Array, "2 k k"]:
    own = jnp.diagonal(covariance)
    return jnp.broadcast_to((own[:, None] + own[None, :] - 2 * covariance)[None], data.weight.shape)
