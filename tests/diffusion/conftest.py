import json
import pathlib

import jax
import jax.numpy as jnp
import pytest

ORACLES = pathlib.Path(__file__).parent.parent / "oracles" / "diffusion"


@pytest.fixture
def oracle():
    """The cases of one file of reference numbers."""
    return lambda name: json.loads((ORACLES / f"{name}.json").read_text())["cases"]


@pytest.fixture
def mixture_score():
    """The exact score of isotropic normal mixtures, noised by any process: `mixture_score(process, *mixture)(x, t)`."""

    def make(process, weights, means, variances):
        def log_prob(x, t):
            alpha, variance = process.alpha(t), process.alpha(t) ** 2 * variances + process.sigma(t) ** 2
            square = ((x[None] - alpha * means) ** 2).sum(-1)
            return jax.nn.logsumexp(jnp.log(weights) - 0.5 * square / variance - 0.5 * x.size * jnp.log(variance))

        return jax.grad(log_prob)

    return make
