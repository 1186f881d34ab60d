"""Intervals of estimates whose errors are close to normal."""

import jax.numpy as jnp
from jax.scipy.special import ndtri
from jaxtyping import Array, Float

from scorax.stats import Interval


def normal_interval(
    value: Float[Array, "*v"],
    std_error: Float[Array, "*v"],
    level: float,
    *,
    bounds: tuple[float, float] = (-float("inf"), float("inf")),
) -> Interval:
    """`value` plus and minus the normal quantile times `std_error`, cut at `bounds`.

    Raises:
        ValueError: `level` is not inside (0, 1).
    """
    reach = normal_quantile(level, std_error.dtype) * std_error
    return Interval(jnp.clip(value - reach, *bounds), jnp.clip(value + reach, *bounds))


def normal_quantile(level: float, dtype: jnp.dtype) -> Float[Array, ""]:
    """How many standard errors an interval of this level reaches to each side.

    Raises:
        ValueError: `level` is not inside (0, 1).
    """
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, not {level}")
    return ndtri(jnp.asarray((1 + level) / 2, dtype))
