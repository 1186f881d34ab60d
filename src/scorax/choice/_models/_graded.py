"""Graded comparisons: not only who won, but by how much, on an ordered scale of levels."""

from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float, Int
from numpyro.distributions import constraints

from scorax.choice._models._pair_derivatives import OutcomeDerivatives, kernel_derivatives
from scorax.choice._models._pairs import AbstractPairModel, draw_shared, initial_leaves
from scorax.inference import parameter
from scorax.numerics import log1mexp


def graded_log_prob(
    difference: Float[Array, "*s"], level: Int[Array, "*s"], cutpoint: Float[Array, " c"]
) -> Float[Array, "*s"]:
    r"""Log-probability of a level of an ordered scale, from much worse to much better.

    Cumulative logits: \(P(\text{level} \le y) = \sigma(c_y - d)\).

    Args:
        difference: Strength of `a` minus strength of `b`, natural log-odds.
        level: 0 (`b` much better) to `m - 1` (`a` much better).
        cutpoint: Ascending. Where `c[y] = -c[m - 2 - y]` swapping the items reverses the scale.

    Returns:
        Natural-log probability of each level, at most 0; of equal cut points `-inf`.

    Example:
        >>> graded_log_prob(jnp.zeros(3), jnp.arange(3), jnp.array([-1.0, 1.0]))
        Array([-1.3132617 , -0.77193683, -1.3132617 ], dtype=float32)

    Source: McCullagh (1980), doi:10.1111/j.2517-6161.1980.tb01109.x; Agresti (1992), doi:10.2307/2347562.
    """
    highest = cutpoint.shape[0]
    first, last = level == 0, level == highest
    below, above = cutpoint[jnp.maximum(level - 1, 0)], cutpoint[jnp.minimum(level, highest - 1)]
    # The width of the interval from the cut points, where a difference of its ends would round.
    width = jnp.where(first | last, jnp.ones_like(below), above - below)
    between = jax.nn.log_sigmoid(above - difference) + jax.nn.log_sigmoid(difference - below) + log1mexp(width)
    lowest, top = jax.nn.log_sigmoid(above - difference), jax.nn.log_sigmoid(difference - below)
    return jnp.where(first, lowest, jnp.where(last, top, between))


def adjacent_log_prob(
    difference: Float[Array, "*s"], level: Int[Array, "*s"], log_weight: Float[Array, " m"]
) -> Float[Array, "*s"]:
    r"""Log-probability of a level by adjacent categories: \(P(y) \propto e^{\tau_y + (y - (m - 1)/2)\, d}\).

    An exponential family, so the log-likelihood is concave. Three levels are Davidson's model with twice the
    difference.

    Args:
        difference: Strength of `a` minus strength of `b`: the log-odds of a level against the one below, cut points
            aside.
        level: 0 (`b` much better) to `m - 1` (`a` much better).
        log_weight: \(\tau\); symmetric where swapping the items reverses the scale.

    Example:
        >>> adjacent_log_prob(jnp.zeros(3), jnp.arange(3), jnp.zeros(3))  # log 1/3
        Array([-1.0986123, -1.0986123, -1.0986123], dtype=float32)

    Source: Agresti (1992), doi:10.2307/2347562.
    """
    m = log_weight.shape[0]
    step = jnp.broadcast_to(jnp.arange(m, dtype=difference.dtype) - (m - 1) / 2, (*difference.shape, m))
    logits = difference[..., None] * step + jnp.broadcast_to(log_weight, step.shape)
    chosen = jnp.broadcast_to(jnp.arange(m, dtype=level.dtype), step.shape) == level[..., None]
    return jnp.where(chosen, jax.nn.log_softmax(logits), 0).sum(-1)


