"""Luce's choice axiom: an item is chosen in proportion to its worth among those that are there."""

import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Bool, Float, PRNGKeyArray
from numpyro.distributions import constraints

from scorax.data import Choices, refuse
from scorax.inference import AbstractModel, AbstractSolver, Newton, parameter
from scorax.numerics import available_dtype, masked_logsumexp, masked_where


def luce_choice_log_prob(
    strength: Float[Array, "*b l"], *, where: Bool[Array, "*b l"] | None = None
) -> Float[Array, "*b"]:
    r"""Log-probability that the first of several items is chosen: \(s_1 - \log \sum_k e^{s_k}\).

    Args:
        strength: Natural-log worths of the items that are there, the chosen one first.
        where: Which places are filled.

    Returns:
        Natural-log probability of each choice, at most 0.

    Example:
        >>> luce_choice_log_prob(jnp.zeros(4))  # log 1/4
        Array(-1.3862944, dtype=float32)

    Source: Luce (1959), "Individual Choice Behavior"; McFadden (1974), "Conditional logit analysis".
    """
    filled = masked_where(where, strength, 0.0)
    return filled[..., 0] - masked_logsumexp(strength, where=where)


class LuceChoice(AbstractModel[Choices]):
    """Items have a strength; a choice is a softmax over those that are there. Plackett-Luce of first places.

    Attributes:
        strength: One number an item, natural-log worth, summing to zero.

    Example:
        >>> choices = sx.data.Choices.from_lists([2, 0, 2, 1], [[0, 1], [1, 2], [0], [0, 2]])
        >>> sx.inference.fit(LuceChoice.init(3), choices).model.strength.argmax()
        Array(2, dtype=int32)

    Source: Luce (1959), "Individual Choice Behavior".
    """

    strength: Float[Array, " k"] = parameter(constraints.zero_sum(1))

    solver: ClassVar[AbstractSolver] = Newton()

    @classmethod
    def init(cls, n_items: int, *, dtype: Any = float) -> "LuceChoice":
        """All strengths equal: where `fit` and `sample` start."""
        return cls(jnp.zeros(n_items, available_dtype(dtype)))

    def log_prob(self, data: Choices) -> Float[Array, " n"]:
        """Log-probability of one observation of each choice."""
        return luce_choice_log_prob(self.strength[data.offered], where=data.where)

    def prior(self) -> "LuceChoice":
        """Exchangeable items on an unknown scale, `HalfNormal(1)`."""
        scale = numpyro.sample("scale", dist.HalfNormal(1.0))
        strength = numpyro.sample("strength", dist.ZeroSumNormal(scale, self.strength.shape))
        return LuceChoice(jnp.asarray(strength))

    def simulate(self, data: Choices, *, key: PRNGKeyArray) -> Choices:
        """New choices from the same items."""
        offered = masked_where(data.where, self.strength[data.offered], -jnp.inf)
        chosen = jax.random.categorical(key, offered)[:, None]
        # The chosen item and the first one change places.
        places = jnp.arange(data.offered.shape[1], dtype=chosen.dtype)[None, :]
        swapped = jnp.where(places == 0, chosen, jnp.where(places == chosen, 0, places))
        return dataclasses.replace(data, offered=jnp.take_along_axis(data.offered, swapped, axis=1))

    def check(self, data: Choices) -> None:
        """Raise `ValueError` where choices hold items that this model has not."""
        k = self.strength.size
        refuse(
            ((np.asarray(data.offered) >= k) & np.asarray(data.where)).any(1),
            f"an item id is {k} or more, but the model has {k} items,",
            "Make it with LuceChoice.init(n_items).",
        )
