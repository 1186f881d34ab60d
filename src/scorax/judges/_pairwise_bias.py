"""Judges of pairs and their biases: for what is shown first, for what is longer, for what is their own."""

import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float, PRNGKeyArray
from numpyro.distributions import constraints

from scorax.choice import bradley_terry_log_prob
from scorax.data import Comparisons, refuse
from scorax.inference import AbstractModel, AbstractSolver, Newton, parameter
from scorax.numerics import available_dtype


def length_feature(
    length_a: Float[Array, " n"], length_b: Float[Array, " n"], *, shape: str = "tanh"
) -> Float[Array, " n"]:
    r"""How much longer `a` is than `b`, in units in which data sets are alike; it changes sign when they are swapped.

    Args:
        length_a: Of the first items, in any unit (characters, tokens).
        length_b: Of the second items.
        shape: `"tanh"`: \(\tanh(\Delta / s)\), which outliers do not rule; `"linear"`: \(\Delta / s\). The scale
            \(s\) is the standard deviation of all differences.

    Returns:
        Zeros where all differences are equal: length cannot tell them apart.

    Raises:
        ValueError: there is no such shape.

    Example:
        >>> length_feature(jnp.array([100.0, 300.0, 50.0]), jnp.array([100.0, 100.0, 250.0])).round(2)
        Array([ 0.  ,  0.76, -0.76], dtype=float32)

    Source: Dubois, Galambosi, Liang & Hashimoto (2024), arXiv:2404.04475.
    """
    if shape not in ("tanh", "linear"):
        raise ValueError(f"shape must be 'tanh' or 'linear', not {shape!r}")
    difference = length_a - length_b
    centred = difference - difference.mean()
    square = (centred**2).sum() / max(difference.shape[0] - 1, 1)
    varies = square > 0
    scaled = jnp.where(varies, difference / jnp.sqrt(jnp.where(varies, square, 1)), 0)
    return jnp.tanh(scaled) if shape == "tanh" else scaled


