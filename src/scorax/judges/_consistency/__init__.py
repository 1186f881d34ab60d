"""How far a judge agrees with itself: its labels with its verdicts, and its verdicts with one another."""

from scorax.judges._consistency._conflict import ConflictRatio, conflict_ratio
from scorax.judges._consistency._labels import argmax_label, expected_label, rescale, softmax_weighted_score
from scorax.judges._consistency._transitivity import (
    NontransitivityRatio,
    expected_nontransitivity,
    nontransitivity_ratio,
)
from scorax.judges._consistency._verdicts import pairwise_verdict, relation_from_scores, sign_beyond

__all__ = [
    "ConflictRatio",
    "NontransitivityRatio",
    "argmax_label",
    "conflict_ratio",
    "expected_label",
    "expected_nontransitivity",
    "nontransitivity_ratio",
    "pairwise_verdict",
    "relation_from_scores",
    "rescale",
    "sign_beyond",
    "softmax_weighted_score",
]
