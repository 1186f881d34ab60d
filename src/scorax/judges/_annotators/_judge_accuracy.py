"""How often judges are right, and whether looking helps them."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


class JudgeAccuracy(eqx.Module):
    """How often a judge is right, beside what the same labels would achieve at random."""

    accuracy: Float[Array, "*b"]
    """How often the label is the true level."""
    chance: Float[Array, "*b"]
    """How often it would be, if the judge gave each label as often but without looking at the item."""
    kappa: Float[Array, "*b"]
    """`(accuracy - chance) / (1 - chance)`: 1 for a perfect judge, 0 for one who does not look, below 0 for one who is
    worse than that. NaN for a judge who cannot but be right."""
    worse_than_chance: Bool[Array, "*b"]
    """Whether `kappa` is below 0."""


def judge_accuracy(prevalence: Float[Array, "*#b m"], confusion: Float[Array, "*b m m"]) -> JudgeAccuracy:
    """How often judges are right, and which of them are worse than chance.

    A likelihood without gold labels does not know: where most judges are worse than chance it takes them for good ones
    and the truth for its opposite. Gold labels of some items tell. Over draws, the mean of `worse_than_chance` is the
    probability that a judge is.

    Args:
        prevalence: How often an item is truly of each level.
        confusion: `confusion[..., m, l]`, how often a judge says `l` where the truth is `m`.

    Example:
        >>> confusion = jnp.array([[[0.9, 0.1], [0.9, 0.1]], [[0.8, 0.2], [0.1, 0.9]]])
        >>> found = judge_accuracy(jnp.array([0.9, 0.1]), confusion)
        >>> found.accuracy.round(2).tolist(), found.kappa.round(2).tolist()  # the first does not look
        ([0.82, 0.81], [0.0, 0.4])

    Source: Cohen (1960), doi:10.1177/001316446002000104.
    """
    prevalence = jnp.broadcast_to(prevalence, confusion.shape[:-1])
    right = (prevalence * jnp.diagonal(confusion, axis1=-2, axis2=-1)).sum(-1)
    given = (prevalence[..., None] * confusion).sum(-2)
    chance = (prevalence * given).sum(-1)
    sure = chance >= 1
    kappa = jnp.where(sure, jnp.nan, (right - chance) / jnp.where(sure, jnp.ones_like(chance), 1 - chance))
    return JudgeAccuracy(right, chance, kappa, kappa < 0)
