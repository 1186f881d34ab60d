"""A leaderboard of strengths by Firth's penalty."""

import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtri

from scorax.choice import FirthFit, Leaderboard, LeaderboardRow, rating
from scorax.cli._votes import Votes
from scorax.stats import rank_summary

# As many as for other fits: enough for two digits of a probability.
_DRAWS = 10_000


def firth_leaderboard(found: FirthFit, votes: Votes, *, scale: str, level: float) -> Leaderboard:
    """As `scorax.choice.leaderboard` makes it of a fit: normal intervals, ranks from the whole covariance."""
    theta, std_error = np.asarray(found.strength), np.asarray(found.std_error)
    reach = float(ndtri((1 + level) / 2)) * std_error
    # A fixed seed: the same votes give the same leaderboard.
    draws = np.random.default_rng(0).multivariate_normal(theta, np.asarray(found.covariance), _DRAWS, method="eigh")
    ranks = rank_summary(jnp.asarray(draws), level=level)
    value, lower, upper = (_on_scale(x, scale) for x in (theta, theta - reach, theta + reach))
    error = _on_scale(std_error, scale) - _on_scale(np.zeros_like(theta), scale)
    count, k = np.asarray(votes.data.count), len(votes.items)
    # Firth's penalty is of comparisons, which have two sides.
    sides = [np.asarray(getattr(votes.data, side)) for side in ("a", "b")]
    comparisons = sum(np.bincount(side, count, k) for side in sides)
    rows = tuple(
        LeaderboardRow(
            item=votes.items[int(i)],
            rating=float(value[i]),
            theta=float(theta[i]),
            std_error=float(error[i]),
            lower=float(lower[i]),
            upper=float(upper[i]),
            rank=place + 1,
            rank_lower=int(ranks.lower[i]),
            rank_upper=int(ranks.upper[i]),
            p_best=float(ranks.p_best[i]),
            comparisons=float(np.asarray(comparisons)[i]),
        )
        for place, i in enumerate(np.argsort(-theta, kind="stable"))
    )
    return Leaderboard(rows, level, scale)


def _on_scale(strength: np.ndarray, scale: str) -> np.ndarray:
    return np.asarray(rating(jnp.asarray(strength))) if scale == "elo" else strength
