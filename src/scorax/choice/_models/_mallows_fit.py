"""Mallows' model by maximum likelihood: the consensus first, then how closely rankings keep to it."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from scorax.choice._aggregation import kemeny, pairwise_matrix
from scorax.choice._models._insertions import insertion_vector
from scorax.choice._models._mallows import Mallows, mallows_mean_distance, refuse_incomplete
from scorax.data import Rankings

# exp(-100) of the rankings turn a pair round: beyond any data set.
_LARGEST = 100.0


class MallowsFit(eqx.Module):
    """The most likely Mallows model, and what to know about it."""

    model: Mallows
    mean_distance: Float[Array, ""]
    """Weighted mean Kendall distance from the reference."""
    uniform: Bool[Array, ""]
    """Rankings are as far from the reference as from any order: the dispersion is 0."""
    unanimous: Bool[Array, ""]
    """All rankings are the reference: the dispersion is infinite."""
    exact: bool
    """Whether the reference is the best one for sure."""


def fit_mallows(rankings: Rankings, *, key: PRNGKeyArray | None = None) -> MallowsFit:
    """Reference and dispersion of Mallows' model by maximum likelihood.

    The reference is Kemeny's order, whatever the dispersion; that is then where the expected distance is the mean one.
    For its uncertainty, given the reference: `fit(result.model, rankings)` or `sample`.

    Args:
        rankings: Complete rankings.
        key: For the search of a reference among many items, see `kemeny`.

    Returns:
        A `MallowsFit`, with flags where the dispersion is at an end of its range.

    Raises:
        ValueError: a ranking is not complete.

    Example:
        >>> rankings = sx.data.Rankings.from_orders([[0, 1, 2], [0, 1, 2], [1, 0, 2], [0, 2, 1]])
        >>> result = fit_mallows(rankings)
        >>> result.model.reference, result.model.dispersion
        (Array([0, 1, 2], dtype=int32), Array(1.356, dtype=float32))

    Source: Young (1988), doi:10.2307/1961757 (Kemeny's order is most likely); Fligner & Verducci (1986),
    doi:10.1111/j.2517-6161.1986.tb01420.x.
    """
    k = rankings.order.shape[1]
    refuse_incomplete(rankings, k)
    consensus = kemeny(pairwise_matrix(rankings, n_items=k), key=key)
    mean = _mean_distance(rankings, consensus.order)
    dispersion = mallows_dispersion(mean, n_items=k)
    model = Mallows(consensus.order, dispersion)
    return MallowsFit(model, mean, dispersion == 0, jnp.isinf(dispersion), consensus.exact)


@eqx.filter_jit
def mallows_dispersion(mean_distance: Float[Array, ""], *, n_items: int) -> Float[Array, ""]:
    """The dispersion under which the expected Kendall distance is a given one: the inverse of `mallows_mean_distance`.

    Differentiable, once.

    Args:
        mean_distance: At least 0.
        n_items: Number of items.

    Returns:
        0 from n(n - 1)/4 on, infinity at 0.

    Example:
        >>> mallows_dispersion(jnp.array(1.0), n_items=3)
        Array(0.5706, dtype=float32)
    """
    goal = jax.lax.stop_gradient(mean_distance)

    def halve(_: Array, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = (low + high) / 2
        more = mallows_mean_distance(middle, n_items=n_items) > goal
        return jnp.where(more, middle, low), jnp.where(more, high, middle)

    ends = (jnp.zeros_like(goal), jnp.full_like(goal, _LARGEST))
    low, high = jax.lax.fori_loop(0, 60, halve, ends)
    found = (low + high) / 2
    # One Newton step polishes, and carries the derivative.
    expected, slope = jax.value_and_grad(lambda x: mallows_mean_distance(x, n_items=n_items))(found)
    expected, slope = jax.lax.stop_gradient((expected, slope))
    inside = (goal > 0) & (goal < n_items * (n_items - 1) / 4)
    step = (jnp.where(inside, mean_distance, expected) - expected) / jnp.where(inside, slope, 1)
    at_end = jnp.where(goal > 0, jnp.zeros_like(goal), jnp.full_like(goal, jnp.inf))
    return jnp.where(inside, found + step, jnp.where(jnp.isnan(goal), jnp.nan, at_end))


@jax.jit
def _mean_distance(rankings: Rankings, reference: Array) -> Float[Array, ""]:
    distance = insertion_vector(rankings.order, reference).sum(-1).astype(rankings.weight.dtype)
    return jnp.vdot(rankings.weight, distance) / rankings.weight.sum()
