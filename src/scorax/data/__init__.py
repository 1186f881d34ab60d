"""Floor 1: containers of observations, and how tables become them."""

from scorax.data import datasets
from scorax.data._annotations import Annotations, AnnotationVocabulary
from scorax.data._base import AbstractData, AbstractRows
from scorax.data._choices import Choices
from scorax.data._comparisons import Comparisons, PairCounts
from scorax.data._connectivity import ConnectivityReport, connectivity
from scorax.data._disconnected import ghost, largest_component
from scorax.data._item_features import WithItemFeatures, contrast_features
from scorax.data._matches import Matches
from scorax.data._rank_breaking import rank_breaking
from scorax.data._rankings import Rankings
from scorax.data._read import read_table
from scorax.data._responses import Responses
from scorax.data._traffic import Traffic
from scorax.data._validate import refuse
from scorax.data._vocabulary import Vocabulary
from scorax.data._weights import concatenate, inverse_propensity

__all__ = [
    "AbstractData",
    "AbstractRows",
    "AnnotationVocabulary",
    "Annotations",
    "Choices",
    "Comparisons",
    "ConnectivityReport",
    "Matches",
    "PairCounts",
    "Rankings",
    "Responses",
    "Traffic",
    "Vocabulary",
    "WithItemFeatures",
    "concatenate",
    "connectivity",
    "contrast_features",
    "datasets",
    "ghost",
    "inverse_propensity",
    "largest_component",
    "rank_breaking",
    "read_table",
    "refuse",
]
