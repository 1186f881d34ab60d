"""What all models of annotators share: labels that are independent given what is hidden of their item."""

import abc
import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from scorax.data import Annotations
from scorax.inference import AbstractModel, AbstractSolver, Newton
from scorax.judges._label_tally import LabelTally, check_annotations
from scorax.judges._latent_class import latent_class_log_prob
from scorax.judges._quadrature import gauss_hermite

_ANY = int(np.iinfo(np.int32).max)


class AbstractAnnotator(AbstractModel[Annotations | LabelTally]):
    """Labels are independent given an item's hidden level and hidden normal numbers; both are summed out.

    A judge who labels an item several times does so independently each time. Most models do not look at
    `data.candidate`.
    """

    takes_gold: ClassVar[bool] = True
    """Whether items have true levels, some of which may be known."""

    @property
    @abc.abstractmethod
    def n_judges(self) -> int | None:
        """Number of judges; None where all are alike, and their ids do not matter."""

    @property
    @abc.abstractmethod
    def n_levels(self) -> int:
        """Number of labels that can be given."""

    @property
    def n_candidates(self) -> int | None:
        """Number of candidates; None where items are not told apart by whose work they are."""
        return None

    @property
    def n_effects(self) -> int:
        """Number of hidden normal numbers of an item."""
        return 0

    @property
    def n_nodes(self) -> int:
        """Nodes of the quadrature over each of them."""
        return 1

    @abc.abstractmethod
    def label_log_prob(self, effect: Float[Array, "q d"]) -> Float[Array, "j m q l"]:
        """Log-probability that a judge gives a label, by the item's level and hidden standard normal numbers.

        A model without hidden levels has `m = 1`; one in which judges are alike, `j = 1`.
        """

    def evidence(self, data: Annotations | LabelTally) -> Float[Array, "n m"]:
        """Log-probability of each row's labels given each hidden level."""
        return self.evidence_at(*self.quadrature(), data)

    def evidence_at(
        self, effect: Float[Array, "q d"], log_weight: Float[Array, " q"], data: Annotations | LabelTally
    ) -> Float[Array, "n m"]:
        """The same, summed over given nodes of the hidden numbers."""
        return label_evidence(self.label_log_prob(effect), log_weight, self._by_table(data))

    def quadrature(self) -> tuple[Float[Array, "q d"], Float[Array, " q"]]:
        """Nodes of the hidden numbers and the logarithms of their weights."""
        return gauss_hermite(self.n_nodes, self.n_effects, self.dtype)

    def table_ids(self, data: Annotations) -> Int[Array, "n p"]:
        """Which table of `label_log_prob` each label comes from: its judge's."""
        return data.judge if self.n_judges is not None else jnp.zeros_like(data.judge)

    @property
    def dtype(self) -> jnp.dtype:
        """Of the parameters."""
        return jax.tree.leaves(self)[0].dtype

    def simulate(self, data: Annotations | LabelTally, *, key: PRNGKeyArray) -> Annotations:
        """New labels by the same judges of the same items, whose hidden levels and numbers are drawn anew.

        A gold label stays the truth of its item.

        Raises:
            ValueError: `data` are counted, and have lost who gave which label where.
        """
        if not isinstance(data, Annotations):
            raise ValueError("labels can be simulated for annotations, not for their tally: it has no places to fill")
        level_key, effect_key, label_key = jax.random.split(key, 3)
        level = self.draw_levels(data, key=level_key)
        rows = self.label_rows(data, level, self.draw_effects(data, key=effect_key))
        label = jax.random.categorical(label_key, rows).astype(data.label.dtype)
        return dataclasses.replace(data, label=jnp.where(data.where, label, data.label))

    @abc.abstractmethod
    def draw_levels(self, data: Annotations, *, key: PRNGKeyArray) -> Int[Array, " n"]:
        """A hidden level for each row; all 0 where there are none."""

    def draw_effects(self, data: Annotations, *, key: PRNGKeyArray) -> Float[Array, "n d"]:
        """Hidden normal numbers for each row."""
        return jax.random.normal(key, (data.label.shape[0], self.n_effects), self.dtype)

    def label_rows(
        self, data: Annotations, level: Int[Array, " n"], effect: Float[Array, "n d"]
    ) -> Float[Array, "n p l"]:
        """Log-probability of each label, for each place of each row given what is hidden."""
        table = self.table_ids(data)
        if self.n_effects == 0:
            return self.label_log_prob(effect[:1])[table, level[:, None], 0]

        def of_row(table: Int[Array, " p"], level: Int[Array, ""], effect: Float[Array, " d"]) -> Float[Array, "p l"]:
            return self.label_log_prob(effect[None])[table, level, 0]

        return jax.vmap(of_row)(table, level, effect)

    def check(self, data: Annotations | LabelTally) -> None:
        """Raise `ValueError` where data hold a judge, level or gold label that this model has no place for."""
        if not self.takes_gold:
            refuse_gold(self, data)
        if isinstance(data, Annotations):
            check_annotations(data, self.n_candidates or _ANY, self.n_judges or _ANY, self.n_levels)

    def condense(self, data: Annotations | LabelTally) -> Annotations | LabelTally:
        """Counted places, where that is the smaller or faster table; sparse annotations of many judges stay."""
        tables = (self.n_candidates or 1) * (self.n_judges or 1)
        if isinstance(data, Annotations) and tables * self.n_levels <= 8 * data.label.shape[1]:
            return LabelTally.of(dataclasses.replace(data, judge=self.table_ids(data)), tables, self.n_levels)
        return data

    def _by_table(self, data: Annotations | LabelTally) -> Annotations | LabelTally:
        """With the number of its table in place of each label's judge; what is counted already is by table."""
        if isinstance(data, LabelTally):
            return data
        return dataclasses.replace(data, judge=self.table_ids(data))


