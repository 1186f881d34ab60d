"""What prediction-powered inference returns: a number or coefficients, with their uncertainty."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from scorax.judges._normal_interval import normal_interval
from scorax.stats import Interval


class PPIEstimate(eqx.Module):
    """A mean, or a difference of means, from few gold labels and many predictions.

    Attributes:
        value: The estimate.
        variance: Of the estimate, for large samples.
        power: How much the predictions were trusted, 0 (not at all: the mean of the gold labels) to 1.
        degenerate: The gold labels leave no doubt (fewer than two, or predictions miss all of them by the same): the
            variance counts none for the rectifier, and is too small. With fewer than two it is NaN.
    """

    value: Float[Array, "*b"]
    variance: Float[Array, "*b"]
    power: Float[Array, "*b"]
    degenerate: Bool[Array, "*b"]

    @property
    def std_error(self) -> Float[Array, "*b"]:
        """Square root of `variance`."""
        return jnp.sqrt(self.variance)

    def interval(self, level: float = 0.95) -> Interval:
        """Normal interval; with fewer than some thirty gold labels it holds the truth less often than `level`."""
        return normal_interval(self.value, self.std_error, level)

    def minus(self, other: "PPIEstimate") -> "PPIEstimate":
        """Difference of two estimates from independent items; `ppi_contrast` is for those that share items.

        `power` is the smaller of the two.
        """
        return PPIEstimate(
            self.value - other.value,
            self.variance + other.variance,
            jnp.minimum(self.power, other.power),
            self.degenerate | other.degenerate,
        )


class PPICoefficients(eqx.Module):
    """Coefficients of a regression from few gold labels and many predictions.

    Attributes:
        value: One coefficient a feature. NaN throughout where there is no finite solution.
        covariance: Of the coefficients, for large samples; it trusts no model of the labels.
        power: How much the predictions were trusted, from 0 to 1.
    """

    value: Float[Array, "*b d"]
    covariance: Float[Array, "*b d d"]
    power: Float[Array, "*b"]

    @property
    def std_error(self) -> Float[Array, "*b d"]:
        """Of each coefficient."""
        return jnp.sqrt(jnp.diagonal(self.covariance, axis1=-2, axis2=-1))

    def interval(self, level: float = 0.95) -> Interval:
        """Normal interval of each coefficient."""
        return normal_interval(self.value, self.std_error, level)
