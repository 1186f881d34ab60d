"""How well a rule tells better items from worse ones of the same group, and how many rankings that takes."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from scorax.choice._committees._rules import CommitteeRule, as_rule, points_of
from scorax.choice._committees._solvers import gains, trimmed


class SmoothnessReport(eqx.Module):
    """How visible the difference between two items of a group is to a rule."""

    alpha: float
    """Smallest expected gap between a better and a worse item, as a share of the range of one voter's scores."""
    n_required: float
    """Rankings after which all gaps have the right sign with the probability asked for; infinite if `alpha <= 0`."""
    gap_matrix: Float[Array, "m m"]
    """Expected gap of the row's item over the column's, as a share of the range; NaN but for pairs of a group with the
    better item in the row."""
    error_matrix: Float[Array, "m m"]
    """Share of simulated profiles in which the gap has the wrong sign (ties are half wrong), NaN likewise."""


def smoothness(
    rule: CommitteeRule | str,
    sampler: Callable[[PRNGKeyArray], Int[Array, " m"]],
    *,
    size: int,
    key: PRNGKeyArray,
    groups: Any = None,
    n_rankings: int = 20,
    n_profiles: int = 500,
    error: float = 0.05,
) -> SmoothnessReport:
    r"""Whether a rule orders the items of each group by merit, and how many rankings it needs for that.

    A gap is what a better item adds to a random committee of `size - 1` others, minus what a worse item would. Gaps
    lie in a range of one voter's scores, so that by Hoeffding's inequality all signs are right with probability
    1 - error from \(2 \log(2 m^2 / \mathrm{error}) / \alpha^2\) independent rankings on. Then quotas and the best of
    each group make a nearly optimal committee, whatever bias there is between the groups.

    Args:
        rule: A `CommitteeRule`, or the name of one of `COMMITTEE_RULES`.
        sampler: Draws one voter's positions `[m]`, from 1 (best). Items are numbered by merit, the best first.
        size: Members of a committee.
        key: For voters and committees.
        groups: `[m]`, the group of each item; all in one by default.
        n_rankings: Voters of a simulated profile, for `error_matrix`.
        n_profiles: Profiles to simulate; `gap_matrix` has a standard error of about one over the root of both numbers'
            product.
        error: Probability that some sign is wrong, in (0, 1).

    Returns:
        A `SmoothnessReport`.

    Raises:
        ValueError: fewer than `size + 1` items, `error` out of range, or no group has two items.

    Example:
        >>> def sampler(key):  # by utilities that fall from 1 to 0, and noise
        ...     utility = jnp.linspace(1.0, 0.0, 6) + jax.random.normal(key, 6)
        ...     return jnp.argsort(jnp.argsort(-utility)) + 1
        >>> smoothness("k_borda", sampler, size=2, key=jax.random.key(0)).alpha > 0
        True

    Source: after Boehmer, Celis, Huang, Mehrotra, Vishnoi (2023), arXiv:2306.09835, whose constants differ.
    """
    rule = as_rule(rule)
    shape = jax.eval_shape(sampler, key)
    m = shape.shape[0]
    if not 1 <= size < m:
        raise ValueError(f"a committee of {size} with two candidates left over does not fit into {m} items")
    if not 0 < error < 1:
        raise ValueError(f"error is a probability between 0 and 1, not {error}")
    group = np.zeros(m, int) if groups is None else np.asarray(groups)
    pair = np.triu(group[:, None] == group[None, :], 1)
    if not pair.any():
        raise ValueError("no group has two items to tell apart")
    dtype = jnp.zeros((), float).dtype
    weights = jnp.asarray(trimmed(rule.weights(size)), dtype)
    if not float(_range(points_of(jnp.arange(1, m + 1)[None, :], rule, size, dtype), weights, size)) > 0:
        raise ValueError(f"every committee of {size} among {m} items is worth the same to a voter under {rule.name!r}")
    keys = jax.random.split(key, n_profiles)
    gap, wrong = _simulate(keys, sampler, rule, weights, size, n_rankings)
    gaps = np.where(pair, np.asarray(gap, np.float64), np.nan)
    alpha = float(np.nanmin(gaps))
    required = 2 * np.log(2 * m**2 / error) / alpha**2 if alpha > 0 else np.inf
    return SmoothnessReport(
        alpha, float(required), jnp.asarray(gaps, dtype), jnp.where(jnp.asarray(pair), wrong, jnp.nan)
    )


@eqx.filter_jit
def _simulate(
    keys: Array,
    sampler: Callable[[PRNGKeyArray], Int[Array, " m"]],
    rule: CommitteeRule,
    weights: Float[Array, " s"],
    size: int,
    n_rankings: int,
) -> tuple[Float[Array, "m m"], Float[Array, "m m"]]:
    """Mean gap, and how often it has the wrong sign, over profiles of voters who face one random committee each."""

    def profile(key: PRNGKeyArray) -> tuple[Array, Array, Array]:
        of_voters, of_committee = jax.random.split(key)
        positions = jax.vmap(sampler)(jax.random.split(of_voters, n_rankings))
        m = positions.shape[1]
        points = points_of(positions, rule, size, weights.dtype)
        order = jax.random.permutation(of_committee, m)
        present = jnp.where((jnp.arange(m) < size - 1)[None, :], points[:, order], 0)
        members = -jnp.sort(-present, axis=1)[:, : len(weights)]
        voter = jnp.full(n_rankings, 1 / n_rankings, weights.dtype)
        gain = gains(members, points, weights, voter) / _range(points, weights, size)
        outside = jnp.zeros(m, bool).at[order].set(jnp.arange(m) >= size - 1)
        both = (outside[:, None] & outside[None, :]).astype(weights.dtype)
        gap = gain[:, None] - gain[None, :]
        # Rounding is no sign.
        wrong = (1 - jnp.sign(jnp.where(jnp.abs(gap) > 1e-6, gap, 0))) / 2
        return both, both * gap, both * wrong

    seen, gap, wrong = (x.sum(0) for x in jax.lax.map(profile, keys))
    return gap / seen, wrong / seen


def _range(points: Float[Array, "v m"], weights: Float[Array, " s"], size: int) -> Float[Array, ""]:
    """Best minus worst committee of a voter; rules of positions give every voter the same."""
    ordered = -jnp.sort(-points[0])
    worst = ordered[len(ordered) - size :]
    return (ordered[: len(weights)] - worst[: len(weights)]) @ weights
