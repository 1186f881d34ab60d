"""Plackett-Luce: a ranking as a sequence of choices, each from the items that remain."""

import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Bool, Float, PRNGKeyArray
from numpyro.distributions import constraints

from scorax.choice._models._ranking_derivatives import ranking_approach, ranking_derivatives, ranking_meat
from scorax.choice._models._rankings import check_rankings, choice_set, listed, log_rest, refuse_ties
from scorax.data import Rankings
from scorax.inference import AbstractModel, AbstractSolver, Newton, parameter
from scorax.numerics import available_dtype, masked_where, suffixes


def plackett_luce_log_prob(
    strength: Float[Array, "*b l"],
    *,
    where: Bool[Array, "*b l"] | None = None,
    rest: Float[Array, "*b"] | None = None,
    stage_weight: Float[Array, "*b l"] | None = None,
) -> Float[Array, "*b"]:
    r"""Log-probability of rankings under the Plackett-Luce model.

    $$\log p = \sum_j w_j \Big[ s_j - \log \Big( R + \sum_{k \ge j} e^{s_k} \Big) \Big]$$

    Args:
        strength: Strengths in ranked order, best first. Any real numbers; only differences matter.
        where: Which places are filled. A ranking of no or one item (and no `rest`) has log-probability 0.
        rest: \(\log R\), the log-sum-exp of the strengths of items that were available but not ranked, and so lose to
            all ranked ones (a top-k ranking). None: only the ranked items were available.
        stage_weight: \(w_j\), what the choice of each place counts for; 1 by default. Any weights of at least 0 that do
            not depend on the outcome keep the true strengths the best ones (p-ListMLE, listwise distillation).

    Returns:
        Natural-log probability of each ranking, at most 0.

    Example:
        >>> plackett_luce_log_prob(jnp.zeros(3))  # 3! equally likely orders
        Array(-1.7917595, dtype=float32)

    Source: Plackett (1975), doi:10.2307/2346567; Luce (1959), "Individual Choice Behavior".
    """
    # Places first: sums along them run over whole rows.
    placed, filled = jnp.moveaxis(strength, -1, 0), None if where is None else jnp.moveaxis(where, -1, 0)
    stage = masked_where(filled, placed, 0.0) - suffixes(placed, where=filled, rest=rest).total
    weighted = stage if stage_weight is None else jnp.moveaxis(stage_weight, -1, 0) * stage
    return masked_where(filled, weighted, 0.0).sum(0)


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

    solver: ClassVar[AbstractSolver] = Newton(ranking_derivatives, ranking_meat, ranking_approach)

    @classmethod
    def init(cls, n_items: int, *, dtype: Any = float) -> "PlackettLuce":
        """All strengths equal: where `fit` and `sample` start, and what gives them shapes and dtype."""
        return cls(jnp.zeros(n_items, available_dtype(dtype)))

    def log_prob(self, data: Rankings) -> Float[Array, " n"]:
        """Log-probability of one observation of each ranking."""
        refuse_ties(self, data)
        return plackett_luce_log_prob(self.strength[data.order], where=data.where, rest=log_rest(self.strength, data))

    def prior(self) -> "PlackettLuce":
        """Exchangeable items on an unknown scale, `HalfNormal(1)`."""
        scale = numpyro.sample("scale", dist.HalfNormal(1.0))
        strength = numpyro.sample("strength", dist.ZeroSumNormal(scale, self.strength.shape))
        return PlackettLuce(jnp.asarray(strength))

    def simulate(self, data: Rankings, *, key: PRNGKeyArray) -> Rankings:
        """New rankings of the same sets of items, as long as the old ones (Gumbel-max, sorted)."""
        available = choice_set(data, self.strength.size)
        noise = jax.random.gumbel(key, available.shape, self.strength.dtype)
        perturbed = masked_where(available, self.strength[None, :] + noise, -jnp.inf)
        order = jnp.argsort(-perturbed, axis=-1)[:, : data.order.shape[1]].astype(data.order.dtype)
        if data.rest is None:
            return dataclasses.replace(data, order=order)
        return dataclasses.replace(data, order=order, rest=available & ~listed(order, data.where, self.strength.size))

    def check(self, data: Rankings) -> None:
        """Raise `ValueError` where rankings hold items that this model has not, or ties."""
        check_rankings(self, data)
        refuse_ties(self, data)
