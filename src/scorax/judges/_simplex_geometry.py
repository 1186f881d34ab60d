r"""The geometry of judging: a judge maps the simplex of true levels into the simplex of labels.

A candidate is a point \(\pi\) (how often its answers are truly of each level), a judge a matrix \(\Theta\) whose row
\(m\) is the distribution of its labels for answers of true level \(m\). What is observed is \(\gamma = \Theta^T \pi\),
a point in the hull of the judge's rows whose barycentric coordinates are \(\pi\).

Source: Vossler, Xia, Mai & Feng (2025), "Judging LLMs on a Simplex", arXiv 2505.21972.
"""

import itertools
from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from scorax.judges._small_solve import determinant, solve_small


def level_values(values: Sequence[float] | None, n_levels: int) -> tuple[float, ...]:
    """The values of the levels, `1, 2, ...` if none are given.

    Raises:
        ValueError: There is not one value for each level, or they do not increase.
    """
    if values is None:
        return tuple(float(level + 1) for level in range(n_levels))
    given = tuple(float(value) for value in values)
    if len(given) != n_levels:
        raise ValueError(f"{len(given)} level values for {n_levels} levels: give one for each, in increasing order")
    if any(upper <= lower for lower, upper in itertools.pairwise(given)):
        raise ValueError(f"level values must increase, these do not: {given}")
    return given


def expected_score(prevalence: Float[Array, "*b m"], values: Sequence[float] | None = None) -> Float[Array, "*b"]:
    r"""Mean level value of a distribution over levels, \(\mu = \sum_m w_m \pi_m\). Larger is better.

    Args:
        prevalence: Probability of each level.
        values: Increasing values \(w\) of the levels; `1, 2, ..., M` if None.

    Raises:
        ValueError: `values` has not one value for each level, or they do not increase.

    Example:
        >>> expected_score(jnp.array([0.1, 0.5, 0.4]))
        Array(2.3, dtype=float32)

    Source: Vossler et al. (2025), arXiv 2505.21972.
    """
    return prevalence @ jnp.asarray(level_values(values, prevalence.shape[-1]), prevalence.dtype)


def observed_distribution(prevalence: Float[Array, "*b m"], confusion: Float[Array, "*#b m m"]) -> Float[Array, "*b m"]:
    r"""Distribution of a judge's labels, \(\gamma = \Theta^T \pi\).

    Args:
        prevalence: Probability of each true level.
        confusion: Label probabilities; row = true level, each row sums to one.

    Example:
        >>> judge = jnp.array([[0.8, 0.15, 0.05], [0.1, 0.8, 0.1], [0.05, 0.15, 0.8]])
        >>> observed_distribution(jnp.array([0.1, 0.5, 0.4]), judge).tolist()
        [0.15, 0.475, 0.375]

    Source: Vossler et al. (2025), arXiv 2505.21972.
    """
    return jnp.einsum("...m,...ml->...l", prevalence, confusion)


def barycentric(observed: Float[Array, "*b m"], confusion: Float[Array, "*#b m m"]) -> Float[Array, "*b m"]:
    r"""The prevalence \(\pi\) that a judge's label distribution points back to: \(\Theta^T \pi = \gamma\).

    A linear solve, the inverse of :func:`observed_distribution`. The coordinates sum to one; one of them is negative
    where the observed point lies outside the hull of the judge's rows.

    Args:
        observed: Distribution of labels. It must sum to one and is not rescaled.
        confusion: Row = true level.

    Returns:
        The coordinates; NaN where the judge is singular to working precision (two levels look alike to it).

    Example:
        >>> judge = jnp.array([[0.8, 0.15, 0.05], [0.1, 0.8, 0.1], [0.05, 0.15, 0.8]])
        >>> barycentric(jnp.array([0.15, 0.475, 0.375]), judge).tolist()
        [0.1, 0.5, 0.4]

    Source: Vossler et al. (2025), arXiv 2505.21972.
    """
    return _solve(jnp.swapaxes(confusion, -1, -2), observed)


def _solve(matrix: Float[Array, "*#b m m"], vector: Float[Array, "*#b m"]) -> Float[Array, "*b m"]:
    """Batched solve that is NaN, not noise, where the matrix is singular; gradients elsewhere are untouched."""
    batch = jnp.broadcast_shapes(matrix.shape[:-2], vector.shape[:-1])
    m = matrix.shape[-1]
    right = jnp.broadcast_to(vector, (*batch, m))[..., None]
    solution, volume = solve_small(jnp.broadcast_to(matrix, (*batch, m, m)), right)
    singular = is_singular(volume, m)[..., None]
    return jnp.where(singular, jnp.asarray(jnp.nan, solution.dtype), solution[..., 0])


