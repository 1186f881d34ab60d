"""Posterior samplers as plain functions from a key and data to draws."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from scorax.inference._model import AbstractModel
from scorax.inference._program import Program
from scorax.inference._sample import sample

Sampler = Callable[[PRNGKeyArray, Any], Any]
"""`sampler(key, data) -> draws`, shaped as `theta` with a leading axis of draws."""


class PosteriorSampler(eqx.Module):
    """`sample` for a model; it runs on the host, so tests over simulations call it for one data set after the other."""

    model: AbstractModel[Any]
    prior: Program | None
    num_draws: int = eqx.field(static=True)
    thin: int = eqx.field(static=True)
    num_chains: int = eqx.field(static=True)
    options: dict[str, Any]

    def __call__(self, key: PRNGKeyArray, data: Any) -> Any:
        """Modules with a leading axis of draws, those of one chain after those of the other."""
        posterior = sample(
            self.model,
            data,
            key=key,
            prior=self.prior,
            num_samples=self.thin * -(-self.num_draws // self.num_chains),
            num_chains=self.num_chains,
            progress=False,
            **self.options,
        )

        def kept(x: Any) -> Any:
            x = np.asarray(x)[:, self.thin - 1 :: self.thin]
            return x.reshape(-1, *x.shape[2:])[: self.num_draws]

        arrays, rest = eqx.partition(posterior.map(_itself), eqx.is_array)
        return eqx.combine(jax.device_put(jax.tree.map(kept, arrays)), rest)


def posterior_sampler(
    model: AbstractModel[Any],
    *,
    prior: Program | None = None,
    num_draws: int = 63,
    thin: int = 4,
    num_chains: int = 1,
    **options: Any,
) -> PosteriorSampler:
    """`sample` as the sampler of `sbc` and of `coverage`: from a key and data to draws of the model.

    Args:
        model: Gives shapes, and the prior unless `prior` does.
        prior: A program in place of `model.prior`.
        num_draws: Draws kept, all chains together. With 63, ranks have 64 values and divide into 16 bins.
        thin: Draws made for each one kept, so that the kept ones are nearly independent.
        num_chains: Chains that share the draws.
        options: For `sample`, such as `method="laplace"` or `num_warmup`.

    Raises:
        ValueError: A count is below 1.

    Example:
        >>> model = sx.choice.BradleyTerry.init(2)
        >>> sampler = sx.inference.validity.posterior_sampler(model, num_draws=99, method="laplace")
        >>> sampler.num_draws, sampler.thin  # sampler(key, battles).strength has the shape (99, 2)
        (99, 4)
    """
    for name, value in (("num_draws", num_draws), ("thin", thin), ("num_chains", num_chains)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, not {value}")
    return PosteriorSampler(model, prior, num_draws, thin, num_chains, options)


def _itself(model: Any) -> Any:
    return model
