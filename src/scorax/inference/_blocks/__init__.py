"""Composable inference: representations of a measure, and blocks that leave its meaning alone.

Source: Ścibior et al. (2018), arXiv:1711.03219.
"""

from scorax.inference._blocks._conditional import conditional_smc
from scorax.inference._blocks._evidence import collapse, evidence, extract_evidence, proper, push_evidence
from scorax.inference._blocks._foreign import as_kernel
from scorax.inference._blocks._history import history_walk
from scorax.inference._blocks._importance import enumerate, importance
from scorax.inference._blocks._kernel import AbstractTransition, MHState, mh_kernel, random_walk, single_site
from scorax.inference._blocks._pmmh import PMMHState, pmmh
from scorax.inference._blocks._population import Population, Weighted, spawn
from scorax.inference._blocks._resample import adaptive_resample, compose, resample
from scorax.inference._blocks._rows import stepped_by_rows
from scorax.inference._blocks._smc import rmsmc, smc
from scorax.inference._blocks._smc2 import SMC2Value, smc2
from scorax.inference._blocks._stepped import Stepped
from scorax.inference._blocks._tempered import Tempering, adaptive_tempering, tempered
from scorax.inference._blocks._traced import Traced, traced

__all__ = [
    "AbstractTransition",
    "MHState",
    "PMMHState",
    "Population",
    "SMC2Value",
    "Stepped",
    "Tempering",
    "Traced",
    "Weighted",
    "adaptive_resample",
    "adaptive_tempering",
    "as_kernel",
    "collapse",
    "compose",
    "conditional_smc",
    "enumerate",
    "evidence",
    "extract_evidence",
    "history_walk",
    "importance",
    "mh_kernel",
    "pmmh",
    "proper",
    "push_evidence",
    "random_walk",
    "resample",
    "rmsmc",
    "single_site",
    "smc",
    "smc2",
    "spawn",
    "stepped_by_rows",
    "tempered",
    "traced",
]
