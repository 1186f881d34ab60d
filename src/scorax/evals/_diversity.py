"""How much answers vary: diversity indices, and whether a question has one "correct answer" and nothing to test."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.special import betainc
from jaxtyping import Array, Bool, Float

from scorax.evals._normal import checked_level
from scorax.evals._stratify import normalised_entropy, shannon_entropy
from scorax.stats import clopper_pearson_interval


class Diversity(eqx.Module):
    """How varied the answers to a question are. NaN where there are no answers, or a count is negative."""

    modal_share: Float[Array, "*b"]
    """Share of the most common answer, in (0, 1]."""
    entropy: Float[Array, "*b"]
    """In nats, at least 0."""
    normalised_entropy: Float[Array, "*b"]
    """Entropy over its largest value, in [0, 1]; NaN for fewer than two options."""
    simpson: Float[Array, "*b"]
    """The probability that two answers, drawn with replacement, differ: one minus the sum of squared shares."""
    effective_number: Float[Array, "*b"]
    """The exponential of the entropy: so many equally common answers are as varied. Hill's number of order 1."""
    n: Float[Array, "*b"]
    """How many answers there are."""


class CorrectAnswerFlag(eqx.Module):
    """Whether a question is answered in one way only."""

    flagged: Bool[Array, "*b"]
    """`lower` exceeds the threshold: there is too little variation to test anything."""
    modal_share: Float[Array, "*b"]
    lower: Float[Array, "*b"]
    """Lower end of Clopper and Pearson's interval of the modal share."""
    probability: Float[Array, "*b"]
    """Posterior probability that some answer's share exceeds the threshold, which must be at least one half for that;
    NaN below."""


def diversity(counts: Float[Array, "*b m"], *, where: Bool[Array, "*b m"] | None = None) -> Diversity:
    """Indices of how varied answers are.

    Args:
        counts: Of each answer, at least 0; shares do as well, but for `n`.
        where: Options that there are.

    Returns:
        `Diversity`. Gradients are finite: the infinite slope of the entropy at a share of 0 is left out.

    Example:
        >>> found = diversity(jnp.array([50.0, 25.0, 25.0, 0.0]))
        >>> found.modal_share, found.normalised_entropy.round(3), found.simpson, found.effective_number.round(3)
        (Array(0.5, dtype=float32), Array(0.75, dtype=float32), Array(0.625, dtype=float32),
         Array(2.828, dtype=float32))

    Source: Shannon (1948), doi:10.1002/j.1538-7305.1948.tb01338.x; Simpson (1949), doi:10.1038/163688a0; Hill (1973),
    doi:10.2307/1934352.
    """
    part = jnp.ones(counts.shape, bool) if where is None else where
    share, known = _shares(counts, part)
    entropy = shannon_entropy(counts, part)
    # One minus a sum of squares, without cancellation where a share is close to 1.
    simpson = (share * (1 - share)).sum(-1)
    modal, simpson = (jnp.where(known, v, jnp.nan) for v in (share.max(-1), simpson))
    n = jnp.where(known, jnp.where(part, counts, 0).sum(-1), jnp.nan)
    return Diversity(modal, entropy, normalised_entropy(counts, where=part), simpson, jnp.exp(entropy), n)


def hill_number(
    counts: Float[Array, "*b m"], order: float | int, *, where: Bool[Array, "*b m"] | None = None
) -> Float[Array, "*b"]:
    r"""Hill's number of an order: how many equally common answers would be as diverse.

    $$D_q = \Big( \sum_k p_k^q \Big)^{1 / (1 - q)}$$

    Args:
        counts: Of each answer, at least 0.
        order: \(q \ge 0\): 0 counts answers that occur, 1 is the exponential of the entropy (the limit), 2 the inverse
            of the probability that two answers are equal, infinity that of the modal share.
        where: Options that there are.

    Returns:
        From 1 to the number of options; NaN where there are no answers or a count is negative.

    Raises:
        ValueError: `order` is negative or NaN.

    Example:
        >>> counts = jnp.array([50.0, 25.0, 25.0, 0.0])
        >>> [float(hill_number(counts, order).round(3)) for order in (0, 1, 2, float("inf"))]
        [3.0, 2.828, 2.667, 2.0]

    Source: Hill (1973), doi:10.2307/1934352.
    """
    if not order >= 0:
        raise ValueError(f"order must be at least 0, not {order}")
    part = jnp.ones(counts.shape, bool) if where is None else where
    share, known = _shares(counts, part)
    if order == 1:
        return jnp.exp(shannon_entropy(counts, part))
    if math.isinf(order):
        return jnp.where(known, 1 / jnp.where(known, share.max(-1), 1), jnp.nan)
    positive = share > 0
    log_share = jnp.log(jnp.where(positive, share, 1))
    log_sum = jax.nn.logsumexp(jnp.where(positive, order * log_share, -jnp.inf), axis=-1)
    return jnp.where(known, jnp.exp(jnp.where(known, log_sum, 0) / (1 - order)), jnp.nan)


