"""Diagnostics of chains, against ArviZ and at their edges."""

import json
import pathlib

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from scorax.inference import effective_sample_size, energy_bfmi, mcse_mean, rhat, smooth_weights
from scorax.inference._diagnostics import (
    _beta_quantile,
    _fold,
    _rank_normalise,
    _scale_reduction,
    _split,
    highest_density_interval,
    mcse_quantile,
    mcse_sd,
)

ORACLE = json.loads((pathlib.Path(__file__).parents[1] / "oracles/inference/mcmc_diagnostics.json").read_text())
KINDS = ("bulk", "tail", "mean", "sd", "median")


@jax.jit
def everything(x):
    return {
        **{f"ess_{kind}": effective_sample_size(x, kind=kind) for kind in KINDS},
        "rhat_rank": rhat(x),
        "ess_quantile": effective_sample_size(x, kind="quantile", probability=0.25),
        "mcse_mean": mcse_mean(x),
        "mcse_sd": mcse_sd(x),
        "mcse_median": mcse_quantile(x, 0.5),
    }


@jax.jit
def parts(x):
    halves = _split(x)
    return {
        "rhat_split": _scale_reduction(halves),
        "rhat_folded": _scale_reduction(_rank_normalise(_fold(halves))),
        "rhat_z_scale": _scale_reduction(_rank_normalise(halves)),
        "rhat_identity": _scale_reduction(x),
    }


@pytest.mark.parametrize("case", ORACLE["cases"], ids=lambda case: case["kind"])
def test_equal_to_arviz(case, x64):
    x = jnp.asarray(case["x"])
    for name, value in {**everything(x), **parts(x)}.items():
        np.testing.assert_allclose(value, case[name], rtol=1e-12, err_msg=name)


def test_quantities_are_independent_of_their_neighbours(x64):
    x = jnp.stack([jnp.asarray(case["x"]) for case in ORACLE["cases"]], axis=-1)
    together = everything(jnp.stack([x, x], axis=2))
    for j, case in enumerate(ORACLE["cases"]):
        for name, value in together.items():
            np.testing.assert_allclose(value[:, j], case[name], rtol=1e-12, err_msg=name)


def test_single_precision_is_close():
    for case in ORACLE["cases"]:
        for name, value in everything(jnp.asarray(case["x"], jnp.float32)).items():
            # Rounding of draws to 2^-24 moves normal scores, and sums over 400 of them, by a few 1e-6. (It can move the
            # order statistics that the error of the median is read from by one place: none here.)
            np.testing.assert_allclose(value, case[name], rtol=1e-4, err_msg=name)


def test_shortest_interval_equals_arviz(x64):
    x = jnp.stack([jnp.asarray(case["x"]) for case in ORACLE["cases"]], axis=-1)
    lower, upper = jax.jit(lambda x: highest_density_interval(x, level=0.94))(x)
    expected = np.asarray([case["hdi94"] for case in ORACLE["cases"]])
    np.testing.assert_array_equal(np.stack([lower, upper], axis=1), expected)


@pytest.mark.parametrize("level", [0.01, 0.5, 0.999])
def test_shortest_interval_is_the_shortest(level):
    x = np.random.default_rng(0).gamma(2.0, size=(2, 40)).astype(np.float32)
    lower, upper = highest_density_interval(jnp.asarray(x), level=level)
    held = int(level * 80)
    ordered = np.sort(x.ravel())
    assert ((x >= lower) & (x <= upper)).sum() == held + 1
    widths = [ordered[i + held] - ordered[i] for i in range(80 - held)]
    np.testing.assert_allclose(upper - lower, min(widths), rtol=1e-6)


@pytest.mark.parametrize("probability", [0.1586553, 0.5, 0.99])
def test_quantiles_of_the_beta_distribution(probability, dtype):
    a, b = np.asarray([1.5, 21.0, 1001.0]), np.asarray([1.0, 381.0, 11.0])
    found = jax.vmap(lambda a, b: _beta_quantile(jnp.asarray(probability, dtype), a, b))(
        jnp.asarray(a, dtype), jnp.asarray(b, dtype)
    )
    # Single precision has the incomplete beta function to some 1e-5.
    expected = scipy.stats.beta(a, b).ppf(probability)
    np.testing.assert_allclose(found, expected, rtol=1e-12 if dtype == "float64" else 1e-4)


def test_energy(x64):
    np.testing.assert_allclose(
        jax.jit(energy_bfmi)(jnp.asarray(ORACLE["bfmi"]["energy"])), ORACLE["bfmi"]["bfmi"], rtol=1e-12
    )


def test_smoothed_weights_equal_arviz(x64):
    oracle = ORACLE["psis"]
    smoothed = jax.jit(jax.vmap(smooth_weights))(jnp.asarray(oracle["log_weights"]))
    np.testing.assert_allclose(smoothed.pareto_k, oracle["pareto_k"], rtol=1e-10)
    np.testing.assert_allclose(smoothed.log_weight[:, :5], oracle["smoothed_first5"], rtol=1e-12)
    np.testing.assert_allclose(smoothed.log_weight.max(1), oracle["smoothed_max"], rtol=1e-12)
    np.testing.assert_allclose(jnp.exp(smoothed.log_weight).sum(1), 1.0, rtol=1e-12)


