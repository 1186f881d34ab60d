"""The mode of what lies above a model's parameters, when the parameters are integrated out by Laplace's method.

For coordinates `x` of the parameters and `u` of the numbers above them, the marginal is
`m(u) = log p(x*(u), u) + d/2 log 2 pi - log |-H|/2`, with `x*(u)` the mode and `H` the curvature of `x` given `u`. Its
gradient passes through both, and through `x*(u)` by the implicit function theorem.

Source: Tierney & Kadane (1986), doi:10.1080/01621459.1986.10478240; Kristensen, Nielsen, Berg, Skaug & Bell (2016),
doi:10.18637/jss.v070.i05 (the gradient).
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.scipy.linalg as jsl
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float
from numpyro import handlers
from numpyro.distributions import biject_to

from scorax.inference._curvature import LARGEST_DENSE
from scorax.inference._engine import engine
from scorax.inference._large_gaussian import GaussianAtMode, gaussian_at_mode
from scorax.inference._minimiser import Minimiser
from scorax.inference._newton import Newton
from scorax.inference._problem import Problem
from scorax.inference._program import Coordinates, Program
from scorax.inference._solver import AbstractSolver

# So few numbers have so few differences of values that compiling third derivatives would cost more.
_MOST_BY_VALUES = 3
Differences = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Gradient and Hessian at a point, by differences of these widths."""


class _Pinned(eqx.Module):
    """A program with some sites at given coordinates: observed, without a Jacobian."""

    program: Program
    pins: Coordinates

    def __call__(self) -> Any:
        def value_of(site: dict[str, Any]) -> Array | None:
            pin = self.pins.get(site["name"])
            with engine():
                return None if pin is None else biject_to(site["fn"].support)(pin)

        return handlers.condition(self.program, condition_fn=value_of)()


class Hierarchy(eqx.Module):
    """A problem in two levels: coordinates `x` of the parameters, and `u` of the sites above them."""

    problem: Problem
    solver: AbstractSolver
    above: tuple[str, ...] = eqx.field(static=True)

    @classmethod
    def of(cls, problem: Problem, solver: AbstractSolver, above: tuple[str, ...]) -> "Hierarchy":
        """With Newton's method for many modes at once.

        All wait for the slowest: where `u` is far out, a minimiser that only sees gradients takes thousands of steps
        (36 parameters, nine numbers above them: 100 seconds, and Newton's method 3). The curvature is needed anyway.
        """
        return cls(problem, Newton() if above and isinstance(solver, Minimiser) else solver, above)

    def _level(self, above: bool) -> Coordinates:
        return {name: x for name, x in self.problem.template.items() if (name in self.above) == above}

    def start(self, *, above: bool) -> Float[Array, " e"]:
        """Where the search of one level starts."""
        return ravel_pytree(self._level(above))[0]

    def join(self, x: Float[Array, " d"], u: Float[Array, " h"]) -> Float[Array, " e"]:
        """Both levels as coordinates of the problem."""
        return ravel_pytree({**self._unravel(x, above=False), **self._unravel(u, above=True)})[0]

    def given(self, u: Float[Array, " h"], start: Float[Array, " d"]) -> Problem:
        """The problem in `x` alone."""
        program = _Pinned(self.problem.program, self._unravel(u, above=True))
        return Problem(program, self.problem.data, self._unravel(start, above=False), True)

    def _unravel(self, flat: Float[Array, " e"], *, above: bool) -> Coordinates:
        return ravel_pytree(self._level(above))[1](flat)


class Conditional(NamedTuple):
    """What is known of `x` given one `u`."""

    mode: Float[Array, "*b d"]
    log_marginal: Float[Array, "*b"]
    """Of `u`, up to a constant; minus infinity where no mode was found."""
    found: Bool[Array, "*b"]


def evaluate(hierarchy: Hierarchy, us: np.ndarray, start: Float[Array, " d"], batch: int) -> Conditional:
    """`conditional` for any number of values, in batches of one shape."""
    parts = []
    for first in range(0, len(us), batch):
        some = us[first : first + batch]
        padded = np.concatenate([some, np.repeat(some[-1:], batch - len(some), axis=0)])
        parts.append(jax.tree.map(np.asarray, conditional(hierarchy, jnp.asarray(padded.astype(start.dtype)), start)))
    return jax.tree.map(lambda *x: np.concatenate(x)[: len(us)], *parts)


