"""Kernels without a time scale: skills that stay, drift at random, or move along a line."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from scorax.choice._dynamic._kernel import AbstractSkillKernel, check_hyperparameters, hyperparameter


class Constant(AbstractSkillKernel):
    """Skills that do not change: `k(t, s) = variance`.

    Attributes:
        variance: Of skills, above 0.

    Raises:
        ValueError: a hyper-parameter is out of its range.

    Example:
        >>> Constant(2.0).covariance(jnp.array(0.0), jnp.array(9.0))
        Array(2., dtype=float32)
    """

    variance: Float[Array, ""] = hyperparameter()

    def __check_init__(self):
        check_hyperparameters(self, "variance")

    def transition(self, gap: Float[Array, ""]) -> Float[Array, "1 1"]:
        """The identity."""
        return jnp.ones((1, 1), self.variance.dtype)

    def noise(self, gap: Float[Array, ""]) -> Float[Array, "1 1"]:
        """None."""
        return jnp.zeros((1, 1), self.variance.dtype)

    def state_covariance(self, time: Float[Array, ""]) -> Float[Array, "1 1"]:
        """The variance."""
        return self.variance[None, None]

    @property
    def measurement(self) -> Float[Array, " 1"]:
        """The state itself."""
        return jnp.ones(1, self.variance.dtype)

    def covariance(self, t: Float[Array, "*s"], s: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """The same everywhere."""
        return jnp.broadcast_to(self.variance, t.shape)


class Wiener(AbstractSkillKernel):
    r"""Skills that drift without returning: \(k(t, s) = v_0 + v \min(t - t_0, s - t_0)\).

    Attributes:
        variance: What a unit of time adds to the variance, above 0.
        start_variance: Variance at the start, above 0.
        start: When the process starts; before it skills are NaN.

    Raises:
        ValueError: a hyper-parameter is out of its range.

    Example:
        >>> Wiener(0.1).covariance(jnp.array(5.0), jnp.array(9.0))
        Array(1.5, dtype=float32)

    Source: Glickman (1999), doi:10.1111/1467-9876.00159 (random walks of strengths); Coulom (2008),
    doi:10.1007/978-3-540-87608-3_11 (in continuous time).
    """

    variance: Float[Array, ""] = hyperparameter()
    start_variance: Float[Array, ""] = hyperparameter(1.0)
    start: float = eqx.field(static=True, default=0.0)

    def __check_init__(self):
        check_hyperparameters(self, "variance", "start_variance")

    def transition(self, gap: Float[Array, ""]) -> Float[Array, "1 1"]:
        """The identity."""
        return jnp.ones((1, 1), self.variance.dtype)

    def noise(self, gap: Float[Array, ""]) -> Float[Array, "1 1"]:
        """In proportion to the gap."""
        return (self.variance * gap)[None, None]

    def state_covariance(self, time: Float[Array, ""]) -> Float[Array, "1 1"]:
        """The variance so far."""
        return self.covariance(time, time)[None, None]

    @property
    def measurement(self) -> Float[Array, " 1"]:
        """The state itself."""
        return jnp.ones(1, self.variance.dtype)

    def covariance(self, t: Float[Array, "*s"], s: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """The variance at the earlier time."""
        since = jnp.minimum(t, s) - self.start
        return jnp.where(since < 0, jnp.nan, self.start_variance + self.variance * since)


class Affine(AbstractSkillKernel):
    r"""Skills that move along straight lines: \(k(t, s) = v_0 + v_1 (t - t_0)(s - t_0)\).

    Attributes:
        variance: Of skills at the origin, above 0.
        slope_variance: Of what skills gain in a unit of time, above 0.
        origin: The time \(t_0\).

    Raises:
        ValueError: a hyper-parameter is out of its range.

    Example:
        >>> Affine(1.0, 0.5, origin=2.0).covariance(jnp.array(0.0), jnp.array(4.0))
        Array(-1., dtype=float32)
    """

    variance: Float[Array, ""] = hyperparameter()
    slope_variance: Float[Array, ""] = hyperparameter()
    origin: float = eqx.field(static=True, default=0.0)

    def __check_init__(self):
        check_hyperparameters(self, "variance", "slope_variance")

    def transition(self, gap: Float[Array, ""]) -> Float[Array, "2 2"]:
        """Along the line."""
        return jnp.eye(2, dtype=self.variance.dtype).at[0, 1].set(gap)

    def noise(self, gap: Float[Array, ""]) -> Float[Array, "2 2"]:
        """None."""
        return jnp.zeros((2, 2), self.variance.dtype)

    def state_covariance(self, time: Float[Array, ""]) -> Float[Array, "2 2"]:
        """Of skill and slope."""
        since = time - self.origin
        both = self.slope_variance * since
        return jnp.stack([self.variance + both * since, both, both, self.slope_variance]).reshape(2, 2)

    @property
    def measurement(self) -> Float[Array, " 2"]:
        """The first of skill and slope."""
        return jnp.asarray([1, 0], self.variance.dtype)

    def covariance(self, t: Float[Array, "*s"], s: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """In closed form."""
        return self.variance + self.slope_variance * (t - self.origin) * (s - self.origin)
