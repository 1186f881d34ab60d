"""Judges whose errors depend on the true level alone, and candidates as mixtures of levels."""

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray
from numpyro.distributions import constraints

from scorax.data import Annotations
from scorax.inference import AbstractModel, AbstractSolver, parameter
from scorax.judges._expectation_maximisation import EMThenMinimise, normalised_rows
from scorax.judges._label_tally import LabelTally, check_annotations
from scorax.judges._majority_vote import majority_vote
from scorax.judges._simplex_geometry import expected_score, level_values
from scorax.numerics import available_dtype

# A stand-in for log 0 that may be added up a million times in single precision.
_LOG_ZERO = -1e30


def floored_log(p: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """`log p`, and a large negative number with gradient 0 at `p = 0`: 0 labels of probability 0 add 0, not NaN."""
    positive = p > 0
    return jnp.where(positive, jnp.log(jnp.where(positive, p, jnp.ones_like(p))), jnp.asarray(_LOG_ZERO, p.dtype))


def latent_class_log_prob(
    log_prevalence: Float[Array, "*b m"],
    evidence: Float[Array, "*b m"],
    *,
    gold: Int[Array, "*b"] | None = None,
    has_gold: Bool[Array, "*b"] | None = None,
) -> Float[Array, "*b"]:
    r"""Log-probability of an item's labels with its true level summed out.

    $$\log p = \log \sum_m \exp\Big[ \log \pi_m + \sum_{j, l} n_{jl} \log \theta_{jml} \Big]$$

    Args:
        log_prevalence: Log-probability of each true level.
        evidence: Log-probability of all labels of the item, given each true level.
        gold: The true level, where it is known: the sum is then its term alone.
        has_gold: Where it is known; with `gold`.

    Returns:
        Natural-log probability of each item's labels (and gold label), at most 0 up to rounding.

    Example:
        >>> latent_class_log_prob(jnp.log(jnp.array([0.5, 0.5])), jnp.log(jnp.array([0.9, 0.2])))
        Array(-0.597837, dtype=float32)

    Source: Dawid & Skene (1979), doi:10.2307/2346806; gold labels: Vossler et al. (2025), arXiv 2505.21972.
    """
    return jax.nn.logsumexp(latent_class_joint(log_prevalence, evidence, gold, has_gold), axis=-1)


def latent_class_joint(
    log_prevalence: Float[Array, "*b m"],
    evidence: Float[Array, "*b m"],
    gold: Int[Array, "*b"] | None,
    has_gold: Bool[Array, "*b"] | None,
) -> Float[Array, "*b m"]:
    """Log-probability of an item's labels together with each true level; next to none for what gold labels rule out."""
    joint = log_prevalence + evidence
    if gold is None or has_gold is None:
        return joint
    levels = jnp.arange(joint.shape[-1], dtype=gold.dtype).reshape((1,) * gold.ndim + (-1,))
    possible = ~has_gold[..., None] | (gold[..., None] == levels)
    return jnp.where(possible, joint, jnp.asarray(_LOG_ZERO, joint.dtype))


class SimplexJudge(AbstractModel[Annotations | LabelTally]):
    """Latent true levels, judges that confuse them, candidates that are mixtures of them.

    Given an item's true level its labels are independent, and a judge errs alike for every candidate (strong
    constancy). One candidate, or items that are not told apart, is the model of Dawid & Skene. The likelihood is the
    joint one of each item's labels; `marginal_annotations` gives the marginal one, judge by judge.

    With one judge and three or more levels the order of the candidates is not identified by any amount of data: the
    prior decides, so look at several (`SimplexPrior`). Two or more judges identify it only as far as their errors are
    independent given the truth.

    Example:
        >>> model = SimplexJudge.init(n_candidates=2, n_judges=3, n_levels=3)
        >>> model.expected_score()
        Array([2., 2.], dtype=float32)

    Source: Vossler, Xia, Mai & Feng (2025), arXiv 2505.21972; Dawid & Skene (1979), doi:10.2307/2346806.
    """

    prevalence: Float[Array, "k m"] = parameter(constraints.simplex)
    """How often a candidate's answers are truly of each level."""
    confusion: Float[Array, "j m m"] = parameter(constraints.simplex)
    """`confusion[j, m, l]`: how often judge `j` says `l` where the truth is `m`."""
    values: tuple[float, ...] = eqx.field(static=True)  # pyright: ignore[reportGeneralTypeIssues]
    """Value of each level, increasing."""

    solver: ClassVar[AbstractSolver] = EMThenMinimise()

    @classmethod
    def init(
        cls,
        n_candidates: int,
        n_judges: int,
        n_levels: int,
        *,
        values: Sequence[float] | None = None,
        dtype: Any = float,
    ) -> "SimplexJudge":
        """Even prevalences and judges who are right six times in ten: a start that knows which level is which.

        Args:
            n_candidates: Number of candidates; 1 where items are not told apart.
            n_judges: Number of judges.
            n_levels: Number of levels, at least 2.
            values: Increasing values of the levels; `1, 2, ...` if None.
            dtype: Of the parameters.

        Raises:
            ValueError: Fewer than two levels, no judge, no candidate, or bad `values`.
        """
        if n_levels < 2 or n_judges < 1 or n_candidates < 1:
            raise ValueError(
                f"need at least 1 candidate, 1 judge and 2 levels, not {n_candidates}, {n_judges} and {n_levels}"
            )
        dtype = available_dtype(dtype)
        eye = jnp.eye(n_levels, dtype=dtype)
        row = 0.6 * eye + 0.4 / (n_levels - 1) * (1 - eye)
        return cls(
            jnp.full((n_candidates, n_levels), 1 / n_levels, dtype),
            jnp.broadcast_to(row, (n_judges, n_levels, n_levels)),
            level_values(values, n_levels),
        )

    @classmethod
    def from_majority_vote(
        cls,
        data: Annotations,
        n_candidates: int,
        n_judges: int,
        n_levels: int,
        *,
        values: Sequence[float] | None = None,
        smoothing: float = 1.0,
    ) -> "SimplexJudge":
        """The parameters that would be estimated if the vote of the majority were the truth: a good start for `fit`.

        Args:
            data: Rows of labels.
            n_candidates: Number of candidates.
            n_judges: Number of judges.
            n_levels: Number of levels.
            values: Increasing values of the levels; `1, 2, ...` if None.
            smoothing: Labels added to each item, each candidate and each row of a judge, spread evenly. A search needs
                a start without zeros; `smoothing=0` is the customary start of the EM algorithm.

        Raises:
            ValueError: An id is out of range, or as :meth:`init`.
        """
        check_annotations(data, n_candidates, n_judges, n_levels)
        empty = cls.init(n_candidates, n_judges, n_levels, values=values, dtype=data.weight.dtype)
        shares = data.weight[:, None] * majority_vote(data, n_levels, smoothing=smoothing)
        tally = data.tally(n_judges, n_levels).astype(shares.dtype)
        by_candidate = jnp.zeros_like(empty.prevalence).at[data.candidate].add(shares)
        by_judge = jnp.einsum("nm,njl->jml", shares, tally)
        return cls(
            normalised_rows(by_candidate + smoothing / n_levels, empty.prevalence),
            normalised_rows(by_judge + smoothing / n_levels, empty.confusion),
            empty.values,
        )

    @property
    def n_levels(self) -> int:
        """Number of levels."""
        return self.prevalence.shape[-1]

    def log_prob(self, data: Annotations | LabelTally) -> Float[Array, " n"]:
        """Log-probability of each item's labels, its true level summed out."""
        evidence = _evidence(floored_log(self.confusion), data)
        log_prevalence = floored_log(self.prevalence)[data.candidate]
        return latent_class_log_prob(log_prevalence, evidence, gold=data.gold, has_gold=data.has_gold)

    def marginal_log_prob(self, counts: Float[Array, "j k m"]) -> Float[Array, "j k"]:
        """Log-probability of each judge's labels of each candidate, one judge at a time.

        To fit it, give `marginal_annotations` to `fit` or `sample`.

        Args:
            counts: How often judge `j` gave label `m` to candidate `k`.
        """
        observed = floored_log(self.observed_distribution())
        return (counts.astype(observed.dtype) * observed).sum(-1)

    def observed_distribution(self) -> Float[Array, "j k m"]:
        """How often each judge gives each label to each candidate."""
        return jnp.einsum("km,jml->jkl", self.prevalence, self.confusion)

    def label_posterior(self, data: Annotations | LabelTally) -> Float[Array, "n m"]:
        """Probability of each item's true level given its labels; one-hot where the gold label is known."""
        evidence = _evidence(floored_log(self.confusion), data)
        joint = latent_class_joint(floored_log(self.prevalence)[data.candidate], evidence, data.gold, data.has_gold)
        return jax.nn.softmax(joint, axis=-1)

    def expected_score(self) -> Float[Array, " k"]:
        """Mean true level value of each candidate. Larger is better."""
        return expected_score(self.prevalence, self.values)

    def prior(self) -> "SimplexJudge":
        """`SimplexPrior` with its default settings."""
        from scorax.judges._confusion_priors import SimplexPrior  # which is made of models

        return SimplexPrior(self)()

    def simulate(self, data: Annotations | LabelTally, *, key: PRNGKeyArray) -> Annotations:
        """New labels by the same judges of the same items; a gold label stays the truth of its item.

        Raises:
            ValueError: `data` are counted, and have lost who gave which label where.
        """
        if not isinstance(data, Annotations):
            raise ValueError("labels can be simulated for annotations, not for their tally: it has no places to fill")
        truth_key, label_key = jax.random.split(key)
        drawn = jax.random.categorical(truth_key, floored_log(self.prevalence)[data.candidate])
        truth = jnp.where(data.has_gold, data.gold, drawn.astype(data.gold.dtype))
        rows = floored_log(self.confusion)[data.judge, truth[:, None]]
        label = jax.random.categorical(label_key, rows).astype(data.label.dtype)
        return dataclasses.replace(data, label=jnp.where(data.where, label, data.label))

    def check(self, data: Annotations | LabelTally) -> None:
        """Raise `ValueError` where data hold a judge, level or candidate that this model has not."""
        if isinstance(data, Annotations):
            check_annotations(data, self.prevalence.shape[0], *self.confusion.shape[:2])

    def condense(self, data: Annotations | LabelTally) -> Annotations | LabelTally:
        """Counted places, where that is the smaller or faster table; sparse annotations of many judges stay."""
        j, m, _ = self.confusion.shape
        if isinstance(data, Annotations) and j * m <= 8 * data.label.shape[1]:
            return LabelTally.of(data, j, m)
        return data


def _evidence(log_confusion: Float[Array, "j m m"], data: Annotations | LabelTally) -> Float[Array, "n m"]:
    """Log-probability of each row's labels given each true level."""
    by_label = jnp.swapaxes(log_confusion, 1, 2)
    if isinstance(data, LabelTally):
        return jnp.tensordot(data.tally.astype(log_confusion.dtype), by_label, axes=2)
    return jnp.where(data.where[..., None], by_label[data.judge, data.label], jnp.zeros((), by_label.dtype)).sum(1)
