"""Floor 3: paired comparisons and rankings, from votes to a leaderboard with its uncertainty."""

from scorax.choice._leaderboard import Leaderboard, LeaderboardRow, leaderboard, rating
from scorax.choice._models import (
    BradleyTerry,
    Davidson,
    PlackettLuce,
    RaoKupper,
    bradley_terry_log_prob,
    davidson_log_prob,
    plackett_luce_log_prob,
    rao_kupper_log_prob,
)

__all__ = [
    "BradleyTerry",
    "Davidson",
    "Leaderboard",
    "LeaderboardRow",
    "PlackettLuce",
    "RaoKupper",
    "bradley_terry_log_prob",
    "davidson_log_prob",
    "leaderboard",
    "plackett_luce_log_prob",
    "rao_kupper_log_prob",
    "rating",
]
