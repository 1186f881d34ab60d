"""Likelihoods: kernels and the models that hold their parameters."""

from scorax.choice._models._bradley_terry import BradleyTerry, bradley_terry_log_prob
from scorax.choice._models._plackett_luce import PlackettLuce, plackett_luce_log_prob
from scorax.choice._models._ties import Davidson, RaoKupper, davidson_log_prob, rao_kupper_log_prob

__all__ = [
    "BradleyTerry",
    "Davidson",
    "PlackettLuce",
    "RaoKupper",
    "bradley_terry_log_prob",
    "davidson_log_prob",
    "plackett_luce_log_prob",
    "rao_kupper_log_prob",
]
