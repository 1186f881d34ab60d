"""Score matching without noise: explicit, implicit and sliced.

A score is a gradient of a log-density in `x`. The losses take one that is a function of one sample, and return half
the Fisher divergence per example: the three differ by a constant in expectation. For a noise level, close over it.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from scorax.numerics import Probe, map_in_turn, row_keys, spread_mask
from scorax.score_matching._operators import dot_rows, linearise_rows, probe_rows, rows_divergence
from scorax.score_matching._score import Score, masked_score


def explicit_score_matching_loss(
    score: Score, target: Score, x: Float[Array, "n *event"], *, where: Bool[Array, "..."] | None = None
) -> Float[Array, " n"]:
    r"""Half the squared distance of a score from the true one, `|score(x) - target(x)|² / 2`, summed over entries.

    Args:
        score: The score to fit, on one sample.
        target: The true score, on one sample.
        x: Samples of the true density.
        where: Entries that take part, of the shape of `x` or one that broadcasts to it. The others may hold anything.

    Returns:
        One loss for each example, in [0, inf).

    Raises:
        ValueError: There are no rows, or a score changes the shape of its sample.

    Example:
        >>> explicit_score_matching_loss(lambda x: -x, lambda x: -x / 4, jnp.array([[2.0, 0.0]]))
        Array([1.125], dtype=float32)

    Source: Hyvärinen (2005), JMLR 6:695-709, equation 2.
    """

    def example(x, where):
        return 0.5 * jnp.sum((masked_score(score, where)(x) - masked_score(target, where)(x)) ** 2)

    return jax.vmap(example)(x, spread_mask(where, x))


def implicit_score_matching_loss(
    score: Score,
    x: Float[Array, "n *event"],
    *,
    method: str = "exact",
    n_probes: int = 1,
    key: PRNGKeyArray | None = None,
    where: Bool[Array, "..."] | None = None,
    offset: int | Int[Array, ""] = 0,
) -> Float[Array, " n"]:
    r"""Hyvärinen's loss, `div score(x) + |score(x)|² / 2`, which needs samples only.

    Its expectation is that of the explicit loss less a constant. By default the divergence is exact, by one derivative
    for each entry of one linearised evaluation: the cost of `1 + d` regression steps. For many entries see `method`,
    and `sliced_score_matching_loss`, which "hutchinson" equals.

    Args:
        score: The score to fit, on one sample. It must be differentiable.
        x: Samples.
        method: How the divergence is computed: "exact", "hutchinson", "hutchpp" or "xtrace", see `divergence`.
        n_probes: Products of the Jacobian for each sample, for the methods that draw.
        key: Random key, for these. Row `i` draws with `fold_in(key, offset + i)`.
        where: Entries that take part, of the shape of `x` or one that broadcasts to it. The others may hold anything,
            and no derivative is taken in them.
        offset: Place of the first row in the whole batch, so that chunks draw what the whole would.

    Returns:
        One loss for each example, any real number.

    Raises:
        ValueError: There are no rows, the score changes the shape of its sample, the method is unknown, or it needs a
            key or other probes.

    Example:
        >>> data = jnp.array([[-1.0], [0.0], [2.0]])
        >>> implicit_score_matching_loss(lambda x: -x, data).mean()  # the model N(0, 1): -1/6
        Array(-0.16666667, dtype=float32)

    Source: Hyvärinen (2005), JMLR 6:695-709, equation 4.
    """

    where = spread_mask(where, x)
    keys = None if key is None else row_keys(key, x.shape[0], offset)
    field = partial(masked_score, score)
    value, trace = rows_divergence(field, x, where, method=method, keys=keys, n_probes=n_probes)
    return trace + 0.5 * dot_rows(value, value)


def sliced_score_matching_loss(
    score: Score,
    x: Float[Array, "n *event"],
    *,
    key: PRNGKeyArray,
    n_probes: int = 1,
    probe: str | Probe = "rademacher",
    variance_reduced: bool = True,
    where: Bool[Array, "..."] | None = None,
    offset: int | Int[Array, ""] = 0,
) -> Float[Array, " n"]:
    r"""Score matching along random directions `v`, the mean over probes of `vᵀJv + |score(x)|² / 2`.

    It is unbiased for the implicit loss, and costs about `1 + n_probes` regression steps for any number of entries.

    Args:
        score: The score to fit, on one sample. It must be differentiable.
        x: Samples.
        key: Random key. Row `i` draws its probes with `fold_in(key, offset + i)`.
        n_probes: Directions for each sample, which share one linearised evaluation.
        probe: How directions are drawn, `E vvᵀ = I`: "rademacher" (exact where the Jacobian is diagonal), "gaussian",
            "sphere" (of radius the root of the number of entries), or a function `(key, shape, dtype) -> directions`.
        variance_reduced: Whether the second term is integrated over directions; otherwise it is `(vᵀscore)² / 2`.
        where: Entries that take part, of the shape of `x` or one that broadcasts to it. The others may hold anything,
            and directions are zero in them.
        offset: Place of the first row in the whole batch, so that chunks draw what the whole would.

    Returns:
        One loss for each example, any real number.

    Raises:
        ValueError: There are no rows or no probes, the probe is unknown, or the score changes the shape of its sample.

    Example:
        >>> data = jnp.array([[-1.0], [0.0], [2.0]])
        >>> sliced_score_matching_loss(lambda x: -x, data, key=jax.random.key(0)).mean()
        Array(-0.16666667, dtype=float32)

    Source: Song, Garg, Shi and Ermon (2019), arXiv:1905.07088, equations 7 and 8.
    """
    value, derivative = linearise_rows(partial(masked_score, score), x, spread_mask(where, x))

    def slope(directions):
        curvature = dot_rows(directions, derivative(directions))
        return curvature if variance_reduced else curvature + 0.5 * dot_rows(directions, value) ** 2

    mean = map_in_turn(slope, probe_rows(probe, row_keys(key, x.shape[0], offset), n_probes, x)).mean(0)
    return mean + 0.5 * dot_rows(value, value) if variance_reduced else mean
