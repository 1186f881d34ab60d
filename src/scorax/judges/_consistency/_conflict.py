"""Whether a judge's scores and its verdicts on pairs say the same."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


class ConflictRatio(eqx.Module):
    """Shares of the pairs that take part; the first is the sum of the other three. NaN where there is no pair."""

    ratio: Float[Array, "*b"]
    """Verdict and scores differ."""
    contradiction: Float[Array, "*b"]
    """Each prefers another answer."""
    score_tie: Float[Array, "*b"]
    """The scores are equal, the verdict is not."""
    verdict_tie: Float[Array, "*b"]
    """The verdict is equal, the scores are not."""
    n_pairs: Int[Array, "*b"]


@eqx.filter_jit
def conflict_ratio(
    verdict: Int[Array, "*#b n"], relation: Int[Array, "*#b n"], *, where: Bool[Array, "*#b n"] | None = None
) -> ConflictRatio:
    """How often a judge's verdict on a pair differs from what its scores of the two answers say.

    Args:
        verdict: +1 where the first answer of the pair is better, 0 where they are equal, -1 where the second is.
        relation: The same by the scores: the sign of their difference, or entries of :func:`relation_from_scores`.
        where: Pairs that take part. With a row for each category, the ratio of each category: leading axes broadcast.

    Returns:
        A :class:`ConflictRatio`.

    Example:
        >>> verdict, relation = jnp.array([1, 1, 0, -1]), jnp.array([1, -1, 1, -1])
        >>> found = conflict_ratio(verdict, relation)
        >>> found.ratio, found.contradiction, found.verdict_tie
        (Array(0.5, dtype=float32), Array(0.25, dtype=float32), Array(0.25, dtype=float32))

    Source: Wang et al. (2025), "TrustJudge", arXiv 2509.21117 (score-comparison inconsistency).
    """
    part = jnp.ones((1,) * verdict.ndim, bool) if where is None else where
    verdict, relation, part = jnp.broadcast_arrays(verdict.astype(jnp.int32), relation.astype(jnp.int32), part)
    n = part.sum(-1, dtype=jnp.int32)

    def share(found: Bool[Array, "*b n"]) -> Float[Array, "*b"]:
        # 0 / 0 is NaN, and nothing here has a gradient to spoil.
        return (found & part).sum(-1).astype(float) / n.astype(float)

    return ConflictRatio(
        ratio=share(verdict != relation),
        contradiction=share(verdict * relation < 0),
        score_tie=share((relation == 0) & (verdict != 0)),
        verdict_tie=share((verdict == 0) & (relation != 0)),
        n_pairs=n,
    )
