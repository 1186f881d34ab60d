"""Judges who need not err alike for every candidate: constancy that is moderate, or random."""

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray
from numpyro.distributions import constraints

from scorax.data import Annotations
from scorax.inference import AbstractModel, AbstractSolver, Minimiser, parameter
from scorax.judges._confusion_priors import SimplexPrior
from scorax.judges._label_tally import check_annotations
from scorax.judges._simplex_geometry import expected_score, level_values
from scorax.judges._simplex_judge import SimplexJudge, floored_log, latent_class_joint, latent_class_log_prob


class VaryingSimplexJudge(AbstractModel[Annotations]):
    """`SimplexJudge` with confusions of its own for every candidate; what they have in common is a matter of the prior.

    By itself the likelihood knows nothing of the candidates: with a confusion each, any score explains any labels.
    `ConstancyPrior` says how alike a judge's confusions are: the same but for noise (random constancy), but for the
    stratum of the questions, or but for the judge's own family of models. For strata, number the cells of candidates
    and strata and give the cell as an item's candidate.

    Example:
        >>> model = VaryingSimplexJudge.init(n_candidates=2, n_judges=3, n_levels=2)
        >>> model.confusion.shape
        (2, 3, 2, 2)

    Source: Vossler, Xia, Mai & Feng (2025), arXiv 2505.21972.
    """

    prevalence: Float[Array, "k m"] = parameter(constraints.simplex)
    """How often a candidate's answers are truly of each level."""
    confusion: Float[Array, "k j m m"] = parameter(constraints.simplex)
    """`confusion[k, j, m, l]`: how often judge `j` says `l` of candidate `k` where the truth is `m`."""
    values: tuple[float, ...] = eqx.field(static=True)  # pyright: ignore[reportGeneralTypeIssues]
    """Value of each level, increasing."""

    solver: ClassVar[AbstractSolver] = Minimiser()

    @classmethod
    def init(
        cls,
        n_candidates: int,
        n_judges: int,
        n_levels: int,
        *,
        values: Sequence[float] | None = None,
        dtype: Any = float,
    ) -> "VaryingSimplexJudge":
        """Even prevalences and judges who are right six times in ten.

        Args:
            n_candidates: Number of candidates, or of cells of candidates and strata.
            n_judges: Number of judges.
            n_levels: Number of levels, at least 2.
            values: Increasing values of the levels; `1, 2, ...` if None.
            dtype: Of the parameters.

        Raises:
            ValueError: As `SimplexJudge.init`.
        """
        strong = SimplexJudge.init(n_candidates, n_judges, n_levels, values=values, dtype=dtype)
        confusion = jnp.broadcast_to(strong.confusion, (n_candidates, *strong.confusion.shape))
        return cls(strong.prevalence, confusion, level_values(values, n_levels))

    @property
    def n_levels(self) -> int:
        """Number of levels."""
        return self.prevalence.shape[-1]

    def log_prob(self, data: Annotations) -> Float[Array, " n"]:
        """Log-probability of each item's labels, its true level summed out."""
        log_prevalence = floored_log(self.prevalence)[data.candidate]
        return latent_class_log_prob(log_prevalence, self._evidence(data), gold=data.gold, has_gold=data.has_gold)

    def label_posterior(self, data: Annotations) -> Float[Array, "n m"]:
        """Probability of each item's true level given its labels; one-hot where the gold label is known."""
        log_prevalence = floored_log(self.prevalence)[data.candidate]
        joint = latent_class_joint(log_prevalence, self._evidence(data), data.gold, data.has_gold)
        return jax.nn.softmax(joint, axis=-1)

    def _evidence(self, data: Annotations) -> Float[Array, "n m"]:
        by_label = jnp.swapaxes(floored_log(self.confusion), 2, 3)
        given = by_label[data.candidate[:, None], data.judge, data.label]
        return jnp.where(data.where[..., None], given, jnp.zeros((), given.dtype)).sum(1)

    def observed_distribution(self) -> Float[Array, "j k m"]:
        """How often each judge gives each label to each candidate."""
        return jnp.einsum("km,kjml->jkl", self.prevalence, self.confusion)

    def expected_score(self) -> Float[Array, " k"]:
        """Mean true level value of each candidate (or cell). Larger is better."""
        return expected_score(self.prevalence, self.values)

    def prior(self) -> "VaryingSimplexJudge":
        """`ConstancyPrior` with its default settings: random constancy."""
        return ConstancyPrior(self)()

    def simulate(self, data: Annotations, *, key: PRNGKeyArray) -> Annotations:
        """New labels by the same judges of the same items; a gold label stays the truth of its item."""
        truth_key, label_key = jax.random.split(key)
        drawn = jax.random.categorical(truth_key, floored_log(self.prevalence)[data.candidate])
        truth = jnp.where(data.has_gold, data.gold, drawn.astype(data.gold.dtype))
        rows = floored_log(self.confusion)[data.candidate[:, None], data.judge, truth[:, None]]
        label = jax.random.categorical(label_key, rows).astype(data.label.dtype)
        return dataclasses.replace(data, label=jnp.where(data.where, label, data.label))

    def check(self, data: Annotations) -> None:
        """Raise `ValueError` where data hold a judge, level or candidate that this model has not."""
        check_annotations(data, *self.confusion.shape[:3])

    def condense(self, data: Annotations) -> Annotations:
        """Every distinct pattern of labels once, where values are known: a few judges on a few levels have few."""
        return data if isinstance(data.label, Tracer) else data.aggregate()


