"""What features of comparisons and coming first are worth, with their uncertainty."""

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtri
from jaxtyping import Array, Float

from scorax.cli._votes import Feature
from scorax.inference import Bootstrap, Fit, Posterior


@dataclasses.dataclass(frozen=True)
class Effect:
    """A parameter beside the strengths, in units of strength."""

    effect: str
    """`"order"` or `"feature"`."""
    name: str
    estimate: float
    std_error: float
    lower: float
    upper: float
    scale: float
    """The estimate is for so much more of the feature; 1 for coming first."""


def effects_of(
    result: Fit[Any] | Posterior[Any] | Bootstrap[Any], features: Sequence[Feature], *, level: float
) -> tuple[Effect, ...]:
    """The order effect, then the features in their order; none where the model has none."""
    model: Any = result.model
    first = [("order", "first", 1.0)] if getattr(model, "order_effect", None) is not None else []
    called = [*first, *(("feature", feature.name, feature.scale) for feature in features)]
    if not called:
        return ()
    numbers = np.stack(_uncertainty(result, level), axis=1)
    return tuple(
        Effect(effect, name, *map(float, row), scale=scale)
        for (effect, name, scale), row in zip(called, numbers, strict=True)
    )


def _uncertainty(result: Fit[Any] | Posterior[Any] | Bootstrap[Any], level: float) -> tuple[np.ndarray, ...]:
    """Estimate, standard error and interval of every effect."""
    tail = (1 - level) / 2
    if isinstance(result, Fit):
        found = result.map(_parameters)
        value, std_error = np.asarray(found.value), np.asarray(found.std_error)
        reach = float(ndtri(1 - tail)) * std_error
        return value, std_error, value - reach, value + reach
    draws = np.asarray(result.map(_parameters))
    draws = draws.reshape(-1, draws.shape[-1])
    return draws.mean(0), draws.std(0, ddof=1), *np.quantile(draws, [tail, 1 - tail], axis=0)


def _parameters(model: Any) -> Float[Array, " e"]:
    parts = [jnp.atleast_1d(x) for x in (model.order_effect, model.coefficient) if x is not None]
    return jnp.concatenate(parts)


def describe(effects: Sequence[Effect], level: float) -> list[str]:
    """A line for people about each."""
    return [
        f"{_called(effect)}: {effect.estimate:+.3f} in strength, standard error {effect.std_error:.3f}, "
        f"{100 * level:g}% interval {effect.lower:+.3f} to {effect.upper:+.3f}"
        for effect in effects
    ]


def _called(effect: Effect) -> str:
    if effect.effect == "order":
        return "coming first"
    return effect.name if effect.scale == 1 else f"{effect.name}, {effect.scale:.3g} more"


def to_json(effects: Sequence[Effect]) -> str:
    """An array of the rows."""
    return json.dumps([dataclasses.asdict(effect) for effect in effects], indent=1, ensure_ascii=False)
