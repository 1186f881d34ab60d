"""Candidates, items and judges on one line."""

from typing import Any

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float, Int
from numpyro.distributions import constraints

from scorax.data import Annotations
from scorax.inference import parameter
from scorax.judges._annotators._annotator import AbstractScaleAnnotator, check_sizes, hidden_mean
from scorax.judges._label_tally import LabelTally
from scorax.numerics import available_dtype


class ManyFacetRasch(AbstractScaleAnnotator):
    r"""Able candidates, hard items and severe judges, all in the same log-odds of a level against the one below.

    \(\log (P_l / P_{l-1}) = B_k - D_i - C_j - F_l\). The difficulty of a row is normal, \(D_i \sim N(0, \sigma^2)\),
    and integrated out by Gauss-Hermite quadrature of 21 nodes: rows of several candidates do not share it, as
    `Annotations` do not say which rows answer the same question.

    Attributes:
        ability: \(B_k\), of each candidate.
        severity: \(C_j\), of each judge, summing to zero.
        step: \(F_l\), how much harder each level is to reach than the one below, summing to zero.
        difficulty_spread: \(\sigma\), of the items.

    Example:
        >>> scores, names = sx.data.datasets.load_prometheus()
        >>> start = ManyFacetRasch.init(len(names.candidates), len(names.judges), len(names.levels))
        >>> result = sx.inference.fit(start, scores, prior=start.prior)
        >>> names.candidates[int(result.model.ability.argmin())]
        'wizardlm_13b'

    Source: Linacre (1989), "Many-facet Rasch measurement"; Andrich (1978), doi:10.1007/BF02293814.
    """

    ability: Float[Array, " k"]
    severity: Float[Array, " j"] = parameter(constraints.zero_sum(1))
    step: Float[Array, " c"] = parameter(constraints.zero_sum(1))
    difficulty_spread: Float[Array, ""] = parameter(constraints.positive)

    @classmethod
    def init(cls, n_candidates: int, n_judges: int, n_levels: int, *, dtype: Any = float) -> "ManyFacetRasch":
        """Everything in the middle, items that differ by 1.

        Raises:
            ValueError: No candidate, no judge, or fewer than two levels.
        """
        check_sizes(n_judges, n_levels, n_candidates)
        dtype = available_dtype(dtype)
        return cls(
            jnp.zeros(n_candidates, dtype),
            jnp.zeros(n_judges, dtype),
            jnp.zeros(n_levels - 1, dtype),
            jnp.ones((), dtype),
        )

    @property
    def n_candidates(self) -> int:
        """Number of candidates."""
        return self.ability.shape[-1]

    @property
    def n_judges(self) -> int:
        """Number of judges."""
        return self.severity.shape[-1]

    @property
    def n_levels(self) -> int:
        """Number of levels."""
        return self.step.shape[-1] + 1

    @property
    def n_effects(self) -> int:
        """The item's difficulty."""
        return 1

    @property
    def n_nodes(self) -> int:
        """Of the quadrature over it."""
        return 21

    def table_ids(self, data: Annotations) -> Int[Array, "n p"]:
        """A table for each candidate and judge."""
        return data.candidate[:, None] * self.n_judges + data.judge

    def label_log_prob(self, effect: Float[Array, "q d"]) -> Float[Array, "j m q l"]:
        """Log-probability of a label, by candidate and judge and the item's difficulty."""
        mean = (self.ability[:, None] - self.severity[None, :]).reshape(-1)
        location = mean[:, None] - self.difficulty_spread * effect[None, :, 0]
        level = jnp.arange(self.n_levels, dtype=self.dtype)
        climbed = jnp.concatenate([jnp.zeros(1, self.dtype), jnp.cumsum(self.step)])
        logits = location[..., None] * level[None, None, :] - climbed[None, None, :]
        return jax.nn.log_softmax(logits, axis=-1)[:, None]

    def difficulty(self, data: Annotations | LabelTally) -> Float[Array, " n"]:
        """How hard each row was, given its labels: the posterior mean, in log-odds."""
        return self.difficulty_spread * hidden_mean(self, data)

    def prior(self) -> "ManyFacetRasch":
        """`ability ~ Normal(0, 2)`, `severity` and `step ~ Normal(0, 1)` given sums, spread `~ HalfNormal(1)`."""
        one = jnp.ones((), self.dtype)
        ability = numpyro.sample("ability", dist.Normal(jnp.zeros_like(self.ability), 2 * one))
        severity = numpyro.sample("severity", dist.ZeroSumNormal(one, self.severity.shape))
        step = numpyro.sample("step", dist.ZeroSumNormal(one, self.step.shape))
        spread = numpyro.sample("difficulty_spread", dist.HalfNormal(one))
        return ManyFacetRasch(jnp.asarray(ability), jnp.asarray(severity), jnp.asarray(step), jnp.asarray(spread))
