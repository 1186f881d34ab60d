"""Assumptions about judges and candidates, as a NumPyro program that draws a `SimplexJudge`."""

import math
import warnings
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jax.core import Tracer
from jax.scipy.special import logit
from jaxtyping import Array, Float

from scorax.judges._simplex_geometry import simplex_volume
from scorax.judges._simplex_judge import SimplexJudge

Monotone = Literal["none", "lowest", "stochastic"]
Prevalence = Literal["auto", "dirichlet", "hierarchical"]


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
            Each is a prior of its own, not the unconstrained one truncated.
        prevalence: `"dirichlet"`: each candidate's levels are Dirichlet(`concentration`), on its own. `"hierarchical"`:
            candidates vary about a common profile, mostly along the scale. `"auto"`: hierarchical from four candidates
            on, because many independent flat candidates would claim that together they fill the simplex, which pulls
            the judges' vertices onto the observed points.
        concentration: Of the Dirichlet prior of the prevalences. Default 1, flat.
        volume: Power of \(|\det \Theta_j|\) that multiplies the density; above 0 it favours judges that tell levels
            apart. Prior draws do not see it.

    Raises:
        ValueError: A setting is out of its range.

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
    monotone: Monotone = eqx.field(static=True)
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
        prevalence: Prevalence = "auto",
        concentration: float | Float[Array, ""] = 1.0,
        volume: float = 0.0,
    ):
        dtype = model.confusion.dtype
        self.model = model
        self.strength, self.accuracy, self.reach, self.concentration = (
            jnp.asarray(setting, dtype) for setting in (strength, accuracy, reach, concentration)
        )
        self.monotone, self.prevalence, self.volume = monotone, prevalence, float(volume)
        if monotone not in ("none", "lowest", "stochastic"):
            raise ValueError(f"monotone must be 'none', 'lowest' or 'stochastic', not {monotone!r}")
        if prevalence not in ("auto", "dirichlet", "hierarchical"):
            raise ValueError(f"prevalence must be 'auto', 'dirichlet' or 'hierarchical', not {prevalence!r}")
        if not any(isinstance(setting, Tracer) for setting in (strength, accuracy, reach, concentration)):
            _check_numbers(float(strength), float(accuracy), float(reach), float(concentration))
            if monotone == "none" and accuracy <= 1 / model.n_levels:
                warnings.warn(
                    f"accuracy {float(accuracy):.3g} is no better than chance on {model.n_levels} levels, so nothing "
                    "says which level is which: expect chains that disagree. Raise accuracy, or set monotone='lowest'.",
                    stacklevel=2,
                )

    def __call__(self) -> SimplexJudge:
        """Draw a model."""
        confusion = {"none": self._free, "lowest": self._lowest, "stochastic": self._stochastic}[self.monotone]()
        if self.volume:
            numpyro.factor("volume", self.volume * jnp.log(simplex_volume(confusion)).sum())
        return SimplexJudge(self._draw_prevalence(), confusion, self.model.values)

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

    def _free(self) -> Float[Array, "j m m"]:
        shape = self.model.confusion.shape
        rows = dist.Dirichlet(jnp.broadcast_to(self.strength * self.mean_confusion, shape))
        return jnp.asarray(numpyro.sample("confusion", rows))

    def _lowest(self) -> Float[Array, "j m m"]:
        """The first column by decreasing logits, the rest of each row by its Dirichlet, of which it is independent."""
        j, m, _ = self.model.confusion.shape
        one = jnp.ones((), self.accuracy.dtype)
        top = jnp.asarray(numpyro.sample("lowest_top", dist.Normal(logit(self.accuracy) * jnp.ones(j, one.dtype), one)))
        gap = jnp.asarray(numpyro.sample("lowest_gap", dist.Normal(jnp.full((j, m - 1), 2 / (m - 1), one.dtype), one)))
        steps = jnp.concatenate([jnp.zeros((j, 1), gap.dtype), jnp.cumsum(jax.nn.softplus(gap), axis=1)], axis=1)
        lowest = top[:, None] - steps
        if m == 2:
            rest = jnp.ones((j, m, 1), gap.dtype)
        else:
            concentration = jnp.broadcast_to(self.strength * self.mean_confusion[:, 1:], (j, m, m - 1))
            rest = jnp.asarray(numpyro.sample("rest", dist.Dirichlet(concentration)))
        others = jax.nn.sigmoid(-lowest)[..., None] * rest
        return jnp.concatenate([jax.nn.sigmoid(lowest)[..., None], others], axis=-1)

    def _stochastic(self) -> Float[Array, "j m m"]:
        """Each row is the one below it in level with some of its mass moved up."""
        j, m, _ = self.model.confusion.shape
        mean = self.mean_confusion
        first = dist.Dirichlet(jnp.broadcast_to(self.strength * mean[0], (j, m)))
        moved = 2 * jnp.broadcast_to(jnp.clip(upward_shares(mean), 0.05, 0.95), (j, m - 1, m - 1))
        row = jnp.asarray(numpyro.sample("first_row", first))
        share = jnp.asarray(numpyro.sample("moved_up", dist.Beta(moved, 2 - moved)))
        return upward_transport(row, share)

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


def upward_transport(first: Float[Array, "*b m"], share: Float[Array, "*b n n"]) -> Float[Array, "*b m m"]:
    r"""All stochastically monotone matrices: each next row moves shares of the last one upwards, level by level.

    With \(\text{room}_l = D_{l-1} + \theta_{ml}\), \(\theta_{m+1,l} = (1 - s_{ml}) \text{room}_l\) and
    \(D_l = s_{ml} \text{room}_l\), \(D_0 = 0\); what has moved to the top stays. No subtraction of probabilities.
    """
    rows = [first]
    for m in range(share.shape[-1]):
        carried = jnp.zeros_like(first[..., 0])
        row = []
        for level in range(share.shape[-1]):
            room = carried + rows[-1][..., level]
            carried = share[..., m, level] * room
            row.append((1 - share[..., m, level]) * room)
        rows.append(jnp.stack([*row, carried + rows[-1][..., -1]], axis=-1))
    return jnp.stack(rows, axis=-2)


def upward_shares(confusion: Float[Array, "m m"]) -> Float[Array, "n n"]:
    """Inverse of :func:`upward_transport`; outside [0, 1] where the matrix is not stochastically monotone."""
    lower, upper = confusion[:-1], confusion[1:]
    # What is in level l or below, before the move, less what is below l after it.
    room = jnp.cumsum(lower, axis=1)[:, :-1] - (jnp.cumsum(upper, axis=1) - upper)[:, :-1]
    return 1 - upper[:, :-1] / room


def _check_numbers(strength: float, accuracy: float, reach: float, concentration: float) -> None:
    if not 0 < accuracy < 1:
        raise ValueError(
            f"accuracy must lie in (0, 1), not be {accuracy}. For a perfect judge write a prior that draws the "
            "prevalence alone and returns SimplexJudge(prevalence, identity, values)."
        )
    for name, value in (("strength", strength), ("reach", reach), ("concentration", concentration)):
        if not value > 0:
            raise ValueError(f"{name} must be positive, not {value}")
    if math.isinf(strength) or math.isinf(concentration):
        raise ValueError("strength and concentration must be finite")
