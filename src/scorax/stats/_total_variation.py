"""Total variation: the most by which two distributions can differ on any event."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def total_variation_distance(
    p: Float[Array, "*#b m"],
    q: Float[Array, "*#b m"],
    *,
    where: Bool[Array, "*#b m"] | None = None,
    smooth: float | int = 0.0,
) -> Float[Array, "*b"]:
    r"""Total variation distance of two distributions over the same options.

    $$\frac12 \sum_k |p_k - q_k|$$

    Args:
        p: Shares or counts, at least 0; they are divided by their sum.
        q: The other distribution; its leading axes broadcast with those of `p`.
        where: Options that there are.
        smooth: \(\delta \ge 0\). Above 0, \(|x|\) becomes \(\sqrt{x^2 + \delta^2} - \delta\), which is smooth and
            still 0 at equality; the distance shrinks by at most \(m \delta / 2\). At 0 the gradient of \(|x|\) at 0
            is 0.

    Returns:
        In [0, 1]. NaN where a share is negative or NaN, or a distribution sums to 0.

    Raises:
        ValueError: `smooth` is negative.

    Example:
        >>> total_variation_distance(jnp.array([0.5, 0.5]), jnp.array([0.8, 0.2]))
        Array(0.3, dtype=float32)

    Source: Levin & Peres (2017), "Markov Chains and Mixing Times", section 4.1.
    """
    if not smooth >= 0:
        raise ValueError(f"smooth must be at least 0, not {smooth}")
    shape = jnp.broadcast_shapes(p.shape, q.shape, () if where is None else where.shape)
    part = jnp.ones(shape, bool) if where is None else jnp.broadcast_to(where, shape)
    difference = _shares(jnp.broadcast_to(p, shape), part) - _shares(jnp.broadcast_to(q, shape), part)
    if smooth == 0:
        # The derivative of jnp.abs at 0 is 0.
        return jnp.abs(difference).sum(-1) / 2
    delta = jnp.asarray(smooth, difference.dtype)
    # Without cancellation: sqrt(x^2 + d^2) - d = x^2 / (sqrt(x^2 + d^2) + d).
    return (difference**2 / (jnp.sqrt(difference**2 + delta**2) + delta)).sum(-1) / 2


def _shares(p: Float[Array, "*b m"], part: Bool[Array, "*b m"]) -> Float[Array, "*b m"]:
    """Divided by their sum; 0 outside, NaN where that is no distribution."""
    held = jnp.where(part, p, 0)
    total = held.sum(-1, keepdims=True)
    known = (total > 0) & (held >= 0).all(-1, keepdims=True)
    return jnp.where(known, held / jnp.where(known, total, 1), jnp.where(part, jnp.nan, 0))
