"""Times to train at: `sampler((n,), key=key)` gives times and their density, one each for the rows of a batch.

The batch mean of `f(t) / density` is an unbiased estimate of the integral of `f`, for every sampler. To train with the
weight that a loss already has, take the times and leave the density.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, DTypeLike, Float, PRNGKeyArray


def uniform_times(
    shape: tuple[int], *, key: PRNGKeyArray, t0: float = 1e-5, t1: float = 1.0, dtype: DTypeLike = float
) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
    """Independent times, uniform on `[t0, t1]`.

    Args:
        shape: `(n,)`, how many.
        key: Random key.
        t0: Earliest time; keep it positive where the noise level at zero is zero.
        t1: Latest time, later than `t0`.
        dtype: Floating dtype of the times.

    Returns:
        Times, and their density `1 / (t1 - t0)`.

    Raises:
        ValueError: `t1` is not later than `t0`.

    Example:
        >>> t, density = uniform_times((4,), key=jax.random.key(0), t0=0.5, t1=2.5)
        >>> density
        Array([0.5, 0.5, 0.5, 0.5], dtype=float32)

    Source: Song et al. (2021), arXiv:2011.13456.
    """
    return _spread(jax.random.uniform(key, shape, dtype), t0, t1)


def stratified_times(
    shape: tuple[int], *, key: PRNGKeyArray, t0: float = 1e-5, t1: float = 1.0, dtype: DTypeLike = float
) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
    """One uniform time in each of `n` equal strata of `[t0, t1]`: the same mean as `uniform_times`, less variance.

    The strata are dealt to the rows by a random rotation, so that each row's own time is uniform on `[t0, t1]` too:
    a batch whose rows stand in the same order at every step is trained at all times. Times of one batch are not
    independent.

    Args:
        shape: `(n,)`, how many.
        key: Random key.
        t0: Earliest time; keep it positive where the noise level at zero is zero.
        t1: Latest time, later than `t0`.
        dtype: Floating dtype of the times.

    Returns:
        Times, and their density `1 / (t1 - t0)`.

    Raises:
        ValueError: `t1` is not later than `t0`.

    Example:
        >>> t, density = stratified_times((4,), key=jax.random.key(0), t0=0.0)
        >>> jnp.floor(4 * jnp.sort(t))
        Array([0., 1., 2., 3.], dtype=float32)

    Source: Kingma, Salimans, Poole and Ho (2021), arXiv:2107.00630, appendix I.
    """
    (n,) = shape
    jitter_key, rotation_key = jax.random.split(key)
    jitter = jax.random.uniform(jitter_key, shape, dtype)
    stratum = (jnp.arange(n, dtype=jnp.int32) + jax.random.randint(rotation_key, (), 0, n, jnp.int32)) % n
    return _spread((stratum.astype(jitter.dtype) + jitter) / n, t0, t1)


def log_normal_times(
    shape: tuple[int], *, key: PRNGKeyArray, mean: float = -1.2, std: float = 1.2, dtype: DTypeLike = float
) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
    """Independent times whose logarithm is normal: noise levels for the :class:`EDM` process.

    Args:
        shape: `(n,)`, how many.
        key: Random key.
        mean: Mean of the natural log of the time.
        std: Standard deviation of the natural log of the time. Positive.
        dtype: Floating dtype of the times.

    Returns:
        Times in (0, inf), and their log-normal density.

    Raises:
        ValueError: `std` is not positive.

    Example:
        >>> t, density = log_normal_times((4,), key=jax.random.key(0))
        >>> bool((t > 0).all() & (density > 0).all())
        True

    Source: Karras, Aittala, Aila and Laine (2022), arXiv:2206.00364, table 1.
    """
    if not std > 0:
        raise ValueError(f"std must be positive, not {std}.")
    normal = jax.random.normal(key, shape, dtype)
    log_t = mean + std * normal
    return jnp.exp(log_t), jnp.exp(jax.scipy.stats.norm.logpdf(normal) - log_t) / std


def _spread(fraction: Float[Array, " n"], t0: float, t1: float) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
    if not t0 < t1:
        raise ValueError(f"t1 must be later than t0, not t0={t0}, t1={t1}.")
    return t0 + (t1 - t0) * fraction, jnp.full_like(fraction, 1 / (t1 - t0))
