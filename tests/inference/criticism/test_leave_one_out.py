"""Leave-one-out: against ArviZ, against closed forms, and with rows that stand for several observations."""

import dataclasses
import json
import pathlib

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.choice import BradleyTerry
from scorax.data import Comparisons
from scorax.inference._criticism import _leave_one_out as module
from scorax.inference._criticism import loo
from tests.inference.compilations import compilations
from tests.inference.criticism.posteriors import CONTAINERS, exact_levels, of_case, of_draws
from tests.inference.models import simulated
from tests.inference.toys import normal_posterior, some_measurements

ORACLE = json.loads((pathlib.Path(__file__).parents[2] / "oracles/inference/loo.json").read_text())
DATA = some_measurements(0)
FIELDS = ("pointwise", "kept", "pareto_k")


def oracle_posterior(name, dtype=None):
    strength = jnp.asarray(ORACLE["draws"][name], dtype)
    model = eqx.tree_at(lambda model: model.strength, BradleyTerry.init(4), strength)
    return of_draws(model, {"strength": strength})


def oracle_rows():
    rows = {name: np.asarray(column) for name, column in ORACLE["rows"].items()}
    return Comparisons.from_arrays(**rows)


@pytest.mark.parametrize(("name", "kind"), [("steady", "one"), ("flat", "one"), ("loose", "one"), ("steady", "ess")])
def test_equal_to_arviz_on_expanded_rows(name, kind, x64):
    """ArviZ saw every observation in a row of its own; here equal ones stand in one row."""
    expected, rows = ORACLE["loo"][name][kind], oracle_rows()
    assert rows.count.max() > 1
    result = loo(oracle_posterior(name), rows, relative_efficiency=expected["relative_efficiency"])
    np.testing.assert_allclose(result.pointwise, expected["pointwise"], rtol=1e-12)
    np.testing.assert_allclose(result.pareto_k, expected["pareto_k"], rtol=1e-9)
    for field in ("elpd", "std_error", "p_loo"):
        np.testing.assert_allclose(getattr(result, field), expected[field], rtol=1e-10)
    assert result.num_bad == expected["num_bad"]
    np.testing.assert_allclose(result.k_threshold, expected["good_k"], rtol=1e-12)


def test_single_precision_is_close():
    result, expected = loo(oracle_posterior("steady", jnp.float32), oracle_rows()), ORACLE["loo"]["steady"]["one"]
    np.testing.assert_allclose(result.elpd, expected["elpd"], rtol=1e-5)
    # Weights of 1e-7 relative error: the fitted tail index follows them to some 1e-5.
    np.testing.assert_allclose(result.pareto_k, expected["pareto_k"], atol=1e-3)


@pytest.mark.parametrize(
    "case",  # Comparisons: above.
    [pytest.param(case, marks=pytest.mark.slow if case.name == "DavidsonLuce" else ()) for case in CONTAINERS[1:]],
    ids=str,
)
def test_aggregated_equals_raw(case, x64):
    data = jax.tree.map(lambda leaf: jnp.repeat(leaf, 3, axis=0), simulated(case, "float64"))
    posterior, aggregated = of_case(case, jnp.dtype("float64")), data.aggregate()
    assert aggregated.weight.size < data.weight.size
    # Padded to the size of the raw data, so that nothing is compiled anew.
    whole, rows = loo(posterior, data), loo(posterior, aggregated.pad(data.weight.size))
    for field in ("elpd", "std_error", "p_loo", "num_bad"):
        np.testing.assert_allclose(getattr(rows, field), getattr(whole, field), rtol=1e-10)
    padding = slice(aggregated.weight.size, None)
    assert np.isnan(rows.pointwise[padding]).all()
    assert not rows.bad[padding].any()


def test_normal_measurements_in_closed_form(x64):
    """A value left out is predicted by `Normal(mean without it, 1 + variance without it)`."""
    posterior = exact_levels(DATA, 3, 1.0)
    result = loo(posterior, DATA)
    expected, kept = [], []
    mean, sd = normal_posterior(DATA, 3, 1.0)
    for i, (thing, value) in enumerate(zip(np.asarray(DATA.thing), np.asarray(DATA.value), strict=True)):
        others = DATA.take(np.delete(np.arange(12), i))
        mean_without, sd_without = normal_posterior(others, 3, 1.0)
        expected.append(log_normal(value, mean_without[thing], sd_without[thing]))
        kept.append(log_normal(value, mean[thing], sd[thing]))
    # The largest errors over 50 seeds of 2000 draws: 0.067 (0.030 in the middle) without, 0.029 with the value, and
    # 0.108 for the sum.
    np.testing.assert_allclose(result.pointwise, expected, atol=0.1)
    np.testing.assert_allclose(result.kept, kept, atol=0.05)
    np.testing.assert_allclose(result.p_loo, np.sum(kept) - np.sum(expected), atol=0.15)
    assert result.num_bad == 0


