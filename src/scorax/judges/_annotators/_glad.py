"""Able judges and hard items."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float, PRNGKeyArray

from scorax.data import Annotations
from scorax.inference import log_likelihood, weighted_total
from scorax.judges._annotators._annotator import AbstractClassAnnotator, check_sizes, label_evidence, right_or_wrong
from scorax.judges._expectation_maximisation import EMStep
from scorax.judges._label_tally import LabelTally
from scorax.judges._latent_class import latent_class_log_prob
from scorax.judges._pseudo_counts import log_prior
from scorax.judges._quadrature import gauss_hermite
from scorax.numerics import available_dtype

_MEAN_DIFFICULTY = -1.0


class GLAD(AbstractClassAnnotator):
    r"""Judges of an ability of their own on items of a difficulty of their own; all true levels equally frequent.

    A judge is right with probability \(\sigma(a_j e^{-d_i})\), and else errs evenly: on a very hard item everybody
    tosses a coin, and a judge of negative ability is wrong more often than right.

    Difficulties are integrated out, as normal with mean -1 and standard deviation 1, by Gauss-Hermite quadrature. Or
    they are parameters, one a row (`GLAD.init(..., n_items=...)`), as in the paper: such a model belongs to its rows,
    in their order, and knows nothing of padded or merged ones.

    Example:
        >>> ratings, names = sx.data.datasets.load_anesthesia()
        >>> start = GLAD.init(5, 4)
        >>> sx.judges.fit_em(start, ratings, 100, prior=start.prior).model.ability.round(1).tolist()
        [0.9, 0.3, 0.5, 0.8, 0.5]

    Source: Whitehill, Ruvolo, Wu, Bergsma & Movellan (2009), "Whose vote should count more", NIPS 22. Their
    \(1 / \beta_i\) is \(e^{d_i}\).
    """

    ability: Float[Array, " j"]
    """How far each judge's chance of being right rises with an item's ease: 0 for who does not look."""
    difficulty: Float[Array, " n"] | None
    """How hard each row is, on a logarithmic scale; None where it is integrated out."""
    levels: int = eqx.field(static=True)

    @classmethod
    def init(cls, n_judges: int, n_levels: int, *, n_items: int | None = None, dtype: Any = float) -> "GLAD":
        """All judges and all items at the mean of the prior.

        Args:
            n_judges: Number of judges.
            n_levels: Number of levels.
            n_items: Number of rows, where each is to have a difficulty of its own.
            dtype: Of the parameters.

        Raises:
            ValueError: No judge, or fewer than two levels.
        """
        check_sizes(n_judges, n_levels)
        dtype = available_dtype(dtype)
        difficulty = None if n_items is None else jnp.full(n_items, _MEAN_DIFFICULTY, dtype)
        return cls(jnp.ones(n_judges, dtype), difficulty, n_levels)

    @property
    def n_judges(self) -> int:
        """Number of judges."""
        return self.ability.shape[-1]

    @property
    def n_levels(self) -> int:
        """Number of levels."""
        return self.levels

    @property
    def n_effects(self) -> int:
        """The difficulty."""
        return 1

    @property
    def n_nodes(self) -> int:
        """Of the quadrature over it."""
        return 21

    def log_prevalence(self) -> Float[Array, " m"]:
        """All alike."""
        return jnp.full(self.levels, -jnp.log(self.levels), self.dtype)

    def label_log_prob(self, effect: Float[Array, "q d"]) -> Float[Array, "j m q l"]:
        """Right with the probability of ability and difficulty, else any other label."""
        ease = jnp.exp(-(_MEAN_DIFFICULTY + effect[:, 0]))
        table = right_or_wrong(*_right_and_wrong(self.ability[:, None] * ease[None, :]), self.levels)
        return jnp.moveaxis(table, 1, 2)

    def evidence(self, data: Annotations | LabelTally) -> Float[Array, "n m"]:
        """Log-probability of each row's labels given each true level."""
        if self.difficulty is None:
            return super().evidence(data)
        self._refuse_other_rows(data)
        ease = jnp.exp(-self.difficulty)
        if isinstance(data, LabelTally):
            right, wrong = _right_and_wrong(self.ability[None, :] * ease[:, None])
            tally = data.tally.astype(self.dtype)
        else:
            right, wrong = _right_and_wrong(self.ability[data.judge] * ease[:, None])
            given = data.label[..., None] == jnp.arange(self.levels, dtype=data.label.dtype)[None, None, :]
            tally = (given & data.where[..., None]).astype(self.dtype)
        wrong = wrong - jnp.log(jnp.asarray(self.levels - 1, self.dtype))
        return jnp.einsum("njm,nj->nm", tally, right - wrong) + jnp.einsum("njm,nj->n", tally, wrong)[:, None]

    def draw_effects(self, data: Annotations, *, key: PRNGKeyArray) -> Float[Array, "n d"]:
        """Difficulties, in standard deviations from their mean."""
        if self.difficulty is None:
            return jax.random.normal(key, (data.label.shape[0], 1), self.dtype)
        self._refuse_other_rows(data)
        return (self.difficulty - _MEAN_DIFFICULTY)[:, None]

    def prior(self) -> "GLAD":
        """`ability ~ Normal(1, 1)`, `difficulty ~ Normal(-1, 1)`."""
        unit = jnp.ones((), self.dtype)
        one = jnp.ones_like(self.ability)
        ability = jnp.asarray(numpyro.sample("ability", dist.Normal(one, unit)))
        if self.difficulty is None:
            return GLAD(ability, None, self.levels)
        mean = jnp.full_like(self.difficulty, _MEAN_DIFFICULTY)
        return GLAD(ability, jnp.asarray(numpyro.sample("difficulty", dist.Normal(mean, unit))), self.levels)

    def em_step(self, data: Annotations | LabelTally, prior: Callable[[], Any] | None) -> EMStep:
        """Expected labels by judge and difficulty, then a few steps of Newton's method that only go up."""

        def penalty(model: "GLAD") -> Float[Array, ""]:
            return jnp.zeros((), model.dtype) if prior is None else log_prior(prior, model).astype(model.dtype)

        expected = _expected_log_likelihood(self, data)

        def surrogate(model: "GLAD") -> Float[Array, ""]:
            return expected(model) + penalty(model)

        model = self
        for _ in range(2):
            ability, rest = model.ability, model
            model = GLAD(
                _improved(lambda x, rest=rest: surrogate(GLAD(x, rest.difficulty, rest.levels)), ability),
                rest.difficulty,
                rest.levels,
            )
            if model.difficulty is not None:
                rest = model
                better = _improved(lambda x, rest=rest: surrogate(GLAD(rest.ability, x, rest.levels)), model.difficulty)
                model = GLAD(model.ability, better, model.levels)
        return EMStep(model, log_likelihood(self, data), penalty(self))

    def _refuse_other_rows(self, data: Annotations | LabelTally) -> None:
        rows, known = data.weight.shape[0], 0 if self.difficulty is None else self.difficulty.shape[-1]
        if rows != known:
            raise ValueError(
                f"this model has difficulties of {known} items, one a row, but the data have {rows} rows. Give it the "
                "rows that it was made for, neither merged nor padded; or leave n_items out, to integrate over "
                "difficulties."
            )


