"""Laplace's method: a Gaussian at the mode of the parameters; what lies above them by importance sampling.

The joint mode of a hierarchy is no place for a Gaussian (its density is unbounded where a scale goes to zero). So the
parameters `x` are integrated out first, for every value of the few numbers `u` above them:
`m(u) = log p(x*(u), u) + d/2 log 2 pi - log |-H|/2`, with `x*(u)` the mode and `H` the curvature given `u`. Then `u` is
drawn from `m` by importance resampling, and `x` given `u` from its Gaussian.

Source: Tierney & Kadane (1986), doi:10.1080/01621459.1986.10478240; Rue, Martino & Chopin (2009),
doi:10.1111/j.1467-9868.2008.00700.x.
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
from jaxtyping import Array, Bool, Float, Int, Key, PRNGKeyArray
from numpyro import handlers
from numpyro.distributions import biject_to

from scorax.inference._draws import Chains, Layout, Record, layout_of, record_of
from scorax.inference._engine import engine
from scorax.inference._independent import draw_all
from scorax.inference._model import AbstractModel, leaf_names
from scorax.inference._problem import Problem
from scorax.inference._program import Coordinates, Program
from scorax.inference._progress import Clock, Report
from scorax.inference._psis import smooth_weights
from scorax.inference._solvers import AbstractSolver

_MOST_ABOVE = 3
_PROPOSALS = 256
# A little wider than the curvature says: importance sampling forgives width, not narrowness.
_WIDENING = 1.2
# `fold_in` numbers of chains count from zero; this one is for the proposals.
_PROPOSAL_STREAM = 2**32 - 1


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


class _Hierarchy(eqx.Module):
    """A problem in two levels: coordinates `x` of the parameters, and `u` of the sites above them."""

    problem: Problem
    solver: AbstractSolver
    above: tuple[str, ...] = eqx.field(static=True)

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


class _Conditional(NamedTuple):
    """What is known of `x` given one `u`."""

    mode: Float[Array, "*b d"]
    log_marginal: Float[Array, "*b"]
    """Of `u`, up to a constant; minus infinity where no mode was found."""
    found: Bool[Array, "*b"]


class _Proposals(NamedTuple):
    """Weighted values of `u`, each with its mode."""

    u: Float[Array, "p h"]
    mode: Float[Array, "p d"]
    log_weight: Float[Array, " p"]


def draw_laplace(
    model: AbstractModel[Any],
    problem: Problem,
    layout: Layout,
    *,
    key: PRNGKeyArray,
    keys: Key[Array, " c"],
    num_samples: int,
    report: Report,
) -> Chains:
    """Independent draws, arranged in chains; see the top of the file, and `sample` for the errors."""
    above = _above(model, problem, layout)
    hierarchy = _Hierarchy(problem, model.solver, above)
    batch = _batch(hierarchy)
    shape = (keys.shape[0], num_samples)
    clock = Clock(math.prod(shape), 1)
    report(clock.progress("mode", 0))
    if above:
        proposals, quality = _propose(hierarchy, batch, key)
    else:
        proposals, quality = _mode_alone(hierarchy), {}

    def some(chain: Int[Array, " b"], number: Int[Array, " b"]) -> Record:
        return _draw(hierarchy, proposals, keys, chain, number, layout.moving)

    joined = draw_all(some, *shape, batch=batch, clock=clock, report=report)
    joined["stats"].update({name: np.full(shape, value) for name, value in quality.items()})
    return Chains(joined)


def _above(model: AbstractModel[Any], problem: Problem, layout: Layout) -> tuple[str, ...]:
    """Sites above the parameters, checked to be something that Laplace's method can integrate."""
    above = tuple(sorted(set(problem.template) - set(leaf_names(model))))
    if not above:
        return ()
    loose = [
        name for name, moves in zip(layout.names, layout.moving, strict=True) if moves and name not in problem.template
    ]
    if loose:
        raise ValueError(
            f"method='laplace' integrates the parameters before what is above them, so they must be sites of the prior "
            f"under their own names. {loose} are computed from the sites {sorted(problem.template)} instead: write "
            "the prior in its centred form, or use method='nuts'."
        )
    size = sum(problem.template[name].size for name in above)
    if size > _MOST_ABOVE:
        raise ValueError(
            f"method='laplace' integrates over at most {_MOST_ABOVE} numbers above the parameters; this prior has "
            f"{size} (sites {list(above)}). Use method='nuts', or fix some with numpyro.handlers.condition."
        )
    return above


