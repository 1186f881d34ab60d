"""Sampling with a score function by Heun's method on the probability flow, with churn."""

import functools
import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from scorax.diffusion._process import AbstractProcess, Score
from scorax.diffusion._sampling import (
    Point,
    Steps,
    Transform,
    level_runner,
    noise_source,
    plan,
)
from scorax.numerics import checked_score


def heun(
    score: Score,
    process: AbstractProcess,
    x_T: Float[Array, "n *event"],
    times: Float[Array, " t"],
    *,
    key: PRNGKeyArray | None = None,
    n_steps: int | Int[Array, ""] | None = None,
    churn: float = 0.0,
    churn_range: tuple[float, float] = (0.0, math.inf),
    noise_scale: float = 1.0,
    noise: Float[Array, "steps n *event"] | None = None,
    transform: Transform | None = None,
    return_trajectory: bool = False,
    offset: int | Int[Array, ""] = 0,
) -> Float[Array, "n *event"] | Float[Array, "t n *event"]:
    r"""Samples by Heun's method on the probability flow, with EDM's optional churn.

    The method steps in `y = x / alpha` over the noise level `sigma / alpha`, where the flow is nearly straight, and is
    of second order. Without churn it is deterministic, and its samples are differentiable in `x_T`, the times and all
    parameters. The last step to a noise level of exactly zero is Euler's, since no score exists there. One `lax.scan`
    with two evaluations of the score a step; compile the call with `eqx.filter_jit`.

    Args:
        score: `score(x, t)`, the gradient in x of the log-density of the noised data, on one sample.
        process: The noise process the score was trained with.
        x_T: Noise at the first time, such as `process.prior_sample((n, *event), key=key)`.
        times: At least two times, decreasing. Increasing times carry data to noise instead; they must not begin at
            zero noise.
        n_steps: How many steps to take, which may be traced: the same program serves every number. None for all.
        key: Random key, needed if there is churn and no `noise`. Row `i` uses `fold_in(key, offset + i)`.
        churn: Noise to add over the whole run: each step raises the noise level by `min(churn / steps, sqrt(2) - 1)`
            of itself before it descends.
        churn_range: Noise levels between which churn takes place.
        noise_scale: Standard deviation of the churned noise, a little above 1 to make up for lost detail.
        noise: Standard normal noise to churn with, in place of `key`.
        transform: `transform(x0, x, t)` on one sample, replaces the estimate of the clean sample at each evaluation:
            clipping, guidance, inpainting.
        return_trajectory: Whether to return the samples at all times.
        offset: Place of the first row in the whole batch, so that chunks draw what the whole would.

    Returns:
        Samples at the last time, or those at all times, first to last.

    Raises:
        ValueError: Fewer than two times, negative churn, churn without `key` or `noise`, or noise of another shape.

    Example:
        >>> process, exact = sx.diffusion.EDM(), lambda x, t: -x / (1 + t**2)  # N(0, 1) data
        >>> x_T = process.prior_sample((1000, 2), key=jax.random.key(0))
        >>> sample = jax.jit(lambda x_T: heun(exact, process, x_T, sx.diffusion.edm_grid(18)))
        >>> bool(jnp.abs(sample(x_T).std() - 1) < 0.05)
        True

    Source: Karras, Aittala, Aila and Laine (2022), arXiv:2206.00364, algorithms 1 and 2.
    """
    if churn < 0:
        raise ValueError(f"churn must be zero or more, not {churn}.")
    steps = plan(process, times, x_T, n_steps, forward=True)
    now, draw, lift = steps.now, None, None
    if churn > 0:
        draw = noise_source(key, noise, x_T, times.shape[0] - 1, offset, "churn")
        now, lift = _churned(process, steps, churn, churn_range)

    @functools.partial(jax.vmap, in_axes=(0, None))
    def slope(y: Float[Array, "*event"], at: Point) -> Float[Array, "*event"]:
        """`dy / dlevel`, which is the noise that the score sees in the sample."""
        x = at.alpha * y
        seen = -at.sigma * checked_score(score(x, at.t), x)
        return seen if transform is None else (y - transform(y - at.level * seen, x, at.t)) / at.level

    def step(state, at):
        (y,), (_, (index, now, following, lift)) = state, at
        if draw is not None:
            y = y + noise_scale * lift * draw(index)
        width = following.level - now.level
        first = slope(y, now)
        euler = y + width * first
        # No score exists without noise: the last step to zero evaluates it where it does, and drops the value.
        clean = following.level == 0
        second = slope(euler, jax.tree.map(functools.partial(jnp.where, clean), now, following))
        return (jnp.where(clean, euler, y + width * 0.5 * (first + second)),)

    inputs = (steps.number, now, steps.following, lift)
    return level_runner(step, (x_T / steps.now.alpha[0],), steps, inputs, x_T, return_trajectory)


def _churned(
    process: AbstractProcess, steps: Steps, churn: float, span: tuple[float, float]
) -> tuple[Point, Float[Array, " t"]]:
    """The points with their noise raised, and the standard deviation of what that adds."""
    point, count = steps.now, jnp.maximum(steps.taken.sum(dtype=jnp.int32), 1)
    gamma = jnp.minimum(churn / count.astype(point.t.dtype), math.sqrt(2) - 1)
    inside = (point.level >= span[0]) & (point.level <= span[1])
    level = jnp.where(inside, point.level * (1 + gamma), point.level)
    t = jnp.where(inside, process.inverse_log_snr(-jnp.log(level)), point.t)
    added = jnp.where(inside, point.level * jnp.sqrt(gamma * (2 + gamma)), jnp.zeros_like(level))
    alpha = process.alpha(t)
    return Point(t, alpha, alpha * level, level), added
