"""What all samplers share: a checked grid, one loop for every number of steps, the clean estimate, noise."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from scorax.diffusion._process import AbstractProcess, Score
from scorax.numerics import checked_score, row_keys

Transform = Callable[[Float[Array, "..."], Float[Array, "..."], Float[Array, ""]], Float[Array, "..."]]
Noise = Callable[[Int[Array, ""]], Float[Array, "n *event"]]


class Point(NamedTuple):
    """The schedule at a time: `x = alpha y`, and `level` is the noise in `y`."""

    t: Float[Array, "*s"]
    alpha: Float[Array, "*s"]
    sigma: Float[Array, "*s"]
    level: Float[Array, "*s"]


class Steps(NamedTuple):
    """All steps of a run. One that is not taken has the numbers of the first, so that nothing in it is singular."""

    number: Int[Array, " steps"]
    taken: Bool[Array, " steps"]
    now: Point
    following: Point
    clean: Bool[Array, " steps"]
    """The step ends at a noise level of exactly zero."""
    left: Int[Array, " steps"]
    """Steps from this one to the last, this one included."""

    @property
    def width(self) -> Float[Array, " steps"]:
        """Growth of `log(alpha / sigma)`; that to a half of the level where the step ends at zero."""
        level = jnp.where(self.clean, 0.5 * self.now.level, self.following.level)
        return jnp.log(self.now.level) - jnp.log(level)


def points(process: AbstractProcess, t: Float[Array, "*s"]) -> Point:
    """The schedule at these times."""
    alpha, sigma = process.alpha(t), process.sigma(t)
    return Point(t, alpha, sigma, sigma / alpha)


def plan(
    process: AbstractProcess,
    times: Float[Array, " t"],
    x_T: Float[Array, "n *event"],
    n_steps: int | Int[Array, ""] | None,
    *,
    forward: bool = False,
) -> Steps:
    """The steps of a run over these times, after what can be checked was; `forward` allows increasing times."""
    most = times.shape[0] - 1
    if most < 1:
        raise ValueError(f"a sampler needs at least two times, not {most + 1}.")
    if isinstance(n_steps, int) and not 1 <= n_steps <= most:
        raise ValueError(f"n_steps must be from 1 to the {most} steps between the times, not {n_steps}.")
    if not isinstance(times, Tracer):
        _check(process, times, forward)
    times = times.astype(x_T.dtype)
    index = jnp.arange(most, dtype=jnp.int32)
    taken = times[1:] != times[:-1]
    if n_steps is not None:
        taken = taken & (index < n_steps)
    now = points(process, jnp.where(taken, times[:-1], times[0]))
    following = points(process, jnp.where(taken, times[1:], times[1]))
    left = taken.sum(dtype=jnp.int32) - index
    return Steps(index, taken, now, following, following.level == 0, left)


def _check(process: AbstractProcess, times: Float[Array, " t"], forward: bool) -> None:
    values = np.asarray(times)
    step = np.diff(values)
    falling = (step <= 0).all() and step[0] < 0
    rising = (step >= 0).all() and step[0] > 0
    inside = step[: np.flatnonzero(step)[-1] + 1] if step.any() else step
    if not (falling or (forward and rising)) or (inside == 0).any():
        raise ValueError(
            f"times must decrease from noise to data{' or increase from data to noise' if forward else ''}, and only "
            f"the last may be repeated, not {values}."
        )
    with jax.ensure_compile_time_eval():
        level = points(process, times[0]).level
    if not isinstance(level, Tracer) and not 0 < float(level) < np.inf:
        raise ValueError(
            f"the noise level sigma / alpha is {level} at the first time, {values[0]}, but a score needs one that is "
            "positive and finite: begin a little inside the span of the process."
        )


def run(
    step: Callable[[Any, Any], Any],
    start: Any,
    taken: Bool[Array, " steps"],
    inputs: Any,
    show: Callable[[Any, Any], Array] | None = None,
) -> tuple[Any, Array | None]:
    """The state after all steps that are taken, and what `show` makes of each state and input.

    One `lax.scan`. A step that is not taken is skipped at run time, evaluations of the score and all, and a run of
    few steps is the same program as one of many.
    """

    def body(state, at):
        taken, at = at
        state = jax.lax.cond(taken, step, lambda state, _: state, state, at)
        return state, None if show is None else show(state, at)

    return jax.lax.scan(body, start, (taken, inputs))


def level_runner(
    step: Callable[[Any, Any], Any],
    start: Any,
    steps: Steps,
    inputs: Any,
    x_T: Float[Array, "n *event"],
    return_trajectory: bool,
) -> Float[Array, "..."]:
    """Samples of a method whose state holds `y = x / alpha` first: at the last time, or at all times."""
    alpha = _reached(steps)
    last, path = run(
        step,
        start,
        steps.taken,
        (alpha, inputs),
        (lambda state, at: at[0] * state[0]) if return_trajectory else None,
    )
    return alpha[-1] * last[0] if path is None else jnp.concatenate([x_T[None], path])


def _reached(steps: Steps) -> Float[Array, " steps"]:
    """`alpha` of the state after each step; a step that is not taken leaves the last one that was."""
    last = jax.lax.associative_scan(jnp.maximum, jnp.where(steps.taken, steps.number, -1))
    return jnp.where(last < 0, steps.now.alpha[0], steps.following.alpha[jnp.maximum(last, 0)])


def clean_estimator(
    score: Score, transform: Transform | None
) -> Callable[[Float[Array, "n *event"], Point], Float[Array, "n *event"]]:
    """The estimate of the clean samples, from `y` and a point of the schedule."""

    @functools.partial(jax.vmap, in_axes=(0, None))
    def estimate(y: Float[Array, "*event"], at: Point) -> Float[Array, "*event"]:
        x = at.alpha * y
        clean = y + at.sigma * at.level * checked_score(score(x, at.t), x)
        return clean if transform is None else transform(clean, x, at.t)

    return estimate


def guided_score(score: Score, transform: Transform | None) -> Callable[[Float[Array, "..."], Point], Array]:
    """The scores of samples `x` at a point, those of the transformed clean estimates where there is a transform."""

    @functools.partial(jax.vmap, in_axes=(0, None))
    def evaluate(x: Float[Array, "*event"], at: Point) -> Float[Array, "*event"]:
        value = checked_score(score(x, at.t), x)
        if transform is None:
            return value
        clean = (x + at.sigma**2 * value) / at.alpha
        return (at.alpha * transform(clean, x, at.t) - x) / at.sigma**2

    return evaluate


def noise_source(
    key: PRNGKeyArray | None,
    noise: Float[Array, "..."] | None,
    x_T: Float[Array, "n *event"],
    n_steps: int,
    offset: int | Int[Array, ""],
    what: str = "this sampler",
) -> Noise:
    """The noise of each step: given, or drawn when it is needed, so that no more than one step's is held."""
    if noise is not None:
        if noise.shape != (n_steps, *x_T.shape):
            raise ValueError(f"noise has shape {noise.shape}, but the steps need {(n_steps, *x_T.shape)}.")
        return lambda index: noise[index]
    if key is None:
        raise ValueError(f"{what} draws noise: pass key=, or the noise itself.")
    keys = row_keys(key, x_T.shape[0], offset)

    def draw(index):
        return jax.vmap(lambda k: jax.random.normal(jax.random.fold_in(k, index), x_T.shape[1:], x_T.dtype))(keys)

    return draw