def _right_and_wrong(x: Float[Array, "*b"]) -> tuple[Float[Array, "*b"], Float[Array, "*b"]]:
    return jax.nn.log_sigmoid(x), jax.nn.log_sigmoid(-x)


def _expected_log_likelihood(model: GLAD, data: Annotations | LabelTally) -> Callable[[GLAD], Float[Array, ""]]:
    """Log-likelihood if what is hidden were known, averaged over what it is thought to be."""
    if model.difficulty is not None:
        share = model.label_posterior(data)
        return lambda other: weighted_total((share * other.evidence(data)).sum(-1), data)
    effect, log_weight = gauss_hermite(model.n_nodes, 1, model.dtype)

    def of_table(table: Float[Array, "j m q l"]) -> Float[Array, ""]:
        evidence = label_evidence(table, log_weight, data)
        prevalence = jnp.broadcast_to(model.log_prevalence(), evidence.shape)
        return weighted_total(latent_class_log_prob(prevalence, evidence, gold=data.gold, has_gold=data.has_gold), data)

    counts = jax.grad(of_table)(model.label_log_prob(effect))
    return lambda other: jnp.vdot(counts, other.label_log_prob(effect))


def _improved(surrogate: Callable[[Float[Array, " d"]], Float[Array, ""]], x: Float[Array, " d"]) -> Float[Array, " d"]:
    """A Newton step of a function that is a sum over coordinates, as long as it goes up."""
    slope = jax.grad(surrogate)
    gradient, curvature = jax.jvp(slope, (x,), (jnp.ones_like(x),))
    flat = float(jnp.finfo(x.dtype).eps)
    step = jnp.clip(gradient / jnp.maximum(jnp.abs(curvature), flat), -1, 1)
    lengths = jnp.asarray([1.0, 0.5, 0.25, 0.0625, 0.0], x.dtype)
    values = jax.lax.map(lambda length: surrogate(x + length * step), lengths)
    return x + lengths[jnp.argmax(values)] * step
