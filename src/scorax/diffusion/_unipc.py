"""UniPC: a multistep predictor, and a corrector that uses the evaluation of the next step."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from scorax.diffusion._multistep import Samples, check_coefficients, psi
from scorax.diffusion._process import AbstractProcess, Score
from scorax.diffusion._sampling import Steps, Transform, clean_estimator, level_runner, plan

Weights = Float[Array, "steps _"]
"""Of differences of clean estimates from the newest, in the sum that a step subtracts."""


def unipc(
    score: Score,
    process: AbstractProcess,
    x_T: Float[Array, "n *event"],
    times: Float[Array, " t"],
    *,
    key: PRNGKeyArray | None = None,
    n_steps: int | Int[Array, ""] | None = None,
    order: int = 3,
    variant: str = "bh2",
    coefficients: str = "consistent",
    lower_order_final: bool = True,
    transform: Transform | None = None,
    return_trajectory: bool = False,
) -> Samples:
    r"""Samples by UniPC, of order `order + 1` with one evaluation of the score a step.

    The clean estimate is extrapolated through its last values; once it is known at the new time, the step is taken
    again with it. The first steps, those at the end with `lower_order_final`, and one to a noise level of zero are of
    lower order; the last one is not corrected.

    Args:
        score: `score(x, t)`, the gradient in x of the log-density of the noised data, on one sample.
        process: The noise process the score was trained with.
        x_T: Noise at the first time.
        times: At least two times, monotone; the last may be repeated, and may be that of no noise.
        key: Not used: nothing is random.
        n_steps: How many steps to take, which may be traced: the same program serves every number. None for all.
        order: Order of the predictor, 1 to 3.
        variant: "bh1" or "bh2", which differ in the shortcuts of the lowest orders, or "vary", which has none.
        coefficients: "consistent", or "released" for those of the published code, whose "vary" drops terms of the
            corrector and is of first order.
        lower_order_final: Whether the order falls to one towards the last step.
        transform: `transform(x0, x, t)` on one sample, replaces the estimate of the clean sample at each evaluation.
        return_trajectory: Whether to return the samples at all times.

    Returns:
        Samples at the last time, or those at all times, first to last.

    Raises:
        ValueError: The times are not monotone or begin where there is no signal or no noise, `n_steps` is more than
            there are, or an option is unknown.

    Example:
        >>> process, exact = sx.diffusion.EDM(), lambda x, t: -x / (1 + t**2)  # N(0, 1) data
        >>> x = unipc(exact, process, jnp.array([[80.0]]), sx.diffusion.edm_grid(40))
        >>> bool(jnp.abs(x - 1)[0, 0] < 0.01)
        True

    Source: Zhao, Bai, Rao, Zhou and Lu (2023), arXiv:2302.04867.
    """
    if order not in (1, 2, 3):
        raise ValueError(f"order must be 1, 2 or 3, not {order}.")
    if variant not in ("bh1", "bh2", "vary"):
        raise ValueError(f"unknown variant {variant!r}: expected 'bh1', 'bh2' or 'vary'.")
    check_coefficients(coefficients)
    steps = plan(process, times, x_T, n_steps, forward=True)
    released = variant == "vary" and coefficients == "released"
    predict, correct = _weights(steps, order, variant, released, lower_order_final)
    keep, gain = (jnp.where(steps.clean, end, value) for end, value in zip((0.0, 1.0), _base(steps), strict=True))
    estimate = clean_estimator(score, transform)

    def back(a):
        """What belonged to the step before; at the first step it is not used."""
        return jnp.concatenate([a[:1], a[:-1]])

    def take(y, history, keep, gain, weights, *newer):
        y = keep * y + gain * history[0]
        for weight, clean in zip(weights, (*history[1:], *newer), strict=True):
            y = y - weight * (clean - history[0])
        return y

    def step(state, at):
        (y, base, history), (_, (index, now, before, after)) = state, at
        newest = estimate(y, now)
        y = jnp.where(index == 0, y, take(base, history, *before, newest))
        history = (newest, *history[:-1])
        return take(y, history, *after), y, history

    y = x_T / steps.now.alpha[0]
    before = jax.tree.map(back, (keep, gain, correct))
    after = (keep, gain, predict)
    inputs = (steps.number, steps.now, before, after)
    start = (y, y, (jnp.zeros_like(y),) * order)
    return level_runner(step, start, steps, inputs, x_T, return_trajectory)


def _base(steps: Steps) -> tuple[Float[Array, " steps"], Float[Array, " steps"]]:
    return jnp.exp(-steps.width), -jnp.expm1(-steps.width)


def _weights(
    steps: Steps, order: int, variant: str, released: bool, lower_order_final: bool
) -> tuple[Weights, Weights]:
    """Of older clean estimates in the predictor; and, with the new one last, in the corrector."""
    p = jnp.minimum(steps.number + 1, order)
    if lower_order_final:
        p = jnp.minimum(p, jnp.maximum(steps.left, 1))
    p = jnp.where(steps.clean, 1, p)
    z = -steps.width
    scale = z if variant == "bh1" else jnp.expm1(z)
    predict = jnp.zeros((z.shape[0], order - 1), z.dtype)
    correct = jnp.zeros((z.shape[0], order), z.dtype)
    for q in range(1, order + 1):
        nodes = _nodes(steps, q)
        here = (p == q)[:, None]
        older = 0.5 * scale[:, None] if q == 2 and variant != "vary" else _solve(nodes[:, :-1], z)
        if q > 1:
            predict = jnp.where(here, _pad(older / nodes[:, :-1], order - 1), predict)
        if q == 1 and variant != "vary":
            full = 0.5 * scale[:, None]
        else:
            full = _released(nodes, z) if released else _solve(nodes, z)
        full = full / nodes
        correct = jnp.where(here, jnp.concatenate([_pad(full[:, :-1], order - 1), full[:, -1:]], 1), correct)
    return predict, correct


def _nodes(steps: Steps, p: int) -> Float[Array, "steps p"]:
    """Where the older estimates lie, relative to the step, and its end. Distinct also where there are none so old."""
    width, nodes = steps.width, []
    reach = jnp.zeros_like(width)
    for back in range(1, p):
        earlier = steps.number - back
        reach = reach + width[jnp.maximum(earlier, 0)]
        nodes.append(jnp.where(earlier >= 0, -reach / width, -float(back)))
    return jnp.stack([*nodes, jnp.ones_like(width)], axis=1)


def _solve(nodes: Float[Array, "steps k"], z: Float[Array, " steps"]) -> Float[Array, "steps k"]:
    """The weights `w` with `sum_i w_i r_i^(k-1) = k! psi_k` for k = 1, ..., of the divided differences."""
    if nodes.shape[1] == 0:
        return nodes
    right = jnp.stack([math.factorial(k) * psi(k, z) for k in range(1, nodes.shape[1] + 1)], axis=1)
    return (_lagrange(nodes) * right[:, None]).sum(-1)


def _released(nodes: Float[Array, "steps k"], z: Float[Array, " steps"]) -> Float[Array, "steps k"]:
    """The published corrector of "vary", which leaves out what the new estimate adds to the lower orders."""
    size = nodes.shape[1]
    terms = jnp.stack([math.factorial(k) * psi(k, z) for k in range(1, size + 1)], axis=1)
    inverse = _lagrange(nodes)
    older = (terms[:, None, :-1] * inverse[:, :-1, :-1]).sum(-1)
    row = max(size - 2, 0)
    newest = psi(size, z) * math.factorial(row + 1) * inverse[:, -1, row]
    return jnp.concatenate([older, newest[:, None]], axis=1)


def _lagrange(nodes: Float[Array, "steps k"]) -> Float[Array, "steps k k"]:
    """Coefficients, lowest power first, of the polynomials that are one at a node and zero at the others."""
    size, polynomials = nodes.shape[1], []
    for i in range(size):
        coefficients = [jnp.ones_like(nodes[:, 0])]
        for j in set(range(size)) - {i}:
            gap = nodes[:, i] - nodes[:, j]
            raised = [jnp.zeros_like(gap), *coefficients]
            lowered = [nodes[:, j] * c for c in coefficients] + [jnp.zeros_like(gap)]
            coefficients = [(up - down) / gap for up, down in zip(raised, lowered, strict=True)]
        polynomials.append(jnp.stack(coefficients, axis=1))
    return jnp.stack(polynomials, axis=1)


def _pad(weights: Float[Array, "steps _"], size: int) -> Float[Array, "steps _"]:
    return jnp.pad(weights, ((0, 0), (0, size - weights.shape[1])))
