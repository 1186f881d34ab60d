"""Floor 4: judges as noisy measurement. What their scores say about the candidates, and what they cannot say."""

from scorax.judges._confusion_priors import SimplexPrior
from scorax.judges._expectation_maximisation import EMResult, em_step, fit_em
from scorax.judges._identified_set import (
    BinaryInterval,
    IdentifiedSet,
    binary_identified_interval,
    ranking_identified_set,
)
from scorax.judges._majority_vote import majority_vote
from scorax.judges._marginal import marginal_annotations
from scorax.judges._simplex_geometry import (
    barycentric,
    expected_score,
    in_hull,
    iso_score_direction,
    observed_distribution,
    score_contrast,
    simplex_volume,
)
from scorax.judges._simplex_judge import SimplexJudge, latent_class_log_prob

__all__ = [
    "BinaryInterval",
    "EMResult",
    "IdentifiedSet",
    "SimplexJudge",
    "SimplexPrior",
    "barycentric",
    "binary_identified_interval",
    "em_step",
    "expected_score",
    "fit_em",
    "in_hull",
    "iso_score_direction",
    "latent_class_log_prob",
    "majority_vote",
    "marginal_annotations",
    "observed_distribution",
    "ranking_identified_set",
    "score_contrast",
    "simplex_volume",
]
