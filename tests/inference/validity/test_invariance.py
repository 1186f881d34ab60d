"""Kernels from their stationary law: the right ones pass, and every planted bug is found."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

from scorax.inference.validity import Joint, check_frozen, check_invariance
from scorax.inference.validity._quantities import Coordinates, standard_quantities
from tests.inference.compilations import compilations
from tests.inference.validity.kernels import LATENT, NO, PMMH, RIGHT, WRONG, YES, Begin, theta_of

NORMAL = Joint(prior=jax.random.normal)


# Sizes are the defaults, at which every bug has a p-value below 1e-11 for all of thirty seeds.


@pytest.mark.parametrize("name", RIGHT)
def test_right_kernels_pass(name):
    kernel, joint, options = RIGHT[name]
    result = check_invariance(kernel, joint, key=jax.random.key(0), **options)
    assert result.p_value > 0.01
    assert 0.3 < result.details["moved"] < 0.95


@pytest.mark.parametrize("name", WRONG)
def test_planted_bugs_are_found(name):
    kernel, joint, options = WRONG[name]
    assert check_invariance(kernel, joint, key=jax.random.key(0), **options).p_value < 1e-6


def test_means_alone_do_not_see_an_estimate_made_anew():
    kernel, joint, options = WRONG["makes the estimate anew"]
    result = check_invariance(kernel, joint, key=jax.random.key(0), **options)
    p_values = dict(zip(result.details["names"], result.details["p_values"], strict=True))
    assert p_values["theta"] > 0.01
    assert p_values["theta²"] < 1e-6


def test_what_a_kernel_remembers_must_be_stationary_too():
    # A fresh estimate is found in 28 of 30 seeds at the default sizes; this is one of them.
    result = check_invariance(PMMH(YES), LATENT, init=Begin(NO), position=theta_of, key=jax.random.key(0))
    assert result.p_value < 1e-3


class Broken(eqx.Module):
    """Metropolis for a standard normal that stands still at `width` 0, and leaves the numbers where it is infinite."""

    width: Array

    def __call__(self, data):
        return self.step

    def step(self, key, x):
        key_step, key_accept = jax.random.split(key)
        new = x + self.width * jax.random.normal(key_step)
        accepted = jnp.log(jax.random.uniform(key_accept)) < (x**2 - new**2) / 2
        return jnp.where(accepted | jnp.isinf(new), new, x)


SMALL = {"key": jax.random.key(0), "n": 90, "batch_size": 30}


@pytest.mark.parametrize(
    ("width", "reason"), [(0.0, "the kernel never moved"), (jnp.inf, "90 of 90 rows are not finite")]
)
def test_no_verdict_comes_with_a_reason(width, reason):
    result = check_invariance(Broken(jnp.array(width)), NORMAL, **SMALL)
    assert np.isnan(result.p_value)
    assert reason in result.details["reason"]


def test_batches_decide_nothing_and_other_keys_compile_nothing():
    few, many = (check_invariance(Broken(jnp.array(2.0)), NORMAL, **{**SMALL, "batch_size": b}) for b in (30, 90))
    np.testing.assert_allclose(few.details["estimates"], many.details["estimates"], rtol=1e-5)
    with compilations() as count:
        other = check_invariance(Broken(jnp.array(1.0)), NORMAL, **{**SMALL, "key": jax.random.key(1)})
    assert count[0] == 0
    assert 0.5 < other.details["moved"] < 0.9


def test_standard_quantities():
    joint = Joint(
        prior=lambda key: {"x": jax.random.normal(key, (2,)), "n": jnp.array(3)},
        log_likelihood=lambda theta, data: (theta["x"] * data).sum() + theta["n"],
    )

    @jax.jit
    def found():
        quantities = standard_quantities(joint, jax.random.key(0), cross=True)
        return quantities({"x": jnp.array([2.0, 5.0]), "n": jnp.array(3)}, jnp.array([10.0, 100.0]))

    # The derivative of the log-likelihood is the data.
    expected = {"n": 3, "n²": 9, "n · score": 0, "x[0]": 2, "x[1]": 5, "x[0]²": 4, "x[1]²": 25, "x[0] · score": 20}
    expected |= {"x[1] · score": 500, "n · x[0]": 6, "n · x[1]": 15, "x[0] · x[1]": 10, "log-likelihood": 523}
    assert {name: float(value) for name, value in found().items()} == expected


def test_many_parameters_are_looked_at_through_projections():
    coordinates = Coordinates.of({"x": jnp.zeros((3, 3)), "n": jnp.array(1)}, jax.random.key(0))
    assert coordinates.names == tuple(f"projection {i}" for i in range(8))
    directions = np.asarray(coordinates.directions)
    assert directions.shape == (8, 10)
    found = coordinates({"x": jnp.eye(3), "n": jnp.array(2)})
    np.testing.assert_allclose(found, directions @ [2, 1, 0, 0, 0, 1, 0, 0, 0, 1], rtol=1e-5)


class Adapting(eqx.Module):
    """A random walk whose step size follows its acceptance, with a gain that should be zero after warm-up."""

    gain: jax.Array

    def __call__(self, key, state):
        x, log_step = state
        key_step, key_accept = jax.random.split(key)
        new = x + jnp.exp(log_step) * jax.random.normal(key_step)
        accepted = jnp.log(jax.random.uniform(key_accept)) < (x**2 - new**2) / 2
        return jnp.where(accepted, new, x), log_step + self.gain * jnp.where(accepted, 0.6, -0.4)


def test_adaptation_must_stand_still():
    start = (jnp.zeros(()), jnp.zeros(()))
    frozen, moving = (
        check_frozen(Adapting(jnp.array(gain)), start, lambda state: {"log step": state[1]}, key=jax.random.key(0))
        for gain in (0.0, 0.1)
    )
    assert (frozen.p_value, frozen.statistic) == (1.0, 0.0)
    assert (moving.p_value, moving.statistic) == (0.0, 1.0)
    assert moving.details["names"] == ("log step",)
    assert moving.details["statistics"] == [8]


def test_nan_that_stays_is_no_change():
    start = (jnp.zeros(()), jnp.array(jnp.nan))
    assert check_frozen(lambda key, s: s, start, lambda s: s, key=jax.random.key(0)).p_value == 1.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 10}, "n must be at least 30, not 10"),
        ({"steps": 0}, "steps must be at least 1, not 0"),
        ({"batch_size": 0}, "batch_size must be at least 1, not 0"),
    ],
)
def test_errors_say_what_is_wrong(options, message):
    with pytest.raises(ValueError, match=message):
        check_invariance(Broken(jnp.array(2.0)), NORMAL, key=jax.random.key(0), **options)


def test_adaptation_that_is_nothing_is_an_error():
    with pytest.raises(ValueError, match="adaptation gives no array"):
        check_frozen(lambda key, s: s, jnp.zeros(()), lambda state: None, key=jax.random.key(0))
