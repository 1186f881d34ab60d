import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

from scorax.inference._blocks import Population, Weighted
from scorax.inference.validity import measure_test


class Importance(eqx.Module):
    """Weighted draws that mean `e^3` times a standard normal, from a proposal twice as wide."""

    exponent: Array = eqx.field(default_factory=lambda: jnp.array(1.0))
    dead: Array = eqx.field(default_factory=lambda: jnp.array(0))

    def __call__(self, key):
        x = 2 * jax.random.normal(key, (20,))
        log_weight = 3 + self.exponent * (jnp.log(2.0) - 3 * x**2 / 8)
        dead = jnp.arange(20) < self.dead
        total = jnp.log(20.0 - self.dead)
        return Population(jnp.where(dead, jnp.nan, x), jnp.where(dead, -jnp.inf, log_weight - total))


def moments(x):
    return {"mean": x, "square": x**2}


def check(run, expected=(0.0, 1.0), **options):
    options = {"log_evidence": 3.0, "key": jax.random.key(0), **options}
    return measure_test(run, moments, {"mean": expected[0], "square": expected[1]}, **options)


@pytest.mark.slow
def test_right_weights_pass_and_wrong_ones_do_not():
    result = check(Importance())
    assert result.p_value > 0.01
    assert result.details["names"] == ("mean", "square", "mass")
    assert check(Importance(jnp.array(0.9))).p_value < 1e-6
    assert check(Importance(), log_evidence=3.1).p_value < 0.01
    assert check(Importance(), expected=(0.0, 1.2)).p_value < 1e-6


def test_particles_of_weight_zero_may_hold_anything():
    assert check(Importance(dead=jnp.array(5))).p_value > 0.01


def test_exact_values_pass_and_wrong_ones_do_not():
    def exact(key):
        return Weighted(jnp.array(-1.0), jnp.array(3.0))

    assert check(exact, expected=(-1.0, 1.0)).p_value == 1.0
    assert check(exact, expected=(-1.1, 1.0)).p_value == 0.0


def test_weights_that_vary_too_much_get_no_verdict():
    result = check(Importance(jnp.array(-3.0)))
    assert np.isnan(result.p_value)
    assert "use more particles" in result.details["reason"]


def test_errors_say_what_is_wrong():
    with pytest.raises(ValueError, match="functions give 2 numbers, expected holds 1"):
        measure_test(Importance(), moments, [0.0], key=jax.random.key(0))
    with pytest.raises(ValueError, match="n must be at least 30, not 3"):
        check(Importance(), n=3)
