"""Strengths that depend on what is known about the items, with or without deviations of their own."""

import dataclasses
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float, PRNGKeyArray
from numpyro.distributions import constraints

from scorax.data import WithItemFeatures
from scorax.inference import AbstractModel, AbstractSolver, Newton, parameter


class Structured(AbstractModel[WithItemFeatures]):
    r"""Any model of comparisons or rankings, its strengths a linear function of the items' features.

    \(\theta = Z \beta + u\), with deviations \(u\) of the items only if asked for. They are not determined by a
    likelihood beside \(\beta\): give them a prior, as `sample` does (a random effect), or leave them out for `fit`.

    Attributes:
        coefficient: Strength per unit of each feature.
        base: The other parameters of the model, its strengths left out.
        deviation: What each item's strength has beyond its features, summing to zero.

    Example:
        >>> rankings = sx.data.Rankings.from_orders([[0, 1, 2], [0, 2, 1], [1, 0, 2], [2, 0, 1]])
        >>> data = sx.data.WithItemFeatures.from_arrays(rankings, [2.0, 1.0, 0.0])
        >>> model = Structured.init(sx.choice.PlackettLuce.init(3), n_features=1)
        >>> sx.inference.fit(model, data).model.coefficient.round(2)
        Array([0.6], dtype=float32)

    Source: Springall (1973), doi:10.2307/2346912 (Bradley-Terry); Turner & Firth (2012), doi:10.18637/jss.v048.i09
    (random effects); Yildiz, Dy, Erdogmus et al. (2020), arXiv:2002.09615 (Plackett-Luce).
    """

    coefficient: Float[Array, " d"]
    base: Any
    deviation: Float[Array, " k"] | None = parameter(constraints.zero_sum(1), default=None)

    solver: ClassVar[AbstractSolver] = Newton()

    @classmethod
    def init(cls, model: AbstractModel[Any], n_features: int, *, deviations: bool = False) -> "Structured":
        """No feature matters yet.

        Args:
            model: Of comparisons or rankings, with a `strength`: gives the number of items and the other parameters.
            n_features: Columns of `item_features`.
            deviations: Whether items have deviations of their own: a random effect, for `sample`.
        """
        strength: Any = getattr(model, "strength", None)
        if strength is None:
            raise ValueError(f"{type(model).__name__} has no strengths that features could explain")
        return cls(
            jnp.zeros(n_features, strength.dtype),
            _with_strength(model, None),
            jnp.zeros_like(strength) if deviations else None,
        )

    def model(self, data: WithItemFeatures) -> Any:
        """The model at the strengths that the features give, which sum to zero."""
        strength = data.item_features.astype(self.coefficient.dtype) @ self.coefficient
        strength = strength - strength.mean()
        if self.deviation is not None:
            strength = strength + self.deviation
        return _with_strength(self.base, strength)

    def log_prob(self, data: WithItemFeatures) -> Float[Array, "..."]:
        """Log-probability of one observation of each row."""
        return self.model(data).log_prob(data.rows)

    def total_log_prob(self, data: WithItemFeatures) -> Float[Array, ""]:
        """By the model's own short way."""
        return self.model(data).total_log_prob(data.rows)

    def prior(self) -> "Structured":
        """Unit-normal coefficients; deviations of an unknown scale, `HalfNormal(1)`; the rest as the model has it."""
        unit = dist.Normal(0.0, 1.0).expand(self.coefficient.shape).to_event(1)
        coefficient = jnp.asarray(numpyro.sample("coefficient", unit))
        deviation = None
        if self.deviation is not None:
            scale = numpyro.sample("scale", dist.HalfNormal(1.0))
            deviation = jnp.asarray(numpyro.sample("deviation", dist.ZeroSumNormal(scale, self.deviation.shape)))
        # Of the model's own prior only the other parameters matter: its strengths are given, and say nothing.
        unused = {"base.scale": jnp.ones((), coefficient.dtype), "base.strength": jnp.zeros(2, coefficient.dtype)}
        hidden, given = numpyro.handlers.block(hide=list(unused)), numpyro.handlers.substitute(data=unused)
        with hidden, given, numpyro.handlers.scope(prefix="base", divider="."):
            drawn = _with_strength(self.base, unused["base.strength"]).prior()
        return Structured(coefficient, _with_strength(drawn, None), deviation)

    def simulate(self, data: WithItemFeatures, *, key: PRNGKeyArray) -> WithItemFeatures:
        """New outcomes of the same design."""
        return dataclasses.replace(data, rows=self.model(data).simulate(data.rows, key=key))

    def check(self, data: WithItemFeatures) -> None:
        """Raise `ValueError` where the features do not fit this model, or the rows do not fit the model inside."""
        if data.item_features.shape[1] != self.coefficient.shape[0]:
            raise ValueError(
                f"items have {data.item_features.shape[1]} features, the model {self.coefficient.shape[0]} coefficients"
            )
        if self.deviation is not None and data.item_features.shape[0] != self.deviation.shape[0]:
            raise ValueError(
                f"there are features of {data.item_features.shape[0]} items, the model has {self.deviation.shape[0]}"
            )
        self.model(data).check(data.rows)

    def condense(self, data: WithItemFeatures) -> WithItemFeatures:
        """As the model inside condenses its rows."""
        return dataclasses.replace(data, rows=self.model(data).condense(data.rows))


def _with_strength(model: Any, strength: Float[Array, " k"] | None) -> Any:
    return eqx.tree_at(lambda model: model.strength, model, strength, is_leaf=lambda x: x is None)
