"""Each judge with one probability of being right."""

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


class OneCoinDawidSkene(AbstractTableAnnotator):
    """Judges who are right with a probability of their own, whatever the true level, and else err evenly.

    With even prevalences its posterior of two levels is a vote in which each judge weighs `log(a / (1 - a))`.

    Example:
        >>> ratings, names = sx.data.datasets.load_anesthesia()
        >>> start = OneCoinDawidSkene.init(5, 4).at_majority_vote(ratings)
        >>> sx.judges.fit_em(start, ratings).model.accuracy.round(2).tolist()
        [0.89, 0.7, 0.81, 0.85, 0.81]

    Source: Zhang, Chen, Zhou & Jordan (2014), arXiv:1406.3824; Dawid & Skene (1979), doi:10.2307/2346806.
    """

    prevalence: Float[Array, " m"] = parameter(constraints.simplex)
    """How often an item is truly of each level."""
    accuracy: Float[Array, " j"] = parameter(constraints.unit_interval)
    """How often each judge is right."""

    @classmethod
    def init(cls, n_judges: int, n_levels: int, *, dtype: Any = float) -> "OneCoinDawidSkene":
        """Even prevalences and judges who are right six times in ten.

        Raises:
            ValueError: No judge, or fewer than two levels.
        """
        check_sizes(n_judges, n_levels)
        dtype = available_dtype(dtype)
        return cls(jnp.full(n_levels, 1 / n_levels, dtype), jnp.full(n_judges, 0.6, dtype))

    @property
    def n_judges(self) -> int:
        """Number of judges."""
        return self.accuracy.shape[-1]

    @property
    def n_levels(self) -> int:
        """Number of levels."""
        return self.prevalence.shape[-1]

    def rows(self) -> Rows:
        """An accuracy is the row of right and wrong."""
        return {"prevalence": self.prevalence, "accuracy": pair(self.accuracy)}

    def with_rows(self, rows: Rows) -> "OneCoinDawidSkene":
        """The model with other rows."""
        return OneCoinDawidSkene(rows["prevalence"], rows["accuracy"][..., 0])

    def log_tables(self, rows: Rows) -> tuple[Float[Array, " m"], Float[Array, "j m l"]]:
        """Right on the diagonal, wrong spread over the rest."""
        right, wrong = jnp.moveaxis(floored_log(rows["accuracy"]), -1, 0)
        return floored_log(rows["prevalence"]), right_or_wrong(right, wrong, self.n_levels)

    def prior(self) -> "OneCoinDawidSkene":
        """`prevalence ~ Dirichlet(3)`, `accuracy ~ Beta(4.8, 3.2)`."""
        prevalence = numpyro.sample("prevalence", dist.Dirichlet(jnp.full_like(self.prevalence, 3)))
        right = jnp.full_like(self.accuracy, 4.8)
        accuracy = numpyro.sample("accuracy", dist.Beta(right, 8 - right))
        return OneCoinDawidSkene(jnp.asarray(prevalence), jnp.asarray(accuracy))
