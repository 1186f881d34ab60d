"""All judges with one confusion matrix."""

from typing import Any

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float
from numpyro.distributions import constraints

from scorax.inference import parameter
from scorax.judges._annotators._dawid_skene import right_six_in_ten, worth_eight_labels
from scorax.judges._annotators._tables import AbstractTableAnnotator
from scorax.judges._expectation_maximisation import Rows
from scorax.judges._latent_class import floored_log


class MultinomialAnnotator(AbstractTableAnnotator):
    """Items with a hidden true level, and labels that depend on it alone, whoever gives them.

    For labels whose judges are unknown, or too many to tell apart.

    Example:
        >>> ratings, names = sx.data.datasets.load_anesthesia()
        >>> start = MultinomialAnnotator.init(4).at_majority_vote(ratings)
        >>> jnp.diagonal(sx.judges.fit_em(start, ratings).model.confusion).round(2).tolist()
        [0.93, 0.8, 0.68, 1.0]

    Source: Paun et al. (2018), doi:10.1162/tacl_a_00040; NumPyro's example annotation.py.
    """

    prevalence: Float[Array, " m"] = parameter(constraints.simplex)
    """How often an item is truly of each level."""
    confusion: Float[Array, "m m"] = parameter(constraints.simplex)
    """`confusion[m, l]`: how often a label is `l` where the truth is `m`."""

    @classmethod
    def init(cls, n_levels: int, *, dtype: Any = float) -> "MultinomialAnnotator":
        """Even prevalences and labels that are right six times in ten.

        Raises:
            ValueError: Fewer than two levels.
        """
        return cls(*right_six_in_ten(1, n_levels, dtype))

    @property
    def n_judges(self) -> None:
        """Judges are not told apart."""
        return None

    @property
    def n_levels(self) -> int:
        """Number of levels."""
        return self.prevalence.shape[-1]

    def rows(self) -> Rows:
        """Both parameters are rows."""
        return {"prevalence": self.prevalence, "confusion": self.confusion}

    def with_rows(self, rows: Rows) -> "MultinomialAnnotator":
        """The model with other rows."""
        return MultinomialAnnotator(**rows)

    def log_tables(self, rows: Rows) -> tuple[Float[Array, " m"], Float[Array, "j m l"]]:
        """The rows themselves."""
        return floored_log(rows["prevalence"]), floored_log(rows["confusion"])[None]

    def relabelled(self, order: Array) -> "MultinomialAnnotator":
        """The same likelihood with true level `order[m]` called `m`."""
        return MultinomialAnnotator(self.prevalence[order], self.confusion[order])

    def prior(self) -> "MultinomialAnnotator":
        """`prevalence ~ Dirichlet(3)`; each row is worth 8 labels, of which 6 in 10 right and the others alike."""
        prevalence = numpyro.sample("prevalence", dist.Dirichlet(jnp.full_like(self.prevalence, 3)))
        confusion = numpyro.sample("confusion", dist.Dirichlet(worth_eight_labels(self.n_levels, self.dtype)))
        return MultinomialAnnotator(jnp.asarray(prevalence), jnp.asarray(confusion))
