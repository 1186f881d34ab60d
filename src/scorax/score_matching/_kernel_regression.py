"""Score estimation as regression on the clean sample: with a bounded network, or with the kernel it trains by."""

import functools
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from scorax.numerics import row_keys
from scorax.score_matching._denoising import NoiseProcess
from scorax.score_matching._ntk import ntk_relu

Network = Callable[[Float[Array, "..."], Float[Array, ""]], Float[Array, "..."]]
InputKernel = Callable[[Float[Array, "n p"], Float[Array, "m p"]], Float[Array, "n m"]]


class BoundedScore(eqx.Module):
    r"""A score from an estimate of the clean sample that is held within a ball, `[alpha P(f(x, t)) - x] / sigma²`.

    Its denoising loss is a regression of the clean sample on the noised one, with weight `(alpha / sigma²)²`:
    `score + e / sigma = (alpha / sigma²) (P f - x_0)`, whatever the network. So a bounded network has a bounded error.

    Args:
        net: `f(x, t)`, on one sample and one time, an estimate of the clean sample.
        radius: Radius of the ball, the largest norm of a clean sample or more. Positive.
        process: The noise process that `x` and `t` belong to. The noise must not be zero at `t`.

    Raises:
        ValueError: `radius` is not positive.

    Example:
        >>> score = BoundedScore(lambda x, t: 10 * x, 1.0, sx.diffusion.EDM())
        >>> score(jnp.array([3.0, 4.0]), jnp.array(1.0))  # x0 is taken to be (0.6, 0.8)
        Array([-2.4, -3.2], dtype=float32)

    Source: Han, Razaviyayn and Xu (2024), arXiv:2401.15604.
    """

    net: Network
    radius: float = eqx.field(static=True)
    process: NoiseProcess

    def __check_init__(self):
        if not self.radius > 0:
            raise ValueError(f"radius must be positive, not {self.radius}.")

    def __call__(self, x: Float[Array, "*event"], t: Float[Array, ""]) -> Float[Array, "*event"]:
        """The score at one sample and one time."""
        alpha, sigma = self.process.alpha(t).astype(x.dtype), self.process.sigma(t).astype(x.dtype)
        return (alpha * project_to_ball(self.net(x, t), self.radius) - x) / sigma**2


def project_to_ball(x: Float[Array, "*event"], radius: float) -> Float[Array, "*event"]:
    """The nearest point of a ball around the origin.

    Example:
        >>> project_to_ball(jnp.array([3.0, 4.0]), 1.0)
        Array([0.6, 0.8], dtype=float32)
    """
    square = jnp.sum(x**2)
    outside = square > radius**2
    length = jnp.sqrt(jnp.where(outside, square, jnp.ones_like(square)))
    return jnp.where(outside, radius / length, jnp.ones_like(length)) * x


def kernel_gd_filter(
    eigenvalues: Float[Array, " n"], step: float | Float[Array, ""], n_steps: int | Int[Array, ""]
) -> Float[Array, " n"]:
    r"""What gradient descent does to each eigenvector of the kernel matrix: `[1 - (1 - step λ)^n_steps] / λ`.

    Descent from zero on `sum |F(z_i) - y_i|² / 2` gives, after n steps, `F = kernel(·, Z) V diag(filter) Vᵀ y`, where
    `K = V diag(λ) Vᵀ`. It is `n_steps · step` at `λ = 0` and tends to `1/λ`, interpolation.

    Args:
        eigenvalues: Of the kernel matrix. Zero or more; what rounding left below zero is taken for zero.
        step: Step of gradient descent. Positive; `step λ` of 2 or more, where descent diverges, is a run-time error.
        n_steps: How many steps.

    Returns:
        One factor for each eigenvalue.

    Example:
        >>> kernel_gd_filter(jnp.array([0.0, 0.5, 1.0]), 1.0, 2)
        Array([2. , 1.5, 1. ], dtype=float32)

    Source: Han, Razaviyayn and Xu (2024), arXiv:2401.15604; Yao, Rosasco and Caponnetto (2007),
    doi:10.1007/s00365-006-0663-2.
    """
    dtype = eigenvalues.dtype
    rate = jnp.asarray(step).astype(dtype) * jnp.maximum(eigenvalues, 0)
    rate = eqx.error_if(rate, rate >= 2, "step times an eigenvalue is 2 or more, where descent diverges: lower step.")
    count = jnp.asarray(n_steps)
    steps = count.astype(dtype)
    slow, still = rate < 1, rate == 0
    # Of what is left after all steps, 1 less that: without subtraction for slow directions, signed for fast ones.
    small = jnp.where(slow, rate, jnp.zeros_like(rate))
    gained = -jnp.expm1(steps * jnp.log1p(-small))
    odd = (count % 2).astype(dtype)
    at_one = rate == 1
    beyond = jnp.where(slow | at_one, jnp.ones_like(rate), rate - 1)
    left = jnp.where(at_one & (steps > 0), jnp.zeros_like(rate), (1 - 2 * odd) * beyond**steps)
    reached = jnp.where(slow, gained, 1 - left)
    divisor = jnp.where(still, jnp.ones_like(rate), rate)
    factor = jnp.where(still, jnp.full_like(rate, steps), reached / divisor)
    return jnp.asarray(step).astype(dtype) * factor


