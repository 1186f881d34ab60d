"""Comparisons that can end in a tie: Davidson's geometric-mean rule and Rao and Kupper's threshold."""

from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float
from numpyro.distributions import constraints

from scorax.choice._models._pair_derivatives import OutcomeDerivatives, kernel_derivatives
from scorax.choice._models._pairs import AbstractPairModel, draw_shared, initial_leaves, select_outcome
from scorax.choice._models._table_likelihood import table_log_likelihood
from scorax.data import PairCounts
from scorax.inference import parameter
from scorax.numerics import log1mexp


def davidson_log_prob(
    difference: Float[Array, "*s"], outcome: Float[Array, "*s"], log_tie: Float[Array, ""]
) -> Float[Array, "*s"]:
    r"""Log-probability of win, tie or loss under Davidson's model.

    Win, loss and tie have log-weights \(d/2\), \(-d/2\) and \(\log\delta\): a tie is as likely as the geometric mean
    of the two worths, times \(\delta\).

    Args:
        difference: Strength of `a` minus strength of `b`, natural log-odds of a win against a loss.
        outcome: 1, 0.5 (tie) or 0.
        log_tie: \(\log\delta\), any real number. Two equal items tie with probability `delta / (2 + delta)`.

    Returns:
        Natural-log probability, NaN for any other outcome.

    Example:
        >>> davidson_log_prob(jnp.zeros(1), jnp.array([0.5]), jnp.array(0.0))  # log 1/3
        Array([-1.0986123], dtype=float32)

    Source: Davidson (1970), doi:10.1080/01621459.1970.10481082.
    """
    tie = jnp.broadcast_to(log_tie, difference.shape)
    half = difference / 2
    total = jax.nn.logsumexp(jnp.stack([half, -half, tie]), axis=0)
    return select_outcome(outcome, -half, tie, half) - total


def rao_kupper_log_prob(
    difference: Float[Array, "*s"], outcome: Float[Array, "*s"], margin: Float[Array, ""]
) -> Float[Array, "*s"]:
    r"""Log-probability of win, tie or loss under Rao and Kupper's model.

    A win needs the noisy difference to exceed a margin \(\eta\): \(P(\text{win}) = \sigma(d - \eta)\),
    \(P(\text{loss}) = \sigma(-d - \eta)\), and the tie has the rest. An ordinal logit with symmetric cut points.

    Args:
        difference: Strength of `a` minus strength of `b`.
        outcome: 1, 0.5 (tie) or 0.
        margin: \(\eta > 0\), in units of strength. At 0 ties are impossible: `-inf`.

    Returns:
        Natural-log probability, NaN for any other outcome.

    Example:
        >>> rao_kupper_log_prob(jnp.zeros(1), jnp.array([0.5]), jnp.array(1.0))  # log(sigmoid(1) - sigmoid(-1))
        Array([-0.7719368], dtype=float32)

    Source: Rao & Kupper (1967), doi:10.1080/01621459.1967.10482901.
    """
    margin = jnp.broadcast_to(margin, difference.shape)
    return select_outcome(
        outcome,
        jax.nn.log_sigmoid(-difference - margin),
        # The width of the interval is 2 * margin exactly, where a difference of its ends would round to zero.
        jax.nn.log_sigmoid(margin - difference) + jax.nn.log_sigmoid(margin + difference) + log1mexp(2 * margin),
        jax.nn.log_sigmoid(difference - margin),
    )


