"""What labels alone can say, with unlimited data: sets of answers that no further label could tell apart."""

from collections.abc import Sequence
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Bool, Float

from scorax.inference import smooth_weights
from scorax.judges._simplex_geometry import expected_score, is_singular
from scorax.judges._small_solve import solve_small

_FEWEST = 200


class BinaryInterval(NamedTuple):
    """What two-level labels say about each candidate, one at a time."""

    lower: Float[Array, "*b k"]
    upper: Float[Array, "*b k"]
    """Differences of two candidates are known better than these two intervals: one judge has judged both."""
    empty: Bool[Array, "*b"]
    """No judge within the bounds can have given these labels: both ends are NaN."""


def binary_identified_interval(
    observed: Float[Array, "*b k"],
    *,
    where: Bool[Array, "*b k"] | None = None,
    q0_bounds: tuple[float, float] = (0.0, 1.0),
    q1_bounds: tuple[float, float] = (0.0, 1.0),
) -> BinaryInterval:
    r"""How good each candidate can be, given how often one judge of unknown quality approved of it.

    The judge approves of a bad answer with probability \(q_0\), of a good one with \(q_1 > q_0\), alike for all
    candidates; so \(\gamma_k = q_0 + (q_1 - q_0) p_k\) and the order of the candidates is known, but not their level:

    $$p_k \in \Big[ \frac{\gamma_k - \min \gamma}{1 - \min \gamma}, \frac{\gamma_k}{\max \gamma} \Big]$$

    Args:
        observed: Probability of approval of each candidate, in [0, 1].
        where: Candidates that take part; the others get NaN.
        q0_bounds: What is known of the judge's false approvals, from gold labels say.
        q1_bounds: What is known of its true approvals.

    Returns:
        Sharp bounds on the share of good answers. Where every candidate has 0, or every one 1, there is no judge to
        tell levels by, and the interval is [0, 1].

    Raises:
        ValueError: Bounds are not within [0, 1] or not in order.

    Example:
        >>> interval = binary_identified_interval(jnp.array([0.38, 0.5, 0.62]))  # p = .3, .5, .7 at q0 = .2, q1 = .8
        >>> interval.lower.tolist(), interval.upper.tolist()
        ([0.0, 0.194, 0.387], [0.613, 0.806, 1.0])

    Source: derived from Vossler et al. (2025), arXiv 2505.21972; Manski (2003), "Partial Identification".
    """
    for name, (low, high) in (("q0_bounds", q0_bounds), ("q1_bounds", q1_bounds)):
        if not 0 <= low <= high <= 1:
            raise ValueError(f"{name} must be two increasing numbers in [0, 1], not {(low, high)}")
    taking_part = jnp.ones(observed.shape, bool) if where is None else where
    low = jnp.where(taking_part, observed, jnp.ones_like(observed)).min(-1, keepdims=True)
    high = jnp.where(taking_part, observed, jnp.zeros_like(observed)).max(-1, keepdims=True)
    empty = (low < q0_bounds[0]) | (high > q1_bounds[1])
    strictest, kindest = jnp.minimum(low, q0_bounds[1]), jnp.maximum(high, q1_bounds[0])
    lower = _share(observed, strictest, jnp.full_like(low, q1_bounds[1]), degenerate=0.0)
    upper = _share(observed, jnp.full_like(low, q0_bounds[0]), kindest, degenerate=1.0)
    known = taking_part & ~empty
    nan = jnp.full_like(observed, jnp.nan)
    return BinaryInterval(jnp.where(known, lower, nan), jnp.where(known, upper, nan), empty[..., 0])


def _share(
    observed: Float[Array, "*b k"], q0: Float[Array, "*b 1"], q1: Float[Array, "*b 1"], *, degenerate: float
) -> Float[Array, "*b k"]:
    """`(observed - q0) / (q1 - q0)`, or the closure of the set where the judge cannot tell levels apart."""
    width = q1 - q0
    flat = jnp.broadcast_to(width <= 0, observed.shape)
    share = (observed - q0) / jnp.where(width <= 0, jnp.ones_like(width), width)
    return jnp.where(flat, jnp.full_like(observed, degenerate), jnp.clip(share, 0, 1))