def correct_answer_flag(
    counts: Float[Array, "*b m"],
    threshold: float = 0.95,
    confidence: float = 0.95,
    *,
    where: Bool[Array, "*b m"] | None = None,
    concentration: float | int = 1.0,
) -> CorrectAnswerFlag:
    r"""Whether (nearly) everyone gives the same answer, beyond what chance may do: the "correct answer" effect.

    A question is flagged where the lower confidence bound of its modal share exceeds the threshold. It takes n = 72
    equal answers to be sure of a share above 0.95 at the usual level: the bound is \(0.025^{1/n}\).

    Args:
        counts: Whole counts of each answer.
        threshold: Share above which a question counts as answered in one way, in (0, 1).
        confidence: Level of the two-sided interval that the bound belongs to, in (0, 1).
        where: Options that there are.
        concentration: Of the symmetric Dirichlet prior of `probability`; 1 is uniform over all distributions.

    Returns:
        `CorrectAnswerFlag`, NaN and not flagged where there are no answers. It has no gradient.

    Raises:
        ValueError: `threshold` or `confidence` is not inside (0, 1), or `concentration` not positive.

    Example:
        >>> found = correct_answer_flag(jnp.array([[99.0, 1.0], [72.0, 0.0], [71.0, 0.0]]))
        >>> found.flagged
        Array([False,  True, False], dtype=bool)
        >>> found.lower
        Array([0.9455..., 0.9500..., 0.9493...], dtype=float32)

    Source: Park, Schoenegger & Zhu (2023), arXiv 2302.07267; Clopper & Pearson (1934), doi:10.1093/biomet/26.4.404.
    """
    checked_level(threshold, "threshold")
    checked_level(confidence, "confidence")
    if not concentration > 0:
        raise ValueError(f"concentration must be positive, not {concentration}")
    part = jnp.ones(counts.shape, bool) if where is None else where
    counts = jax.lax.stop_gradient(counts)
    share, known = _shares(counts, part)
    held = jnp.where(part & known[..., None], counts, 0)
    n = held.sum(-1)
    lower = jnp.where(known, clopper_pearson_interval(held.max(-1), n, level=confidence).lower, jnp.nan)
    # At most one share exceeds one half: probabilities of exclusive events add up.
    options = part.sum(-1, keepdims=True).astype(counts.dtype)
    rest = n[..., None] - held + concentration * (options - 1)
    alone = rest <= 0
    beyond = betainc(jnp.where(alone, 1, rest), held + concentration, jnp.asarray(1 - threshold, counts.dtype))
    probability = jnp.where(part, jnp.where(alone, 1, beyond), 0).sum(-1)
    modal = jnp.where(known, share.max(-1), jnp.nan)
    probability = jnp.where(known & (threshold >= 0.5), probability, jnp.nan)
    return CorrectAnswerFlag(lower > threshold, modal, lower, probability)


def _shares(counts: Float[Array, "*b m"], part: Bool[Array, "*b m"]) -> tuple[Float[Array, "*b m"], Bool[Array, "*b"]]:
    """Shares, 0 for options that there are not, and where they mean anything."""
    held = jnp.where(part, counts, 0)
    total = held.sum(-1)
    known = (total > 0) & (held >= 0).all(-1)
    return held / jnp.where(known, total, 1)[..., None], known
