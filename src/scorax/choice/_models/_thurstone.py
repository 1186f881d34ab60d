"""Thurstone's law of comparative judgment: noise other than the logistic one, and a probit margin for ties."""

import math
from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float
from numpyro.distributions import constraints

from scorax.choice._models._pair_derivatives import OutcomeDerivatives, kernel_derivatives
from scorax.choice._models._pairs import AbstractPairModel, draw_shared, initial_leaves, select_outcome
from scorax.inference import parameter
from scorax.numerics import log1mexp, log_ndtr


def thurstone_log_prob(difference: Float[Array, "*s"], outcome: Float[Array, "*s"]) -> Float[Array, "*s"]:
    r"""Log-probability of the outcome of a comparison under normal noise (case V).

    $$\log p = y \log \Phi(d) + (1 - y) \log \Phi(-d)$$

    Args:
        difference: Strength of `a` minus strength of `b`, in standard deviations of the noise of a comparison.
        outcome: 1 if `a` won, 0 if `b` won, 0.5 for a tie that counts as half a win each, or any soft label in [0, 1].

    Returns:
        Natural-log probability, at most 0; two derivatives are exact in the far tail.

    Example:
        >>> thurstone_log_prob(jnp.array([0.0, -40.0]), jnp.ones(2))
        Array([-6.931472e-01, -8.046084e+02], dtype=float32)

    Source: Thurstone (1927), doi:10.1037/h0070288; Mosteller (1951), doi:10.1007/BF02313422.
    """
    return outcome * log_ndtr(difference) + (1 - outcome) * log_ndtr(-difference)


def cauchit_log_prob(difference: Float[Array, "*s"], outcome: Float[Array, "*s"]) -> Float[Array, "*s"]:
    r"""Log-probability of the outcome of a comparison under Cauchy noise: surprises stay possible at any difference.

    $$P(a \text{ wins}) = \tfrac12 + \tfrac1\pi \arctan d$$

    Args:
        difference: Strength of `a` minus strength of `b`, in units of the noise.
        outcome: As in `thurstone_log_prob`.

    Example:
        >>> cauchit_log_prob(jnp.array([1.0]), jnp.array([1.0]))  # log 3/4
        Array([-0.28768206], dtype=float32)

    Source: McCullagh & Nelder (1989), "Generalized Linear Models", 4.3.
    """
    return outcome * _log_cauchy(difference) + (1 - outcome) * _log_cauchy(-difference)


def _log_cauchy(x: Float[Array, "*s"]) -> Float[Array, "*s"]:
    # The angle of (-x, 1): it keeps its digits where 1/2 + arctan(x)/pi would cancel.
    return jnp.log(jnp.arctan2(jnp.ones_like(x), -x)) - jnp.asarray(math.log(math.pi), x.dtype)


def glenn_david_log_prob(
    difference: Float[Array, "*s"], outcome: Float[Array, "*s"], margin: Float[Array, ""]
) -> Float[Array, "*s"]:
    r"""Log-probability of win, tie or loss where normal noise must exceed a margin.

    \(P(\text{win}) = \Phi(d - \eta)\), \(P(\text{loss}) = \Phi(-d - \eta)\), and the tie has the rest.

    Args:
        difference: Strength of `a` minus strength of `b`.
        outcome: 1, 0.5 (tie) or 0.
        margin: \(\eta > 0\), in units of strength. At 0 ties are impossible: `-inf`.

    Returns:
        Natural-log probability, NaN for any other outcome.

    Example:
        >>> glenn_david_log_prob(jnp.zeros(1), jnp.array([0.5]), jnp.array(1.0))  # log 0.6827
        Array([-0.3817], dtype=float32)

    Source: Glenn & David (1960), doi:10.2307/2527957.
    """
    margin = jnp.broadcast_to(margin, difference.shape)
    # Symmetric in the difference, so the side where both distribution functions are small will do.
    left = jnp.where(difference > 0, -difference, difference)
    above, below = log_ndtr(left + margin), log_ndtr(left - margin)
    return select_outcome(
        outcome, log_ndtr(-difference - margin), above + log1mexp(above - below), log_ndtr(difference - margin)
    )


_LINKS: dict[str, Callable[[Array, Array], Array]] = {"probit": thurstone_log_prob, "cauchit": cauchit_log_prob}


