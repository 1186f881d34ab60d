"""Laplace's method: a Gaussian at the mode of the parameters; what lies above them by importance sampling.

The joint mode of a hierarchy is no place for a Gaussian (its density is unbounded where a scale goes to zero). So the
parameters `x` are integrated out first, for every value of the few numbers `u` above them:
`_marginal_mode.py` finds the mode of what is left, the Laplace marginal of `u`. Then `u` is drawn from that marginal by
importance resampling, and `x` given `u` from its Gaussian.

Source: Tierney & Kadane (1986), doi:10.1080/01621459.1986.10478240; Rue, Martino & Chopin (2009),
doi:10.1111/j.1467-9868.2008.00700.x.
"""

import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.scipy.linalg as jsl
import numpy as np
from jaxtyping import Array, Float, Int, Key, PRNGKeyArray

from scorax.inference._curvature import LARGEST_DENSE
from scorax.inference._draws import Chains, Layout, Record, layout_of, record_of
from scorax.inference._independent import draw_all
from scorax.inference._large_gaussian import noise_at
from scorax.inference._marginal_mode import (
    Hierarchy,
    conditional,
    evaluate,
    factor_of,
    marginal_mode,
    points_of_a_step,
)
from scorax.inference._model import AbstractModel, leaf_names
from scorax.inference._problem import Problem
from scorax.inference._progress import Clock, Report
from scorax.inference._psis import smooth_weights

_MOST_ABOVE = 10
# For up to three numbers, and half as many again for each one more. Where the marginal is normal, 0.88^h of them are
# effective: 170 at three numbers, 900 at nine. What is above the parameters is then known to some hundredths of its sd.
_PROPOSALS = 256
_MORE = 1.5
# A little wider than the curvature says: importance sampling forgives width, not narrowness.
_WIDENING = 1.2
# `fold_in` numbers of chains count from zero; this one is for the proposals.
_PROPOSAL_STREAM = 2**32 - 1


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
    hierarchy = Hierarchy.of(problem, model.solver, above)
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
    if not np.isfinite(joined["stats"]["log_density"]).all():
        raise ValueError(
            "method='laplace' could not draw from the Gaussian at the mode: it is very wide in some direction. Give a "
            "proper prior, or use method='nuts' with precondition=laplace_frame(...)."
        )
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
    hierarchy = Hierarchy.of(problem, model.solver, _above(model, problem, layout_of(problem)))
    if not hierarchy.above:
        proposals = _mode_alone(hierarchy)
        return _joined(hierarchy, proposals.mode[0], proposals.u[0])
    # The differences of one step at a time: all the search needs.
    mode, _, near = marginal_mode(hierarchy, min(_batch(hierarchy), points_of_a_step(hierarchy)))
    return _joined(hierarchy, near, jnp.asarray(mode.astype(near.dtype)))


@eqx.filter_jit
def _joined(hierarchy: Hierarchy, x: Float[Array, " d"], u: Float[Array, " h"]) -> Float[Array, " e"]:
    return hierarchy.join(x, u)