@eqx.filter_jit
def conditional(hierarchy: Hierarchy, u: Float[Array, "b h"], start: Float[Array, " d"]) -> Conditional:
    """Mode of `x` and Laplace marginal for each `u`; above 2000 numbers in `x` without a matrix."""

    def each(u: Float[Array, " h"]) -> Conditional:
        given = hierarchy.given(u, start)
        x, log_volume, near = gaussian_at_mode(given) if start.size > LARGEST_DENSE else _dense(hierarchy, given)
        log_marginal = hierarchy.problem.log_density(hierarchy.join(x, u)) + log_volume
        found = near & jnp.isfinite(log_marginal)
        return Conditional(x, jnp.where(found, log_marginal, -jnp.inf), found)

    return jax.vmap(each)(u)


def _dense(hierarchy: Hierarchy, given: Problem) -> GaussianAtMode:
    solution = hierarchy.solver.maximise(given, max_steps=50)
    # Values alone, in single precision, leave a minimiser hundredths away; Newton's step from there is at hand.
    x = solution.q + solution.remaining
    at = hierarchy.solver.derivatives(given, x)
    factor = jnp.linalg.cholesky(-at.hessian)
    left = jnp.abs(jsl.cho_solve((factor, True), at.gradient)).max(initial=0)
    near = left <= float(jnp.finfo(x.dtype).eps) ** (1 / 3) * jnp.maximum(1, jnp.abs(x).max(initial=0))
    return GaussianAtMode(x, -jnp.log(jnp.diagonal(factor)).sum() + x.size / 2 * math.log(2 * math.pi), near)


def factor_of(hierarchy: Hierarchy, given: Problem, x: Float[Array, " d"]) -> Float[Array, "d d"]:
    """Lower Cholesky factor of minus the curvature; NaN where that is not positive definite."""
    return jnp.linalg.cholesky(-hierarchy.solver.derivatives(given, x).hessian)


@eqx.filter_jit
def log_marginal_gradient(
    hierarchy: Hierarchy, u: Float[Array, "b h"], mode: Float[Array, "b d"]
) -> Float[Array, "b h"]:
    """Gradient of the Laplace marginal at each `u`, given the mode of `x` there.

    The mode moves by `dx = (-H)^-1 dg`, for `g` the gradient in `x`. What that does to the log determinant is found
    backwards: its slope in `x`, solved with `-H`, times the slope of `g` in `u`. The curvature is the one of automatic
    differentiation, whatever the solver has in closed form: it has a derivative.
    """

    def each(at: tuple[Float[Array, " h"], Float[Array, " d"]]) -> Float[Array, " h"]:
        def log_density(x: Float[Array, " d"], u: Float[Array, " h"]) -> Float[Array, ""]:
            return hierarchy.problem.log_density(hierarchy.join(x, u))

        def half_log_determinant(x: Float[Array, " d"], u: Float[Array, " h"]) -> tuple[Array, Array]:
            factor = jnp.linalg.cholesky(-jax.hessian(log_density)(x, u))
            return jnp.log(jnp.diagonal(factor)).sum(), factor

        u, x = at
        (along_x, along_u), factor = jax.grad(half_log_determinant, argnums=(0, 1), has_aux=True)(x, u)
        pull = jsl.cho_solve((factor, True), along_x)

        def direct(u: Float[Array, " h"]) -> Float[Array, ""]:
            return log_density(x, u) - jnp.vdot(pull, jax.grad(log_density)(x, u))

        return jax.grad(direct)(u) - along_u

    # One after the other: the passes of a Hessian over all rows, kept for the way back, are many megabytes already.
    return jax.lax.map(each, (u, mode))


def points_of_a_step(hierarchy: Hierarchy) -> int:
    """At how many values of the numbers above the differences of one step need the marginal."""
    h = hierarchy.start(above=True).size
    return 1 + 2 * h * (h if _by_values(hierarchy) else 1)


def _by_values(hierarchy: Hierarchy) -> bool:
    """Whether differences are of values: of few numbers, or where the gradient's matrices have no place."""
    few = hierarchy.start(above=True).size <= _MOST_BY_VALUES
    return few or hierarchy.start(above=False).size > LARGEST_DENSE


