"""Rank aggregation: one order from many, without a model of who votes how."""

from scorax.choice._aggregation._aggregate import AGGREGATION_METHODS, Aggregation, aggregate, order_of
from scorax.choice._aggregation._ballots import Ballots, ballots, pairwise_matrix
from scorax.choice._aggregation._dispersion import rank_dispersion
from scorax.choice._aggregation._kemeny import KemenyResult, kemeny, kemeny_cost
from scorax.choice._aggregation._majority import (
    condorcet_winner,
    copeland,
    minimax,
    ranked_pairs,
    schulze,
    smith_set,
    strongest_paths,
)
from scorax.choice._aggregation._positional import borda, dowdall, mean_rank, plurality, positional, veto
from scorax.choice._aggregation._spectral import average_win_rate, counting, eigenvector, mc4, pagerank

__all__ = [
    "AGGREGATION_METHODS",
    "Aggregation",
    "Ballots",
    "KemenyResult",
    "aggregate",
    "average_win_rate",
    "ballots",
    "borda",
    "condorcet_winner",
    "copeland",
    "counting",
    "dowdall",
    "eigenvector",
    "kemeny",
    "kemeny_cost",
    "mc4",
    "mean_rank",
    "minimax",
    "order_of",
    "pagerank",
    "pairwise_matrix",
    "plurality",
    "positional",
    "rank_dispersion",
    "ranked_pairs",
    "schulze",
    "smith_set",
    "strongest_paths",
    "veto",
]
