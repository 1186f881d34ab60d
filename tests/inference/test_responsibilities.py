"""Which component each row came from: the mean over draws of the share of each term."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from scorax.inference import Posterior, responsibilities
from tests.inference.compilations import compilations
from tests.inference.criticism.posteriors import of_draws
from tests.inference.toys import Measurements, Things

DATA = Measurements.of([0, 0, 0, 0], [-2.0, 0.3, 1.0, 40.0])


def two_levels(model: Things, data: Measurements):
    """A mixture of two normals about the first two levels, the first three times as frequent."""
    residual = data.value[:, None].astype(model.level.dtype) - model.level[None, :2]
    return jnp.log(jnp.asarray([[0.75, 0.25]], residual.dtype)) - residual**2 / 2


def draws(level) -> Posterior:
    return of_draws(Things(jnp.asarray(level)), {})


def test_the_mean_over_draws_of_bayes_rule(x64):
    level = np.random.default_rng(0).normal([-1.0, 1.0, 0.0], 0.5, size=(2, 7, 3))
    found = responsibilities(draws(level), DATA, two_levels)
    near = np.asarray(DATA.value)[:3, None]
    weight = np.asarray([0.75, 0.25]) * np.exp(-((near - level[..., None, :2]) ** 2) / 2)
    expected = (weight / weight.sum(-1, keepdims=True)).mean((0, 1))
    np.testing.assert_allclose(found[:3], expected, rtol=1e-12)
    # Far out both densities underflow, the shares do not.
    np.testing.assert_allclose(found.sum(-1), 1, rtol=1e-12)
    assert found[3, 1] > 0.99


def test_rows_that_were_not_fitted_and_nothing_compiled_again():
    posterior = draws(np.zeros((1, 3, 3), np.float32))
    responsibilities(posterior, DATA, two_levels)
    others = dataclasses.replace(DATA, value=2 * DATA.value)
    with compilations() as count:
        found = responsibilities(posterior, others, two_levels)
    assert count[0] == 0
    # Equal levels: each row is from either as often as there are such rows; terms of some 3200 are rounded.
    np.testing.assert_allclose(found, np.broadcast_to([0.75, 0.25], (4, 2)), rtol=3200 * 2**-23)


def test_impossible_rows_are_nan():
    found = responsibilities(draws(np.full((1, 2, 3), jnp.inf)), DATA, two_levels)
    assert np.isnan(found).all()
    assert jax.tree.leaves(found)[0].shape == (4, 2)
