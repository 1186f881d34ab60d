"""Derivatives of a problem's log density, and the two parts of a sandwich."""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

if TYPE_CHECKING:
    from scorax.inference._problem import Problem


class Derivatives(NamedTuple):
    """Value, gradient and Hessian of a log density."""

    value: Float[Array, ""]
    gradient: Float[Array, " d"]
    hessian: Float[Array, "d d"]


def derivatives_by_autodiff(problem: "Problem", q: Float[Array, " d"]) -> Derivatives:
    """Value, gradient and Hessian of `problem.log_density`; the Hessian costs one gradient a coordinate."""
    value, gradient = jax.value_and_grad(problem.log_density)(q)
    return Derivatives(value, gradient, jax.hessian(problem.log_density)(q))


def pull_back(
    leaves: Callable[[Float[Array, " d"]], Float[Array, " p"]], q: Float[Array, " d"], matrix: Float[Array, "p p"]
) -> Float[Array, "d d"]:
    """`J^T M J` for the Jacobian `J` of `leaves` at `q`, without forming `J`: two sweeps of transposed products."""
    _, transposed = jax.vjp(leaves, q)
    half = jax.vmap(lambda row: transposed(row)[0])(matrix)
    return jax.vmap(lambda row: transposed(row)[0])(half.T)


def row_meat(problem: "Problem", q: Float[Array, " d"]) -> Float[Array, "d d"]:
    """Covariance of the score when every observation is independent: `sum weight^2/count g g^T` over rows.

    `weight` is what all `count` equal observations of a row add together, so each adds `weight/count`, squared.
    """
    scores = jax.jacfwd(lambda q: problem.module(q).log_prob(problem.data))(q).reshape(-1, q.size)
    weight = problem.data.weight.astype(q.dtype).reshape(-1)
    count = problem.data.count.astype(q.dtype).reshape(-1)
    each = jnp.where(count > 0, weight**2 / jnp.where(count > 0, count, 1), 0)
    return scores.T @ (each[:, None] * scores)


def clustered_meat(
    problem: "Problem", q: Float[Array, " d"], cluster: Int[Array, "..."], n_clusters: int
) -> Float[Array, "d d"]:
    """Covariance of the score when clusters are independent: `sum s s^T` over the clusters' total scores `s`."""
    weight = problem.data.weight.astype(q.dtype)

    def totals(direction: Float[Array, " d"]) -> Float[Array, " c"]:
        _, scores = jax.jvp(lambda q: problem.module(q).log_prob(problem.data), (q,), (direction,))
        return jax.ops.segment_sum((weight * scores).reshape(-1), cluster.reshape(-1), n_clusters)

    by_cluster = jax.lax.map(totals, jnp.eye(q.size, dtype=q.dtype))
    return by_cluster @ by_cluster.T
