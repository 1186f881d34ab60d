"""Assumptions about judges and candidates, as a NumPyro program that draws a `SimplexJudge`."""

import dataclasses
import math
import warnings
from typing import Any, Literal, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jax.core import Tracer
from jaxtyping import Array, Float

from scorax.judges._confusion_rows import (
    Expected,
    diagonal_rows,
    free_rows,
    hierarchical_rows,
    lowest_rows,
    proportional_rows,
    stochastic_rows,
)
from scorax.judges._simplex_geometry import simplex_volume
from scorax.judges._simplex_judge import SimplexJudge

Monotone = Literal["none", "lowest", "stochastic", "proportional", "diagonal"]
Judges = Literal["independent", "hierarchical"]
Prevalence = Literal["auto", "dirichlet", "hierarchical"]

_ROWS = {
    "none": free_rows,
    "lowest": lowest_rows,
    "stochastic": stochastic_rows,
    "proportional": proportional_rows,
    "diagonal": diagonal_rows,
}


class SimplexPrior(eqx.Module):
    r"""What is assumed of judges and candidates; pass it to `sample(model, data, prior=...)` or `fit`.

    Row \(m\) of a judge has mean \(\rho e_m + (1 - \rho) t_m\), where \(t_m\) spreads the errors over the other levels,
    the more the nearer, \(t_{ml} \propto e^{-|m - l| / s}\); the row is Dirichlet with \(\kappa\) times that mean.

    Args:
        model: Gives shapes and dtype.
        strength: \(\kappa\), how many labels of each true level the prior is worth. Default 8.
        accuracy: \(\rho\), in (0, 1): how often a judge is expected to be right. Default 0.6.
        reach: \(s\), in levels: how far errors reach; `math.inf` spreads them evenly. Default 1.
        monotone: A constraint that holds by construction, for every draw. `"lowest"`: the lowest label is the rarer the
            higher the true level. `"stochastic"`: a higher true level never makes any "at least this label" rarer.
            `"proportional"`: it moves all of these on the scale of log-odds alike, by cuts between labels and a place
            for each level (2(M - 1) numbers a judge; `reach` has no part, and of `strength` nothing is used).
            `"diagonal"`: no wrong label is as frequent as the right one (`strength` has no part). Each is
            a prior of its own, not the unconstrained one truncated.
        judges: `"independent"`, or `"hierarchical"`: scattered about a judge that they have in common, as far as the
            labels say (its mean by `accuracy` and `reach`; `strength` has no part). With `monotone="none"`.
        prevalence: `"dirichlet"`: each candidate's levels are Dirichlet(`concentration`), on its own. `"hierarchical"`:
            candidates vary about a common profile, mostly along the scale. `"auto"`: hierarchical from four candidates
            on, because many independent flat candidates would claim that together they fill the simplex, which pulls
            the judges' vertices onto the observed points.
        concentration: Of the Dirichlet prior of the prevalences. Default 1, flat.
        volume: Power of \(|\det \Theta_j|\) that multiplies the density; above 0 it favours judges that tell levels
            apart. Prior draws do not see it.
        item_effect_sd: Scale of the half-normal prior of the effects, of a model with item effects. Default 1.

    Raises:
        ValueError: A setting is out of its range, two of them exclude each other, or the confusions of the model
            depend on the candidate (`ConstancyPrior` is for those).

    Warns:
        UserWarning: `accuracy` is no better than chance and nothing orders the levels: the labels of the levels are
            then arbitrary, and chains will disagree about them.

    Example:
        >>> model = sx.judges.SimplexJudge.init(n_candidates=2, n_judges=1, n_levels=3)
        >>> strict = SimplexPrior(model, strength=40.0, accuracy=0.9, monotone="stochastic")
        >>> judge = numpyro.handlers.seed(strict, 0)().confusion[0]
        >>> bool(judge[0, 2] <= judge[1, 2] <= judge[2, 2])
        True

    Source: Vossler et al. (2025), arXiv 2505.21972; row prior: R package rater (Zhang et al. 2022).
    """

    model: SimplexJudge
    strength: Float[Array, ""]
    accuracy: Float[Array, ""]
    reach: Float[Array, ""]
    concentration: Float[Array, ""]
    item_effect_sd: Float[Array, ""]
    monotone: Monotone = eqx.field(static=True)
    judges: Judges = eqx.field(static=True)
    prevalence: Prevalence = eqx.field(static=True)
    volume: float = eqx.field(static=True)

    def __init__(
        self,
        model: SimplexJudge,
        *,
        strength: float | Float[Array, ""] = 8.0,
        accuracy: float | Float[Array, ""] = 0.6,
        reach: float | Float[Array, ""] = 1.0,
        monotone: Monotone = "none",
        judges: Judges = "independent",
        prevalence: Prevalence = "auto",
        concentration: float | Float[Array, ""] = 1.0,
        volume: float = 0.0,
        item_effect_sd: float | Float[Array, ""] = 1.0,
    ):
        dtype = model.confusion.dtype
        numbers = {
            "strength": strength,
            "accuracy": accuracy,
            "reach": reach,
            "concentration": concentration,
            "item_effect_sd": item_effect_sd,
        }
        self.model = model
        self.strength, self.accuracy, self.reach, self.concentration, self.item_effect_sd = (
            jnp.asarray(number, dtype) for number in numbers.values()
        )
        self.monotone, self.judges, self.prevalence, self.volume = monotone, judges, prevalence, float(volume)
        _check_choice("monotone", monotone, Monotone)
        _check_choice("judges", judges, Judges)
        _check_choice("prevalence", prevalence, Prevalence)
        if judges == "hierarchical" and monotone != "none":
            raise ValueError(f"judges='hierarchical' has no constraint by construction: not with monotone={monotone!r}")
        if model.varies:
            raise ValueError("the confusions of this model depend on the candidate: use ConstancyPrior(model)")
        if not any(isinstance(number, Tracer) for number in numbers.values()):
            _check_numbers(**{name: float(number) for name, number in numbers.items()})
            if judges == "independent" and monotone == "none" and accuracy <= 1 / model.n_levels:
                warnings.warn(
                    f"accuracy {float(accuracy):.3g} is no better than chance on {model.n_levels} levels, so nothing "
                    "says which level is which: expect chains that disagree. Raise accuracy, or set monotone='lowest'.",
                    stacklevel=2,
                )

    def __call__(self) -> SimplexJudge:
        """Draw a model."""
        confusion = self._draw_confusion()
        if self.volume:
            numpyro.factor("volume", self.volume * jnp.log(simplex_volume(confusion)).sum())
        return dataclasses.replace(
            self.model,
            prevalence=self._draw_prevalence(),
            confusion=confusion,
            item_effect=None if self.model.item_effect is None else self._draw_item_effect(),
        )

    @property
    def mean_confusion(self) -> Float[Array, "m m"]:
        """What a judge is expected to be like, before any constraint."""
        m = self.model.n_levels
        level = jnp.arange(m, dtype=self.accuracy.dtype)
        distance = jnp.abs(level[:, None] - level[None, :])
        correct = distance == 0
        error = jnp.where(correct, jnp.zeros_like(distance), jnp.exp(-(distance - 1) / self.reach))
        spread = (1 - self.accuracy) * error / error.sum(1, keepdims=True)
        return jnp.where(correct, self.accuracy, spread)

    def _draw_confusion(self) -> Float[Array, "j m m"]:
        if self.judges == "hierarchical":
            return hierarchical_rows(jnp.log(self.mean_confusion), self.model.n_judges)
        expected = Expected(self.mean_confusion, self.strength, self.accuracy, self.model.n_judges)
        return _ROWS[self.monotone](expected)

    def _draw_item_effect(self) -> Float[Array, " j"]:
        scale = jnp.broadcast_to(self.item_effect_sd, (self.model.n_judges,))
        return jnp.asarray(numpyro.sample("item_effect", dist.HalfNormal(scale)))

    def _draw_prevalence(self) -> Float[Array, "k m"]:
        k, m = self.model.prevalence.shape
        if self.prevalence == "hierarchical" or (self.prevalence == "auto" and k >= 4):
            return self._hierarchical(k, m)
        rows = dist.Dirichlet(jnp.broadcast_to(self.concentration, (k, m)))
        return jnp.asarray(numpyro.sample("prevalence", rows))

    def _hierarchical(self, k: int, m: int) -> Float[Array, "k m"]:
        """Softmax of a common profile, a quality per candidate that acts along the scale, and the rest."""
        dtype = self.accuracy.dtype
        values = self.model.values
        span = values[-1] - values[0]
        scale = [(m - 1) * (value - sum(values) / m) / span for value in values]
        standard = dist.Normal(jnp.zeros((), dtype), jnp.ones((), dtype))
        profile = jnp.asarray(numpyro.sample("profile", dist.Normal(jnp.zeros(m - 1, dtype), jnp.asarray(1.5, dtype))))
        spread = jnp.asarray(numpyro.sample("quality_spread", dist.HalfNormal(jnp.ones((), dtype))))
        quality = jnp.asarray(numpyro.sample("quality", standard.expand((k,))))
        logits = jnp.concatenate([jnp.zeros(1, dtype), profile])[None, :]
        logits = logits + (spread * quality)[:, None] * jnp.asarray(scale, dtype)[None, :]
        if m > 2:
            other_spread = jnp.asarray(numpyro.sample("shape_spread", dist.HalfNormal(jnp.asarray(0.5, dtype))))
            logits = logits + other_spread * jnp.asarray(numpyro.sample("shape", standard.expand((k, m))))
        return jax.nn.softmax(logits, axis=-1)


def _check_choice(name: str, value: str, choices: Any) -> None:
    allowed = get_args(choices)
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, not {value!r}")


def _check_numbers(accuracy: float, **positive: float) -> None:
    if not 0 < accuracy < 1:
        raise ValueError(
            f"accuracy must lie in (0, 1), not be {accuracy}. For a perfect judge write a prior that draws the "
            "prevalence alone and returns SimplexJudge(prevalence, identity, values)."
        )
    for name, value in positive.items():
        if not value > 0:
            raise ValueError(f"{name} must be positive, not {value}")
        if math.isinf(value) and name != "reach":
            raise ValueError(f"{name} must be finite")
