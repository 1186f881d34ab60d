"""Sums of softplus less a linear function: logistic regressions of soft labels, whatever their weights."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

_MOST_STEPS = 60


class _Problem(NamedTuple):
    features: Float[Array, "n d"]
    weight: Float[Array, " n"]
    linear: Float[Array, " d"]
    ridge: Float[Array, ""]


class _State(NamedTuple):
    beta: Float[Array, " d"]
    reach: Float[Array, ""]
    """How much the last step changed the largest of all log-odds."""
    steps: Int[Array, ""]


def softplus_minimum(
    features: Float[Array, "n d"],
    weight: Float[Array, " n"],
    linear: Float[Array, " d"],
    ridge: Float[Array, ""] | float = 0.0,
) -> tuple[Float[Array, " d"], Bool[Array, ""]]:
    r"""The \(\beta\) that minimises \(\sum_i w_i \log(1 + e^{x_i \beta}) - c \beta + r \|\beta\|^2 / 2\).

    A logistic regression of labels \(y\) in [0, 1] has \(c = \sum_i w_i y_i x_i\). Newton's steps are shortened by what
    bounds a logistic loss from above, so each of them descends from any start. The search is held constant: derivatives
    are those of one step at its end, which are the derivatives of the minimum (first ones only).

    Returns:
        The minimum, NaN where there is none that is finite, and whether it was reached.
    """
    problem = _Problem(features, weight, linear, jnp.asarray(ridge, features.dtype))
    # Newton's method squares its error: after a step as short as this the next one ends in rounding.
    tolerance = float(jnp.finfo(features.dtype).eps) ** 0.5
    frozen = jax.lax.stop_gradient(problem)

    def damped(state: _State) -> _State:
        move, reach = _newton(frozen, state.beta)
        # Along the step the curvature changes at most by a factor exp(reach): log(1 + reach) / reach is safe.
        long = reach > 1e-4
        safe = jnp.where(long, jnp.log1p(reach) / jnp.where(long, reach, 1), 1)
        return _State(state.beta + safe * move, reach, state.steps + 1)

    start = _State(jnp.zeros_like(linear), jnp.full((), jnp.inf, features.dtype), jnp.zeros((), jnp.int32))
    end = jax.lax.while_loop(lambda s: (s.reach > tolerance) & (s.steps < _MOST_STEPS), damped, start)
    move, _ = _newton(problem, jax.lax.stop_gradient(end.beta))
    found = end.reach <= tolerance
    return jnp.where(found, end.beta + move, jnp.nan), found


def _newton(problem: _Problem, beta: Float[Array, " d"]) -> tuple[Float[Array, " d"], Float[Array, ""]]:
    """Newton's step, and how much it changes the largest of all log-odds."""
    x, weight, linear, ridge = problem
    p = jax.nn.sigmoid(x @ beta)
    gradient = x.T @ (weight * p) - linear + ridge * beta
    hessian = (x * (weight * p * (1 - p))[:, None]).T @ x + ridge * jnp.eye(beta.shape[0], dtype=beta.dtype)
    move = -jnp.linalg.solve(hessian, gradient)
    return move, jnp.abs(x @ move).max()
