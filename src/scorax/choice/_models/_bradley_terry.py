"""Bradley-Terry: the log-odds that one item beats another are the difference of their strengths."""

from collections.abc import Callable
from typing import Any, ClassVar

import jax
from jaxtyping import Array, Float
from numpyro.distributions import constraints

from scorax.choice._models._half_wins import half_win_approach, half_win_derivatives
from scorax.choice._models._pair_derivatives import OutcomeDerivatives, pair_meat
from scorax.choice._models._pairs import AbstractPairModel, draw_shared, initial_leaves
from scorax.choice._models._table_likelihood import table_log_likelihood
from scorax.data import PairCounts
from scorax.inference import AbstractSolver, Newton, parameter


def bradley_terry_log_prob(difference: Float[Array, "*s"], outcome: Float[Array, "*s"]) -> Float[Array, "*s"]:
    r"""Log-probability of the outcome of a comparison.

    $$\log p = y \log \sigma(d) + (1 - y) \log \sigma(-d)$$

    Args:
        difference: Strength of `a` minus strength of `b`, plus whatever else favours `a`; natural log-odds.
        outcome: 1 if `a` won, 0 if `b` won, 0.5 for a tie that counts as half a win each, or any soft label in [0, 1].

    Returns:
        Natural-log probability, at most 0. (Of half wins it is the log of no probability, but a sufficient objective.)

    Example:
        >>> bradley_terry_log_prob(jnp.zeros(2), jnp.array([1.0, 0.0]))  # log 1/2
        Array([-0.6931472, -0.6931472], dtype=float32)

    Source: Bradley & Terry (1952), doi:10.2307/2334029; Zermelo (1929), doi:10.1007/BF01180541.
    """
    return outcome * jax.nn.log_sigmoid(difference) + (1 - outcome) * jax.nn.log_sigmoid(-difference)


class BradleyTerry(AbstractPairModel):
    """Items have a strength; a comparison is a biased coin whose log-odds are the difference.

    A tie is half a win for each side. Strengths are natural-log worths, identified up to a constant: they sum to zero.

    Attributes:
        strength: One number an item.
        order_effect: Log-odds of what comes first (plays at home), where `data.order` is +1 for `a`, -1 for `b`.
        coefficient: Log-odds per unit of `data.features`, which must change sign when the sides are swapped.

    Example:
        >>> battles = sx.data.Comparisons.from_arrays([0, 0, 1, 0], [1, 1, 0, 1], [1.0, 1.0, 1.0, 0.5])
        >>> sx.inference.fit(BradleyTerry.init(2), battles).model.strength.round(4)
        Array([ 0.2554, -0.2554], dtype=float32)

    Source: Bradley & Terry (1952), doi:10.2307/2334029.
    """

    strength: Float[Array, " k"] = parameter(constraints.zero_sum(1))
    order_effect: Float[Array, ""] | None = None
    coefficient: Float[Array, " d"] | None = None

    soft_labels: ClassVar[bool] = True
    solver: ClassVar[AbstractSolver] = Newton(half_win_derivatives, pair_meat, half_win_approach)

    @classmethod
    def init(
        cls, n_items: int, *, order_effect: bool = False, n_features: int = 0, dtype: Any = float
    ) -> "BradleyTerry":
        """All strengths equal: where `fit` and `sample` start, and what gives them shapes and dtype."""
        shared = initial_leaves(n_items, order_effect=order_effect, n_features=n_features, dtype=dtype)
        return cls(**shared._asdict())

    def outcome_log_prob(self, difference: Float[Array, "*s"], outcome: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """See `bradley_terry_log_prob`."""
        return bradley_terry_log_prob(difference, outcome)

    def outcome_derivatives(self, difference: Float[Array, "*s"], outcome: Float[Array, "*s"]) -> OutcomeDerivatives:
        """In closed form: residual and minus the variance."""
        p = jax.nn.sigmoid(difference)
        value = bradley_terry_log_prob(difference, outcome)
        return OutcomeDerivatives(value, (outcome - p)[..., None], -(p * (1 - p))[..., None, None])

    @property
    def closed_form(self) -> Callable[[PairCounts], Float[Array, ""]]:
        """See `table_log_likelihood`."""
        return lambda table: table_log_likelihood(self.strength, None, table)

    def prior(self) -> "BradleyTerry":
        """Exchangeable items on an unknown scale, `HalfNormal(1)`; unit-normal effects."""
        return BradleyTerry(**draw_shared(self)._asdict())
