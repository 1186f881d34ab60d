"""Floor 1: statistics of plain arrays."""

from scorax.stats._average_rank import ahead_and_level, average_rank
from scorax.stats._bootstrap_weights import bayesian_bootstrap_weights, multinomial_weights
from scorax.stats._intervals import (
    Interval,
    basic_interval,
    bca_interval,
    jackknife_acceleration,
    percentile_interval,
)
from scorax.stats._quantile import weighted_quantile
from scorax.stats._rank_correlation import kendall_tau, pair_signs, soft_kendall, spearman_rho, weighted_tau
from scorax.stats._rank_distance import (
    cayley_distance,
    footrule,
    kendall_distance,
    rank_biased_overlap,
    top_k_overlap,
)
from scorax.stats._ranks import RankSummary, rank_summary

__all__ = [
    "Interval",
    "RankSummary",
    "ahead_and_level",
    "average_rank",
    "basic_interval",
    "bayesian_bootstrap_weights",
    "bca_interval",
    "cayley_distance",
    "footrule",
    "jackknife_acceleration",
    "kendall_distance",
    "kendall_tau",
    "multinomial_weights",
    "pair_signs",
    "percentile_interval",
    "rank_biased_overlap",
    "rank_summary",
    "soft_kendall",
    "spearman_rho",
    "top_k_overlap",
    "weighted_quantile",
    "weighted_tau",
]
