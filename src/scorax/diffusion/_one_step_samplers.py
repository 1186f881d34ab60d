"""Samplers that step in the sample and in time: Euler's and Heun's methods, reverse equations."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from scorax.diffusion._process import AbstractProcess, Score
from scorax.diffusion._sampling import Steps, Transform, guided_score, noise_source, plan, run

Samples = Float[Array, "n *event"] | Float[Array, "t n *event"]


class _Linear(NamedTuple):
    """A step `x <- keep x + push score(x) + spread z`."""

    keep: Float[Array, " steps"]
    push: Float[Array, " steps"]
    spread: Float[Array, " steps"] | None


def euler_maruyama(
    score: Score,
    process: AbstractProcess,
    x_T: Float[Array, "n *event"],
    times: Float[Array, " t"],
    *,
    key: PRNGKeyArray | None = None,
    n_steps: int | Int[Array, ""] | None = None,
    noise: Float[Array, "steps n *event"] | None = None,
    transform: Transform | None = None,
    return_trajectory: bool = False,
    offset: int | Int[Array, ""] = 0,
) -> Samples:
    r"""Samples by Euler's method on the reverse equation `dx = (f x - g² score) dt + g dW`.

    Args:
        score: `score(x, t)`, the gradient in x of the log-density of the noised data, on one sample.
        process: The noise process the score was trained with.
        x_T: Noise at the first time.
        times: At least two times, decreasing; the last may be repeated.
        key: Random key, needed if there is no `noise`. Row `i` uses `fold_in(key, offset + i)`.
        n_steps: How many steps to take, which may be traced: the same program serves every number. None for all.
        noise: Standard normal noise of the steps, in place of `key`.
        transform: `transform(x0, x, t)` on one sample, replaces the estimate of the clean sample at each evaluation.
        return_trajectory: Whether to return the samples at all times.
        offset: Place of the first row in the whole batch, so that chunks draw what the whole would.

    Returns:
        Samples at the last time, or those at all times, first to last.

    Raises:
        ValueError: The times do not decrease or begin where there is no signal or no noise, `n_steps` is more than
            there are, or there is neither `key` nor `noise`, or noise of another shape.

    Example:
        >>> process, exact = sx.diffusion.EDM(), lambda x, t: -x / (1 + t**2)  # N(0, 1) data
        >>> euler_maruyama(exact, process, jnp.ones((3, 2)), jnp.array([2.0, 1.0]), key=jax.random.key(0)).shape
        (3, 2)

    Source: Song et al. (2021), arXiv:2011.13456, section 3.3.
    """
    steps = plan(process, times, x_T, n_steps)
    dt = steps.following.t - steps.now.t
    diffusion2 = process.diffusion2(steps.now.t)
    linear = _Linear(1 + process.drift_rate(steps.now.t) * dt, -diffusion2 * dt, jnp.sqrt(-diffusion2 * dt))
    draw = noise_source(key, noise, x_T, times.shape[0] - 1, offset)
    return _run_linear(score, transform, x_T, steps, linear, draw, return_trajectory)


def reverse_diffusion(
    score: Score,
    process: AbstractProcess,
    x_T: Float[Array, "n *event"],
    times: Float[Array, " t"],
    *,
    key: PRNGKeyArray | None = None,
    n_steps: int | Int[Array, ""] | None = None,
    noise: Float[Array, "steps n *event"] | None = None,
    transform: Transform | None = None,
    return_trajectory: bool = False,
    offset: int | Int[Array, ""] = 0,
) -> Samples:
    r"""Samples by the reverse of the process between neighbouring times.

    Where the process steps to the noisier time by `x + F + G z`, exactly, the reverse step is
    `x - F + G² score + G z`; the last one is without noise.

    Args:
        score: `score(x, t)`, the gradient in x of the log-density of the noised data, on one sample.
        process: The noise process the score was trained with.
        x_T: Noise at the first time.
        times: At least two times, decreasing; the last may be repeated.
        key: Random key, needed if there is no `noise`. Row `i` uses `fold_in(key, offset + i)`.
        n_steps: How many steps to take, which may be traced: the same program serves every number. None for all.
        noise: Standard normal noise of the steps, in place of `key`.
        transform: `transform(x0, x, t)` on one sample, replaces the estimate of the clean sample at each evaluation.
        return_trajectory: Whether to return the samples at all times.
        offset: Place of the first row in the whole batch, so that chunks draw what the whole would.

    Returns:
        Samples at the last time, or those at all times, first to last.

    Raises:
        ValueError: As :func:`euler_maruyama`.

    Example:
        >>> process, exact = sx.diffusion.EDM(), lambda x, t: -x / (1 + t**2)  # N(0, 1) data
        >>> reverse_diffusion(exact, process, jnp.array([[2.0]]), jnp.array([2.0, 1.0]), key=jax.random.key(0))
        Array([[0.8]], dtype=float32)

    Source: Song et al. (2021), arXiv:2011.13456, appendix E.
    """
    steps = plan(process, times, x_T, n_steps)
    draw = noise_source(key, noise, x_T, times.shape[0] - 1, offset)
    return _run_linear(score, transform, x_T, steps, reversed_steps(process, steps), draw, return_trajectory)


def probability_flow_euler(
    score: Score,
    process: AbstractProcess,
    x_T: Float[Array, "n *event"],
    times: Float[Array, " t"],
    *,
    key: PRNGKeyArray | None = None,
    n_steps: int | Int[Array, ""] | None = None,
    transform: Transform | None = None,
    return_trajectory: bool = False,
) -> Samples:
    r"""Samples by Euler's method in time on the probability flow `dx/dt = f x - g²/2 score`. First order.

    Args:
        score: `score(x, t)`, the gradient in x of the log-density of the noised data, on one sample.
        process: The noise process the score was trained with.
        x_T: Noise at the first time.
        times: At least two times, monotone; the last may be repeated. Increasing times carry data to noise.
        key: Not used: nothing is random.
        n_steps: How many steps to take, which may be traced: the same program serves every number. None for all.
        transform: `transform(x0, x, t)` on one sample, replaces the estimate of the clean sample at each evaluation.
        return_trajectory: Whether to return the samples at all times.

    Returns:
        Samples at the last time, or those at all times, first to last.

    Raises:
        ValueError: The times are not monotone or begin where there is no signal or no noise, or `n_steps` is more than
            there are.

    Example:
        >>> process, exact = sx.diffusion.EDM(), lambda x, t: -x / (1 + t**2)  # N(0, 1) data
        >>> probability_flow_euler(exact, process, jnp.array([[2.0]]), jnp.array([2.0, 1.0]))
        Array([[1.2]], dtype=float32)

    Source: Song et al. (2021), arXiv:2011.13456, equation 13.
    """
    steps = plan(process, times, x_T, n_steps, forward=True)
    dt = steps.following.t - steps.now.t
    linear = _Linear(1 + process.drift_rate(steps.now.t) * dt, -0.5 * process.diffusion2(steps.now.t) * dt, None)
    return _run_linear(score, transform, x_T, steps, linear, None, return_trajectory)


def probability_flow_heun(
    score: Score,
    process: AbstractProcess,
    x_T: Float[Array, "n *event"],
    times: Float[Array, " t"],
    *,
    key: PRNGKeyArray | None = None,
    n_steps: int | Int[Array, ""] | None = None,
    transform: Transform | None = None,
    return_trajectory: bool = False,
) -> Samples:
    r"""Samples by Heun's method in time on the probability flow. Second order; two evaluations of the score a step.

    :func:`heun` steps over the noise level instead, where the flow is straighter. The last step to a noise level of
    zero is Euler's.

    Args:
        score: `score(x, t)`, the gradient in x of the log-density of the noised data, on one sample.
        process: The noise process the score was trained with.
        x_T: Noise at the first time.
        times: At least two times, monotone; the last may be repeated. Increasing times carry data to noise.
        key: Not used: nothing is random.
        n_steps: How many steps to take, which may be traced: the same program serves every number. None for all.
        transform: `transform(x0, x, t)` on one sample, replaces the estimate of the clean sample at each evaluation.
        return_trajectory: Whether to return the samples at all times.

    Returns:
        Samples at the last time, or those at all times, first to last.

    Raises:
        ValueError: As :func:`probability_flow_euler`.

    Example:
        >>> process, exact = sx.diffusion.EDM(), lambda x, t: -x / (1 + t**2)  # N(0, 1) data
        >>> probability_flow_heun(exact, process, jnp.array([[2.0]]), jnp.array([2.0, 1.0]))
        Array([[1.3]], dtype=float32)

    Source: Song et al. (2021), arXiv:2011.13456; Karras et al. (2022), arXiv:2206.00364.
    """
    steps = plan(process, times, x_T, n_steps, forward=True)
    evaluate = guided_score(score, transform)
    end = jax.tree.map(lambda a, b: jnp.where(steps.clean, a, b), steps.now, steps.following)
    rates = tuple((process.drift_rate(at.t), -0.5 * process.diffusion2(at.t)) for at in (steps.now, end))

    def step(x, at):
        dt, clean, now, end, ((keep, push), (keep_end, push_end)) = at
        first = keep * x + push * evaluate(x, now)
        euler = x + dt * first
        second = keep_end * euler + push_end * evaluate(euler, end)
        return jnp.where(clean, euler, x + 0.5 * dt * (first + second))

    inputs = (steps.following.t - steps.now.t, steps.clean, steps.now, end, rates)
    last, path = run(step, x_T, steps.taken, inputs, (lambda x, _: x) if return_trajectory else None)
    return last if path is None else jnp.concatenate([x_T[None], path])


def reversed_steps(process: AbstractProcess, steps: Steps) -> _Linear:
    """The reverse of the exact step between neighbouring times."""
    now, following = steps.now, steps.following
    factor = jnp.exp(process.log_alpha(now.t) - process.log_alpha(following.t))
    # The variance of the step, as in `transition`; from no noise it is all there is.
    share = jnp.where(steps.clean, 1.0, -jnp.expm1(-2 * steps.width))
    spread = now.sigma * jnp.sqrt(share)
    return _Linear(2 - factor, spread**2, jnp.where(steps.left == 1, 0.0, spread))


def advance(evaluate, x, now, linear, z):
    """One step from a point of the schedule, with its noise."""
    x = linear.keep * x + linear.push * evaluate(x, now)
    return x if z is None else x + linear.spread * z


def _run_linear(score, transform, x_T, steps, linear, draw, return_trajectory):
    evaluate = guided_score(score, transform)

    def step(x, at):
        index, now, linear = at
        return advance(evaluate, x, now, linear, None if draw is None else draw(index))

    inputs = (steps.number, steps.now, linear)
    last, path = run(step, x_T, steps.taken, inputs, (lambda x, _: x) if return_trajectory else None)
    return last if path is None else jnp.concatenate([x_T[None], path])
