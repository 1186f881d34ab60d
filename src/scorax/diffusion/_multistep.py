"""What samplers share whose step is a sum of the last few clean estimates."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from scorax.diffusion._process import Score
from scorax.diffusion._sampling import Steps, Transform, clean_estimator, level_runner, noise_source

Samples = Float[Array, "n *event"] | Float[Array, "t n *event"]


class WeightedSum(NamedTuple):
    """A step `y <- keep y + weights[0] x0 + weights[1] x0_before + ... + spread z` of `y = x / alpha`."""

    keep: Float[Array, " steps"]
    weights: tuple[Float[Array, " steps"], ...]
    """Of the clean estimates, newest first."""
    spread: Float[Array, " steps"] | None


def psi(order: int, z: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """`psi_0 = expm1(z)`, `psi_k = psi_{k-1} / z - 1 / k!`, which vanishes at zero; by its series near it."""
    small = jnp.abs(z) < 1
    near, far = jnp.where(small, z, 1.0), jnp.where(small, 1.0, z)
    large, factorial = jnp.expm1(far), 1.0
    for k in range(1, order + 1):
        factorial *= k
        large = large / far - 1 / factorial
    # sum_j z^(j + 1) / (j + k + 1)!, innermost first.
    series = jnp.ones_like(z)
    for j in range(13, 0, -1):
        series = 1 + series * near / (j + order + 1)
    return jnp.where(small, near * series / (factorial * (order + 1)), large)


def check_coefficients(coefficients: str) -> None:
    """An error where the name is unknown."""
    if coefficients not in ("consistent", "released"):
        raise ValueError(f"unknown coefficients {coefficients!r}: expected 'consistent' or 'released'.")


def check_eta(eta: float) -> None:
    """An error where the share of noise is negative."""
    if not eta >= 0:
        raise ValueError(f"eta must be zero or more, not {eta}.")


def width_before(width: Float[Array, " steps"], steps: Steps, back: int = 1) -> Float[Array, " steps"]:
    """The width of an earlier step; that of the first where there is none."""
    return width[jnp.maximum(steps.number - back, 0)]


def fresh_noise(steps: Steps, eta: float) -> Float[Array, " steps"] | None:
    """Standard deviation of the noise that each step adds to `y`; None if there is none."""
    return steps.following.level * jnp.sqrt(-jnp.expm1(-2 * eta * steps.width)) if eta > 0 else None


def draw_if_random(eta, key, noise, x_T, times, offset):
    """See `noise_source`; None if nothing is random."""
    return noise_source(key, noise, x_T, times.shape[0] - 1, offset) if eta > 0 else None


def run_multistep(
    score: Score,
    transform: Transform | None,
    x_T: Float[Array, "n *event"],
    steps: Steps,
    total: WeightedSum,
    draw: Callable[[Int[Array, ""]], Array] | None,
    return_trajectory: bool,
) -> Samples:
    """Samples by steps that are sums of clean estimates."""
    estimate, total = clean_estimator(score, transform), _end_clean(steps.clean, total)

    def step(state, at):
        (y, before), (_, (index, now, total)) = state, at
        newest = (estimate(y, now), *before)
        y = total.keep * y + sum(weight * clean for weight, clean in zip(total.weights, newest, strict=True))
        if draw is not None:
            y = y + total.spread * draw(index)
        return y, newest[:-1]

    start = (x_T / steps.now.alpha[0], tuple(jnp.zeros_like(x_T) for _ in total.weights[1:]))
    return level_runner(step, start, steps, (steps.number, steps.now, total), x_T, return_trajectory)


def _end_clean(clean: Bool[Array, " steps"], total: WeightedSum) -> WeightedSum:
    """A step to no noise ends at the clean estimate."""
    nothing = functools.partial(jnp.where, clean, 0.0)
    weights = (jnp.where(clean, 1.0, total.weights[0]), *map(nothing, total.weights[1:]))
    return WeightedSum(nothing(total.keep), weights, jax.tree.map(nothing, total.spread))
