"""Pathfinder: weighted draws of a normal posterior, and starts for chains."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.inference._draws import layout_of
from scorax.inference._pathfinder import Pathfinder, draw_pathfinder
from scorax.inference._sample import _chain_keys
from tests.inference.compilations import compilations
from tests.inference.kernels.gaussian import CORRELATED, WIDE, problem_and_start, standardised

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


@pytest.mark.parametrize("covariance", [WIDE, CORRELATED], ids=["wide", "correlated"])
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


def test_no_path_is_an_error():
    with pytest.raises(ValueError, match=r"no path came to a finite density.*use 'nuts'"):
        draw(np.nan * WIDE)
