import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

from scorax.inference.validity import Joint, Ranks, rank_test
from scorax.inference.validity._chain import Chain, numbers
from scorax.inference.validity._rank_test import _ranks
from tests.inference.compilations import compilations
from tests.inference.validity.kernels import RIGHT, WRONG

SCALE, NO_HASTINGS = RIGHT["Metropolis on a scale"], WRONG["no Hastings term"]


@pytest.mark.slow
def test_right_kernel_passes_and_a_wrong_one_does_not():
    # Without its Hastings term the walk is found in 25 of 30 seeds; this is one of them.
    for (kernel, joint, _), low, high in ((SCALE, 0.01, 1), (NO_HASTINGS, 0, 0.01)):
        result = rank_test(kernel, joint, key=jax.random.key(0))
        assert low < result.p_value <= high
        assert "log-likelihood" in result.details["names"]


def test_states_that_a_rejection_repeats_tie():
    """A log-likelihood computed apart from the others differs by rounding, and would be first or last too often."""
    kernel, joint, _ = SCALE
    chain = Chain(kernel, joint, None, None, None)
    pieces = [numbers(500, first=500 * i) for i in range(40)]
    ranks = np.concatenate([_ranks(chain, None, jax.random.key(0), piece, 8, 500) for piece in pieces])
    assert Ranks(ranks, 7, chain.names(jax.random.key(0))).test().p_value > 0.01


def test_stages_are_corrected_and_compile_nothing_new():
    kernel, joint, _ = SCALE
    rank_test(kernel, joint, key=jax.random.key(0))
    with compilations() as count:
        results = [rank_test(kernel, joint, key=jax.random.key(seed), level=1e-6) for seed in range(1, 30)]
    assert count[0] == 0
    longest = max(results, key=lambda result: len(result.details["stages"]))
    assert len(longest.details["stages"]) > 1
    for result in results:
        stages = np.array(result.details["stages"])
        assert (stages[:-1] <= 0.1).all()
        np.testing.assert_allclose(result.p_value, min(1, (stages * 2.0 ** np.arange(1, len(stages) + 1)).min()))


class Turn(eqx.Module):
    """Goes round a circle."""

    by: Array

    def __call__(self, data):
        return lambda key, x: (x + self.by) % 1.0


CIRCLE = Joint(prior=jax.random.uniform)


@pytest.mark.slow
def test_a_kernel_with_a_direction_needs_its_reverse():
    right, left = Turn(jnp.array(0.1)), Turn(jnp.array(-0.1))
    options = {"key": jax.random.key(0), "quantities": lambda x, data: x, "length": 4}
    assert rank_test(right, CIRCLE, backward=left, **options).p_value > 0.01
    # Two steps right from the middle of a chain look like two steps right from its start.
    assert rank_test(right, CIRCLE, backward=right, **options).p_value < 1e-6


def test_too_few_chains():
    with pytest.raises(ValueError, match="n must be at least 50, not 20"):
        rank_test(Turn(jnp.array(0.1)), CIRCLE, key=jax.random.key(0), n=20)
