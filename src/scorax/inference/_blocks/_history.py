"""Moves for states that hold their whole path."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, PRNGKeyArray

from scorax.inference._blocks._kernel import mh_kernel


class _Frozen(eqx.Module):
    """Gaussian noise on the free places of a path, and none elsewhere: still symmetric."""

    scale: Float[Array, ""]
    first: Int[Array, ""]
    last: Int[Array, ""]

    def __call__(self, key: PRNGKeyArray, path: Any) -> tuple[Any, Float[Array, ""]]:
        flat, restore = ravel_pytree(path)
        noise = restore(self.scale.astype(flat.dtype) * jax.random.normal(key, flat.shape, flat.dtype))

        def shift(x: Array, noise: Array) -> Array:
            time = jnp.arange(x.shape[0], dtype=self.last.dtype).reshape(-1, *(1 for _ in x.shape[1:]))
            return jnp.where((time >= self.first) & (time <= self.last), x + noise, x)

        return jax.tree.map(shift, path, noise), jnp.zeros((), flat.dtype)


class _HistoryWalk(eqx.Module):
    log_density: Callable[[Int[Array, ""], Any], Float[Array, ""]]
    scale: Float[Array, ""]
    window: Int[Array, ""]

    def __call__(self, t: Int[Array, ""], path: Any, key: PRNGKeyArray) -> Any:
        kernel = mh_kernel(eqx.Partial(self.log_density, t), _Frozen(self.scale, t - self.window + 1, t))
        return kernel.one_step(key, path)


def history_walk(
    log_density: Callable[[Int[Array, ""], Any], Float[Array, ""]], scale: float, *, window: int | None = None
) -> Callable[[Int[Array, ""], Any, PRNGKeyArray], Any]:
    """A random-walk move of the whole path of a state, or of its newest places: for `Stepped(..., move=...)`.

    Args:
        log_density: `(t, path) -> log density` of the choices and weights of steps 0 to `t`, which must not read
            places after `t`. A path is a PyTree of floating arrays whose leading axis is the step.
        scale: Standard deviation of the noise, above 0.
        window: How many of the newest places move; None moves all. With 1, what was there at the last resampling is
            frozen, and a move costs the same at every step if the density looks no further back.

    Raises:
        ValueError: `window` is below 1.

    Example:
        >>> def log_density(t, path):  # a Gaussian random walk that starts at 0
        ...     steps = jnp.diff(path, prepend=0.0)
        ...     return jnp.where(jnp.arange(3) <= t, -(steps**2) / 2, 0.0).sum()
        >>> move = sx.inference.history_walk(log_density, 0.1, window=1)
        >>> move(jnp.array(1), jnp.zeros(3), jax.random.key(1))
        Array([ 0.   , -0.072,  0.   ], dtype=float32)

    Source: Gilks & Berzuini (2001), doi:10.1111/1467-9868.00280; Ścibior et al. (2018), arXiv:1711.03219.
    """
    if window is not None and window < 1:
        raise ValueError(f"window must be at least 1, not {window}")
    longest = jnp.iinfo(jnp.int32).max
    places = jnp.asarray(longest if window is None else window, jnp.int32)
    return _HistoryWalk(log_density, jnp.asarray(scale, dtype=float), places)
