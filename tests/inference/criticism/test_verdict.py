"""The verdict: every check fires on its own trouble, and on nothing else."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from scorax.inference import Posterior
from scorax.inference._criticism import verdict
from tests.inference.criticism.posteriors import of_draws
from tests.inference.toys import Things

SHAPE = (4, 500)


def draws(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=(*SHAPE, *shape))


def posterior(level=None, scale=None, **stats) -> Posterior:
    """Independent draws of two levels and a scale, with all statistics of NUTS, but for what is given."""
    level = draws(2) if level is None else level
    scale = np.exp(draws(seed=1)) if scale is None else scale
    healthy = {
        "accept_prob": jnp.full(SHAPE, 0.85),
        "diverging": jnp.zeros(SHAPE, bool),
        "energy": jnp.asarray(draws(seed=2)),
        "log_density": jnp.asarray(draws(seed=3)),
        "num_steps": jnp.full(SHAPE, 7),
        "step_size": jnp.full(SHAPE, 0.3),
    }
    return of_draws(Things(jnp.asarray(level)), {"scale": jnp.asarray(scale)}, **{**healthy, **stats})


def waves(period):
    """Slow, but with the same mean and spread in every half of every chain."""
    time = np.arange(SHAPE[1])[None, :]
    return np.sin(2 * np.pi * (time / period + np.arange(4)[:, None] / 4))


def antithetic(*, apart):
    """Draws worth several independent ones, in chains whose means are `apart`."""
    noise = np.random.default_rng(5).normal(size=(4, SHAPE[1] + 1))
    return noise[:, 1:] - 0.9 * noise[:, :-1] + apart * np.asarray([-1, 1, -1, 1])[:, None]


LEVEL, SCALE = draws(2), np.exp(draws(seed=1))
HOLE = SCALE.copy()
HOLE[2, 7] = np.nan
STILL = LEVEL.copy()
STILL[3, :, 1] = 0.3

TROUBLES = {
    "improper": (
        {"improper": jnp.zeros(SHAPE, bool).at[:3].set(True)},
        r"no distribution.*\(seen from 3 of 4 chains\).*proper prior",
    ),
    "finite": ({"scale": HOLE}, r"1 of 3 numbers hold NaN or infinity \(worst: scale, in 1 of 2000 draws\)"),
    "constant": ({"scale": np.ones(SHAPE)}, "scale never moves: one value in all draws"),
    "stuck": ({"level": STILL}, r"1 of 4 chains stand still \(chains 3; in level\[1\]\).*initial="),
    "rhat": ({"scale": antithetic(apart=0.2)}, r"disagree on 1 of 3 quantities \(worst: scale, R-hat 1\.0[12].\)"),
    "ess": ({"scale": waves(50)}, r"1 of 3 quantities .* below 400 \(worst: scale, \d+ in the (bulk|tail)\)"),
    "divergences": (
        {"diverging": jnp.zeros(SHAPE, bool).at[1, 3:13].set(True)},
        r"10 divergent transitions \(0.50%\).*target_accept_prob.*non-centred",
    ),
    "tree_depth": (
        {"num_steps": jnp.full(SHAPE, 7).at[0, :100].set(1023)},
        r"5.00% of trajectories were cut short at 1023 steps \(max_tree_depth 10\)",
    ),
    "bfmi": (
        {"energy": jnp.asarray(draws(seed=2)).at[1].set(jnp.cumsum(jnp.asarray(draws(seed=2))[1]))},
        r"E-BFMI below 0.3 in chains 1; least 0\.0",
    ),
    "pareto_k": ({"pareto_k": jnp.full(SHAPE, 0.9)}, r"Pareto k 0.90, above 0.7.*method='nuts'"),
    "importance_ess": ({"importance_ess": jnp.full(SHAPE, 12.0)}, "worth 12 independent ones, fewer than 100"),
    "estimator_variance": (
        {"estimator_variance": jnp.full(SHAPE, 2.5)},
        r"poorly \(variance 2.5, above 1\).*subsample_",
    ),
    "density": (
        {"log_density": jnp.asarray(draws(seed=3)).at[0, :3].set(-jnp.inf)},
        "log density of 3 of 2000 draws is not finite",
    ),
}


def test_independent_draws_are_praised():
    found = verdict(posterior())
    assert found.ok
    assert found.problems == ()
    assert str(found) == "4 chains of 500 draws: no complaints"


@pytest.mark.parametrize("trouble", TROUBLES)
def test_exactly_one_check_fires(trouble):
    change, message = TROUBLES[trouble]
    found = verdict(posterior(**change))
    assert [problem.check for problem in found.problems] == [trouble]
    assert not found.ok
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(str(found))
    assert str(found).splitlines() == ["4 chains of 500 draws: look again", str(found.problems[0])]


def part(chains, n):
    whole = posterior()
    return dataclasses.replace(
        whole,
        moving=Things(whole.moving.level[:chains, :n]),
        sites={"scale": whole.sites["scale"][:chains, :n]},
        stats={name: x[:chains, :n] for name, x in whole.stats.items()},
    )


def test_a_single_chain():
    found = verdict(part(1, 500))
    assert [problem.check for problem in found.problems] == ["chains"]
    assert str(found).startswith("1 chain of 500 draws: look again\nA single chain cannot show")


def test_too_few_draws():
    assert [problem.check for problem in verdict(part(4, 7)).problems] == ["draws"]
    assert [problem.check for problem in verdict(part(4, 1)).problems][-1] == "draws"


def test_missing_statistics_are_not_assumed():
    bare = posterior()
    only = dataclasses.replace(bare, stats={"log_density": bare.stats["log_density"]})
    assert verdict(only).ok


def test_the_depth_that_was_asked_for():
    shallow = posterior(num_steps=jnp.full(SHAPE, 7).at[0, 0].set(31))
    assert verdict(shallow).ok
    assert [problem.check for problem in verdict(shallow, max_tree_depth=5).problems] == ["tree_depth"]
    assert verdict(shallow, max_tree_depth=3).ok  # No trajectory of a tree of depth 3 has 31 steps.


def test_entries_that_are_meant_to_stand_still():
    """A column of zeros in a site that moves is its structure."""
    level = draws(2)
    level[..., 1] = 0
    assert verdict(posterior(level=level)).ok


def test_an_unknown_tail_index_is_a_trouble():
    found = verdict(posterior(pareto_k=jnp.full(SHAPE, jnp.nan), importance_ess=jnp.full(SHAPE, jnp.nan)))
    assert [problem.check for problem in found.problems] == ["pareto_k", "importance_ess"]


def test_all_troubles_are_told_causes_first():
    everything = {}
    for change, _ in TROUBLES.values():
        everything.update(change)
    checks = [problem.check for problem in verdict(posterior(**everything)).problems]
    assert checks[:2] == ["improper", "stuck"]
    assert {"divergences", "tree_depth", "bfmi", "pareto_k", "importance_ess", "density"} < set(checks)


def test_many_names_are_shortened():
    level = draws(2)
    level[1] = 0.5
    text = str(verdict(posterior(level=level, scale=np.where(np.arange(4)[:, None] == 1, 1.0, SCALE))))
    assert "chains 1; in level[0], level[1], scale)" in text
