"""Thurstone's cases III and IV: items whose performance scatters by different amounts."""

from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float, PRNGKeyArray
from numpyro.distributions import constraints

from scorax.choice._models._pairs import check_pairs, draw_outcomes, tabled
from scorax.choice._models._thurstone import Thurstone, thurstone_log_prob
from scorax.data import Comparisons, PairCounts
from scorax.inference import AbstractModel, AbstractSolver, Newton, fit, parameter
from scorax.numerics import available_dtype

_CASES = ("III", "IV")


def _of_equal_noise(model: Any, data: Comparisons | PairCounts) -> Any:
    """With the strengths of case V, from items that are all alike: there, nothing tells one noise from another."""
    equal = fit(Thurstone(model.strength), data, throw=False).model.strength
    known = jnp.isfinite(equal).all() & (model.strength == model.strength[0]).all()
    return eqx.tree_at(lambda model: model.strength, model, jnp.where(known, equal, model.strength))


class UnequalThurstone(AbstractModel[Comparisons | PairCounts]):
    r"""Items have a strength and a noise of their own; the better performance of the day wins.

    $$P(a \text{ beats } b) = \Phi\Big(\frac{s_a - s_b}{\sqrt{(\sigma_a^2 + \sigma_b^2) / 2}}\Big)$$

    (case III), or with the mean \((\sigma_a + \sigma_b) / 2\) in the denominator (case IV, close to it where the
    noises differ little). With equal noises it is `Thurstone`. A noisy item wins more often against better ones and
    less often against worse ones than an even one of its strength. A tie is half a win for each side.

    Only ratios of noises are identified, and four items or more, compared in enough pairs, are needed to tell them from
    the strengths. The likelihood is not concave, and flat in the noise of an item whose opponents are all as strong as
    it is: few votes want the prior.

    Attributes:
        strength: One number an item, summing to zero, in units of the noise of a comparison of two average items.
        log_noise: Natural log of each item's noise \(\sigma\), summing to zero.
        case: `"III"` or `"IV"`.

    Example:
        >>> battles = sx.data.Comparisons.from_arrays([0, 1], [1, 0], [1.0, 0.0])
        >>> model = UnequalThurstone(jnp.array([1.0, -1.0]), jnp.log(jnp.array([0.5, 2.0])))
        >>> jnp.exp(model.log_prob(battles)).round(3)  # Phi(2 / 1.4577)
        Array([0.915, 0.915], dtype=float32)

    Source: Thurstone (1927), doi:10.1037/h0070288.
    """

    strength: Float[Array, " k"] = parameter(constraints.zero_sum(1))
    log_noise: Float[Array, " k"] = parameter(constraints.zero_sum(1))
    case: str = eqx.field(static=True, default="III")

    solver: ClassVar[AbstractSolver] = Newton(approach_by=_of_equal_noise)

    def __check_init__(self):
        if self.case not in _CASES:
            raise ValueError(f"case must be 'III' or 'IV', not {self.case!r}; equal noises are Thurstone's case V")

    @classmethod
    def init(cls, n_items: int, *, case: str = "III", dtype: Any = float) -> "UnequalThurstone":
        """All items alike: where `fit` and `sample` start, and what gives them shapes and dtype."""
        if n_items < 4:
            raise ValueError(
                f"{n_items} items have no more pairs than parameters: noises of their own need four items or more. "
                "Use Thurstone."
            )
        nothing = jnp.zeros(n_items, available_dtype(dtype))
        return cls(nothing, nothing, case)

    def difference(self, data: Comparisons | PairCounts) -> Float[Array, "..."]:
        """Strength of `a` minus that of `b` in units of their noise, in the shape of `data.weight`."""
        noise = jnp.exp(self.log_noise)
        if self.case == "IV":
            return data.difference(self.strength) / (0.5 * _sum(data, noise))
        return data.difference(self.strength) / jnp.sqrt(0.5 * _sum(data, noise**2))

    def log_prob(self, data: Comparisons | PairCounts) -> Float[Array, "..."]:
        """Log-probability of one observation of each row."""
        difference = self.difference(data)
        return thurstone_log_prob(difference, data.outcome.astype(difference.dtype))

    def prior(self) -> "UnequalThurstone":
        """Exchangeable items on an unknown scale, `HalfNormal(1)`; log-noises scatter by 0.3."""
        scale = numpyro.sample("scale", dist.HalfNormal(1.0))
        strength = jnp.asarray(numpyro.sample("strength", dist.ZeroSumNormal(scale, self.strength.shape)))
        log_noise = jnp.asarray(numpyro.sample("log_noise", dist.ZeroSumNormal(0.3, self.log_noise.shape)))
        return UnequalThurstone(strength, log_noise, self.case)

    def simulate(self, data: Comparisons | PairCounts, *, key: PRNGKeyArray) -> Comparisons:
        """New outcomes of the same comparisons, one observation a row (see `data.expand()`).

        Raises:
            ValueError: `data` is a table: outcomes are drawn for rows.
        """
        difference = self.difference(data)
        each = [thurstone_log_prob(difference, jnp.full_like(difference, y)) for y in (0.0, 1.0)]
        return draw_outcomes(jnp.stack(each, axis=-1), (0.0, 1.0), data, key)

    def check(self, data: Comparisons | PairCounts) -> None:
        """Raise `ValueError` where data hold items that this model has not."""
        check_pairs(self, data)

    def condense(self, data: Comparisons | PairCounts) -> Comparisons | PairCounts:
        """The dense table of pair counts, if there are not too many items."""
        return tabled(data, self.strength.size)


def _sum(data: Comparisons | PairCounts, x: Float[Array, " k"]) -> Float[Array, "..."]:
    """The sum of a positive number over both sides of every row."""
    if isinstance(data, PairCounts):
        return jnp.broadcast_to((x[:, None] + x[None, :])[None], data.weight.shape)
    return x[data.a] + x[data.b]
