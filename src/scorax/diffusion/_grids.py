"""Grids of decreasing times for samplers, whose number of steps may be a traced value."""

import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, DTypeLike, Float, Int

from scorax.diffusion._process import AbstractProcess

Count = int | Int[Array, ""]


def edm_grid(
    n: Count,
    sigma_min: float | Float[Array, ""] = 0.002,
    sigma_max: float | Float[Array, ""] = 80.0,
    *,
    rho: float = 7.0,
    n_max: int | None = None,
    dtype: DTypeLike = float,
) -> Float[Array, " t"]:
    r"""Noise levels from `sigma_max` down to `sigma_min` in `n` values, evenly spaced in `sigma^(1/rho)`, then 0.

    They are the times of the :class:`EDM` process. For another process the times are
    `process.inverse_log_snr(-jnp.log(edm_grid(n)))`. Drop the last value to end at `sigma_min`.

    Args:
        n: How many positive levels, and so how many steps. At least 2.
        sigma_min: Least positive level.
        sigma_max: Largest level.
        rho: How strongly the levels crowd towards the small end; 1 spaces them evenly.
        n_max: Most steps, needed where `n` is traced: the grid has `n_max + 1` values, the last one repeated.
        dtype: Floating dtype of the levels.

    Returns:
        The `n + 1` levels, decreasing.

    Raises:
        ValueError: `n` is less than 2, more than `n_max`, or traced without `n_max`.

    Example:
        >>> edm_grid(18)[1:3]
        Array([57.586, 40.786], dtype=float32)

    Source: Karras, Aittala, Aila and Laine (2022), arXiv:2206.00364, equation 5.
    """
    if isinstance(n, int) and n < 2:
        raise ValueError(f"a grid needs at least 2 levels, not {n}.")
    place, count = _places(n, n_max, dtype)
    low, high = (jnp.asarray(level, place.dtype) for level in (sigma_min, sigma_max))
    root = (low / high) ** (1 / rho)
    level = high * (1 + jnp.minimum(place / (count - 1), 1) * (root - 1)) ** rho
    return jnp.where(place < count, level, jnp.zeros_like(level))


def log_snr_grid(
    process: AbstractProcess,
    n: Count,
    t0: float | Float[Array, ""],
    t1: float | Float[Array, ""],
    *,
    n_max: int | None = None,
    dtype: DTypeLike = float,
) -> Float[Array, " t"]:
    """Times from `t1` down to `t0` in `n` steps of equal length in the log signal-to-noise ratio.

    Args:
        process: The noise process.
        n: How many steps. At least 1.
        t0: Last time, whose noise is not zero.
        t1: First time.
        n_max: Most steps, needed where `n` is traced: the grid has `n_max + 1` values, the last one repeated.
        dtype: Floating dtype of the times.

    Returns:
        The `n + 1` times.

    Raises:
        ValueError: `n` is less than 1, more than `n_max`, or traced without `n_max`; or `t1` is not later than `t0`.

    Example:
        >>> log_snr_grid(sx.diffusion.EDM(), 2, 0.01, 1.0)
        Array([1.        , 0.1, 0.01      ], dtype=float32)

    Source: Lu et al. (2022), arXiv:2206.00927.
    """
    fraction, t0, t1 = _ends(n, n_max, t0, t1, dtype)
    high, low = process.log_snr(t0), process.log_snr(t1)
    inside = process.inverse_log_snr(low + fraction * (high - low))
    return jnp.where(fraction >= 1, t0, jnp.where(fraction <= 0, t1, inside))


def uniform_grid(
    n: Count,
    t0: float | Float[Array, ""] = 1e-3,
    t1: float | Float[Array, ""] = 1.0,
    *,
    n_max: int | None = None,
    dtype: DTypeLike = float,
) -> Float[Array, " t"]:
    """Times from `t1` down to `t0` in `n` equal steps.

    Args:
        n: How many steps. At least 1.
        t0: Last time.
        t1: First time.
        n_max: Most steps, needed where `n` is traced: the grid has `n_max + 1` values, the last one repeated.
        dtype: Floating dtype of the times.

    Returns:
        The `n + 1` times.

    Raises:
        ValueError: `n` is less than 1, more than `n_max`, or traced without `n_max`; or `t1` is not later than `t0`.

    Example:
        >>> uniform_grid(2, 0.0, 1.0)
        Array([1. , 0.5, 0. ], dtype=float32)

    Source: Song et al. (2021), arXiv:2011.13456.
    """
    fraction, t0, t1 = _ends(n, n_max, t0, t1, dtype)
    return jnp.where(fraction >= 1, t0, t1 + fraction * (t0 - t1))


