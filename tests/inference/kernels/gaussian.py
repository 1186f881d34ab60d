"""A normal posterior, with whatever correlations: one program for all of them."""

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

from scorax.inference import iid_prior
from scorax.inference._posterior_problem import posterior_problem
from scorax.inference._starts import start_of
from tests.inference.toys import Things, some_measurements

K = 3
MODEL = Things.init(K)
DATA = some_measurements(0)
WIDE = 4 * np.eye(K)
CORRELATED = 0.05 * np.eye(K) + 0.95


def prior(covariance):
    distribution = dist.MultivariateNormal(
        jnp.zeros(K), jnp.asarray(covariance, jnp.zeros(()).dtype), validate_args=False
    )
    return iid_prior(MODEL, {"level": distribution})


def posterior(covariance):
    """Mean and covariance."""
    n = np.bincount(DATA.thing, minlength=K)
    found = np.linalg.inv(np.linalg.inv(covariance) + np.diag(n))
    return found @ np.bincount(DATA.thing, DATA.value, minlength=K), found


def standardised(level, covariance):
    """Independent standard normal numbers, where `level` are draws from the posterior."""
    mean, found = posterior(covariance)
    away = np.asarray(level, np.float64) - mean
    return np.linalg.solve(np.linalg.cholesky(found), away[..., None])[..., 0]


def problem_and_start(covariance):
    """What `sample` makes of it."""
    problem, given = posterior_problem(MODEL, DATA, prior(covariance), None)
    return problem, start_of(problem.template, given)