class ConstancyPrior(eqx.Module):
    r"""How alike a judge's errors are from candidate to candidate: a program that draws a `VaryingSimplexJudge`.

    A judge's confusion comes from `judges`, the same for all; each candidate's is that with deviations on the scale of
    log-odds, \(\theta_{kj m \cdot} = \operatorname{softmax}(\log \theta_{j m \cdot} + \delta)\). They are sums of
    standard normal numbers times `candidate_sd` (a candidate of its own), `stratum_sd` (the same for all candidates in
    a stratum) and `family_sd` (the same wherever a judge sees its own family). With two levels a deviation moves the
    logit of the upper label, once for each true level. Monotonicity then holds for a judge's common confusion.

    Args:
        model: Gives shapes and dtype.
        judges: Of the common confusions and the prevalences; `SimplexPrior` with its default settings if None.
        candidate_sd: \(\sigma_c\), a setting to vary: labels alone say little of it. 0 is no such deviation.
        stratum: `[k]`, which stratum each cell belongs to; None for none.
        stratum_sd: Scale of the half-normal prior of the deviations' standard deviation.
        own_family: `[k, j]`, where a judge sees its own family; None for nowhere.
        family_sd: Likewise, for own families.

    Raises:
        ValueError: A shape or a scale makes no sense.

    Example:
        >>> model = VaryingSimplexJudge.init(n_candidates=3, n_judges=2, n_levels=3)
        >>> strong = ConstancyPrior(model, candidate_sd=0.0)
        >>> judge = numpyro.handlers.seed(strong, 0)().confusion[:, 0]
        >>> bool(jnp.allclose(judge[0], judge[2]))
        True

    Source: Vossler et al. (2025), arXiv 2505.21972: strong, moderate and random constancy.
    """

    model: VaryingSimplexJudge
    judges: SimplexPrior
    candidate_sd: Float[Array, ""]
    stratum_sd: Float[Array, ""]
    family_sd: Float[Array, ""]
    stratum: Int[Array, " k"] | None
    own_family: Bool[Array, "k j"] | None
    n_strata: int = eqx.field(static=True)

    def __init__(
        self,
        model: VaryingSimplexJudge,
        *,
        judges: SimplexPrior | None = None,
        candidate_sd: float | Float[Array, ""] = 0.25,
        stratum: Any = None,
        stratum_sd: float | Float[Array, ""] = 0.5,
        own_family: Any = None,
        family_sd: float | Float[Array, ""] = 0.5,
    ):
        k, j, m, _ = model.confusion.shape
        dtype = model.confusion.dtype
        self.model = model
        self.judges = SimplexPrior(_strong(model)) if judges is None else judges
        if self.judges.model.prevalence.shape != (k, m) or self.judges.model.confusion.shape != (j, m, m):
            raise ValueError(
                f"judges is a prior of {self.judges.model.prevalence.shape[0]} candidates and "
                f"{self.judges.model.confusion.shape[0]} judges, the model has {k} and {j}: make it with "
                "SimplexPrior(SimplexJudge.init(n_candidates, n_judges, n_levels))"
            )
        scales = {"candidate_sd": candidate_sd, "stratum_sd": stratum_sd, "family_sd": family_sd}
        for name, scale in scales.items():
            known = not isinstance(scale, Tracer)
            if known and not (0 <= float(scale) < np.inf and (float(scale) > 0 or name == "candidate_sd")):
                raise ValueError(f"{name} must be a finite number above 0 (candidate_sd may be 0), not {scale}")
        self.candidate_sd, self.stratum_sd, self.family_sd = (jnp.asarray(scale, dtype) for scale in scales.values())
        ids = None if stratum is None else np.asarray(stratum)
        if ids is not None and (ids.shape != (k,) or ids.dtype.kind not in "iu" or ids.min() < 0):
            raise ValueError(f"stratum must hold one id from 0 for each of the {k} candidates")
        own = None if own_family is None else np.asarray(own_family)
        if own is not None and (own.shape != (k, j) or own.dtype != bool):
            raise ValueError(f"own_family must hold truth values [{k}, {j}], not {own.dtype} of shape {own.shape}")
        self.stratum = None if ids is None else jnp.asarray(ids, jnp.int32)
        self.own_family = None if own is None else jnp.asarray(own)
        self.n_strata = 0 if ids is None else int(ids.max()) + 1

    def __call__(self) -> VaryingSimplexJudge:
        """Draw a model."""
        with numpyro.handlers.scope(prefix="common", divider="."):
            common = self.judges()
        k, j, m, _ = self.model.confusion.shape
        shift = jnp.zeros((k, j, m, m), common.confusion.dtype)
        shift = shift + self.candidate_sd * self._noise("candidate_noise", k)
        if self.stratum is not None:
            spread = self._spread("stratum_spread", self.stratum_sd)
            shift = shift + spread * self._noise("stratum_noise", self.n_strata)[self.stratum]
        if self.own_family is not None:
            spread = self._spread("family_spread", self.family_sd)
            own = self.own_family.astype(shift.dtype)[..., None, None]
            shift = shift + own * (spread * self._noise("family_noise", 1))
        confusion = jax.nn.softmax(floored_log(common.confusion)[None] + shift, axis=-1)
        return VaryingSimplexJudge(common.prevalence, confusion, self.model.values)

    def _spread(self, name: str, scale: Float[Array, ""]) -> Float[Array, ""]:
        return jnp.asarray(numpyro.sample(name, dist.HalfNormal(scale)))

    def _noise(self, name: str, n: int) -> Float[Array, "n j m m"]:
        _, j, m, _ = self.model.confusion.shape
        dtype = self.candidate_sd.dtype
        shape = (n, j, m, 1 if m == 2 else m)
        standard = dist.Normal(jnp.zeros((), dtype), jnp.ones((), dtype)).expand(shape)
        drawn = jnp.asarray(numpyro.sample(name, standard))
        # Of two labels the odds are one number: the lower one stays.
        return jnp.concatenate([jnp.zeros_like(drawn), drawn], axis=-1) if m == 2 else drawn


