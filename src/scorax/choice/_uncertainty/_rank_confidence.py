"""Confidence sets for ranks that hold together: from intervals of all differences at once."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from scorax.choice._estimators import GaussianPosterior
from scorax.choice._strengths import contrast_variance, moments, strength_draws, strengths
from scorax.choice._uncertainty._firth import FirthFit
from scorax.inference import Bootstrap, Fit, Posterior


class RankSets(eqx.Module):
    """Ranks that cannot be ruled out; rank 1 is the best."""

    lower: Int[Array, " k"]
    """1 plus the number of items that are surely better."""
    upper: Int[Array, " k"]
    """k minus the number of items that are surely worse."""
    better: Bool[Array, "k k"]
    """Where the row's item is surely better than the column's."""
    critical_value: Float[Array, " k"]
    """How many standard errors a difference from each item must have; one number repeated if simultaneous."""


def rank_confidence_sets(
    result: Fit[Any] | FirthFit | GaussianPosterior | Bootstrap[Any] | Posterior[Any],
    *,
    level: float = 0.95,
    method: str = "max_t",
    simultaneous: bool = True,
    key: PRNGKeyArray | None = None,
    n_draws: int = 10_000,
) -> RankSets:
    """Ranks with a guarantee: with probability `level` the sets of all items hold their true ranks at once.

    An item is surely better than another where the interval of their difference lies above zero; intervals are so wide
    that all of them hold at once. (Intervals of ranks from draws, as in a leaderboard, are each for its own item, and
    do not hold at the level where strengths are close together.)

    Args:
        result: Of a model with a `strength`. A `robust()` fit gives robust sets; a posterior gives credible ones.
        level: Of all sets together, or of each one if not simultaneous.
        method: `"max_t"`: the quantile of the largest studentised difference over draws (of the normal approximation
            of a fit, or those of a bootstrap or posterior). `"bonferroni"`: normal quantiles for the number of pairs,
            wider and without draws.
        simultaneous: One critical value for all pairs; otherwise one for each item's pairs, for the rank of that item
            alone.
        key: For the draws of a fit under `"max_t"`; the same key gives the same sets.
        n_draws: Number of such draws. Time grows with `n_draws * k^2`.

    Raises:
        ValueError: `level` is not inside (0, 1), `method` is unknown, or a key is missing.

    Example:
        >>> battles, models = sx.data.datasets.load_food()
        >>> result = sx.inference.fit(sx.choice.BradleyTerry.init(len(models)), battles)
        >>> sets = rank_confidence_sets(result, method="bonferroni")
        >>> bool((sets.lower <= sets.upper).all())
        True

    Source: Mogstad, Romano, Shaikh and Wilhelm (2024), doi:10.1093/restud/rdad006.
    """
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, not {level}")
    if method not in ("max_t", "bonferroni"):
        raise ValueError(f"method must be 'max_t' or 'bonferroni', not {method!r}")
    value, covariance = strengths(result)
    if method == "bonferroni":
        critical = _bonferroni(value, level, simultaneous)
    else:
        draws = strength_draws(result, key=key, n_draws=n_draws)
        critical = _max_t(draws, jnp.asarray(level, draws.dtype), simultaneous)
    return _sets(value, covariance, critical)


def _bonferroni(value: Float[Array, " k"], level: float, simultaneous: bool) -> Float[Array, " k"]:
    k = value.size
    pairs = k * (k - 1) / 2 if simultaneous else k - 1
    tail = jnp.asarray((1 - level) / (2 * pairs), value.dtype)
    return jnp.broadcast_to(-jax.scipy.special.ndtri(tail), (k,))


@eqx.filter_jit
def _max_t(draws: Float[Array, "s k"], level: Float[Array, ""], simultaneous: bool) -> Float[Array, " k"]:
    """Quantile of the largest absolute studentised difference, over all pairs or over those of each item."""
    centre, covariance = moments(draws)
    deviation = jnp.sqrt(contrast_variance(covariance))
    apart = ~jnp.eye(centre.size, dtype=bool)
    width = jnp.where(apart, 1 / jnp.where(apart, deviation, 1), 0)

    def largest(draw: Float[Array, " k"]) -> Float[Array, "*item"]:
        by_item = (jnp.abs(draw[:, None] - draw[None, :]) * width).max(0)
        return by_item.max() if simultaneous else by_item

    most = jax.lax.map(largest, draws - centre[None, :], batch_size=max(1, 2**20 // centre.size**2))
    return jnp.broadcast_to(jnp.quantile(most, level, axis=0, method="higher"), (centre.size,))


@jax.jit
def _sets(value: Float[Array, " k"], covariance: Float[Array, "k k"], critical: Float[Array, " k"]) -> RankSets:
    k = value.size
    reach = critical[:, None] * jnp.sqrt(contrast_variance(covariance))
    difference = value[:, None] - value[None, :]
    # Rows judge with their own critical value: of one item alone, both directions are its own.
    above, below = difference > reach, -difference > reach
    return RankSets(1 + below.sum(1), k - above.sum(1), above, critical)


def arena_rank_upper_bounds(lower: Float[Array, " k"], upper: Float[Array, " k"]) -> Int[Array, " k"]:
    """Rank by intervals: 1 plus the number of items whose interval lies above.

    The best rank that the intervals of two items at a time leave open, as arenas print it. It takes no account of how
    strengths vary together, nor of how many pairs are looked at; `rank_confidence_sets` does.

    Args:
        lower: Lower ends of the intervals of strengths or ratings.
        upper: Upper ends.

    Example:
        >>> arena_rank_upper_bounds(jnp.array([1.0, 0.5, -2.0]), jnp.array([2.0, 1.5, -1.0]))
        Array([1, 1, 3], dtype=int32)

    Source: Chiang et al. (2024), arXiv:2403.04132.
    """
    return (1 + (lower[None, :] > upper[:, None]).sum(1)).astype(jnp.int32)
