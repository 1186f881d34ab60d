"""The normal distribution in its tails: derivatives of log Phi that keep their digits to any order."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

# Below this the continued fraction has converged after its terms, above it the plain difference keeps its digits.
_TAIL = -5.0
_TERMS = 60


@jax.custom_jvp
def log_ndtr(x: Float[Array, "*s"]) -> Float[Array, "*s"]:
    r"""Log of the normal distribution function, with derivatives that are exact in the far tail.

    The value is that of `jax.scipy.special.log_ndtr`, whose own second derivative is noise below -60 in single
    precision.

    Args:
        x: Any real numbers.

    Example:
        >>> jax.grad(jax.grad(log_ndtr))(jnp.float32(-100)).round(4)  # tends to -1
        Array(-0.9999, dtype=float32)
    """
    return jax.scipy.special.log_ndtr(x)


@log_ndtr.defjvp
def _log_ndtr_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (x,), (x_dot,) = primals, tangents
    return log_ndtr(x), inverse_mills(x) * x_dot


@jax.custom_jvp
def inverse_mills(x: Float[Array, "*s"]) -> Float[Array, "*s"]:
    r"""\(\varphi(x)/\Phi(x)\), the derivative of `log_ndtr`: tends to `-x` on the left and to 0 on the right.

    Example:
        >>> inverse_mills(jnp.array([-40.0, 0.0]))
        Array([40.02497 ,  0.797885], dtype=float32)
    """
    tail = x < _TAIL
    inside = jnp.where(tail, jnp.zeros_like(x), x)
    near = jnp.exp(jax.scipy.stats.norm.logpdf(inside) - jax.scipy.special.log_ndtr(inside))
    return jnp.where(tail, mills_excess(x) - x, near)


@inverse_mills.defjvp
def _inverse_mills_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (x,), (x_dot,) = primals, tangents
    ratio = inverse_mills(x)
    return ratio, -ratio * mills_excess(x) * x_dot


def mills_excess(x: Float[Array, "*s"]) -> Float[Array, "*s"]:
    r"""\(x + \varphi(x)/\Phi(x)\) without the cancellation: about \(-1/x\) on the left, `x` on the right.

    The second derivative of `log_ndtr` is minus this times `inverse_mills`.

    Example:
        >>> mills_excess(jnp.array([-1000.0]))
        Array([0.001], dtype=float32)

    Source: Laplace's continued fraction, Abramowitz & Stegun (1964), 26.2.14.
    """
    tail = x < _TAIL
    t = -jnp.where(tail, x, jnp.full_like(x, _TAIL))
    fraction = jnp.zeros_like(x)
    for numerator in range(_TERMS, 0, -1):
        fraction = numerator / (t + fraction)
    inside = jnp.where(tail, jnp.zeros_like(x), x)
    near = inside + jnp.exp(jax.scipy.stats.norm.logpdf(inside) - jax.scipy.special.log_ndtr(inside))
    return jnp.where(tail, fraction, near)
