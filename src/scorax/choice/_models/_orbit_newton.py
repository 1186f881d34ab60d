"""How `fit` maximises over embeddings, of which only the scores are identified."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from scorax.choice._models._skew_symmetric import embed_skew_symmetric, orbit_directions, rotate
from scorax.data import Comparisons, PairCounts
from scorax.inference import AbstractSolver, Derivatives, Newton, Solution


class OrbitNewton(AbstractSolver):
    """Newton's method for embeddings, of which only the scores matter.

    The likelihood does not change along the orbit of the symplectic group. There the Hessian is zero at the maximum,
    and a stiffness is put in its place. The gradient has no part along the orbit, and whatever depends on scores alone
    has none, so that steps, covariances and derivatives are those of the pseudo-inverse, whatever the stiffness. It is
    next to nothing where a prior may have curvature of its own.
    """

    def approach(self, model: Any, data: Any) -> Any:
        """From the log-odds of the table; see `Newton.approach`."""
        return Newton(approach_by=_approach).approach(model, data)

    def maximise(self, problem: Any, *, max_steps: int) -> Solution:
        """See `Newton.maximise`."""
        return _newton(problem).maximise(problem, max_steps=max_steps, of=self)

    def derivatives(self, problem: Any, q: Float[Array, " d"]) -> Derivatives:
        """See `Newton.derivatives`, with the stiffness in the Hessian."""
        return _newton(problem).derivatives(problem, q)

    def meat(self, problem: Any, q: Float[Array, " d"]) -> Float[Array, "d d"]:
        """See `Newton.meat`."""
        return Newton().meat(problem, q)


def _newton(problem: Any) -> Newton:
    alone = (jax.grad(problem.log_prior)(problem.start) == 0).all()
    small = float(jnp.finfo(problem.start.dtype).eps) ** 0.5
    return Newton(functools.partial(log_likelihood_derivatives, stiffness=jnp.where(alone, 1, small)))


def log_likelihood_derivatives(
    model: Any, data: Comparisons | PairCounts, *, stiffness: Float[Array, ""]
) -> Callable[[Any], Derivatives]:
    """Value, gradient and Hessian in the embeddings, as a function of the model.

    The stiffness along the orbit is in units of what an item's comparisons can tell.
    """
    wins = half_wins(data if isinstance(data, PairCounts) else data.table(model.embedding.shape[0]))

    def derivatives(model: Any) -> Derivatives:
        item, tau = model.embedding, model.temperature
        k, e = item.shape
        won = wins.astype(item.dtype)
        score = model.score_matrix() / tau
        p = jax.nn.sigmoid(score)
        residual = (won * p.T - won.T * p) / tau
        information = (won + won.T) * p * p.T / tau**2
        turned = rotate(item)
        # Derivative of the score of i against j in item i is `turned[j]`, in item j minus `turned[i]`.
        mixed = jnp.einsum("ij,jp,iq->ipjq", information, turned, turned)
        twist = residual[:, None, :, None] * rotate(jnp.eye(e, dtype=item.dtype)).T[None, :, None, :]
        own = jnp.einsum("ij,jp,jq->ipq", information, turned, turned)
        diagonal = jnp.arange(k)
        hessian = (mixed + twist).at[diagonal, :, diagonal, :].add(-own).reshape(k * e, k * e)
        orbit = orbit_directions(item)
        firm = stiffness.astype(item.dtype) * won.sum() / (k * tau**2)
        return Derivatives(
            weighted_log_sigmoid(won, score),
            (residual @ turned).reshape(-1),
            hessian - firm * (orbit.T @ orbit),
        )

    return derivatives


def half_wins(table: PairCounts) -> Float[Array, "k k"]:
    """Weight of the wins of the row's item over the column's, a tie half a win each way."""
    return table.weight[0] + (table.weight[1] + table.weight[1].T) / 2


def weighted_log_sigmoid(weight: Float[Array, "k k"], log_odds: Float[Array, "k k"]) -> Float[Array, ""]:
    """Sum over pairs; those without weight add nothing, whatever their log-odds."""
    met = weight > 0
    return jnp.where(met, weight * jax.nn.log_sigmoid(jnp.where(met, log_odds, 0)), 0).sum()


def _approach(model: Any, data: Comparisons | PairCounts) -> Any:
    """From the log-odds of the table, half a win added everywhere; the given model where that fits better."""
    table = data if isinstance(data, PairCounts) else data.table(model.embedding.shape[0])
    won = half_wins(table).astype(model.embedding.dtype) + jnp.asarray(0.5, model.embedding.dtype)
    spectral = embed_skew_symmetric(model.temperature * jnp.log(won / won.T), model.n_blocks)
    # A little of the given start breaks whatever symmetry is left.
    other = dataclasses.replace(model, embedding=spectral + 0.01 * model.embedding)
    better = other.total_log_prob(table) > model.total_log_prob(table)
    return dataclasses.replace(model, embedding=jnp.where(better, other.embedding, model.embedding))