def log_normal(value, mean, sd):
    variance = 1 + sd**2
    return -((value - mean) ** 2) / (2 * variance) - np.log(2 * np.pi * variance) / 2


def test_blocks_of_rows_do_not_matter(monkeypatch, x64):
    posterior, rows = oracle_posterior("steady"), oracle_rows()
    whole = loo(posterior, rows)
    monkeypatch.setattr(module, "_HELD", 5 * 400)  # Five rows at a time, the last block not full.
    assert rows.count.size % 5
    blocked = loo(posterior, rows)
    for field in FIELDS:
        np.testing.assert_allclose(getattr(blocked, field), getattr(whole, field), rtol=1e-12)


def test_a_table_of_pairs_is_its_rows(x64):
    result, expected = loo(oracle_posterior("steady"), oracle_rows().table(4)), ORACLE["loo"]["steady"]["one"]
    for field in ("elpd", "std_error", "p_loo"):
        np.testing.assert_allclose(getattr(result, field), expected[field], rtol=1e-10)


def test_an_observation_leaves_with_the_weight_it_had(x64):
    """Weight 0: the posterior never saw it, so it is predicted as it stands. Weight 2: two of it are taken out."""
    posterior, weight = exact_levels(DATA, 3, 1.0), jnp.ones(12).at[:3].set(jnp.asarray([0.0, 1.0, 2.0]))
    result = loo(posterior, DATA.reweight(weight))
    np.testing.assert_allclose(result.pointwise[0], result.kept[0], rtol=1e-12)
    assert np.isnan(result.pareto_k[0])
    assert not result.bad[0]
    p = np.exp(np.asarray(posterior.map(lambda model: model.log_prob(DATA))).reshape(-1, 12))
    plain = [1 / (1 / p[:, 1]).mean(), (1 / p[:, 2]).sum() / (1 / p[:, 2] ** 2).sum()]
    # What smoothing changes: 0.0022 at most over 50 seeds.
    np.testing.assert_allclose(result.pointwise[1:3], np.log(plain), atol=0.005)


def test_an_outlier_is_named(x64):
    data = dataclasses.replace(DATA, value=DATA.value.at[4].set(12.0))
    posterior = exact_levels(data, 3, 5.0)
    result = loo(posterior, data)
    assert np.flatnonzero(result.bad).tolist() == [4]
    assert "1 of them have a Pareto k above 0.70 (worst: row 4, " in str(result)
    tripled = dataclasses.replace(data, weight=3 * data.weight, count=3 * data.count)
    assert loo(posterior, tripled).num_bad == 3


def test_an_impossible_observation_is_no_number(x64):
    """Under one draw item 0 is infinitely strong."""
    posterior, rows = oracle_posterior("steady"), oracle_rows()
    strength = posterior.model.strength.at[1, 7, 0].set(jnp.inf)
    result = loo(eqx.tree_at(lambda p: p.moving.strength, posterior, strength), rows)
    touched = (rows.a == 0) | (rows.b == 0)
    np.testing.assert_array_equal(np.isnan(result.pointwise), touched)
    np.testing.assert_array_equal(result.bad, touched)
    assert np.isnan(result.elpd)


def test_a_second_call_compiles_nothing(x64):
    first, second = (oracle_posterior(name) for name in ("steady", "flat"))
    rows = oracle_rows()
    loo(first, rows)
    with compilations() as count:
        assert np.isfinite(loo(second, rows).elpd)
    assert count[0] == 0


def test_errors():
    posterior = oracle_posterior("steady", jnp.float32)
    with pytest.raises(ValueError, match="but the model has 4 items"):
        loo(posterior, Comparisons.from_arrays([0], [9], [1.0]))
    with pytest.raises(ValueError, match="relative_efficiency must be positive, not 0"):
        loo(posterior, oracle_rows(), relative_efficiency=0.0)
