"""Items whose labels scatter more or less, whoever gives them."""

from typing import Any

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float
from numpyro.distributions import constraints

from scorax.inference import parameter
from scorax.judges._annotators._annotator import AbstractClassAnnotator
from scorax.judges._annotators._dawid_skene import right_six_in_ten


class ItemDifficulty(AbstractClassAnnotator):
    r"""Items with label frequencies of their own, scattered about those of their true level; all judges alike.

    The log-odds of an item's labels against the last one are normal, \(\theta_i \sim N(\eta_m, \chi_m^2)\), each by
    itself, and integrated out by Gauss-Hermite quadrature: 21 nodes of two levels, 11 by 11 of three, 7 in each
    dimension of four, 5 in each of more. It suits few levels: seven take 15 625 nodes, and more are refused.

    Example:
        >>> ItemDifficulty.init(3).logit[0].round(2).tolist()  # the first true level
        [1.1, 0.0]

    Source: Paun et al. (2018), doi:10.1162/tacl_a_00040; NumPyro's example annotation.py.
    """

    prevalence: Float[Array, " m"] = parameter(constraints.simplex)
    """How often an item is truly of each level."""
    logit: Float[Array, "m h"] = parameter(constraints.real)
    """Log-odds of each label but the last against the last, by true level, of a typical item."""
    spread: Float[Array, "m h"] = parameter(constraints.positive)
    """Standard deviation of items about them."""

    @classmethod
    def init(cls, n_levels: int, *, dtype: Any = float) -> "ItemDifficulty":
        """Even prevalences, labels that are right six times in ten, and items that scatter by one half.

        Raises:
            ValueError: Fewer than two levels.
        """
        prevalence, row = right_six_in_ten(1, n_levels, dtype)
        logit = against_the_last(row)
        return cls(prevalence, logit, jnp.full_like(logit, 0.5))

    @property
    def n_judges(self) -> None:
        """Judges are not told apart."""
        return None

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
        """Log-probability of a label by the item's true level and its deviations from it."""
        logits = self.logit[:, None, :] + self.spread[:, None, :] * effect[None, :, :]
        return log_softmax_with_last(logits)[None]

    def relabelled(self, order: Array) -> "ItemDifficulty":
        """The same likelihood with true level `order[m]` called `m`."""
        return ItemDifficulty(self.prevalence[order], self.logit[order], self.spread[order])

    def prior(self) -> "ItemDifficulty":
        """`prevalence ~ Dirichlet(1)`, `spread ~ HalfNormal(1)`, `logit ~ Normal(mean, 1)`.

        The mean of the log-odds favours the true level by 2: NumPyro's example has mean 0, where nothing says which
        level is which.
        """
        prevalence = numpyro.sample("prevalence", dist.Dirichlet(jnp.ones_like(self.prevalence)))
        unit = jnp.ones((), self.dtype)
        logit = numpyro.sample("logit", dist.Normal(favoured(self.n_levels, self.dtype), unit))
        spread = numpyro.sample("spread", dist.HalfNormal(jnp.ones_like(self.spread)))
        return ItemDifficulty(jnp.asarray(prevalence), jnp.asarray(logit), jnp.asarray(spread))


def nodes_of(n_levels: int) -> int:
    """Nodes in each dimension of the quadrature over an item's log-odds."""
    return {2: 21, 3: 11, 4: 7}.get(n_levels, 5)


def against_the_last(confusion: Float[Array, "m m"]) -> Float[Array, "m h"]:
    """Log-odds of each label but the last against the last."""
    log_confusion = jnp.log(confusion)
    return log_confusion[:, :-1] - log_confusion[:, -1:]


def favoured(n_levels: int, dtype: Any) -> Float[Array, "m h"]:
    """Log-odds of labels of which the right one is favoured by 2."""
    score = 2 * jnp.eye(n_levels, dtype=dtype)
    return score[:, :-1] - score[:, -1:]


def log_softmax_with_last(logits: Float[Array, "*b h"]) -> Float[Array, "*b l"]:
    """Log-probabilities of labels from log-odds against the last of them."""
    last = jnp.zeros((*logits.shape[:-1], 1), logits.dtype)
    return jax.nn.log_softmax(jnp.concatenate([logits, last], axis=-1), axis=-1)
