"""What a judge of pairs owes to the order in which it was shown the two answers."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from scorax.judges._win_rate import WinRate, win_rate


class SwapConsistency(eqx.Module):
    """Shares of the pairs that were judged in both orders. NaN where there are none."""

    ratio: Float[Array, ""]
    """The same verdict in both orders."""
    first_twice: Float[Array, ""]
    """The answer shown first won both times, whichever it was."""
    second_twice: Float[Array, ""]
    """The answer shown second won both times."""
    n_pairs: Int[Array, ""]
    """In the rest of them one of the two verdicts is a tie."""


@eqx.filter_jit
def swap_consistency(
    verdict_ab: Int[Array, " n"], verdict_ba: Int[Array, " n"], *, where: Bool[Array, " n"] | None = None
) -> SwapConsistency:
    """How often a verdict stays when the two answers change places.

    Args:
        verdict_ab: Verdicts with answer a shown first: +1 for a, 0 for equal, -1 for b.
        verdict_ba: Verdicts with b shown first, of the same coding: +1 is still for a.
        where: Pairs that take part: those with both verdicts.

    Returns:
        A :class:`SwapConsistency`.

    Example:
        >>> found = swap_consistency(jnp.array([1, 1, -1, 1]), jnp.array([1, -1, -1, -1]))
        >>> found.ratio, found.first_twice
        (Array(0.5, dtype=float32), Array(0.5, dtype=float32))

    Source: Zeng, Yu, Gao, Meng, Goyal, Chen (2024), arXiv 2310.07641 (agreement of positions); Shrivastava, Kumar,
    Liang (2025), arXiv 2502.01126 (preference consistency).
    """
    verdict_ab, verdict_ba = (x.astype(jnp.int32) for x in (verdict_ab, verdict_ba))
    part = jnp.ones(verdict_ab.shape, bool) if where is None else where
    n = part.sum(dtype=jnp.int32)

    def share(found: Bool[Array, " n"]) -> Float[Array, ""]:
        return (found & part).sum().astype(float) / n.astype(float)

    return SwapConsistency(
        ratio=share(verdict_ab == verdict_ba),
        first_twice=share((verdict_ab > 0) & (verdict_ba < 0)),
        second_twice=share((verdict_ab < 0) & (verdict_ba > 0)),
        n_pairs=n,
    )


def position_bias(
    first_won: Float[Array, " n"] | Bool[Array, " n"],
    *,
    where: Bool[Array, " n"] | None = None,
    level: float = 0.95,
) -> WinRate:
    """How often the answer that was shown first wins, with Wilson's interval.

    Each pair should have been shown in both orders, or in one drawn at random: then 1/2 is a judge without a bias, as
    the better answer stands first half of the time.

    Args:
        first_won: 1 where the answer shown first won, 0 where the second did, 1/2 for a tie; or truth values.
        where: Verdicts that take part.
        level: Of the interval, in (0, 1).

    Returns:
        The share as a :class:`WinRate`. Its interval takes verdicts as independent.

    Raises:
        ValueError: `level` is not inside (0, 1).

    Example:
        >>> found = position_bias(jnp.array([True] * 9 + [False]))
        >>> found.rate, found.lower.round(3), found.upper.round(3)
        (Array(0.9, dtype=float32), Array(0.596, dtype=float32), Array(0.982, dtype=float32))

    Source: Wang et al. (2024), "Large Language Models are not Fair Evaluators", arXiv 2305.17926; Wilson (1927),
    doi:10.1080/01621459.1927.10502953.
    """
    outcome = first_won.astype(float) if first_won.dtype == bool else first_won
    return win_rate(outcome, interval="wilson", level=level, where=where)
