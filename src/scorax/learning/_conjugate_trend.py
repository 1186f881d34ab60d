"""The normal trend with its exact posterior: Normal-Inverse-Gamma in, Normal-Inverse-Gamma out."""

import equinox as eqx
import jax.numpy as jnp
import jax.scipy.linalg as jsl
from jaxtyping import Array, Float

from scorax.learning._student import StudentT


class NormalInverseGamma(eqx.Module):
    r"""Coefficients and noise of a linear regression that are not known.

    $$\beta \mid \sigma^2 \sim N(m, \sigma^2 \Lambda^{-1}), \qquad \sigma^2 \sim \text{Inverse-Gamma}(a, b)$$

    As a prior `precision` may be zero, and with `shape = -p / 2` and `rate = 0` its posterior is least squares.
    """

    mean: Float[Array, " p"]
    precision: Float[Array, "p p"]
    shape: Float[Array, ""]
    rate: Float[Array, ""]

    def update(
        self, design: Float[Array, "n p"], score: Float[Array, " n"], *, weight: Float[Array, " n"] | None = None
    ) -> "NormalInverseGamma":
        r"""The posterior given scores \(y = X \beta + \sigma \epsilon\).

        Args:
            design: X, a row a score.
            score: y.
            weight: How many equal scores a row stands for; 1 by default.

        Example:
            >>> flat = NormalInverseGamma(jnp.zeros(1), jnp.zeros((1, 1)), jnp.array(-0.5), jnp.array(0.0))
            >>> found = flat.update(jnp.ones((3, 1)), jnp.array([1.0, 2.0, 6.0]))  # a mean, and n - 1 degrees
            >>> found.mean, found.shape, found.rate
            (Array([3.], dtype=float32), Array(1., dtype=float32), Array(7., dtype=float32))

        Source: Gelman, Carlin, Stern, Dunson, Vehtari, Rubin (2013), "Bayesian Data Analysis", chapter 14.
        """
        weight = jnp.ones_like(score) if weight is None else weight.astype(score.dtype)
        weighted = weight[:, None] * design
        precision = self.precision + design.T @ weighted
        mean = jsl.cho_solve((jnp.linalg.cholesky(precision), True), self.precision @ self.mean + weighted.T @ score)
        # Sums of squares about the new mean: the same as y'y + m0'L0 m0 - m'L m, without its cancellation.
        away, moved = score - design @ mean, mean - self.mean
        squares = weight @ away**2 + moved @ self.precision @ moved
        return NormalInverseGamma(mean, precision, self.shape + weight.sum() / 2, self.rate + squares / 2)

    def combination(self, of: Float[Array, "*b p"]) -> StudentT:
        r"""The marginal of linear combinations \(h^T \beta\).

        Args:
            of: h, along the last axis.
        """
        return self._marginal(of, 0.0)

    def predictive(self, of: Float[Array, "*b p"]) -> StudentT:
        r"""The marginal of new scores \(h^T \beta + \sigma \epsilon\)."""
        return self._marginal(of, 1.0)

    def _marginal(self, of: Float[Array, "*b p"], noise: float) -> StudentT:
        half = jsl.solve_triangular(jnp.linalg.cholesky(self.precision), of.reshape(-1, of.shape[-1]).T, lower=True)
        spread = (half**2).sum(0).reshape(of.shape[:-1]) + noise
        degrees = jnp.broadcast_to(2 * self.shape, spread.shape)
        return StudentT(of @ self.mean, jnp.sqrt(self.rate / self.shape * spread), degrees)


class ConjugateTrend(eqx.Module):
    """The exact posterior of a straight line through scores with normal noise. NaN where all times are equal."""

    coefficients: NormalInverseGamma
    """Of the line at `time_location`, and of its slope per `time_scale`."""
    time_location: Float[Array, ""]
    time_scale: Float[Array, ""]

    def slope(self) -> StudentT:
        """Per unit of time; `slope().below(0.0)` is the probability that the scores fall."""
        return self._times(jnp.stack([jnp.zeros_like(self.time_scale), 1 / self.time_scale]))

    def change(self, start: Float[Array, ""] | float | int, end: Float[Array, ""] | float | int) -> StudentT:
        """Of the line between two times."""
        return self._times(jnp.stack([jnp.zeros_like(self.time_scale), (end - start) / self.time_scale]))

    def line(self, time: Float[Array, " q"]) -> StudentT:
        """At some times; `line(time).interval(0.9)` is the credible band."""
        return self._times(_design(time, self.time_location, self.time_scale))

    def predictive(self, time: Float[Array, " q"]) -> StudentT:
        """Of a new score at some times; its interval is the predictive band."""
        return self.coefficients.predictive(_design(time, self.time_location, self.time_scale))

    def _times(self, of: Float[Array, "*b 2"]) -> StudentT:
        return self.coefficients.combination(of)


def conjugate_trend(
    time: Float[Array, " n"],
    score: Float[Array, " n"],
    *,
    prior: NormalInverseGamma | None = None,
    weight: Float[Array, " n"] | None = None,
) -> ConjugateTrend:
    r"""The exact posterior of a linear trend, \(y_i = \alpha + \beta t_i + \sigma \epsilon_i\), with time standardised.

    The pooled normal case of `BayesianTrend` in closed form; it works under `jit`, `vmap` and `grad`.

    Args:
        time: In any unit.
        score: One score for each time.
        prior: Of the line at the mean time and of its slope per standard deviation of time. None is weak: the mean
            score and no slope, with variances \(2.5^2 \sigma^2\), and \(\sigma^2\) with one degree of freedom about
            the variance of the scores.
        weight: How many equal scores a row stands for, at least 0; 1 by default.

    Returns:
        `ConjugateTrend`, NaN throughout where all times are equal: there is no trend.

    Example:
        >>> found = conjugate_trend(jnp.arange(2020.0, 2026.0), jnp.array([7.0, 6.6, 6.8, 6.1, 5.9, 5.4]))
        >>> found.slope().location.round(2), found.slope().below(0.0).round(3)
        (Array(-0.30, dtype=float32), Array(0.999, dtype=float32))

    Source: Pavlyshenko (2025), arXiv:2505.06313 (the trend); Gelman, Carlin, Stern, Dunson, Vehtari, Rubin (2013),
    "Bayesian Data Analysis", chapter 14 (its posterior).
    """
    share = jnp.ones_like(score) if weight is None else weight.astype(score.dtype)
    share = share / share.sum()
    location, centre = share @ time, share @ score
    variance = share @ (time - location) ** 2
    varies = variance > 0
    scale = jnp.where(varies, jnp.sqrt(jnp.where(varies, variance, 1)), jnp.nan)
    if prior is None:
        prior = _weak_prior(centre, share @ (score - centre) ** 2)
    found = prior.update(_design(time, location, scale), score, weight=weight)
    return ConjugateTrend(found, location, scale)


def _weak_prior(centre: Float[Array, ""], variance: Float[Array, ""]) -> NormalInverseGamma:
    mean = jnp.stack([centre, jnp.zeros_like(centre)])
    return NormalInverseGamma(mean, jnp.eye(2, dtype=mean.dtype) / 2.5**2, jnp.full_like(centre, 0.5), variance / 2)


def _design(time: Float[Array, " q"], location: Float[Array, ""], scale: Float[Array, ""]) -> Float[Array, "q 2"]:
    return jnp.stack([jnp.ones_like(time), (time - location) / scale], axis=-1)
