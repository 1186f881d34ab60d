"""Quantiles and two-sided tails of the normal distribution, and intervals by them."""

from statistics import NormalDist
from typing import Any

import jax.numpy as jnp
from jax.scipy.special import erfc
from jaxtyping import Array, Float

from scorax.stats import Interval


def float_arrays(*values: Any) -> list[Array]:
    """As arrays of one floating type: that of the floating ones among them that are arrays, or else the default.

    Numbers of Python and whole numbers take the type of what they meet.
    """
    widths = [v.dtype for v in map(jnp.asarray, filter(_is_array, values)) if jnp.issubdtype(v.dtype, jnp.floating)]
    dtype = jnp.result_type(*widths) if widths else jnp.result_type(float)
    return [jnp.asarray(v).astype(dtype) for v in values]


def _is_array(value: Any) -> bool:
    return hasattr(value, "dtype")


def checked_level(level: float, name: str = "level") -> float:
    """`level`, if it is inside (0, 1).

    Raises:
        ValueError: it is not.
    """
    if not 0 < level < 1:
        raise ValueError(f"{name} must be between 0 and 1, not {level}")
    return level


def two_sided_quantile(level: float) -> float:
    """How many standard errors an interval of this level reaches to each side.

    Raises:
        ValueError: `level` is not inside (0, 1).
    """
    return NormalDist().inv_cdf((1 + checked_level(level)) / 2)


def two_sided_p_value(z: Float[Array, "*b"]) -> Float[Array, "*b"]:
    """The probability that a standard normal variate is farther from 0 than z; its digits last in the far tail."""
    return erfc(jnp.abs(z) / jnp.asarray(2.0, z.dtype) ** 0.5)


def normal_interval(value: Float[Array, "*b"], std_error: Float[Array, "*b"], level: float) -> Interval:
    """`value` plus and minus a multiple of its standard error.

    Raises:
        ValueError: `level` is not inside (0, 1).
    """
    reach = two_sided_quantile(level) * std_error
    return Interval(value - reach, value + reach)


def safe_root(x: Float[Array, "*b"]) -> Float[Array, "*b"]:
    """The square root, NaN below 0, with gradient 0 at 0."""
    positive = x > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, x, 1)), jnp.where(x == 0, 0, jnp.nan))