class IdentifiedSet(NamedTuple):
    """What one judge's labels say about the order of the candidates, with unlimited data."""

    pairwise: Float[Array, "k k"]
    """Probability that the row's candidate has the higher score: uncertainty that no further label removes."""
    attainable: Bool[Array, "k k"]
    """Whether some judge that was drawn and fits puts the row's candidate above the column's."""
    score: Float[Array, " k"]
    """Posterior mean of the expected score."""
    kept: Float[Array, ""]
    """Share of the drawn judges that can have given these labels."""
    effective_draws: Float[Array, ""]
    """How many equally weighted draws this is worth."""
    pareto_k: Float[Array, ""]
    """Tail index of the weights: above 0.7 a few judges with tiny simplices decide, however many draws there are.
    Infinite where no weights stand out above the others."""


def ranking_identified_set(
    observed: Float[Array, "k m"],
    confusion_draws: Float[Array, "r m m"],
    *,
    values: Sequence[float] | None = None,
) -> IdentifiedSet:
    r"""What is left to the prior when the number of labels is unlimited: the limit of the posterior of one judge.

    The labels then fix the observed points, and the judge's posterior is its prior, restricted to judges whose hull
    holds all points, times \(|\det \Theta|^{-K}\) (flat priors of the candidates). Draws of the prior are weighted so.

    Args:
        observed: Label distribution of each candidate.
        confusion_draws: Judges drawn from their prior, 10^5 or more: `numpyro.handlers.seed(prior, key)().confusion`
            of a `SimplexPrior` whose model has so many judges.
        values: Increasing values of the levels; `1, 2, ..., M` if None.

    Raises:
        ValueError: Fewer than 200 effective draws are left: draw more judges, or doubt the prior. (Under `jit`
            nothing can be raised, and `pairwise` and `score` are NaN.) Or an observed distribution does not sum to one.

    Example:
        >>> judges = jax.random.dirichlet(jax.random.key(0), jnp.eye(3) * 8 + 1, (20_000, 3))
        >>> seen = jnp.array([[0.15, 0.475, 0.375], [0.3175, 0.215, 0.4675]])
        >>> ranking_identified_set(seen, judges).attainable  # either may be better
        Array([[False,  True],
               [ True, False]], dtype=bool)

    Source: derived from Vossler et al. (2025), arXiv 2505.21972.
    """
    result = _ranking_identified_set(observed, confusion_draws, None if values is None else tuple(values))
    if isinstance(result.effective_draws, Tracer):
        return result
    total = observed.sum(-1)
    if (jnp.abs(total - 1) > 1e-5).any():
        raise ValueError(f"each observed distribution must sum to one, these sum to {total.tolist()}")
    if result.effective_draws < _FEWEST:
        raise ValueError(
            f"only {float(result.kept):.2%} of {confusion_draws.shape[0]} drawn judges can have given these labels, "
            f"worth {float(result.effective_draws):.0f} draws; {_FEWEST} are needed. Draw more judges, or take a "
            "prior under which the labels are less of a surprise."
        )
    return result


@eqx.filter_jit
def _ranking_identified_set(
    observed: Float[Array, "k m"], draws: Float[Array, "r m m"], values: tuple[float, ...] | None
) -> IdentifiedSet:
    k, m = observed.shape
    every = jnp.broadcast_to(observed.T, (draws.shape[0], m, k))
    prevalence, volume = solve_small(jnp.swapaxes(draws, 1, 2), every)
    prevalence = jnp.swapaxes(prevalence, 1, 2)
    fits = (prevalence >= 0).all((1, 2)) & ~is_singular(volume, m)
    log_weight = jnp.where(fits, -k * jnp.log(jnp.where(fits, jnp.abs(volume), 1)), -jnp.inf)
    best = jnp.where(fits.any(), log_weight.max(), 0)
    weight = jnp.exp(log_weight - best)
    total = weight.sum()
    effective = jnp.where(total > 0, total**2 / jnp.where(total > 0, (weight**2).sum(), 1), 0)
    share = jnp.where(effective >= _FEWEST, weight / jnp.where(total > 0, total, 1), jnp.nan)
    score = expected_score(jnp.where(fits[:, None, None], prevalence, 1 / m), values)
    above = score[:, :, None] > score[:, None, :]
    return IdentifiedSet(
        pairwise=jnp.einsum("r,rab->ab", share, above.astype(share.dtype)),
        attainable=(above & fits[:, None, None]).any(0),
        score=share @ score,
        kept=fits.mean(dtype=share.dtype),
        effective_draws=effective,
        pareto_k=smooth_weights(log_weight).pareto_k,
    )
