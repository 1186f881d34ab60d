"""Single matches against the packages openskill and trueskill; see `tests/oracles/choice/README.md`."""

import json
import pathlib

import jax.numpy as jnp
import numpy as np
import pytest

from scorax.choice import SkillState, TrueSkill, WengLin
from scorax.data import Matches

ORACLES = pathlib.Path(__file__).parents[2] / "oracles" / "choice"
OPENSKILL = {
    "BradleyTerryFull": "bradley_terry_full",
    "BradleyTerryPart": "bradley_terry_part",
    "ThurstoneMostellerFull": "thurstone_full",
    "ThurstoneMostellerPart": "thurstone_part",
    "PlackettLuce": "plackett_luce",
}


def oracle(name):
    return json.loads((ORACLES / f"{name}.json").read_text())["cases"]


def described(case):
    return "-".join(str(len(team)) for team in case["teams_mu_sigma"])


def posed(case, n_teams=3, n_players=3):
    """State and match of an oracle, padded to one shape, so that all are one program; padding is item 0."""
    sizes = [len(team) for team in case["teams_mu_sigma"]]
    flat = np.array([player for team in case["teams_mu_sigma"] for player in team] + [[np.nan, np.nan]])
    members, where = np.zeros((1, n_teams, n_players), int), np.zeros((1, n_teams, n_players), bool)
    ids = iter(range(len(flat)))
    for team, size in enumerate(sizes):
        members[0, team, :size] = [next(ids) for _ in range(size)]
        where[0, team, :size] = True
    padded = np.concatenate([flat, np.ones((10 - len(flat), 2))])
    rank = np.pad(np.asarray(case["ranks"], float), (0, n_teams - len(sizes)), constant_values=np.nan)
    state = SkillState(*map(jnp.asarray, padded.T))
    return state, Matches.from_arrays(members, rank[None], where=where), len(flat) - 1


def players(teams):
    return np.array([player for team in teams for player in team])


@pytest.mark.parametrize("case", oracle("openskill"), ids=described)
@pytest.mark.parametrize("name", OPENSKILL)
def test_as_openskill(case, name, x64):
    state, match, n = posed(case)
    after, share = WengLin(model=OPENSKILL[name]).trace(match, state)
    # The reference carries twelve digits.
    np.testing.assert_allclose(jnp.stack([after.mu, after.sigma], 1)[:n], players(case[name]), atol=6e-11)
    teams = len(case["ranks"])
    np.testing.assert_allclose(2 / teams * share[0, :teams], case[f"{name}_predict_win"], atol=1e-12)


@pytest.mark.parametrize("case", oracle("trueskill"), ids=described)
def test_as_trueskill(case, x64):
    state, match, n = posed(case)
    system = TrueSkill()
    after = system.rate(match, state)
    # The package's own error function is good to 8e-7.
    np.testing.assert_allclose(jnp.stack([after.mu, after.sigma], 1)[:n], players(case["out"]), atol=1e-6)
    np.testing.assert_allclose(system.quality(state, match)[0], case["quality"], atol=1e-12)
