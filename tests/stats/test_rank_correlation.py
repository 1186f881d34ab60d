import json
import pathlib

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.stats import kendall_tau

ORACLE = json.loads((pathlib.Path(__file__).parents[1] / "oracles/stats/kendall_tau.json").read_text())
tau = jax.jit(kendall_tau, static_argnames="variant")


@pytest.mark.parametrize("variant", ["b", "c"])
@pytest.mark.parametrize("case", range(len(ORACLE["cases"])))
def test_agrees_with_scipy(dtype, case, variant):
    oracle = ORACLE["cases"][case]
    value = tau(jnp.asarray(oracle["x"], dtype), jnp.asarray(oracle["y"], dtype), variant=variant)
    # Sums of signs are exact; a division and a root round. The oracle has 12 digits.
    chex.assert_trees_all_close(value, jnp.asarray(oracle[variant], dtype), rtol=max(1e-11, 4 * jnp.finfo(dtype).eps))


@pytest.mark.parametrize("variant", ["a", "b", "c"])
def test_an_increasing_map_changes_nothing_and_a_decreasing_one_the_sign(dtype, variant):
    x, y = jax.random.normal(jax.random.key(0), (2, 12), dtype).round(1)
    value = tau(x, y, variant=variant)
    chex.assert_trees_all_equal(tau(x**3, jnp.exp(y), variant=variant), value)
    chex.assert_trees_all_equal(tau(-x, y, variant=variant), -value)
    chex.assert_trees_all_equal(tau(y, x, variant=variant), value)


def test_variants_agree_without_ties(dtype):
    x, y = jax.random.normal(jax.random.key(1), (2, 12), dtype)
    values = jnp.stack([tau(x, y, variant=variant) for variant in ("a", "b", "c")])
    chex.assert_trees_all_close(values, jnp.full(3, values[0]), rtol=4 * float(jnp.finfo(dtype).eps))


@pytest.mark.parametrize("variant", ["a", "b", "c"])
def test_masked_entries_take_no_part(dtype, variant):
    x, y = jax.random.normal(jax.random.key(2), (2, 8), dtype).round(1)
    padded = [jnp.concatenate([v, jnp.asarray([jnp.nan, 1e30, 0.0, -1.0], dtype)]) for v in (x, y)]
    value = tau(*padded, where=jnp.arange(12) < 8, variant=variant)
    chex.assert_trees_all_equal(value, tau(x, y, variant=variant))


def test_batched_equals_looped(dtype):
    x, y = jax.random.normal(jax.random.key(3), (2, 3, 8), dtype)
    chex.assert_trees_all_equal(tau(x, y), jnp.stack([tau(a, b) for a, b in zip(x, y, strict=True)]))


def test_a_constant_has_no_correlation(dtype):
    x = jnp.arange(5, dtype=dtype)
    for variant in ("b", "c"):
        assert jnp.isnan(tau(x, jnp.ones_like(x), variant=variant))
    assert tau(x, jnp.ones_like(x), variant="a") == 0


def test_nan_gives_nan(dtype):
    x = jnp.asarray([1.0, jnp.nan, 3.0], dtype)
    assert all(np.isnan(tau(x, jnp.arange(3, dtype=dtype), variant=variant)) for variant in ("a", "b", "c"))


def test_unknown_variant():
    with pytest.raises(ValueError, match="variant must be"):
        kendall_tau(jnp.ones(2), jnp.ones(2), variant="d")
