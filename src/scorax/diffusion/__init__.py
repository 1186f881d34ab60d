"""Floor 4: noise processes, times to train at, preconditioned networks, samplers."""

from scorax.diffusion._preconditioning import DenoiserScore, Preconditioned
from scorax.diffusion._process import AbstractProcess, ProbabilityFlow, ReverseSDE
from scorax.diffusion._processes import EDM, VarianceExploding, VariancePreserving
from scorax.diffusion._samplers import edm_grid, heun
from scorax.diffusion._times import log_normal_times, stratified_times, uniform_times

__all__ = [
    "EDM",
    "AbstractProcess",
    "DenoiserScore",
    "Preconditioned",
    "ProbabilityFlow",
    "ReverseSDE",
    "VarianceExploding",
    "VariancePreserving",
    "edm_grid",
    "heun",
    "log_normal_times",
    "stratified_times",
    "uniform_times",
]
