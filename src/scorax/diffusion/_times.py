"""Times to train at: `sampler((n,), key=key)` gives times and their density, one each for the rows of a batch.

The batch mean of `f(t) / density` is an unbiased estimate of the integral of `f`, for every sampler. To train with the
weight that a loss already has, take the times and leave the density.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, DTypeLike, Float, PRNGKeyArray

from scorax.diffusion._grids import edm_grid
from scorax.diffusion._process import AbstractProcess


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


def shared_offset_times(
    shape: tuple[int], *, key: PRNGKeyArray, t0: float = 1e-5, t1: float = 1.0, dtype: DTypeLike = float
) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
    """Equidistant times on `[t0, t1]` with one random shift for all, `(u + i / n) mod 1`.

    Each row's own time is uniform. Between :func:`uniform_times` and :func:`stratified_times` in what it draws, and
    the least variable where the integrand is smooth.

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
        >>> t, density = shared_offset_times((4,), key=jax.random.key(0), t0=0.0)
        >>> jnp.diff(jnp.sort(t))
        Array([0.25, 0.25, 0.25], dtype=float32)

    Source: Kingma, Salimans, Poole and Ho (2021), arXiv:2107.00630, appendix I.
    """
    return _spread(_equidistant(shape, key, dtype), t0, t1)


def importance_times(
    shape: tuple[int],
    *,
    key: PRNGKeyArray,
    process: AbstractProcess,
    t0: float = 1e-5,
    t1: float = 1.0,
    dtype: DTypeLike = float,
) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
    """Times with the density of `g² / sigma²` on `[t0, t1]`, which is uniform in the log signal-to-noise ratio.

    They take the variance out of a loss with the likelihood weight `g²`, when it is divided by their density. The
    times are equidistant in that ratio, with one random shift for all.

    Args:
        shape: `(n,)`, how many.
        key: Random key.
        process: The noise process.
        t0: Earliest time. The noise must not be zero there.
        t1: Latest time, later than `t0`. The signal must not be zero there.
        dtype: Floating dtype of the times.

    Returns:
        Times, and their density.

    Raises:
        ValueError: `t1` is not later than `t0`.

    Example:
        >>> t, density = importance_times((4,), key=jax.random.key(0), process=sx.diffusion.EDM(), t0=0.01)
        >>> density * t  # 1 / log(100)
        Array([0.217, 0.217, 0.217, 0.217], dtype=float32)

    Source: Song, Durkan, Murray and Ermon (2021), arXiv:2101.09258, section 4.4.
    """
    _check_span(t0, t1)
    fraction = _equidistant(shape, key, dtype)
    high, low = (process.log_snr(jnp.asarray(t, fraction.dtype)) for t in (t0, t1))
    t = process.inverse_log_snr(low + fraction * (high - low))
    t = jnp.clip(t, jnp.asarray(t0, t.dtype), jnp.asarray(t1, t.dtype))
    return t, process.diffusion2(t) / (2 * (high - low) * process.sigma(t) ** 2)


def edm_discrete_times(
    shape: tuple[int],
    *,
    key: PRNGKeyArray,
    n_levels: int = 18,
    sigma_min: float = 0.002,
    sigma_max: float = 80.0,
    rho: float = 7.0,
    dtype: DTypeLike = float,
) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
    """Independent draws from the positive levels of :func:`edm_grid`, each as likely as the others.

    Args:
        shape: `(n,)`, how many.
        key: Random key.
        n_levels: How many levels. At least 2.
        sigma_min: Least level.
        sigma_max: Largest level.
        rho: How strongly the levels crowd towards the small end.
        dtype: Floating dtype of the times.

    Returns:
        Times, and their probability `1 / n_levels`: the mean of `f(t) / probability` estimates the sum over levels.

    Raises:
        ValueError: `n_levels` is less than 2.

    Example:
        >>> t, probability = edm_discrete_times((3,), key=jax.random.key(0), n_levels=4)
        >>> probability
        Array([0.25, 0.25, 0.25], dtype=float32)

    Source: Karras, Aittala, Aila and Laine (2022), arXiv:2206.00364, equation 5.
    """
    levels = edm_grid(n_levels, sigma_min, sigma_max, rho=rho, dtype=dtype)[:-1]
    t = levels[jax.random.randint(key, shape, 0, n_levels, jnp.int32)]
    return t, jnp.full_like(t, 1 / n_levels)


def _equidistant(shape: tuple[int], key: PRNGKeyArray, dtype: DTypeLike) -> Float[Array, " n"]:
    (n,) = shape
    shift = jax.random.uniform(key, (), dtype)
    return (shift + jnp.arange(n).astype(shift.dtype) / max(n, 1)) % 1


def _check_span(t0: float, t1: float) -> None:
    if not t0 < t1:
        raise ValueError(f"t1 must be later than t0, not t0={t0}, t1={t1}.")


def _spread(fraction: Float[Array, " n"], t0: float, t1: float) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
    _check_span(t0, t1)
    return t0 + (t1 - t0) * fraction, jnp.full_like(fraction, 1 / (t1 - t0))
