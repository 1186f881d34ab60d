"""What a judge of pairs prefers: a regression of its choices on how the two answers differ."""

import dataclasses
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float, PRNGKeyArray

from scorax.data import Comparisons
from scorax.inference import AbstractModel, AbstractSolver
from scorax.judges._proximal_gradient import ProximalGradient
from scorax.stats import average_rank

_SHRINKAGES = ("laplace", "normal", "horseshoe")
_KINDS = ("pearson", "spearman", "mae", "rms")


class PreferenceRegression(AbstractModel[Comparisons]):
    r"""Log-odds that the first answer is preferred are linear in how the answers differ, \(x \cdot \alpha\).

    Features are properties of the first answer less those of the second, in {-1, 0, 1} say. Without an order effect
    there is no intercept: to exchange the answers changes nothing. Most properties are taken not to matter: a Laplace
    prior, whose mode (`fit(model, data, prior=model.prior)`) has exact zeros; a normal one; or a horseshoe, whose
    scales are parameters too, so that it can only be sampled.

    With `n_judges` every judge (or scenario, or kind of question) has a row of coefficients; the judge of a row is
    its `data.cluster`, as in `PairwiseJudges`. `fit` takes them one by one; `prior` scatters them about common
    coefficients as far as the choices say, which is for `sample`.

    Example:
        >>> features = [[1, 0], [1, 1], [1, -1], [-1, 0]]
        >>> data = sx.data.Comparisons.from_arrays([0] * 4, [1] * 4, [1, 1, 1, 0], features=features)
        >>> model = PreferenceRegression.init(2, scale=1.0)
        >>> sx.inference.fit(model, data, prior=model.prior).model.coefficient.round(3)  # 4 p(-x) = 1 at x = log 3
        Array([1.099, 0.   ], dtype=float32)

    Source: Li, Zhou, Sun, Zhang, Zhao, Liu (2024), arXiv 2402.11296.
    """

    coefficient: Float[Array, "*j d"]
    """Log-odds by feature, or by judge and feature."""
    order_effect: Float[Array, ""] | None = None
    """Log-odds of preferring the answer that was shown first, where `data.order` says which."""
    shrinkage: str = eqx.field(static=True, default="laplace")
    scale: float = eqx.field(static=True, default=0.1)
    """Of the prior of each coefficient; of all of them together for the horseshoe."""

    solver: ClassVar[AbstractSolver] = ProximalGradient()

    def __check_init__(self):
        if self.shrinkage not in _SHRINKAGES:
            raise ValueError(f"shrinkage must be one of {_SHRINKAGES}, not {self.shrinkage!r}")
        if not self.scale > 0:
            raise ValueError(f"scale must be above 0, not {self.scale}")

    @classmethod
    def init(
        cls,
        n_features: int,
        *,
        n_judges: int | None = None,
        order_effect: bool = False,
        shrinkage: str = "laplace",
        scale: float = 0.1,
    ) -> "PreferenceRegression":
        """Indifference to every feature; of each of `n_judges` judges, if there are several."""
        effect = jnp.zeros(()) if order_effect else None
        shape = (n_features,) if n_judges is None else (n_judges, n_features)
        return cls(jnp.zeros(shape), effect, shrinkage, scale)

    def log_odds(self, data: Comparisons) -> Float[Array, " n"]:
        """Of preferring the first answer."""
        features = jnp.zeros((data.a.size, 0)) if data.features is None else data.features
        features = features.astype(self.coefficient.dtype)
        if self.coefficient.ndim == 1:
            odds = features @ self.coefficient
        else:
            odds = (features * self.coefficient[data.cluster]).sum(-1)
        if self.order_effect is None or data.order is None:
            return odds
        return odds + self.order_effect * data.order.astype(odds.dtype)

    def log_prob(self, data: Comparisons) -> Float[Array, " n"]:
        """Of each choice; a soft label is so many choices of either answer."""
        odds = self.log_odds(data)
        outcome = data.outcome.astype(odds.dtype)
        return outcome * jax.nn.log_sigmoid(odds) + (1 - outcome) * jax.nn.log_sigmoid(-odds)

    def check(self, data: Comparisons) -> None:
        """Raise `ValueError` where the data have other features, or no order for an order effect."""
        held = 0 if data.features is None else data.features.shape[1]
        *judges, expected = self.coefficient.shape
        if held != expected:
            raise ValueError(f"the data have {held} features, the model {expected} coefficients")
        if judges:
            self._check_judges(data, judges[0])
        if self.order_effect is not None and data.order is None:
            raise ValueError("an order effect needs data.order, which says whose answer was shown first")

    def _check_judges(self, data: Comparisons, n_judges: int) -> None:
        if data.cluster is None:
            raise ValueError("coefficients by judge need data.cluster, which says whose choice a row is")
        judge = np.asarray(data.cluster)
        bad = np.flatnonzero((judge < 0) | (judge >= n_judges))
        if bad.size:
            raise ValueError(
                f"{bad.size} rows have a cluster outside 0..{n_judges - 1} (first rows: {bad[:3].tolist()}): make the "
                "model with another n_judges"
            )

    def prior(self) -> "PreferenceRegression":
        """Independent coefficients, of judges about common ones; and a standard normal order effect."""
        *judges, d = self.coefficient.shape
        coefficient = self._common("common" if judges else "coefficient", d)
        if judges:
            spread = numpyro.sample("spread", dist.HalfNormal(self.scale).expand((d,)).to_event(1))
            apart = numpyro.sample("apart", dist.Normal(0.0, 1.0).expand((*judges, d)).to_event(2))
            coefficient = coefficient[None] + jnp.asarray(spread)[None] * jnp.asarray(apart)
        effect = (
            None if self.order_effect is None else jnp.asarray(numpyro.sample("order_effect", dist.Normal(0.0, 1.0)))
        )
        return PreferenceRegression(coefficient, effect, self.shrinkage, self.scale)

    def _common(self, name: str, d: int) -> Float[Array, " d"]:
        if self.shrinkage == "horseshoe":
            local = numpyro.sample("local_scale", dist.HalfCauchy(1.0).expand((d,)).to_event(1))
            standard = numpyro.sample("standard", dist.Normal(0.0, 1.0).expand((d,)).to_event(1))
            return jnp.asarray(numpyro.deterministic(name, self.scale * jnp.asarray(local) * jnp.asarray(standard)))
        family = dist.Laplace if self.shrinkage == "laplace" else dist.Normal
        return jnp.asarray(numpyro.sample(name, family(0.0, self.scale).expand((d,)).to_event(1)))

    def simulate(self, data: Comparisons, *, key: PRNGKeyArray) -> Comparisons:
        """New choices between the same answers, one observation a row (see `data.expand()`)."""
        odds = self.log_odds(data)
        chosen = jax.random.bernoulli(key, jax.nn.sigmoid(odds))
        return dataclasses.replace(data, outcome=chosen.astype(data.outcome.dtype))


