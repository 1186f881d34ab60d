"""Floor 3: losses that fit a score function, the gradient of a log-density, to samples."""

from scorax.score_matching._denoising import DiffusionProcess, NoiseProcess, denoising_score_matching_loss
from scorax.score_matching._losses import (
    explicit_score_matching_loss,
    implicit_score_matching_loss,
    sliced_score_matching_loss,
)

__all__ = [
    "DiffusionProcess",
    "NoiseProcess",
    "denoising_score_matching_loss",
    "explicit_score_matching_loss",
    "implicit_score_matching_loss",
    "sliced_score_matching_loss",
]
