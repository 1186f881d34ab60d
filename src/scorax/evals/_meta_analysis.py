"""Pooled effects of several studies, or of several runs of one: fixed and random effects."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.special import gammaincc
from jaxtyping import Array, Bool, Float

from scorax.evals._normal import checked_level, normal_interval, safe_root, two_sided_p_value
from scorax.numerics import t_quantile
from scorax.stats import Interval


class MetaAnalysis(eqx.Module):
    """A pooled effect and how much studies differ. NaN where a variance is not positive or there is no study."""

    value: Float[Array, "*b"]
    variance: Float[Array, "*b"]
    heterogeneity: Float[Array, "*b"]
    """Cochran's Q: squared distances from the fixed-effect mean, in units of their variances."""
    tau_squared: Float[Array, "*b"]
    """Variance of the true effects between studies; NaN for a single study."""
    n: Float[Array, "*b"]
    """How many studies take part."""

    @property
    def std_error(self) -> Float[Array, "*b"]:
        """Of the pooled effect."""
        return safe_root(self.variance)

    @property
    def p_value(self) -> Float[Array, "*b"]:
        """Two-sided, of no effect."""
        return two_sided_p_value(self.value / self.std_error)

    @property
    def heterogeneity_p_value(self) -> Float[Array, "*b"]:
        """Of one effect for all studies; NaN for a single study."""
        several = self.n > 1
        degrees = jax.lax.stop_gradient(jnp.where(several, self.n - 1, 1))
        return jnp.where(several, gammaincc(degrees / 2, self.heterogeneity / 2), jnp.nan)

    @property
    def i_squared(self) -> Float[Array, "*b"]:
        """Share of the variation between estimates that is not noise; NaN for a single study."""
        some = self.heterogeneity > 0
        share = jnp.where(some, 1 - (self.n - 1) / jnp.where(some, self.heterogeneity, 1), 0)
        known = (self.n > 1) & (self.heterogeneity >= 0)
        return jnp.where(known, jnp.maximum(share, 0), jnp.nan)

    def interval(self, level: float = 0.95) -> Interval:
        """Normal interval of the pooled effect.

        Raises:
            ValueError: `level` is not inside (0, 1).
        """
        return normal_interval(self.value, self.std_error, level)

    def prediction_interval(self, level: float = 0.95) -> Interval:
        """Where the true effect of a new study may lie, by Student's t with n - 2 degrees; NaN below three studies.

        Raises:
            ValueError: `level` is not inside (0, 1).
        """
        several = self.n > 2
        degrees = jax.lax.stop_gradient(jnp.where(several, self.n - 2, 1))
        quantile = t_quantile(jnp.asarray((1 + checked_level(level)) / 2, self.value.dtype), degrees)
        reach = jnp.where(several, quantile * safe_root(self.variance + self.tau_squared), jnp.nan)
        return Interval(self.value - reach, self.value + reach)


def meta_analysis(
    effect: Float[Array, "*b k"],
    variance: Float[Array, "*b k"],
    *,
    method: str = "dersimonian_laird",
    where: Bool[Array, "*b k"] | None = None,
) -> MetaAnalysis:
    r"""The mean effect of studies, each weighed by the inverse of its variance.

    $$\hat\tau^2 = \max\Big(0, \frac{Q - (k - 1)}{\sum w_i - \sum w_i^2 / \sum w_i}\Big), \quad w_i = 1 / v_i$$

    Args:
        effect: Of each study, on a scale where errors are close to normal (Fisher's z, log odds ratios).
        variance: Of each estimate, above 0.
        method: `"fixed"`: one true effect. `"dersimonian_laird"`: true effects vary with variance \(\tau^2\), by the
            moment estimate above; with few studies that is uncertain, and its uncertainty is not in the interval.
        where: Studies that take part.

    Returns:
        `MetaAnalysis`. With random effects a single study is NaN: it does not say how studies vary.

    Raises:
        ValueError: there is no such method.

    Example:
        >>> found = meta_analysis(jnp.array([0.1, 0.3, 0.8]), jnp.array([0.04, 0.02, 0.03]))
        >>> found.value.round(4), found.std_error.round(4), found.tau_squared.round(4)
        (Array(0.4047, dtype=float32), Array(0.1977, dtype=float32), Array(0.0878, dtype=float32))

    Source: DerSimonian & Laird (1986), doi:10.1016/0197-2456(86)90046-2; Higgins & Thompson (2002),
    doi:10.1002/sim.1186 (I²); Higgins, Thompson & Spiegelhalter (2009), doi:10.1111/j.1467-985X.2008.00552.x
    (prediction).
    """
    if method not in ("fixed", "dersimonian_laird"):
        raise ValueError(f"method must be 'fixed' or 'dersimonian_laird', not {method!r}")
    part = jnp.ones(effect.shape, bool) if where is None else where
    effect = jnp.where(part, effect, 0)
    usable = part & (variance > 0)
    known = part.any(-1) & (usable == part).all(-1)
    safe = jnp.where(usable, variance, 1)
    n = part.sum(-1).astype(effect.dtype)

    def pooled(extra: Array) -> tuple[Array, Array, Array]:
        weight = jnp.where(usable, 1 / (safe + extra[..., None]), 0)
        total = jnp.where(known, weight.sum(-1), 1)
        return weight, total, (weight * effect).sum(-1) / total

    weight, total, mean = pooled(jnp.zeros_like(n))
    q = (weight * (effect - mean[..., None]) ** 2).sum(-1)
    several = known & (n > 1)
    spread = jnp.where(several, total - (weight**2).sum(-1) / total, 1)
    between = jnp.where(several, jnp.maximum((q - (n - 1)) / spread, 0), jnp.nan)
    if method == "dersimonian_laird":
        known = several
        _, total, mean = pooled(jnp.where(several, between, 0))
    value, noise = (jnp.where(known, v, jnp.nan) for v in (mean, 1 / total))
    return MetaAnalysis(value, noise, jnp.where(known, q, jnp.nan), between, n)
