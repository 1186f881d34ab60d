"""Whether a benchmark orders checkpoints by their training, and instruct models like their base models."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from scorax.evals._kendall_test import kendall_bootstrap, kendall_interval, kendall_p_value
from scorax.evals._normal import checked_level
from scorax.stats import Interval, kendall_tau


class CurveStability(NamedTuple):
    """How monotone scores are in training."""

    tau: Float[Array, "*b"]
    """Kendall's tau (b) of steps and scores; 1 where every step is an improvement, NaN where the scores are equal."""
    p_value: Float[Array, "*b"]
    """Two-sided, of scores in random order: exact for up to 50 checkpoints without ties, else normal."""
    interval: Interval
    local_inversions: Int[Array, "*b"]
    """How often a checkpoint scores less than the one before."""
    largest_drop: Float[Array, "*b"]
    """By how much a checkpoint falls below the best before it, at most; in units of the score."""
    n: Float[Array, "*b"]


class RankAgreement(NamedTuple):
    """How alike two sets of scores order the same models."""

    tau: Float[Array, "*b"]
    """Kendall's tau (b); NaN where one of the two is constant."""
    p_value: Float[Array, "*b"]
    """Two-sided, of independent orders."""
    interval: Interval
    n: Float[Array, "*b"]


def curve_stability(
    score: Float[Array, "*b t"],
    *,
    where: Bool[Array, "*b t"] | None = None,
    level: float = 0.95,
    key: PRNGKeyArray | None = None,
    n_resamples: int = 1000,
) -> CurveStability:
    """Kendall's tau between a model's checkpoints, in the order of their training, and their scores.

    Args:
        score: Of checkpoints, the earliest first; leading axes are benchmarks or training runs.
        where: Checkpoints that take part.
        level: Of the interval, in (0, 1).
        key: For an interval by the bootstrap over checkpoints, which then cannot run under `jit`. Without it the
            interval is the normal one of Fisher's transform, NaN for four checkpoints or fewer and for a tau of 1 or
            -1. The bootstrap's interval has no width there: it redraws no order that was not seen.
        n_resamples: For the bootstrap.

    Returns:
        `CurveStability`. Intervals and the p-value take checkpoints as independent, which those of one run are not
        quite.

    Raises:
        ValueError: `level` is not inside (0, 1).

    Example:
        >>> found = curve_stability(jnp.array([0.25, 0.31, 0.30, 0.42, 0.44, 0.47]))
        >>> found.tau.round(4), found.p_value.round(4), found.local_inversions, found.largest_drop.round(2)
        (Array(0.8667, dtype=float32), Array(0.0167, dtype=float32), Array(1, dtype=int32), Array(0.01, dtype=float32))

    Source: Luan, Tian, Huan, Zhang, Chen, Zhang & Zhou (2025), arXiv 2503.00812; Kendall (1938),
    doi:10.1093/biomet/30.1-2.81.
    """
    part = jnp.ones(score.shape, bool) if where is None else where
    step = jnp.broadcast_to(jnp.arange(score.shape[-1], dtype=score.dtype), score.shape)
    agreement = _agreement(step, score, part, level, key, n_resamples)
    # Checkpoints that take no part are passed over: the one before is the last that does.
    axis = score.ndim - 1
    place = jnp.broadcast_to(jnp.arange(score.shape[-1]), score.shape)
    last = lax.cummax(jnp.where(part, place, -1), axis=axis)
    earlier = jnp.concatenate([jnp.full((*score.shape[:-1], 1), -1, last.dtype), last[..., :-1]], axis=-1)
    previous = jnp.take_along_axis(score, jnp.maximum(earlier, 0), axis=-1)
    followed = part & (earlier >= 0)
    inversions = (followed & (score < previous)).sum(-1)
    best = lax.cummax(jnp.where(part, score, -jnp.inf), axis=axis)
    drop = jnp.where(part, best - jnp.where(part, score, 0), 0).max(-1, initial=0)
    unknown = (part & jnp.isnan(score)).any(-1) | ~part.any(-1)
    return CurveStability(
        agreement.tau,
        agreement.p_value,
        agreement.interval,
        inversions,
        jnp.where(unknown, jnp.nan, drop),
        agreement.n,
    )


def instruct_consistency(
    base: Float[Array, "*b n"],
    instruct: Float[Array, "*b n"],
    *,
    where: Bool[Array, "*b n"] | None = None,
    level: float = 0.95,
    key: PRNGKeyArray | None = None,
    n_resamples: int = 1000,
) -> RankAgreement:
    """Kendall's tau between scores of base models and those of the instruct models made of them.

    Args:
        base: Scores of base models, or of checkpoints.
        instruct: Scores of the instruct model of each.
        where: Models that take part.
        level: Of the interval, in (0, 1).
        key: As in `curve_stability`; the bootstrap is over models.
        n_resamples: For the bootstrap.

    Returns:
        `RankAgreement`.

    Raises:
        ValueError: `level` is not inside (0, 1).

    Example:
        >>> base, instruct = jnp.array([0.2, 0.3, 0.4, 0.5, 0.6]), jnp.array([0.4, 0.5, 0.45, 0.7, 0.8])
        >>> found = instruct_consistency(base, instruct)
        >>> found.tau.round(4), found.p_value.round(4)
        (Array(0.8, dtype=float32), Array(0.0833, dtype=float32))

    Source: Luan, Tian, Huan, Zhang, Chen, Zhang & Zhou (2025), arXiv 2503.00812; Kendall (1938),
    doi:10.1093/biomet/30.1-2.81.
    """
    part = jnp.ones(base.shape, bool) if where is None else where
    return _agreement(base, instruct, part, level, key, n_resamples)


def _agreement(
    x: Float[Array, "*b n"],
    y: Float[Array, "*b n"],
    part: Bool[Array, "*b n"],
    level: float,
    key: PRNGKeyArray | None,
    n_resamples: int,
) -> RankAgreement:
    checked_level(level)
    tau = kendall_tau(x, y, where=part)
    n = part.sum(-1).astype(x.dtype)
    if key is None:
        interval = kendall_interval(tau, n, level)
    else:
        interval = kendall_bootstrap(key, x, y, part, n_resamples, level)
    return RankAgreement(tau, kendall_p_value(x, y, part), interval, n)
