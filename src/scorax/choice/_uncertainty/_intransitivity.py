"""Cycles: circular triads of a tournament, and how far win probabilities are from transitive."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from scorax.data import PairCounts


def circular_triads(wins: Float[Array, "k k"]) -> Float[Array, ""]:
    r"""Number of circular triads: i beat j, j beat k, and k beat i, each more often than not.

    In a complete tournament it is Kendall's \(\binom{k}{3} - \sum_i s_i (s_i - 1) / 2\), where \(s_i\) items are beaten
    by i. Pairs that never met, or that are level, belong to no circular triad.

    Args:
        wins: `[k, k]`, how often (or how surely) the row's item beat the column's. Ties cancel, so leave them out.

    Returns:
        A whole number, exact below 2^24 in single precision.

    Example:
        >>> rock_paper_scissors = jnp.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
        >>> circular_triads(rock_paper_scissors)
        Array(1., dtype=float32)

    Source: Kendall and Babington Smith (1940), doi:10.1093/biomet/31.3-4.324.
    """
    beats = (wins > wins.T).astype(wins.dtype)
    # Closed walks of three steps; each triad is walked from each of its corners. Sums of whole numbers, exact.
    return jnp.round(((beats @ beats) * beats.T).sum() / 3)


def kendall_zeta(wins: Float[Array, "k k"]) -> Float[Array, ""]:
    r"""Coefficient of consistence: 1 without circular triads, 0 with as many as there can be.

    \(\zeta = 1 - 24 c / (k^3 - k)\) for odd k, \(1 - 24 c / (k^3 - 4k)\) for even k.

    Args:
        wins: As in `circular_triads`.

    Returns:
        In [0, 1]. NaN where a pair never met or is level (there is no tournament), or for fewer than three items.

    Example:
        >>> order = jnp.triu(jnp.ones((4, 4)), 1)
        >>> kendall_zeta(order)
        Array(1., dtype=float32)

    Source: Kendall and Babington Smith (1940), doi:10.1093/biomet/31.3-4.324.
    """
    k = wins.shape[0]
    if k < 3:
        return jnp.full((), jnp.nan, wins.dtype)
    most = (k**3 - k) / 24 if k % 2 else (k**3 - 4 * k) / 24
    complete = ((wins != wins.T) | jnp.eye(k, dtype=bool)).all()
    return jnp.where(complete, 1 - circular_triads(wins) / most, jnp.nan)


class Transitivity(eqx.Module):
    """How surely win probabilities break each of the three grades of stochastic transitivity.

    Of all ordered triples with `p(i, j) >= 1/2` and `p(j, l) >= 1/2`, weak transitivity asks for `p(i, l) >= 1/2`,
    moderate for the smaller of the two, strong for the larger.
    """

    weak: Float[Array, ""]
    """Probability that some triple violates weak transitivity: that there is a cycle."""
    moderate: Float[Array, ""]
    strong: Float[Array, ""]
    weak_share: Float[Array, ""]
    """Expected share of the triples that violate it; NaN where no triple ever has its premise."""
    moderate_share: Float[Array, ""]
    strong_share: Float[Array, ""]


@eqx.filter_jit
def transitivity(win_prob: Float[Array, "s k k"], *, where: Bool[Array, "k k"] | None = None) -> Transitivity:
    """Whether preferences are transitive, from joint draws of all pairs' win probabilities.

    Draws come from a posterior of a model that allows cycles, from bootstrapped win rates, or from
    `win_probability_draws`, which assumes no model. Bradley-Terry and every other model of one strength an item is
    strongly transitive in each draw. With many items some triple violates strong transitivity in nearly every draw of
    noisy probabilities, transitive or not: compare with the same number from data simulated under a transitive model.

    Args:
        win_prob: Probability that the row's item beats the column's, `p[j, i] = 1 - p[i, j]`.
        where: Pairs that count, symmetric; a triple counts if its three pairs do. All by default.

    Returns:
        `Transitivity`; NaN throughout where a probability that counts is NaN.

    Example:
        >>> cycle = jnp.array([[[0.5, 0.9, 0.1], [0.1, 0.5, 0.9], [0.9, 0.1, 0.5]]])
        >>> transitivity(cycle).weak
        Array(1., dtype=float32)

    Source: Tversky (1969), doi:10.1037/h0026750; Regenwetter, Dana and Davis-Stober (2011), doi:10.1037/a0021150.
    """
    k = win_prob.shape[-1]
    part = (jnp.ones((k, k), bool) if where is None else where) & ~jnp.eye(k, dtype=bool)
    known = jnp.isfinite(jnp.where(part[None], win_prob, 0)).all()
    clean = jnp.where(part[None] & known, win_prob, 0)
    premises, violations = jax.lax.map(lambda p: _violations(p, part), clean)
    anywhere = (violations > 0).astype(win_prob.dtype).mean(0)
    share = violations.sum(0) / premises.sum()
    return Transitivity(*jnp.where(known, jnp.concatenate([anywhere, share]), jnp.nan))


def _violations(p: Float[Array, "k k"], part: Bool[Array, "k k"]) -> tuple[Float[Array, ""], Float[Array, "3"]]:
    """Triples with the premise, and those that violate each grade, one middle item at a time."""
    above = part & (p >= 0.5)

    def through(total: tuple[Array, Array], middle: Array) -> tuple[tuple[Array, Array], None]:
        premise = above[:, middle][:, None] & above[middle][None, :] & part
        first, second = p[:, middle][:, None], p[middle][None, :]
        bounds = jnp.stack([jnp.full_like(p, 0.5), jnp.minimum(first, second), jnp.maximum(first, second)])
        broken = premise[None] & (p[None] < bounds)
        count = premise.sum().astype(p.dtype), broken.sum((1, 2)).astype(p.dtype)
        return (total[0] + count[0], total[1] + count[1]), None

    nothing = jnp.zeros((), p.dtype), jnp.zeros(3, p.dtype)
    return jax.lax.scan(through, nothing, jnp.arange(p.shape[0]))[0]


def win_probability_draws(
    data: PairCounts, *, key: PRNGKeyArray, n_draws: int = 1000, prior_count: float = 0.5
) -> Float[Array, "s k k"]:
    """Posterior draws of each pair's win probability by itself: no model ties the pairs together.

    Each is `Beta(wins + prior_count, losses + prior_count)`, ties half a win each way. A pair that never met has the
    prior: pass `where=table.count.sum(0) + table.count.sum(0).T > 0` to `transitivity` to leave such pairs out.

    Args:
        data: The table; its weights are the counts.
        key: The same key gives the same draws.
        n_draws: Number of draws, `s`.
        prior_count: Above 0; 1/2 is Jeffreys' prior, 1 the uniform one.

    Raises:
        ValueError: `prior_count` is not above 0.

    Example:
        >>> table = sx.data.PairCounts.from_arrays([[0, 30], [10, 0]])
        >>> draws = win_probability_draws(table, key=jax.random.key(0))
        >>> draws.shape, bool(jnp.abs(draws[:, 0, 1].mean() - 0.744) < 0.01)
        ((1000, 2, 2), True)
    """
    if not prior_count > 0:
        raise ValueError(f"prior_count must be above 0, not {prior_count}")
    return _beta_draws(data, key, n_draws, jnp.asarray(prior_count, data.weight.dtype))


@eqx.filter_jit
def _beta_draws(data: PairCounts, key: PRNGKeyArray, n_draws: int, prior: Float[Array, ""]) -> Float[Array, "s k k"]:
    wins = data.weight[0] + (data.weight[1] + data.weight[1].T) / 2
    k = wins.shape[0]
    # In logarithms: a draw for each side, so that neither probability rounds to one.
    upper = jnp.triu_indices(k, 1)
    won, lost = wins[upper] + prior, wins.T[upper] + prior
    for_a, for_b = (
        jax.random.loggamma(one, jnp.broadcast_to(count[None, :], (n_draws, count.size)))
        for one, count in zip(jax.random.split(key), (won, lost), strict=True)
    )
    p = jnp.full((n_draws, k, k), 0.5, wins.dtype)
    p = p.at[:, upper[0], upper[1]].set(jax.nn.sigmoid(for_a - for_b))
    return p.at[:, upper[1], upper[0]].set(jax.nn.sigmoid(for_b - for_a))
