"""The width of floating numbers: what is asked for is had, or refused."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def available_dtype(dtype: Any = float) -> np.dtype:
    """The dtype asked for; JAX's default float for Python's `float`.

    JAX makes single precision of double where that is not turned on, and only warns: results would then be less
    accurate than the caller believes.

    Args:
        dtype: What `jnp.zeros` takes.

    Raises:
        ValueError: Double precision is asked for while JAX works in single.

    Example:
        >>> available_dtype(jnp.bfloat16)
        dtype(bfloat16)
    """
    if dtype is float:
        return np.dtype(jnp.result_type(float))
    wanted = np.dtype(dtype)
    if jax.dtypes.canonicalize_dtype(wanted) != wanted:
        raise ValueError(
            f"{wanted.name} is asked for, but JAX works in single precision: say jax.config.update('jax_enable_x64', "
            "True) before the first array is made, or set JAX_ENABLE_X64=1; or leave dtype out"
        )
    return wanted
