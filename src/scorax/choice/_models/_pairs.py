"""What all models of paired comparisons share: a difference of strengths, an advantage of order, features."""

import abc
import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float, PRNGKeyArray

from scorax.choice._models._pair_derivatives import OutcomeDerivatives, pair_approach, pair_derivatives, pair_meat
from scorax.data import Comparisons, PairCounts
from scorax.inference import AbstractModel, AbstractSolver, Newton, weighted_total
from scorax.numerics import available_dtype

# Above this many items a dense table costs more memory than most data sets have rows.
_LARGEST_TABLE = 2048


class AbstractPairModel(AbstractModel[Comparisons | PairCounts]):
    """A model whose outcome depends on one difference per comparison and on a few shared parameters.

    The difference is `strength[a] - strength[b] + order_effect * order + features @ coefficient`. Final classes add
    how a difference becomes an outcome.
    """

    strength: eqx.AbstractVar[Float[Array, " k"]]
    order_effect: eqx.AbstractVar[Float[Array, ""] | None]
    coefficient: eqx.AbstractVar[Float[Array, " d"] | None]
    has_ties: ClassVar[bool]

    @property
    @abc.abstractmethod
    def closed_form(self) -> Callable[[PairCounts], Float[Array, ""]] | None:
        """Log-likelihood of a table, where there is something faster than differentiating `log_prob`."""

    solver: ClassVar[AbstractSolver] = Newton(pair_derivatives, pair_meat, pair_approach)

    @abc.abstractmethod
    def outcome_log_prob(self, difference: Float[Array, "*s"], outcome: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """Log-probability of outcomes, one for each difference."""

    @abc.abstractmethod
    def outcome_derivatives(self, difference: Float[Array, "*s"], outcome: Float[Array, "*s"]) -> OutcomeDerivatives:
        """Its derivatives in the difference and in the outcome's own parameters."""

    def difference(self, data: Comparisons | PairCounts) -> Float[Array, "..."]:
        """Log-odds of `a` over `b` for every row (before ties), in the shape of `data.weight`."""
        total = data.difference(self.strength)
        if self.order_effect is not None:
            assert data.order is not None
            total = total + self.order_effect * data.order.astype(total.dtype)
        if self.coefficient is not None:
            assert data.features is not None
            total = total + data.features.astype(total.dtype) @ self.coefficient
        return total

    def log_prob(self, data: Comparisons | PairCounts) -> Float[Array, "..."]:
        """Log-probability of one observation of each row."""
        difference = self.difference(data)
        return self.outcome_log_prob(difference, data.outcome.astype(difference.dtype))

    def total_log_prob(self, data: Comparisons | PairCounts) -> Float[Array, ""]:
        """By the closed form of a table, where the model has one."""
        if isinstance(data, PairCounts) and self.closed_form is not None:
            return self.closed_form(data)
        return weighted_total(self.log_prob(data), data)

    def simulate(self, data: Comparisons | PairCounts, *, key: PRNGKeyArray) -> Comparisons:
        """New outcomes of the same comparisons, one observation a row (see `data.expand()`).

        Raises:
            ValueError: `data` is a table: outcomes are drawn for rows.
        """
        if not isinstance(data, Comparisons):
            raise ValueError("outcomes are simulated for rows: pass Comparisons, not a table of pair counts")
        difference = self.difference(data)
        categories = jnp.asarray([0.0, 0.5, 1.0] if self.has_ties else [0.0, 1.0], difference.dtype)
        each = jnp.stack([self.outcome_log_prob(difference, jnp.full_like(difference, c)) for c in categories])
        drawn = jax.random.categorical(key, each, axis=0)
        return dataclasses.replace(data, outcome=categories[drawn].astype(data.outcome.dtype))

    def check(self, data: Comparisons | PairCounts) -> None:
        """Raise `ValueError` where data do not fit this model: ids out of range, missing columns, soft labels."""
        k = self.strength.shape[0]
        if isinstance(data, PairCounts):
            if data.weight.shape[-1] != k:
                raise ValueError(f"the table is of {data.weight.shape[-1]} items, the model of {k}")
        else:
            beyond = np.flatnonzero((np.asarray(data.a) >= k) | (np.asarray(data.b) >= k))
            if beyond.size:
                raise ValueError(
                    f"{beyond.size} comparisons have an item id of {k} or more, but the model has {k} items "
                    f"(first rows: {beyond[:3].tolist()}). Make it with {type(self).__name__}.init(n_items)."
                )
        for leaf, column in (("order_effect", "order"), ("coefficient", "features")):
            if getattr(self, leaf) is not None and getattr(data, column) is None:
                raise ValueError(
                    f"{type(self).__name__} has a parameter {leaf!r}, but the data have no {column!r}: pass "
                    f"Comparisons with {column}=..., or make the model without it"
                )
        if self.has_ties and isinstance(data, Comparisons):
            soft = np.flatnonzero(~np.isin(np.asarray(data.outcome), (0.0, 0.5, 1.0)))
            if soft.size:
                raise ValueError(
                    f"{type(self).__name__} has a probability of ties: outcomes must be 0, 0.5 or 1; {soft.size} are "
                    f"not (first rows: {soft[:3].tolist()}). Use BradleyTerry for soft labels."
                )

    def condense(self, data: Comparisons | PairCounts) -> Comparisons | PairCounts:
        """The dense table of pair counts where that says everything: no order, no features, not too many items."""
        k = self.strength.shape[0]
        plain = self.order_effect is None and self.coefficient is None and k <= _LARGEST_TABLE
        if isinstance(data, PairCounts) or not plain:
            return data
        return dataclasses.replace(data, order=None, features=None).table(k)


class Shared(NamedTuple):
    """The parameters that all models of paired comparisons share."""

    strength: Float[Array, " k"]
    order_effect: Float[Array, ""] | None
    coefficient: Float[Array, " d"] | None


def initial_leaves(n_items: int, *, order_effect: bool, n_features: int, dtype: Any) -> Shared:
    """Zeros: all items equal, nothing has an effect."""
    if n_items < 2:
        raise ValueError(f"a comparison needs two items; n_items is {n_items}")
    dtype = available_dtype(dtype)
    effect = jnp.zeros((), dtype) if order_effect else None
    return Shared(jnp.zeros(n_items, dtype), effect, jnp.zeros(n_features, dtype) if n_features else None)


def draw_shared(model: AbstractPairModel) -> Shared:
    """The default prior: exchangeable items on an unknown scale, unit-normal effects.

    The strengths have the marginal of independent `Normal(0, scale)` ones given that only contrasts are observed.
    """
    scale = numpyro.sample("scale", dist.HalfNormal(1.0))
    strength = jnp.asarray(numpyro.sample("strength", dist.ZeroSumNormal(scale, model.strength.shape)))
    order_effect, coefficient = None, None
    if model.order_effect is not None:
        order_effect = jnp.asarray(numpyro.sample("order_effect", dist.Normal(0.0, 1.0)))
    if model.coefficient is not None:
        unit = dist.Normal(0.0, 1.0).expand(model.coefficient.shape)
        coefficient = jnp.asarray(numpyro.sample("coefficient", unit))
    return Shared(strength, order_effect, coefficient)
