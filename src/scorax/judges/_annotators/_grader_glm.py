"""Scores as an ordered regression on who graded whom."""

from typing import Any

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float, Int
from numpyro.distributions import constraints

from scorax.data import Annotations
from scorax.inference import parameter
from scorax.judges._annotators._annotator import AbstractScaleAnnotator, check_sizes
from scorax.judges._annotators._ordered_logit import cutpoint_prior, even_cutpoints, ordered_log_prob
from scorax.numerics import available_dtype


class GraderGLM(AbstractScaleAnnotator):
    r"""Ordered logistic regression of labels on grader, candidate and their interaction.

    \(P(y \le l) = \sigma(c_l - g_j - b_k - v_{kj})\). Labels of one item are taken as independent, so standard errors
    are too small where several graders saw it: `fit(...).robust()` mends that, and `ManyFacetRasch` models it.

    Attributes:
        cutpoint: Where the levels meet: natural log-odds.
        grader: How much higher than others each grader's labels are, summing to zero.
        candidate: How much better than others each candidate is, summing to zero.
        interaction: What a grader gives a candidate beyond both, rows and columns summing to zero: its favourites.
            None leaves it out.

    Example:
        >>> scores, names = sx.data.datasets.load_autograder(2)
        >>> start = GraderGLM.init(len(names.candidates), len(names.judges), len(names.levels))
        >>> result = sx.inference.fit(start, scores, prior=start.prior)
        >>> result.model.interaction.shape  # [candidate, grader]
        (2, 3)

    Source: McCullagh (1980), doi:10.1111/j.2517-6161.1980.tb01109.x; the package hibayes (UK AI Security Institute),
    grader models.
    """

    cutpoint: Float[Array, " c"] = parameter(constraints.ordered_vector)
    grader: Float[Array, " j"] = parameter(constraints.zero_sum(1))
    candidate: Float[Array, " k"] = parameter(constraints.zero_sum(1))
    interaction: Float[Array, "k j"] | None = parameter(constraints.zero_sum(2))

    @classmethod
    def init(
        cls, n_candidates: int, n_judges: int, n_levels: int, *, interaction: bool = True, dtype: Any = float
    ) -> "GraderGLM":
        """No effects, on an even scale.

        Raises:
            ValueError: No candidate, no grader, or fewer than two levels.
        """
        check_sizes(n_judges, n_levels, n_candidates)
        dtype = available_dtype(dtype)
        together = jnp.zeros((n_candidates, n_judges), dtype) if interaction else None
        cutpoint = even_cutpoints(n_levels, dtype)
        return cls(cutpoint, jnp.zeros(n_judges, dtype), jnp.zeros(n_candidates, dtype), together)

    @property
    def n_candidates(self) -> int:
        """Number of candidates."""
        return self.candidate.shape[-1]

    @property
    def n_judges(self) -> int:
        """Number of graders."""
        return self.grader.shape[-1]

    @property
    def n_levels(self) -> int:
        """Number of levels."""
        return self.cutpoint.shape[-1] + 1

    def table_ids(self, data: Annotations) -> Int[Array, "n p"]:
        """A table for each candidate and grader."""
        return data.candidate[:, None] * self.n_judges + data.judge

    def label_log_prob(self, effect: Float[Array, "q d"]) -> Float[Array, "j m q l"]:
        """Log-probability of a label, by candidate and grader."""
        location = self.candidate[:, None] + self.grader[None, :]
        if self.interaction is not None:
            location = location + self.interaction
        return ordered_log_prob(location.reshape(-1), self.cutpoint)[:, None, None]

    def prior(self) -> "GraderGLM":
        """All effects `Normal(0, 1)` given that they sum to zero, cut points about even ones."""
        one = jnp.ones((), self.dtype)
        cutpoint = numpyro.sample("cutpoint", cutpoint_prior(self.n_levels, self.dtype))
        grader = numpyro.sample("grader", dist.ZeroSumNormal(one, self.grader.shape))
        candidate = numpyro.sample("candidate", dist.ZeroSumNormal(one, self.candidate.shape))
        interaction = None
        if self.interaction is not None:
            together = dist.ZeroSumNormal(one, self.interaction.shape)
            interaction = jnp.asarray(numpyro.sample("interaction", together))
        return GraderGLM(jnp.asarray(cutpoint), jnp.asarray(grader), jnp.asarray(candidate), interaction)