def early_stopping_time(
    eigenvalues: Float[Array, " n"], noise: float | Float[Array, ""], step: float | Float[Array, ""]
) -> Int[Array, ""]:
    r"""How many steps of gradient descent a kernel regression on noisy labels should take.

    With the local complexity `R(e) = sqrt(mean min(λ_i, e²))`, it is one less than the first number of steps `n` at
    which `R((step n)^-½) > 1 / (2 e noise step n)`. The rule needs no test set. It errs on the early side: on small
    problems the best number can be far larger.

    Args:
        eigenvalues: Of the kernel matrix divided by the number of rows. Zero or more.
        noise: Standard deviation of the noise in a label. Positive.
        step: Step of gradient descent on the mean squared error (half of it), with the same normalisation.

    Returns:
        A number of steps, zero or more; about a billion where no noise or no complexity ever stops it.

    Example:
        >>> early_stopping_time(jnp.array([1.0, 0.1, 0.01]), 0.1, 1.0)
        Array(6, dtype=int32)

    Source: Raskutti, Wainwright and Yu (2014), arXiv:1306.3574, equation 6.
    """
    dtype = eigenvalues.dtype
    values, rate = jnp.maximum(eigenvalues, 0), jnp.asarray(step).astype(dtype)
    bound = 1 / (2 * jnp.e * jnp.asarray(noise).astype(dtype))

    def stops(n: Int[Array, ""]) -> Array:
        # step n R((step n)^-½), which grows with n.
        time = rate * n.astype(dtype)
        return jnp.sqrt(jnp.mean(jnp.minimum(values * time**2, time))) > bound

    def halve(_, span):
        low, high = span  # does not stop at low, does at high
        middle = low + (high - low) // 2
        stop = stops(middle)
        return jnp.where(stop, low, middle), jnp.where(stop, middle, high)

    start = jnp.asarray(0, jnp.int32), jnp.asarray(2**30, jnp.int32)
    return jax.lax.fori_loop(0, 30, halve, start)[1] - 1


class KernelRegressionScore(eqx.Module):
    """A regression of the clean sample on the noised one and its time, as a score. See `kernel_regression_score`."""

    inputs: Float[Array, "n p"]
    coefficients: Float[Array, "n d"]
    process: NoiseProcess
    kernel: InputKernel = eqx.field(static=True)
    n_steps: Int[Array, ""]
    """Steps of gradient descent that the estimate stands for."""

    def __call__(self, x: Float[Array, "*event"], t: Float[Array, ""]) -> Float[Array, "*event"]:
        """The score at one noised sample and one time."""
        alpha, sigma = self.process.alpha(t).astype(x.dtype), self.process.sigma(t).astype(x.dtype)
        return (alpha * self.denoise(x, t) - x) / sigma**2

    def denoise(self, x: Float[Array, "*event"], t: Float[Array, ""]) -> Float[Array, "*event"]:
        """The estimate of the clean sample."""
        row = self.kernel(regression_inputs(x[None], t[None]), self.inputs)
        return (row @ self.coefficients).reshape(x.shape)


