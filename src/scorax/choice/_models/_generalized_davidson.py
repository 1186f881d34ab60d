"""Davidson's ties, made flexible: how likely they can get, how fast that fades, and who plays at home."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float, PRNGKeyArray
from numpyro.distributions import constraints

from scorax.choice._models._pairs import (
    check_outcomes,
    check_pairs,
    draw_outcomes,
    draw_shared,
    initial_leaves,
    pair_difference,
    select_outcome,
)
from scorax.data import Comparisons, PairCounts
from scorax.inference import AbstractModel, AbstractSolver, Newton, parameter


def generalized_davidson_log_prob(
    difference: Float[Array, "*s"],
    outcome: Float[Array, "*s"],
    tie_max: Float[Array, ""],
    tie_scale: Float[Array, ""],
    tie_mode: Float[Array, "*#s"],
) -> Float[Array, "*s"]:
    r"""Log-probability of win, tie or loss under the generalised Davidson model.

    With \(a_{1,2} = \pm d/2\), \(s = e^{\text{tie scale}}\) and \(w = \operatorname{softmax}(m/2, -m/2)\) for the mode
    \(m\), the log-weights of win, loss and tie are \(a_1\), \(a_2\) and

    $$\nu + s (w_1 a_1 + w_2 a_2) + (1 - s) \log(e^{a_1} + e^{a_2}), \quad \nu = \text{tie max} - s \sum w \log w.$$

    Args:
        difference: Strength of `a` minus strength of `b`, order effect included; log-odds of win against loss.
        outcome: 1, 0.5 (tie) or 0.
        tie_max: Log-odds of the largest probability of a tie that there is, reached at a difference of `tie_mode`.
        tie_scale: Log of how fast ties fade with the difference; 0 as in Davidson's model, less is slower.
        tie_mode: The difference at which ties are most likely.

    Returns:
        Natural-log probability, NaN for any other outcome. Davidson's model with `log_tie = tie_max + log 2` where
        scale and mode are 0.

    Example:
        >>> flat = jnp.zeros(())
        >>> generalized_davidson_log_prob(jnp.zeros(1), jnp.array([0.5]), flat, flat, flat)  # log 1/2
        Array([-0.6931472], dtype=float32)

    Source: Davidson (1970), doi:10.1080/01621459.1970.10481082; generalised in Turner & Firth (2012), BradleyTerry2,
    doi:10.18637/jss.v048.i09.
    """
    half = difference / 2
    s = jnp.exp(tie_scale)
    mode = jnp.broadcast_to(tie_mode, difference.shape)
    first, second = jax.nn.log_sigmoid(mode), jax.nn.log_sigmoid(-mode)
    entropy = -(jnp.exp(first) * first + jnp.exp(second) * second)
    pull = jnp.exp(first) - jnp.exp(second)
    tie = tie_max + s * (entropy + pull * half) + (1 - s) * jnp.logaddexp(half, -half)
    total = jax.nn.logsumexp(jnp.stack([half, -half, tie]), axis=0)
    return select_outcome(outcome, -half, tie, half) - total


class GeneralizedDavidson(AbstractModel[Comparisons | PairCounts]):
    """Bradley-Terry with ties whose frequency has parameters of its own.

    Attributes:
        strength: One number an item, natural-log worth, summing to zero.
        tie_max: Log-odds of the largest probability of a tie.
        tie_scale: Log of how fast ties fade with the difference in strength; 0 in Davidson's model.
        order_effect: Log-odds of what comes first (plays at home), where `data.order` is +1 for `a`, -1 for `b`.
        tie_mode: With an order effect: for `data.order` of +1, the difference in log-odds where ties are most likely.
            (0: between sides that are equal on that ground.)
        coefficient: Log-odds per unit of `data.features`, which must change sign when the sides are swapped.

    Example:
        >>> battles = sx.data.Comparisons.from_arrays([0, 0, 1, 1, 2, 2], [1, 1, 2, 2, 0, 0], [1, 0, 0.5, 1, 0.5, 0])
        >>> model = sx.inference.fit(GeneralizedDavidson.init(3, free_scale=False), battles).model
        >>> jax.nn.sigmoid(model.tie_max).round(3)  # the largest probability of a tie
        Array(0.388, dtype=float32)

    Source: Davidson (1970), doi:10.1080/01621459.1970.10481082; generalised in Turner & Firth (2012), BradleyTerry2,
    doi:10.18637/jss.v048.i09.
    """

    strength: Float[Array, " k"] = parameter(constraints.zero_sum(1))
    tie_max: Float[Array, ""] = parameter(constraints.real)
    tie_scale: Float[Array, ""] | None = None
    order_effect: Float[Array, ""] | None = None
    tie_mode: Float[Array, ""] | None = None
    coefficient: Float[Array, " d"] | None = None

    solver: ClassVar[AbstractSolver] = Newton()

    @classmethod
    def init(
        cls,
        n_items: int,
        *,
        free_scale: bool = True,
        order_effect: bool = False,
        free_mode: bool = False,
        n_features: int = 0,
        dtype: Any = float,
    ) -> "GeneralizedDavidson":
        """All strengths equal, a tie as likely as not: where `fit` and `sample` start.

        Args:
            n_items: Number of items, `k`.
            free_scale: Whether `tie_scale` is a parameter; 0 if not.
            order_effect: Whether coming first matters.
            free_mode: Whether `tie_mode` is a parameter; 0 if not.
            n_features: Number of features.
            dtype: Of the parameters.

        Raises:
            ValueError: a free mode without an order effect, or fewer than two items.
        """
        if free_mode and not order_effect:
            raise ValueError(
                "tie_mode belongs to the side that comes first: pass order_effect=True with free_mode=True"
            )
        shared = initial_leaves(n_items, order_effect=order_effect, n_features=n_features, dtype=dtype)
        zero = jnp.zeros((), shared.strength.dtype)
        return cls(
            **shared._asdict(),
            tie_max=zero,
            tie_scale=zero if free_scale else None,
            tie_mode=zero if free_mode else None,
        )

    @property
    def outcomes(self) -> tuple[float, ...]:
        """Loss, tie and win."""
        return (0.0, 0.5, 1.0)

    def log_prob(self, data: Comparisons | PairCounts) -> Float[Array, "..."]:
        """Log-probability of one observation of each row."""
        return self._log_prob(data, data.outcome)

    def _log_prob(self, data: Comparisons | PairCounts, outcome: Float[Array, "..."]) -> Float[Array, "..."]:
        difference = pair_difference(self, data)
        zero = jnp.zeros((), difference.dtype)
        mode = zero
        if self.tie_mode is not None and data.order is not None:
            mode = self.tie_mode * data.order.astype(difference.dtype)
        scale = zero if self.tie_scale is None else self.tie_scale
        return generalized_davidson_log_prob(difference, outcome.astype(difference.dtype), self.tie_max, scale, mode)

    def prior(self) -> "GeneralizedDavidson":
        """Exchangeable items on an unknown scale; `tie_max ~ Normal(0, 1.5)`, unit-normal scale, mode and effects."""
        shared = draw_shared(self)
        tie_max = jnp.asarray(numpyro.sample("tie_max", dist.Normal(0.0, 1.5)))
        unit = dist.Normal(0.0, 1.0)
        tie_scale = None if self.tie_scale is None else jnp.asarray(numpyro.sample("tie_scale", unit))
        tie_mode = None if self.tie_mode is None else jnp.asarray(numpyro.sample("tie_mode", unit))
        return GeneralizedDavidson(**shared._asdict(), tie_max=tie_max, tie_scale=tie_scale, tie_mode=tie_mode)

    def simulate(self, data: Comparisons | PairCounts, *, key: PRNGKeyArray) -> Comparisons:
        """New outcomes of the same comparisons, one observation a row."""
        each = [self._log_prob(data, jnp.full_like(data.outcome, y)) for y in self.outcomes]
        return draw_outcomes(jnp.stack(each, axis=-1), self.outcomes, data, key)

    def check(self, data: Comparisons | PairCounts) -> None:
        """Raise `ValueError` where data do not fit this model: ids out of range, missing columns, soft labels."""
        check_pairs(self, data)
        check_outcomes(self, data)