def _batch(hierarchy: Hierarchy) -> int:
    """As many modes at a time as keep their curvatures within some tens of megabytes."""
    d = hierarchy.start(above=False).size
    return int(np.clip(2**22 // max(d * d, 1), 1, 64))


def _mode_alone(hierarchy: Hierarchy) -> _Proposals:
    nothing = hierarchy.start(above=True)
    at = jax.tree.map(np.asarray, conditional(hierarchy, nothing[None], hierarchy.start(above=False)))
    if not at.found.all():
        raise ValueError(
            "no maximum of the posterior density was found, or its curvature there is singular: a parameter that "
            "neither data nor prior determine. Give a proper prior, start nearer (initial=), or use method='nuts'."
        )
    return _Proposals(nothing[None], jnp.asarray(at.mode), jnp.zeros(1, nothing.dtype))


def _propose(hierarchy: Hierarchy, batch: int, key: PRNGKeyArray) -> tuple[_Proposals, dict[str, float]]:
    """Values of `u` from a wide Student t fitted to its Laplace marginal, with importance weights."""
    mode, covariance, near = marginal_mode(hierarchy, batch)
    proposals, quality = _weigh(hierarchy, mode, covariance, near, batch, key)
    # Where the marginal is skew, its mode and curvature say too little: once more, with its mean and covariance.
    u, weight = np.asarray(proposals.u, np.float64), np.exp(np.asarray(proposals.log_weight, np.float64))
    mean = weight @ u / weight.sum()
    spread = (weight[:, None] * (u - mean)).T @ (u - mean) / weight.sum()
    again = _weigh(hierarchy, mean, spread, near, batch, key)
    return min(again, (proposals, quality), key=lambda weighed: weighed[1]["pareto_k"])


def _weigh(
    hierarchy: Hierarchy,
    centre: np.ndarray,
    covariance: np.ndarray,
    start: Float[Array, " d"],
    batch: int,
    key: PRNGKeyArray,
) -> tuple[_Proposals, dict[str, float]]:
    u, log_density = _student_t(key, *(jnp.asarray(x.astype(start.dtype)) for x in (centre, covariance)))
    at = evaluate(hierarchy, np.asarray(u), start, batch)
    missed = int((~at.found).sum())
    if missed > len(u) // 10:
        raise ValueError(
            f"the parameters have no mode at {missed} of {len(u)} plausible values of {list(hierarchy.above)}: "
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
    lattice = np.arange(_number(h))[:, None] / _ratio(h) ** np.arange(1, h + 1) % 1
    p = (jnp.asarray(lattice.astype(root.dtype)) + shift[None]) % 1
    p = jnp.clip(p, jnp.finfo(p.dtype).eps, 1 - jnp.finfo(p.dtype).eps)
    narrow = jnp.sqrt(4 * p * (1 - p))
    t = jnp.sign(p - 0.5) * 2 * jnp.sqrt(jnp.cos(jnp.arccos(jnp.minimum(narrow, 1)) / 3) / narrow - 1)
    return centre[None] + t @ root.T, -5 / 2 * jnp.log1p(t**2 / 4).sum(1)


def _number(h: int) -> int:
    """How many proposals there are of `h` numbers."""
    return int(_PROPOSALS * _MORE ** max(h - 3, 0))


def _ratio(h: int) -> float:
    """The root of `x^(h + 1) = x + 1`: the golden ratio, and its like in more dimensions, make the evenest lattices."""
    x = 2.0
    for _ in range(60):
        x = (1 + x) ** (1 / (h + 1))
    return x


@eqx.filter_jit
def _draw(
    hierarchy: Hierarchy,
    proposals: _Proposals,
    keys: Key[Array, " c"],
    chain: Int[Array, " b"],
    draw: Int[Array, " b"],
    moving: tuple[bool, ...],
) -> Record:
    """The draws of these numbers in these chains."""

    def at(u: Float[Array, " h"], x: Float[Array, " d"], noise: Float[Array, " d"]) -> Record:
        q = hierarchy.join(x + noise, u)
        return {
            **record_of(hierarchy.problem, q, moving),
            "stats": {"log_density": hierarchy.problem.log_density(q)},
        }

    def each(u: Float[Array, " h"], x: Float[Array, " d"], factor: Float[Array, "d d"], key: PRNGKeyArray) -> Record:
        normal = jax.random.normal(key, x.shape, x.dtype)
        return at(u, x, jsl.solve_triangular(factor, normal, lower=True, trans=1))

    each_key = jax.vmap(jax.random.fold_in)(keys[chain], draw)
    which_key, noise_key = jax.vmap(lambda key: tuple(jax.random.split(key)), out_axes=0)(each_key)
    which = jax.vmap(lambda key: jax.random.categorical(key, proposals.log_weight))(which_key)
    u, x = proposals.u[which], proposals.mode[which]
    if hierarchy.start(above=False).size > LARGEST_DENSE:
        return jax.vmap(lambda u, x, key: at(u, x, noise_at(hierarchy.given(u, x), x, key)))(u, x, noise_key)

    def factor(u: Float[Array, " h"], x: Float[Array, " d"]) -> Float[Array, "d d"]:
        return factor_of(hierarchy, hierarchy.given(u, x), x)

    if not hierarchy.above:
        shared = factor(proposals.u[0], proposals.mode[0])
        return jax.vmap(each, in_axes=(0, 0, None, 0))(u, x, shared, noise_key)
    return jax.vmap(each)(u, x, jax.vmap(factor)(u, x), noise_key)
