"""DPM-Solver++: multistep samplers of second and third order, with and without noise."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from scorax.diffusion._multistep import (
    Samples,
    WeightedSum,
    check_coefficients,
    check_eta,
    draw_if_random,
    fresh_noise,
    psi,
    run_multistep,
    width_before,
)
from scorax.diffusion._process import AbstractProcess, Score
from scorax.diffusion._sampling import Transform, plan


def dpm_solver_pp_2m(
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
    r"""Samples by DPM-Solver++(2M): second order with one evaluation of the score a step.

    The clean estimate is extrapolated along a line through its last two values. The first step and one to a noise level
    of zero are of first order.

    Args:
        score: `score(x, t)`, the gradient in x of the log-density of the noised data, on one sample.
        process: The noise process the score was trained with.
        x_T: Noise at the first time.
        times: At least two times, monotone; the last may be repeated, and may be that of no noise.
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
        >>> x = dpm_solver_pp_2m(exact, process, jnp.array([[80.0]]), sx.diffusion.edm_grid(40))
        >>> bool(jnp.abs(x - 1)[0, 0] < 0.03)
        True

    Source: Lu et al. (2022), arXiv:2211.01095, algorithm 2.
    """
    steps = plan(process, times, x_T, n_steps, forward=True)
    width = steps.width
    slope = jnp.where(steps.number == 0, 0.0, -0.5 * jnp.expm1(-width) * width / width_before(width, steps))
    total = WeightedSum(jnp.exp(-width), (-jnp.expm1(-width) + slope, -slope), None)
    return run_multistep(score, transform, x_T, steps, total, None, return_trajectory)


def dpm_solver_pp_2m_sde(
    score: Score,
    process: AbstractProcess,
    x_T: Float[Array, "n *event"],
    times: Float[Array, " t"],
    *,
    key: PRNGKeyArray | None = None,
    n_steps: int | Int[Array, ""] | None = None,
    eta: float = 1.0,
    noise: Float[Array, "steps n *event"] | None = None,
    transform: Transform | None = None,
    return_trajectory: bool = False,
    offset: int | Int[Array, ""] = 0,
) -> Samples:
    r"""Samples by the stochastic DPM-Solver++(2M), midpoint form; `eta = 0` is :func:`dpm_solver_pp_2m`.

    Args:
        score: `score(x, t)`, the gradient in x of the log-density of the noised data, on one sample.
        process: The noise process the score was trained with.
        x_T: Noise at the first time.
        times: At least two times, decreasing; the last may be repeated, and may be that of no noise.
        key: Random key, needed for a positive `eta` without `noise`. Row `i` uses `fold_in(key, offset + i)`.
        n_steps: How many steps to take, which may be traced: the same program serves every number. None for all.
        eta: Strength of the noise; 1 is that of the reverse equation. Zero or more.
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
        >>> dpm_solver_pp_2m_sde(exact, process, jnp.ones((3, 2)), jnp.array([2.0, 1.0]), key=jax.random.key(0)).shape
        (3, 2)

    Source: Lu et al. (2022), arXiv:2211.01095, section 5.
    """
    check_eta(eta)
    steps = plan(process, times, x_T, n_steps)
    width = steps.width
    whole = -jnp.expm1(-(1 + eta) * width)
    slope = jnp.where(steps.number == 0, 0.0, 0.5 * whole * width / width_before(width, steps))
    total = WeightedSum(jnp.exp(-(1 + eta) * width), (whole + slope, -slope), fresh_noise(steps, eta))
    draw = draw_if_random(eta, key, noise, x_T, times, offset)
    return run_multistep(score, transform, x_T, steps, total, draw, return_trajectory)


def dpm_solver_pp_3m_sde(
    score: Score,
    process: AbstractProcess,
    x_T: Float[Array, "n *event"],
    times: Float[Array, " t"],
    *,
    key: PRNGKeyArray | None = None,
    n_steps: int | Int[Array, ""] | None = None,
    eta: float = 1.0,
    coefficients: str = "consistent",
    noise: Float[Array, "steps n *event"] | None = None,
    transform: Transform | None = None,
    return_trajectory: bool = False,
    offset: int | Int[Array, ""] = 0,
) -> Samples:
    r"""Samples by a stochastic DPM-Solver++ with the last three clean estimates.

    With `eta = 0` a step is of third order, and a run of second, since the first step is of first order.

    Args:
        score: `score(x, t)`, the gradient in x of the log-density of the noised data, on one sample.
        process: The noise process the score was trained with.
        x_T: Noise at the first time.
        times: At least two times, decreasing; the last may be repeated, and may be that of no noise.
        key: Random key, needed for a positive `eta` without `noise`. Row `i` uses `fold_in(key, offset + i)`.
        n_steps: How many steps to take, which may be traced: the same program serves every number. None for all.
        eta: Strength of the noise; 1 is that of the reverse equation. Zero or more.
        coefficients: "consistent", or "released" for those of the published code, whose second difference has half the
            weight of a Taylor series, so that its steps are of second order.
        noise: Standard normal noise of the steps, in place of `key`.
        transform: `transform(x0, x, t)` on one sample, replaces the estimate of the clean sample at each evaluation.
        return_trajectory: Whether to return the samples at all times.
        offset: Place of the first row in the whole batch, so that chunks draw what the whole would.

    Returns:
        Samples at the last time, or those at all times, first to last.

    Raises:
        ValueError: As :func:`ddim`; or the name of the coefficients is unknown.

    Example:
        >>> process, exact = sx.diffusion.EDM(), lambda x, t: -x / (1 + t**2)  # N(0, 1) data
        >>> x = dpm_solver_pp_3m_sde(exact, process, jnp.array([[80.0]]), sx.diffusion.edm_grid(40), eta=0.0)
        >>> bool(jnp.abs(x - 1)[0, 0] < 0.03)
        True

    Source: Lu et al. (2022), arXiv:2211.01095; the three-step form is that of Crowson, k-diffusion (2022).
    """
    check_eta(eta)
    check_coefficients(coefficients)
    steps = plan(process, times, x_T, n_steps)
    width = steps.width
    first, second = steps.number == 0, steps.number == 1
    minus = -(1 + eta) * width
    phi_2, phi_3 = -psi(1, minus), psi(2, minus)
    by_last = width_before(width, steps) / width
    by_first = width_before(width, steps, 2) / width
    curved = (phi_2 * by_last - (2 if coefficients == "consistent" else 1) * phi_3) / (by_last + by_first)
    curved = jnp.where(first | second, 0.0, curved)
    straight = jnp.where(first, 0.0, (phi_2 + curved) / by_last)
    weights = (-jnp.expm1(minus) + straight, -straight - curved / by_first, curved / by_first)
    total = WeightedSum(jnp.exp(minus), weights, fresh_noise(steps, eta))
    draw = draw_if_random(eta, key, noise, x_T, times, offset)
    return run_multistep(score, transform, x_T, steps, total, draw, return_trajectory)
