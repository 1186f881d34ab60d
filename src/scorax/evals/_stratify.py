"""Scores by how much a population disagrees: means by bins of entropy, and their trend."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from scorax.evals._normal import safe_root
from scorax.evals._scaling import LineFit, fit_line


class Strata(eqx.Module):
    """Scores in equal bins of [0, 1], and the line through all of them."""

    edges: Float[Array, " strata_and_one"]
    """Bins hold their lower edge; the last one holds 1 too."""
    mean: Float[Array, "*b strata"]
    """NaN where a bin is empty."""
    std_error: Float[Array, "*b strata"]
    """NaN where a bin holds fewer than two."""
    n: Float[Array, "*b strata"]
    line: LineFit
    """Of the score on the entropy, question by question, not bin by bin."""


def normalised_entropy(p: Float[Array, "*b m"], *, where: Bool[Array, "*b m"] | None = None) -> Float[Array, "*b"]:
    r"""Entropy over the most that it could be, \(H(p) / \log m\): 0 for one answer, 1 for a uniform distribution.

    Args:
        p: Shares or counts, at least 0; they are divided by their sum.
        where: Options that there are, m of them.

    Returns:
        In [0, 1]; NaN where there are fewer than two options, a share is negative, or all are 0. Its gradient is
        finite: that with respect to a share of 0, which is infinite, is left out.

    Example:
        >>> normalised_entropy(jnp.array([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])).round(4)
        Array([0.6309, 0.    ], dtype=float32)

    Source: Shannon (1948), doi:10.1002/j.1538-7305.1948.tb01338.x.
    """
    part = jnp.ones(p.shape, bool) if where is None else where
    options = part.sum(-1)
    entropy = shannon_entropy(p, part)
    several = options > 1
    most = jnp.log(jnp.where(several, options, 2).astype(p.dtype))
    return jnp.where(several, entropy / most, jnp.nan)


def shannon_entropy(p: Float[Array, "*b m"], part: Bool[Array, "*b m"]) -> Float[Array, "*b"]:
    """Entropy in nats of shares or counts; NaN where they are no distribution."""
    held = jnp.where(part, p, 0)
    total = held.sum(-1)
    known = (total > 0) & (held >= 0).all(-1)
    share = held / jnp.where(known, total, 1)[..., None]
    positive = share > 0
    terms = jnp.where(positive, -share * jnp.log(jnp.where(positive, share, 1)), 0)
    return jnp.where(known, jnp.maximum(terms.sum(-1), 0), jnp.nan)


def stratify(
    item_score: Float[Array, "*b n"],
    entropy: Float[Array, " n"],
    *,
    n_strata: int = 5,
    where: Bool[Array, " n"] | None = None,
) -> Strata:
    """Mean score of questions in bins of how much people disagree about them, and the slope of the score on that.

    A slope below 0 says that the model simulates people worse where they disagree more.

    Args:
        item_score: Such as `SimulationScore.item_score`; leading axes are models.
        entropy: `normalised_entropy` of the population's answers, in [0, 1].
        n_strata: Number of bins, all equally wide.
        where: Questions that take part, such as `SimulationScore.scored`.

    Returns:
        `Strata`. A score, or entropy, of NaN that takes part makes its bin, and the line, NaN.

    Raises:
        ValueError: `n_strata` is below 1.

    Example:
        >>> found = stratify(jnp.array([60.0, 50.0, 30.0, 20.0]), jnp.array([0.1, 0.3, 0.7, 0.9]), n_strata=2)
        >>> found.mean, found.line.slope.round(2)
        (Array([55., 25.], dtype=float32), Array(-50., dtype=float32))

    Source: Hu, Baumann, Lupo, Collier, Hovy & Röttger (2025), arXiv 2510.17516.
    """
    if n_strata < 1:
        raise ValueError(f"n_strata must be at least 1, not {n_strata}")
    dtype, shape = item_score.dtype, item_score.shape
    part = jnp.ones(entropy.shape, bool) if where is None else where
    level, part = (jnp.broadcast_to(v, shape) for v in (entropy.astype(dtype), part))
    edges = jnp.linspace(0, 1, n_strata + 1, dtype=dtype)
    stratum = jnp.clip(jnp.searchsorted(edges, level, side="right") - 1, 0, n_strata - 1)
    here = (stratum[..., None] == jnp.arange(n_strata, dtype=stratum.dtype).reshape((1,) * len(shape) + (-1,))) & part[
        ..., None
    ]
    n = here.sum(-2).astype(dtype)
    mean = jnp.where(here, item_score[..., None], 0).sum(-2) / jnp.where(n > 0, n, jnp.nan)
    scatter = jnp.where(here, item_score[..., None] - mean[..., None, :], 0)
    variance = (scatter**2).sum(-2) / (n * jnp.where(n > 1, n - 1, jnp.nan))
    return Strata(edges, mean, safe_root(variance), n, fit_line(level, item_score, where=part))
