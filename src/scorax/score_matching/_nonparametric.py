"""Scores of samples without a model: of a kernel density, and by Stein's identity in a space of a kernel."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Kernel = Callable[[Float[Array, "*event"], Float[Array, "*event"]], Float[Array, ""]]


class KernelDensityScore(eqx.Module):
    """The score of a kernel density estimate: a callable on one sample. Made by `kernel_density_score`."""

    data: Float[Array, "n *event"]
    bandwidth: Float[Array, ""]
    log_weight: Float[Array, " n"]

    def __call__(self, x: Float[Array, "*event"]) -> Float[Array, "*event"]:
        """The gradient of the log-density at one sample."""
        # Differences, not products: near the data nothing cancels.
        square = ((x[None] - self.data) ** 2).reshape(len(self.data), -1).sum(1)
        share = jax.nn.softmax(self.log_weight - 0.5 * square / self.bandwidth**2)
        return (jnp.tensordot(share, self.data, 1) - x) / self.bandwidth**2


def kernel_density_score(
    data: Float[Array, "n *event"],
    bandwidth: float | Float[Array, ""],
    *,
    sample_weight: Float[Array, " n"] | None = None,
) -> KernelDensityScore:
    r"""The score of the density of the data smoothed by `N(0, bandwidth² I)`: `(sum_i w_i x_i - x) / bandwidth²`.

    The weights w are a softmax of `-|x - x_i|² / (2 bandwidth²)`. It is also the exact score of the empirical
    distribution noised to the level `bandwidth`.

    Args:
        data: Samples, at least one.
        bandwidth: Standard deviation of the kernel, positive.
        sample_weight: Relative weights of the samples, zero or positive.

    Returns:
        The score, a function of one sample.

    Raises:
        ValueError: There are no rows.

    Example:
        >>> score = kernel_density_score(jnp.array([[0.0], [2.0]]), 1.0)
        >>> score(jnp.array([1.0])), score(jnp.array([5.0])).round(3)
        (Array([0.], dtype=float32), Array([-3.], dtype=float32))

    Source: Parzen (1962), doi:10.1214/aoms/1177704472; Fukunaga and Hostetler (1975), doi:10.1109/TIT.1975.1055330.
    """
    _check(data)
    weight = jnp.ones(len(data), data.dtype) if sample_weight is None else sample_weight.astype(data.dtype)
    return KernelDensityScore(data, jnp.asarray(bandwidth, data.dtype), jnp.log(weight))


class KernelScore(eqx.Module):
    r"""A score `slope sum_j d_2 k(x, x_j) + sum_j k(x, x_j) c_j`: a callable on one sample.

    Made by `kernel_stein_score` and `nu_method`.
    """

    data: Float[Array, "n *event"]
    kernel: Kernel
    slope: Float[Array, ""]
    coefficients: Float[Array, "n *event"]
    at_data: Float[Array, "n *event"]
    """The score at the samples themselves."""

    def __call__(self, x: Float[Array, "*event"]) -> Float[Array, "*event"]:
        """The estimated gradient of the log-density at one sample."""
        row, drift = _kernel_row(self.kernel, x, self.data)
        return self.slope * drift + jnp.tensordot(row, self.coefficients, 1)


def kernel_stein_score(
    data: Float[Array, "n *event"], kernel: Kernel, *, ridge: float | Float[Array, ""]
) -> KernelScore:
    r"""The Stein gradient estimator: the score that solves Stein's identity for a kernel, with a ridge.

    At the samples it is `-(K + ridge I)^-1 b` with `K_ij = k(x_i, x_j)` and `b_i = sum_j d_2 k(x_i, x_j)`; at a new
    sample `-[b(x) - k(x, X) (K + ridge I)^-1 b] / ridge`, which agrees with it. It takes O(n³) operations.

    Args:
        data: Samples, at least one.
        kernel: A positive definite kernel of two samples, differentiable in the second, such as
            `lambda x, y: jnp.exp(-jnp.sum((x - y) ** 2) / (2 * h**2))`.
        ridge: Positive; it shrinks the score towards zero. The samples determine only what is well above `ridge / n`
            in the spectrum of `K / n`. The division by it at new samples asks for a ridge well above n times the
            rounding error.

    Returns:
        The score, a function of one sample; its `at_data` holds the score at the samples.

    Raises:
        ValueError: There are no rows, or the kernel does not return one number.

    Example:
        >>> kernel = lambda x, y: jnp.exp(-jnp.sum((x - y) ** 2) / 2)
        >>> score = kernel_stein_score(jnp.array([[-1.0], [1.0]]), kernel, ridge=0.1)
        >>> score.at_data  # towards the middle
        Array([[ 0.28...],
               [-0.28...]], dtype=float32)

    Source: Li and Turner (2018), arXiv:1705.07107.
    """
    _check(data)
    gram, drift = jax.vmap(lambda x: _kernel_row(kernel, x, data))(data)
    flat, ridge = drift.reshape(len(data), -1), jnp.asarray(ridge, data.dtype)
    factor = jax.scipy.linalg.cho_factor(gram + ridge * jnp.eye(len(data), dtype=data.dtype), lower=True)
    solution = jax.scipy.linalg.cho_solve(factor, flat).reshape(data.shape)
    return KernelScore(data, kernel, -1 / ridge, solution / ridge, -solution)


def nu_method(data: Float[Array, "n *event"], kernel: Kernel, *, n_steps: int, nu: float = 1.0) -> KernelScore:
    r"""The score by Stein's identity, regularised by stopping an accelerated iteration after `n_steps`.

    With `b` as in `kernel_stein_score`, `L = K / (n κ)` and `ζ = b / (n κ)`, κ at least the largest eigenvalue of
    `K / n`, it iterates

    $$f_k = f_{k-1} + u_k (f_{k-1} - f_{k-2}) - w_k (\zeta + L f_{k-1})$$

    from zero, with the coefficients of the ν-method. About `sqrt(1 / λ)` steps do the work of a ridge of `λ n κ`, for
    O(n²) operations each, and do not saturate at smooth scores up to the order ν.

    Args:
        data: Samples, at least one.
        kernel: A positive definite kernel of two samples, differentiable in the second.
        n_steps: Number of steps, at least 1. More steps: less bias, more variance.
        nu: The qualification ν of the method, at least 1/2.

    Returns:
        The score, a function of one sample; its `at_data` holds the score at the samples.

    Raises:
        ValueError: There are no rows, the kernel does not return one number, or `n_steps` or `nu` is out of range.

    Example:
        >>> kernel = lambda x, y: jnp.exp(-jnp.sum((x - y) ** 2) / 2)
        >>> score = nu_method(jnp.array([[-1.0], [1.0]]), kernel, n_steps=5)
        >>> score.at_data[0] > 0  # towards the middle
        Array([ True], dtype=bool)

    Source: Zhou, Shi and Zhu (2020), arXiv:2005.10099; Engl, Hanke and Neubauer (1996), "Regularization of inverse
    problems", section 6.3.
    """
    _check(data)
    if n_steps < 1:
        raise ValueError(f"n_steps must be at least 1, not {n_steps}.")
    if not nu >= 0.5:
        raise ValueError(f"nu must be at least 1/2, not {nu}.")
    gram, drift = jax.vmap(lambda x: _kernel_row(kernel, x, data))(data)
    # An eigenvalue of K is at most its trace and its largest sum of a row.
    bound = jnp.minimum(jnp.trace(gram), jnp.abs(gram).sum(1).max())
    zeta, flow = drift.reshape(len(data), -1) / bound, gram / bound

    def step(state, coefficients):
        # A function is its values at the samples, its slope along zeta, and its coefficients along the kernel.
        (f, slope, c), before = state
        u, w = coefficients
        push = (zeta + flow @ f, jnp.ones_like(slope), f)
        now = jax.tree.map(lambda f, old, push: f + u * (f - old) - w * push, (f, slope, c), before, push)
        return (now, (f, slope, c)), None

    start = jnp.zeros_like(zeta), jnp.zeros((), data.dtype), jnp.zeros_like(zeta)
    coefficients = jnp.asarray(_nu_coefficients(n_steps, nu), data.dtype)
    ((f, slope, c), _), _ = jax.lax.scan(step, (start, start), (coefficients[0], coefficients[1]))
    return KernelScore(data, kernel, slope / bound, c.reshape(data.shape) / bound, f.reshape(data.shape))


def _nu_coefficients(n_steps: int, nu: float) -> np.ndarray:
    """The u and w of the steps, in double precision on the host."""
    k = np.arange(1, n_steps + 1, dtype=np.float64)
    shared = (k + 2 * nu - 1) * (2 * k + 4 * nu - 1)
    w = 4 * (2 * k + 2 * nu - 1) * (k + nu - 1) / shared
    # The first step has no step before it.
    u = np.zeros_like(k)
    k, shared = k[1:], shared[1:]
    u[1:] = (k - 1) * (2 * k - 3) * (2 * k + 2 * nu - 1) / (shared * (2 * k + 2 * nu - 3))
    return np.stack([u, w])


def _kernel_row(
    kernel: Kernel, x: Float[Array, "*event"], data: Float[Array, "n *event"]
) -> tuple[Float[Array, " n"], Float[Array, "*event"]]:
    """The kernel between one sample and all, and the sum of its derivatives with respect to the second."""

    def total(data: Float[Array, "n *event"]) -> tuple[Float[Array, ""], Float[Array, " n"]]:
        row = jax.vmap(lambda y: kernel(x, y))(data)
        if row.ndim != 1:
            raise ValueError(
                f"the kernel of two samples of shape {x.shape} has shape {row.shape[1:]}: it returns one number."
            )
        return row.sum(), row

    slopes, row = jax.grad(total, has_aux=True)(data)
    return row, slopes.sum(0)


def _check(data: Float[Array, "n *event"]) -> None:
    if data.shape[0] == 0:
        raise ValueError(f"the data have no rows: their shape is {data.shape}.")
