"""Whether a study replicated: six answers to what that may mean."""

from statistics import NormalDist
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jax.scipy.special import ndtr
from jaxtyping import Array, Bool, Float

from scorax.evals._effect_size import EffectSize
from scorax.evals._normal import normal_interval, safe_root, two_sided_p_value, two_sided_quantile
from scorax.stats import Interval


class ReplicationReport(eqx.Module):
    """What a replication says of an original study. Numbers are NaN, and verdicts false, where not `analysable`."""

    analysable: Bool[Array, "*b"]
    """Both effects have a positive variance."""
    same_sign: Bool[Array, "*b"]
    significant: Bool[Array, "*b"]
    """The replication's effect differs from 0."""
    replicated: Bool[Array, "*b"]
    """Significant and of the same sign."""
    original_in_interval: Bool[Array, "*b"]
    """The original effect lies in the replication's interval."""
    in_prediction_interval: Bool[Array, "*b"]
    """The replication's effect lies where the original, with the noise of both, leads one to expect it."""
    informatively_small: Bool[Array, "*b"]
    """The replication's effect is below one that the original study could hardly have seen (small telescopes)."""
    p_value: Float[Array, "*b"]
    """Of the replication, two-sided."""
    prediction_interval: Interval
    z_difference: Float[Array, "*b"]
    """Replication minus original, in standard errors of the difference."""
    p_difference: Float[Array, "*b"]
    """Two-sided, of one effect in both studies."""
    small_effect: Float[Array, "*b"]
    """The effect, with the original's sign, that gives the original study a power of one third."""
    p_small: Float[Array, "*b"]
    """One-sided, of an effect at least so large as `small_effect`."""
    log_bayes_factor: Float[Array, "*b"]
    """Natural log of the replication Bayes factor: above 0 for an effect as the original found it, below 0 for none."""

    @property
    def success_rate(self) -> Float[Array, ""]:
        """Share replicated of the studies that could be analysed; NaN if there are none."""
        count = self.analysable.sum().astype(self.p_value.dtype)
        some = count > 0
        return jnp.where(some, self.replicated.sum().astype(count.dtype) / jnp.where(some, count, 1), jnp.nan)


def replication_report(
    original: EffectSize, replication: EffectSize, *, level: float = 0.95, power: float = 1 / 3
) -> ReplicationReport:
    r"""Compare the effects of original studies and of their replications, on one scale.

    All verdicts take effects as normal with their variances: give Fisher's z rather than r, log odds ratios, d. The
    Bayes factor compares \(\theta \sim N(\hat\theta_o, v_o)\), what the original study leaves one with, against
    \(\theta = 0\), by the density of the replication's effect:

    $$\log B = \log N(\hat\theta_r; \hat\theta_o, v_o + v_r) - \log N(\hat\theta_r; 0, v_r)$$

    Args:
        original: Effects of the original studies.
        replication: Effects of the same shape; of the same kind, and sign.
        level: Of intervals; tests reject at `1 - level`.
        power: Of the original study, for the effect that is called small.

    Returns:
        `ReplicationReport`, one for each study.

    Raises:
        ValueError: shapes differ, `level` is not inside (0, 1), or `power` not between `1 - level` and 1.

    Example:
        >>> original = sx.evals.effect_size("fisher_z", r=jnp.array([0.5, 0.3]), n=jnp.array([40, 50]))
        >>> replication = sx.evals.effect_size("fisher_z", r=jnp.array([0.4, 0.02]), n=200)
        >>> report = replication_report(original, replication)
        >>> report.replicated, report.informatively_small, report.log_bayes_factor.round(2)
        (Array([ True, False], dtype=bool), Array([False,  True], dtype=bool), Array([16.51, -2.37], dtype=float32))

    Source: Park, Schoenegger & Zhu (2023), arXiv 2302.07267 (significant and of the same sign); Open Science
    Collaboration (2015), doi:10.1126/science.aac4716; Patil, Peng & Leek (2016), doi:10.1177/1745691616646366
    (prediction intervals); Simonsohn (2015), doi:10.1177/0956797614567341 (small telescopes); Verhagen & Wagenmakers
    (2014), doi:10.1037/a0036731 (replication Bayes factors).
    """
    if original.value.shape != replication.value.shape:
        raise ValueError(f"effects differ in shape: {original.value.shape} and {replication.value.shape}")
    detectable = _effect_of_power(power, level)
    known = _usable(original) & _usable(replication)
    old, new = (jnp.where(known, study.value, 0) for study in (original, replication))
    old_noise, new_noise = (jnp.where(known, study.variance, 1) for study in (original, replication))

    def number(value: Any) -> Float[Array, "*b"]:
        return jnp.where(known, value, jnp.nan)

    both = old_noise + new_noise
    z, apart = new / safe_root(new_noise), (new - old) / safe_root(both)
    around, expected = normal_interval(new, safe_root(new_noise), level), normal_interval(old, safe_root(both), level)
    same_sign = known & (jnp.sign(old) * jnp.sign(new) > 0)
    p_value = two_sided_p_value(z)
    significant = known & (p_value < 1 - level)
    side = jnp.where(old < 0, -1, 1).astype(old.dtype)
    small = side * detectable * safe_root(old_noise)
    p_small = ndtr(side * (new - small) / safe_root(new_noise))
    return ReplicationReport(
        analysable=known,
        same_sign=same_sign,
        significant=significant,
        replicated=same_sign & significant,
        original_in_interval=known & _inside(old, around),
        in_prediction_interval=known & _inside(new, expected),
        informatively_small=known & (p_small < 1 - level),
        p_value=number(p_value),
        prediction_interval=Interval(number(expected.lower), number(expected.upper)),
        z_difference=number(apart),
        p_difference=number(two_sided_p_value(apart)),
        small_effect=number(small),
        p_small=number(p_small),
        log_bayes_factor=number((z**2 - apart**2 - jnp.log1p(old_noise / new_noise)) / 2),
    )


def _usable(study: EffectSize) -> Bool[Array, "*b"]:
    return jnp.isfinite(study.value) & jnp.isfinite(study.variance) & (study.variance > 0)


def _inside(value: Float[Array, "*b"], interval: Interval) -> Bool[Array, "*b"]:
    return (interval.lower <= value) & (value <= interval.upper)


def _effect_of_power(power: float, level: float) -> float:
    """In standard errors: what a two-sided test at `1 - level` finds with this probability."""
    quantile = two_sided_quantile(level)
    if not 1 - level < power < 1:
        raise ValueError(f"power must be between {1 - level:.3g}, that without an effect, and 1, not {power}")
    normal, lower, upper = NormalDist(), 0.0, quantile + 40.0
    for _ in range(100):
        middle = (lower + upper) / 2
        enough = normal.cdf(middle - quantile) + normal.cdf(-middle - quantile) >= power
        lower, upper = (lower, middle) if enough else (middle, upper)
    return (lower + upper) / 2
