"""Student's t with a location and a scale: what is left of a normal number whose variance is not known."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.special import betainc
from jaxtyping import Array, Float

from scorax.numerics import t_quantile
from scorax.stats import Interval


class StudentT(eqx.Module):
    """Student's t distribution of a number, or of several, each by itself.

    Example:
        >>> StudentT(jnp.array([-1.0]), jnp.array([0.5]), jnp.array([4.0])).below(0.0)
        Array([0.9419], dtype=float32)
    """

    location: Float[Array, "*b"]
    scale: Float[Array, "*b"]
    degrees: Float[Array, "*b"]
    """Nothing is differentiated with respect to them."""

    def below(self, value: float | int = 0.0) -> Float[Array, "*b"]:
        """The probability of being below a value."""
        return _distribution((value - self.location) / self.scale, jax.lax.stop_gradient(self.degrees))

    def interval(self, level: float = 0.9) -> Interval:
        """The central interval.

        Raises:
            ValueError: `level` is not inside (0, 1).
        """
        if not 0 < level < 1:
            raise ValueError(f"level must be between 0 and 1, not {level}")
        half = self.scale * t_quantile((1 + level) / 2, jax.lax.stop_gradient(self.degrees)).astype(self.scale.dtype)
        return Interval(self.location - half, self.location + half)


@jax.custom_jvp
def _distribution(x: Float[Array, "*b"], degrees: Float[Array, "*b"]) -> Float[Array, "*b"]:
    """The distribution function of the standard variate."""
    tail = betainc(degrees / 2, jnp.full_like(degrees, 0.5), degrees / (degrees + x**2)) / 2
    return jnp.where(x < 0, tail, 1 - tail)


@_distribution.defjvp
def _distribution_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    # The incomplete beta function has an infinite slope where x = 0; the density has not.
    x, degrees = primals
    return _distribution(x, degrees), jnp.exp(jax.scipy.stats.t.logpdf(x, degrees)) * tangents[0]
