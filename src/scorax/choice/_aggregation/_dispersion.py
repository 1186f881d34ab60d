"""How much rankings agree with each other."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from scorax.stats import pair_signs


@eqx.filter_jit
def rank_dispersion(ranks: Float[Array, "n k"], *, where: Bool[Array, "n k"] | None = None) -> Float[Array, ""]:
    """Mean Kendall's τ (b) over all pairs of rankings, each on the items that both hold.

    1: all tasks agree, and aggregating them is easy. Near 0: they have nothing in common, and any order is a
    compromise. Memory grows with n k².

    Args:
        ranks: One row a ranking (or a task); only the order within a row matters, NaN is not ranked.
        where: Entries that take part.

    Returns:
        The mean of those pairs whose τ is defined (two common items or more, not all tied in one of the two); NaN where
        there is none.

    Example:
        >>> rank_dispersion(jnp.array([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [1.0, 3.0, 2.0]]))  # 1, 1/3, 1/3
        Array(0.5555556, dtype=float32)

    Source: Kendall (1945), doi:10.1093/biomet/33.3.239; as a measure of benchmarks Colombo, Noiry, Irurozki, Clémençon
    (2022), arXiv:2202.03799.
    """
    part = ~jnp.isnan(ranks) if where is None else where & ~jnp.isnan(ranks)
    sign = pair_signs(jnp.where(part, ranks, 0), part).reshape(len(ranks), -1)
    untied = jnp.abs(sign)
    common = (part[:, :, None] & part[:, None, :]).reshape(sign.shape).astype(sign.dtype)
    # Pairs of items that one ranking orders and both hold, for all pairs of rankings at once.
    ordered = untied @ common.T
    room = ordered * ordered.T
    counted = jnp.triu(room > 0, 1)
    tau = (sign @ sign.T) / jnp.sqrt(jnp.where(counted, room, 1))
    return jnp.where(counted, tau, 0).sum() / counted.sum().astype(sign.dtype)
