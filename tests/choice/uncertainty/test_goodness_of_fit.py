import csv
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.choice import BradleyTerry, Davidson
from scorax.choice._uncertainty import (
    aic,
    bic,
    calibration_table,
    free_parameters,
    goodness_of_fit,
    likelihood_ratio_test,
)
from scorax.data import Comparisons, PairCounts, Vocabulary
from scorax.inference import fit

FILES = pathlib.Path(__file__).parents[2] / "data" / "files"


@pytest.fixture(scope="module")
def baseball():
    with jax.enable_x64(True), (FILES / "baseball1987.csv").open(newline="") as file:
        games = list(csv.DictReader(file))
        teams = Vocabulary(tuple(sorted({game["home.team"] for game in games})))
        home, away = (np.array([teams.index(game[side]) for game in games]) for side in ("home.team", "away.team"))
        wins = np.concatenate([[float(game[side]) for game in games] for side in ("home.wins", "away.wins")])
        return Comparisons.from_arrays(
            np.tile(home, 2),
            np.tile(away, 2),
            np.repeat([1.0, 0.0], len(games)),
            weight=wins,
            count=wins,
            order=np.ones(2 * len(games)),
        )


@pytest.fixture(scope="module")
def seasons(baseball):
    with jax.enable_x64(True):
        return [fit(BradleyTerry.init(7, order_effect=home), baseball) for home in (False, True)]


def citations():
    with (FILES / "citations_cited_by_citing.csv").open(newline="") as file:
        _, *table = list(csv.reader(file))
    wins = np.array([line[1:] for line in table], float)
    np.fill_diagonal(wins, 0)
    return PairCounts.from_arrays(wins)


@pytest.mark.slow
def test_deviances_of_baseball(seasons):
    plain, home = (goodness_of_fit(result) for result in seasons)
    np.testing.assert_allclose(plain.deviance, 44.053, atol=5e-4)
    np.testing.assert_allclose(home.deviance, 38.643, atol=5e-4)
    assert (plain.df, home.df) == (36, 35)


def test_home_advantage_of_baseball_is_worth_its_parameter(seasons):
    test = likelihood_ratio_test(*seasons)
    np.testing.assert_allclose(test.statistic, 5.41, atol=5e-3)
    assert test.df == 1
    # Twice the upper tail of a standard normal at the root.
    np.testing.assert_allclose(test.p_value, 2 * jax.scipy.special.ndtr(-jnp.sqrt(test.statistic)), rtol=1e-9)
    assert aic(seasons[1]) < aic(seasons[0])


def test_deviance_of_citations():
    found = goodness_of_fit(fit(BradleyTerry.init(4), citations()))
    np.testing.assert_allclose(found.deviance, 4.2934, atol=5e-5)
    assert found.df == 3
    # The closed form of three degrees of freedom.
    half = float(found.deviance) / 2
    expected = 2 * jax.scipy.special.ndtr(-np.sqrt(2 * half)) + 2 * np.sqrt(half / np.pi) * np.exp(-half)
    np.testing.assert_allclose(found.deviance_p_value, expected, rtol=1e-9)


def test_leverages_add_up_to_the_number_of_free_parameters(result):
    found = goodness_of_fit(result)
    np.testing.assert_allclose(np.nansum(np.triu(found.leverage, 1)), 4, rtol=1e-9)


def test_with_one_degree_of_freedom_all_residuals_are_one():
    # Three items, three pairs: what is left over is one number, whose square is Pearson's statistic.
    found = goodness_of_fit(fit(BradleyTerry.init(3), PairCounts.from_arrays([[0, 9, 4], [3, 0, 8], [7, 5, 0]])))
    assert found.df == 1
    residual = found.residual[np.triu_indices(3, 1)]
    np.testing.assert_allclose(residual**2, found.pearson, rtol=1e-9)
    assert set(found.worst(9)) == {(0, 1), (1, 2), (2, 0)}


def test_residuals_change_sign_with_the_sides(result, battles):
    found = goodness_of_fit(result)
    np.testing.assert_allclose(found.residual, -found.residual.T, rtol=1e-12)
    turned = Comparisons.from_arrays(battles.b, battles.a, 1 - np.asarray(battles.outcome))
    again = goodness_of_fit(fit(BradleyTerry.init(5), turned))
    np.testing.assert_allclose(again.residual, found.residual, rtol=1e-7)
    np.testing.assert_allclose(again.deviance, found.deviance, rtol=1e-9)


