"""How often the tests of kernels are right, at their default sizes, over thirty seeds."""

import equinox as eqx
import jax
import numpy as np
import pytest
import scipy.stats

from scorax.inference._blocks import smc
from scorax.inference.validity import (
    Joint,
    check_block,
    check_invariance,
    geweke_test,
    rank_test,
    sbc,
    stepped_examples,
)
from tests.inference.validity.kernels import LEVELS, RIGHT, WRONG

pytestmark = pytest.mark.slow


def p_values(test, case):
    kernel, joint, options = case
    return np.array([test(kernel, joint, key=jax.random.key(seed), **options).p_value for seed in range(30)])


@pytest.mark.parametrize("name", WRONG)
def test_every_bug_is_found_in_every_seed(name):
    assert p_values(check_invariance, WRONG[name]).max() < 1e-6


# A test of size 0.01 rejects more than three of thirty once in five thousand.


@pytest.mark.parametrize("test", [check_invariance, rank_test])
@pytest.mark.parametrize("name", RIGHT)
def test_right_kernels_pass(test, name):
    found = p_values(test, RIGHT[name])
    assert (found < 0.01).sum() <= 3
    assert np.isfinite(found).all()


@pytest.mark.parametrize("name", ["no Hastings term", "accepts by exp(+gain)", "accepts everything"])
def test_ranks_find_most_of_them(name):
    assert (p_values(rank_test, WRONG[name]) < 0.01).mean() > 0.6


def test_joint_test_finds_them_and_passes_others():
    assert p_values(geweke_test, WRONG["no Hastings term"]).max() < 1e-6
    assert p_values(geweke_test, WRONG["accepts by exp(+gain)"]).max() < 0.01
    assert (p_values(geweke_test, RIGHT["Hamiltonian"]) < 0.01).sum() <= 3


def test_corrected_p_values_are_no_smaller_than_uniform():
    found = p_values(check_invariance, RIGHT["Hamiltonian"])
    assert scipy.stats.kstest(found, "uniform", alternative="greater").pvalue > 0.01


def test_all_in_double_precision(x64):
    """Compiled anew: what passes in single precision may not even run in double under strict promotion."""
    wide = [jax.tree.map(lambda x: x.astype(float) if eqx.is_inexact_array(x) else x, RIGHT[name][0]) for name in RIGHT]
    for kernel, (_, joint, options) in zip(wide, RIGHT.values(), strict=True):
        for test in (check_invariance, rank_test):
            assert test(kernel, joint, key=jax.random.key(0), **options).p_value > 0.01
    assert geweke_test(wide[1], LEVELS, key=jax.random.key(0)).p_value > 0.01

    def filtered(program, key):
        return smc(program, 50, key=key)

    assert check_block(filtered, stepped_examples()[2:], key=jax.random.key(0)).p_value > 0.01
    joint = Joint(jax.random.normal, lambda key, theta: theta + jax.random.normal(key), log_likelihood)
    assert sbc(exact, joint, key=jax.random.key(0), n_simulations=200).test().p_value > 0.01


def log_likelihood(theta, data):
    return -((data - theta) ** 2) / 2


def exact(key, data):
    return data / 2 + jax.random.normal(key, (63,)) * 0.5**0.5
