"""What of a score moves mass, and what only turns it: the split of a field into a gradient and a gauge part."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from scorax.numerics import spread_mask
from scorax.score_matching._operators import divergence
from scorax.score_matching._score import Score, masked_score

Basis = Callable[[Float[Array, "..."]], Float[Array, " k"]]
Potential = Callable[..., Float[Array, ""]]


def helmholtz_gaussian(
    matrix: Float[Array, "d e"], covariance: Float[Array, "p q"]
) -> tuple[Float[Array, "d d"], Float[Array, "d d"]]:
    r"""The linear field `M x` as a gradient `S x` plus a field that leaves `N(0, C)` where it is.

    In the eigenbasis of `C`, with eigenvalues `λ`, `S_ij = (λ_j M_ij + λ_i M_ji) / (λ_i + λ_j)`. The rest `R = M - S`
    satisfies the gauge condition `tr R - xᵀ C⁻¹ R x = 0` for all x: `R = A C⁻¹` with an antisymmetric `A`. The two are
    orthogonal in the mean over `N(0, C)`.

    Args:
        matrix: M.
        covariance: C, positive definite. Of a singular one, directions without variance give NaN among themselves.

    Returns:
        The symmetric S and the rest R.

    Raises:
        ValueError: The matrices are not square, of one size.

    Example:
        >>> helmholtz_gaussian(jnp.array([[-1.0, 1.0], [-1.0, -1.0]]), jnp.eye(2))[0]
        Array([[-1.,  0.],
               [ 0., -1.]], dtype=float32)

    Source: Horvat and Pfister (2024), arXiv:2402.03845.
    """
    if matrix.shape != covariance.shape or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(
            f"matrix and covariance must be square and of one size, not {matrix.shape} and {covariance.shape}."
        )
    values, vectors = jnp.linalg.eigh(covariance)
    turned = vectors.T @ matrix @ vectors
    weighted = turned * values[None]
    symmetric = vectors @ ((weighted + weighted.T) / (values[:, None] + values[None])) @ vectors.T
    return symmetric, matrix - symmetric


def gauge_residual(
    field: Score, score: Score, x: Float[Array, "n *event"], *, where: Bool[Array, "..."] | None = None
) -> Float[Array, " n"]:
    r"""How far a field is from leaving a density as it is: `div r(x) + r(x)·score(x)`, zero for a gauge field.

    A score model may carry any such field without changing what its probability flow samples. The mean square over
    samples is a penalty.

    Args:
        field: The field r, on one sample. It must be differentiable.
        score: The score of the density, on one sample.
        x: Samples.
        where: Entries that take part, of the shape of `x` or one that broadcasts to it. The others may hold anything.

    Returns:
        One number for each sample.

    Raises:
        ValueError: There are no rows, or a function changes the shape of its sample.

    Example:
        >>> turn = jnp.array([[0.0, 1.0], [-1.0, 0.0]])
        >>> gauge_residual(lambda x: turn @ x, lambda x: -x, jnp.array([[1.0, 2.0]]))
        Array([0.], dtype=float32)

    Source: Horvat and Pfister (2024), arXiv:2402.03845.
    """

    def example(x, where):
        value, spread = divergence(field, x, where=where)
        return spread + jnp.vdot(value, masked_score(score, where)(x))

    return jax.vmap(example)(x, spread_mask(where, x))


class ConservativeScore(eqx.Module):
    r"""A score that is a gradient by construction: that of a scalar network, the log-density up to a constant.

    Args:
        log_density: `log_density(x)` or `log_density(x, t)`, on one sample, to one number. (An energy is its negative.)

    Example:
        >>> score = ConservativeScore(lambda x, t: -0.5 * jnp.sum(x**2) / t)
        >>> score(jnp.ones(2), jnp.array(2.0))
        Array([-0.5, -0.5], dtype=float32)

    Source: Salimans and Ho (2021), "Should EBMs model the energy or the score?", ICLR workshop.
    """

    log_density: Potential

    def __call__(self, x: Float[Array, "*event"], *t: Float[Array, ""]) -> Float[Array, "*event"]:
        """The gradient at one sample."""
        return jax.grad(self.log_density)(x, *t)


def conservative_projection_loss(
    potential: Potential, score: Score, x: Float[Array, "n *event"], *, where: Bool[Array, "..."] | None = None
) -> Float[Array, " n"]:
    r"""The loss whose minimiser over potentials is the gradient part of a score, `|∇φ|² / 2 - ∇φ·score`.

    Its minimum is minus half the mean square of the gradient part.

    Args:
        potential: φ, on one sample, to one number.
        score: The field to split, on one sample.
        x: Samples of the density.
        where: Entries that take part, of the shape of `x` or one that broadcasts to it. The others may hold anything.

    Returns:
        One loss for each example, any real number.

    Raises:
        ValueError: There are no rows, or the score changes the shape of its sample.

    Example:
        >>> conservative_projection_loss(lambda x: -0.5 * jnp.sum(x**2), lambda x: -x, jnp.ones((1, 2)))
        Array([-1.], dtype=float32)

    Source: Horvat and Pfister (2024), arXiv:2402.03845.
    """

    def example(x, where):
        slope = masked_score(jax.grad(potential), where)(x)
        return 0.5 * jnp.vdot(slope, slope) - jnp.vdot(slope, masked_score(score, where)(x))

    return jax.vmap(example)(x, spread_mask(where, x))


class ConservativeProjection(eqx.Module):
    """The gradient part of a score within the span of a basis. Calling it evaluates that part at one sample."""

    basis: Basis
    coefficients: Float[Array, " k"]
    explained: Float[Array, ""]
    """Share of the score's mean square that is in the gradient part, in [0, 1]."""

    def __call__(self, x: Float[Array, "*event"]) -> Float[Array, "*event"]:
        """`∇φ` at one sample."""
        return jax.grad(lambda x: jnp.vdot(self.basis(x), self.coefficients.astype(x.dtype)))(x)


