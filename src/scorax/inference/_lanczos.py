"""Lanczos' method: what a large symmetric matrix does, from its products with a few dozen vectors.

JAX's own `lobpcg_standard` finds the largest eigenvalues alone, fewer than a fifth of all; one run here finds both
ends, says how far each pair is from exact, and gives functions of the matrix besides.

Source: Lanczos (1950), doi:10.6028/jres.045.026; Golub & Van Loan (2013), Matrix Computations, chapter 10.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from scorax.inference._curvature import Product, signs

_RESTART_SEED = 1
_PROBES = 8
# A logarithm's mean over probes is near long before one vector is.
_STEPS = 24
# A draw that is off by so little of its own length is as good as exact.
_LARGEST_CHANGE = 0.01
_STEPS_OF_ROOT = 96


class Krylov(NamedTuple):
    """`A basis' = basis' T` but for the last row, with `T` tridiagonal."""

    basis: Float[Array, "m d"]
    """Orthonormal rows; the first is the start, normalised."""
    diagonal: Float[Array, " m"]
    """Of `T`."""
    beside: Float[Array, " m"]
    """Beside the diagonal; the last number couples the basis to what is outside it."""

    def tridiagonal(self, steps: int) -> Float[Array, "n n"]:
        """`T` of the first steps."""
        beside = self.beside[: steps - 1]
        return jnp.diag(self.diagonal[:steps]) + jnp.diag(beside, 1) + jnp.diag(beside, -1)


class EigenPairs(NamedTuple):
    """Approximate eigenvalues, ascending, with their vectors."""

    value: Float[Array, " m"]
    vector: Float[Array, "d m"]
    """Orthonormal columns."""
    residual: Float[Array, " m"]
    """`|A v - value v|`: some eigenvalue is as near as this."""


class Estimate(NamedTuple):
    """A number, with its standard error."""

    value: Float[Array, ""]
    error: Float[Array, ""]


def lanczos(product: Product, start: Float[Array, " d"], steps: int) -> Krylov:
    """Run at most `d` steps, each orthogonalised against all before it: without that, eigenvalues come back twice.

    Where the space is exhausted early (equal eigenvalues), it goes on in a random direction outside.
    """
    d, eps = start.size, float(jnp.finfo(start.dtype).eps)
    restarts = jax.random.key(_RESTART_SEED)

    def outside(basis: Float[Array, "m d"], v: Float[Array, " d"]) -> Float[Array, " d"]:
        return v - (basis @ v) @ basis

    def step(carry: tuple[Array, Array, Array], i: Int[Array, ""]) -> tuple[tuple[Array, Array, Array], tuple]:
        basis, v, largest = carry
        basis = basis.at[i].set(v)
        pushed = product(v)
        largest = jnp.maximum(largest, jnp.linalg.norm(pushed))
        rest = outside(basis, pushed)
        beside = jnp.linalg.norm(rest)
        exhausted = beside <= 4 * d**0.5 * eps * largest
        fresh = jax.random.normal(jax.random.fold_in(restarts, i), v.shape, v.dtype)
        # Twice more: what is left of a short vector is mostly rounding.
        onward = jnp.where(exhausted, fresh, rest / jnp.where(exhausted, 1, beside))
        onward = outside(basis, outside(basis, onward))
        onward = onward / jnp.linalg.norm(onward)
        return (basis, onward, largest), (jnp.vdot(v, pushed), jnp.where(exhausted, 0, beside))

    begin = jnp.zeros((steps, d), start.dtype), start / jnp.linalg.norm(start), jnp.zeros((), start.dtype)
    (basis, _, _), (diagonal, beside) = jax.lax.scan(step, begin, jnp.arange(steps, dtype=jnp.int32))
    return Krylov(basis, diagonal, beside)


def eigenpairs(krylov: Krylov) -> EigenPairs:
    """Rayleigh and Ritz: those at both ends of the spectrum are near first."""
    steps = krylov.diagonal.size
    value, inside = jnp.linalg.eigh(krylov.tridiagonal(steps))
    return EigenPairs(value, krylov.basis.T @ inside, jnp.abs(krylov.beside[-1] * inside[-1]))


def inverse_root(product: Product, v: Float[Array, " d"], *, steps: int = 2 * _STEPS) -> Float[Array, " d"]:
    """`A^(-1/2) v` for a positive definite matrix; NaN where Lanczos' method meets an eigenvalue that is not positive.

    Exact to rounding after as many steps as there are distinct eigenvalues; before, the error falls by a factor of
    `(root c - 1)/(root c + 1)` a step, for a condition number `c`. NaN, too, where the last quarter of the steps still
    changed the result by a hundredth.

    Source: Chow & Saad (2014), doi:10.1137/130920587.
    """
    steps = min(steps, v.size)
    krylov = lanczos(product, v, steps)

    def after(steps: int) -> Float[Array, " d"]:
        value, inside = jnp.linalg.eigh(krylov.tridiagonal(steps))
        return jnp.linalg.norm(v) * ((inside @ (inside[0] / jnp.sqrt(value))) @ krylov.basis[:steps])

    found = after(steps)
    if steps == v.size:
        return found
    changed = jnp.linalg.norm(found - after(3 * steps // 4))
    return jnp.where(changed <= _LARGEST_CHANGE * jnp.linalg.norm(found), found, jnp.nan)


def log_determinant(
    product: Product, like: Float[Array, " d"], *, probes: int = _PROBES, steps: int = _STEPS
) -> Estimate:
    """Log determinant of a positive definite matrix by stochastic Lanczos quadrature; NaN where one is not.

    The probes are always the same: for a matrix that is a smooth function of something, so is the estimate. The error
    is that of a mean over probes, and what a quarter of the steps still changed.

    Source: Ubaru, Chen & Saad (2017), doi:10.1137/16M1104974.
    """
    steps = min(steps, like.size)

    def quadrature(krylov: Krylov, steps: int) -> Float[Array, ""]:
        value, inside = jnp.linalg.eigh(krylov.tridiagonal(steps))
        # What is zero but for rounding has no logarithm either.
        positive = value > 10 * float(jnp.finfo(value.dtype).eps) * value.max()
        return like.size * jnp.vdot(inside[0] ** 2, jnp.log(jnp.where(positive, value, jnp.nan)))

    def each(probe: Float[Array, " d"]) -> tuple[Float[Array, ""], Float[Array, ""]]:
        krylov = lanczos(product, probe, steps)
        return quadrature(krylov, steps), quadrature(krylov, max(3 * steps // 4, 1))

    values, shorter = jax.lax.map(each, signs(probes, like))
    short = jnp.abs((values - shorter).mean())
    return Estimate(values.mean(), jnp.hypot(values.std(ddof=1) / probes**0.5, short))