def test_rows_and_tables_fit_alike(result):
    rows, table = (goodness_of_fit(found) for found in (result, fit(BradleyTerry.init(5), result.data.table(5))))
    assert rows.df == table.df
    for name in ("deviance", "pearson", "residual", "leverage", "deviance_p_value"):
        np.testing.assert_allclose(getattr(rows, name), getattr(table, name), rtol=1e-7)


def test_who_never_met_has_no_residual():
    chain = PairCounts.from_arrays([[0, 3, 0], [2, 0, 4], [0, 4, 0]])
    found = goodness_of_fit(fit(BradleyTerry.init(3), chain))
    # A chain fits exactly: nothing is left of the pairs that met, and no degree of freedom.
    assert jnp.isnan(found.residual).all()
    assert jnp.isnan(found.leverage[0, 2])
    np.testing.assert_allclose(found.leverage[0, 1], 1, rtol=1e-9)
    assert found.df == 0
    np.testing.assert_allclose(found.deviance, 0, atol=1e-9)
    assert jnp.isnan(found.deviance_p_value)


def test_residuals_of_data_from_the_model_are_standard_normal():
    truth = Davidson(jnp.asarray([0.6, 0.2, 0.0, -0.2, -0.6]), jnp.asarray(0.0))
    a, b = np.triu_indices(5, 1)
    design = Comparisons.from_arrays(np.repeat(a, 40), np.repeat(b, 40), np.ones(400))
    simulate = jax.jit(jax.vmap(lambda key: truth.simulate(design, key=key).table(5).weight))
    weights = np.asarray(simulate(jax.random.split(jax.random.key(0), 60)))
    found = [goodness_of_fit(fit(truth, PairCounts(table, table))) for table in map(jnp.asarray, weights)]
    squares = np.stack([f.residual for f in found])[:, a, b] ** 2
    # 60 sets of ten residuals with six degrees of freedom: a mean square known to 0.07.
    np.testing.assert_allclose(squares.mean(), 1, atol=0.25)
    # Two outcomes free in each of ten pairs, less four strengths and the ties: a mean of 15 known to 0.7.
    assert found[0].df == 15
    np.testing.assert_allclose(np.mean([f.pearson for f in found]), 15, rtol=0.15)


def test_weights_that_are_no_counts_have_no_p_value(battles):
    found = goodness_of_fit(fit(BradleyTerry.init(5), battles.reweight(2 * battles.weight)))
    assert jnp.isnan(found.deviance_p_value)
    assert jnp.isfinite(found.deviance)


def test_rankings_are_no_pairs(ranked):
    with pytest.raises(TypeError, match="PlackettLuce is no model of paired comparisons"):
        goodness_of_fit(ranked)


def test_free_parameters_know_the_gauge():
    assert free_parameters(BradleyTerry.init(5)) == 4
    assert free_parameters(Davidson.init(5, order_effect=True, n_features=2)) == 8


def test_criteria_by_hand(result):
    log_likelihood = float(result.log_likelihood)
    np.testing.assert_allclose(aic(result), 8 - 2 * log_likelihood, rtol=1e-12)
    np.testing.assert_allclose(bic(result), 4 * np.log(60) - 2 * log_likelihood, rtol=1e-12)
    np.testing.assert_allclose(aic(result, n_parameters=10), 20 - 2 * log_likelihood, rtol=1e-12)


def test_comparisons_of_fits_that_make_no_sense_are_refused(seasons, result):
    with pytest.raises(ValueError, match="0 free parameters more"):
        likelihood_ratio_test(seasons[0], seasons[0])
    with pytest.raises(ValueError, match="other data"):
        likelihood_ratio_test(result, seasons[0])
    with pytest.raises(ValueError, match="smaller log-likelihood"):
        likelihood_ratio_test(seasons[1], seasons[0], df=1)


def test_calibration_by_hand(result):
    data, model = result.data, result.model
    found = calibration_table(model, data, n_bins=4)
    strength = np.asarray(model.strength)
    p = 1 / (1 + np.exp(strength[np.asarray(data.b)] - strength[np.asarray(data.a)]))
    won = np.asarray(data.outcome)
    favoured, score = np.maximum(p, 1 - p), np.where(p < 0.5, 1 - won, won)
    for g in range(4):
        inside = (favoured >= 0.5 + g / 8) & (favoured < 0.625 + g / 8)
        assert int(found.count[g]) == int(inside.sum())
        if inside.any():
            np.testing.assert_allclose(found.predicted[g], favoured[inside].mean(), rtol=1e-9)
            np.testing.assert_allclose(found.observed[g], score[inside].mean(), rtol=1e-9)
        else:
            assert jnp.isnan(found.observed[g])
    with pytest.raises(ValueError, match="at least 1"):
        calibration_table(model, data, n_bins=0)
