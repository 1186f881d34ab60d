"""Floor 1: statistics of plain arrays."""

from scorax.stats._agreement import Agreement, brennan_prediger, fleiss_kappa, gwet_ac, percent_agreement
from scorax.stats._agreement_credit import agreement_credit
from scorax.stats._agreement_raters import (
    PairwiseAgreement,
    cohen_kappa,
    conger_kappa,
    pairwise_agreement,
    tally_ratings,
)
from scorax.stats._average_rank import ahead_and_level, average_rank
from scorax.stats._bootstrap_weights import bayesian_bootstrap_weights, multinomial_weights
from scorax.stats._concordance import (
    Concordance,
    KendallW,
    LimitsOfAgreement,
    bland_altman,
    kendall_w,
    lin_concordance,
)
from scorax.stats._icc import ICC_FORMS, IntraclassCorrelation, intraclass_correlation
from scorax.stats._intervals import (
    Interval,
    basic_interval,
    bca_interval,
    jackknife_acceleration,
    percentile_interval,
)
from scorax.stats._krippendorff import krippendorff_alpha, krippendorff_bootstrap
from scorax.stats._proportions import clopper_pearson_interval, jeffreys_interval, wilson_interval
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
from scorax.stats._selective import (
    AccuracyCoverage,
    RiskCoverage,
    accuracy_coverage_curve,
    augrc,
    aurc,
    coverage_at_risk,
    e_aurc,
    risk_at_coverage,
    risk_coverage_curve,
    selective_classification_auc,
)
from scorax.stats._total_variation import total_variation_distance

__all__ = [
    "ICC_FORMS",
    "AccuracyCoverage",
    "Agreement",
    "Concordance",
    "Interval",
    "IntraclassCorrelation",
    "KendallW",
    "LimitsOfAgreement",
    "PairwiseAgreement",
    "RankSummary",
    "RiskCoverage",
    "accuracy_coverage_curve",
    "agreement_credit",
    "ahead_and_level",
    "augrc",
    "aurc",
    "average_rank",
    "basic_interval",
    "bayesian_bootstrap_weights",
    "bca_interval",
    "bland_altman",
    "brennan_prediger",
    "cayley_distance",
    "clopper_pearson_interval",
    "cohen_kappa",
    "conger_kappa",
    "coverage_at_risk",
    "e_aurc",
    "fleiss_kappa",
    "footrule",
    "gwet_ac",
    "intraclass_correlation",
    "jackknife_acceleration",
    "jeffreys_interval",
    "kendall_distance",
    "kendall_tau",
    "kendall_w",
    "krippendorff_alpha",
    "krippendorff_bootstrap",
    "lin_concordance",
    "multinomial_weights",
    "pair_signs",
    "pairwise_agreement",
    "percent_agreement",
    "percentile_interval",
    "rank_biased_overlap",
    "rank_summary",
    "risk_at_coverage",
    "risk_coverage_curve",
    "selective_classification_auc",
    "soft_kendall",
    "spearman_rho",
    "tally_ratings",
    "top_k_overlap",
    "total_variation_distance",
    "weighted_quantile",
    "weighted_tau",
    "wilson_interval",
]
