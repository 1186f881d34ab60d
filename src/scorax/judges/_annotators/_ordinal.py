"""Judges who read an ordered scale each in a way of their own."""

from typing import Any

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float
from numpyro.distributions import constraints

from scorax.data import Annotations
from scorax.inference import parameter
from scorax.judges._annotators._annotator import AbstractScaleAnnotator, check_sizes, hidden_mean
from scorax.judges._annotators._ordered_logit import cutpoint_prior, even_cutpoints, ordered_log_prob
from scorax.judges._label_tally import LabelTally
from scorax.numerics import available_dtype


class OrdinalAnnotator(AbstractScaleAnnotator):
    r"""Items along a line, and judges who cut it: severe or lenient ones, keen or dull ones.

    \(P(y_{ij} \le l) = \sigma(c_l + s_j - a_j t_i)\) with \(t_i \sim N(0, 1)\), integrated out by Gauss-Hermite
    quadrature of 21 nodes.

    Example:
        >>> ratings, names = sx.data.datasets.load_anesthesia()
        >>> result = sx.inference.fit(OrdinalAnnotator.init(5, 4), ratings, prior=OrdinalAnnotator.init(5, 4).prior)
        >>> int(result.model.severity.argmin())  # the most lenient: gives the highest ratings
        1

    Source: Samejima (1969), Psychometrika Monograph 17; Johnson (1996), doi:10.1080/01621459.1996.10476663.
    """

    discrimination: Float[Array, " j"] = parameter(constraints.positive)
    """How much a judge's labels tell about an item: 0 for who does not look."""
    cutpoint: Float[Array, " c"] = parameter(constraints.ordered_vector)
    """Where the levels meet, for a judge of middling severity: natural log-odds."""
    severity: Float[Array, " j"] = parameter(constraints.zero_sum(1))
    """How far a judge moves all cut points up, and so labels down."""

    @classmethod
    def init(cls, n_judges: int, n_levels: int, *, dtype: Any = float) -> "OrdinalAnnotator":
        """Equal judges on an even scale.

        Raises:
            ValueError: No judge, or fewer than two levels.
        """
        check_sizes(n_judges, n_levels)
        dtype = available_dtype(dtype)
        return cls(jnp.ones(n_judges, dtype), even_cutpoints(n_levels, dtype), jnp.zeros(n_judges, dtype))

    @property
    def n_judges(self) -> int:
        """Number of judges."""
        return self.severity.shape[-1]

    @property
    def n_levels(self) -> int:
        """Number of levels."""
        return self.cutpoint.shape[-1] + 1

    @property
    def n_effects(self) -> int:
        """The item's place on the line."""
        return 1

    @property
    def n_nodes(self) -> int:
        """Of the quadrature over it."""
        return 21

    def label_log_prob(self, effect: Float[Array, "q d"]) -> Float[Array, "j m q l"]:
        """Log-probability that a judge gives a label, by the item's place."""
        location = self.discrimination[:, None] * effect[None, :, 0] - self.severity[:, None]
        return ordered_log_prob(location, self.cutpoint)[:, None]

    def trait(self, data: Annotations | LabelTally) -> Float[Array, " n"]:
        """Where each item lies, given its labels: the posterior mean, in standard deviations of all items."""
        return hidden_mean(self, data)

    def prior(self) -> "OrdinalAnnotator":
        """`discrimination ~ LogNormal(0, 1/2)`, `severity ~ Normal(0, 1)` given its sum, cut points about even ones."""
        half = jnp.asarray(0.5, self.dtype)
        discrimination = numpyro.sample("discrimination", dist.LogNormal(jnp.zeros_like(self.discrimination), half))
        cutpoint = numpyro.sample("cutpoint", cutpoint_prior(self.n_levels, self.dtype))
        one = jnp.ones((), self.dtype)
        severity = numpyro.sample("severity", dist.ZeroSumNormal(one, self.severity.shape))
        return OrdinalAnnotator(jnp.asarray(discrimination), jnp.asarray(cutpoint), jnp.asarray(severity))