class PairwiseJudges(AbstractModel[Comparisons]):
    r"""Judges that compare two answers, each with its own biases and its own sharpness.

    $$\text{logit } P(a \succ b) = e^{s_j} (\beta_a - \beta_b) + \delta_j o + \sum_f \lambda_{jf} x_f$$

    The judge of a row is its `data.cluster` (so clusters of prompts, for robust standard errors, go to `Fit.robust`);
    \(o\) is `data.order`, +1 where `a` was shown first; \(x\) is `data.features`: the difference in length
    (`length_feature`), whether `a` less whether `b` is by the judge's own family, or any other that changes sign with
    the sides. Candidates' strengths are what is left when judges' biases are taken out.

    With `fit` every judge's biases are free; `prior` ties them together (a hierarchy over judges), which is for
    `sample`.

    Attributes:
        strength: One number a candidate, summing to zero.
        position: Log-odds of what a judge is shown first, a number a judge.
        coefficient: Log-odds by judge and feature.
        log_sharpness: How much a judge makes of a difference in strength, in logs, summing to zero over judges; 1 for
            all where None.

    Example:
        >>> data = sx.data.Comparisons.from_arrays(
        ...     [0, 1, 0, 1], [1, 0, 1, 0], [1.0, 0.0, 1.0, 1.0], order=[1, 1, 1, 1], cluster=[0, 0, 1, 1],
        ...     weight=[9.0, 4.0, 5.0, 5.0],
        ... )
        >>> model = PairwiseJudges.init(n_items=2, n_judges=2)
        >>> model.log_prob(data).round(3)
        Array([-0.693, -0.693, -0.693, -0.693], dtype=float32)

    Source: Zheng, Chiang, Sheng et al. (2023), arXiv:2306.05685 (the three biases); Davidson & Beaver (1977),
    doi:10.2307/2529467 (order); Dubois et al. (2024), arXiv:2404.04475 (length); Panickssery, Bowman & Feng (2024),
    arXiv:2404.13076 (self-preference).
    """

    strength: Float[Array, " k"] = parameter(constraints.zero_sum(1))
    position: Float[Array, " j"] | None = None
    coefficient: Float[Array, "j d"] | None = None
    log_sharpness: Float[Array, " j"] | None = parameter(constraints.zero_sum(1), default=None)

    solver: ClassVar[AbstractSolver] = Newton()

    @classmethod
    def init(
        cls,
        n_items: int,
        n_judges: int,
        *,
        position: bool = True,
        n_features: int = 0,
        sharpness: bool = False,
        dtype: Any = float,
    ) -> "PairwiseJudges":
        """Equal candidates, unbiased judges.

        Args:
            n_items: Number of candidates, at least 2.
            n_judges: Number of judges, at least 1.
            position: Whether judges may prefer what they are shown first.
            n_features: Number of columns of `data.features` that may sway them.
            sharpness: Whether judges differ in how much they make of a difference in strength; needs two of them.
            dtype: Of the parameters.

        Raises:
            ValueError: Fewer than two candidates, no judge, or a single judge with `sharpness`.
        """
        if n_items < 2 or n_judges < 1:
            raise ValueError(f"a comparison needs two candidates and a judge, not {n_items} and {n_judges}")
        if sharpness and n_judges < 2:
            raise ValueError("a single judge's sharpness is the unit of strength: leave sharpness out")
        dtype = available_dtype(dtype)
        return cls(
            jnp.zeros(n_items, dtype),
            jnp.zeros(n_judges, dtype) if position else None,
            jnp.zeros((n_judges, n_features), dtype) if n_features else None,
            jnp.zeros(n_judges, dtype) if sharpness else None,
        )

    def log_odds(self, data: Comparisons) -> Float[Array, " n"]:
        """Of a win of `a`, as its judge sees it."""
        judge, total = data.cluster, data.difference(self.strength)
        if self.log_sharpness is not None:
            total = total * jnp.exp(self.log_sharpness[judge])
        return total + self.bias(data)

    def bias(self, data: Comparisons) -> Float[Array, " n"]:
        """What of the log-odds is not the candidates' strength: the judge's biases in favour of `a`."""
        judge, total = data.cluster, jnp.zeros_like(self.strength, shape=data.weight.shape)
        if self.position is not None and data.order is not None:
            total = total + self.position[judge] * data.order.astype(total.dtype)
        if self.coefficient is not None and data.features is not None:
            total = total + (self.coefficient[judge] * data.features.astype(total.dtype)).sum(-1)
        return total

    def log_prob(self, data: Comparisons) -> Float[Array, " n"]:
        """Log-probability of one observation of each row; a tie is half a win for each side."""
        odds = self.log_odds(data)
        return bradley_terry_log_prob(odds, data.outcome.astype(odds.dtype))

    def prior(self) -> "PairwiseJudges":
        """Judges of one kind: biases vary around those of the kind, by amounts that are learned.

        Sites: `scale` of the strengths; for each bias its `_mean` (`Normal(0, 1)`), `_spread` (`HalfNormal(0.5)`) and
        `_offset` (one a judge, not centred).
        """
        scale = numpyro.sample("scale", dist.HalfNormal(1.0))
        strength = jnp.asarray(numpyro.sample("strength", dist.ZeroSumNormal(scale, self.strength.shape)))
        sharpness = None
        if self.log_sharpness is not None:
            spread = numpyro.sample("sharpness_spread", dist.HalfNormal(0.5))
            shape = self.log_sharpness.shape
            sharpness = jnp.asarray(numpyro.sample("log_sharpness", dist.ZeroSumNormal(spread, shape)))
        return PairwiseJudges(
            strength, _of_judges("position", self.position), _of_judges("coefficient", self.coefficient), sharpness
        )

    def simulate(self, data: Comparisons, *, key: PRNGKeyArray) -> Comparisons:
        """New verdicts of the same judges on the same pairs, one observation a row, without ties."""
        won = jax.random.bernoulli(key, jax.nn.sigmoid(self.log_odds(data)))
        return dataclasses.replace(data, outcome=won.astype(data.outcome.dtype))

    def check(self, data: Comparisons) -> None:
        """Raise `ValueError` where data lack what this model asks for, or hold ids that it has not."""
        k, j = self.strength.shape[0], self._n_judges
        if data.cluster is None:
            raise ValueError("rows do not say who judged: pass Comparisons with cluster=..., an id a judge")
        for needed, column, name in (
            (self.position, data.order, "order"),
            (self.coefficient, data.features, "features"),
        ):
            if needed is not None and column is None:
                raise ValueError(
                    f"the model has biases that need {name!r}: pass Comparisons with {name}=..., or make the model "
                    "without them"
                )
        if self.coefficient is not None and data.features is not None:
            given, wanted = data.features.shape[1], self.coefficient.shape[1]
            if given != wanted:
                raise ValueError(f"the data have {given} features, the model {wanted}: make it with n_features={given}")
        largest = np.maximum(np.asarray(data.a), np.asarray(data.b))
        refuse(largest >= k, f"an item id is {k} or more", "Make the model with another n_items.")
        if j is not None:
            refuse(
                np.asarray(data.cluster) >= j, f"a judge's id is {j} or more", "Make the model with another n_judges."
            )

    @property
    def _n_judges(self) -> int | None:
        for leaf in (self.position, self.coefficient, self.log_sharpness):
            if leaf is not None:
                return leaf.shape[0]
        return None


def _of_judges(name: str, leaf: Array | None) -> Array | None:
    """A bias of judges of one kind, a row a judge."""
    if leaf is None:
        return None
    dtype, kind = leaf.dtype, leaf.shape[1:]
    zero, one, half = (jnp.full(kind, x, dtype) for x in (0.0, 1.0, 0.5))
    mean = jnp.asarray(numpyro.sample(f"{name}_mean", dist.Normal(zero, one).to_event(len(kind))))
    spread = jnp.asarray(numpyro.sample(f"{name}_spread", dist.HalfNormal(half).to_event(len(kind))))
    unit = dist.Normal(jnp.zeros(leaf.shape, dtype), jnp.ones(leaf.shape, dtype)).to_event(leaf.ndim)
    offset = jnp.asarray(numpyro.sample(f"{name}_offset", unit))
    return mean[None] + spread[None] * offset
