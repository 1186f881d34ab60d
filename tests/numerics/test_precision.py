"""What is asked for is had, or refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.choice import BradleyTerry, Davidson, PlackettLuce, RaoKupper
from scorax.judges import SimplexJudge
from scorax.numerics import available_dtype


@pytest.mark.parametrize("double", [False, True])
def test_the_default_is_that_of_jax(double):
    with jax.enable_x64(double):
        assert available_dtype() == available_dtype(float) == (np.float64 if double else np.float32)
        assert available_dtype(jnp.float32) == np.float32


MODELS = [
    *(lambda dtype, kind=kind: kind.init(3, dtype=dtype) for kind in (BradleyTerry, Davidson, PlackettLuce, RaoKupper)),
    lambda dtype: SimplexJudge.init(2, 1, 3, dtype=dtype),
]


@pytest.mark.parametrize("init", MODELS)
def test_models_in_double_precision_need_it_turned_on(init):
    with pytest.raises(ValueError, match=r"float64 is asked for.*jax_enable_x64"):
        init(jnp.float64)
    with jax.enable_x64(True):
        assert {x.dtype for x in jax.tree.leaves(init(jnp.float64))} == {np.dtype(np.float64)}
