"""Modified Bessel functions of the first kind in log space, for every order and argument."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammaln
from jaxtyping import Array, Float

# Where order and argument together are at least this, ten terms of Debye's expansion reach double precision;
# below, sixty terms of the power series do.
_LARGE = 40.0
_DEBYE_TERMS = 10
_SERIES_TERMS = 60


def log_ive(order: Float[Array, "*s"], z: Float[Array, "*s"]) -> Float[Array, "*s"]:
    r"""\(\log(I_n(z) e^{-z})\), with derivatives in z.

    Args:
        order: n, at least 0. It has no derivative.
        z: Above 0.

    Source: Abramowitz & Stegun (1964), "Handbook of Mathematical Functions", 9.6.10 (series) and 9.7.7 (Debye).
    """
    order = jax.lax.stop_gradient(order)
    large = jnp.hypot(order, jax.lax.stop_gradient(z)) > _LARGE
    safe = jnp.asarray(_LARGE, z.dtype)
    by_debye = _debye(order, jnp.where(large, z, safe))
    by_series = _series(jnp.where(large, jnp.zeros_like(order), order), jnp.where(large, jnp.ones_like(z), z))
    return jnp.where(large, by_debye, by_series)


def _series(order: Float[Array, "*s"], z: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """Powers of z, all positive, from the smallest on."""
    x = (z / 2) ** 2

    def body(i: Array, total: Array) -> Array:
        j = (_SERIES_TERMS - i).astype(z.dtype)
        return 1 + x / (j * (order + j)) * total

    total = jax.lax.fori_loop(0, _SERIES_TERMS, body, jnp.ones_like(x))
    return order * jnp.log(z / 2) - gammaln(order + 1) + jnp.log(total) - z


def _debye(order: Float[Array, "*s"], z: Float[Array, "*s"]) -> Float[Array, "*s"]:
    r"""Expansion in \(1/w\), \(w = \sqrt{n^2 + z^2}\), uniform in n: with n = 0 it is that of large arguments."""
    w = jnp.sqrt(order**2 + z**2)
    p2 = (order / w) ** 2
    total = jnp.zeros_like(z)
    for row in _DEBYE[::-1]:
        coefficient = jnp.zeros_like(z)
        for c in row[::-1]:
            coefficient = coefficient * p2 + c
        total = total / w + coefficient
    # w - z without cancellation.
    return order**2 / (w + z) - order * jnp.arcsinh(order / z) - jnp.log(2 * np.pi * w) / 2 + jnp.log(total)


def _debye_coefficients() -> list[list[float]]:
    """Of `u_k(p) / p**k` in powers of `p**2`, each from the one before by Abramowitz & Stegun 9.3.10."""
    u = [Fraction(1)]
    rows = []
    for k in range(_DEBYE_TERMS + 1):
        rows.append([float(c) for c in u[k::2]])
        following = [Fraction(0)] * (len(u) + 3)
        for i, c in enumerate(u):
            following[i + 1] += c * (Fraction(i, 2) + Fraction(1, 8 * (i + 1)))
            following[i + 3] -= c * (Fraction(i, 2) + Fraction(5, 8 * (i + 3)))
        u = following
    return rows


_DEBYE = _debye_coefficients()
