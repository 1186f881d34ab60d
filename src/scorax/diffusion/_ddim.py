"""DDIM, and ancestral sampling as the case with all noise fresh."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from scorax.diffusion._multistep import (
    Samples,
    WeightedSum,
    check_eta,
    draw_if_random,
    run_multistep,
)
from scorax.diffusion._process import AbstractProcess, Score
from scorax.diffusion._sampling import Transform, plan


def ddim(
    score: Score,
    process: AbstractProcess,
    x_T: Float[Array, "n *event"],
    times: Float[Array, " t"],
    *,
    key: PRNGKeyArray | None = None,
    n_steps: int | Int[Array, ""] | None = None,
    eta: float = 0.0,
    noise: Float[Array, "steps n *event"] | None = None,
    transform: Transform | None = None,
    return_trajectory: bool = False,
    offset: int | Int[Array, ""] = 0,
) -> Samples:
    r"""Samples by DDIM: the noise seen in a sample is scaled to the next level, a part of it replaced by fresh noise.

    With `y = x / alpha` and its noise level, the step is `x0 + (down / level) (y - x0) + up z`, `up` from 0 for
    `eta = 0` (deterministic, first order) to that of :func:`ancestral` sampling for `eta = 1`. It is exact in one step
    for data at a point.

    Args:
        score: `score(x, t)`, the gradient in x of the log-density of the noised data, on one sample.
        process: The noise process the score was trained with.
        x_T: Noise at the first time.
        times: At least two times, decreasing; the last may be repeated, and may be that of no noise.
        key: Random key, needed for a positive `eta` without `noise`. Row `i` uses `fold_in(key, offset + i)`.
        n_steps: How many steps to take, which may be traced: the same program serves every number. None for all.
        eta: Share of fresh noise. Zero or more.
        noise: Standard normal noise of the steps, in place of `key`.
        transform: `transform(x0, x, t)` on one sample, replaces the estimate of the clean sample at each evaluation.
        return_trajectory: Whether to return the samples at all times.
        offset: Place of the first row in the whole batch, so that chunks draw what the whole would.

    Returns:
        Samples at the last time, or those at all times, first to last.

    Raises:
        ValueError: The times do not decrease or begin where there is no signal or no noise, `n_steps` is more than
            there are, `eta` is negative, or noise is needed and there is neither `key` nor `noise`.

    Example:
        >>> at_one = lambda x, t: (1 - x) / t**2  # all data are 1
        >>> ddim(at_one, sx.diffusion.EDM(), jnp.array([[50.0]]), jnp.array([40.0, 0.0]))
        Array([[1.]], dtype=float32)

    Source: Song, Meng and Ermon (2021), arXiv:2010.02502, equation 12.
    """
    check_eta(eta)
    # Without fresh noise, increasing times carry data to noise.
    steps = plan(process, times, x_T, n_steps, forward=eta == 0)
    if eta == 0:
        total = WeightedSum(jnp.exp(-steps.width), (-jnp.expm1(-steps.width),), None)
    else:
        squeeze = jnp.exp(-steps.width)
        up = jnp.minimum(eta * jnp.sqrt(-jnp.expm1(-2 * steps.width)), 1)
        # A share of one leaves no noise of the sample, and a root without a derivative.
        all_fresh = up >= 1
        keep = squeeze * jnp.where(all_fresh, 0.0, jnp.sqrt(jnp.where(all_fresh, 1.0, 1 - up**2)))
        total = WeightedSum(keep, (1 - keep,), steps.following.level * up)
    draw = draw_if_random(eta, key, noise, x_T, times, offset)
    return run_multistep(score, transform, x_T, steps, total, draw, return_trajectory)


def ancestral(
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
    r"""Samples by the posterior of the process between neighbouring times: :func:`ddim` with `eta = 1`, or DDPM.

    Args:
        score: `score(x, t)`, the gradient in x of the log-density of the noised data, on one sample.
        process: The noise process the score was trained with.
        x_T: Noise at the first time.
        times: At least two times, decreasing; the last may be repeated, and may be that of no noise.
        key: Random key, needed if there is no `noise`. Row `i` uses `fold_in(key, offset + i)`.
        n_steps: How many steps to take, which may be traced: the same program serves every number. None for all.
        noise: Standard normal noise of the steps, in place of `key`.
        transform: `transform(x0, x, t)` on one sample, replaces the estimate of the clean sample at each evaluation.
        return_trajectory: Whether to return the samples at all times.
        offset: Place of the first row in the whole batch, so that chunks draw what the whole would.

    Returns:
        Samples at the last time, or those at all times, first to last.

    Raises:
        ValueError: As :func:`ddim`.

    Example:
        >>> process, exact = sx.diffusion.EDM(), lambda x, t: -x / (1 + t**2)  # N(0, 1) data
        >>> ancestral(exact, process, jnp.ones((3, 2)), jnp.array([2.0, 1.0]), key=jax.random.key(0)).shape
        (3, 2)

    Source: Ho, Jain and Abbeel (2020), arXiv:2006.11239.
    """
    return ddim(
        score,
        process,
        x_T,
        times,
        key=key,
        n_steps=n_steps,
        eta=1.0,
        noise=noise,
        transform=transform,
        return_trajectory=return_trajectory,
        offset=offset,
    )