class GradedComparison(AbstractPairModel):
    """Bradley-Terry on an ordered scale: "much better", "slightly better", perhaps "equal", and so on down.

    An outcome says where on the scale a comparison lies, evenly from 0 (`b` much better) over 1/2 (equal) to 1 (`a`
    much better): of seven levels 0, 1/6, ..., 1. The scale is symmetric: swapping the items reverses it.

    Attributes:
        strength: One number an item, natural log-odds of the upper against the lower half of the scale.
        margin: Widths of the levels from the middle upwards, in units of strength: half of the middle level's, if there
            is one, then those above, without the highest, which has no end. The levels below mirror them.
        order_effect: What coming first is worth, where `data.order` is +1 for `a`, -1 for `b`.
        coefficient: Worth of a unit of `data.features`, which must change sign when the sides are swapped.
        n_levels: At least 3. Three levels are Rao and Kupper's model.

    Example:
        >>> votes = sx.data.Comparisons.from_arrays([0, 0, 1, 0, 1], [1, 1, 0, 1, 0], [1.0, 0.75, 1.0, 0.5, 0.25])
        >>> sx.inference.fit(GradedComparison.init(2, 5), votes).model.margin.round(2)
        Array([0.48, 1.05], dtype=float32)

    Source: Agresti (1992), doi:10.2307/2347562; Wang et al. (2025), arXiv:2410.01257 (strength of preference).
    """

    strength: Float[Array, " k"] = parameter(constraints.zero_sum(1))
    margin: Float[Array, " h"] = parameter(constraints.positive)
    order_effect: Float[Array, ""] | None = None
    coefficient: Float[Array, " d"] | None = None
    n_levels: int = eqx.field(static=True, default=3)

    soft_labels: ClassVar[bool] = False

    @classmethod
    def init(
        cls, n_items: int, n_levels: int, *, order_effect: bool = False, n_features: int = 0, dtype: Any = float
    ) -> "GradedComparison":
        """All strengths equal, margins of one half: where `fit` and `sample` start."""
        if n_levels < 3:
            raise ValueError(f"a graded scale has three levels or more, not {n_levels}; two are BradleyTerry")
        shared = initial_leaves(n_items, order_effect=order_effect, n_features=n_features, dtype=dtype)
        margin = jnp.full((n_levels - 1) // 2, 0.5, shared.strength.dtype)
        return cls(margin=margin, **shared._asdict(), n_levels=n_levels)

    @property
    def outcomes(self) -> tuple[float, ...]:
        """The levels, evenly from 0 to 1."""
        return tuple(level / (self.n_levels - 1) for level in range(self.n_levels))

    def outcome_log_prob(self, difference: Float[Array, "*s"], outcome: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """See `graded_log_prob`."""
        return self._kernel(difference, outcome, self.margin)

    def outcome_derivatives(self, difference: Float[Array, "*s"], outcome: Float[Array, "*s"]) -> OutcomeDerivatives:
        """In the difference and in the margins."""
        return kernel_derivatives(self._kernel, difference, outcome, self.margin)

    @property
    def _kernel(self) -> Callable[[Array, Array, Array], Array]:
        def log_prob(difference: Array, outcome: Array, margin: Array) -> Array:
            upper = jnp.cumsum(margin)
            middle = [] if self.n_levels % 2 else [jnp.zeros(1, upper.dtype)]
            cutpoint = jnp.concatenate([-upper[::-1], *middle, upper])
            return graded_log_prob(difference, _level(outcome, self.n_levels), cutpoint)

        return log_prob

    def prior(self) -> "GradedComparison":
        """Exchangeable items on an unknown scale; `margin ~ HalfNormal(1)`."""
        shared = draw_shared(self)
        unit = dist.HalfNormal(1.0).expand(self.margin.shape).to_event(1)
        margin = jnp.asarray(numpyro.sample("margin", unit))
        return GradedComparison(margin=margin, **shared._asdict(), n_levels=self.n_levels)


class AdjacentComparison(AbstractPairModel):
    """The graded scale of `GradedComparison` by adjacent categories: always a concave log-likelihood.

    Attributes:
        strength: One number an item: the log-odds of a level against the one below it, cut points aside.
        log_weight: How common each level above the middle is among equal items, on the log scale; the middle (of an
            even number of levels: the two in the middle) has 0, and the levels below mirror those above.
        order_effect: What coming first is worth, where `data.order` is +1 for `a`, -1 for `b`.
        coefficient: Worth of a unit of `data.features`, which must change sign when the sides are swapped.
        n_levels: At least 3. Three levels are Davidson's model, with half its strengths.

    Example:
        >>> votes = sx.data.Comparisons.from_arrays([0, 0, 1, 0, 1], [1, 1, 0, 1, 0], [1.0, 0.75, 1.0, 0.5, 0.25])
        >>> sx.inference.fit(AdjacentComparison.init(2, 5), votes).model.strength.round(3)
        Array([ 0.105, -0.105], dtype=float32)

    Source: Agresti (1992), doi:10.2307/2347562.
    """

    strength: Float[Array, " k"] = parameter(constraints.zero_sum(1))
    log_weight: Float[Array, " h"] = parameter(constraints.real)
    order_effect: Float[Array, ""] | None = None
    coefficient: Float[Array, " d"] | None = None
    n_levels: int = eqx.field(static=True, default=3)

    soft_labels: ClassVar[bool] = False

    @classmethod
    def init(
        cls, n_items: int, n_levels: int, *, order_effect: bool = False, n_features: int = 0, dtype: Any = float
    ) -> "AdjacentComparison":
        """All strengths equal, all levels equally likely: where `fit` and `sample` start."""
        if n_levels < 3:
            raise ValueError(f"a graded scale has three levels or more, not {n_levels}; two are BradleyTerry")
        shared = initial_leaves(n_items, order_effect=order_effect, n_features=n_features, dtype=dtype)
        log_weight = jnp.zeros((n_levels - 1) // 2, shared.strength.dtype)
        return cls(log_weight=log_weight, **shared._asdict(), n_levels=n_levels)

    @property
    def outcomes(self) -> tuple[float, ...]:
        """The levels, evenly from 0 to 1."""
        return tuple(level / (self.n_levels - 1) for level in range(self.n_levels))

    def outcome_log_prob(self, difference: Float[Array, "*s"], outcome: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """See `adjacent_log_prob`."""
        return self._kernel(difference, outcome, self.log_weight)

    def outcome_derivatives(self, difference: Float[Array, "*s"], outcome: Float[Array, "*s"]) -> OutcomeDerivatives:
        """In the difference and in `log_weight`."""
        return kernel_derivatives(self._kernel, difference, outcome, self.log_weight)

    @property
    def _kernel(self) -> Callable[[Array, Array, Array], Array]:
        def log_prob(difference: Array, outcome: Array, log_weight: Array) -> Array:
            middle = jnp.zeros(2 - self.n_levels % 2, log_weight.dtype)
            both_halves = jnp.concatenate([log_weight[::-1], middle, log_weight])
            return adjacent_log_prob(difference, _level(outcome, self.n_levels), both_halves)

        return log_prob

    def prior(self) -> "AdjacentComparison":
        """Exchangeable items on an unknown scale; `log_weight ~ Normal(0, 2)`."""
        shared = draw_shared(self)
        wide = dist.Normal(0.0, 2.0).expand(self.log_weight.shape).to_event(1)
        log_weight = jnp.asarray(numpyro.sample("log_weight", wide))
        return AdjacentComparison(log_weight=log_weight, **shared._asdict(), n_levels=self.n_levels)


def _level(outcome: Float[Array, "*s"], n_levels: int) -> Int[Array, "*s"]:
    return jnp.round(outcome * (n_levels - 1)).astype(jnp.int32)
