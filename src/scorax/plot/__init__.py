"""Floor 5: figures of results. Matplotlib loads when the first one is drawn."""

from scorax.plot._leaderboard import plot_leaderboard
from scorax.plot._simplex import plot_simplex

__all__ = ["plot_leaderboard", "plot_simplex"]
