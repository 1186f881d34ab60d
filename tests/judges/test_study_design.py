import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.special import ndtr

from scorax.judges import (
    effective_judges,
    judges_needed,
    labels_needed,
    panel_information,
    ppi_mean,
    ppi_std_error,
    probability_best,
    spearman_brown,
    stop_when_best,
)


def test_planned_standard_error_is_what_a_study_has(x64):
    rng = np.random.default_rng(0)
    truth = rng.normal(size=20_400)
    judge = 0.8 * truth + 0.6 * rng.normal(size=20_400)
    y, f, g = (jnp.asarray(x) for x in (truth[:400], judge[:400], judge[400:]))
    std, correlation = float(y.std()), float(jnp.corrcoef(y, f)[0, 1])
    for power in (None, 0.0, 1.0):
        planned = ppi_std_error(400, 20_000, std, correlation, power=power, prediction_std=float(f.std()))
        # The tuning pools both samples' spread, a percent of difference.
        chex.assert_trees_all_close(planned, jax.jit(ppi_mean)(y, f, g, power=power).std_error, rtol=0.01)


def test_planning_identities():
    chex.assert_trees_all_close(ppi_std_error(100, 900, 0.5, 0.0), jnp.asarray(0.05))
    chex.assert_trees_all_close(ppi_std_error(100, 0, 0.5, 0.9), jnp.asarray(0.05))
    # A perfect judge makes every item a label.
    chex.assert_trees_all_close(ppi_std_error(100, 900, 0.5, 1.0), jnp.asarray(0.5 / 1000**0.5), rtol=1e-5)
    assert jnp.isinf(ppi_std_error(100, 0, 0.5, 0.9, power=1.0))


def test_labels_needed_is_the_least_number():
    for correlation in (0.0, 0.5, 0.9):
        n = labels_needed(0.1, 3000, std=0.4, correlation=correlation)
        widths = [2 * 1.959964 * float(ppi_std_error(k, 3000 - k, 0.4, correlation)) for k in (n, n - 1)]
        assert widths[0] <= 0.1 * (1 + 1e-5) < widths[1] * (1 + 1e-5)
    with pytest.raises(ValueError, match=r"100 items are too few for an interval of width 0\.1, .* it takes 246"):
        labels_needed(0.1, 100, std=0.4, correlation=0.9)
    for bad in ({"width": 0.0, "std": 0.4}, {"width": 0.1, "std": 0.0}, {"width": 0.1, "std": 0.4, "correlation": 2.0}):
        with pytest.raises(ValueError, match=r"positive|between -1 and 1"):
            labels_needed(n_items=100, **bad)


def test_judges_needed():
    assert judges_needed(0.4, 0.8) == 6
    assert judges_needed(0.5, 2 / 3) == 2
    assert judges_needed(0.9, 0.5) == 1
    for reliability in (0.2, 0.55):
        j = judges_needed(reliability, 0.8)
        assert spearman_brown(reliability, j) >= 0.8 - 1e-6
        assert j == 1 or spearman_brown(reliability, j - 1) < 0.8
    # Two names for one design effect.
    chex.assert_trees_all_close(spearman_brown(0.3, 7), 0.3 * effective_judges(7, 0.3), rtol=1e-6)
    with pytest.raises(ValueError, match="target must lie inside"):
        judges_needed(0.4, 1.0)


def test_information_of_a_panel(x64):
    rng = np.random.default_rng(0)
    prevalence = jnp.asarray(rng.dirichlet(np.ones(3)))
    confusion = jnp.asarray(rng.dirichlet(np.ones(3), (3, 3)))
    entropy = -(prevalence * jnp.log(prevalence)).sum()
    information = jax.jit(panel_information)
    perfect = jnp.eye(3)[None].repeat(3, 0)
    chex.assert_trees_all_close(information(prevalence, perfect), entropy, rtol=1e-12)
    chex.assert_trees_all_close(information(prevalence, jnp.full((3, 3, 3), 1 / 3)), jnp.zeros(()), atol=1e-12)
    assert jnp.isfinite(jax.jit(jax.grad(panel_information, argnums=1))(prevalence, perfect)).all()
    # The order of judges does not matter, and each further one adds less than it would alone.
    both = information(prevalence, confusion)
    chex.assert_trees_all_close(both, information(prevalence, confusion[::-1]), rtol=1e-12)
    alone = [panel_information(prevalence, confusion[j][None]) for j in range(3)]
    assert max(alone) < both < sum(alone)
    with pytest.raises(ValueError, match="177147 patterns of 3 labels"):
        panel_information(prevalence, jnp.full((11, 3, 3), 1 / 3))


def test_probability_of_being_best(x64):
    best = jax.jit(probability_best)
    two = best(jnp.array([0.3, 0.1]), jnp.array([0.2, 0.01]))
    chex.assert_trees_all_close(two[0], ndtr(0.2 / (0.2**2 + 0.01**2) ** 0.5), atol=1e-6)
    value, std_error = np.array([0.7, 0.6, 0.65, 0.69]), np.array([0.03, 0.04, 0.001, 0.02])
    draws = np.random.default_rng(0).normal(value, std_error, (200_000, 4))
    counted = np.bincount(draws.argmax(1), minlength=4) / 200_000
    found = best(jnp.asarray(value), jnp.asarray(std_error))
    # Four standard errors of a share of 200 000.
    chex.assert_trees_all_close(np.asarray(found), counted, atol=0.0045)
    chex.assert_trees_all_close(best(jnp.zeros(4), jnp.ones(4)), jnp.full(4, 0.25), rtol=1e-6)


def test_stopping():
    draws = jnp.asarray(np.random.default_rng(0).normal([0.5, 0.4, 0.3], 0.02, (4000, 3)), jnp.float32)
    found = jax.jit(stop_when_best)(draws)
    assert bool(found.stop)
    assert found.best == 0
    chex.assert_trees_all_close(found.p_best.sum(), jnp.ones(()), rtol=1e-5)
    chex.assert_trees_all_close(found.regret, jnp.array([0.0, 0.1, 0.2]), atol=0.002)
    level = stop_when_best(jnp.zeros((10, 3)), threshold=0.5)
    assert not level.stop
    chex.assert_trees_all_close(level.p_best, jnp.full(3, 1 / 3), rtol=1e-5)
    with pytest.raises(ValueError, match="threshold must lie inside"):
        stop_when_best(draws, threshold=1.0)
