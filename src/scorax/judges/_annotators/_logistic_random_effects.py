"""Judges who err each in a way of their own, on items that are easy or hard."""

from typing import Any

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float
from numpyro.distributions import constraints

from scorax.inference import parameter
from scorax.judges._annotators._annotator import AbstractClassAnnotator
from scorax.judges._annotators._dawid_skene import right_six_in_ten
from scorax.judges._annotators._item_difficulty import against_the_last, favoured, log_softmax_with_last, nodes_of


class LogisticRandomEffects(AbstractClassAnnotator):
    r"""`DawidSkene` with items that move the labels of all their judges: errors that depend on each other.

    The log-odds of judge \(j\)'s labels of item \(i\) of true level \(m\), against the last label, are
    \(\beta_{jm} - \theta_i\) with \(\theta_i \sim N(0, \chi_m^2)\), integrated out as in `ItemDifficulty`.

    Example:
        >>> LogisticRandomEffects.init(5, 3).logit.shape  # [judge, true level, label but the last]
        (5, 3, 2)

    Source: Paun et al. (2018), doi:10.1162/tacl_a_00040; NumPyro's example annotation.py.
    """

    prevalence: Float[Array, " m"] = parameter(constraints.simplex)
    """How often an item is truly of each level."""
    logit: Float[Array, "j m h"] = parameter(constraints.real)
    """Log-odds of each label but the last against the last, by judge and true level, of a typical item."""
    spread: Float[Array, "m h"] = parameter(constraints.positive)
    """Standard deviation of items about them."""

    @classmethod
    def init(cls, n_judges: int, n_levels: int, *, dtype: Any = float) -> "LogisticRandomEffects":
        """Even prevalences, judges who are right six times in ten, and items that scatter by one half.

        Raises:
            ValueError: No judge, or fewer than two levels.
        """
        prevalence, row = right_six_in_ten(n_judges, n_levels, dtype)
        logit = against_the_last(row)
        return cls(prevalence, jnp.broadcast_to(logit, (n_judges, *logit.shape)), jnp.full_like(logit, 0.5))

    @property
    def n_judges(self) -> int:
        """Number of judges."""
        return self.logit.shape[-3]

    @property
    def n_levels(self) -> int:
        """Number of levels."""
        return self.prevalence.shape[-1]

    @property
    def n_effects(self) -> int:
        """A log-odds for each label but one."""
        return self.n_levels - 1

    @property
    def n_nodes(self) -> int:
        """Of the quadrature, in each dimension."""
        return nodes_of(self.n_levels)

    def log_prevalence(self) -> Float[Array, " m"]:
        """Log-probability of each true level."""
        return jnp.log(self.prevalence)

    def label_log_prob(self, effect: Float[Array, "q d"]) -> Float[Array, "j m q l"]:
        """Log-probability that a judge gives a label, by the item's true level and its deviations."""
        moved = self.spread[:, None, :] * effect[None, :, :]
        return log_softmax_with_last(self.logit[:, :, None, :] - moved[None])

    def relabelled(self, order: Array) -> "LogisticRandomEffects":
        """The same likelihood with true level `order[m]` called `m`."""
        return LogisticRandomEffects(self.prevalence[order], self.logit[:, order], self.spread[order])

    def prior(self) -> "LogisticRandomEffects":
        """Judges about a common matrix: `mean_logit ~ Normal(mean, 1)`, `logit_spread ~ HalfNormal(1)`; non-centred.

        And `prevalence ~ Dirichlet(1)`, `spread ~ HalfNormal(1)`. The mean favours the true level by 2: NumPyro's
        example has mean 0, where nothing says which level is which.
        """
        prevalence = numpyro.sample("prevalence", dist.Dirichlet(jnp.ones_like(self.prevalence)))
        unit = jnp.ones((), self.dtype)
        mean = jnp.asarray(numpyro.sample("mean_logit", dist.Normal(favoured(self.n_levels, self.dtype), unit)))
        about = jnp.asarray(numpyro.sample("logit_spread", dist.HalfNormal(jnp.ones_like(mean))))
        offset = jnp.asarray(numpyro.sample("logit_offset", dist.Normal(jnp.zeros_like(self.logit), unit)))
        spread = jnp.asarray(numpyro.sample("spread", dist.HalfNormal(jnp.ones_like(self.spread))))
        return LogisticRandomEffects(jnp.asarray(prevalence), mean[None] + about[None] * offset, spread)
