"""Langevin dynamics: samples from one score, and from a ladder of them."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Int, PRNGKeyArray

from scorax.diffusion._process import Score
from scorax.diffusion._sampling import noise_source, run
from scorax.numerics import checked_score

Samples = Float[Array, "n *event"] | Float[Array, "t n *event"]


def langevin(
    score: Callable[[Float[Array, "..."]], Float[Array, "..."]],
    x: Float[Array, "n *event"],
    *,
    key: PRNGKeyArray,
    step: float | Float[Array, ""],
    n: int,
    n_steps: int | Int[Array, ""] | None = None,
    return_trajectory: bool = False,
    offset: int | Int[Array, ""] = 0,
) -> Samples:
    r"""Samples after steps `x + step score(x) + sqrt(2 step) z` of Langevin dynamics, not corrected for the step.

    For `N(0, 1)` the stationary variance is `1 / (1 - step / 2)`. An exact chain needs a rejection, which
    `sx.inference` has.

    Args:
        score: `score(x)`, the gradient of the log-density, on one sample.
        x: Where the chains start.
        key: Random key. Row `i` uses `fold_in(key, offset + i)`.
        step: Step size. Positive.
        n: Most steps. At least 1.
        n_steps: How many of them to take, which may be traced: the same program serves every number. None for all.
        return_trajectory: Whether to return the samples after all steps, the start first.
        offset: Place of the first row in the whole batch, so that chunks draw what the whole would.

    Returns:
        Samples after the last step, or after all.

    Raises:
        ValueError: `step` is not positive, `n` is less than 1, or `n_steps` more than `n`.

    Example:
        >>> x = langevin(lambda x: -x, jnp.zeros((1000, 1)), key=jax.random.key(0), step=0.1, n=50)
        >>> bool(jnp.abs(x.std() - 1) < 0.1)
        True

    Source: Roberts and Tweedie (1996), doi:10.2307/3318418.
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, not {n}.")
    rate = _positive_step(step, x)
    draw = noise_source(key, None, x, n, offset)
    evaluate = jax.vmap(lambda x: checked_score(score(x), x))

    def move(x, index):
        return x + rate * evaluate(x) + jnp.sqrt(2 * rate) * draw(index)

    return _chain(move, x, n, n_steps, return_trajectory)


def annealed_langevin(
    score: Score,
    x: Float[Array, "n *event"],
    sigmas: Float[Array, " l"],
    *,
    key: PRNGKeyArray,
    eps: float | Float[Array, ""] = 2e-5,
    n_per_level: int = 100,
    n_steps: int | Int[Array, ""] | None = None,
    return_trajectory: bool = False,
    offset: int | Int[Array, ""] = 0,
) -> Samples:
    r"""Samples by Langevin dynamics on a ladder of noise levels, from the largest to the least.

    At level `i` the steps are `x + a/2 score(x, sigma_i) + sqrt(a) z`, with `a = eps sigma_i² / sigma_last²`: `a` is
    twice the `step` of :func:`langevin`.

    Args:
        score: `score(x, sigma)`, the gradient in x of the log-density of the data with noise of that level, on one
            sample.
        x: Where the chains start.
        sigmas: The ladder, positive and decreasing.
        key: Random key. Row `i` uses `fold_in(key, offset + i)`.
        eps: The `a` of the last level. Positive.
        n_per_level: Steps at each level. At least 1.
        n_steps: How many steps to take in all, which may be traced. None for all.
        return_trajectory: Whether to return the samples after all steps, the start first.
        offset: Place of the first row in the whole batch, so that chunks draw what the whole would.

    Returns:
        Samples after the last step, or after all.

    Raises:
        ValueError: The ladder is empty or known not to be positive and decreasing, a number is not positive, or
            `n_steps` is more than there are.

    Example:
        >>> exact = lambda x, sigma: -x / (1 + sigma**2)  # N(0, 1) data
        >>> x, sigmas = jnp.zeros((3, 2)), jnp.array([1.0, 0.1])
        >>> annealed_langevin(exact, x, sigmas, key=jax.random.key(0), eps=1e-3, n_per_level=10).shape
        (3, 2)

    Source: Song and Ermon (2019), arXiv:1907.05600, algorithm 1.
    """
    if n_per_level < 1:
        raise ValueError(f"n_per_level must be at least 1, not {n_per_level}.")
    if sigmas.shape[0] == 0:
        raise ValueError("there are no noise levels: sigmas is empty.")
    if not isinstance(sigmas, Tracer):
        known = np.asarray(sigmas)
        if not ((known > 0).all() and (np.diff(known) < 0).all()):
            raise ValueError(f"sigmas must be positive and decrease, not {known}.")
    levels = sigmas.astype(x.dtype)
    rates = 0.5 * _positive_step(eps, x) * (levels / levels[-1]) ** 2
    n = levels.shape[0] * n_per_level
    draw = noise_source(key, None, x, n, offset)
    evaluate = jax.vmap(lambda x, sigma: checked_score(score(x, sigma), x), (0, None))

    def move(x, index):
        level = index // n_per_level
        return x + rates[level] * evaluate(x, levels[level]) + jnp.sqrt(2 * rates[level]) * draw(index)

    return _chain(move, x, n, n_steps, return_trajectory)


def _chain(move, x, n: int, n_steps: int | Int[Array, ""] | None, return_trajectory: bool) -> Samples:
    if isinstance(n_steps, int) and not 0 <= n_steps <= n:
        raise ValueError(f"n_steps must be from 0 to {n}, not {n_steps}.")
    index = jnp.arange(n, dtype=jnp.int32)
    taken = index < (n if n_steps is None else n_steps)
    last, path = run(move, x, taken, index, (lambda x, _: x) if return_trajectory else None)
    return last if path is None else jnp.concatenate([x[None], path])


def _positive_step(step: float | Float[Array, ""], x: Float[Array, "..."]) -> Float[Array, ""]:
    if not isinstance(step, Tracer) and not float(step) > 0:
        raise ValueError(f"the step must be positive, not {step}.")
    return step.astype(x.dtype) if isinstance(step, jax.Array) else jnp.asarray(step, x.dtype)
