"""Numbers that papers and packages print for classic data, and the shipped battles."""

import csv
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.choice import BradleyTerry, Davidson, DavidsonLuce, PlackettLuce, RaoKupper, Structured
from scorax.data import Comparisons, PairCounts, Rankings, Vocabulary, WithItemFeatures
from scorax.data.datasets import load_llmfao
from scorax.inference import fit, log_likelihood

FILES = pathlib.Path(__file__).parents[1] / "data" / "files"


def rows(name):
    with (FILES / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def published(name):
    folder = pathlib.Path(__file__).parents[1] / "oracles" / "choice"
    return json.loads((folder / "published_plackett_luce.json").read_text())[name]


@pytest.fixture(autouse=True)
def double(x64):
    """Published figures have five digits; the tests ask for all of them."""


def test_citations_of_stigler():
    with (FILES / "citations_cited_by_citing.csv").open(newline="") as file:
        _, *table = list(csv.reader(file))
    wins = np.array([line[1:] for line in table], float)
    np.fill_diagonal(wins, 0)
    result = fit(BradleyTerry.init(4), PairCounts.from_arrays(wins))
    estimate = result.map(lambda model: model.strength[1:] - model.strength[0])
    np.testing.assert_allclose(estimate.value, [-2.94907, -0.47957, 0.26895], atol=5e-6)
    np.testing.assert_allclose(estimate.std_error, [0.10255, 0.06059, 0.07083], atol=5e-6)


@pytest.mark.parametrize(
    ("at_home", "strengths"),
    [
        (False, [1.1077, 0.6839, 1.4364, 1.5814, 1.2476, 1.2945]),
        (True, [1.1438, 0.7047, 1.4754, 1.6196, 1.2813, 1.3271]),
    ],
)
def test_baseball_of_agresti(at_home, strengths):
    games = rows("baseball1987")
    teams = Vocabulary(tuple(sorted({game["home.team"] for game in games})))
    home, away = (np.array([teams.index(game[side]) for game in games]) for side in ("home.team", "away.team"))
    won, lost = (np.array([float(game[column]) for game in games]) for column in ("home.wins", "away.wins"))
    data = Comparisons.from_arrays(
        np.tile(home, 2),
        np.tile(away, 2),
        np.repeat([1.0, 0.0], len(games)),
        weight=np.concatenate([won, lost]),
        count=np.concatenate([won, lost]),
        order=np.ones(2 * len(games)) if at_home else None,
    )
    result = fit(BradleyTerry.init(len(teams), order_effect=at_home), data)
    baltimore = teams.index("Baltimore")
    relative = result.model.strength - result.model.strength[baltimore]
    np.testing.assert_allclose(np.delete(relative, baltimore), strengths, atol=5e-5)
    if at_home:
        np.testing.assert_allclose(result.model.order_effect, 0.3023, atol=5e-5)
        np.testing.assert_allclose(result.std_error.order_effect, 0.1309, atol=5e-5)


@pytest.fixture
def pudding():
    wins, ties = np.zeros((6, 6)), np.zeros((6, 6))
    for row in rows("pudding"):
        i, j = int(row["i"]) - 1, int(row["j"]) - 1
        wins[i, j], wins[j, i], ties[i, j] = (float(row[name]) for name in ("w_ij", "w_ji", "t_ij"))
    return PairCounts.from_arrays(wins, ties)


def test_pudding_of_davidson(pudding):
    result = fit(Davidson.init(6), pudding)
    worth = jnp.exp(result.model.strength)
    np.testing.assert_allclose(worth / worth.sum(), [0.1388, 0.1730, 0.1617, 0.1654, 0.1587, 0.2024], atol=5e-5)
    np.testing.assert_allclose(jnp.exp(result.model.log_tie), 0.7468, atol=5e-5)
    np.testing.assert_allclose(result.log_likelihood, -809.7095, atol=5e-5)


@pytest.mark.slow
def test_pudding_under_rao_and_kupper(pudding):
    result = fit(RaoKupper.init(6), pudding)
    np.testing.assert_allclose(result.model.margin, 0.5587, atol=5e-5)
    np.testing.assert_allclose(result.log_likelihood, -809.6971, atol=5e-5)


@pytest.mark.slow
def test_football_with_ties_and_home_advantage():
    games = rows("football_epl_2008_2013")
    teams = Vocabulary(tuple(sorted({game["home"] for game in games})))
    home, away = (np.array([teams.index(game[side]) for game in games]) for side in ("home", "away"))
    outcome = (np.array([float(game["result"]) for game in games]) + 1) / 2
    data = Comparisons.from_arrays(home, away, outcome, order=np.ones(len(games)))
    davidson = fit(Davidson.init(len(teams), order_effect=True), data)
    np.testing.assert_allclose(davidson.model.order_effect, 0.6684, atol=5e-5)
    np.testing.assert_allclose(davidson.model.log_tie, -0.1268, atol=5e-5)
    np.testing.assert_allclose(davidson.log_likelihood, -1826.922, atol=5e-4)
    rao_kupper = fit(RaoKupper.init(len(teams), order_effect=True), data)
    np.testing.assert_allclose(rao_kupper.model.order_effect, 0.5036, atol=5e-5)
    np.testing.assert_allclose(jnp.log(rao_kupper.model.margin), -0.3980, atol=5e-5)
    np.testing.assert_allclose(rao_kupper.log_likelihood, -1821.45, atol=5e-3)


@pytest.mark.slow
def test_nascar_of_hunter():
    # Drivers 84 to 87 finished last in each race that they ran, so they have no finite strength.
    races = [[int(driver) - 1 for driver in race.values() if driver] for race in rows("nascar2002_orderings")]
    data = Rankings.from_orders([[driver for driver in race if driver < 83] for race in races], n_items=83)
    result = fit(PlackettLuce.init(83), data)
    np.testing.assert_allclose(result.log_likelihood, -4191.0973, atol=5e-5)
    # P Jones, S Pruett and M Martin relative to driver 1.
    relative = result.model.strength - result.model.strength[0]
    assert {4.1477, 3.6162, 2.0763} <= {round(float(value), 4) for value in relative}


@pytest.mark.slow
def test_fruit_of_turner_and_others():
    # Ties of two, and half a win and half a loss of every item against one more, which is not reported.
    reference = published("fruit")
    rankings = Rankings.from_rank_matrix(np.pad(reference["ranks"], ((0, 0), (0, 1))))
    pseudo = Rankings.from_orders([order for i in range(3) for order in ([i, 3], [3, i])], n_items=4)
    width = rankings.order.shape[1] - 2
    longer = Rankings.from_arrays(
        np.pad(pseudo.order, ((0, 0), (0, width))),
        where=np.pad(pseudo.where, ((0, 0), (0, width))),
        tie_level=np.tile(np.arange(width + 2), (6, 1)),
        weight=np.full(6, reference["npseudo"]),
    )
    data = jax.tree.map(lambda x, y: jnp.concatenate([x, y]), rankings, longer)
    model = fit(DavidsonLuce.init(4), data).model
    at = jnp.append(model.strength[1:3] - model.strength[0], model.log_tie)
    np.testing.assert_allclose(at, [*reference["coef"][1:], reference["log_tie2"]], atol=5e-7)

    # The printed deviance and standard errors are those of the rankings alone.
    def total(at):
        strength = jnp.concatenate([jnp.zeros(1), at[:2], jnp.zeros(1)])
        return log_likelihood(DavidsonLuce(strength, at[2:], (2,)), rankings)

    np.testing.assert_allclose(-2 * total(at), reference["deviance"], atol=5e-3)
    errors = jnp.sqrt(jnp.diagonal(jnp.linalg.inv(-jax.jit(jax.hessian(total))(at))))
    np.testing.assert_allclose(errors, reference["se"][1:], atol=5e-5)


def test_salad_with_what_is_in_it():
    reference = published("salad")
    ranks = np.array([[float(value) for value in row.values()] for row in rows("salad")])
    features = np.stack(list(reference["features"].values()), axis=1)
    data = WithItemFeatures.from_arrays(Rankings.from_rank_matrix(ranks), features)
    result = fit(Structured.init(PlackettLuce.init(4), 2), data)
    # The printed coefficients come from alternating directions, stopped 3e-4 before the maximum.
    np.testing.assert_allclose(result.model.coefficient, reference["coef"][1:], atol=3e-4)
    np.testing.assert_allclose(result.std_error.coefficient, reference["se"][1:], atol=5e-5)
    np.testing.assert_allclose(-2 * result.log_likelihood, reference["deviance"], atol=0.05)
    # The intercept that makes the worths sum to one.
    intercept = -jax.nn.logsumexp(jnp.asarray(features) @ result.model.coefficient)
    np.testing.assert_allclose(intercept, reference["coef"][0], atol=4e-4)


def test_shipped_battles():
    battles, models = load_llmfao()
    best = ["GPT 4", "Platypus-2 Instruct (70B)", "command"]
    ids = np.array([models.index(name) for name in best])
    half = fit(BradleyTerry.init(len(models)), battles).model
    np.testing.assert_allclose(half.strength[ids], [0.9909, 0.6473, 0.6342], atol=5e-5)
    ties = fit(Davidson.init(len(models)), battles).model
    np.testing.assert_allclose(ties.strength[ids], [1.7516, 1.1361, 1.1129], atol=5e-5)
    np.testing.assert_allclose(jnp.exp(ties.log_tie) / 2, 0.73985, atol=5e-6)