def is_singular(volume: Float[Array, "*b"], n_levels: int) -> Bool[Array, "*b"]:
    """Whether a judge's determinant is 0 to working precision."""
    return jnp.abs(volume) <= n_levels * float(jnp.finfo(volume.dtype).eps)


def score_contrast(
    observed_a: Float[Array, "*b m"],
    observed_b: Float[Array, "*b m"],
    confusion: Float[Array, "*#b m m"],
    values: Sequence[float] | None = None,
) -> Float[Array, "*b"]:
    r"""Difference of the expected scores of two candidates, \(\mu_a - \mu_b\), through one judge.

    The expected score is linear in what is observed, \(\mu = c \cdot \gamma\) with \(\Theta c = w\). For three evenly
    spaced levels the contrast is \(\times(u + v, \delta) / \times(u, v)\) with \(u = \theta_1 - \theta_2\),
    \(v = \theta_3 - \theta_2\), \(\delta = \gamma_a - \gamma_b\) and \(\times\) the cross product in the plane.

    Args:
        observed_a: Label distribution of candidate a.
        observed_b: Label distribution of candidate b.
        confusion: Row = true level.
        values: Increasing values of the levels; `1, 2, ..., M` if None.

    Returns:
        The difference; NaN where the judge is singular.

    Raises:
        ValueError: `values` has not one value for each level, or they do not increase.

    Example:
        >>> judge = jnp.array([[0.8, 0.15, 0.05], [0.1, 0.8, 0.1], [0.05, 0.15, 0.8]])
        >>> score_contrast(jnp.array([0.15, 0.475, 0.375]), jnp.array([0.3175, 0.215, 0.4675]), judge)
        Array(0.1, dtype=float32)

    Source: Vossler et al. (2025), arXiv 2505.21972.
    """
    w = jnp.asarray(level_values(values, confusion.shape[-1]), confusion.dtype)
    score = _solve(confusion, jnp.broadcast_to(w, confusion.shape[:-1]))
    return jnp.einsum("...m,...m->...", score, observed_a - observed_b)


def iso_score_direction(
    confusion: Float[Array, "*b 3 3"], values: Sequence[float] | None = None
) -> Float[Array, "*b 3"]:
    r"""Direction in which a three-level judge's observed point can move without a change of the expected score.

    \((w_3 - w_2)\theta_1 + (w_1 - w_3)\theta_2 + (w_2 - w_1)\theta_3\): for evenly spaced levels the median of the
    judge's triangle from its middle vertex. Two candidates swap order exactly when it crosses \(\gamma_a - \gamma_b\).

    Args:
        confusion: Row = true level, three levels.
        values: Increasing values of the levels; `1, 2, 3` if None.

    Returns:
        A direction, not normalised; its entries sum to zero.

    Raises:
        ValueError: `values` are not three increasing numbers.

    Example:
        >>> iso_score_direction(jnp.eye(3))
        Array([ 1., -2.,  1.], dtype=float32)

    Source: Vossler et al. (2025), arXiv 2505.21972.
    """
    low, middle, high = level_values(values, 3)
    return jnp.asarray([high - middle, low - high, middle - low], confusion.dtype) @ confusion


def simplex_volume(confusion: Float[Array, "*b m m"], *, signed: bool = False) -> Float[Array, "*b"]:
    r"""Volume of a judge's simplex as a share of the whole, \(|\det \Theta|\), in `[0, 1]`.

    1 is a perfect judge (or one that permutes the levels), 0 one that cannot tell some levels apart.

    Args:
        confusion: `confusion[m, l]`: how often the judge says `l` where the truth is `m`.
        signed: Whether to keep the sign of the determinant. Below 0 the judge has levels in another order than they
            are; over posterior draws the share below 0 is how likely that is.

    Example:
        >>> simplex_volume(jnp.array([[0.8, 0.15, 0.05], [0.1, 0.8, 0.1], [0.05, 0.15, 0.8]]))
        Array(0.4875, dtype=float32)

    Source: Vossler et al. (2025), arXiv 2505.21972.
    """
    volume = determinant(confusion)
    return volume if signed else jnp.abs(volume)


def in_hull(
    observed: Float[Array, "*b m"], confusion: Float[Array, "*#b m m"], *, atol: float = 1e-6
) -> Bool[Array, "*b"]:
    """Whether an observed point can come from this judge: no barycentric coordinate below `-atol`.

    A singular judge has a hull without volume and contains nothing.

    Example:
        >>> in_hull(jnp.array([0.9, 0.1]), jnp.array([[0.8, 0.2], [0.3, 0.7]]))
        Array(False, dtype=bool)

    Source: Vossler et al. (2025), arXiv 2505.21972.
    """
    return (barycentric(observed, confusion) >= -atol).all(-1)
