"""Annotator models that are tables of probabilities: each has an EM algorithm in closed form."""

import abc
from typing import Any, ClassVar, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from scorax.data import Annotations
from scorax.inference import AbstractSolver, weighted_total
from scorax.judges._annotators._annotator import AbstractClassAnnotator, label_evidence
from scorax.judges._expectation_maximisation import EMThenMinimise, Rows, normalised_rows
from scorax.judges._label_tally import LabelTally
from scorax.judges._latent_class import latent_class_log_prob
from scorax.judges._majority_vote import majority_vote

Model = TypeVar("Model", bound="AbstractTableAnnotator")


class AbstractTableAnnotator(AbstractClassAnnotator):
    """An annotator model all of whose parameters are probabilities that are multiplied and added."""

    solver: ClassVar[AbstractSolver] = EMThenMinimise()

    @abc.abstractmethod
    def rows(self) -> Rows:
        """Rows of probabilities, by the names of the parameters; a probability `p` is the row `(p, 1 - p)`."""

    @abc.abstractmethod
    def with_rows(self, rows: Rows) -> Any:
        """The model with other rows."""

    @abc.abstractmethod
    def log_tables(self, rows: Rows) -> tuple[Float[Array, " m"], Float[Array, "j m l"]]:
        """Log-probability of each true level, and of each label by judge and true level."""

    def log_prevalence(self) -> Float[Array, " m"]:
        """Log-probability of each true level."""
        return self.log_tables(self.rows())[0]

    def label_log_prob(self, effect: Float[Array, "q d"]) -> Float[Array, "j m q l"]:
        """Log-probability that a judge gives a label, by the item's true level."""
        return self.log_tables(self.rows())[1][:, :, None, :]

    def rows_log_likelihood(self, rows: Rows, data: Annotations | LabelTally) -> Float[Array, ""]:
        """The log-likelihood as a function of each probability by itself: what the EM algorithm differentiates."""
        prevalence, evidence = self._terms(rows, data)
        each = latent_class_log_prob(prevalence, evidence, gold=data.gold, has_gold=data.has_gold)
        return weighted_total(each, data)

    def at_majority_vote(self: Model, data: Annotations, *, smoothing: float = 1.0) -> Model:
        """The parameters that would be estimated if the vote of the majority were the truth: a good start.

        Args:
            data: Rows of labels; a gold label is the truth.
            smoothing: Labels added to each item and to each row of probabilities, spread evenly. A search or a sampler
                needs a start without zeros; `smoothing=0` is the customary start of the EM algorithm.

        Raises:
            ValueError: An id is out of range (looked for where the data are known).
        """
        if not isinstance(data.label, Tracer):
            self.check(data)
        rows = self.rows()
        share = majority_vote(data, self.n_levels, smoothing=smoothing).astype(self.dtype)

        def complete(rows: Rows) -> Float[Array, ""]:
            """Log-likelihood if the true level were known to be each level in these shares."""
            return weighted_total((share * sum(self._terms(rows, data))).sum(-1), data)

        slope = jax.grad(complete)(rows)
        counts = {name: row * slope[name] + smoothing / row.shape[-1] for name, row in rows.items()}
        return self.with_rows({name: normalised_rows(counts[name], row) for name, row in rows.items()})

    def _terms(self, rows: Rows, data: Annotations | LabelTally) -> tuple[Float[Array, "n m"], Float[Array, "n m"]]:
        log_prevalence, log_confusion = self.log_tables(rows)
        one = jnp.asarray(np.zeros(1), log_confusion.dtype)
        evidence = label_evidence(log_confusion[:, :, None, :], one, self._by_table(data))
        return jnp.broadcast_to(log_prevalence, evidence.shape), evidence


def pair(p: Float[Array, "*b"]) -> Float[Array, "*b 2"]:
    """A probability as a row."""
    return jnp.stack([p, 1 - p], axis=-1)
