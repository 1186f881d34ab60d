"""Comparison of models: against ArviZ, and weights that no others beat."""

import json
import pathlib

import jax.numpy as jnp
import numpy as np
import pytest

from scorax.inference._criticism import LeaveOneOut, compare, stacking_weights

ORACLE = json.loads((pathlib.Path(__file__).parents[2] / "oracles/inference/loo.json").read_text())


def result(pointwise, count=None, *, k=0.1, num_draws=2000, fingerprint="rows") -> LeaveOneOut:
    pointwise = np.asarray(pointwise)
    count = np.ones(pointwise.size) if count is None else np.asarray(count)
    k = np.broadcast_to(k, pointwise.shape)
    return LeaveOneOut(*map(jnp.asarray, (pointwise, pointwise + 0.1, k, count)), num_draws, fingerprint)


def oracle_results() -> dict[str, LeaveOneOut]:
    return {
        name: result(kinds["one"]["pointwise"], ORACLE["rows"]["count"], k=kinds["one"]["pareto_k"], num_draws=400)
        for name, kinds in ORACLE["loo"].items()
    }


def densities(n=60, k=4, seed=0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, k))


def test_equal_to_arviz(x64):
    comparison = compare(oracle_results())
    assert [row.name for row in comparison] == ["flat", "steady", "loose"]
    for name, expected in ORACLE["compare"].items():
        np.testing.assert_allclose(comparison[name].difference, expected["difference"], rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(comparison[name].std_error, expected["std_error"], rtol=1e-10, atol=1e-12)
        # ArviZ stops its search at a change of 1e-6 in the score, which is flat near its maximum.
        np.testing.assert_allclose(comparison[name].weight, expected["weight"], atol=2e-3)


@pytest.mark.parametrize("seed", range(5))
def test_no_mixture_predicts_better(seed):
    """The score is concave: where its slope towards every single model is at most 0, it is at its maximum."""
    log_density, count = densities(seed=seed), np.random.default_rng(seed).integers(0, 5, 60)
    weight = stacking_weights(log_density, count)
    np.testing.assert_allclose(weight.sum(), 1, rtol=1e-12)
    assert (weight >= 0).all()
    p = np.exp(log_density)
    slope = (count / count.sum()) @ (p / (p @ weight)[:, None])
    np.testing.assert_allclose(slope.max(), 1, atol=1e-8)


def test_weights_in_closed_form():
    """Two models of a coin: the mixture's probability of heads is the share of heads, 3 of 4, where that is between."""
    heads, tails = np.log([0.9, 0.5]), np.log([0.1, 0.5])
    np.testing.assert_allclose(
        stacking_weights(np.stack([heads, tails]), np.asarray([3, 1])), [0.625, 0.375], atol=1e-6
    )
    np.testing.assert_allclose(stacking_weights(np.stack([heads, tails]), np.asarray([1, 2])), [0, 1], atol=1e-6)


def test_counts_are_repetitions():
    log_density, count = densities(20), np.random.default_rng(1).integers(1, 4, 20)
    repeated = stacking_weights(np.repeat(log_density, count, axis=0))
    np.testing.assert_allclose(stacking_weights(log_density, count), repeated, atol=1e-6)


def test_scores_far_apart_do_not_overflow():
    log_density = densities(50, 3) + np.asarray([0, -400, -900])
    np.testing.assert_allclose(stacking_weights(log_density), [1, 0, 0], atol=1e-6)


def test_models_that_predict_alike_share():
    one = densities(30, 2)
    doubled = stacking_weights(np.concatenate([one, one[:, :1]], axis=1))
    np.testing.assert_allclose(doubled[0] + doubled[2], stacking_weights(one)[0], atol=1e-5)


@pytest.mark.parametrize("bad", [np.full((3, 2), -np.inf), np.zeros((0, 2))])
def test_weights_of_nothing(bad):
    with pytest.raises(ValueError, match="a finite log density of at least one observation"):
        stacking_weights(bad)


def test_common_noise_drops_out():
    """All observations better by 0.1: the difference has no error, whatever the spread of observations."""
    noise = densities(200, 1)[:, 0]
    row = compare({"a": result(noise), "b": result(noise - 0.1)})["b"]
    np.testing.assert_allclose([row.difference, row.std_error], [-20, 0], atol=1e-4)


def test_it_warns_of_what_cannot_be_known():
    noise = densities(200, 1)[:, 0]
    text = str(compare({"good": result(noise), "bad": result(noise - 0.1, k=0.9)}))
    assert text.splitlines()[1].split()[0] == "good"
    assert text.splitlines()[-1] == "Not to be trusted, for observations with a large Pareto k: bad (200)."
    small = compare({"good": result(noise[:50]), "bad": result(noise[:50] - 0.01)})
    assert "A difference below 4 is small" in small.notes[0]
    assert "With 50 observations the errors are too small" in small.notes[1]
    assert compare({"good": result(noise), "bad": result(noise - 0.1)}).notes == ()


def test_impossible_observations():
    noise = densities(200, 1)[:, 0]
    comparison = compare({"sure": result(np.where(noise > 2, -np.inf, noise)), "unsure": result(noise)})
    assert comparison.rows[0].name == "unsure"
    assert comparison["sure"].elpd == -np.inf
    assert np.isnan(comparison["unsure"].weight)
    assert "held an observation to be impossible" in comparison.notes[0]


def test_columns():
    columns = compare(oracle_results()).to_dict()
    assert columns["name"] == ["flat", "steady", "loose"]
    assert columns["num_bad"][2] == ORACLE["loo"]["loose"]["one"]["num_bad"]
    with pytest.raises(KeyError):
        compare(oracle_results())["other"]


def test_different_data_are_refused():
    values = densities(20, 1)[:, 0]
    with pytest.raises(ValueError, match=r"'a' and 'b' come from different data \(20 rows of 20 .* 19 rows of 19 "):
        compare({"a": result(values + 9), "b": result(values[:19], fingerprint="others")})
    with pytest.raises(ValueError, match="at least two models, not 1"):
        compare({"a": result(values)})
