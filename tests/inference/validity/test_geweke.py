import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.inference.validity import geweke_test
from tests.inference.validity.kernels import RIGHT, WRONG, ScaleWalk

KERNEL, JOINT, _ = RIGHT["Metropolis on a scale"]


def quantities(theta, y):
    return {"theta": theta, "square": theta**2, "log-likelihood": JOINT.log_likelihood(theta, y)}


@pytest.mark.slow
def test_right_kernel_passes_and_a_wrong_one_does_not():
    options = {"key": jax.random.key(0), "quantities": quantities}
    result = geweke_test(KERNEL, JOINT, **options)
    assert result.p_value > 0.01
    assert (result.details["ess"] > 100).all()
    wrong, _, _ = WRONG["no Hastings term"]
    assert geweke_test(wrong, JOINT, **options).p_value < 1e-6


def test_chains_that_hardly_move_give_no_verdict():
    slow = ScaleWalk(jnp.array(1.0), jnp.array(1e-3))
    result = geweke_test(slow, JOINT, key=jax.random.key(0), quantities=quantities)
    assert np.isnan(result.p_value)
    assert "effective draws of 'theta': raise n_steps" in result.details["reason"]


def test_too_few_steps():
    with pytest.raises(ValueError, match="n_steps must be at least 10, not 3"):
        geweke_test(KERNEL, JOINT, key=jax.random.key(0), n_steps=3)
