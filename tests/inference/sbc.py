"""Simulation-based calibration: under data drawn from the prior predictive, ranks of the truth among draws are uniform.

Source: Talts, Betancourt, Simpson, Vehtari & Gelman (2018), arXiv:1804.06788.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np
import numpyro
import scipy.stats
from jaxtyping import Array, Float, PRNGKeyArray

from scorax.inference import AbstractModel, sample
from scorax.inference._program import Program


class Ranks(NamedTuple):
    """How many of the kept draws lie below the truth."""

    rank: np.ndarray
    """`[replication, quantity]`, from 0 to `num_draws`."""
    num_draws: int

    def p_values(self, bins: int = 8) -> np.ndarray:
        """Of a chi-square test that each quantity's ranks are uniform."""
        edges = np.linspace(0, self.num_draws + 1, bins + 1)
        chance = np.diff(np.ceil(edges)) / (self.num_draws + 1)
        counts = np.stack([np.histogram(rank, edges)[0] for rank in self.rank.T])
        return scipy.stats.chisquare(counts, chance * len(self.rank), axis=1).pvalue


def simulation_based_calibration(
    model_template: AbstractModel[Any],
    design: Any,
    quantities: Callable[[Any], Float[Array, " q"]],
    *,
    key: PRNGKeyArray,
    n_replications: int,
    num_draws: int = 63,
    thin: int = 4,
    prior: Program | None = None,
    sampling_prior: Program | None = None,
    **options: Any,
) -> Ranks:
    """Draw parameters from the prior and data from them, and rank the parameters among draws from their posterior.

    All replications share their shapes, so only the first compiles.

    Args:
        model_template: Gives shapes, and the prior unless `prior` does.
        design: Data in whose place outcomes are simulated, one observation a row.
        quantities: What to rank, a function of a model.
        key: Random key.
        n_replications: How many data sets.
        num_draws: Draws kept for each, all chains together.
        thin: Draws made for each one kept, so that the kept ones are nearly independent.
        prior: A program in place of `model_template.prior`.
        sampling_prior: Another one for the sampler alone, which calibration must then notice.
        options: For `sample`.
    """
    program = model_template.prior if prior is None else prior

    @eqx.filter_jit
    def simulate(key: PRNGKeyArray) -> tuple[Float[Array, " q"], Any]:
        key_truth, key_data = jax.random.split(key)
        with numpyro.handlers.block():
            truth = numpyro.handlers.seed(program, key_truth)()
        return quantities(truth), truth.simulate(design, key=key_data)

    num_chains = options.pop("num_chains", 1)
    each = -(-num_draws // num_chains)
    ranks = []
    for replication in range(n_replications):
        key_data, key_sample = jax.random.split(jax.random.fold_in(key, replication))
        truth, data = simulate(key_data)
        posterior = sample(
            model_template,
            data,
            key=key_sample,
            prior=prior if sampling_prior is None else sampling_prior,
            num_chains=num_chains,
            num_samples=thin * each,
            progress=False,
            **options,
        )
        draws = np.asarray(posterior.map(quantities))[:, thin - 1 :: thin]
        kept = draws.reshape(-1, draws.shape[-1])[:num_draws]
        ranks.append((kept < np.asarray(truth)).sum(0))
    return Ranks(np.stack(ranks), num_draws)
