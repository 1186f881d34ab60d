"""Kernels: Markov chains' transitions behind one interface."""

from scorax.inference._kernels._chees import ChEES
from scorax.inference._kernels._gibbs import Gibbs
from scorax.inference._kernels._hamiltonian import HMC, NUTS
from scorax.inference._kernels._kernel import AbstractFrame, AbstractKernel, Frame, LowRankFrame, Point, Target
from scorax.inference._kernels._laplace_metropolis import LaplaceMetropolis
from scorax.inference._kernels._mclmc import MCLMC, AdjustedMCLMC
from scorax.inference._kernels._meads import MEADS
from scorax.inference._kernels._subsampled import HMCECS

__all__ = [
    "HMC",
    "HMCECS",
    "MCLMC",
    "MEADS",
    "NUTS",
    "AbstractFrame",
    "AbstractKernel",
    "AdjustedMCLMC",
    "ChEES",
    "Frame",
    "Gibbs",
    "LaplaceMetropolis",
    "LowRankFrame",
    "Point",
    "Target",
]
