"""Prediction-powered inference: few gold labels, many predictions, and estimates that need not trust the latter."""

from scorax.judges._prediction_powered._bootstrap import ppi_bootstrap
from scorax.judges._prediction_powered._estimate import PPICoefficients, PPIEstimate
from scorax.judges._prediction_powered._mean import cross_ppi_mean, ppi_contrast, ppi_mean, ppi_stratified_mean
from scorax.judges._prediction_powered._quantile import PPIQuantile, ppi_quantile
from scorax.judges._prediction_powered._regression import ppi_regression

__all__ = [
    "PPICoefficients",
    "PPIEstimate",
    "PPIQuantile",
    "cross_ppi_mean",
    "ppi_bootstrap",
    "ppi_contrast",
    "ppi_mean",
    "ppi_quantile",
    "ppi_regression",
    "ppi_stratified_mean",
]
