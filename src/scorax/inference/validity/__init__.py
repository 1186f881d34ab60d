"""Tests that inference is right: of kernels, samplers, weighted draws, evidence and intervals, your own included.

Every test is reproducible from its key and returns a `TestResult`. Each fails on the bugs that it is for, which its own
tests plant.
"""

from scorax.inference.validity._check_block import check_block
from scorax.inference.validity._coverage import Coverage, coverage, credible_interval, wald_interval
from scorax.inference.validity._enumerate import FiniteKernel, enumerate_kernel, enumerate_outcomes
from scorax.inference.validity._evidence import evidence_test
from scorax.inference.validity._example import Example, stepped_examples, traced_examples
from scorax.inference.validity._geweke import geweke_test
from scorax.inference.validity._invariance import check_frozen, check_invariance
from scorax.inference.validity._joint import Joint, joint_of
from scorax.inference.validity._measure import measure_test
from scorax.inference.validity._rank_test import rank_test
from scorax.inference.validity._ranks import Band, Ranks
from scorax.inference.validity._result import TestResult
from scorax.inference.validity._sampler import posterior_sampler
from scorax.inference.validity._sbc import sbc
from scorax.inference.validity._two_sample import energy_distance, mmd, two_sample_test

__all__ = [
    "Band",
    "Coverage",
    "Example",
    "FiniteKernel",
    "Joint",
    "Ranks",
    "TestResult",
    "check_block",
    "check_frozen",
    "check_invariance",
    "coverage",
    "credible_interval",
    "energy_distance",
    "enumerate_kernel",
    "enumerate_outcomes",
    "evidence_test",
    "geweke_test",
    "joint_of",
    "measure_test",
    "mmd",
    "posterior_sampler",
    "rank_test",
    "sbc",
    "stepped_examples",
    "traced_examples",
    "two_sample_test",
    "wald_interval",
]
