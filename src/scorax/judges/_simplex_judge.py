"""Judges whose errors depend on the true level alone, and candidates as mixtures of levels."""

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray
from numpyro.distributions import constraints

from scorax.data import Annotations
from scorax.inference import AbstractModel, AbstractSolver, parameter
from scorax.judges._expectation_maximisation import EMThenMinimise, normalised_rows
from scorax.judges._label_tally import LabelTally, check_annotations, on_one_device
from scorax.judges._latent_class import floored_log, latent_class_joint, latent_class_log_prob
from scorax.judges._majority_vote import majority_vote
from scorax.judges._quadrature import even_nodes
from scorax.judges._simplex_geometry import expected_score, level_values
from scorax.numerics import available_dtype


class SimplexJudge(AbstractModel[Annotations | LabelTally]):
    r"""Latent true levels, judges that confuse them, candidates that are mixtures of them.

    Given an item's true level its labels are independent, and a judge errs alike for every candidate (strong
    constancy). One candidate, or items that are not told apart, is the model of Dawid & Skene. The likelihood is the
    joint one of each item's labels; `marginal_annotations` gives the marginal one, judge by judge.

    With one judge and three or more levels the order of the candidates is not identified by any amount of data: the
    prior decides, so look at several (`SimplexPrior`, `sensitivity`). Two or more judges identify it only as far as
    their errors are independent given the truth.

    Two assumptions can be given up. `per_candidate()` gives every candidate confusions of its own: by itself the
    likelihood then explains any labels with any score, and `ConstancyPrior` says how alike they are. `item_effects`
    lets judges err together, by a leniency \(u_i \sim N(0, 1)\) that an item earns from all of them:

    $$P(l \mid m, u) \propto \theta_{jml} \, e^{\lambda_j (l - (M - 1) / 2) u}$$

    which is summed out over nodes; with `item_effect` 0 it is the model without.

    Example:
        >>> model = SimplexJudge.init(n_candidates=2, n_judges=3, n_levels=3)
        >>> model.expected_score()
        Array([2., 2.], dtype=float32)

    Source: Vossler, Xia, Mai & Feng (2025), arXiv 2505.21972; Dawid & Skene (1979), doi:10.2307/2346806; judges who
        err together: Qu, Tan & Kutner (1996), doi:10.2307/2533043.
    """

    prevalence: Float[Array, "k m"] = parameter(constraints.simplex)
    """How often a candidate's answers are truly of each level."""
    confusion: Float[Array, "*k j m m"] = parameter(constraints.simplex)
    """`confusion[j, m, l]`: how often judge `j` says `l` where the truth is `m`; or `[k, j, m, l]`, by candidate."""
    values: tuple[float, ...] = eqx.field(static=True)  # pyright: ignore[reportGeneralTypeIssues]
    """Value of each level, increasing."""
    item_effect: Float[Array, " j"] | None = None
    """How strongly each judge takes part in what they have in common about an item, per level of log-odds. The sign of
    all of them together says nothing."""
    n_nodes: int = eqx.field(static=True, default=31)
    """Of the sum over an item's effect. Judges by the dozen on many levels, with large effects, need more."""

    solver: ClassVar[AbstractSolver] = EMThenMinimise()

    @classmethod
    def init(
        cls,
        n_candidates: int,
        n_judges: int,
        n_levels: int,
        *,
        values: Sequence[float] | None = None,
        item_effects: bool = False,
        dtype: Any = float,
    ) -> "SimplexJudge":
        """Even prevalences and judges who are right six times in ten: a start that knows which level is which.

        Args:
            n_candidates: Number of candidates; 1 where items are not told apart.
            n_judges: Number of judges.
            n_levels: Number of levels, at least 2.
            values: Increasing values of the levels; `1, 2, ...` if None.
            item_effects: Whether judges may err together; effects start at 0.5.
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
            # At 0 the slope is 0, whatever the data: a search would stay there.
            jnp.full(n_judges, 0.5, dtype) if item_effects else None,
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
        item_effects: bool = False,
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
            item_effects: As in :meth:`init`.

        Raises:
            ValueError: An id is out of range, or as :meth:`init`.
        """
        check_annotations(data, n_candidates, n_judges, n_levels)
        empty = cls.init(
            n_candidates, n_judges, n_levels, values=values, item_effects=item_effects, dtype=data.weight.dtype
        )
        shares = data.weight[:, None] * majority_vote(data, n_levels, smoothing=smoothing)
        tally = data.tally(n_judges, n_levels).astype(shares.dtype)
        by_candidate = jnp.zeros_like(empty.prevalence).at[data.candidate].add(shares)
        by_judge = jnp.einsum("nm,njl->jml", shares, tally)
        return dataclasses.replace(
            empty,
            prevalence=normalised_rows(by_candidate + smoothing / n_levels, empty.prevalence),
            confusion=normalised_rows(by_judge + smoothing / n_levels, empty.confusion),
        )

    def per_candidate(self) -> "SimplexJudge":
        """The same judges, whose confusions may become different from candidate to candidate."""
        if self.varies:
            return self
        confusion = jnp.broadcast_to(self.confusion, (self.n_candidates, *self.confusion.shape))
        return dataclasses.replace(self, confusion=confusion)

    @property
    def varies(self) -> bool:
        """Whether every candidate has confusions of its own."""
        return self.confusion.ndim == 4

    @property
    def n_candidates(self) -> int:
        """Number of candidates, or of cells of candidates and strata."""
        return self.prevalence.shape[-2]

    @property
    def n_judges(self) -> int:
        """Number of judges."""
        return self.confusion.shape[-3]

    @property
    def n_levels(self) -> int:
        """Number of levels."""
        return self.prevalence.shape[-1]

    def log_prob(self, data: Annotations | LabelTally) -> Float[Array, " n"]:
        """Log-probability of each item's labels, its true level summed out."""
        log_prevalence = floored_log(self.prevalence)[data.candidate]
        return latent_class_log_prob(log_prevalence, self._evidence(data), gold=data.gold, has_gold=data.has_gold)

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
        nodes, log_weight = self._quadrature()
        shifted = jnp.exp(jax.vmap(self._log_confusion)(nodes))
        confusion = jnp.tensordot(jnp.exp(log_weight), shifted, axes=1)
        return jnp.einsum("km,kjml->jkl" if self.varies else "km,jml->jkl", self.prevalence, confusion)

    def label_posterior(self, data: Annotations | LabelTally) -> Float[Array, "n m"]:
        """Probability of each item's true level given its labels; one-hot where the gold label is known."""
        log_prevalence = floored_log(self.prevalence)[data.candidate]
        joint = latent_class_joint(log_prevalence, self._evidence(data), data.gold, data.has_gold)
        return jax.nn.softmax(joint, axis=-1)

    def expected_score(self) -> Float[Array, " k"]:
        """Mean true level value of each candidate, on all items that might be asked. Larger is better."""
        return expected_score(self.prevalence, self.values)

    def sample_score(self, data: Annotations | LabelTally, *, key: PRNGKeyArray | None = None) -> Float[Array, " k"]:
        """Mean true level value of each candidate on the very items of `data`: who did better on these questions.

        Args:
            data: Of which each row stands for `count` items.
            key: Draws the true levels, so that over posterior draws the scores have their whole uncertainty; their
                expectation given the parameters if None.

        Returns:
            The scores; NaN for a candidate without items. Larger is better.

        Example:
            >>> data = sx.data.Annotations.from_arrays([[1, 1], [0, 0]], [[0, 1]] * 2, candidate=[0, 1])
            >>> SimplexJudge.init(2, 2, 2).sample_score(data)
            Array([1.69, 1.31], dtype=float32)
        """
        share = self.label_posterior(data)
        count = data.count.astype(share.dtype)
        levels = count[:, None] * share if key is None else _multinomial(key, count, share)
        value = levels @ jnp.asarray(self.values, share.dtype)
        zero = jnp.zeros(self.n_candidates, share.dtype)
        total, items = zero.at[data.candidate].add(value), zero.at[data.candidate].add(count)
        return jnp.where(items > 0, total / jnp.where(items > 0, items, jnp.ones_like(items)), jnp.nan)

    def prior(self) -> "SimplexJudge":
        """`SimplexPrior` with its default settings; `ConstancyPrior` for confusions that depend on the candidate."""
        from scorax.judges._constancy_prior import ConstancyPrior  # which is made of models
        from scorax.judges._simplex_prior import SimplexPrior

        return ConstancyPrior(self)() if self.varies else SimplexPrior(self)()

    def simulate(self, data: Annotations | LabelTally, *, key: PRNGKeyArray) -> Annotations:
        """New labels by the same judges of the same items; a gold label stays the truth of its item.

        Raises:
            ValueError: `data` are counted, and have lost who gave which label where.
        """
        if not isinstance(data, Annotations):
            raise ValueError("labels can be simulated for annotations, not for their tally: it has no places to fill")
        truth_key, label_key = jax.random.split(key)
        drawn = jax.random.categorical(truth_key, floored_log(self.prevalence)[data.candidate])
        truth = jnp.where(data.has_gold, data.gold, drawn.astype(data.gold.dtype))[:, None]
        log_confusion = floored_log(self.confusion)
        whose = (data.candidate[:, None],) if self.varies else ()
        rows = log_confusion[(*whose, data.judge, truth)]
        if self.item_effect is not None:
            effect = jax.random.normal(jax.random.fold_in(key, 2), truth.shape, rows.dtype)
            rows = rows + (self.item_effect[data.judge] * effect)[..., None] * self._tilt()
        label = jax.random.categorical(label_key, rows).astype(data.label.dtype)
        return dataclasses.replace(data, label=jnp.where(data.where, label, data.label))

    def check(self, data: Annotations | LabelTally) -> None:
        """Raise `ValueError` where data hold a judge, level or candidate that this model has not."""
        if isinstance(data, Annotations):
            check_annotations(data, self.n_candidates, self.n_judges, self.n_levels)

    def condense(self, data: Annotations | LabelTally) -> Annotations | LabelTally:
        """Distinct patterns of labels, where they are fewer than rows; their places counted, where that is faster."""
        if not isinstance(data, Annotations):
            return data
        patterns = self.n_candidates * (self.n_levels + 1) ** data.label.shape[1]
        if patterns < data.weight.size and on_one_device(data):
            distinct = data.aggregate()
            # As many rows as there are patterns, so that other labels of as many items compile nothing anew.
            data = distinct.pad(max(patterns, distinct.weight.size))
        if self.n_judges * self.n_levels <= 8 * data.label.shape[1] and not self.varies:
            return LabelTally.of(data, self.n_judges, self.n_levels)
        return data

    def _evidence(self, data: Annotations | LabelTally) -> Float[Array, "n m"]:
        """Log-probability of each row's labels given each true level, an item's effect summed out."""
        nodes, log_weight = self._quadrature()
        if log_weight.size == 1:
            return _given_truth(floored_log(self.confusion), data)
        given = jax.vmap(lambda effect: _given_truth(self._log_confusion(effect), data))(nodes)
        return jax.nn.logsumexp(log_weight[:, None, None] + given, axis=0)

    def _log_confusion(self, effect: Float[Array, ""]) -> Float[Array, "*k j m m"]:
        """Log-confusions for items of this effect."""
        log_confusion = floored_log(self.confusion)
        if self.item_effect is None:
            return log_confusion
        shift = (self.item_effect * effect)[:, None, None] * self._tilt()
        return jax.nn.log_softmax(log_confusion + shift.reshape((1,) * (log_confusion.ndim - 3) + shift.shape), axis=-1)

    def _tilt(self) -> Float[Array, "1 1 m"]:
        m = self.n_levels
        return (jnp.arange(m, dtype=self.prevalence.dtype) - (m - 1) / 2)[None, None, :]

    def _quadrature(self) -> tuple[Float[Array, " q"], Float[Array, " q"]]:
        return even_nodes(1 if self.item_effect is None else self.n_nodes, self.prevalence.dtype)


