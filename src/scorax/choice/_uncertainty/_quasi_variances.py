"""Quasi-variances: one number an item from which the standard error of every difference can be read off."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.scipy.linalg as jsl
from jaxtyping import Array, Bool, Float, Int

from scorax.choice._strengths import contrast_variance

_MOST_STEPS = 100


class QuasiVariances(eqx.Module):
    """Variances of independent estimates whose differences would be as uncertain as the real ones."""

    variance: Float[Array, " k"]
    relative_error: Float[Array, "k k"]
    """Of the standard error of each difference, approximate over true minus 1; 0 on the diagonal."""
    converged: Bool[Array, ""]

    @property
    def std_error(self) -> Float[Array, " k"]:
        """Quasi standard errors: `sqrt(variance[i] + variance[j])` is about the standard error of a difference."""
        return jnp.sqrt(self.variance)

    @property
    def worst(self) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """The smallest and the largest relative error over all pairs."""
        return self.relative_error.min(), self.relative_error.max()


class _Search(NamedTuple):
    log_q: Float[Array, " k"]
    loss: Float[Array, ""]
    slope: Float[Array, " k"]
    damping: Float[Array, ""]
    steps: Int[Array, ""]


@jax.jit
def quasi_variances(covariance: Float[Array, "k k"]) -> QuasiVariances:
    r"""Positive numbers \(q\) with \(q_i + q_j \approx \operatorname{Var}(\theta_i - \theta_j)\).

    They minimise \(\sum_{i<j} [\log(q_i + q_j) - \log V_{ij}]^2\), by Gauss and Newton's method in \(\log q\). Error
    bars of width `std_error` then compare by eye, and no item is the reference. Exact for three items unless the
    answer would not be positive (then the smallest is 0 to rounding, and `relative_error` says what that costs), and
    for equal correlations. Of two items only the sum is known: each gets half.

    Args:
        covariance: Of the strengths, in any gauge: `result.map(lambda model: model.strength).covariance`.

    Returns:
        `QuasiVariances`; NaN throughout where a difference has no positive variance.

    Raises:
        ValueError: There are fewer than two items.

    Example:
        >>> found = quasi_variances(jnp.diag(jnp.array([1.0, 2.0, 3.0, 4.0])))
        >>> [round(float(q), 3) for q in found.variance]
        [1.0, 2.0, 3.0, 4.0]

    Source: Firth and de Menezes (2004), doi:10.1093/biomet/91.1.65.
    """
    k = covariance.shape[0]
    if k < 2:
        raise ValueError(f"differences need two items; the covariance is of {k}")
    target = contrast_variance(covariance)
    apart = ~jnp.eye(k, dtype=bool)
    known = (jnp.where(apart, target, 1) > 0).all()
    target = jnp.where(apart & known, target, 1)
    scale = jnp.exp(jnp.where(apart, jnp.log(target), 0).sum() / (k * (k - 1)))
    search = _minimise(jnp.where(apart, target / scale, 1), apart)
    q = scale * jnp.exp(search.log_q)
    error = jnp.where(apart, jnp.sqrt((q[:, None] + q[None, :]) / target) - 1, 0)
    settled = known & _level(search.slope)
    return QuasiVariances(jnp.where(known, q, jnp.nan), jnp.where(known, error, jnp.nan), settled)


def _level(slope: Float[Array, " k"]) -> Bool[Array, ""]:
    # Curvature is about a quarter for each other item, so this bounds the error of the logarithms.
    return jnp.abs(slope).max() <= float(jnp.finfo(slope.dtype).eps) ** 0.5 * slope.size / 4


def _minimise(target: Float[Array, "k k"], apart: Bool[Array, "k k"]) -> _Search:
    def going(search: _Search) -> Bool[Array, ""]:
        return (search.steps < _MOST_STEPS) & ~_level(search.slope)

    def advance(search: _Search) -> _Search:
        log_q = search.log_q + _damped_step(search, apart)
        loss, slope = _loss_and_slope(log_q, target, apart)
        better = loss <= search.loss * (1 + 4 * jnp.finfo(loss.dtype).eps)
        return _Search(
            jnp.where(better, log_q, search.log_q),
            jnp.where(better, loss, search.loss),
            jnp.where(better, slope, search.slope),
            jnp.where(better, search.damping / 10, search.damping * 10),
            search.steps + 1,
        )

    start = _start(target, apart)
    damping, none = jnp.full((), 1e-4, target.dtype), jnp.asarray(0, jnp.int32)
    return jax.lax.while_loop(going, advance, _Search(start, *_loss_and_slope(start, target, apart), damping, none))


def _start(target: Float[Array, "k k"], apart: Bool[Array, "k k"]) -> Float[Array, " k"]:
    """Least squares of the variances themselves, kept positive; half each of two, and no more to do."""
    k = target.shape[0]
    row = jnp.where(apart, target, 0).sum(1)
    if k == 2:
        return jnp.log(row / 2)
    q = (row - row.sum() / (2 * (k - 1))) / (k - 2)
    return jnp.log(jnp.maximum(q, 0.01 * row / (k - 1)))


def _share(log_q: Float[Array, " k"], apart: Bool[Array, "k k"]) -> Float[Array, "k k"]:
    """Derivatives of the logarithm of each sum in the logarithm of the row's item: its share in the sum."""
    return jnp.where(apart, jax.nn.sigmoid(log_q[:, None] - log_q[None, :]), 0)


def _loss_and_slope(
    log_q: Float[Array, " k"], target: Float[Array, "k k"], apart: Bool[Array, "k k"]
) -> tuple[Float[Array, ""], Float[Array, " k"]]:
    total = jnp.logaddexp(log_q[:, None], log_q[None, :])
    residual = jnp.where(apart, total - jnp.log(target), 0)
    # Half of the sum over ordered pairs.
    return (residual**2).sum() / 4, (_share(log_q, apart) * residual).sum(1)


def _damped_step(search: _Search, apart: Bool[Array, "k k"]) -> Float[Array, " k"]:
    """Gauss and Newton's, damped as Levenberg does: a variance that goes to zero has no curvature of its own left."""
    share = _share(search.log_q, apart)
    curvature = (share**2).sum(1)
    damping = jnp.maximum(search.damping, jnp.finfo(share.dtype).eps) * curvature.max()
    factor = jnp.linalg.cholesky(share * share.T + jnp.diag(curvature + damping))
    return -jsl.cho_solve((factor, True), search.slope)