def quadratic_grid(
    n: Count,
    t0: float | Float[Array, ""] = 1e-3,
    t1: float | Float[Array, ""] = 1.0,
    *,
    n_max: int | None = None,
    dtype: DTypeLike = float,
) -> Float[Array, " t"]:
    """Times from `t1` down to `t0` in `n` steps that are equal in the root of time.

    Args:
        n: How many steps. At least 1.
        t0: Last time. Zero or more.
        t1: First time.
        n_max: Most steps, needed where `n` is traced: the grid has `n_max + 1` values, the last one repeated.
        dtype: Floating dtype of the times.

    Returns:
        The `n + 1` times.

    Raises:
        ValueError: `n` is less than 1, more than `n_max`, or traced without `n_max`; or `t1` is not later than `t0`.

    Example:
        >>> quadratic_grid(2, 0.0, 1.0)
        Array([1. , 0.25, 0. ], dtype=float32)

    Source: Song, Meng and Ermon (2021), arXiv:2010.02502, appendix D.
    """
    fraction, t0, t1 = _ends(n, n_max, t0, t1, dtype)
    root = jnp.sqrt(t1) + fraction * (jnp.sqrt(t0) - jnp.sqrt(t1))
    return jnp.where(fraction >= 1, t0, jnp.where(fraction <= 0, t1, root**2))


def vp_grid(
    n: Count,
    beta_min: float = 0.1,
    beta_max: float = 20.0,
    *,
    t0: float = 1e-3,
    n_max: int | None = None,
    dtype: DTypeLike = float,
) -> Float[Array, " t"]:
    """Noise levels of a variance-preserving process at `n` equal times from 1 down to `t0`, then 0.

    They are the times of the :class:`EDM` process.

    Args:
        n: How many positive levels, and so how many steps. At least 2.
        beta_min: Rate of the process at time 0. Positive.
        beta_max: Rate of the process at time 1. Positive.
        t0: Time of the least positive level.
        n_max: Most steps, needed where `n` is traced: the grid has `n_max + 1` values, the last one repeated.
        dtype: Floating dtype of the levels.

    Returns:
        The `n + 1` levels, decreasing.

    Raises:
        ValueError: `n` is less than 2, more than `n_max`, or traced without `n_max`.

    Example:
        >>> vp_grid(2)[0]
        Array(152.167, dtype=float32)

    Source: Song et al. (2021), arXiv:2011.13456; Karras et al. (2022), arXiv:2206.00364, table 1.
    """
    if isinstance(n, int) and n < 2:
        raise ValueError(f"a grid needs at least 2 levels, not {n}.")
    place, count = _places(n, n_max, dtype)
    t = 1 + jnp.minimum(place / (count - 1), 1) * (t0 - 1)
    level = jnp.sqrt(jnp.expm1(0.5 * (beta_max - beta_min) * t**2 + beta_min * t))
    return jnp.where(place < count, level, jnp.zeros_like(level))


def _places(n: Count, n_max: int | None, dtype: DTypeLike) -> tuple[Float[Array, " t"], Float[Array, ""]]:
    """0, 1, ... up to the most steps, and the number of steps."""
    if n_max is None:
        if not isinstance(n, int):
            raise ValueError("the length of a grid must be known: pass n_max= with a number of steps that is traced.")
        n_max = n
    if isinstance(n, int) and n > n_max:
        raise ValueError(f"{n} steps are more than n_max={n_max}.")
    place = jnp.arange(n_max + 1).astype(dtype)
    return place, jnp.asarray(n, place.dtype) if isinstance(n, int) else n.astype(place.dtype)


def _ends(
    n: Count, n_max: int | None, t0: float | Float[Array, ""], t1: float | Float[Array, ""], dtype: DTypeLike
) -> tuple[Float[Array, " t"], Float[Array, ""], Float[Array, ""]]:
    """How far each time is from the first to the last, and the two."""
    if isinstance(n, int) and n < 1:
        raise ValueError(f"a grid needs at least 1 step, not {n}.")
    place, count = _places(n, n_max, dtype)
    t0, t1 = jnp.asarray(t0, place.dtype), jnp.asarray(t1, place.dtype)
    if not isinstance(t0, Tracer) and not isinstance(t1, Tracer) and not t0 < t1:
        raise ValueError(f"t1 must be later than t0, not t0={t0}, t1={t1}.")
    return jnp.minimum(place / count, 1), t0, t1