def test_inefficient_draws_have_a_longer_tail(x64):
    """Everything beyond the tail keeps its proportions; a tail of a fifth of all draws is the longest."""
    ratio = jax.random.normal(jax.random.key(0), (1000,))
    order = jnp.argsort(ratio)
    for efficiency, tail in ((0.5, 135), (0.01, 200)):
        log_weight = jax.jit(lambda x, e=efficiency: smooth_weights(x, relative_efficiency=e))(ratio).log_weight
        moved = np.asarray(jnp.abs(jnp.diff((log_weight - ratio)[order])) > 1e-12)
        assert moved.argmax() == 1000 - tail - 1
    with pytest.raises(ValueError, match=r"relative_efficiency must be positive, not -1\.0"):
        smooth_weights(ratio, relative_efficiency=-1.0)


@pytest.mark.parametrize("n", [3, 20, 400])
def test_equal_weights_have_no_tail(n):
    smoothed = jax.jit(smooth_weights)(jnp.full(n, 3.0))
    chex.assert_trees_all_close(smoothed.log_weight, jnp.full(n, -jnp.log(n)), rtol=1e-6)
    assert smoothed.pareto_k == jnp.inf


def test_ratios_of_zero_keep_weight_zero():
    ratio = jax.random.normal(jax.random.key(0), (200,)).at[:50].set(-jnp.inf)
    smoothed = jax.jit(smooth_weights)(ratio)
    assert (smoothed.log_weight[:50] == -jnp.inf).all()
    assert smoothed.pareto_k < 0.7


def test_degenerate_draws_are_never_a_confident_number(dtype):
    draws = jax.random.normal(jax.random.key(1), (4, 100), dtype)
    equal = everything(jnp.ones_like(draws))
    assert all(jnp.isnan(value) for value in equal.values())
    hole = everything(draws.at[2, 5].set(jnp.nan))
    assert all(jnp.isnan(value) for value in hole.values())
    infinite = everything(draws.at[2, 5].set(jnp.inf))
    assert all(jnp.isnan(value) for value in infinite.values())
    assert all(jnp.isnan(end) for end in highest_density_interval(draws.at[2, 5].set(jnp.inf)))
    assert all(end == 1 for end in highest_density_interval(jnp.ones_like(draws)))


def test_chains_that_stand_still_apart(dtype):
    stuck = everything(jnp.broadcast_to(jnp.arange(4, dtype=dtype)[:, None], (4, 100)))
    assert stuck["rhat_rank"] == jnp.inf
    assert stuck["ess_bulk"] < 10
    # Two values at one distance from the median fold onto each other.
    two = everything(jnp.broadcast_to(jnp.asarray([0, 0, 1, 1], dtype)[:, None], (4, 100)))
    assert two["rhat_rank"] == jnp.inf


def test_one_chain_has_an_ess_but_no_rhat():
    one = everything(jax.random.normal(jax.random.key(0), (1, 100)))
    assert jnp.isnan(one["rhat_rank"])
    assert 50 < one["ess_bulk"] < 250


def test_too_few_draws():
    few = everything(jax.random.normal(jax.random.key(1), (2, 7)))
    assert all(jnp.isnan(value) for value in few.values())


@pytest.mark.parametrize("n", [100, 101])
def test_order_of_chains_and_direction_of_time_do_not_matter(n, x64):
    draws = jax.random.normal(jax.random.key(1), (3, n)).cumsum(1)
    chex.assert_trees_all_close(everything(draws), everything(draws[::-1, ::-1]), rtol=1e-9)


def test_bulk_is_invariant_under_monotone_maps(x64):
    draws = jax.random.normal(jax.random.key(1), (3, 100))
    original, mapped = everything(draws), everything(jnp.exp(draws))
    chex.assert_trees_all_close(original["ess_bulk"], mapped["ess_bulk"], rtol=1e-12)
    for kind in ("tail", "median"):  # Interpolated quantiles cut the same draws off.
        chex.assert_trees_all_close(original[f"ess_{kind}"], mapped[f"ess_{kind}"], rtol=0.2)


DRAWS = jnp.zeros((2, 100))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: effective_sample_size(DRAWS, kind="best"), r"kind must be one of .*'quantile'.*, not 'best'"),
        (lambda: effective_sample_size(DRAWS, kind="quantile"), "must be between 0 and 1, not None"),
        (lambda: effective_sample_size(DRAWS, kind="quantile", probability=1.0), "must be between 0 and 1, not 1.0"),
        (lambda: effective_sample_size(DRAWS, probability=0.5), "is for kind='quantile', not for kind='bulk'"),
        (lambda: mcse_quantile(DRAWS, 0.0), "must be between 0 and 1, not 0.0"),
        (lambda: highest_density_interval(DRAWS, level=95.0), "level must be between 0 and 1, not 95.0"),
    ],
)
def test_arguments_out_of_range(call, message):
    with pytest.raises(ValueError, match=message):
        call()