def laplace_mode(model: AbstractModel[Any], problem: Problem) -> Float[Array, " d"]:
    """Coordinates of the problem at the mode of the parameters, at the Laplace marginal's mode of what is above them.

    Raises:
        ValueError: There is no such mode, or Laplace's method cannot integrate over what is above the parameters.
    """
    hierarchy = _Hierarchy(problem, model.solver, _above(model, problem, layout_of(problem)))
    if not hierarchy.above:
        proposals = _mode_alone(hierarchy)
        return _joined(hierarchy, proposals.mode[0], proposals.u[0])
    # The differences of one step at a time: all the search needs.
    mode, _, near = _marginal_mode(hierarchy, min(_batch(hierarchy), 1 + 2 * hierarchy.start(above=True).size ** 2))
    return _joined(hierarchy, near, jnp.asarray(mode.astype(near.dtype)))


@eqx.filter_jit
def _joined(hierarchy: _Hierarchy, x: Float[Array, " d"], u: Float[Array, " h"]) -> Float[Array, " e"]:
    return hierarchy.join(x, u)


def _batch(hierarchy: _Hierarchy) -> int:
    """As many modes at a time as keep their curvatures within some tens of megabytes."""
    d = hierarchy.start(above=False).size
    return int(np.clip(2**22 // max(d * d, 1), 1, 64))


def _mode_alone(hierarchy: _Hierarchy) -> _Proposals:
    nothing = hierarchy.start(above=True)
    at = jax.tree.map(np.asarray, _conditional(hierarchy, nothing[None], hierarchy.start(above=False)))
    if not at.found.all():
        raise ValueError(
            "no maximum of the posterior density was found, or its curvature there is singular: a parameter that "
            "neither data nor prior determine. Give a proper prior, start nearer (initial=), or use method='nuts'."
        )
    return _Proposals(nothing[None], jnp.asarray(at.mode), jnp.zeros(1, nothing.dtype))


def _propose(hierarchy: _Hierarchy, batch: int, key: PRNGKeyArray) -> tuple[_Proposals, dict[str, float]]:
    """Values of `u` from a wide Student t fitted to its Laplace marginal, with importance weights."""
    mode, covariance, near = _marginal_mode(hierarchy, batch)
    proposals, quality = _weigh(hierarchy, mode, covariance, near, batch, key)
    # Where the marginal is skew, its mode and curvature say too little: once more, with its mean and covariance.
    u, weight = np.asarray(proposals.u, np.float64), np.exp(np.asarray(proposals.log_weight, np.float64))
    mean = weight @ u / weight.sum()
    spread = (weight[:, None] * (u - mean)).T @ (u - mean) / weight.sum()
    again = _weigh(hierarchy, mean, spread, near, batch, key)
    return min(again, (proposals, quality), key=lambda weighed: weighed[1]["pareto_k"])


def _marginal_mode(hierarchy: _Hierarchy, batch: int) -> tuple[np.ndarray, np.ndarray, Float[Array, " d"]]:
    """Mode and inverse curvature of the marginal of `u`, and the mode of `x` there, from which others are near."""
    start = hierarchy.start(above=False)
    mode, covariance = _find_mode(
        lambda us: np.asarray(_evaluate(hierarchy, us, start, batch).log_marginal, np.float64),
        np.asarray(hierarchy.start(above=True), np.float64),
    )
    return mode, covariance, jnp.asarray(_evaluate(hierarchy, mode[None], start, batch).mode[0])


def _evaluate(hierarchy: _Hierarchy, us: np.ndarray, start: Float[Array, " d"], batch: int) -> _Conditional:
    """`_conditional` for any number of values, in batches of one shape."""
    parts = []
    for first in range(0, len(us), batch):
        some = us[first : first + batch]
        padded = np.concatenate([some, np.repeat(some[-1:], batch - len(some), axis=0)])
        parts.append(jax.tree.map(np.asarray, _conditional(hierarchy, jnp.asarray(padded.astype(start.dtype)), start)))
    return jax.tree.map(lambda *x: np.concatenate(x)[: len(us)], *parts)


def _weigh(
    hierarchy: _Hierarchy,
    centre: np.ndarray,
    covariance: np.ndarray,
    start: Float[Array, " d"],
    batch: int,
    key: PRNGKeyArray,
) -> tuple[_Proposals, dict[str, float]]:
    u, log_density = _student_t(key, *(jnp.asarray(x.astype(start.dtype)) for x in (centre, covariance)))
    at = _evaluate(hierarchy, np.asarray(u), start, batch)
    missed = int((~at.found).sum())
    if missed > _PROPOSALS // 10:
        raise ValueError(
            f"the parameters have no mode at {missed} of {_PROPOSALS} plausible values of {list(hierarchy.above)}: "
            "this posterior is far from Gaussian. Use method='nuts'."
        )
    ratio = np.asarray(at.log_marginal, np.float64) - np.asarray(log_density, np.float64)
    smoothed = _smooth(jnp.asarray((ratio - ratio.max()).astype(start.dtype)))
    weight = np.exp(np.asarray(smoothed.log_weight, np.float64))
    quality = {"pareto_k": float(smoothed.pareto_k), "importance_ess": float(weight.sum() ** 2 / (weight**2).sum())}
    return _Proposals(u, jnp.asarray(at.mode), smoothed.log_weight), quality


_smooth = jax.jit(smooth_weights)


@eqx.filter_jit
def _student_t(
    key: PRNGKeyArray, centre: Float[Array, " h"], covariance: Float[Array, "h h"]
) -> tuple[Float[Array, "p h"], Float[Array, " p"]]:
    """Proposals and their log densities, up to a constant: Student's t with 4 degrees of freedom along each axis.

    Their probabilities are a randomly shifted lattice, which fills space more evenly than independent ones; with 4
    degrees of freedom the quantile has a closed form.
    """
    h, root = centre.shape[0], _WIDENING * jnp.linalg.cholesky(covariance)
    shift = jax.random.uniform(jax.random.fold_in(key, _PROPOSAL_STREAM), (h,), root.dtype)
    lattice = np.arange(_PROPOSALS)[:, None] / _ratio(h) ** np.arange(1, h + 1) % 1
    p = (jnp.asarray(lattice.astype(root.dtype)) + shift[None]) % 1
    p = jnp.clip(p, jnp.finfo(p.dtype).eps, 1 - jnp.finfo(p.dtype).eps)
    narrow = jnp.sqrt(4 * p * (1 - p))
    t = jnp.sign(p - 0.5) * 2 * jnp.sqrt(jnp.cos(jnp.arccos(jnp.minimum(narrow, 1)) / 3) / narrow - 1)
    return centre[None] + t @ root.T, -5 / 2 * jnp.log1p(t**2 / 4).sum(1)


def _ratio(h: int) -> float:
    """The root of `x^(h + 1) = x + 1`: the golden ratio, and its like in more dimensions, make the evenest lattices."""
    x = 2.0
    for _ in range(60):
        x = (1 + x) ** (1 / (h + 1))
    return x


@eqx.filter_jit
def _conditional(hierarchy: _Hierarchy, u: Float[Array, "b h"], start: Float[Array, " d"]) -> _Conditional:
    """Mode of `x` and Laplace marginal for each `u`."""

    def each(u: Float[Array, " h"]) -> _Conditional:
        given = hierarchy.given(u, start)
        solution = hierarchy.solver.maximise(given, max_steps=50)
        x = solution.q
        log_volume = -jnp.log(jnp.diagonal(_factor(hierarchy, given, x))).sum() + x.size / 2 * math.log(2 * math.pi)
        log_marginal = hierarchy.problem.log_density(hierarchy.join(x, u)) + log_volume
        found = solution.converged & jnp.isfinite(log_marginal)
        return _Conditional(x, jnp.where(found, log_marginal, -jnp.inf), found)

    return jax.vmap(each)(u)


def _factor(hierarchy: _Hierarchy, given: Problem, x: Float[Array, " d"]) -> Float[Array, "d d"]:
    """Lower Cholesky factor of minus the curvature; NaN where that is not positive definite."""
    return jnp.linalg.cholesky(-hierarchy.solver.derivatives(given, x).hessian)


@eqx.filter_jit
def _draw(
    hierarchy: _Hierarchy,
    proposals: _Proposals,
    keys: Key[Array, " c"],
    chain: Int[Array, " b"],
    draw: Int[Array, " b"],
    moving: tuple[bool, ...],
) -> Record:
    """The draws of these numbers in these chains."""

    def each(u: Float[Array, " h"], x: Float[Array, " d"], factor: Float[Array, "d d"], key: PRNGKeyArray) -> Record:
        noise = jsl.solve_triangular(factor, jax.random.normal(key, x.shape, x.dtype), lower=True, trans=1)
        q = hierarchy.join(x + noise, u)
        return {
            **record_of(hierarchy.problem, q, moving),
            "stats": {"log_density": hierarchy.problem.log_density(q)},
        }

    each_key = jax.vmap(jax.random.fold_in)(keys[chain], draw)
    which_key, noise_key = jax.vmap(lambda key: tuple(jax.random.split(key)), out_axes=0)(each_key)
    which = jax.vmap(lambda key: jax.random.categorical(key, proposals.log_weight))(which_key)

    def factor(u: Float[Array, " h"], x: Float[Array, " d"]) -> Float[Array, "d d"]:
        return _factor(hierarchy, hierarchy.given(u, x), x)

    if not hierarchy.above:
        shared = factor(proposals.u[0], proposals.mode[0])
        return jax.vmap(each, in_axes=(0, 0, None, 0))(proposals.u[which], proposals.mode[which], shared, noise_key)
    u, x = proposals.u[which], proposals.mode[which]
    return jax.vmap(each)(u, x, jax.vmap(factor)(u, x), noise_key)


def _find_mode(value: Callable[[np.ndarray], np.ndarray], start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mode of a smooth function of one to three numbers, and minus its inverse curvature there.

    Newton's method on central differences half a standard deviation apart. The mode is the centre of proposals that
    importance weights correct, so a twentieth of a standard deviation is near enough.
    """
    u, width = start, np.full(start.size, 0.25)
    for _ in range(50):
        gradient, hessian = _differences(value, u, width)
        if not (np.isfinite(gradient).all() and np.isfinite(hessian).all()):
            width = width / 2
            continue
        curvature, axes = np.linalg.eigh(-hessian)
        stiffness = np.maximum(np.abs(curvature), 1e-2)
        step = axes @ ((axes.T @ gradient) / stiffness)
        sd = np.sqrt(np.diagonal(axes @ np.diag(1 / stiffness) @ axes.T))
        if (curvature > 1e-2).all() and (np.abs(step) < 0.05 * sd).all():
            return u + step, axes @ np.diag(1 / curvature) @ axes.T
        step = step * min(1, 2 / np.abs(step).max())
        line = u + 0.5 ** np.arange(8)[:, None] * step
        u = line[np.argmax(value(line))]
        width = np.clip(sd / 2, 1e-3, 0.25)
    raise ValueError(
        "method='laplace' found no maximum of the marginal density of what lies above the parameters: data and prior "
        "leave it open. Give it a proper prior, or use method='nuts'."
    )


def _differences(
    value: Callable[[np.ndarray], np.ndarray], u: np.ndarray, width: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Gradient and Hessian by central differences, from one call with all points."""
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
