"""Models of annotators: who errs how, and on what."""

from scorax.judges._annotators._class_conditional import ClassConditionalDawidSkene
from scorax.judges._annotators._dawid_skene import DawidSkene
from scorax.judges._annotators._glad import GLAD
from scorax.judges._annotators._grader_glm import GraderGLM
from scorax.judges._annotators._hierarchical_prior import HierarchicalDawidSkenePrior
from scorax.judges._annotators._item_difficulty import ItemDifficulty
from scorax.judges._annotators._judge_accuracy import JudgeAccuracy, judge_accuracy
from scorax.judges._annotators._label_switching import LabelSwitching, label_switching, relabel
from scorax.judges._annotators._logistic_random_effects import LogisticRandomEffects
from scorax.judges._annotators._mace import MACE
from scorax.judges._annotators._many_facet_rasch import ManyFacetRasch
from scorax.judges._annotators._multinomial import MultinomialAnnotator
from scorax.judges._annotators._one_coin import OneCoinDawidSkene
from scorax.judges._annotators._ordinal import OrdinalAnnotator
from scorax.judges._annotators._vote_start import vote_start

__all__ = [
    "GLAD",
    "MACE",
    "ClassConditionalDawidSkene",
    "DawidSkene",
    "GraderGLM",
    "HierarchicalDawidSkenePrior",
    "ItemDifficulty",
    "JudgeAccuracy",
    "LabelSwitching",
    "LogisticRandomEffects",
    "ManyFacetRasch",
    "MultinomialAnnotator",
    "OneCoinDawidSkene",
    "OrdinalAnnotator",
    "judge_accuracy",
    "label_switching",
    "relabel",
    "vote_start",
]
