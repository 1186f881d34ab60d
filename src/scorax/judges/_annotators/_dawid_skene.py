"""Each judge with a confusion matrix of its own."""

from typing import Any

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float
from numpyro.distributions import constraints

from scorax.inference import parameter
from scorax.judges._annotators._annotator import check_sizes
from scorax.judges._annotators._tables import AbstractTableAnnotator
from scorax.judges._expectation_maximisation import Rows
from scorax.judges._latent_class import floored_log
from scorax.numerics import available_dtype


class DawidSkene(AbstractTableAnnotator):
    r"""Items with a hidden true level, and judges who confuse levels each in a way of their own.

    $$p(\text{labels}) = \sum_m \pi_m \prod_{j, l} \theta_{jml}^{n_{jl}}$$

    Levels have no order, and any other naming of the true levels is the same likelihood: the default prior, or the
    vote of the majority as a start, says which is which; `label_switching` says whether draws agree. Two judges on two
    levels do not identify the model. Where judges are worse than chance together, only gold labels can say so.

    Example:
        >>> ratings, names = sx.data.datasets.load_anesthesia()
        >>> start = DawidSkene.init(5, 4).at_majority_vote(ratings)
        >>> result = sx.judges.fit_em(start, ratings)
        >>> result.model.prevalence.round(2).tolist()
        [0.4, 0.42, 0.11, 0.07]

    Source: Dawid & Skene (1979), doi:10.2307/2346806; the prior: R package rater (Zhang et al. 2022).
    """

    prevalence: Float[Array, " m"] = parameter(constraints.simplex)
    """How often an item is truly of each level."""
    confusion: Float[Array, "j m m"] = parameter(constraints.simplex)
    """`confusion[j, m, l]`: how often judge `j` says `l` where the truth is `m`."""

    @classmethod
    def init(cls, n_judges: int, n_levels: int, *, dtype: Any = float) -> "DawidSkene":
        """Even prevalences and judges who are right six times in ten: a start that knows which level is which.

        Raises:
            ValueError: No judge, or fewer than two levels.
        """
        prevalence, row = right_six_in_ten(n_judges, n_levels, dtype)
        return cls(prevalence, jnp.broadcast_to(row, (n_judges, n_levels, n_levels)))

    @property
    def n_judges(self) -> int:
        """Number of judges."""
        return self.confusion.shape[-3]

    @property
    def n_levels(self) -> int:
        """Number of levels."""
        return self.prevalence.shape[-1]

    def rows(self) -> Rows:
        """Both parameters are rows."""
        return {"prevalence": self.prevalence, "confusion": self.confusion}

    def with_rows(self, rows: Rows) -> "DawidSkene":
        """The model with other rows."""
        return DawidSkene(**rows)

    def log_tables(self, rows: Rows) -> tuple[Float[Array, " m"], Float[Array, "j m l"]]:
        """The rows themselves."""
        return floored_log(rows["prevalence"]), floored_log(rows["confusion"])

    def relabelled(self, order: Array) -> "DawidSkene":
        """The same likelihood with true level `order[m]` called `m`."""
        return DawidSkene(self.prevalence[order], self.confusion[:, order])

    def prior(self) -> "DawidSkene":
        """`prevalence ~ Dirichlet(3)`; each row is worth 8 labels, of which 6 in 10 right and the others alike."""
        prevalence = numpyro.sample("prevalence", dist.Dirichlet(jnp.full_like(self.prevalence, 3)))
        concentration = jnp.broadcast_to(worth_eight_labels(self.n_levels, self.dtype), self.confusion.shape)
        confusion = numpyro.sample("confusion", dist.Dirichlet(concentration))
        return DawidSkene(jnp.asarray(prevalence), jnp.asarray(confusion))


def right_six_in_ten(n_judges: int, n_levels: int, dtype: Any) -> tuple[Float[Array, " m"], Float[Array, "m m"]]:
    """Even prevalences, and a confusion matrix that is right six times in ten and errs evenly."""
    check_sizes(n_judges, n_levels)
    dtype = available_dtype(dtype)
    eye = jnp.eye(n_levels, dtype=dtype)
    return jnp.full(n_levels, 1 / n_levels, dtype), 0.6 * eye + 0.4 / (n_levels - 1) * (1 - eye)


def worth_eight_labels(n_levels: int, dtype: Any) -> Float[Array, "m m"]:
    """Concentrations of the rows of a confusion matrix, as in the R package rater."""
    return 8 * right_six_in_ten(1, n_levels, dtype)[1]
