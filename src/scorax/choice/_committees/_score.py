"""What a committee is worth to each voter: of a set, and in expectation over random sets."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from scorax.choice._committees._rules import CommitteeRule, as_rule, points_of


@eqx.filter_jit
def committee_score(
    members: Bool[Array, " m"],
    positions: Int[Array, "v m"],
    rule: CommitteeRule | str,
    *,
    size: int | None = None,
) -> Float[Array, " v"]:
    """What a committee is worth to each voter.

    Args:
        members: True for the members.
        positions: Position of every item in each voter's ranking, from 1 (best) to m.
        rule: A `CommitteeRule`, or the name of one of `COMMITTEE_RULES`.
        size: The k of rules that look at the first k places; the number of members by default.

    Returns:
        At least 0; larger is better. One number a voter.

    Example:
        >>> positions = jnp.array([[1, 2, 3, 4], [4, 3, 2, 1]])
        >>> committee_score(jnp.array([True, False, False, True]), positions, "cc")
        Array([3., 3.], dtype=float32)
    """
    rule = as_rule(rule)
    dtype = jnp.zeros((), float).dtype
    k = members.sum() if size is None else size
    points = jnp.where(members[None, :], points_of(positions, rule, k, dtype), 0)
    weights = jnp.asarray(rule.weights(members.size), dtype)
    return -jnp.sort(-points, axis=1) @ weights


@eqx.filter_jit
def multilinear_extension(
    inclusion: Float[Array, " m"],
    positions: Int[Array, "v m"],
    rule: CommitteeRule | str,
    *,
    size: int,
) -> Float[Array, " v"]:
    r"""Expected worth of a random committee that holds each item independently: a differentiable `committee_score`.

    At 0 and 1 it is the score of a set; in between, a soft mask such as `sigmoid(logits)` can climb its gradient. It is
    exact, by the distribution of how many members stand ahead of each item: O(m²) a voter.

    Args:
        inclusion: Probability that an item is a member, in [0, 1].
        positions: As in `committee_score`.
        rule: As in `committee_score`.
        size: As in `committee_score`.

    Returns:
        One number a voter, in the dtype of `inclusion`.

    Example:
        >>> positions = jnp.array([[1, 2, 3]])
        >>> multilinear_extension(jnp.array([0.5, 0.5, 0.0]), positions, "cc", size=1)  # 2/2 + 1/4
        Array([1.25], dtype=float32)

    Source: Calinescu, Chekuri, Pál, Vondrák (2011), doi:10.1137/080733991.
    """
    rule = as_rule(rule)
    m = inclusion.size
    points = points_of(positions, rule, size, inclusion.dtype)
    best_first = jnp.argsort(-points, axis=1, stable=True)
    weights = jnp.asarray(rule.weights(m), inclusion.dtype)

    def of_voter(points: Float[Array, " m"], order: Int[Array, " m"]) -> Float[Array, ""]:
        def place(ahead: Float[Array, " m"], item: Array) -> tuple[Float[Array, " m"], Float[Array, ""]]:
            p = inclusion[item]
            worth = p * points[item] * (ahead @ weights)
            return (1 - p) * ahead + p * jnp.concatenate([jnp.zeros(1, p.dtype), ahead[:-1]]), worth

        nobody = jnp.zeros(m, inclusion.dtype).at[0].set(1)
        return jax.lax.scan(place, nobody, order)[1].sum()

    return jax.vmap(of_voter)(points, best_first)
