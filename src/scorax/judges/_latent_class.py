"""The log-probability of labels whose true level is not known."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

# A stand-in for log 0 that may be added up a million times in single precision.
_LOG_ZERO = -1e30


def floored_log(p: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """`log p`, and a large negative number with gradient 0 at `p = 0`: 0 labels of probability 0 add 0, not NaN."""
    positive = p > 0
    return jnp.where(positive, jnp.log(jnp.where(positive, p, jnp.ones_like(p))), jnp.asarray(_LOG_ZERO, p.dtype))


def latent_class_log_prob(
    log_prevalence: Float[Array, "*b m"],
    evidence: Float[Array, "*b m"],
    *,
    gold: Int[Array, "*b"] | None = None,
    has_gold: Bool[Array, "*b"] | None = None,
) -> Float[Array, "*b"]:
    r"""Log-probability of an item's labels with its true level summed out.

    $$\log p = \log \sum_m \exp\Big[ \log \pi_m + \sum_{j, l} n_{jl} \log \theta_{jml} \Big]$$

    Args:
        log_prevalence: Log-probability of each true level.
        evidence: Log-probability of all labels of the item, given each true level.
        gold: The true level, where it is known: the sum is then its term alone.
        has_gold: Where it is known; with `gold`.

    Returns:
        Natural-log probability of each item's labels (and gold label), at most 0 up to rounding.

    Example:
        >>> latent_class_log_prob(jnp.log(jnp.array([0.5, 0.5])), jnp.log(jnp.array([0.9, 0.2])))
        Array(-0.597837, dtype=float32)

    Source: Dawid & Skene (1979), doi:10.2307/2346806; gold labels: Vossler et al. (2025), arXiv 2505.21972.
    """
    return jax.nn.logsumexp(latent_class_joint(log_prevalence, evidence, gold, has_gold), axis=-1)


def latent_class_joint(
    log_prevalence: Float[Array, "*b m"],
    evidence: Float[Array, "*b m"],
    gold: Int[Array, "*b"] | None,
    has_gold: Bool[Array, "*b"] | None,
) -> Float[Array, "*b m"]:
    """Log-probability of an item's labels together with each true level; next to none for what gold labels rule out."""
    joint = log_prevalence + evidence
    if gold is None or has_gold is None:
        return joint
    levels = jnp.arange(joint.shape[-1], dtype=gold.dtype).reshape((1,) * gold.ndim + (-1,))
    possible = ~has_gold[..., None] | (gold[..., None] == levels)
    return jnp.where(possible, joint, jnp.asarray(_LOG_ZERO, joint.dtype))
