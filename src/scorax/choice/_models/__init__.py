"""Likelihoods: kernels and the models that hold their parameters."""

from scorax.choice._models._adherence import AdherencePrior, AdherentPlackettLuce
from scorax.choice._models._bradley_terry import BradleyTerry, bradley_terry_log_prob
from scorax.choice._models._davidson_luce import DavidsonLuce, davidson_luce_log_prob
from scorax.choice._models._general_preference import (
    GeneralPreference,
    general_preference_log_prob,
    general_preference_score,
)
from scorax.choice._models._generalized_davidson import GeneralizedDavidson, generalized_davidson_log_prob
from scorax.choice._models._graded import AdjacentComparison, GradedComparison, adjacent_log_prob, graded_log_prob
from scorax.choice._models._insertions import insertion_vector
from scorax.choice._models._luce_choice import LuceChoice, luce_choice_log_prob
from scorax.choice._models._mallows import (
    GeneralizedMallows,
    Mallows,
    generalized_mallows_log_prob,
    mallows_log_prob,
    mallows_mean_distance,
)
from scorax.choice._models._mallows_fit import MallowsFit, fit_mallows, mallows_dispersion
from scorax.choice._models._mixture import PlackettLuceMixture, fit_plackett_luce_mixture
from scorax.choice._models._network_choice import ChoiceRank, NetworkChoice, choicerank, network_choice_log_prob
from scorax.choice._models._plackett_luce import PlackettLuce, plackett_luce_log_prob
from scorax.choice._models._skew_symmetric import embed_skew_symmetric
from scorax.choice._models._structured import Structured
from scorax.choice._models._teams import TeamRanking, team_strength
from scorax.choice._models._thurstone import (
    GlennDavid,
    Thurstone,
    cauchit_log_prob,
    glenn_david_log_prob,
    thurstone_log_prob,
)
from scorax.choice._models._ties import Davidson, RaoKupper, davidson_log_prob, rao_kupper_log_prob
from scorax.choice._models._unequal_noise import UnequalThurstone

__all__ = [
    "AdherencePrior",
    "AdherentPlackettLuce",
    "AdjacentComparison",
    "BradleyTerry",
    "ChoiceRank",
    "Davidson",
    "DavidsonLuce",
    "GeneralPreference",
    "GeneralizedDavidson",
    "GeneralizedMallows",
    "GlennDavid",
    "GradedComparison",
    "LuceChoice",
    "Mallows",
    "MallowsFit",
    "NetworkChoice",
    "PlackettLuce",
    "PlackettLuceMixture",
    "RaoKupper",
    "Structured",
    "TeamRanking",
    "Thurstone",
    "UnequalThurstone",
    "adjacent_log_prob",
    "bradley_terry_log_prob",
    "cauchit_log_prob",
    "choicerank",
    "davidson_log_prob",
    "davidson_luce_log_prob",
    "embed_skew_symmetric",
    "fit_mallows",
    "fit_plackett_luce_mixture",
    "general_preference_log_prob",
    "general_preference_score",
    "generalized_davidson_log_prob",
    "generalized_mallows_log_prob",
    "glenn_david_log_prob",
    "graded_log_prob",
    "insertion_vector",
    "luce_choice_log_prob",
    "mallows_dispersion",
    "mallows_log_prob",
    "mallows_mean_distance",
    "network_choice_log_prob",
    "plackett_luce_log_prob",
    "rao_kupper_log_prob",
    "team_strength",
    "thurstone_log_prob",
]
