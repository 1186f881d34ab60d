"""How far apart two rankings are: pairs out of order, places moved, swaps needed, tops shared."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from scorax.stats._average_rank import ahead_and_level, average_rank
from scorax.stats._rank_correlation import pair_signs


def kendall_distance(
    x: Float[Array, "*b n"],
    y: Float[Array, "*b n"],
    *,
    where: Bool[Array, "*b n"] | None = None,
    tie_penalty: float = 0.5,
) -> Float[Array, "*b"]:
    """Pairs that the two rank in opposite orders; the number of neighbours to swap to get from one to the other.

    Args:
        x: Values (ranks or scores, both the same); only their order matters.
        y: Values to compare with.
        where: Entries that take part.
        tie_penalty: What a pair adds that is tied in one of the two only, in [0, 1]. From 1/2 on the triangle
            inequality holds.

    Returns:
        From 0 (the same order) to n(n - 1)/2 (reversed). NaN where a value is NaN.

    Example:
        >>> kendall_distance(jnp.array([1.0, 2.0, 3.0]), jnp.array([1.0, 3.0, 2.0]))
        Array(1., dtype=float32)

    Source: Kendall (1938), doi:10.1093/biomet/30.1-2.81; Fagin, Kumar, Mahdian, Sivakumar, Vee (2006),
    doi:10.1137/05063088X (ties).
    """
    part = jnp.ones(x.shape, bool) if where is None else where
    one, other = (pair_signs(v, part) for v in (x, y))
    opposed = (jnp.abs(one * other) - one * other) / 2
    half_tied = jnp.abs(jnp.abs(one) - jnp.abs(other))
    return (opposed + tie_penalty * half_tied).sum((-2, -1)) / 2


def footrule(
    x: Float[Array, "*b n"], y: Float[Array, "*b n"], *, where: Bool[Array, "*b n"] | None = None
) -> Float[Array, "*b"]:
    """Spearman's footrule: by how many places entries move in all; ties share the mean of their places.

    It lies between the Kendall distance and twice that.

    Args:
        x: Values (ranks or scores, both the same); only their order matters.
        y: Values to compare with.
        where: Entries that take part.

    Returns:
        From 0 to n²/2, rounded down. NaN where a value is NaN.

    Example:
        >>> footrule(jnp.array([1.0, 2.0, 3.0]), jnp.array([3.0, 2.0, 1.0]))
        Array(4., dtype=float32)

    Source: Diaconis & Graham (1977), doi:10.1111/j.2517-6161.1977.tb01624.x.
    """
    part = jnp.ones(x.shape, bool) if where is None else where
    moved = average_rank(x, where=part) - average_rank(y, where=part)
    return jnp.where(part, jnp.abs(moved), 0).sum(-1)


def cayley_distance(
    x: Float[Array, "*b n"], y: Float[Array, "*b n"], *, where: Bool[Array, "*b n"] | None = None
) -> Float[Array, "*b"]:
    """How many swaps of any two entries lead from one ranking to the other: n minus the cycles between them.

    Args:
        x: Values (ranks or scores, both the same) without ties; only their order matters.
        y: Values to compare with.
        where: Entries that take part.

    Returns:
        From 0 to n - 1. NaN where there is a tie or a value is NaN: the distance is one of permutations.

    Example:
        >>> cayley_distance(jnp.array([1.0, 2.0, 3.0]), jnp.array([3.0, 2.0, 1.0]))
        Array(1., dtype=float32)

    Source: Diaconis (1988), "Group Representations in Probability and Statistics", doi:10.1214/lnms/1215467407.
    """
    part = jnp.ones(x.shape, bool) if where is None else where
    n = x.shape[-1]
    # Entries that take no part stand at the end of both orders, in the same order: cycles of their own.
    key = jnp.broadcast_to((~part).astype(jnp.int32), x.shape)
    order_x, order_y = (jnp.lexsort((v, key), axis=-1) for v in (x, y))
    place_y = jnp.argsort(order_y, axis=-1)
    jump = jnp.take_along_axis(order_x, place_y, axis=-1)
    own = jnp.broadcast_to(jnp.arange(n, dtype=jump.dtype), jump.shape)

    def double(_: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
        label, jump = state
        return (
            jnp.minimum(label, jnp.take_along_axis(label, jump, axis=-1)),
            jnp.take_along_axis(jump, jump, axis=-1),
        )

    # Everyone learns the smallest label of its cycle in as many doublings as n has bits.
    label, _ = jax.lax.fori_loop(0, n.bit_length(), double, (own, jump))
    swaps = (label != own).sum(-1).astype(x.dtype)
    alone = [ahead_and_level(v, where=part)[1] == 1 for v in (x, y)]
    return jnp.where(((alone[0] & alone[1]) | ~part).all(-1), swaps, jnp.nan)


def top_k_overlap(
    x: Float[Array, "*b n"], y: Float[Array, "*b n"], k: int, *, where: Bool[Array, "*b n"] | None = None
) -> Float[Array, "*b"]:
    """Share of the k best that two rankings have in common.

    Where ties straddle the k-th place it is the expected share when both break them at random.

    Args:
        x: Scores; larger is better (negate ranks).
        y: Scores to compare with.
        k: From 1 to n.
        where: Entries that take part.

    Returns:
        In [0, 1]. NaN where a value is NaN or fewer than k take part.

    Raises:
        ValueError: k is not between 1 and n.

    Example:
        >>> top_k_overlap(jnp.array([4.0, 3.0, 2.0, 1.0]), jnp.array([3.0, 1.0, 4.0, 2.0]), 2)
        Array(0.5, dtype=float32)
    """
    if not 1 <= k <= x.shape[-1]:
        raise ValueError(f"k must be between 1 and the {x.shape[-1]} entries, not {k}")
    part = jnp.ones(x.shape, bool) if where is None else where
    depth = jnp.asarray([k], x.dtype)
    share = (_in_top(x, part, depth) * _in_top(y, part, depth)).sum((-2, -1)) / k
    return jnp.where(_known(x, y, part) & (part.sum(-1) >= k), share, jnp.nan)


def rank_biased_overlap(
    x: Float[Array, "*b n"],
    y: Float[Array, "*b n"],
    persistence: Float[Array, ""] | float = 0.9,
    *,
    where: Bool[Array, "*b n"] | None = None,
) -> Float[Array, "*b"]:
    r"""Rank-biased overlap of two complete rankings: the mean share of tops in common, over a reader's depth.

    $$(1 - p) \sum_{d=1}^{n} p^{d-1} A_d + p^n$$

    where \(A_d\) is `top_k_overlap` at depth d, with its way to treat ties; beyond n everything is shared. A reader
    goes on from each place with probability p: the first d places have most of the weight where d is near 1/(1 - p).
    Time and memory grow with n².

    Args:
        x: Scores; larger is better (negate ranks).
        y: Scores to compare with.
        persistence: \(p\), in (0, 1).
        where: Entries that take part.

    Returns:
        In [0, 1]; 1 for the same order (without ties). NaN where a value is NaN or nothing takes part.

    Example:
        >>> x = jnp.arange(10.0)
        >>> rank_biased_overlap(x, x), rank_biased_overlap(x, -x).round(3)
        (Array(1., dtype=float32), Array(0.512, dtype=float32))

    Source: Webber, Moffat, Zobel (2010), doi:10.1145/1852102.1852106.
    """
    part = jnp.ones(x.shape, bool) if where is None else where
    p = jnp.asarray(persistence, x.dtype)
    depth = jnp.arange(1, x.shape[-1] + 1, dtype=x.dtype)
    common = (_in_top(x, part, depth) * _in_top(y, part, depth)).sum(-2)
    weight = jnp.broadcast_to((1 - p) * p ** (depth - 1) / depth, common.shape)
    n = part.sum(-1).astype(x.dtype)
    seen = jnp.broadcast_to(depth, common.shape) <= n[..., None]
    total = jnp.where(seen, weight * common, 0).sum(-1) + p**n
    return jnp.where(_known(x, y, part) & (n > 0), total, jnp.nan)


def _in_top(values: Float[Array, "*b n"], part: Bool[Array, "*b n"], depth: Float[Array, " d"]) -> Array:
    """Probability of being among the first `depth` `[*b, n, d]`, ties broken at random."""
    ahead, level = ahead_and_level(values, where=part, descending=True)
    room = depth.reshape((1,) * values.ndim + (-1,)) - ahead.astype(values.dtype)[..., None]
    # A NaN is level with nobody, not even itself.
    share = room / jnp.maximum(level, 1).astype(values.dtype)[..., None]
    return jnp.where(part[..., None], jnp.clip(share, 0, 1), 0)


def _known(x: Float[Array, "*b n"], y: Float[Array, "*b n"], part: Bool[Array, "*b n"]) -> Bool[Array, "*b"]:
    return ~((jnp.isnan(x) | jnp.isnan(y)) & part).any(-1)
