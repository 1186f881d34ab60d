"""The score of noised points on a sphere: data of intrinsic dimension two, in closed form."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from scorax.diffusion._exact_scores import AbstractExactScore, need_noise
from scorax.diffusion._process import AbstractProcess

# Taylor coefficients of coth z - 1/z in z, z³, z⁵, ...: below z = 0.3 they are exact in double precision.
_SERIES = (1 / 3, -1 / 45, 2 / 945, -1 / 4725, 2 / 93555, -1382 / 638512875, 4 / 18243225, -3617 / 162820783125)
_SMALL = 0.3


class SphereScore(AbstractExactScore):
    r"""The score of noised data that are uniform on a sphere in three dimensions, centred at the origin.

    With `r = |x|` and `z = alpha radius r / sigma²`,

    $$\text{score} = \frac{\alpha\,\text{radius}\,(\coth z - 1/z) - r}{\sigma^2} \frac{x}{r}.$$

    Such data have intrinsic dimension two and a curved support: a test of `local_intrinsic_dimension`.

    Args:
        process: The noise process that `x` and `t` belong to. The noise must not be zero at `t`, else there is
            a run-time error.
        radius: Radius of the sphere. Positive.

    Example:
        >>> model = SphereScore(sx.diffusion.EDM())
        >>> model.denoise(jnp.array([0.0, 0.0, 4.0]), jnp.array(2.0))  # coth 1 - 1
        Array([0.        , 0.        , 0.3130352], dtype=float32)

    Source: Fisher (1953), doi:10.1098/rspa.1953.0064 (the law of a direction given its noised point).
    """

    radius: Float[Array, ""]
    process: AbstractProcess

    def __init__(self, process: AbstractProcess, radius: float | Float[Array, ""] = 1.0):
        self.process = process
        self.radius = radius if isinstance(radius, jax.Array) else jnp.asarray(radius, dtype=float)

    def score_at(
        self, x: Float[Array, "*event"], alpha: Float[Array, ""], sigma: Float[Array, ""]
    ) -> Float[Array, "*event"]:
        """Gradient in `x` of the log-density of `alpha x_0 + sigma e`."""
        return (alpha * self.denoise_at(x, alpha, sigma) - x) / sigma**2

    def denoise_at(
        self, x: Float[Array, "*event"], alpha: Float[Array, ""], sigma: Float[Array, ""]
    ) -> Float[Array, "*event"]:
        """Mean of `x_0` given that `alpha x_0 + sigma e` is `x`."""
        radius, distance = self.radius.astype(x.dtype), _length(_in_space(x))
        pull = alpha * radius / need_noise(sigma, sigma) ** 2
        return radius * pull * langevin_ratio(pull * distance) * x

    def log_prob_at(
        self, x: Float[Array, "*event"], alpha: Float[Array, ""], sigma: Float[Array, ""]
    ) -> Float[Array, ""]:
        """Natural log of the density of `alpha x_0 + sigma e`."""
        radius, distance = alpha * self.radius.astype(x.dtype), _length(_in_space(x))
        variance = need_noise(sigma, sigma) ** 2
        # Of exp(-(r - R)²/2s²) times (1 - exp(-2z)) / 2z: no two large numbers are subtracted.
        below = log_sinh_excess(radius * distance / variance)
        return below - 0.5 * (distance - radius) ** 2 / variance - 1.5 * jnp.log(2 * jnp.pi * variance)

    def draw(self, *, key: PRNGKeyArray) -> Float[Array, "..."]:
        """One point of the sphere."""
        direction = jax.random.normal(key, (3,), self.radius.dtype)
        return self.radius * direction / jnp.linalg.norm(direction)


def langevin_ratio(z: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """`(coth z - 1/z) / z` for z of zero or more, 1/3 at zero, with its derivatives."""
    small = z < _SMALL
    large_z, small_z = jnp.where(small, jnp.ones_like(z), z), jnp.where(small, z, jnp.zeros_like(z))
    fade = jnp.exp(-2 * large_z)
    # coth z = 1 + 2 exp(-2z) / (1 - exp(-2z)): the form with exp(2z) overflows.
    large = (1 - 2 * fade / jnp.expm1(-2 * large_z) - 1 / large_z) / large_z
    return jnp.where(small, _even_series(small_z, _SERIES), large)


def log_sinh_excess(z: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """`log(sinh z / z) - z` for z of zero or more, with its derivatives."""
    small = z < _SMALL
    large_z, small_z = jnp.where(small, jnp.ones_like(z), z), jnp.where(small, z, jnp.zeros_like(z))
    large = jnp.log(-jnp.expm1(-2 * large_z)) - jnp.log(2 * large_z)
    integral = tuple(c / (2 * power + 2) for power, c in enumerate(_SERIES))
    return jnp.where(small, small_z**2 * _even_series(small_z, integral) - small_z, large)


def _even_series(z: Float[Array, "*s"], coefficients: tuple[float, ...]) -> Float[Array, "*s"]:
    total = jnp.zeros_like(z)
    for coefficient in reversed(coefficients):
        total = total * z**2 + coefficient
    return total


def _length(x: Float[Array, "*event"]) -> Float[Array, ""]:
    """The norm, whose derivative at the origin is zero rather than NaN."""
    square = jnp.sum(x**2)
    at_origin = square == 0
    root = jnp.sqrt(jnp.where(at_origin, jnp.ones_like(square), square))
    return jnp.where(at_origin, jnp.zeros_like(square), root)


def _in_space(x: Float[Array, "*event"]) -> Float[Array, "*event"]:
    if x.shape != (3,):
        raise ValueError(f"a sample of shape {x.shape} does not lie in space: its shape must be (3,), one sample.")
    return x
