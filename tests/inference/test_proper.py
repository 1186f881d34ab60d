"""Flat priors: whether the data make a distribution of them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.distributions import constraints

from scorax.choice import BradleyTerry
from scorax.data import Comparisons
from scorax.inference import sample
from scorax.inference._posterior_problem import posterior_problem
from scorax.inference._proper import improper

pytestmark = pytest.mark.engine

MODEL = BradleyTerry.init(4)
TWO_GROUPS = Comparisons.from_arrays([0, 0, 2, 2, 0, 2], [1, 1, 3, 3, 1, 3], [1.0, 0.0, 1.0, 0.0, 1.0, 1.0])
CONNECTED = dataclasses.replace(TWO_GROUPS, b=jnp.asarray([1, 2, 3, 1, 3, 0], jnp.int32))
# Item 0 wins everything, as the first of each pair.
NEVER_LOST = dataclasses.replace(CONNECTED, outcome=jnp.where(CONNECTED.a == 0, 1.0, CONNECTED.outcome))
NEVER_LOST = dataclasses.replace(NEVER_LOST, outcome=jnp.where(NEVER_LOST.b == 0, 0.0, NEVER_LOST.outcome))


def flat():
    return BradleyTerry(
        jnp.asarray(numpyro.sample("strength", dist.ImproperUniform(constraints.zero_sum(1), (), (4,))))
    )


def with_location():
    """No gauge: what is added to all strengths, no comparison sees."""
    return BradleyTerry(
        jnp.asarray(numpyro.sample("strength", dist.ImproperUniform(constraints.real, (), ()).expand([4]).to_event(1)))
    )


def found(prior, data, *, at=0.0):
    """From two places, as if chains had ended there."""
    problem, _ = posterior_problem(MODEL, data, prior, None)
    last = np.stack([np.zeros(4), at * np.asarray([3.0, -1.0, -1.0, -1.0])]).astype(problem.start.dtype)
    return improper(problem, {"strength": last[:, None]})


@pytest.mark.parametrize(
    ("prior", "data", "at", "expected"),
    [
        (flat, CONNECTED, 0.5, [False, False]),
        (flat, TWO_GROUPS, 0.5, [True, True]),
        (with_location, CONNECTED, 0.5, [True, True]),
        # Near zero the density of a runaway falls to one side; where such a chain goes, it falls to neither.
        (flat, NEVER_LOST, 10.0, [False, True]),
    ],
    ids=["connected", "two groups", "no gauge", "never lost"],
)
def test_what_the_data_leave_open(prior, data, at, expected, x64):
    assert found(prior, data, at=at).tolist() == expected


def test_a_prior_that_is_a_distribution_makes_a_posterior():
    assert found(MODEL.prior, TWO_GROUPS) is None


@pytest.mark.parametrize("method", ["laplace", pytest.param("nuts", marks=pytest.mark.slow)])
def test_an_improper_posterior_is_told(method):
    """The draws are kept, with a warning and a verdict that names the cause first."""
    with pytest.warns(UserWarning, match=r"this posterior is improper.*proper prior.*never met"):
        posterior = sample(
            MODEL, TWO_GROUPS, key=jax.random.key(0), prior=flat, method=method, num_warmup=100, num_samples=100,
            progress=False,
        )  # fmt: skip
    assert posterior.sites["strength"].shape == (4, 100, 4)
    assert posterior.check().problems[0].check == "improper"
