"""Floor 1: statistics of plain arrays."""

from scorax.stats._bootstrap_weights import bayesian_bootstrap_weights, multinomial_weights
from scorax.stats._intervals import (
    Interval,
    basic_interval,
    bca_interval,
    jackknife_acceleration,
    percentile_interval,
)
from scorax.stats._quantile import weighted_quantile
from scorax.stats._rank_correlation import kendall_tau
from scorax.stats._ranks import RankSummary, rank_summary

__all__ = [
    "Interval",
    "RankSummary",
    "basic_interval",
    "bayesian_bootstrap_weights",
    "bca_interval",
    "jackknife_acceleration",
    "kendall_tau",
    "multinomial_weights",
    "percentile_interval",
    "rank_summary",
    "weighted_quantile",
]