class Thurstone(AbstractPairModel):
    """Items have a strength; the better one wins unless noise, normal by default, says otherwise.

    A tie is half a win for each side.

    Attributes:
        strength: One number an item, in units of the noise of a comparison, summing to zero. (Odds are 10 to 1 at 1.34;
            in Bradley and Terry's units at 2.30.)
        order_effect: What coming first is worth, where `data.order` is +1 for `a`, -1 for `b`.
        coefficient: Worth of a unit of `data.features`, which must change sign when the sides are swapped.
        link: `"probit"`, or `"cauchit"` for noise with heavy tails.

    Example:
        >>> battles = sx.data.Comparisons.from_arrays([0, 0, 1, 0], [1, 1, 0, 1], [1.0, 1.0, 1.0, 0.5])
        >>> sx.inference.fit(Thurstone.init(2), battles).model.strength.round(4)  # Phi(0.3186) = 2.5 / 4
        Array([ 0.1593, -0.1593], dtype=float32)

    Source: Thurstone (1927), doi:10.1037/h0070288; Mosteller (1951), doi:10.1007/BF02313422.
    """

    strength: Float[Array, " k"] = parameter(constraints.zero_sum(1))
    order_effect: Float[Array, ""] | None = None
    coefficient: Float[Array, " d"] | None = None
    link: str = eqx.field(static=True, default="probit")

    soft_labels: ClassVar[bool] = True

    def __check_init__(self):
        if self.link not in _LINKS:
            raise ValueError(f"link must be one of {', '.join(map(repr, _LINKS))}, not {self.link!r}")

    @classmethod
    def init(
        cls,
        n_items: int,
        *,
        link: str = "probit",
        order_effect: bool = False,
        n_features: int = 0,
        dtype: Any = float,
    ) -> "Thurstone":
        """All strengths equal: where `fit` and `sample` start, and what gives them shapes and dtype."""
        shared = initial_leaves(n_items, order_effect=order_effect, n_features=n_features, dtype=dtype)
        return cls(**shared._asdict(), link=link)

    def outcome_log_prob(self, difference: Float[Array, "*s"], outcome: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """See `thurstone_log_prob` and `cauchit_log_prob`."""
        return _LINKS[self.link](difference, outcome)

    def outcome_derivatives(self, difference: Float[Array, "*s"], outcome: Float[Array, "*s"]) -> OutcomeDerivatives:
        """In the difference."""
        return kernel_derivatives(_LINKS[self.link], difference, outcome)

    def prior(self) -> "Thurstone":
        """Exchangeable items on an unknown scale, `HalfNormal(1)`; unit-normal effects."""
        return Thurstone(**draw_shared(self)._asdict(), link=self.link)


class GlennDavid(AbstractPairModel):
    """Thurstone's model with ties, where a win needs a margin.

    Attributes:
        strength: One number an item, in units of the noise of a comparison, summing to zero.
        margin: Positive, in units of strength; two equal items tie with probability `2 Phi(margin) - 1`.
        order_effect: What coming first is worth, where `data.order` is +1 for `a`, -1 for `b`.
        coefficient: Worth of a unit of `data.features`, which must change sign when the sides are swapped.

    Example:
        >>> battles = sx.data.Comparisons.from_arrays([0, 0, 1, 0], [1, 1, 0, 1], [1.0, 1.0, 1.0, 0.5])
        >>> sx.inference.fit(GlennDavid.init(2), battles).model.margin.round(3)
        Array(0.337, dtype=float32)

    Source: Glenn & David (1960), doi:10.2307/2527957.
    """

    strength: Float[Array, " k"] = parameter(constraints.zero_sum(1))
    margin: Float[Array, ""] = parameter(constraints.positive)
    order_effect: Float[Array, ""] | None = None
    coefficient: Float[Array, " d"] | None = None

    soft_labels: ClassVar[bool] = False

    @classmethod
    def init(cls, n_items: int, *, order_effect: bool = False, n_features: int = 0, dtype: Any = float) -> "GlennDavid":
        """All strengths equal, a margin of one half: where `fit` and `sample` start."""
        shared = initial_leaves(n_items, order_effect=order_effect, n_features=n_features, dtype=dtype)
        return cls(margin=jnp.full((), 0.5, shared.strength.dtype), **shared._asdict())

    def outcome_log_prob(self, difference: Float[Array, "*s"], outcome: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """See `glenn_david_log_prob`."""
        return glenn_david_log_prob(difference, outcome, self.margin)

    def outcome_derivatives(self, difference: Float[Array, "*s"], outcome: Float[Array, "*s"]) -> OutcomeDerivatives:
        """In the difference and in `margin`."""
        return kernel_derivatives(glenn_david_log_prob, difference, outcome, self.margin)

    def prior(self) -> "GlennDavid":
        """Exchangeable items on an unknown scale; `margin ~ HalfNormal(1)`."""
        shared = draw_shared(self)
        margin = jnp.asarray(numpyro.sample("margin", dist.HalfNormal(1.0)))
        return GlennDavid(margin=margin, **shared._asdict())
