"""Each judge with a probability of being right for each true level."""

from typing import Any

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float
from numpyro.distributions import constraints

from scorax.inference import parameter
from scorax.judges._annotators._annotator import check_sizes, right_or_wrong
from scorax.judges._annotators._tables import AbstractTableAnnotator, pair
from scorax.judges._expectation_maximisation import Rows
from scorax.judges._latent_class import floored_log
from scorax.numerics import available_dtype


class ClassConditionalDawidSkene(AbstractTableAnnotator):
    """Judges who are right with a probability that depends on the true level, and else err evenly.

    Between `OneCoinDawidSkene` and `DawidSkene`; with two levels it is the latter.

    Example:
        >>> ratings, names = sx.data.datasets.load_anesthesia()
        >>> start = ClassConditionalDawidSkene.init(5, 4).at_majority_vote(ratings)
        >>> sx.judges.fit_em(start, ratings).model.accuracy[0].round(2).tolist()
        [0.91, 0.88, 0.87, 1.0]

    Source: R package rater (Zhang et al. 2022).
    """

    prevalence: Float[Array, " m"] = parameter(constraints.simplex)
    """How often an item is truly of each level."""
    accuracy: Float[Array, "j m"] = parameter(constraints.unit_interval)
    """How often each judge is right where the truth is `m`."""

    @classmethod
    def init(cls, n_judges: int, n_levels: int, *, dtype: Any = float) -> "ClassConditionalDawidSkene":
        """Even prevalences and judges who are right six times in ten.

        Raises:
            ValueError: No judge, or fewer than two levels.
        """
        check_sizes(n_judges, n_levels)
        dtype = available_dtype(dtype)
        return cls(jnp.full(n_levels, 1 / n_levels, dtype), jnp.full((n_judges, n_levels), 0.6, dtype))

    @property
    def n_judges(self) -> int:
        """Number of judges."""
        return self.accuracy.shape[-2]

    @property
    def n_levels(self) -> int:
        """Number of levels."""
        return self.prevalence.shape[-1]

    def rows(self) -> Rows:
        """An accuracy is the row of right and wrong."""
        return {"prevalence": self.prevalence, "accuracy": pair(self.accuracy)}

    def with_rows(self, rows: Rows) -> "ClassConditionalDawidSkene":
        """The model with other rows."""
        return ClassConditionalDawidSkene(rows["prevalence"], rows["accuracy"][..., 0])

    def log_tables(self, rows: Rows) -> tuple[Float[Array, " m"], Float[Array, "j m l"]]:
        """Right on the diagonal, wrong spread over the rest of the row."""
        right, wrong = jnp.moveaxis(floored_log(rows["accuracy"]), -1, 0)
        m = self.n_levels
        # Of each true level only its own row: the diagonal of a table that holds all.
        table = jnp.diagonal(right_or_wrong(right, wrong, m), axis1=1, axis2=2)
        return floored_log(rows["prevalence"]), jnp.swapaxes(table, 1, 2)

    def prior(self) -> "ClassConditionalDawidSkene":
        """`prevalence ~ Dirichlet(3)`, `accuracy ~ Beta(4.8, 3.2)`."""
        prevalence = numpyro.sample("prevalence", dist.Dirichlet(jnp.full_like(self.prevalence, 3)))
        right = jnp.full_like(self.accuracy, 4.8)
        accuracy = numpyro.sample("accuracy", dist.Beta(right, 8 - right))
        return ClassConditionalDawidSkene(jnp.asarray(prevalence), jnp.asarray(accuracy))
