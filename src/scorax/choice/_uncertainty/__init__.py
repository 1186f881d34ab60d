"""What a leaderboard does not tell: contrasts, fit, cycles, single votes."""
