"""Keeping the rubrics with which a judge finds the preference that is known, and what that keeps."""

import math

import equinox as eqx
import jax.numpy as jnp
from jax.scipy.special import betainc
from jaxtyping import Array, Bool, Float, Int

from scorax.numerics import masked_where

_RULES = ("unanimous", "quota", "bayes")
_SLACK = 1e-4
"""Votes: 0.7 * 10 is more than 7 in floating point."""


def consistency_filter(
    agree: Int[Array, "*b"],
    n_votes: Int[Array, "*#b"],
    *,
    rule: str = "unanimous",
    threshold: float | int | None = None,
) -> Bool[Array, "*b"]:
    r"""Which rubrics to keep: those with which a judge reproduces the known preference often enough.

    Args:
        agree: How many verdicts with this rubric agree with the known preference.
        n_votes: How many verdicts there are.
        rule: `"unanimous"`: all of them agree. `"quota"`: a share of at least `threshold`. `"bayes"`: the probability
            that it agrees more often than not, \(1 - I_{1/2}(c + 1, V - c + 1)\) under a flat prior, is at least
            `threshold`.
        threshold: In (0, 1]; 0.95 by default for `"bayes"`. `"unanimous"` has none.

    Returns:
        True for rubrics to keep; never for one without votes.

    Raises:
        ValueError: `rule` is unknown, or `threshold` is missing, superfluous or outside (0, 1].

    Example:
        >>> agree = jnp.array([4, 3, 2])
        >>> consistency_filter(agree, jnp.array([4])), consistency_filter(agree, jnp.array([4]), rule="bayes")
        (Array([ True, False, False], dtype=bool), Array([ True, False, False], dtype=bool))

    Source: Liu et al. (2025), "OpenRubrics", arXiv 2510.07743 (preference-label consistency).
    """
    if rule not in _RULES:
        raise ValueError(f"rule must be one of {_RULES}, not {rule!r}")
    if (rule == "unanimous") != (threshold is None) and rule != "bayes":
        raise ValueError(f"rule {rule!r} takes {'no' if rule == 'unanimous' else 'a'} threshold")
    least = 0.95 if threshold is None else threshold
    if not 0 < least <= 1:
        raise ValueError(f"threshold must be in (0, 1], not {threshold}")
    agree, n_votes = jnp.broadcast_arrays(agree, n_votes)
    some = n_votes > 0
    if rule == "unanimous":
        return some & (agree == n_votes)
    c, v = (x.astype(float) for x in (agree, n_votes))
    if rule == "quota":
        return some & (c >= jnp.ceil(least * v - _SLACK))
    return some & (betainc(v - c + 1, c + 1, jnp.full_like(c, 0.5)) >= least)


class FilterPurity(eqx.Module):
    """What a filter by votes lets through, of a mixture of good and noisy rubrics."""

    purity: Float[Array, "*b"]
    """Share of good ones among those that are kept. NaN where none ever is."""
    kept: Float[Array, "*b"]
    """Share of all that are kept; `1 / kept` is how many to draw for one that is."""
    kept_good: Float[Array, "*b"]
    kept_noisy: Float[Array, "*b"]

    def p_none(self, n_draws: int | Int[Array, "*#b"]) -> Float[Array, "*b"]:
        """Probability that none of so many rubrics is kept, `(1 - kept) ** n_draws`."""
        return (1 - self.kept) ** n_draws


def filter_purity(
    p_good: float | int | Float[Array, "*#b"],
    p_noisy: float | int | Float[Array, "*#b"],
    share_good: float | int | Float[Array, "*#b"],
    n_votes: int,
    quota: float | int = 1.0,
) -> FilterPurity:
    r"""How pure a set of rubrics is after a filter by votes.

    A rubric whose verdicts agree with the known preference with probability p survives with probability
    \(\sum_{c \ge \lceil qV \rceil} \binom{V}{c} p^c (1-p)^{V-c} = I_p(\lceil qV \rceil, V - \lceil qV \rceil + 1)\).

    Args:
        p_good: How often a verdict with a good rubric agrees, in [0, 1].
        p_noisy: How often one with a noisy rubric does: 1/2 for one that says nothing.
        share_good: Share of good rubrics before the filter.
        n_votes: Verdicts for each rubric, at least 1.
        quota: Share of them that have to agree, in (0, 1]; all by default.

    Returns:
        A :class:`FilterPurity`, differentiable with respect to the probabilities.

    Raises:
        ValueError: there are no votes, or `quota` is outside (0, 1].

    Example:
        >>> found = filter_purity(0.9, 0.5, 0.5, 4)
        >>> found.purity.round(4), found.kept.round(4)
        (Array(0.913, dtype=float32), Array(0.3593, dtype=float32))

    Source: derived from Liu et al. (2025), "OpenRubrics", arXiv 2510.07743.
    """
    if n_votes < 1:
        raise ValueError(f"n_votes must be at least 1, not {n_votes}")
    if not 0 < quota <= 1:
        raise ValueError(f"quota must be in (0, 1], not {quota}")
    needed = math.ceil(quota * n_votes - _SLACK)
    given = (p_good, p_noisy, share_good)
    dtype = jnp.result_type(*given)
    good, noisy, share = jnp.broadcast_arrays(*(jnp.asarray(x, dtype) for x in given))
    kept_good, kept_noisy = (_at_least(needed, n_votes, p) for p in (good, noisy))
    kept = share * kept_good + (1 - share) * kept_noisy
    some = kept > 0
    purity = share * kept_good / jnp.where(some, kept, jnp.ones_like(kept))
    return FilterPurity(masked_where(some, purity, jnp.nan), kept, kept_good, kept_noisy)


def _at_least(c: int, n: int, p: Float[Array, "*b"]) -> Float[Array, "*b"]:
    """Probability of at least `c` successes in `n`, as an incomplete beta function."""
    return betainc(jnp.full_like(p, c), jnp.full_like(p, n - c + 1), p)
