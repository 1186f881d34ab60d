"""Floor 4: statistics of benchmarks. Simulation scores, scaling, stability, effect sizes and replication."""

from scorax.evals._choice_log_prob import OptionChoice, choice_log_prob, choose_option, option_perplexity
from scorax.evals._curve_stability import CurveStability, RankAgreement, curve_stability, instruct_consistency
from scorax.evals._diversity import CorrectAnswerFlag, Diversity, correct_answer_flag, diversity, hill_number
from scorax.evals._effect_size import EffectSize, effect_size
from scorax.evals._meta_analysis import MetaAnalysis, meta_analysis
from scorax.evals._order_sensitivity import OrderSensitivity, order_sensitivity
from scorax.evals._replication import ReplicationReport, replication_report
from scorax.evals._scaling import LineFit, log_linear_fit
from scorax.evals._simulation_score import SimulationScore, noise_ceiling, simulation_score, total_variation_bias
from scorax.evals._stratify import Strata, normalised_entropy, stratify
from scorax.evals._tests import (
    HypothesisTest,
    chi_squared_test,
    fisher_exact_test,
    one_sample_t_test,
    one_way_f_test,
    paired_t_test,
    two_proportion_z_test,
    welch_t_test,
)

__all__ = [
    "CorrectAnswerFlag",
    "CurveStability",
    "Diversity",
    "EffectSize",
    "HypothesisTest",
    "LineFit",
    "MetaAnalysis",
    "OptionChoice",
    "OrderSensitivity",
    "RankAgreement",
    "ReplicationReport",
    "SimulationScore",
    "Strata",
    "chi_squared_test",
    "choice_log_prob",
    "choose_option",
    "correct_answer_flag",
    "curve_stability",
    "diversity",
    "effect_size",
    "fisher_exact_test",
    "hill_number",
    "instruct_consistency",
    "log_linear_fit",
    "meta_analysis",
    "noise_ceiling",
    "normalised_entropy",
    "one_sample_t_test",
    "one_way_f_test",
    "option_perplexity",
    "order_sensitivity",
    "paired_t_test",
    "replication_report",
    "simulation_score",
    "stratify",
    "total_variation_bias",
    "two_proportion_z_test",
    "welch_t_test",
]
