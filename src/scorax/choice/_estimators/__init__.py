"""Estimators named by their algorithm: arrays of counts in, strengths out."""

from scorax.choice._estimators._expectation_propagation import GaussianPosterior, ep_pairwise
from scorax.choice._estimators._hodge import HodgeDecomposition, hodge_decompose, hodge_rank
from scorax.choice._estimators._iterated import Iterated
from scorax.choice._estimators._mm import mm
from scorax.choice._estimators._newman import newman
from scorax.choice._estimators._polya_gamma import PolyaGammaMoments, polya_gamma_moments, sample_polya_gamma
from scorax.choice._estimators._polya_gamma_gibbs import polya_gamma_block, polya_gamma_gibbs
from scorax.choice._estimators._spectral import ilsr, lsr, rank_centrality

__all__ = [
    "GaussianPosterior",
    "HodgeDecomposition",
    "Iterated",
    "PolyaGammaMoments",
    "ep_pairwise",
    "hodge_decompose",
    "hodge_rank",
    "ilsr",
    "lsr",
    "mm",
    "newman",
    "polya_gamma_block",
    "polya_gamma_gibbs",
    "polya_gamma_moments",
    "rank_centrality",
    "sample_polya_gamma",
]