def marginal_mode(hierarchy: Hierarchy, batch: int) -> tuple[np.ndarray, np.ndarray, Float[Array, " d"]]:
    """Mode and inverse curvature of the marginal of `u`, and the mode of `x` there, from which others are near."""
    start = hierarchy.start(above=False)

    def value(us: np.ndarray) -> np.ndarray:
        return np.asarray(evaluate(hierarchy, us, start, batch).log_marginal, np.float64)

    def gradient(us: np.ndarray) -> np.ndarray:
        modes = jnp.asarray(evaluate(hierarchy, us, start, batch).mode)
        return np.asarray(log_marginal_gradient(hierarchy, jnp.asarray(us.astype(start.dtype)), modes), np.float64)

    centre = np.asarray(hierarchy.start(above=True), np.float64)
    by = differences_of_values(value) if _by_values(hierarchy) else differences_of_gradients(gradient)
    mode, covariance = find_mode(value, by, centre)
    return mode, covariance, jnp.asarray(evaluate(hierarchy, mode[None], start, batch).mode[0])


def find_mode(
    value: Callable[[np.ndarray], np.ndarray], differences: Differences, start: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mode of a smooth function of a few numbers, and minus its inverse curvature there.

    Newton's method on differences half a standard deviation apart. The mode is the centre of proposals that
    importance weights correct, so a twentieth of a standard deviation is near enough.
    """
    u, width = start, np.full(start.size, 0.25)
    for _ in range(50):
        gradient, hessian = differences(u, width)
        if not (np.isfinite(gradient).all() and np.isfinite(hessian).all()):
            width = width / 2
            continue
        curvature, axes = np.linalg.eigh(-hessian)
        stiffness = np.maximum(np.abs(curvature), 1e-2)
        step = axes @ ((axes.T @ gradient) / stiffness)
        sd = np.sqrt(np.diagonal(axes @ np.diag(1 / stiffness) @ axes.T))
        if (curvature > 1e-2).all() and (np.abs(step) < 0.05 * sd).all():
            return u + step, axes @ np.diag(1 / curvature) @ axes.T
        step = step * (2 / max(2, np.abs(step).max()))
        line = u + 0.5 ** np.arange(8)[:, None] * step
        u = line[np.argmax(value(line))]
        width = np.clip(sd / 2, 1e-3, 0.25)
    raise ValueError(
        "method='laplace' found no maximum of the marginal density of what lies above the parameters: data and prior "
        "leave it open. Give it a proper prior, or use method='nuts'."
    )


def differences_of_values(value: Callable[[np.ndarray], np.ndarray]) -> Differences:
    """By central differences of values, from one call with all points."""

    def differences(u: np.ndarray, width: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        h = u.size
        axes = np.diag(width)
        pairs = [(i, j) for i in range(h) for j in range(i)]
        corners = [s * axes[i] + t * axes[j] for i, j in pairs for s in (1, -1) for t in (1, -1)]
        values = value(u + np.stack([np.zeros(h), *axes, *-axes, *corners]))
        middle, up, down, corner = values[0], values[1 : h + 1], values[h + 1 : 2 * h + 1], values[2 * h + 1 :]
        with np.errstate(invalid="ignore"):
            gradient = (up - down) / (2 * width)
            hessian = np.diag((up - 2 * middle + down) / width**2)
            for (i, j), (pp, pm, mp, mm) in zip(pairs, corner.reshape(-1, 4), strict=True):
                hessian[i, j] = hessian[j, i] = (pp - pm - mp + mm) / (4 * width[i] * width[j])
        return gradient, hessian

    return differences


def differences_of_gradients(gradient: Callable[[np.ndarray], np.ndarray]) -> Differences:
    """The gradient itself, and its central differences, from one call with all points."""

    def differences(u: np.ndarray, width: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        axes = np.diag(width)
        middle, *rest = gradient(u + np.stack([np.zeros(u.size), *axes, *-axes]))
        up, down = np.split(np.stack(rest), 2)
        hessian = (up - down) / (2 * width[:, None])
        return middle, (hessian + hessian.T) / 2

    return differences