def effect_probability(coefficient: Float[Array, "*b"]) -> Float[Array, "*b"]:
    r"""How probably an answer is preferred that has one property more than the other and no other difference.

    Args:
        coefficient: Log-odds of the property, as of a :class:`PreferenceRegression`.

    Returns:
        \(\sigma(\alpha)\) in (0, 1): 1/2 is indifference.

    Example:
        >>> effect_probability(jnp.array([0.0, 0.6, -0.6])).round(3)
        Array([0.5  , 0.646, 0.354], dtype=float32)

    Source: Li, Zhou, Sun, Zhang, Zhao, Liu (2024), arXiv 2402.11296.
    """
    return jax.nn.sigmoid(coefficient)


def judge_similarity(coefficient: Float[Array, "*b j d"], *, kind: str = "pearson") -> Float[Array, "*b j j"]:
    """How alike judges are in what they prefer.

    Args:
        coefficient: A row for each judge, a column for each property. Leading axes, scenarios say, are kept: take the
            mean over them.
        kind: `"pearson"` or `"spearman"`: the correlation of two rows. `"mae"` or `"rms"`: minus the mean absolute
            difference, minus the root of the mean squared difference. Larger is more alike.

    Returns:
        A symmetric matrix. NaN for correlations with a judge whose coefficients are all equal.

    Raises:
        ValueError: `kind` is unknown.

    Example:
        >>> judge_similarity(jnp.array([[0.5, 0.0, -0.5], [1.0, 0.0, -1.0], [-0.5, 0.0, 0.5]])).round(3)[0]
        Array([ 1.,  1., -1.], dtype=float32)

    Source: Li, Zhou, Sun, Zhang, Zhao, Liu (2024), arXiv 2402.11296.
    """
    if kind not in _KINDS:
        raise ValueError(f"kind must be one of {_KINDS}, not {kind!r}")
    if kind in ("mae", "rms"):
        apart = coefficient[..., :, None, :] - coefficient[..., None, :, :]
        if kind == "mae":
            return -jnp.abs(apart).mean(-1)
        square = (apart**2).mean(-1)
        some = square > 0
        return -jnp.where(some, jnp.sqrt(jnp.where(some, square, 1)), 0)
    rows = average_rank(coefficient) if kind == "spearman" else coefficient
    varies = rows.max(-1) > rows.min(-1)
    centred = rows - rows.mean(-1, keepdims=True)
    length = jnp.sqrt(jnp.where(varies, (centred**2).sum(-1), 1))
    unit = jnp.where(varies[..., None], centred / length[..., None], jnp.nan)
    return jnp.einsum("...id,...jd->...ij", unit, unit)
