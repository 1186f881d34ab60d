import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.choice import BradleyTerry
from scorax.data import Comparisons
from scorax.inference.validity import joint_of, posterior_sampler, sbc


@pytest.mark.slow
@pytest.mark.engine
def test_posterior_of_strengths_is_calibrated():
    a, b = np.triu_indices(4, 1)
    design = Comparisons.from_arrays(np.repeat(a, 8), np.repeat(b, 8), np.ones(48))
    model = BradleyTerry.init(4)
    ranks = sbc(
        posterior_sampler(model, num_warmup=200),
        joint_of(model, design),
        key=jax.random.key(11),
        quantities=lambda model, _: jnp.append(model.strength, jnp.ptp(model.strength)),
        n_simulations=200,
        vmapped=False,
    )
    # Corrected for the number of quantities: of a right sampler, one seed in a hundred is below.
    assert ranks.test().p_value > 0.01
