"""Judges who spam."""

from typing import Any

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float
from numpyro.distributions import constraints

from scorax.inference import parameter
from scorax.judges._annotators._annotator import check_sizes
from scorax.judges._annotators._tables import AbstractTableAnnotator, pair
from scorax.judges._expectation_maximisation import Rows
from scorax.judges._latent_class import floored_log
from scorax.numerics import available_dtype


class MACE(AbstractTableAnnotator):
    r"""Judges who give the true label, or spam: with a probability of their own they draw a label without looking.

    \(P(l \mid m) = (1 - s_j)\, 1[l = m] + s_j\, \xi_{jl}\). All true levels are equally frequent. The likelihood has
    several modes; that from the vote of the majority is one of them.

    Example:
        >>> ratings, names = sx.data.datasets.load_anesthesia()
        >>> start = MACE.init(5, 4).at_majority_vote(ratings)
        >>> sx.judges.fit_em(start, ratings).model.spam.round(1).tolist()
        [0.2, 0.3, 0.3, 0.2, 0.3]

    Source: Hovy, Berg-Kirkpatrick, Vaswani & Hovy (2013), aclanthology N13-1132; the prior: NumPyro's example
    annotation.py.
    """

    spam: Float[Array, " j"] = parameter(constraints.unit_interval)
    """How often a judge does not look."""
    strategy: Float[Array, "j m"] = parameter(constraints.simplex)
    """How often a judge who does not look says each label."""

    @classmethod
    def init(cls, n_judges: int, n_levels: int, *, dtype: Any = float) -> "MACE":
        """Judges who look every other time, and else say anything.

        Raises:
            ValueError: No judge, or fewer than two levels.
        """
        check_sizes(n_judges, n_levels)
        dtype = available_dtype(dtype)
        return cls(jnp.full(n_judges, 0.5, dtype), jnp.full((n_judges, n_levels), 1 / n_levels, dtype))

    @property
    def n_judges(self) -> int:
        """Number of judges."""
        return self.strategy.shape[-2]

    @property
    def n_levels(self) -> int:
        """Number of levels."""
        return self.strategy.shape[-1]

    def rows(self) -> Rows:
        """Whether a judge spams is a row, too."""
        return {"spam": pair(self.spam), "strategy": self.strategy}

    def with_rows(self, rows: Rows) -> "MACE":
        """The model with other rows."""
        return MACE(rows["spam"][..., 0], rows["strategy"])

    def log_tables(self, rows: Rows) -> tuple[Float[Array, " m"], Float[Array, "j m l"]]:
        """The truth with what is left of a judge's labels, on top of the strategy."""
        m = self.n_levels
        spam, copy = jnp.moveaxis(rows["spam"], -1, 0)[..., None, None]
        table = copy * jnp.eye(m, dtype=copy.dtype)[None] + spam * rows["strategy"][:, None, :]
        return jnp.full(m, -jnp.log(m), table.dtype), floored_log(table)

    def prior(self) -> "MACE":
        """`spam ~ Beta(1/2, 1/2)`, `strategy ~ Dirichlet(10)`."""
        half = jnp.full_like(self.spam, 0.5)
        spam = numpyro.sample("spam", dist.Beta(half, half))
        strategy = numpyro.sample("strategy", dist.Dirichlet(jnp.full_like(self.strategy, 10)))
        return MACE(jnp.asarray(spam), jnp.asarray(strategy))
