"""Small real data sets that come with the package, all under permissive licences (see `NOTICE.md` beside them)."""

from scorax.data.datasets._catalogue import Dataset, catalogue
from scorax.data.datasets._choice import load_food, load_llmfao, load_ratings_vs_rankings
from scorax.data.datasets._judges import load_anesthesia, load_autograder, load_llmbar, load_prometheus

__all__ = [
    "Dataset",
    "catalogue",
    "load_anesthesia",
    "load_autograder",
    "load_food",
    "load_llmbar",
    "load_llmfao",
    "load_prometheus",
    "load_ratings_vs_rankings",
]
