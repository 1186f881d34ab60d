"""Pathfinder: Gaussians along the paths of several optimisers, the best of each weighted into draws.

Source: Zhang, Carpenter, Gelman & Vehtari (2022), arXiv:2108.03782.
"""

import math
import warnings
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.scipy.linalg as jsl
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, PRNGKeyArray

from scorax.inference._draws import Chains, Layout, Record, record_of
from scorax.inference._engine import engine
from scorax.inference._independent import draw_all
from scorax.inference._kernels import Point, Target
from scorax.inference._kernels._tuned import each_chain, require_blackjax
from scorax.inference._problem import Problem
from scorax.inference._progress import Clock, Report
from scorax.inference._psis import smooth_weights
from scorax.inference._starts import Start, find_start

_BATCH = 64
_POOL = 4096
_ELBO_DRAWS = 25
# `fold_in` numbers of chains count from zero; this one is for the paths.
_PATH_STREAM = 2**32 - 1
_LARGEST_K = 0.7


class Pathfinder(eqx.Module):
    """Draws from Gaussians that quasi-Newton paths find, resampled by their importance: for a quick look.

    Each path runs from a random start towards a mode, with a Gaussian at every step; the one nearest to the posterior
    is kept. `posterior.stats["pareto_k"]` says whether the weights can be believed (below 0.7) and `importance_ess`
    how many independent draws they are worth, however many are asked for.

    Args:
        num_paths: Paths from starts of their own.
        max_steps: Of each path, at most.
        memory: Pairs of steps and gradients that the curvature is put together from.

    Example:
        >>> sx.inference.Pathfinder(num_paths=4)
        Pathfinder(num_paths=4)

    Source: Zhang, Carpenter, Gelman & Vehtari (2022), arXiv:2108.03782; Cabezas, Corenflos, Lao & Louf (2024),
        arXiv:2402.10797 (blackjax).
    """

    num_paths: int = eqx.field(static=True, default=8)
    max_steps: int = eqx.field(static=True, default=100)
    memory: int = eqx.field(static=True, default=10)


class _Pool(NamedTuple):
    """Candidates from all paths, with importance weights."""

    q: Float[Array, "p d"]
    log_density: Float[Array, " p"]
    log_weight: Float[Array, " p"]
    pareto_k: Float[Array, ""]
    usable: Bool[Array, ""]


def draw_pathfinder(
    settings: Pathfinder,
    problem: Problem,
    layout: Layout,
    start: Start,
    *,
    key: PRNGKeyArray,
    keys: Key[Array, " c"],
    num_samples: int,
    report: Report,
) -> Chains:
    """Draws, arranged in chains.

    Raises:
        ValueError: No path came to a Gaussian with a finite density.
    """
    chains = keys.shape[0]
    clock = Clock(chains * num_samples, 1)
    report(clock.progress("paths", 0))
    pool = _checked(_search(settings, problem, start, key))

    def some(chain: Int[Array, " b"], number: Int[Array, " b"]) -> Record:
        return _draw(problem, pool, keys, chain, number, layout.moving)

    record = draw_all(some, chains, num_samples, batch=_BATCH, clock=clock, report=report)
    weight = np.exp(np.asarray(pool.log_weight, np.float64))
    quality = {"pareto_k": float(pool.pareto_k), "importance_ess": float(weight.sum() ** 2 / (weight**2).sum())}
    record["stats"].update({name: np.full((chains, num_samples), value) for name, value in quality.items()})
    return Chains(record)


def pathfinder_start(
    settings: Pathfinder, problem: Problem, start: Start, *, key: PRNGKeyArray, keys: Key[Array, " c"]
) -> Start:
    """A place for each chain, drawn by importance.

    Raises:
        ValueError: No path came to a Gaussian with a finite density.

    Warns:
        UserWarning: The places are no fair draws, however near to the posterior they may be.
    """
    pool = _checked(_search(settings, problem, start, key))
    if not pool.pareto_k <= _LARGEST_K:
        warnings.warn(
            f"Pathfinder does not cover the posterior (Pareto k {float(pool.pareto_k):.2f}, above {_LARGEST_K}): "
            "chains start where its best paths end, perhaps too close together for R-hat to see what they miss.",
            stacklevel=3,
        )
    return Start.at(_places(pool, keys))


@eqx.filter_jit
def _places(pool: _Pool, keys: Key[Array, " c"]) -> Float[Array, "c d"]:
    return pool.q[_resampled(pool, keys)]


def _checked(pool: _Pool) -> _Pool:
    if not pool.usable:
        raise ValueError(
            "method='pathfinder' found no Gaussian near the posterior: no path came to a finite density. Check that "
            "log_prob and prior are finite inside the parameters' supports, start nearer (initial=), or use 'nuts'."
        )
    return pool


