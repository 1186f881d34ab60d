"""Posteriors of strengths are calibrated: simulation-based calibration of what the field uses most."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.choice import BradleyTerry, Davidson, PlackettLuce
from scorax.data import Comparisons, Rankings
from scorax.inference.validity import joint_of, posterior_sampler, sbc

A, B = np.triu_indices(4, 1)
BATTLES = Comparisons.from_arrays(np.repeat(A, 8), np.repeat(B, 8), np.ones(48))
RANKINGS = Rankings.from_arrays(np.array(list(itertools.combinations(range(4), 3)) * 4))

CASES = {
    "BradleyTerry": (BradleyTerry.init(4), BATTLES, lambda model: jnp.append(model.strength, jnp.ptp(model.strength))),
    "Davidson": (Davidson.init(4), BATTLES, lambda model: jnp.append(model.strength, model.log_tie)),
    "PlackettLuce": (PlackettLuce.init(4), RANKINGS, lambda model: jnp.append(model.strength, jnp.ptp(model.strength))),
}


@pytest.mark.slow
@pytest.mark.engine
@pytest.mark.parametrize("name", CASES)
def test_posterior_of_strengths_is_calibrated(name):
    model, design, quantities = CASES[name]
    ranks = sbc(
        posterior_sampler(model, thin=8, num_warmup=200),
        joint_of(model, design),
        key=jax.random.key(11),
        quantities=lambda model, _: quantities(model),
        n_simulations=200,
        vmapped=False,
    )
    # Corrected for the number of quantities: of a right sampler, one seed in a hundred is below.
    assert ranks.test().p_value > 0.01
