"""Random counts for the bootstrap: the same rows, counted anew.

Drawn on the host: NumPy redraws a row in some ten nanoseconds, compiled binomials and gammas take half a microsecond.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray


def multinomial_weights(
    key: PRNGKeyArray,
    count: Float[Array, "*s"],
    n_resamples: int,
    *,
    cluster: Int[Array, "*s"] | None = None,
) -> Float[Array, "r *s"]:
    """Counts of resamples with replacement: each is multinomial with the same total.

    Args:
        key: The same key gives the same counts.
        count: How many observations each row stands for, at least 0; not traced.
        n_resamples: Number of resamples, `r`.
        cluster: Ids of clusters, which are then drawn as a whole: as many as there are. Rows get `count` times the
            number of times that their cluster was drawn, and the total varies.

    Raises:
        ValueError: a count is negative or NaN, or all are 0.

    Example:
        >>> counts = multinomial_weights(jax.random.key(0), jnp.array([3.0, 0.0, 1.0]), 5)
        >>> counts.shape, counts.sum(1), counts[:, 1].max()
        ((5, 3), Array([4., 4., 4., 4., 4.], dtype=float32), Array(0., dtype=float32))

    Source: Efron (1979), doi:10.1214/aos/1176344552.
    """
    return _redraw(_multinomial, key, count, n_resamples, cluster)


def bayesian_bootstrap_weights(
    key: PRNGKeyArray,
    count: Float[Array, "*s"],
    n_resamples: int,
    *,
    cluster: Int[Array, "*s"] | None = None,
) -> Float[Array, "r *s"]:
    """Smooth random counts: Dirichlet shares of the same total, so that no row that counts is ever lost.

    A row of `count` observations gets the sum of their shares, a gamma variate with shape `count` before scaling.

    Args:
        key: The same key gives the same counts.
        count: How many observations each row stands for, at least 0; not traced.
        n_resamples: Number of resamples, `r`.
        cluster: Ids of clusters; rows get `count` times the share of their cluster, and the total varies.

    Raises:
        ValueError: a count is negative or NaN, or all are 0.

    Example:
        >>> counts = bayesian_bootstrap_weights(jax.random.key(0), jnp.array([3.0, 0.0, 1.0]), 5)
        >>> counts.sum(1), bool((counts[:, 0] > 0).all())
        (Array([4., 4., 4., 4., 4.], dtype=float32), True)

    Source: Rubin (1981), doi:10.1214/aos/1176345338.
    """
    return _redraw(_dirichlet, key, count, n_resamples, cluster)


Draw = Callable[[np.random.Generator, np.ndarray], Callable[[], np.ndarray]]


def _redraw(
    method: Draw, key: PRNGKeyArray, count: Float[Array, "*s"], n_resamples: int, cluster: Int[Array, "*s"] | None
) -> Float[Array, "r *s"]:
    counts = np.asarray(count, np.float64).ravel()
    if not (counts >= 0).all() or not counts.any():
        raise ValueError("counts must be at least 0 and not all 0: there is nothing to redraw")
    held = np.flatnonzero(counts)
    generator = np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel())
    out = np.zeros((n_resamples, counts.size), count.dtype)
    if cluster is None:
        draw = method(generator, counts[held])
        for row in out:
            row[held] = draw()
    else:
        names, member = np.unique(np.asarray(cluster).ravel()[held], return_inverse=True)
        draw = method(generator, np.ones(len(names)))
        for row in out:
            row[held] = counts[held] * draw()[member]
    return jnp.asarray(out).reshape(n_resamples, *count.shape)


def _multinomial(generator: np.random.Generator, counts: np.ndarray) -> Callable[[], np.ndarray]:
    total = round(counts.sum())
    whole = counts.astype(np.int64)
    if (whole == counts).all() and total < 15 * len(counts):
        # Few observations a row: draw each of them.
        row = np.repeat(np.arange(len(counts)), whole)
        return lambda: np.bincount(row[generator.integers(total, size=total, dtype=np.int32)], minlength=len(counts))
    return lambda: generator.multinomial(total, counts / counts.sum())


def _dirichlet(generator: np.random.Generator, counts: np.ndarray) -> Callable[[], np.ndarray]:
    def draw() -> np.ndarray:
        share = generator.standard_gamma(counts)
        return share * (counts.sum() / share.sum())

    return draw
