"""Judges who need not err alike for every candidate: constancy that is moderate, or random."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int

from scorax.judges._latent_class import floored_log
from scorax.judges._simplex_judge import SimplexJudge
from scorax.judges._simplex_prior import SimplexPrior


class ConstancyPrior(eqx.Module):
    r"""How alike a judge's errors are from candidate to candidate: a program that draws a `SimplexJudge`.

    A judge's confusion comes from `judges`, the same for all; each candidate's is that with deviations on the scale of
    log-odds, \(\theta_{kj m \cdot} = \operatorname{softmax}(\log \theta_{j m \cdot} + \delta)\). They are sums of
    standard normal numbers times `candidate_sd` (a candidate of its own), `stratum_sd` (the same for all candidates in
    a stratum) and `family_sd` (the same wherever a judge sees its own family). With two levels a deviation moves the
    logit of the upper label, once for each true level. Monotonicity then holds for a judge's common confusion.

    Args:
        model: Gives shapes and dtype; made by `per_candidate()`.
        judges: Of the common confusions and the prevalences; `SimplexPrior` with its default settings if None.
        candidate_sd: \(\sigma_c\), a setting to vary: labels alone say little of it. 0 is no such deviation.
        stratum: `[k]`, which stratum each cell belongs to; None for none.
        stratum_sd: Scale of the half-normal prior of the deviations' standard deviation.
        own_family: `[k, j]`, where a judge sees its own family; None for nowhere.
        family_sd: Likewise, for own families.

    Raises:
        ValueError: A shape or a scale makes no sense, or the model's confusions are the same for all candidates.

    Example:
        >>> model = sx.judges.SimplexJudge.init(n_candidates=3, n_judges=2, n_levels=3).per_candidate()
        >>> strong = ConstancyPrior(model, candidate_sd=0.0)
        >>> judge = numpyro.handlers.seed(strong, 0)().confusion[:, 0]
        >>> bool(jnp.allclose(judge[0], judge[2]))
        True

    Source: Vossler et al. (2025), arXiv 2505.21972: strong, moderate and random constancy.
    """

    model: SimplexJudge
    judges: SimplexPrior
    candidate_sd: Float[Array, ""]
    stratum_sd: Float[Array, ""]
    family_sd: Float[Array, ""]
    stratum: Int[Array, " k"] | None
    own_family: Bool[Array, "k j"] | None
    n_strata: int = eqx.field(static=True)
    by_candidate: bool = eqx.field(static=True)
    """Whether there are deviations of candidates: idle numbers would slow the chains."""

    def __init__(
        self,
        model: SimplexJudge,
        *,
        judges: SimplexPrior | None = None,
        candidate_sd: float | Float[Array, ""] = 0.25,
        stratum: Any = None,
        stratum_sd: float | Float[Array, ""] = 0.5,
        own_family: Any = None,
        family_sd: float | Float[Array, ""] = 0.5,
    ):
        if not model.varies:
            raise ValueError("the confusions of this model are the same for all candidates: pass model.per_candidate()")
        k, j, m, _ = model.confusion.shape
        dtype = model.confusion.dtype
        self.model = model
        common = dataclasses.replace(model, confusion=model.confusion[0])
        self.judges = SimplexPrior(common) if judges is None else judges
        same_effects = (self.judges.model.item_effect is None) == (model.item_effect is None)
        if not same_effects:
            raise ValueError("of model and judges one has item effects, the other has none: make both alike")
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
        self.by_candidate = isinstance(candidate_sd, Tracer) or float(candidate_sd) > 0

    def __call__(self) -> SimplexJudge:
        """Draw a model."""
        with numpyro.handlers.scope(prefix="common", divider="."):
            common = self.judges()
        k, j, m, _ = self.model.confusion.shape
        shift = jnp.zeros((k, j, m, m), common.confusion.dtype)
        if self.by_candidate:
            shift = shift + self.candidate_sd * self._noise("candidate_noise", k)
        if self.stratum is not None:
            spread = self._spread("stratum_spread", self.stratum_sd)
            shift = shift + spread * self._noise("stratum_noise", self.n_strata)[self.stratum]
        if self.own_family is not None:
            spread = self._spread("family_spread", self.family_sd)
            own = self.own_family.astype(shift.dtype)[..., None, None]
            shift = shift + own * (spread * self._noise("family_noise", 1))
        confusion = jax.nn.softmax(floored_log(common.confusion)[None] + shift, axis=-1)
        return dataclasses.replace(common, confusion=confusion)

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