def project_conservative(
    score: Score, samples: Float[Array, "n *event"], basis: Basis, *, ridge: float = 0.0
) -> ConservativeProjection:
    r"""The gradient `∇φ` nearest to a score in mean square over samples, with `φ` in the span of a basis.

    The coefficients solve `E[∇b ∇bᵀ] c = E[∇b · score]`. The distance between this part and the true score bounds from
    below the error that samples of the probability flow can show; what is left of the score may be a gauge field,
    which `gauge_residual` tells. For a potential network, minimise `conservative_projection_loss` instead.

    Args:
        score: The field to split, on one sample.
        samples: Samples of the density, as many as make the equations regular.
        basis: From one sample to `k` numbers, without a constant, whose gradient is zero. It must be differentiable.
        ridge: Added to the diagonal of the equations. Zero or more.

    Returns:
        The gradient part, a callable; NaN where the equations are singular.

    Raises:
        ValueError: There are no rows, or the score changes the shape of its sample.

    Example:
        >>> x = jax.random.normal(jax.random.key(0), (50, 2))
        >>> turned = jnp.array([[-1.0, 1.0], [-1.0, -1.0]])
        >>> part = project_conservative(lambda x: turned @ x, x, lambda x: jnp.append(x**2, x[0] * x[1]))
        >>> part.coefficients.shape
        (3,)

    Source: Horvat and Pfister (2024), arXiv:2402.03845.
    """
    spread_mask(None, samples)

    def example(x):
        slopes = jax.jacfwd(basis)(x).reshape(-1, x.size)
        field = masked_score(score, None)(x).reshape(-1)
        return slopes @ slopes.T, slopes @ field, jnp.vdot(field, field)

    gram, moment, square = jax.tree.map(lambda a: a.mean(0), jax.vmap(example)(samples))
    coefficients = jnp.linalg.solve(gram + ridge * jnp.eye(len(moment), dtype=gram.dtype), moment)
    residual = square - 2 * jnp.vdot(coefficients, moment) + coefficients @ gram @ coefficients
    return ConservativeProjection(basis, coefficients, 1 - residual / square)
