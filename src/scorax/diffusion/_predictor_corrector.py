"""Reverse diffusion with Langevin corrections at each noise level."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from scorax.diffusion._one_step_samplers import Samples, advance, reversed_steps
from scorax.diffusion._process import AbstractProcess, Score
from scorax.diffusion._sampling import Transform, guided_score, noise_source, plan, run


def predictor_corrector(
    score: Score,
    process: AbstractProcess,
    x_T: Float[Array, "n *event"],
    times: Float[Array, " t"],
    *,
    key: PRNGKeyArray | None = None,
    n_steps: int | Int[Array, ""] | None = None,
    snr: float = 0.16,
    n_corrector: int = 1,
    norms: str = "batch",
    transform: Transform | None = None,
    return_trajectory: bool = False,
    offset: int | Int[Array, ""] = 0,
) -> Samples:
    r"""Samples by :func:`reverse_diffusion`, each step after a few steps of Langevin dynamics at its noise level.

    A correction is `x + e score + sqrt(2 e) z` with `e = 2 a (snr |z| / |score|)²`, where `a` is the squared factor
    of the signal over the step, one for processes without drift.

    Args:
        score: `score(x, t)`, the gradient in x of the log-density of the noised data, on one sample.
        process: The noise process the score was trained with.
        x_T: Noise at the first time.
        times: At least two times, decreasing; the last may be repeated.
        key: Random key. Row `i` uses `fold_in(key, offset + i)`.
        n_steps: How many steps to take, which may be traced: the same program serves every number. None for all.
        snr: Size of the correction relative to its noise. Positive.
        n_corrector: Corrections in each step. Zero or more.
        norms: "batch", the means of both norms over the batch, as published, which makes samples depend on each other;
            "sample", each sample's own, which do not, but make a step very long where a score nearly vanishes: only for
            samples of many entries.
        transform: `transform(x0, x, t)` on one sample, replaces the estimate of the clean sample at each evaluation.
        return_trajectory: Whether to return the samples at all times.
        offset: Place of the first row in the whole batch, so that chunks draw what the whole would.

    Returns:
        Samples at the last time, or those at all times, first to last.

    Raises:
        ValueError: As :func:`euler_maruyama`; or `snr`, `n_corrector` or `norms` is out of range.

    Example:
        >>> process, exact = sx.diffusion.EDM(), lambda x, t: -x / (1 + t**2)  # N(0, 1) data
        >>> predictor_corrector(exact, process, jnp.ones((3, 2)), jnp.array([2.0, 1.0]), key=jax.random.key(0)).shape
        (3, 2)

    Source: Song et al. (2021), arXiv:2011.13456, algorithms 4 and 5.
    """
    if not snr > 0:
        raise ValueError(f"snr must be positive, not {snr}.")
    if n_corrector < 0:
        raise ValueError(f"n_corrector must be zero or more, not {n_corrector}.")
    if norms not in ("sample", "batch"):
        raise ValueError(f"unknown norms {norms!r}: expected 'sample' or 'batch'.")
    steps = plan(process, times, x_T, n_steps)
    draw = noise_source(key, None, x_T, times.shape[0] - 1, offset)
    evaluate = guided_score(score, transform)
    linear = reversed_steps(process, steps)
    shrink = (steps.now.alpha / steps.following.alpha) ** 2
    entries = tuple(range(1, x_T.ndim))

    def size(v):
        square = (v**2).sum(entries, keepdims=True)
        flat = square == 0
        norm = jnp.where(flat, 0.0, jnp.sqrt(jnp.where(flat, 1.0, square)))
        return norm if norms == "sample" else jnp.broadcast_to(norm.mean(0, keepdims=True), norm.shape)

    def correct(x, at, first):
        def once(turn, x):
            gradient, z = evaluate(x, at[1]), draw(first + turn)
            length = size(gradient)
            # Where the score is zero, no step length is defined, and none is needed.
            still = length == 0
            ratio = jnp.where(still, 0.0, size(z) / jnp.where(still, 1.0, length))
            rate = 2 * at[2] * (snr * ratio) ** 2
            return x + rate * gradient + jnp.sqrt(2 * rate) * z

        for turn in range(n_corrector):
            x = once(turn, x)
        return x

    def step(x, at):
        index, now, _, linear = at
        x = correct(x, at, index * (n_corrector + 1))
        return advance(evaluate, x, now, linear, draw(index * (n_corrector + 1) + n_corrector))

    inputs = (steps.number, steps.now, shrink, linear)
    last, path = run(step, x_T, steps.taken, inputs, (lambda x, _: x) if return_trajectory else None)
    return last if path is None else jnp.concatenate([x_T[None], path])
