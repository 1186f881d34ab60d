import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.choice import BradleyTerry
from scorax.data import Comparisons
from tests.inference.sbc import simulation_based_calibration


@pytest.mark.slow
@pytest.mark.engine
def test_posterior_of_strengths_is_calibrated():
    a, b = np.triu_indices(4, 1)
    design = Comparisons.from_arrays(np.repeat(a, 8), np.repeat(b, 8), np.ones(48))
    ranks = simulation_based_calibration(
        BradleyTerry.init(4),
        design,
        lambda model: jnp.append(model.strength, jnp.ptp(model.strength)),
        key=jax.random.key(11),
        n_replications=200,
        num_warmup=200,
    )
    # Five quantities, one seed: the smallest of five uniform p-values is below 0.002 once in a hundred.
    assert ranks.p_values().min() > 0.002
