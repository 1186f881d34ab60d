"""Rankers who follow the common strengths more or less closely."""

import dataclasses
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float, PRNGKeyArray
from numpyro.distributions import constraints

from scorax.choice._models._plackett_luce import plackett_luce_log_prob
from scorax.choice._models._rankings import check_rankings, choice_set, listed, refuse_ties
from scorax.data import Rankings, refuse
from scorax.inference import AbstractModel, AbstractSolver, Newton, parameter
from scorax.numerics import available_dtype, masked_logsumexp, masked_where


class AdherentPlackettLuce(AbstractModel[Rankings]):
    r"""Plackett-Luce with rankers of different care: ranker `r` sees the strengths \(\eta_r \theta\).

    An adherence of 0 ranks at random, a large one always by strength. `data.cluster` says whose a ranking is. The scale
    of the strengths and that of the adherences are one: a prior of mean 1 for the adherences tells them apart.

    Attributes:
        strength: One number an item, natural-log worth for a ranker of adherence 1, summing to zero.
        adherence: One number a ranker, above 0.

    Example:
        >>> orders = 4 * [[0, 1, 2]] + [[2, 0, 1], [1, 2, 0]]
        >>> rankings = sx.data.Rankings.from_orders(orders, cluster=[0, 0, 0, 0, 1, 1])
        >>> model = AdherentPlackettLuce.init(3, 2)
        >>> found = sx.inference.fit(model, rankings, prior=sx.choice.AdherencePrior(model)).model
        >>> found.adherence.round(2)
        Array([1.16, 0.64], dtype=float32)

    Source: Raman & Joachims (2014), doi:10.1145/2623330.2623654.
    """

    strength: Float[Array, " k"] = parameter(constraints.zero_sum(1))
    adherence: Float[Array, " r"] = parameter(constraints.positive)

    solver: ClassVar[AbstractSolver] = Newton()

    @classmethod
    def init(cls, n_items: int, n_rankers: int, *, dtype: Any = float) -> "AdherentPlackettLuce":
        """All strengths equal, all rankers alike: where `fit` and `sample` start."""
        dtype = available_dtype(dtype)
        return cls(jnp.zeros(n_items, dtype), jnp.ones(n_rankers, dtype))

    def _seen(self, data: Rankings) -> Float[Array, "n k"]:
        """Strengths as each ranking's ranker sees them."""
        assert data.cluster is not None
        return self.adherence[data.cluster][:, None] * self.strength[None, :]

    def log_prob(self, data: Rankings) -> Float[Array, " n"]:
        """Log-probability of one observation of each ranking."""
        refuse_ties(self, data)
        seen = self._seen(data)
        rest = None if data.rest is None else masked_logsumexp(seen, where=data.rest)
        return plackett_luce_log_prob(jnp.take_along_axis(seen, data.order, axis=1), where=data.where, rest=rest)

    def prior(self) -> "AdherentPlackettLuce":
        """Exchangeable items on an unknown scale, `HalfNormal(1)`; adherences of mean 1, `Gamma(10, 10)`."""
        scale = numpyro.sample("scale", dist.HalfNormal(1.0))
        strength = numpyro.sample("strength", dist.ZeroSumNormal(scale, self.strength.shape))
        adherence = numpyro.sample("adherence", _adherences(10.0, self.adherence.shape))
        return AdherentPlackettLuce(jnp.asarray(strength), jnp.asarray(adherence))

    def simulate(self, data: Rankings, *, key: PRNGKeyArray) -> Rankings:
        """New rankings of the same sets of items by the same rankers, as long as the old ones."""
        available = choice_set(data, self.strength.size)
        noise = jax.random.gumbel(key, available.shape, self.strength.dtype)
        perturbed = masked_where(available, self._seen(data) + noise, -jnp.inf)
        order = jnp.argsort(-perturbed, axis=-1)[:, : data.order.shape[1]].astype(data.order.dtype)
        if data.rest is None:
            return dataclasses.replace(data, order=order)
        return dataclasses.replace(data, order=order, rest=available & ~listed(order, data.where, self.strength.size))

    def check(self, data: Rankings) -> None:
        """Raise `ValueError` where rankings hold items or rankers that this model has not, or ties."""
        check_rankings(self, data)
        refuse_ties(self, data)
        if data.cluster is None:
            raise ValueError("AdherentPlackettLuce asks who ranked: pass Rankings with cluster=...")
        n = self.adherence.size
        refuse(np.asarray(data.cluster) >= n, f"cluster is {n} or more, but the model has {n} rankers,", "")


class AdherencePrior(eqx.Module):
    """A prior for `fit`: adherences of mean 1, nothing about the strengths.

    Attributes:
        model: An `AdherentPlackettLuce`, for the shapes.
        shape: Of the Gamma distribution, whose rate is the same; the larger, the more alike the rankers.

    Example:
        >>> model = sx.choice.AdherentPlackettLuce.init(3, 2)
        >>> prior = AdherencePrior(model, shape=5.0)

    Source: Raman & Joachims (2014), doi:10.1145/2623330.2623654.
    """

    model: AdherentPlackettLuce
    shape: float = 10.0

    def __call__(self) -> AdherentPlackettLuce:
        """Draw the model (only with its strengths given: a constant density cannot be drawn from)."""
        k = self.model.strength.shape
        strength = numpyro.sample("strength", dist.ImproperUniform(constraints.zero_sum(1), (), k))
        adherence = numpyro.sample("adherence", _adherences(self.shape, self.model.adherence.shape))
        return AdherentPlackettLuce(jnp.asarray(strength), jnp.asarray(adherence))


def _adherences(shape: float, n: tuple[int, ...]) -> dist.Distribution:
    return dist.Gamma(shape, shape).expand(n).to_event(1)
