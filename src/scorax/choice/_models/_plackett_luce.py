"""Plackett-Luce: a ranking as a sequence of choices, each from the items that remain."""

import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Bool, Float, PRNGKeyArray
from numpyro.distributions import constraints

from scorax.data import Rankings
from scorax.inference import AbstractModel, AbstractSolver, Newton, parameter
from scorax.numerics import available_dtype, masked_logsumexp, masked_where, suffix_logsumexp


def plackett_luce_log_prob(
    strength: Float[Array, "*b l"],
    *,
    where: Bool[Array, "*b l"] | None = None,
    rest: Float[Array, "*b"] | None = None,
) -> Float[Array, "*b"]:
    r"""Log-probability of rankings under the Plackett-Luce model.

    $$\log p = \sum_j \Big[ s_j - \log \Big( R + \sum_{k \ge j} e^{s_k} \Big) \Big]$$

    Args:
        strength: Strengths in ranked order, best first. Any real numbers; only differences matter.
        where: Which places are filled. A ranking of no or one item (and no `rest`) has log-probability 0.
        rest: \(\log R\), the log-sum-exp of the strengths of items that were available but not ranked, and so lose to
            all ranked ones (a top-k ranking). None: only the ranked items were available.

    Returns:
        Natural-log probability of each ranking, at most 0.

    Example:
        >>> plackett_luce_log_prob(jnp.zeros(3))  # 3! equally likely orders
        Array(-1.7917595, dtype=float32)

    Source: Plackett (1975), doi:10.2307/2346567; Luce (1959), "Individual Choice Behavior".
    """
    stage = masked_where(where, strength, 0.0) - suffix_logsumexp(strength, where=where, rest=rest)
    return masked_where(where, stage, 0.0).sum(-1)


class PlackettLuce(AbstractModel[Rankings]):
    """Items have a strength; each place of a ranking is a softmax choice among the items left.

    Strengths are natural-log worths, identified up to a constant: they sum to zero. Two items are Bradley-Terry.

    Example:
        >>> rankings = sx.data.Rankings.from_orders([[0, 1, 2], [0, 2, 1], [1, 0, 2], [2, 1, 0]])
        >>> sx.inference.fit(PlackettLuce.init(3), rankings).model.strength.argmax()
        Array(0, dtype=int32)

    Source: Plackett (1975), doi:10.2307/2346567.
    """

    strength: Float[Array, " k"] = parameter(constraints.zero_sum(1))

    solver: ClassVar[AbstractSolver] = Newton()

    @classmethod
    def init(cls, n_items: int, *, dtype: Any = float) -> "PlackettLuce":
        """All strengths equal: where `fit` and `sample` start, and what gives them shapes and dtype."""
        return cls(jnp.zeros(n_items, available_dtype(dtype)))

    def log_prob(self, data: Rankings) -> Float[Array, " n"]:
        """Log-probability of one observation of each ranking."""
        return plackett_luce_log_prob(self.strength[data.order], where=data.where, rest=self._rest(data))

    def _rest(self, data: Rankings) -> Float[Array, " n"] | None:
        if data.rest is None:
            return None
        everyone = jnp.broadcast_to(self.strength, data.rest.shape)
        return masked_logsumexp(everyone, where=data.rest)

    def prior(self) -> "PlackettLuce":
        """Exchangeable items on an unknown scale, `HalfNormal(1)`."""
        scale = numpyro.sample("scale", dist.HalfNormal(1.0))
        strength = numpyro.sample("strength", dist.ZeroSumNormal(scale, self.strength.shape))
        return PlackettLuce(jnp.asarray(strength))

    def simulate(self, data: Rankings, *, key: PRNGKeyArray) -> Rankings:
        """New rankings of the same sets of items, as long as the old ones (Gumbel-max, sorted)."""
        available = _choice_set(data, self.strength.size)
        noise = jax.random.gumbel(key, available.shape, self.strength.dtype)
        perturbed = masked_where(available, self.strength[None, :] + noise, -jnp.inf)
        order = jnp.argsort(-perturbed, axis=-1)[:, : data.order.shape[1]].astype(data.order.dtype)
        if data.rest is None:
            return dataclasses.replace(data, order=order)
        return dataclasses.replace(data, order=order, rest=available & ~_listed(order, data.where, self.strength.size))

    def check(self, data: Rankings) -> None:
        """Raise `ValueError` where rankings hold items that this model has not."""
        k = self.strength.size
        beyond = np.flatnonzero(((np.asarray(data.order) >= k) & np.asarray(data.where)).any(1))
        if beyond.size:
            raise ValueError(
                f"{beyond.size} rankings hold an item id of {k} or more, but the model has {k} items (first rows: "
                f"{beyond[:3].tolist()}). Make it with PlackettLuce.init(n_items)."
            )
        if data.rest is not None and data.rest.shape[1] != k:
            raise ValueError(f"the choice sets are over {data.rest.shape[1]} items, the model has {k}")


def _listed(order: Array, where: Bool[Array, "n l"], k: int) -> Bool[Array, "n k"]:
    rows = jnp.arange(order.shape[0])[:, None]
    return jnp.zeros((order.shape[0], k), bool).at[rows, order].max(where)


def _choice_set(data: Rankings, k: int) -> Bool[Array, "n k"]:
    listed = _listed(data.order, data.where, k)
    return listed if data.rest is None else listed | data.rest
