"""Rubrics of yes-or-no questions, and the Likert scales that they replace."""

import equinox as eqx
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from scorax.data import refuse
from scorax.judges._win_rate import redrawn_interval
from scorax.numerics import masked_where
from scorax.stats import multinomial_weights


class RubricScore(eqx.Module):
    """What a rubric gives each item by each rater."""

    score: Float[Array, "*b"]
    """In [0, 1], larger is better; NaN where `empty`."""
    empty: Bool[Array, "*b"]
    """No relevant question was answered."""


class BooleanRubric(eqx.Module):
    r"""Questions with the answer yes or no; the score is the weighted share of good answers.

    $$s_{nr} = \frac{\sum_c w_c \rho_{nc} a'_{nrc}}{\sum_c w_c \rho_{nc}}$$

    with \(a' = a\) where yes is good and \(1 - a\) where it is bad. Sums run over the questions that were answered.

    An adaptive rubric asks an item only what is relevant to it. That raises the agreement of raters where they answer
    irrelevant questions at random. Where all of them answer those with no, it lowers it: what everybody agrees on
    without looking is not agreement about the item.

    Raises:
        ValueError: a weight is negative or NaN, all are 0, or a polarity is neither 1 nor -1.

    Example:
        >>> rubric = BooleanRubric(weight=jnp.array([2.0, 1.0, 1.0]), polarity=jnp.array([1, 1, -1]))
        >>> rubric.score(jnp.array([[1.0, 0.0, 1.0], [1.0, 1.0, 0.0]])).score  # one item, two raters
        Array([0.5, 1. ], dtype=float32)

    Source: Mallinar et al. (2025), "A Scalable Framework for Evaluating Health Language Models", arXiv 2503.23339.
    """

    weight: Float[Array, " c"]
    """What a question counts, at least 0."""
    polarity: Int[Array, " c"]
    """+1 where yes is good, -1 where no is."""

    def __check_init__(self):
        if not any(isinstance(x, Tracer) for x in (self.weight, self.polarity)):
            refuse(~(self.weight >= 0), "a weight is negative or NaN", "Turn a penalty into polarity -1.")
            refuse(jnp.abs(self.polarity) != 1, "a polarity is neither 1 nor -1")
            if not (self.weight > 0).any():
                raise ValueError("all weights are 0: nothing would count")

    def score(
        self,
        answer: Float[Array, "*b r c"],
        *,
        relevance: Float[Array, "*b c"] | None = None,
        where: Bool[Array, "*b r c"] | None = None,
    ) -> RubricScore:
        """Score of each item by each rater.

        Args:
            answer: 1 for yes, 0 for no, or a probability of yes, of each question.
            relevance: In [0, 1]: whether a question is relevant to the item, or how probably; 1 by default.
            where: Questions that were answered; the others, and irrelevant ones, may hold anything.

        Returns:
            A :class:`RubricScore`.
        """
        weight = self.weight if relevance is None else jnp.broadcast_to(self.weight, relevance.shape) * relevance
        counted = masked_where(where, jnp.broadcast_to(weight[..., None, :], answer.shape), 0.0)
        given = masked_where(counted > 0, answer, 0.0)
        good = jnp.where(jnp.broadcast_to(self.polarity > 0, answer.shape), given, 1 - given)
        total = counted.sum(-1)
        some = total > 0
        share = (counted * good).sum(-1) / jnp.where(some, total, jnp.ones_like(total))
        return RubricScore(masked_where(some, share, jnp.nan), ~some)


def likert_score(
    rating: Float[Array, "*b c"], lowest: float | int, highest: float | int, *, where: Bool[Array, "*b c"] | None = None
) -> RubricScore:
    r"""Mean of ratings brought to [0, 1], \((x - \text{lowest}) / (\text{highest} - \text{lowest})\): what
    :class:`BooleanRubric` is compared with.

    Args:
        rating: One for each criterion; larger is better.
        lowest: Lowest rating of the scale.
        highest: Highest rating of the scale.
        where: Criteria that were rated; the others may hold anything.

    Returns:
        A :class:`RubricScore`.

    Raises:
        ValueError: `highest` is not above `lowest`.

    Example:
        >>> likert_score(jnp.array([5.0, 2.0]), 1, 5).score
        Array(0.625, dtype=float32)

    Source: Mallinar et al. (2025), arXiv 2503.23339.
    """
    if not highest > lowest:
        raise ValueError(f"highest must be above lowest, not {highest} against {lowest}")
    n = jnp.full(rating.shape[:-1], rating.shape[-1]) if where is None else where.sum(-1)
    some = n > 0
    total = masked_where(where, rating - lowest, 0.0).sum(-1) / (highest - lowest)
    mean = total / jnp.where(some, n, jnp.ones_like(n)).astype(total.dtype)
    return RubricScore(masked_where(some, mean, jnp.nan), ~some)


class ContextSensitivity(eqx.Module):
    """How much scores fall when context is taken away."""

    drop: Float[Array, ""]
    """Mean of the score with context less the score without it."""
    lower: Float[Array, ""]
    upper: Float[Array, ""]
    n_pairs: Int[Array, ""]


def context_sensitivity(
    score_with: Float[Array, " n"],
    score_without: Float[Array, " n"],
    *,
    key: PRNGKeyArray,
    where: Bool[Array, " n"] | None = None,
    cluster: Int[Array, " n"] | None = None,
    n_resamples: int = 2000,
    level: float = 0.95,
) -> ContextSensitivity:
    """Whether a rubric notices that answers were given without the relevant context: a paired difference.

    Args:
        score_with: Scores of answers that had the context.
        score_without: Scores of the same rows without it.
        key: The same key gives the same interval.
        where: Rows that have both scores; the others may hold anything.
        cluster: Which query a row belongs to: rows of one come and go together.
        n_resamples: How many times to redraw.
        level: Of the interval, in (0, 1).

    Returns:
        A :class:`ContextSensitivity` with a percentile interval.

    Raises:
        ValueError: no row takes part, or `level` is not inside (0, 1).

    Example:
        >>> found = context_sensitivity(jnp.array([0.9, 0.8, 0.7]), jnp.array([0.5, 0.6, 0.6]), key=jax.random.key(0))
        >>> found.drop.round(4), found.lower.round(4), found.upper.round(4)
        (Array(0.2333, dtype=float32), Array(0.1, dtype=float32), Array(0.4, dtype=float32))

    Source: Mallinar et al. (2025), arXiv 2503.23339; Efron (1981), doi:10.2307/3314608 (percentiles).
    """
    part = jnp.ones(score_with.shape, bool) if where is None else where
    difference = jnp.where(part, score_with, 0) - jnp.where(part, score_without, 0)
    counts = part.astype(difference.dtype)
    drawn = multinomial_weights(key, counts, n_resamples, cluster=cluster)
    ends = redrawn_interval(drawn, difference, None, level)
    drop = difference.sum() / counts.sum()
    return ContextSensitivity(drop, ends.lower, ends.upper, part.sum(dtype=jnp.int32))
