"""What `scorax judge` reads off a model: candidates' scores, judges' accuracy, how judges look on average."""

import dataclasses
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from scorax.inference import Fit, Posterior
from scorax.judges import over_strata

# Draws from the normal approximation of a mode: enough for two digits of a probability.
_DRAWS_OF_A_MODE = 10_000


class CandidateScores(eqx.Module):
    """Expected score of every candidate, over strata where there are any."""

    strata: tuple[float, ...] | None = eqx.field(static=True, default=None)
    """How large each is."""

    def __call__(self, model: Any) -> Float[Array, " k"]:
        """In the order of the candidates."""
        score = model.expected_score()
        return score if self.strata is None else over_strata(score, self.strata)


class ScoresAndAccuracies(eqx.Module):
    """Scores of all candidates, accuracies of all judges, scores of all cells where there are strata."""

    share: Float[Array, " c"]
    """Of the items, by cell."""
    scores: CandidateScores

    def __call__(self, model: Any) -> Float[Array, " q"]:
        """All of them, end to end."""
        share = self.share.astype(model.prevalence.dtype)
        right = jnp.diagonal(mean_confusion(model), axis1=-2, axis2=-1)
        by_cell = jnp.broadcast_to(right, (share.size, *right.shape[-2:]))
        accuracy = jnp.einsum("k,km,kjm->j", share, model.prevalence, by_cell)
        cells = [] if self.scores.strata is None else [model.expected_score()]
        return jnp.concatenate([self.scores(model), accuracy, *cells])

    def bounds(self, model: Any) -> tuple[np.ndarray, np.ndarray]:
        """Least and largest value of each of them."""
        cells = 0 if self.scores.strata is None else self.share.size
        sizes = [self.share.size // len(self.scores.strata or (1,)), model.n_judges, cells]
        lowest, highest = model.values[0], model.values[-1]
        return np.repeat([lowest, 0.0, lowest], sizes), np.repeat([highest, 1.0, highest], sizes)


class Lenience(eqx.Module):
    """How much higher a judge's labels are on its own family's work than it would give for the same work by others."""

    own: Bool[Array, "k j"]
    share: Float[Array, " k"]
    """Of the items, by candidate."""

    def __call__(self, model: Any) -> Float[Array, " j"]:
        """In values of the levels; NaN for a judge who has no family here, or sees nothing else."""
        confusion = mean_confusion(model)
        share = self.share.astype(confusion.dtype)[:, None]
        own = share * self.own.astype(confusion.dtype)
        label = confusion @ jnp.asarray(model.values, confusion.dtype)
        others = share - own
        usual = jnp.einsum("kj,kjm->jm", others, label) / others.sum(0)[:, None]
        return jnp.einsum("kj,km,kjm->j", own, model.prevalence, label - usual[None]) / own.sum(0)


class Uncertain(NamedTuple):
    """Numbers with their uncertainty."""

    value: np.ndarray
    std_error: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    draws: np.ndarray


def uncertain(result: Fit[Any] | Posterior[Any], quantities: Any, level: float) -> Uncertain:
    """The quantities, with intervals of this level.

    Raises:
        ValueError: The result is a mode at the edge of what is possible.
    """
    tail = (1 - level) / 2
    if isinstance(result, Fit):
        estimate = result.map(quantities)
        value, covariance = np.asarray(estimate.value), np.asarray(estimate.covariance)
        if not np.isfinite(covariance).all():
            raise ValueError(
                "the mode lies at the edge of what is possible (some level never occurs, or some judge never errs), "
                "where it has no intervals: use --method nuts"
            )
        # A fixed seed: the same labels give the same report.
        draws = np.random.default_rng(0).multivariate_normal(value, covariance, _DRAWS_OF_A_MODE, method="eigh")
        # The normal approximation reaches beyond what scores and accuracies can be.
        draws = np.clip(draws, *quantities.bounds(result.model))
    else:
        draws = np.asarray(result.map(quantities))
        draws = draws.reshape(-1, draws.shape[-1])
        value = draws.mean(0)
    lower, upper = np.quantile(draws, [tail, 1 - tail], axis=0)
    return Uncertain(value, draws.std(0, ddof=1), lower, upper, draws)


def mean_confusion(model: Any) -> Float[Array, "*k j m m"]:
    """How often each judge says `l` where the truth is `m`: over all items, whatever they earn from all judges."""
    if model.item_effect is None:
        return model.confusion
    # Candidates whose answers are all of one level show a judge's rows.
    every_level = jnp.eye(model.n_levels, dtype=model.prevalence.dtype)

    def seen(confusion: Array) -> Array:
        return dataclasses.replace(model, prevalence=every_level, confusion=confusion).observed_distribution()

    return jax.vmap(seen)(model.confusion) if model.varies else seen(model.confusion)


def average_confusion(model: Any) -> Float[Array, "j m m"]:
    """Of judges who vary from candidate to candidate, what they are like on average."""
    confusion = mean_confusion(model)
    return confusion.mean(0) if confusion.ndim == 4 else confusion
