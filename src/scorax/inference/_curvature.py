"""Curvature without its matrix: products of minus a Hessian with vectors, and what the diagonal is."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from scorax.inference._engine import engine

LARGEST_DENSE = 2000
"""Above so many numbers no d x d matrix is formed: one has 32 MB here, and grows with the square."""
Product = Callable[[Float[Array, " d"]], Float[Array, " d"]]
"""A symmetric matrix as what it does to a vector."""
# Up to so many numbers the diagonal is found exactly, by a product each; above, products with random signs are fewer.
_MOST_EXACT = 512
# Fixed, so that what depends on an estimate is a smooth function of everything else.
_PROBE_SEED = 0


class Slopes(NamedTuple):
    """A log density, its gradient, and products with minus its Hessian."""

    value: Float[Array, ""]
    gradient: Float[Array, " d"]
    information: Product


def slopes_at(log_density: Callable[[Float[Array, " d"]], Float[Array, ""]], q: Float[Array, " d"]) -> Slopes:
    """At `q`. What does not depend on the vector is computed once for all products (forward over reverse)."""
    with engine():
        (value, gradient), push = jax.linearize(jax.value_and_grad(log_density), q)
    return Slopes(value, gradient, lambda v: -push(v)[1])


def scaled(product: Product, width: Float[Array, " d"]) -> Product:
    """`diag(width) A diag(width)`: Jacobi's preconditioner, as a change of units."""
    return lambda v: width * product(width * v)


def signs(n: int, like: Float[Array, " d"]) -> Float[Array, "n d"]:
    """Vectors of random signs, always the same."""
    return jax.random.rademacher(jax.random.key(_PROBE_SEED), (n, like.size), like.dtype)


def widths(product: Product, before: Float[Array, " d"], *, probes: int, rounds: int = 1) -> Float[Array, " d"]:
    """One over the root of the diagonal's size.

    In up to 512 dimensions the diagonal is exact. In more it is the mean of `v * (A v)` over vectors of random signs,
    whose variance is the sum of squares off the diagonal: so of a matrix scaled by the widths as they are known, in
    rounds. It is kept between the norm of its row, estimated from the same products, and that over root d, where it
    is in the most correlated of matrices. Any positive widths are right: what they miss is left to whoever asked.

    Args:
        product: The matrix.
        before: Widths as far as they are known, or ones.
        probes: Vectors of random signs, in each round.
        rounds: How often to begin anew from what was found.

    Source: Bekas, Kokiopoulou & Saad (2007), doi:10.1016/j.apnum.2007.01.003.
    """
    d = before.size
    # For a coordinate without any curvature.
    smallest = float(jnp.finfo(before.dtype).eps) ** 2
    if d <= _MOST_EXACT:
        # One coordinate after the other: no d x d matrix, not even of zeros and ones.
        places = jnp.arange(d, dtype=jnp.int32)
        size = jnp.abs(jax.lax.map(lambda i: product(jax.nn.one_hot(i, d, dtype=before.dtype))[i], places))
        return 1 / jnp.sqrt(jnp.maximum(size, smallest * size.max()))
    v = signs(probes, before)

    def again(_: Array, width: Float[Array, " d"]) -> Float[Array, " d"]:
        products = jax.lax.map(scaled(product, width), v)
        norm = jnp.sqrt((products**2).mean(0))
        norm = jnp.maximum(norm, smallest * norm.max())
        return width / jnp.sqrt(jnp.clip((v * products).mean(0), norm / d**0.5, norm))

    return jax.lax.fori_loop(0, rounds, again, before)
