"""Convex problems over a simplex: mixtures by likelihood and by least squares, exact where the optimum is."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from scorax.judges._small_solve import solve_small

# Interior-point steps shrink the distance from the optimum tenfold and more; rounding is reached long before.
_STEPS = 40
# Systems up to this size are written out, see `solve_small`.
_FEW = 8


class Derivatives(NamedTuple):
    """Of a convex function of a point of the simplex."""

    gradient: Float[Array, " k"]
    hessian: Float[Array, "k k"]


def mixture_of_likelihoods(likelihood: Float[Array, "n k"], weight: Float[Array, " n"]) -> Float[Array, " k"]:
    """The shares that maximise `sum_n weight[n] log(likelihood[n] @ share)`, a concave function.

    Args:
        likelihood: At least 0. A row of zeros of weight 0 takes no part.
        weight: At least 0; only their proportions matter.
    """
    total = weight.sum()
    return _minimum(_of_likelihoods, likelihood, weight / jnp.where(total > 0, total, jnp.ones_like(total)))


def _of_likelihoods(
    likelihood: Float[Array, "n k"], weight: Float[Array, " n"], share: Float[Array, " k"]
) -> Derivatives:
    mixed = likelihood @ share
    possible = (mixed > 0) & (weight > 0)
    ratio = jnp.where(possible[:, None], likelihood, 0) / jnp.where(possible, mixed, 1)[:, None]
    return Derivatives(-(weight @ ratio), (ratio * weight[:, None]).T @ ratio)


def least_squares_mixture(design: Float[Array, "n k"], response: Float[Array, " n"]) -> Float[Array, " k"]:
    """The shares that minimise the squared distance of `design @ share` from `response`."""
    return _minimum(_of_squares, design, response)


def _of_squares(design: Float[Array, "n k"], response: Float[Array, " n"], share: Float[Array, " k"]) -> Derivatives:
    return Derivatives(design.T @ (design @ share - response), design.T @ design)


def _minimum(
    derivatives: Callable[[Float[Array, "n k"], Float[Array, " n"], Float[Array, " k"]], Derivatives],
    design: Float[Array, "n k"],
    response: Float[Array, " n"],
) -> Float[Array, " k"]:
    """A primal-dual interior-point search, which says which shares are zero, then one of Newton's steps on the others.

    The search itself is held constant: the last step alone carries derivatives, those of the optimum.
    """
    k, dtype = design.shape[1], design.dtype
    eps = float(jnp.finfo(dtype).eps)
    fixed = jax.lax.stop_gradient((design, response))

    def step(_: Int[Array, ""], state: tuple[Float[Array, " k"], Float[Array, " k"]]) -> tuple[Array, Array]:
        share, slack = state
        gradient, hessian = derivatives(*fixed, share)
        # Not to zero, where quotients of rounding errors would begin.
        aim = jnp.maximum(0.1 * (share @ slack) / k, jnp.asarray(eps**2, dtype))
        bent = hessian + jnp.diag(slack / share)
        move = _constrained_step(bent, -gradient + aim / share, share)
        dual = aim / share - slack - slack / share * move
        far = jnp.minimum(_room(share, move), _room(slack, dual))
        return share + far * move, slack + far * dual

    start = jnp.full((k,), 1 / k, dtype)
    share, slack = jax.lax.fori_loop(0, _STEPS, step, (start, jnp.ones(k, dtype)))
    free = share > slack
    share = jnp.where(free, share, 0)
    share = share / share.sum()
    gradient, hessian = derivatives(design, response, share)
    both = free[:, None] & free[None, :]
    move = _constrained_step(jnp.where(both, hessian, jnp.eye(k, dtype=dtype)), -gradient, share, free=free)
    return jnp.clip(share + move, 0, 1)


def _constrained_step(
    hessian: Float[Array, "k k"],
    right: Float[Array, " k"],
    share: Float[Array, " k"],
    *,
    free: Bool[Array, " k"] | None = None,
) -> Float[Array, " k"]:
    """Newton's step among moves after which the free shares sum to one."""
    k = share.shape[0]
    ones = jnp.ones(k, share.dtype) if free is None else free.astype(share.dtype)
    border = jnp.concatenate([jnp.concatenate([hessian, ones[:, None]], 1), jnp.append(ones, 0)[None]], 0)
    target = jnp.append(ones * right, 1 - share.sum())
    if k <= _FEW:
        return solve_small(border, target[:, None])[0][:k, 0]
    return jnp.linalg.solve(border, target)[:k]


def _room(x: Float[Array, " k"], move: Float[Array, " k"]) -> Float[Array, ""]:
    """How far one may go before a coordinate vanishes: almost so far, and at most the whole way."""
    shrinking = move < 0
    ratio = jnp.where(shrinking, -x / jnp.where(shrinking, move, -1), jnp.inf)
    return jnp.minimum(1, 0.99 * ratio.min())