def _given_truth(log_confusion: Float[Array, "*k j m m"], data: Annotations | LabelTally) -> Float[Array, "n m"]:
    """Log-probability of each row's labels given each true level."""
    by_label = jnp.swapaxes(log_confusion, -2, -1)
    varies = by_label.ndim == 4
    if isinstance(data, LabelTally):
        tally = data.tally.astype(by_label.dtype)
        if varies:
            return jnp.einsum("njl,njlm->nm", tally, by_label[data.candidate])
        return jnp.tensordot(tally, by_label, axes=2)
    whose = (data.candidate[:, None],) if varies else ()
    given = by_label[(*whose, data.judge, data.label)]
    return jnp.where(data.where[..., None], given, jnp.zeros((), given.dtype)).sum(1)


def _multinomial(key: PRNGKeyArray, count: Float[Array, " n"], share: Float[Array, "n m"]) -> Float[Array, "n m"]:
    """Counts of each level among `count` items, level after level from what is left."""
    left, rest, drawn = count, jnp.ones_like(count), []
    for level in range(share.shape[-1] - 1):
        chance = jnp.clip(share[:, level] / jnp.where(rest > 0, rest, jnp.ones_like(rest)), 0, 1)
        taken = jax.random.binomial(jax.random.fold_in(key, level), left, chance, dtype=share.dtype)
        drawn.append(taken)
        left, rest = left - taken, rest - share[:, level]
    return jnp.stack([*drawn, left], axis=-1)
