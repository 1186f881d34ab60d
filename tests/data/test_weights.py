import jax.numpy as jnp
import numpy as np
import pytest

from scorax.choice import BradleyTerry
from scorax.data import Comparisons, Rankings, concatenate, inverse_propensity
from scorax.inference import log_likelihood

CROWD = Comparisons.from_arrays([0, 0, 1, 2], [1, 2, 2, 0], [1.0, 0.5, 0.0, 1.0], weight=[1.0, 2.0, 1.0, 1.0])
EXPERT = Comparisons.from_arrays([1, 2], [0, 1], [1.0, 1.0])


def test_parts_one_after_the_other():
    both = concatenate([CROWD, EXPERT])
    assert both.a.tolist() == [0, 0, 1, 2, 1, 2]
    assert both.weight.tolist() == [1, 2, 1, 1, 1, 1]


def test_a_composite_weighs_the_mean_log_likelihoods_of_its_parts():
    model = BradleyTerry(jnp.asarray([0.3, -0.1, -0.2]))
    composite = concatenate([CROWD, EXPERT], share=[1.0, 3.0])
    assert composite.weight.sum() == 7
    means = [log_likelihood(model, part) / part.weight.sum() for part in (CROWD, EXPERT)]
    expected = 7 * (means[0] / 4 + 3 * means[1] / 4)
    np.testing.assert_allclose(log_likelihood(model, composite), expected, rtol=1e-6)


def test_rare_pairs_count_as_the_floor():
    data = Comparisons.from_arrays([0, 1, 0, 0], [1, 0, 1, 2], [1.0, 0.0, 1.0, 0.5], count=[3.0, 1.0, 1.0, 1.0])
    np.testing.assert_allclose(inverse_propensity(data, floor=2.0), [3 / 5, 1 / 5, 1 / 5, 1 / 2], rtol=1e-6)


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: concatenate([]), "nothing to put together"),
        (lambda: concatenate([CROWD, Rankings.from_orders([[0, 1]])]), "part 1 has other columns"),
        (lambda: concatenate([CROWD, EXPERT], share=[1.0, 0.0]), "one positive number"),
        (lambda: inverse_propensity(CROWD, floor=0.0), "floor must be above 0"),
    ],
)
def test_what_does_not_fit_is_refused(act, message):
    with pytest.raises(ValueError, match=message):
        act()
