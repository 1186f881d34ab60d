import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.choice import BradleyTerry, Davidson, PlackettLuce, TeamRanking, team_strength
from scorax.data import Comparisons, Matches, Rankings
from scorax.inference import fit

STRENGTH = [0.5, -0.2, 1.1, -1.4]


@pytest.mark.slow
def test_players_alone_are_bradley_terry_and_davidson(x64):
    strength = jnp.asarray(STRENGTH)
    battles = Comparisons.from_arrays([0, 1, 2, 3], [1, 2, 3, 0], [1.0, 0.0, 0.5, 0.5])
    games = Matches.from_comparisons(battles)
    drawn = TeamRanking(strength, jnp.asarray([0.3]), (2,))
    expected = Davidson(strength, jnp.asarray(0.3)).log_prob(battles)
    np.testing.assert_allclose(drawn.log_prob(games), expected, rtol=1e-13)
    decided = battles.take(np.array([0, 1]))
    plain = BradleyTerry(strength).log_prob(decided)
    never = TeamRanking(strength)
    np.testing.assert_allclose(never.log_prob(Matches.from_comparisons(decided)), plain, rtol=1e-13)


@pytest.mark.slow
def test_several_players_are_plackett_luce(x64):
    strength = jnp.asarray(STRENGTH)
    games = Matches.from_arrays([[0, 1, 2], [3, 2, 1]], [[3, 1, 2], [1, 2, 3]])
    rankings = Rankings.from_arrays([[1, 2, 0], [3, 2, 1]])
    expected = PlackettLuce(strength).log_prob(rankings)
    np.testing.assert_allclose(TeamRanking(strength).log_prob(games), expected, rtol=1e-13)


@pytest.mark.parametrize("pooling", ["sum", "worth"])
def test_a_team_is_worth_what_its_members_are(pooling, dtype):
    members = jnp.asarray([0.5, -0.2, jnp.nan], dtype)
    where = jnp.arange(3) < 2
    value, gradient = jax.jit(jax.value_and_grad(lambda s: team_strength(s, where=where, pooling=pooling)))(members)
    expected = members[:2].sum() if pooling == "sum" else jnp.log(jnp.exp(members[:2]).sum())
    np.testing.assert_allclose(value, expected, rtol=8 * float(jnp.finfo(dtype).eps))
    assert gradient[2] == 0


@pytest.mark.parametrize(
    ("orders", "pooling"),
    [
        pytest.param((), "sum", marks=pytest.mark.slow),
        pytest.param((), "worth", marks=pytest.mark.slow),
        pytest.param((2, 3), "sum", marks=pytest.mark.slow),
    ],
)
def test_strengths_of_players_come_back_from_games_of_teams(orders, pooling, x64):
    generator = np.random.default_rng(0)
    truth = TeamRanking(
        jnp.asarray([0.9, 0.3, 0.0, -0.2, -0.4, -0.6]), jnp.asarray([-0.5, -1.0])[: len(orders)], orders, pooling
    )
    members = np.stack([generator.permutation(6) for _ in range(1500)]).reshape(1500, 3, 2)
    design = Matches.from_arrays(members, np.tile([1, 2, 3], (1500, 1)))
    games = jax.jit(lambda key: truth.simulate(design, key=key))(jax.random.key(0))
    assert (games.rank >= 1).all()
    result = fit(TeamRanking.init(6, orders=orders, pooling=pooling), games)
    error = result.std_error
    assert (abs(result.model.strength - truth.strength) < 4 * error.strength).all()
    if orders:
        assert (abs(result.model.log_tie - truth.log_tie) < 4 * error.log_tie).all()


@pytest.mark.slow
def test_absent_teams_change_nothing(x64):
    games = Matches.from_lists([[[0, 1], [2]], [[3], [0], [1, 2]]])
    alone = Matches.from_lists([[[0, 1], [2]]])
    model = TeamRanking(jnp.asarray(STRENGTH))
    np.testing.assert_allclose(model.log_prob(games)[:1], model.log_prob(alone), rtol=1e-13)


def test_draws_need_a_parameter():
    games = Matches.from_lists([[[0], [1], [2]]], ranks=[[1, 1, 2]])
    with pytest.raises(ValueError, match="a draw of a number of teams other than none in 1 row"):
        fit(TeamRanking.init(3), games)
    with pytest.raises(ValueError, match="a player id is 2 or more"):
        fit(TeamRanking.init(2, orders=(2,)), games)
    with pytest.raises(ValueError, match="pooling must be"):
        TeamRanking.init(2, pooling="max")
