"""From what is assumed of judges to a model, a prior, and where chains start."""

import dataclasses
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpyro
from jaxtyping import Array

from scorax.cli._judge_assumptions import Assumptions, Constancy
from scorax.cli._judge_ratings import Ratings
from scorax.judges import ConstancyPrior, SimplexJudge, SimplexPrior

_LEAST_CONCENTRATION = 1.5
_ACCURACY = 0.6
# Of item effects, and of how far judges, cells and candidates scatter: neither nothing nor much.
_START = 0.5
_DEVIATIONS = ("logit_offset", "candidate_noise", "stratum_noise", "family_noise", "quality", "shape")


class Programme(NamedTuple):
    """What `sample` needs."""

    model: SimplexJudge
    prior: Any
    initial: dict[str, Array]

    @property
    def prevalence(self) -> str:
        """Whether candidates are drawn each by itself, or about a common profile."""
        alone = any(site.rpartition(".")[2] == "prevalence" for site in self.initial)
        return "dirichlet" if alone else "hierarchical"


def programme(asked: Assumptions, ratings: Ratings, majority: SimplexJudge) -> Programme:
    """The program of these assumptions; `majority` gives sizes and start."""
    effect = jnp.full(majority.n_judges, _START, majority.confusion.dtype) if asked.item_effects else None
    model = dataclasses.replace(majority, item_effect=effect)
    prior: Any = SimplexPrior(
        model,
        strength=asked.strength,
        accuracy=asked.accuracy,
        monotone=asked.monotone.value,
        judges=asked.judges.value,
        prevalence=asked.prevalence,  # pyright: ignore[reportArgumentType]
    )
    drawn = model
    if asked.constancy != Constancy.STRONG:
        drawn = model.per_candidate()
        strata = ratings.strata if asked.constancy == Constancy.STRATA else None
        prior = ConstancyPrior(
            drawn,
            judges=prior,
            candidate_sd=asked.candidate_sd,
            stratum=None if strata is None else strata.of_cell,
            own_family=ratings.own_family if asked.constancy == Constancy.OWN_FAMILY else None,
        )
    return Programme(drawn, prior, _start(model, prior))


def prior_with_mode(model: SimplexJudge) -> SimplexPrior:
    """Dirichlet priors of 1.5 and more: with any number below 1 the density is unbounded where a probability is 0."""
    return SimplexPrior(
        model,
        strength=_LEAST_CONCENTRATION * (model.n_levels - 1) / (1 - _ACCURACY),
        accuracy=_ACCURACY,
        reach=math.inf,
        prevalence="dirichlet",
        concentration=_LEAST_CONCENTRATION,
    )


def _start(model: SimplexJudge, prior: Any) -> dict[str, Array]:
    """What the majority says of the sites that the prior draws, and no deviations from what is common.

    So chains agree which level is which. Sites whose order holds by construction start anywhere.
    """
    shapes = _shapes(prior)
    share = model.prevalence.mean(0)
    known = {
        "prevalence": model.prevalence,
        "confusion": model.confusion,
        "item_effect": model.item_effect,
        "mean_logit": jnp.log(model.confusion.mean(0)),
        "profile": jnp.log(share[1:] / share[0]),
    }
    found = {}
    for site, shape in shapes.items():
        name = site.removeprefix("common.")
        value = known.get(name)
        if name.endswith("_spread"):
            value = jnp.full(shape.shape, _START, shape.dtype)
        elif name in _DEVIATIONS:
            value = jnp.zeros(shape.shape, shape.dtype)
        if value is not None:
            found[site] = value
    return found


def _shapes(prior: Any) -> dict[str, jax.ShapeDtypeStruct]:
    """Of what a prior draws, without drawing: to compile every step of a program takes seconds."""

    def run() -> dict[str, Any]:
        drawn = numpyro.handlers.trace(numpyro.handlers.seed(prior, 0)).get_trace()
        return {name: site["value"] for name, site in drawn.items() if site["type"] == "sample"}

    return jax.eval_shape(run)
