"""Floor 1: statistics of plain arrays."""

from scorax.stats._bootstrap_weights import bayesian_bootstrap_weights, multinomial_weights
from scorax.stats._quantile import weighted_quantile
from scorax.stats._rank_correlation import kendall_tau
from scorax.stats._ranks import RankSummary, rank_summary

__all__ = [
    "RankSummary",
    "bayesian_bootstrap_weights",
    "kendall_tau",
    "multinomial_weights",
    "rank_summary",
    "weighted_quantile",
]