class Davidson(AbstractPairModel):
    """Bradley-Terry with ties, as likely as the geometric mean of the two worths.

    Attributes:
        strength: One number an item, natural-log worth, summing to zero.
        log_tie: Log of the tie parameter; two equal items tie with probability `delta / (2 + delta)`.
        order_effect: Log-odds of what comes first, where `data.order` is +1 for `a`, -1 for `b`.
        coefficient: Log-odds per unit of `data.features`, which must change sign when the sides are swapped.

    Example:
        >>> battles = sx.data.Comparisons.from_arrays([0, 0, 1, 0], [1, 1, 0, 1], [1.0, 1.0, 1.0, 0.5])
        >>> result = sx.inference.fit(Davidson.init(2), battles)
        >>> gap = result.model.strength[0] - result.model.strength[1]  # wins 2 to 1 among the decided
        >>> gap.round(3)
        Array(0.693, dtype=float32)

    Source: Davidson (1970), doi:10.1080/01621459.1970.10481082.
    """

    strength: Float[Array, " k"] = parameter(constraints.zero_sum(1))
    log_tie: Float[Array, ""] = parameter(constraints.real)
    order_effect: Float[Array, ""] | None = None
    coefficient: Float[Array, " d"] | None = None

    soft_labels: ClassVar[bool] = False

    @classmethod
    def init(cls, n_items: int, *, order_effect: bool = False, n_features: int = 0, dtype: Any = float) -> "Davidson":
        """All strengths equal, win, tie and loss equally likely: where `fit` and `sample` start."""
        shared = initial_leaves(n_items, order_effect=order_effect, n_features=n_features, dtype=dtype)
        return cls(log_tie=jnp.zeros((), dtype), **shared._asdict())

    def outcome_log_prob(self, difference: Float[Array, "*s"], outcome: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """See `davidson_log_prob`."""
        return davidson_log_prob(difference, outcome, self.log_tie)

    def outcome_derivatives(self, difference: Float[Array, "*s"], outcome: Float[Array, "*s"]) -> OutcomeDerivatives:
        """In the difference and in `log_tie`."""
        return kernel_derivatives(davidson_log_prob, difference, outcome, self.log_tie)

    @property
    def closed_form(self) -> Callable[[PairCounts], Float[Array, ""]]:
        """See `table_log_likelihood`."""
        return lambda table: table_log_likelihood(self.strength, self.log_tie, table)

    def prior(self) -> "Davidson":
        """Exchangeable items on an unknown scale; `log_tie ~ Normal(0, 1.5)`: equal items tie 3 to 90 % of the time."""
        shared = draw_shared(self)
        log_tie = jnp.asarray(numpyro.sample("log_tie", dist.Normal(0.0, 1.5)))
        return Davidson(log_tie=log_tie, **shared._asdict())


class RaoKupper(AbstractPairModel):
    """Bradley-Terry with ties, where a win needs a margin.

    Attributes:
        strength: One number an item, natural-log worth, summing to zero.
        margin: Positive, in units of strength; two equal items tie with probability `tanh(margin / 2)`.
        order_effect: Log-odds of what comes first, where `data.order` is +1 for `a`, -1 for `b`.
        coefficient: Log-odds per unit of `data.features`, which must change sign when the sides are swapped.

    Example:
        >>> battles = sx.data.Comparisons.from_arrays([0, 0, 1, 0], [1, 1, 0, 1], [1.0, 1.0, 1.0, 0.5])
        >>> sx.inference.fit(RaoKupper.init(2), battles).model.margin.round(3)
        Array(0.549, dtype=float32)

    Source: Rao & Kupper (1967), doi:10.1080/01621459.1967.10482901.
    """

    strength: Float[Array, " k"] = parameter(constraints.zero_sum(1))
    margin: Float[Array, ""] = parameter(constraints.positive)
    order_effect: Float[Array, ""] | None = None
    coefficient: Float[Array, " d"] | None = None

    soft_labels: ClassVar[bool] = False

    @classmethod
    def init(cls, n_items: int, *, order_effect: bool = False, n_features: int = 0, dtype: Any = float) -> "RaoKupper":
        """All strengths equal, a margin of one half: where `fit` and `sample` start."""
        shared = initial_leaves(n_items, order_effect=order_effect, n_features=n_features, dtype=dtype)
        return cls(margin=jnp.full((), 0.5, dtype), **shared._asdict())

    def outcome_log_prob(self, difference: Float[Array, "*s"], outcome: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """See `rao_kupper_log_prob`."""
        return rao_kupper_log_prob(difference, outcome, self.margin)

    def outcome_derivatives(self, difference: Float[Array, "*s"], outcome: Float[Array, "*s"]) -> OutcomeDerivatives:
        """In the difference and in `margin`."""
        return kernel_derivatives(rao_kupper_log_prob, difference, outcome, self.margin)

    def prior(self) -> "RaoKupper":
        """Exchangeable items on an unknown scale; `margin ~ HalfNormal(1)`."""
        shared = draw_shared(self)
        margin = jnp.asarray(numpyro.sample("margin", dist.HalfNormal(1.0)))
        return RaoKupper(margin=margin, **shared._asdict())