def regression_inputs(x: Float[Array, "n *event"], t: Float[Array, " n"]) -> Float[Array, "n p"]:
    """What the regression sees: the entries of the noised sample, its time, and one, for a bias."""
    time = t.astype(x.dtype)[:, None]
    return jnp.concatenate([x.reshape(len(x), -1), time, jnp.ones_like(time)], axis=1)


def kernel_regression_score(
    process: NoiseProcess,
    x0: Float[Array, "n *event"],
    t: Float[Array, " n"],
    *,
    key: PRNGKeyArray,
    kernel: InputKernel = ntk_relu,
    n_steps: int | None = None,
    step: float | Float[Array, ""] | None = None,
    noise: float | Float[Array, ""] | None = None,
) -> KernelRegressionScore:
    r"""The score that a wide network would learn by gradient descent, in closed form: a regression with its kernel.

    Each sample is noised once; the clean sample is regressed on `(x_t, t, 1)`. Gradient descent from zero on half the
    mean squared error is followed in the eigenbasis of the kernel matrix, at once for any number of steps. Labels are
    noisy, since many clean samples could have given a noised one: to stop early matters, to interpolate is wrong. Cost
    `n³` once, then `n` kernel values a sample.

    Args:
        process: How samples are noised.
        x0: Clean samples, at least two.
        t: One time for each.
        key: Random key. Row `i` draws its noise with `fold_in(key, i)`.
        kernel: `kernel(z, y)`, of two sets of inputs: `ntk_relu`, `arc_cosine_kernel`, or your own.
        n_steps: Steps of gradient descent; by `early_stopping_time` if None, which errs on the early side.
        step: Step of gradient descent; the inverse of the largest eigenvalue of the kernel matrix over n if None.
        noise: Standard deviation of the noise in a label, for `n_steps=None`. If None it is estimated from the labels
            of nearest neighbours among the inputs.

    Returns:
        A score `score(x, t)`, with the estimate of the clean sample as `denoise(x, t)`.

    Raises:
        ValueError: There are fewer than two rows, or `n_steps` is negative.

    Example:
        >>> x0, t = jax.random.normal(jax.random.key(0), (40, 1)), jnp.full(40, 1.0)
        >>> score = eqx.filter_jit(kernel_regression_score)(sx.diffusion.EDM(), x0, t, key=jax.random.key(1))
        >>> score(jnp.array([0.5]), jnp.array(1.0)).shape
        (1,)

    Source: Han, Razaviyayn and Xu (2024), arXiv:2401.15604.
    """
    n = x0.shape[0]
    if n < 2:
        raise ValueError(f"a regression needs at least two samples, not {n}.")
    if n_steps is not None and n_steps < 0:
        raise ValueError(f"n_steps must be zero or more, not {n_steps}.")
    noised, _ = jax.vmap(lambda x, t, key: process.perturb(x, t, key=key))(x0, t.astype(x0.dtype), row_keys(key, n, 0))
    inputs, labels = regression_inputs(noised, t), x0.reshape(n, -1)
    values, vectors = jnp.linalg.eigh(kernel(inputs, inputs) / n)
    size = 1 / values[-1] if step is None else jnp.asarray(step).astype(x0.dtype)
    if n_steps is None:
        spread = neighbour_noise(inputs, labels) if noise is None else noise
        count = early_stopping_time(values, spread, size)
    else:
        count = jnp.asarray(n_steps, jnp.int32)
    kept = kernel_gd_filter(values, size, count)
    matmul = functools.partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)
    coefficients = matmul(vectors, kept[:, None] * matmul(vectors.T, labels)) / n
    return KernelRegressionScore(inputs, coefficients, process, kernel, count)


def neighbour_noise(inputs: Float[Array, "n p"], labels: Float[Array, "n d"]) -> Float[Array, ""]:
    """Standard deviation of the noise in labels, `sqrt(mean |y_i - y_j|² / 2 d)` over nearest neighbours j of i."""
    square = (inputs**2).sum(1)
    distance = square[:, None] + square[None] - 2 * inputs @ inputs.T
    nearest = jnp.argmin(jnp.where(jnp.eye(len(inputs), dtype=bool), jnp.inf, distance), axis=1)
    return jnp.sqrt(0.5 * jnp.mean((labels - labels[nearest]) ** 2))
