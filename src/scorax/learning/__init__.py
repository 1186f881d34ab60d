"""Floor 4: learning how scores move: trends of opinion and their dynamics."""

from scorax.learning._bayesian_trend import BayesianTrend
from scorax.learning._conjugate_trend import ConjugateTrend, NormalInverseGamma, conjugate_trend
from scorax.learning._dates import to_years
from scorax.learning._opinion_fields import InteractionField, NeuralField
from scorax.learning._opinion_ode import OpinionODE
from scorax.learning._student import StudentT
from scorax.learning._timed_scores import TimedScores
from scorax.learning._trend_summary import TrendBand, TrendSlope, predictive_band, trend_band, trend_slope

__all__ = [
    "BayesianTrend",
    "ConjugateTrend",
    "InteractionField",
    "NeuralField",
    "NormalInverseGamma",
    "OpinionODE",
    "StudentT",
    "TimedScores",
    "TrendBand",
    "TrendSlope",
    "conjugate_trend",
    "predictive_band",
    "to_years",
    "trend_band",
    "trend_slope",
]
