"""Criticism of models and of draws: predictive checks, leave-one-out, sensitivity to the prior, verdicts in words."""

from scorax.inference._criticism._compare import ComparedModel, ModelComparison, compare
from scorax.inference._criticism._leave_one_out import LeaveOneOut, loo
from scorax.inference._criticism._power_scaling import Sensitivity, SensitivityRow, power_scale_sensitivity
from scorax.inference._criticism._predictive_check import PredictiveCheck, predictive_check
from scorax.inference._criticism._replicates import posterior_predictive, prior_predictive
from scorax.inference._criticism._stacking import stacking_weights
from scorax.inference._criticism._verdict import Finding, Verdict, verdict

__all__ = [
    "ComparedModel",
    "Finding",
    "LeaveOneOut",
    "ModelComparison",
    "PredictiveCheck",
    "Sensitivity",
    "SensitivityRow",
    "Verdict",
    "compare",
    "loo",
    "posterior_predictive",
    "power_scale_sensitivity",
    "predictive_check",
    "prior_predictive",
    "stacking_weights",
    "verdict",
]
