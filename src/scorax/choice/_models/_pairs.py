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

from scorax.choice._models._pair_derivatives import OutcomeDerivatives, pair_derivatives, pair_meat
from scorax.data import Comparisons, PairCounts, refuse
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
    soft_labels: ClassVar[bool]
    """Whether an outcome may lie between those that can occur: half wins, probabilities."""

    @property
    def outcomes(self) -> tuple[float, ...]:
        """What can occur, from a sure loss of `a` (0) to a sure win (1): with a tie between, if it is not half wins."""
        return (0.0, 1.0) if self.soft_labels else (0.0, 0.5, 1.0)

    @property
    def closed_form(self) -> Callable[[PairCounts], Float[Array, ""]] | None:
        """Log-likelihood of a table, where there is something faster than differentiating `log_prob`."""
        return None

    solver: ClassVar[AbstractSolver] = Newton(pair_derivatives, pair_meat)

    @abc.abstractmethod
    def outcome_log_prob(self, difference: Float[Array, "*s"], outcome: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """Log-probability of outcomes, one for each difference."""

    @abc.abstractmethod
    def outcome_derivatives(self, difference: Float[Array, "*s"], outcome: Float[Array, "*s"]) -> OutcomeDerivatives:
        """Its derivatives in the difference and in the outcome's own parameters."""

    def difference(self, data: Comparisons | PairCounts) -> Float[Array, "..."]:
        """Log-odds of `a` over `b` for every row (before ties), in the shape of `data.weight`."""
        return pair_difference(self, data)

    def log_prob(self, data: Comparisons | PairCounts) -> Float[Array, "..."]:
        """Log-probability of one observation of each row."""
        difference = self.difference(data)
        return self.outcome_log_prob(difference, data.outcome.astype(difference.dtype))

    def total_log_prob(self, data: Comparisons | PairCounts) -> Float[Array, ""]:
        """By the closed form of a table, where the model has one."""
        if isinstance(data, PairCounts) and self.closed_form is not None:
            return self.closed_form(data)
        return weighted_total(self.log_prob(data), data)

    def outcome_log_probs(self, data: Comparisons | PairCounts) -> Float[Array, "... c"]:
        """Log-probability of each of `outcomes`, for every row: they sum to one."""
        difference = self.difference(data)
        each = [self.outcome_log_prob(difference, jnp.full_like(difference, y)) for y in self.outcomes]
        return jnp.stack(each, axis=-1)

    def simulate(self, data: Comparisons | PairCounts, *, key: PRNGKeyArray) -> Comparisons:
        """New outcomes of the same comparisons, one observation a row (see `data.expand()`).

        Raises:
            ValueError: `data` is a table: outcomes are drawn for rows.
        """
        return draw_outcomes(self.outcome_log_probs(data), self.outcomes, data, key)

    def check(self, data: Comparisons | PairCounts) -> None:
        """Raise `ValueError` where data do not fit this model: ids out of range, missing columns, other outcomes."""
        check_pairs(self, data)
        if not self.soft_labels:
            check_outcomes(self, data)

    def condense(self, data: Comparisons | PairCounts) -> Comparisons | PairCounts:
        """The dense table of pair counts where that says everything: no order, no features, not too many items."""
        plain = self.order_effect is None and self.coefficient is None
        return tabled(data, self.strength.size) if plain and {0.0, 0.5, 1.0}.issuperset(self.outcomes) else data


def tabled(data: Comparisons | PairCounts, n_items: int) -> Comparisons | PairCounts:
    """The dense table of pair counts, if there are not too many items."""
    if isinstance(data, PairCounts) or n_items > _LARGEST_TABLE:
        return data
    return dataclasses.replace(data, order=None, features=None).table(n_items)


def pair_difference(model: Any, data: Comparisons | PairCounts) -> Float[Array, "..."]:
    """`strength[a] - strength[b] + order_effect * order + features @ coefficient`, in the shape of `data.weight`."""
    total = data.difference(model.strength)
    if model.order_effect is not None:
        assert data.order is not None
        total = total + model.order_effect * data.order.astype(total.dtype)
    if model.coefficient is not None:
        assert data.features is not None
        total = total + data.features.astype(total.dtype) @ model.coefficient
    return total


def check_pairs(model: Any, data: Comparisons | PairCounts) -> None:
    """Raise `ValueError` where items or columns that a model of paired comparisons needs are not there."""
    k, name = model.strength.shape[0], type(model).__name__
    if isinstance(data, PairCounts):
        if data.weight.shape[-1] != k:
            raise ValueError(f"the table is of {data.weight.shape[-1]} items, the model of {k}")
    else:
        refuse(
            (np.asarray(data.a) >= k) | (np.asarray(data.b) >= k),
            f"an item id is {k} or more, but the model has {k} items,",
            f"Make it with {name}.init(n_items).",
        )
    for leaf, column in (("order_effect", "order"), ("coefficient", "features")):
        if getattr(model, leaf, None) is not None and getattr(data, column) is None:
            raise ValueError(
                f"{name} has a parameter {leaf!r}, but the data have no {column!r}: pass Comparisons with "
                f"{column}=..., or make the model without it"
            )


def check_outcomes(model: Any, data: Comparisons | PairCounts) -> None:
    """Raise `ValueError` where something happened that a model gives no probability."""
    name, scale = type(model).__name__, ", ".join(f"{y:.3g}" for y in model.outcomes)
    if isinstance(data, Comparisons):
        known = np.abs(np.asarray(data.outcome)[:, None] - np.asarray(model.outcomes)).min(1) < 1e-6
        refuse(
            ~known,
            f"outcome is none of those that {name} knows ({scale})",
            "Round them, or use BradleyTerry for soft labels.",
        )
    elif not {0.0, 0.5, 1.0}.issuperset(model.outcomes):
        raise ValueError(f"a table knows wins, ties and losses, {name} the outcomes {scale}: pass Comparisons")
    elif 0.5 not in model.outcomes and bool((np.asarray(data.weight[1]) > 0).any()):
        raise ValueError(f"the table holds ties, which {name} does not know")


def draw_outcomes(
    log_prob: Float[Array, "... c"], outcomes: tuple[float, ...], data: Comparisons | PairCounts, key: PRNGKeyArray
) -> Comparisons:
    """The same comparisons with outcomes drawn from the probabilities of each."""
    if not isinstance(data, Comparisons):
        raise ValueError("outcomes are simulated for rows: pass Comparisons, not a table of pair counts")
    drawn = jax.random.categorical(key, log_prob, axis=-1)
    return dataclasses.replace(data, outcome=jnp.asarray(outcomes, data.outcome.dtype)[drawn])


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


def draw_shared(model: Any) -> Shared:
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


def select_outcome(
    outcome: Float[Array, "*s"], loss: Float[Array, "*s"], tie: Float[Array, "*s"], win: Float[Array, "*s"]
) -> Float[Array, "*s"]:
    """One of three values by outcome; NaN where it is none of 0, 1/2 and 1."""
    other = jnp.full_like(tie, jnp.nan)
    return jnp.where(outcome == 1, win, jnp.where(outcome == 0, loss, jnp.where(outcome == 0.5, tie, other)))
