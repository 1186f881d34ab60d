"""Strengths as the stationary distribution of a Markov chain that walks from losers to winners."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from scorax.choice._estimators._iterated import (
    Iterated,
    item_count,
    iterate,
    poisoned,
    refuse_failure,
    refuse_unconverged,
)
from scorax.choice._estimators._linked import beaten, strongly_connected
from scorax.choice._estimators._mm import unit_mean
from scorax.choice._estimators._stages import half_wins, stage_rates
from scorax.data import PairCounts, Rankings

_UNRESOLVED = (
    "some items are too far below the others for this precision: use double precision or alpha > 0, or maximum "
    "likelihood by scorax.inference.fit"
)


def lsr(
    data: PairCounts | Rankings, *, alpha: float | int = 0.0, n_items: int | None = None, throw: bool = True
) -> Float[Array, " k"]:
    r"""Luce spectral ranking: a consistent estimate by one linear solve.

    Solves \(\pi Q = 0\), where the chain goes from i to j at the rate
    \(\alpha + \sum w / |\text{those there}|\), over the stages that j won and i lost. With `alpha=0` this is
    the first step of `ilsr`. Differentiable with respect to the weights.

    Args:
        data: A table of pairs, where a tie is half a win for each side, or rankings (see `mm`).
        alpha: Added to the rate between any two items.
        n_items: Number of items, see `mm`.
        throw: Raise where there is no estimate. Under `jit` and `vmap` nothing is raised, and strengths are NaN.

    Returns:
        Natural-log worths that sum to zero.

    Raises:
        ValueError: The items are not linked by wins in both directions; or a negative `alpha`.

    Example:
        >>> lsr(sx.data.PairCounts.from_arrays([[0, 3], [1, 0]])).round(4)
        Array([ 0.5493, -0.5493], dtype=float32)

    Source: Maystre and Grossglauser (2015), "Fast and accurate inference of Plackett-Luce models", NeurIPS.
    """
    _check_alpha(alpha)
    k = item_count(data, n_items)
    strength = _lsr(data, jnp.asarray(alpha, data.weight.dtype), k)
    if throw:
        refuse_failure(jnp.isfinite(strength).all(), data, k, _UNRESOLVED)
    return strength


def ilsr(
    data: PairCounts | Rankings,
    *,
    alpha: float | int = 0.0,
    n_items: int | None = None,
    max_steps: int = 200,
    tol: float | None = None,
    throw: bool = True,
) -> Iterated:
    r"""Iterated Luce spectral ranking: maximum likelihood by a few linear solves.

    Repeats \(\pi Q(\pi) = 0\), with rates \(\alpha + \sum w / \text{total worth of those there}\). With
    `alpha=0` its fixed point is the maximum of the likelihood that `mm` climbs, in tens of steps where that takes
    thousands; a step costs a solve of k equations. `alpha` shrinks strengths, but is no prior.

    Args:
        data: A table of pairs, where a tie is half a win for each side, or rankings (see `mm`).
        alpha: Added to the rate between any two items.
        n_items: Number of items, see `mm`.
        max_steps: When to give up.
        tol: See `mm`.
        throw: See `mm`.

    Raises:
        ValueError: No finite maximum; no convergence; or a negative `alpha`.

    Example:
        >>> rankings = sx.data.Rankings.from_orders([[0, 1, 2], [0, 2, 1], [1, 0, 2], [2, 1, 0]])
        >>> result = ilsr(rankings)
        >>> result.converged, result.strength.argmax()
        (Array(True, dtype=bool), Array(0, dtype=int32))

    Source: Maystre and Grossglauser (2015), "Fast and accurate inference of Plackett-Luce models", NeurIPS.
    """
    _check_alpha(alpha)
    k = item_count(data, n_items)
    result = _ilsr(data, jnp.asarray(alpha, data.weight.dtype), k, tol, jnp.asarray(max_steps))
    return refuse_unconverged(result, data, k, prior=alpha > 0, check=throw)


def rank_centrality(counts: PairCounts, *, alpha: float | int = 0.0, throw: bool = True) -> Float[Array, " k"]:
    r"""Rank Centrality: the chain moves between two items by the fraction of their comparisons that were won.

    Solves \(\pi Q = 0\) with the rate from i to j \((w_{ji} + \alpha) / (w_{ij} + w_{ji} + 2 \alpha)\), which
    counts every pair once however often it was compared. Not a maximum of likelihood. Differentiable with respect to
    the weights.

    Args:
        counts: A table of pairs; a tie is half a win for each side.
        alpha: Wins added to each side of all pairs, those that never met too.
        throw: Raise where there is no estimate. Under `jit` and `vmap` nothing is raised, and strengths are NaN.

    Returns:
        Natural-log worths that sum to zero.

    Raises:
        ValueError: The items are not linked by wins in both directions; or a negative `alpha`.

    Example:
        >>> rank_centrality(sx.data.PairCounts.from_arrays([[0, 3], [1, 0]])).round(4)
        Array([ 0.5493, -0.5493], dtype=float32)

    Source: Negahban, Oh, Shah (2012), "Iterative ranking from pair-wise comparisons", NeurIPS.
    """
    _check_alpha(alpha)
    strength = _rank_centrality(counts, jnp.asarray(alpha, counts.weight.dtype))
    if throw:
        refuse_failure(jnp.isfinite(strength).all(), counts, counts.weight.shape[-1], _UNRESOLVED)
    return strength


def _check_alpha(alpha: float | int) -> None:
    if alpha < 0:
        raise ValueError(f"alpha must be at least 0, not {alpha}")


@eqx.filter_jit
def _lsr(data: PairCounts | Rankings, alpha: Float[Array, ""], k: int) -> Float[Array, " k"]:
    linked = (alpha > 0) | strongly_connected(beaten(data, k))
    return poisoned(linked, _relative(stage_rates(data, jnp.ones(k, data.weight.dtype)) + alpha))


@eqx.filter_jit
def _rank_centrality(counts: PairCounts, alpha: Float[Array, ""]) -> Float[Array, " k"]:
    won = half_wins(counts) + alpha
    met = won + won.T
    rates = jnp.where(met > 0, won.T / jnp.where(met > 0, met, jnp.ones_like(met)), 0)
    return poisoned(strongly_connected(rates > 0), _relative(rates))


@eqx.filter_jit
def _ilsr(
    data: PairCounts | Rankings, alpha: Float[Array, ""], k: int, tol: float | None, max_steps: Int[Array, ""]
) -> Iterated:
    start = jnp.zeros(k, data.weight.dtype)

    def advance(strength: Float[Array, " k"]) -> Float[Array, " k"]:
        worth = jnp.exp(strength)
        flow = worth[:, None] * (stage_rates(data, worth) + alpha)
        return unit_mean(strength + _relative(flow))

    linked = (alpha > 0) | strongly_connected(beaten(data, k))
    strength, converged, steps = iterate(advance, start, tol=tol, max_steps=max_steps, possible=linked)
    return Iterated(poisoned(converged, strength), converged, steps)


def _relative(flow: Float[Array, "k k"]) -> Float[Array, " k"]:
    """Log of the stationary distribution of a chain, relative to what the flows are in proportion to.

    `flow[i, j]` is the rate from i to j times a guess of the stationary weight of i. Written for the guess's relative
    error, whose right-hand side is what flows in minus what flows out (the gradient of the log-likelihood), so that
    every entry is as exact as the largest once the guess is good.
    """
    k = flow.shape[0]
    flow = jnp.where(jnp.eye(k, dtype=bool), jnp.zeros_like(flow), flow)
    leaving, arriving = flow.sum(1), flow.sum(0)
    # Columns sum to zero: a constant makes the system regular and its solution sum to zero.
    system = jnp.diag(leaving) - flow.T + leaving.mean() / k
    return jnp.log1p(jnp.linalg.solve(system, arriving - leaving))