@eqx.filter_jit
def _search(settings: Pathfinder, problem: Problem, start: Start, key: PRNGKeyArray) -> _Pool:
    target = Target(problem, None)
    candidates = -(-_POOL // settings.num_paths)

    def one(key: PRNGKeyArray) -> tuple[_Gaussian, Array, Array]:
        key_start, key_path, key_draw = jax.random.split(key, 3)
        point, _ = find_start(target, start, key_start)
        gaussian = _nearest(settings, target, point, key_path)
        q = gaussian.sample(key_draw, candidates)
        return gaussian, q, jax.lax.map(target.log_density, q, batch_size=_BATCH)

    with engine():
        number = jnp.arange(settings.num_paths, dtype=jnp.uint32)
        keys = jax.vmap(lambda i: jax.random.fold_in(jax.random.fold_in(key, _PATH_STREAM), i))(number)
        gaussians, q, log_density = each_chain(one, keys)
        q, log_density = q.reshape(-1, q.shape[-1]), log_density.ravel()
        # The proposal is the mixture of all paths: a path that ends too narrow then harms no other's weights.
        each = jax.lax.map(lambda gaussian: jax.vmap(gaussian.log_density)(q), gaussians)
        log_ratio = log_density - jax.nn.logsumexp(jnp.where(jnp.isnan(each), -jnp.inf, each), axis=0)
        finite = jnp.isfinite(log_ratio)
        smoothed = smooth_weights(jnp.where(finite, log_ratio, -jnp.inf))
    return _Pool(q, log_density, smoothed.log_weight, smoothed.pareto_k, finite.any())


class _Gaussian(eqx.Module):
    """With covariance `A A'`, where `A = diag(width) (1 + basis (root - 1) basis')`."""

    mean: Float[Array, " d"]
    width: Float[Array, " d"]
    basis: Float[Array, "d m"]
    """Orthonormal columns."""
    root: Float[Array, "m m"]
    """Lower triangular."""

    @classmethod
    def at(cls, place: Any, slope: Float[Array, " d"]) -> "_Gaussian":
        """A Newton step up the log density from a place on the path, with the curvature that the path has seen."""
        alpha, beta, gamma = place.alpha, place.beta, place.gamma
        mean = place.position + alpha * slope + beta @ (gamma @ (beta.T @ slope))
        width = jnp.sqrt(alpha)
        basis, triangle = jnp.linalg.qr(beta / width[:, None])
        return cls(mean, width, basis, jnp.linalg.cholesky(jnp.eye(triangle.shape[0]) + triangle @ gamma @ triangle.T))

    def sample(self, key: PRNGKeyArray, n: int) -> Float[Array, "n d"]:
        """Independent draws."""
        noise = jax.random.normal(key, (n, self.mean.size), self.mean.dtype)
        inside = noise @ self.basis
        return self.mean + self.width * (noise + (inside @ self.root.T - inside) @ self.basis.T)

    def log_density(self, q: Float[Array, " d"]) -> Float[Array, ""]:
        """Normalised."""
        scaled = (q - self.mean) / self.width
        inside = self.basis.T @ scaled
        noise = scaled + self.basis @ (jsl.solve_triangular(self.root, inside, lower=True) - inside)
        log_volume = jnp.log(self.width).sum() + jnp.log(jnp.diagonal(self.root)).sum()
        return -(noise @ noise + q.size * math.log(2 * math.pi)) / 2 - log_volume


def _nearest(settings: Pathfinder, target: Target, start: Point, key: PRNGKeyArray) -> _Gaussian:
    """The Gaussian of the largest evidence bound along one path."""
    _, info = require_blackjax().vi.pathfinder.approximate(
        key, target.log_density, start.z, 1, maxiter=settings.max_steps, maxcor=settings.memory
    )
    # blackjax (1.7.1) steps from here with gradients of minus the log density, away from the mode: the path is right,
    # its Gaussians and the choice among them are made anew.
    path = info.path
    gaussians = jax.vmap(_Gaussian.at)(path, jax.vmap(jax.grad(target.log_density))(path.position))

    def bound(gaussian: _Gaussian, key: PRNGKeyArray) -> Float[Array, ""]:
        q = gaussian.sample(key, _ELBO_DRAWS)
        return (jax.vmap(target.log_density)(q) - jax.vmap(gaussian.log_density)(q)).mean()

    elbo = jax.vmap(bound)(gaussians, jax.random.split(key, settings.max_steps + 1))
    return jax.tree.map(lambda x: x[jnp.argmax(jnp.where(jnp.isfinite(elbo), elbo, -jnp.inf))], gaussians)


@eqx.filter_jit
def _draw(
    problem: Problem,
    pool: _Pool,
    keys: Key[Array, " c"],
    chain: Int[Array, " b"],
    number: Int[Array, " b"],
    moving: tuple[bool, ...],
) -> Record:
    """The draws of these numbers in these chains."""
    which = _resampled(pool, jax.vmap(jax.random.fold_in)(keys[chain], number))
    records = jax.vmap(lambda q: record_of(problem, q, moving))(pool.q[which])
    return {**records, "stats": {"log_density": pool.log_density[which]}}


def _resampled(pool: _Pool, keys: Key[Array, " b"]) -> Int[Array, " b"]:
    return jax.vmap(lambda key: jax.random.categorical(key, pool.log_weight))(keys)
