"""Floor 5: figures of results. Matplotlib loads when the first one is drawn."""

from scorax.plot._calibration import plot_calibration
from scorax.plot._comparison_intervals import plot_comparison_intervals
from scorax.plot._flow_trajectories import plot_flow_trajectories
from scorax.plot._hodge import plot_hodge
from scorax.plot._leaderboard import plot_leaderboard
from scorax.plot._rank_intervals import plot_rank_intervals
from scorax.plot._ranks import plot_ranks
from scorax.plot._sample_grid import plot_sample_grid
from scorax.plot._score_field import plot_score_field
from scorax.plot._score_reliability import plot_score_reliability
from scorax.plot._segment import plot_segment
from scorax.plot._sensitivity import plot_sensitivity
from scorax.plot._simplex import plot_simplex
from scorax.plot._trajectories import plot_trajectories
from scorax.plot._vote_influence import plot_vote_influence
from scorax.plot._win_probability import plot_win_probability

__all__ = [
    "plot_calibration",
    "plot_comparison_intervals",
    "plot_flow_trajectories",
    "plot_hodge",
    "plot_leaderboard",
    "plot_rank_intervals",
    "plot_ranks",
    "plot_sample_grid",
    "plot_score_field",
    "plot_score_reliability",
    "plot_segment",
    "plot_sensitivity",
    "plot_simplex",
    "plot_trajectories",
    "plot_vote_influence",
    "plot_win_probability",
]
