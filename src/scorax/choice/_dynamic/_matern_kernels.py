r"""Kernels of Matérn's family: skills that return to their mean within a time scale, more or less smoothly.

With \(x = \lambda \cdot \text{gap}\) and derivatives of the skill measured in powers of \(\lambda\), the state moves by
\(e^{-x}\) times a polynomial, and its noise is a combination of \(I_n = \int_0^x e^{-2u} u^n du\): nothing is a
difference of what is nearly equal when x is small.
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from scorax.choice._dynamic._kernel import AbstractSkillKernel, check_hyperparameters, hyperparameter

# At a Poisson mean of 4 neither side is small, and thirty terms reach double precision.
_THRESHOLD = 4.0
_TERMS = 30
_FORGOTTEN = 100.0


class Exponential(AbstractSkillKernel):
    r"""The Ornstein-Uhlenbeck process, Matérn of order 1/2: \(k(t, s) = v e^{-|t - s| / \ell}\). Skills jitter.

    Attributes:
        variance: Of skills, above 0.
        scale: The time \(\ell\) within which they forget, above 0.

    Raises:
        ValueError: a hyper-parameter is out of its range.

    Example:
        >>> Exponential(2.0, 5.0).covariance(jnp.array(0.0), jnp.array(5.0)).round(4)
        Array(0.7358, dtype=float32)

    Source: Uhlenbeck & Ornstein (1930), doi:10.1103/PhysRev.36.823.
    """

    variance: Float[Array, ""] = hyperparameter()
    scale: Float[Array, ""] = hyperparameter()

    def __check_init__(self):
        check_hyperparameters(self, "variance", "scale")

    def transition(self, gap: Float[Array, ""]) -> Float[Array, "1 1"]:
        """Decay."""
        return jnp.exp(-gap / self.scale)[None, None]

    def noise(self, gap: Float[Array, ""]) -> Float[Array, "1 1"]:
        """What has been forgotten."""
        return (-self.variance * jnp.expm1(-2 * gap / self.scale))[None, None]

    def state_covariance(self, time: Float[Array, ""]) -> Float[Array, "1 1"]:
        """The same at all times."""
        return self.variance[None, None]

    @property
    def measurement(self) -> Float[Array, " 1"]:
        """The state itself."""
        return jnp.ones(1, self.variance.dtype)

    def covariance(self, t: Float[Array, "*s"], s: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """In closed form."""
        return self.variance * jnp.exp(-jnp.abs(t - s) / self.scale)


class Matern32(AbstractSkillKernel):
    r"""Matérn of order 3/2, \(k = v (1 + x) e^{-x}\) with \(x = \sqrt 3 |t - s| / \ell\). Skills have a direction.

    Attributes:
        variance: Of skills, above 0.
        scale: The time \(\ell\), above 0.

    Raises:
        ValueError: a hyper-parameter is out of its range.

    Example:
        >>> Matern32(1.0, 5.0).covariance(jnp.array(0.0), jnp.array(5.0)).round(4)
        Array(0.4834, dtype=float32)

    Source: Hartikainen & Särkkä (2010), doi:10.1109/MLSP.2010.5589113.
    """

    variance: Float[Array, ""] = hyperparameter()
    scale: Float[Array, ""] = hyperparameter()

    def __check_init__(self):
        check_hyperparameters(self, "variance", "scale")

    def transition(self, gap: Float[Array, ""]) -> Float[Array, "2 2"]:
        """Of the skill and its rate of change."""
        x = _in_scales(3**0.5 * gap / self.scale)
        return jnp.exp(-x) * jnp.stack([1 + x, x, -x, 1 - x]).reshape(2, 2)

    def noise(self, gap: Float[Array, ""]) -> Float[Array, "2 2"]:
        """See the head of this file."""
        i0, i1, i2 = _integrals(3**0.5 * gap / self.scale, 2)
        return 4 * self.variance * jnp.stack([i2, i1 - i2, i1 - i2, i0 - 2 * i1 + i2]).reshape(2, 2)

    def state_covariance(self, time: Float[Array, ""]) -> Float[Array, "2 2"]:
        """The same at all times."""
        return self.variance * jnp.eye(2, dtype=self.variance.dtype)

    @property
    def measurement(self) -> Float[Array, " 2"]:
        """The first of skill and rate."""
        return jnp.asarray([1, 0], self.variance.dtype)

    def covariance(self, t: Float[Array, "*s"], s: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """In closed form."""
        x = 3**0.5 * jnp.abs(t - s) / self.scale
        return self.variance * (1 + x) * jnp.exp(-x)


class Matern52(AbstractSkillKernel):
    r"""Matérn of order 5/2, \(k = v (1 + x + x^2/3) e^{-x}\) with \(x = \sqrt 5 |t - s| / \ell\). Skills move smoothly.

    Attributes:
        variance: Of skills, above 0.
        scale: The time \(\ell\), above 0.

    Raises:
        ValueError: a hyper-parameter is out of its range.

    Example:
        >>> Matern52(1.0, 5.0).covariance(jnp.array(0.0), jnp.array(5.0)).round(4)
        Array(0.524, dtype=float32)

    Source: Hartikainen & Särkkä (2010), doi:10.1109/MLSP.2010.5589113.
    """

    variance: Float[Array, ""] = hyperparameter()
    scale: Float[Array, ""] = hyperparameter()

    def __check_init__(self):
        check_hyperparameters(self, "variance", "scale")

    def transition(self, gap: Float[Array, ""]) -> Float[Array, "3 3"]:
        """Of the skill and two derivatives."""
        x = _in_scales(5**0.5 * gap / self.scale)
        half = x**2 / 2
        rows = [1 + x + half, x + x**2, half, -half, 1 + x - x**2, x - half, half - x, x**2 - 3 * x, 1 - 2 * x + half]
        return jnp.exp(-x) * jnp.stack(rows).reshape(3, 3)

    def noise(self, gap: Float[Array, ""]) -> Float[Array, "3 3"]:
        """See the head of this file."""
        i0, i1, i2, i3, i4 = _integrals(5**0.5 * gap / self.scale, 4)
        q12 = i3 / 2 - i4 / 4
        q13 = i2 / 2 - i3 + i4 / 4
        q23 = i1 - 5 * i2 / 2 + 3 * i3 / 2 - i4 / 4
        q33 = i0 - 4 * i1 + 5 * i2 - 2 * i3 + i4 / 4
        rows = [i4 / 4, q12, q13, q12, i2 - i3 + i4 / 4, q23, q13, q23, q33]
        return 16 / 3 * self.variance * jnp.stack(rows).reshape(3, 3)

    def state_covariance(self, time: Float[Array, ""]) -> Float[Array, "3 3"]:
        """The same at all times."""
        third = 1 / 3
        rows = jnp.asarray([[1, 0, -third], [0, third, 0], [-third, 0, 1]], self.variance.dtype)
        return self.variance * rows

    @property
    def measurement(self) -> Float[Array, " 3"]:
        """The first of skill and derivatives."""
        return jnp.asarray([1, 0, 0], self.variance.dtype)

    def covariance(self, t: Float[Array, "*s"], s: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """In closed form."""
        x = 5**0.5 * jnp.abs(t - s) / self.scale
        return self.variance * (1 + x + x**2 / 3) * jnp.exp(-x)


def _in_scales(x: Float[Array, ""]) -> Float[Array, ""]:
    """A gap after which nothing is left is long enough: powers of longer ones overflow."""
    return jnp.minimum(x, _FORGOTTEN)


def _integrals(x: Float[Array, ""], n: int) -> list[Float[Array, ""]]:
    r"""\(I_0 \dots I_n\), from the last one down, each by adding a positive term to the one before.

    \(2^{j+1} I_j / j!\) is the probability that a Poisson variable of mean 2x exceeds j.
    """
    z = 2 * _in_scales(x)
    exceeds = _poisson_tail(z, n)
    integrals = []
    for j in range(n, -1, -1):
        integrals.append(math.factorial(j) / 2 ** (j + 1) * exceeds)
        exceeds = exceeds + jax.lax.integer_pow(z, j) * jnp.exp(-z) / math.factorial(j)
    return integrals[::-1]


def _poisson_tail(z: Float[Array, ""], n: int) -> Float[Array, ""]:
    """Probability of more than n: by its own terms below the threshold, by the others above."""
    low = jnp.minimum(z, _THRESHOLD)
    series = jnp.ones_like(z)
    for j in range(n + _TERMS, n + 1, -1):
        series = 1 + low / j * series
    series = series * jax.lax.integer_pow(low, n + 1) * jnp.exp(-low) / math.factorial(n + 1)
    rest = sum(jax.lax.integer_pow(z, j) / math.factorial(j) for j in range(1, n + 1))
    return jnp.where(z < _THRESHOLD, series, 1 - (1 + rest) * jnp.exp(-z))
