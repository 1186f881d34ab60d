"""Pathfinder: weighted draws of a normal posterior, and starts for chains."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.inference import HMC, Pathfinder, _pathfinder, sample
from scorax.inference._draws import layout_of
from scorax.inference._pathfinder import draw_pathfinder, pathfinder_start
from scorax.inference._sample import _chain_keys
from tests.inference.compilations import compilations
from tests.inference.kernels.gaussian import CORRELATED, DATA, MODEL, WIDE, prior, problem_and_start, standardised

pytestmark = pytest.mark.engine

PATHS = Pathfinder(num_paths=4, max_steps=30)


def keys(seed, num_chains):
    return _chain_keys(jax.random.key(seed), jnp.arange(num_chains, dtype=jnp.uint32))


def draw(covariance=WIDE, seed=0, num_chains=4, num_samples=500, report=lambda _: None):
    problem, start = problem_and_start(covariance)
    return draw_pathfinder(
        PATHS,
        problem,
        layout_of(problem),
        start,
        key=jax.random.key(seed),
        keys=keys(seed, num_chains),
        num_samples=num_samples,
        report=report,
    ).records


@pytest.mark.parametrize(
    "covariance", [pytest.param(WIDE, id="wide", marks=pytest.mark.slow), pytest.param(CORRELATED, id="correlated")]
)
def test_normal_posterior(covariance):
    records = draw(covariance)
    level, stats = records["sites"]["level"], records["stats"]
    z = standardised(level, covariance).reshape(-1, 3)
    # Draws repeat candidates: they are worth no more than the weights say.
    assert stats["importance_ess"][0, 0] > 500
    error = (1 / stats["importance_ess"][0, 0] + 1 / len(z)) ** 0.5
    np.testing.assert_allclose(z.mean(0), 0, atol=5 * error)
    # The variance of a square or a product of independent normal numbers is 2 or 1.
    np.testing.assert_allclose(z.T @ z / len(z), np.eye(3), atol=5 * 2**0.5 * error)
    assert (stats["pareto_k"] < 0.7).all()
    density = -((z**2).sum(1)) / 2
    reported = stats["log_density"].ravel()
    np.testing.assert_allclose(reported - reported.mean(), density - density.mean(), atol=1e-3)


def test_a_draw_does_not_depend_on_how_many_there_are_and_others_compile_nothing():
    draw()
    with compilations() as count:
        few = draw(num_samples=30)
    assert count[0] == 0
    many = draw(num_samples=70)
    jax.tree.map(lambda x, y: np.testing.assert_array_equal(x, y[:, :30]), few, many)
    with compilations() as count:
        other = draw(CORRELATED, seed=1)
    assert count[0] == 0
    assert not np.array_equal(other["sites"]["level"][:, :70], many["sites"]["level"])


def test_progress():
    seen = []
    draw(num_samples=100, report=seen.append)
    assert [state.phase for state in seen] == ["paths", *["sampling"] * 7, "done"]
    assert seen[-1].done == seen[-1].total == 400


def test_chains_start_where_the_posterior_is():
    """Draws of it, each at its own; NUTS without any warm-up moves on from there."""
    problem, start = problem_and_start(CORRELATED)
    found = pathfinder_start(PATHS, problem, start, key=jax.random.key(0), keys=keys(0, 500))
    z = standardised(found.centre, CORRELATED)
    # Half of them are repeated, at the weights' effective size of more than 500 in 4096.
    np.testing.assert_allclose(z.mean(0), 0, atol=5 * (1 / 500 + 1 / 500) ** 0.5)
    assert not np.asarray(found.spread).any()
    two = pathfinder_start(PATHS, problem, start, key=jax.random.key(0), keys=keys(0, 2))
    np.testing.assert_array_equal(two.centre, found.centre[:2])
    draws = sample(
        MODEL, DATA, key=jax.random.key(0), prior=prior(CORRELATED), initial=PATHS, method=HMC(num_steps=1),
        num_warmup=0, num_samples=1, num_chains=2, progress=False,
    )  # fmt: skip
    # A single leapfrog step of length one, at most: they are still near.
    assert np.abs(standardised(draws.sites["level"][:, 0], CORRELATED)).max() < 10


def test_a_run_that_goes_on_has_started_already(tmp_path, monkeypatch):
    arguments = {"key": jax.random.key(0), "prior": prior(CORRELATED), "method": HMC(num_steps=1), "initial": PATHS}
    few = {"num_warmup": 0, "num_chains": 2, "progress": False, "checkpoint": tmp_path / "run.npz"}
    first = sample(MODEL, DATA, num_samples=1, **arguments, **few)
    monkeypatch.setattr(_pathfinder, "_search", None)
    whole = sample(MODEL, DATA, num_samples=2, **arguments, **few)
    np.testing.assert_array_equal(whole.sites["level"][:, :1], first.sites["level"])


def test_starts_are_for_chains_and_known_by_name():
    arguments = {"key": jax.random.key(0), "prior": prior(WIDE), "progress": False}
    with pytest.raises(ValueError, match=r"initial is for methods that run chains; 'svi'"):
        sample(MODEL, DATA, method="svi", initial="pathfinder", **arguments)
    with pytest.raises(ValueError, match="a Pathfinder or 'pathfinder', not 'mode'"):
        sample(MODEL, DATA, initial="mode", **arguments)


def test_a_poor_fit_is_said(monkeypatch):
    search = _pathfinder._search
    monkeypatch.setattr(_pathfinder, "_search", lambda *of: search(*of)._replace(pareto_k=jnp.asarray(0.75)))
    problem, start = problem_and_start(CORRELATED)
    with pytest.warns(UserWarning, match=r"does not cover the posterior \(Pareto k 0.75, above 0.7\)"):
        pathfinder_start(PATHS, problem, start, key=jax.random.key(0), keys=keys(0, 2))


def test_no_path_is_an_error():
    with pytest.raises(ValueError, match=r"no path came to a finite density.*use 'nuts'"):
        draw(np.nan * WIDE)
