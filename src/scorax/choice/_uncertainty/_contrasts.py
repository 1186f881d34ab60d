"""Is one item better than another: differences of strengths with their own uncertainty."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from scorax.choice._estimators import GaussianPosterior
from scorax.choice._strengths import contrast_variance, has_draws, strength_draws, strengths
from scorax.choice._uncertainty._firth import FirthFit
from scorax.inference import Bootstrap, Fit, Posterior
from scorax.stats import rank_summary


class Contrasts(eqx.Module):
    """Strength of the row's item minus that of the column's, for all pairs, or for all items against one.

    Example:
        >>> battles, models = sx.data.datasets.load_food()
        >>> pairs = contrasts(sx.inference.fit(sx.choice.BradleyTerry.init(len(models)), battles))
        >>> pairs.difference.shape == (len(models), len(models))
        True
    """

    difference: Float[Array, "*s"]
    std_error: Float[Array, "*s"]
    """0 between an item and itself."""
    superiority: Float[Array, "*s"]
    """Probability that the row's item is better: of the normal distribution around a fit, or the share of the draws,
    where a tie counts half. One half between an item and itself."""
    inferiority: Float[Array, "*s"]
    """The rest, kept to all its digits."""

    @property
    def z(self) -> Float[Array, "*s"]:
        """Difference over its standard error; NaN between an item and itself."""
        known = self.std_error > 0
        return jnp.where(known, self.difference / jnp.where(known, self.std_error, 1), jnp.nan)

    @property
    def p_value(self) -> Float[Array, "*s"]:
        """Two-sided: twice the smaller tail. Not adjusted for the number of pairs; see `rank_confidence_sets`."""
        return 2 * jnp.minimum(self.superiority, self.inferiority)

    def interval(self, *, level: float = 0.95) -> tuple[Float[Array, "*s"], Float[Array, "*s"]]:
        """Normal interval of each difference alone.

        Raises:
            ValueError: `level` is not inside (0, 1).
        """
        if not 0 < level < 1:
            raise ValueError(f"level must be between 0 and 1, not {level}")
        reach = self.std_error * jax.scipy.special.ndtri(jnp.asarray((1 + level) / 2, self.std_error.dtype))
        return self.difference - reach, self.difference + reach


def contrasts(
    result: Fit[Any] | FirthFit | GaussianPosterior | Bootstrap[Any] | Posterior[Any], *, reference: int | None = None
) -> Contrasts:
    """All pairwise differences of strengths.

    The variance of a difference needs the covariance of the two: whether the intervals of two items overlap does not
    say whether one is better. For Bradley-Terry it is the effective resistance between the two in the network whose
    wires are the comparisons, each with conductance `p (1 - p)`.

    Args:
        result: Of a model with a `strength`. A `robust()` fit gives robust standard errors.
        reference: Compare all items with this one instead of all pairs.

    Returns:
        `Contrasts` of shape `[k, k]`, or `[k]` with a reference.

    Raises:
        ValueError: `reference` is no item.

    Example:
        >>> battles = sx.data.Comparisons.from_arrays([0] * 10, [1] * 10, [1.0] * 7 + [0.0] * 3)
        >>> pairs = contrasts(sx.inference.fit(sx.choice.BradleyTerry.init(2), battles))
        >>> pairs.std_error[0, 1].round(4)  # sqrt(1/7 + 1/3)
        Array(0.6901, dtype=float32)

    Source: Firth and de Menezes (2004), doi:10.1093/biomet/91.1.65 (why not overlapping intervals).
    """
    pairs = _of_draws(result) if has_draws(result) else _normal(*strengths(result))
    k = pairs.difference.shape[0]
    if reference is None:
        return pairs
    if not 0 <= reference < k:
        raise ValueError(f"reference must be an item from 0 to {k - 1}, not {reference}")
    return jax.tree.map(lambda x: x[:, reference], pairs)


def _of_draws(result: Bootstrap[Any] | Posterior[Any]) -> Contrasts:
    value, covariance = strengths(result)
    superiority = rank_summary(strength_draws(result)).superiority
    std_error = jnp.sqrt(contrast_variance(covariance))
    return Contrasts(value[:, None] - value[None, :], std_error, superiority, superiority.T)


@jax.jit
def _normal(value: Float[Array, " k"], covariance: Float[Array, "k k"]) -> Contrasts:
    difference = value[:, None] - value[None, :]
    std_error = jnp.sqrt(contrast_variance(covariance))
    itself = jnp.eye(value.size, dtype=bool)
    superiority = jax.scipy.special.ndtr(jnp.where(itself, 0, difference / jnp.where(itself, 1, std_error)))
    return Contrasts(difference, std_error, superiority, superiority.T)
