"""What a leaderboard does not tell: contrasts, fit, cycles, single votes."""

from scorax.choice._uncertainty._bootstrap_interval import bootstrap_interval
from scorax.choice._uncertainty._contrasts import Contrasts, contrasts
from scorax.choice._uncertainty._cross_validation import CrossValidation, cross_validated_log_loss
from scorax.choice._uncertainty._firth import FirthFit, firth
from scorax.choice._uncertainty._flips import Flip, flips
from scorax.choice._uncertainty._goodness_of_fit import (
    CalibrationTable,
    GoodnessOfFit,
    calibration_table,
    goodness_of_fit,
)
from scorax.choice._uncertainty._intransitivity import (
    Transitivity,
    circular_triads,
    kendall_zeta,
    transitivity,
    win_probability_draws,
)
from scorax.choice._uncertainty._model_comparison import (
    LikelihoodRatioTest,
    aic,
    bic,
    free_parameters,
    likelihood_ratio_test,
)
from scorax.choice._uncertainty._next_pairs import next_pairs, pair_scores
from scorax.choice._uncertainty._quasi_variances import QuasiVariances, quasi_variances
from scorax.choice._uncertainty._rank_confidence import RankSets, arena_rank_upper_bounds, rank_confidence_sets
from scorax.choice._uncertainty._vote_influence import VoteInfluence, vote_influence

__all__ = [
    "CalibrationTable",
    "Contrasts",
    "CrossValidation",
    "FirthFit",
    "Flip",
    "GoodnessOfFit",
    "LikelihoodRatioTest",
    "QuasiVariances",
    "RankSets",
    "Transitivity",
    "VoteInfluence",
    "aic",
    "arena_rank_upper_bounds",
    "bic",
    "bootstrap_interval",
    "calibration_table",
    "circular_triads",
    "contrasts",
    "cross_validated_log_loss",
    "firth",
    "flips",
    "free_parameters",
    "goodness_of_fit",
    "kendall_zeta",
    "likelihood_ratio_test",
    "next_pairs",
    "pair_scores",
    "quasi_variances",
    "rank_confidence_sets",
    "transitivity",
    "vote_influence",
    "win_probability_draws",
]
