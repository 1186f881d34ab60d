"""Sampling with a score function: grids of noise levels, and Heun's method with churn."""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, DTypeLike, Float, Int, PRNGKeyArray

from scorax.diffusion._process import AbstractProcess, Score

Transform = Callable[[Float[Array, "..."], Float[Array, "..."], Float[Array, ""]], Float[Array, "..."]]


class _Point(NamedTuple):
    """The schedule at a time: `x = alpha y`, and `level` is the noise in `y`."""

    t: Float[Array, "*s"]
    alpha: Float[Array, "*s"]
    level: Float[Array, "*s"]


def edm_grid(
    n: int,
    sigma_min: float | Float[Array, ""] = 0.002,
    sigma_max: float | Float[Array, ""] = 80.0,
    *,
    rho: float = 7.0,
    dtype: DTypeLike = float,
) -> Float[Array, " t"]:
    r"""Noise levels from `sigma_max` down to `sigma_min` in `n` values, evenly spaced in `sigma^(1/rho)`, then 0.

    They are the times of the :class:`EDM` process. For another process the times are
    `process.inverse_log_snr(-jnp.log(edm_grid(n)))`. Drop the last value to end at `sigma_min`.

    Args:
        n: How many positive levels, and so how many steps. At least 2.
        sigma_min: Least positive level.
        sigma_max: Largest level.
        rho: How strongly the levels crowd towards the small end; 1 spaces them evenly.
        dtype: Floating dtype of the levels.

    Returns:
        The `n + 1` levels, decreasing.

    Raises:
        ValueError: `n` is less than 2.

    Example:
        >>> edm_grid(18)[1:3]
        Array([57.586, 40.786], dtype=float32)

    Source: Karras, Aittala, Aila and Laine (2022), arXiv:2206.00364, equation 5.
    """
    if n < 2:
        raise ValueError(f"a grid needs at least 2 levels, not {n}.")
    fraction = jnp.arange(n).astype(dtype) / (n - 1)
    low, high = (jnp.asarray(level, fraction.dtype) for level in (sigma_min, sigma_max))
    root = (low / high) ** (1 / rho)
    return jnp.append(high * (1 + fraction * (root - 1)) ** rho, jnp.zeros((), fraction.dtype))


def heun(
    score: Score,
    process: AbstractProcess,
    x_T: Float[Array, "n *event"],
    times: Float[Array, " t"],
    *,
    key: PRNGKeyArray | None = None,
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
        >>> sample = jax.jit(lambda x_T: heun(exact, process, x_T, edm_grid(18)))
        >>> bool(jnp.abs(sample(x_T).std() - 1) < 0.05)
        True

    Source: Karras, Aittala, Aila and Laine (2022), arXiv:2206.00364, algorithms 1 and 2.
    """
    n_steps = times.shape[0] - 1
    if n_steps < 1:
        raise ValueError(f"a sampler needs at least two times, not {n_steps + 1}.")
    if churn < 0:
        raise ValueError(f"churn must be zero or more, not {churn}.")
    points = _points(process, times.astype(x_T.dtype))
    now, following = jax.tree.map(lambda a: a[:-1], points), jax.tree.map(lambda a: a[1:], points)
    draw, lift = None, None
    if churn > 0:
        draw = _noise_source(key, noise, x_T, n_steps, offset)
        now, lift = _churned(process, now, min(churn / n_steps, math.sqrt(2) - 1), churn_range)

    @functools.partial(jax.vmap, in_axes=(0, None))
    def slope(y: Float[Array, "*event"], at: _Point) -> Float[Array, "*event"]:
        """`dy / dlevel`, which is the noise that the score sees in the sample."""
        x = at.alpha * y
        gradient = score(x, at.t).astype(x.dtype)
        chex.assert_shape(gradient, x.shape)
        seen = -at.alpha * at.level * gradient
        return seen if transform is None else (y - transform(y - at.level * seen, x, at.t)) / at.level

    def step(y, at):
        index, now, following, lift = at
        if draw is not None:
            y = y + noise_scale * lift * draw(index)
        width = following.level - now.level
        first = slope(y, now)
        euler = y + width * first
        # No score exists without noise: the last step to zero evaluates it where it does, and drops the value.
        clean = following.level == 0
        second = slope(euler, jax.tree.map(functools.partial(jnp.where, clean), now, following))
        y = jnp.where(clean, euler, y + width * 0.5 * (first + second))
        return y, following.alpha * y if return_trajectory else None

    last, path = jax.lax.scan(step, x_T / points.alpha[0], (jnp.arange(n_steps), now, following, lift))
    return points.alpha[-1] * last if path is None else jnp.concatenate([x_T[None], path])


def _points(process: AbstractProcess, t: Float[Array, " t"]) -> _Point:
    alpha = process.alpha(t)
    return _Point(t, alpha, process.sigma(t) / alpha)


def _churned(
    process: AbstractProcess, point: _Point, gamma: float, span: tuple[float, float]
) -> tuple[_Point, Float[Array, " t"]]:
    """The points with their noise raised by `gamma` of itself, and the standard deviation of what that adds."""
    inside = (point.level >= span[0]) & (point.level <= span[1])
    level = jnp.where(inside, point.level * (1 + gamma), point.level)
    t = jnp.where(inside, process.inverse_log_snr(-jnp.log(level)), point.t)
    added = jnp.where(inside, point.level * math.sqrt(gamma * (2 + gamma)), jnp.zeros_like(level))
    return _Point(t, process.alpha(t), level), added


def _noise_source(
    key: PRNGKeyArray | None,
    noise: Float[Array, "..."] | None,
    x_T: Float[Array, "n *event"],
    n_steps: int,
    offset: int | Int[Array, ""],
) -> Callable[[Int[Array, ""]], Float[Array, "n *event"]]:
    """The noise of each step: given, or drawn when it is needed, so that no more than one step's is held."""
    if noise is not None:
        if noise.shape != (n_steps, *x_T.shape):
            raise ValueError(f"noise has shape {noise.shape}, but the steps need {(n_steps, *x_T.shape)}.")
        return lambda index: noise[index]
    if key is None:
        raise ValueError("churn draws noise: pass key=, or the noise itself.")
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, offset + jnp.arange(x_T.shape[0], dtype=jnp.int32))

    def draw(index):
        return jax.vmap(lambda k: jax.random.normal(jax.random.fold_in(k, index), x_T.shape[1:], x_T.dtype))(keys)

    return draw
