"""Newman's iteration for Bradley-Terry, Plackett-Luce and Davidson's model of ties."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from scorax.choice._estimators._iterated import Iterated, item_count, iterate, poisoned, refuse_unconverged
from scorax.choice._estimators._linked import beaten, strongly_connected
from scorax.choice._estimators._mm import unit_mean
from scorax.choice._estimators._stages import half_wins, stage_sums
from scorax.data import PairCounts, Rankings


def newman(
    data: PairCounts | Rankings,
    *,
    ties: str = "half",
    prior_wins: float | int = 0.0,
    n_items: int | None = None,
    max_steps: int = 10_000,
    tol: float | None = None,
    throw: bool = True,
) -> Iterated:
    r"""Maximum likelihood by Newman's fixed-point iteration: a few times to a hundred times fewer steps than `mm`.

    Solves the same equations, gradient zero, as \(\pi_i = \text{gained}_i / \text{missed}_i\): over the stages
    that i won, the weight times the others' share of the worth, and over those that it lost, the weight over the total
    worth. All items move at once; taken alone that need not converge (two items exchange places for ever), so a whole
    step in log worths is followed by half a step: the eigenvalues of a sweep lie in [-1, 1], where
    \(\lambda (1 + \lambda) / 2\) is at most 1/8 below zero. `steps` counts such pairs.

    With `ties="davidson"` the tie parameter is estimated too, the log-likelihood being that of `Davidson`.

    Args:
        data: A table of pairs, or rankings (see `mm`).
        ties: `"half"`: a tie is half a win for each side. `"davidson"`: a tie is an outcome of its own, as likely as
            `delta` times the geometric mean of the worths (tables only).
        prior_wins: Wins, and as many losses, of every item against a ghost of strength 0: a logistic prior
            \(\prod_i [\pi_i / (1 + \pi_i)^2]^c\), which keeps strengths finite. 0: maximum likelihood.
        n_items: Number of items, see `mm`.
        max_steps: When to give up.
        tol: See `mm`.
        throw: See `mm`.

    Returns:
        Strengths that sum to zero (with a prior, moved there from the posterior mode), and `log_tie` = log delta, which
        is `-inf` where nothing tied.

    Raises:
        ValueError: No finite maximum; no convergence; `ties` is unknown, or Davidson's for rankings; or a negative
            `prior_wins`.

    Example:
        >>> counts = sx.data.PairCounts.from_arrays([[0, 3], [1, 0]], ties=[[0, 2], [2, 0]])
        >>> result = newman(counts, ties="davidson")
        >>> result.strength.round(4), result.log_tie.round(4)  # log 3 / 2 each way; 2 ties to sqrt(3 * 1)
        (Array([ 0.5493, -0.5493], dtype=float32), Array(0.1438, dtype=float32))

    Source: Newman (2023), "Efficient computation of rankings from pairwise comparisons", JMLR 24, arXiv:2207.00076.
    """
    if ties not in ("half", "davidson"):
        raise ValueError(f"ties must be 'half' or 'davidson', not {ties!r}")
    if prior_wins < 0:
        raise ValueError(f"prior_wins must be at least 0, not {prior_wins}")
    k = item_count(data, n_items)
    ghost = jnp.asarray(prior_wins, data.weight.dtype)
    if ties == "half":
        result = _newman(data, ghost, k, tol, jnp.asarray(max_steps))
    elif isinstance(data, PairCounts):
        result = _newman_ties(data, ghost, tol, jnp.asarray(max_steps))
    else:
        raise ValueError("rankings hold no ties: Davidson's model takes a table, comparisons.table(n_items)")
    return refuse_unconverged(result, data, k, prior=prior_wins > 0, check=throw)


@eqx.filter_jit
def _newman(
    data: PairCounts | Rankings, ghost: Float[Array, ""], k: int, tol: float | None, max_steps: Int[Array, ""]
) -> Iterated:
    def sweep(strength: Float[Array, " k"]) -> Float[Array, " k"]:
        worth = jnp.exp(strength)
        sums = stage_sums(data, worth)
        against = ghost / (worth + 1)
        return _level(jnp.log(sums.gained + against) - jnp.log(sums.missed + against), ghost)

    def advance(strength: Float[Array, " k"]) -> Float[Array, " k"]:
        whole = sweep(strength)
        return _level((whole + sweep(whole)) / 2, ghost)

    start = jnp.zeros(k, data.weight.dtype)
    linked = (ghost > 0) | strongly_connected(beaten(data, k))
    strength, converged, steps = iterate(advance, start, tol=tol, max_steps=max_steps, possible=linked)
    return Iterated(poisoned(converged, strength), converged, steps)


@eqx.filter_jit
def _newman_ties(data: PairCounts, ghost: Float[Array, ""], tol: float | None, max_steps: Int[Array, ""]) -> Iterated:
    won = half_wins(data)
    decided, tied = data.weight[0].sum(), data.weight[1]
    both = tied + tied.T

    def sweep(x: Float[Array, " k1"]) -> Float[Array, " k1"]:
        # The last coordinate is nu = delta / 2, which may be zero.
        strength, nu = x[:-1], x[-1]
        worth, root = jnp.exp(strength), jnp.exp(strength / 2)
        mean = root[:, None] * root[None, :]
        share = 1 / (worth[:, None] + worth[None, :] + 2 * nu * mean)
        against = ghost / (worth + 1)
        gained = (won * share) @ worth + nu * root * ((won * share) @ root) + against
        missed = (won * share).sum(0) + nu / root * (root @ (won * share)) + against
        level = _level(jnp.log(gained) - jnp.log(missed), ghost)
        drawn = (both * share * (worth[:, None] + worth[None, :])).sum() / 2
        undrawn = (data.weight[0] * share * mean).sum() * 2
        return jnp.append(level, drawn / undrawn)

    def advance(x: Float[Array, " k1"]) -> Float[Array, " k1"]:
        whole = sweep(x)
        return (whole + sweep(whole)) / 2

    start = jnp.zeros(won.shape[0] + 1, won.dtype).at[-1].set(tied.sum() / jnp.maximum(decided, tied.sum()) / 2)
    linked = (ghost > 0) | strongly_connected(won > 0)
    x, converged, steps = iterate(advance, start, tol=tol, max_steps=max_steps, possible=linked)
    log_tie = jnp.where(converged, jnp.log(2 * x[-1]), jnp.nan)
    return Iterated(poisoned(converged, x[:-1]), converged, steps, log_tie)


def _level(strength: Float[Array, " k"], ghost: Float[Array, ""]) -> Float[Array, " k"]:
    """Worths of mean 1; or, as a ghost says where the level is, nearer to the level at which it wins half its games.

    The likelihood does not feel the level, and left to the sweeps it would creep there.
    """
    p = jax.nn.sigmoid(strength)
    lift = (0.5 - p).sum() / (p * (1 - p)).sum()
    return jnp.where(ghost > 0, strength + jnp.clip(lift, -1, 1), unit_mean(strength))