class AbstractClassAnnotator(AbstractAnnotator):
    """An annotator model whose items have hidden true levels, some of them known: the gold labels.

    A gold label takes the place of the sum over levels: its term alone is left.
    """

    @abc.abstractmethod
    def log_prevalence(self) -> Float[Array, " m"]:
        """Log-probability of each true level."""

    def log_prob(self, data: Annotations | LabelTally) -> Float[Array, " n"]:
        """Log-probability of each item's labels (and its gold label), the true level summed out."""
        evidence = self.evidence(data)
        prevalence = jnp.broadcast_to(self.log_prevalence(), evidence.shape)
        return latent_class_log_prob(prevalence, evidence, gold=data.gold, has_gold=data.has_gold)

    def label_posterior(self, data: Annotations | LabelTally) -> Float[Array, "n m"]:
        """Probability of each item's true level given its labels; one-hot where the gold label is known."""
        evidence = self.evidence(data)

        def total(prevalence: Float[Array, "n m"]) -> Float[Array, ""]:
            return latent_class_log_prob(prevalence, evidence, gold=data.gold, has_gold=data.has_gold).sum()

        # The derivative of a log-sum-exp is the share of each of its terms.
        return jax.grad(total)(jnp.broadcast_to(self.log_prevalence(), evidence.shape))

    def draw_levels(self, data: Annotations, *, key: PRNGKeyArray) -> Int[Array, " n"]:
        """True levels: those that are known, the others at random."""
        drawn = jax.random.categorical(key, self.log_prevalence(), shape=data.gold.shape)
        return jnp.where(data.has_gold, data.gold, drawn.astype(data.gold.dtype))


class AbstractScaleAnnotator(AbstractAnnotator):
    """An annotator model whose items lie somewhere along a line, and have no true levels.

    A gold label would say nothing, so `check` refuses it: an expert is one more judge.
    """

    # Its parameters are few; a quasi-Newton method stops where derivatives of the estimate are known to 1e-4 only.
    solver: ClassVar[AbstractSolver] = Newton()

    takes_gold: ClassVar[bool] = False

    def log_prob(self, data: Annotations | LabelTally) -> Float[Array, " n"]:
        """Log-probability of each item's labels, what is hidden of it integrated out."""
        return self.evidence(data)[:, 0]

    def draw_levels(self, data: Annotations, *, key: PRNGKeyArray) -> Int[Array, " n"]:
        """There are none."""
        return jnp.zeros_like(data.gold)


def hidden_mean(model: AbstractScaleAnnotator, data: Annotations | LabelTally) -> Float[Array, " n"]:
    """Posterior mean of each item's one hidden number: how its log-probability answers to a tilt of the weights."""
    effect, log_weight = model.quadrature()

    def tilted(tilt: Float[Array, ""]) -> Float[Array, " n"]:
        return model.evidence_at(effect, log_weight + tilt * effect[:, 0], data)[:, 0]

    return jax.jvp(tilted, (jnp.zeros((), effect.dtype),), (jnp.ones((), effect.dtype),))[1]


def refuse_gold(model: AbstractModel, data: Annotations | LabelTally) -> None:
    """Raise `ValueError` where there are gold labels for a model whose items have no true levels."""
    known = np.flatnonzero(np.asarray(data.has_gold))
    if known.size:
        raise ValueError(
            f"{known.size} rows have a gold label (first rows: {known[:3].tolist()}), but in {type(model).__name__} "
            "items have no true level. Enter them as the labels of one more judge, or leave them out: "
            "dataclasses.replace(data, has_gold=jnp.zeros_like(data.has_gold))."
        )


def label_evidence(
    table: Float[Array, "j m q l"], log_weight: Float[Array, " q"], data: Annotations | LabelTally
) -> Float[Array, "n m"]:
    """Log-probability of each row's labels given each hidden level, the nodes summed out."""
    by_label = jnp.moveaxis(table, 3, 1)
    if isinstance(data, LabelTally):
        # One matrix product: rows x (judges x labels) x (levels x nodes).
        evidence = jnp.tensordot(data.tally.astype(table.dtype), by_label, axes=2)
    else:
        where = data.where[..., None, None]
        evidence = jnp.where(where, by_label[data.judge, data.label], jnp.zeros((), table.dtype)).sum(1)
    if table.shape[2] == 1:
        return evidence[..., 0]
    return jax.nn.logsumexp(evidence + log_weight[None, None, :], axis=-1)


def right_or_wrong(
    log_right: Float[Array, "*b"], log_wrong: Float[Array, "*b"], n_levels: int
) -> Float[Array, "*b m l"]:
    """Log-probability of each label by true level, where all wrong labels are alike."""
    right = jnp.eye(n_levels, dtype=bool).reshape((1,) * log_right.ndim + (n_levels, n_levels))
    each = log_wrong - jnp.log(jnp.asarray(n_levels - 1, log_wrong.dtype))
    return jnp.where(right, log_right[..., None, None], each[..., None, None])


def check_sizes(n_judges: int, n_levels: int, n_candidates: int = 1) -> None:
    """Raise `ValueError` where there is no judge or candidate, or fewer than two levels."""
    if n_levels < 2 or n_judges < 1 or n_candidates < 1:
        raise ValueError(
            f"need at least 1 candidate, 1 judge and 2 levels, not {n_candidates}, {n_judges} and {n_levels}"
        )