def _strong(model: VaryingSimplexJudge) -> SimplexJudge:
    return SimplexJudge(model.prevalence, model.confusion[0], model.values)


def cells(candidate: Any, stratum: Any, n_candidates: int, n_strata: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the cells of candidates and strata, for items; and the stratum of every cell, for `ConstancyPrior`.

    Args:
        candidate: `[n]` ids.
        stratum: `[n]` ids.
        n_candidates: Number of candidates.
        n_strata: Number of strata.

    Returns:
        `candidate * n_strata + stratum` of every item, `[n]`; and `[n_candidates * n_strata]` strata of the cells.

    Raises:
        ValueError: An id is out of range, shapes differ, or a cell has no items.

    Example:
        >>> cell, stratum = cells([0, 0, 1, 1], [0, 1, 0, 1], 2, 2)
        >>> cell.tolist(), stratum.tolist()
        ([0, 1, 2, 3], [0, 1, 0, 1])
    """
    whose, where = np.asarray(candidate), np.asarray(stratum)
    if whose.shape != where.shape or whose.ndim != 1:
        raise ValueError(f"candidate has shape {whose.shape}, stratum {where.shape}; expected [n] for both")
    for name, ids, n in (("candidate", whose, n_candidates), ("stratum", where, n_strata)):
        if ids.dtype.kind not in "iu" or ids.min() < 0 or ids.max() >= n:
            raise ValueError(f"{name} must hold ids from 0 to {n - 1}")
    cell = whose * n_strata + where
    empty = np.flatnonzero(np.bincount(cell, minlength=n_candidates * n_strata) == 0)
    if empty.size:
        first = [(int(c) // n_strata, int(c) % n_strata) for c in empty[:3]]
        raise ValueError(
            f"{empty.size} cells have no items (first, as candidate and stratum: {first}): their prevalence is the "
            "prior's alone. Merge strata, or leave the candidates out."
        )
    return cell, np.tile(np.arange(n_strata), n_candidates)
